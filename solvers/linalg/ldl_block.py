"""Solve with a factor of ldl.py for many right-hand sides at once: each entry of L is read once and serves a whole row.

L D L^T X = B,    B (n, m), row-major: the inner loop runs along a row
"""

from __future__ import annotations

from solvers.accelerate import kernel
from solvers.linalg.ldl import FloatArray, IntArray


@kernel
def ldl_solve_block(up: IntArray, uj: IntArray, a: FloatArray, b: FloatArray) -> None:
    """Solve A X = B in place.

    Args:
        up: (n + 1,) of the `Symbolic`.
        uj: (n_upper,) of the `Symbolic`.
        a: (n + n_upper,) the factor.
        b: (n, m) right-hand sides, rows in elimination order; becomes X.
    """
    n, m = b.shape
    for k in range(n):
        r = b[k]
        for x in range(up[k], up[k + 1]):
            l, row = a[n + x], b[uj[x]]
            for c in range(m):
                row[c] -= l * r[c]
    for k in range(n - 1, -1, -1):
        r = b[k]
        for c in range(m):
            r[c] *= a[k]
        for x in range(up[k], up[k + 1]):
            l, row = a[n + x], b[uj[x]]
            for c in range(m):
                r[c] -= l * row[c]
