"""Sparse direct methods: ordering, symbolic analysis, LU and LDL^T in numba."""
