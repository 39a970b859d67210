"""Sparse L D L^T of a symmetric matrix, and its solves.

A = L D L^T in elimination order, L unit lower triangular. The value array `a` (n + n_upper,) is filled through
`Symbolic.position` and overwritten: a[k] becomes 1/D_k and a[n + x] becomes L[uj[x], k] for row k's entries x.

No pivoting: the matrix is meant to be positive semidefinite (the gradient method's, a gain matrix). A pivot at or
below `tolerance` times the original diagonal entry counts as zero; its unknown is left out (1/D_k := 0), which for a
semidefinite matrix gives one of the solutions. In estimation that names the unobservable unknowns: a[k] == 0.

Vectors are in elimination order: b = rhs[symbolic.perm] before, x[symbolic.perm] = b after (or keep all data in that
order). Each kernel takes symbolic.up, symbolic.uj, symbolic.target as they are.

Entries are indexed by `uint64`: of an index that may be negative numba asks at every access whether it is.

Reference: A. Monticelli, F. Wu, "Network observability: theory", IEEE Trans. PAS 104 (1985), for zero pivots.
"""

from __future__ import annotations

import numpy as np
from numpy import uint64
from numpy.typing import NDArray

from solvers.accelerate import kernel

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]


@kernel
def ldl_factor(up: IntArray, uj: IntArray, target: IntArray, a: FloatArray, original: FloatArray, tolerance: float) -> int:
    """Factor in place.

    Args:
        up: (n + 1,) of the `Symbolic`.
        uj: (n_upper,) of the `Symbolic`.
        target: (n_pairs,) of the `Symbolic`.
        a: (n + n_upper,) the matrix; becomes the factor.
        original: (n,) scratch; holds the matrix's diagonal afterwards.
        tolerance: a pivot <= tolerance * original diagonal counts as zero; 1e-13 where only rounding can make one.

    Returns:
        The number of zero pivots.
    """
    n = len(up) - 1
    original[:] = a[:n]
    upper, first, one = a[n:], uint64(n), uint64(1)
    zeros = 0
    t = uint64(0)
    for k in range(n):
        begin, end = uint64(n + up[k]), uint64(n + up[k + 1])
        if not a[k] > tolerance * original[k]:  # so that nan and 0 on an empty row count, too
            a[k] = 0.0
            zeros += 1
            for x in range(begin, end):
                a[x] = 0.0
            t += uint64(((up[k + 1] - up[k]) * (up[k + 1] - up[k] - 1)) // 2)
            continue
        reciprocal = 1.0 / a[k]
        a[k] = reciprocal
        for x in range(begin, end):
            u = a[x]
            l = u * reciprocal
            a[uint64(uj[x - first])] -= l * u
            for y in range(x + one, end):
                upper[uint64(target[t])] -= l * a[y]
                t += one
            a[x] = l
    return zeros


@kernel
def ldl_solve(up: IntArray, uj: IntArray, a: FloatArray, b: FloatArray) -> None:
    """Solve A x = b in place.

    Args:
        up: (n + 1,) of the `Symbolic`.
        uj: (n_upper,) of the `Symbolic`.
        a: (n + n_upper,) the factor.
        b: (n,) right-hand side in elimination order; becomes x.
    """
    n = len(up) - 1
    upper = a[n:]
    for k in range(n):
        r = b[k]
        for x in range(uint64(up[k]), uint64(up[k + 1])):
            b[uint64(uj[x])] -= upper[x] * r
    for k in range(n - 1, -1, -1):
        r = b[k] * a[k]
        for x in range(uint64(up[k]), uint64(up[k + 1])):
            r -= upper[x] * b[uint64(uj[x])]
        b[k] = r
