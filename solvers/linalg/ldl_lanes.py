"""Sparse L D L^T of eight symmetric matrices of one pattern at once, a matrix in each lane.

As `ldl.py` has it, slot by slot; a value array is (slots, 8). The lanes do not know of each other: one whose matrix is
singular ends infinite or nan, the others as if they were alone.
"""

from __future__ import annotations

from solvers.accelerate import part
from solvers.linalg.ldl import FloatArray, IntArray
from solvers.linalg.vector import f64x8, fnma, load, store


@part
def ldl_factor_lanes(up: IntArray, uj: IntArray, target: IntArray, a: FloatArray) -> None:
    """Factor in place.

    Args:
        up: (n + 1,) of the `Symbolic`.
        uj: (n_upper,) of the `Symbolic`.
        target: (n_pairs,) of the `Symbolic`.
        a: (n + n_upper, 8) the matrices; become the factors.
    """
    zero, one = f64x8(0.0), f64x8(1.0)
    n = len(up) - 1
    t = 0
    for k in range(n):
        begin, end = n + up[k], n + up[k + 1]
        reciprocal = one / load(zero, a, k)
        store(a, k, reciprocal)
        for x in range(begin, end):
            u = load(zero, a, x)
            l = u * reciprocal
            j = uj[x - n]
            store(a, j, fnma(l, u, load(zero, a, j)))
            for y in range(x + 1, end):
                z = n + target[t]
                store(a, z, fnma(l, load(zero, a, y), load(zero, a, z)))
                t += 1
            store(a, x, l)


@part
def ldl_solve_lanes(up: IntArray, uj: IntArray, a: FloatArray, b: FloatArray) -> None:
    """Solve A x = b in place.

    Args:
        up: (n + 1,) of the `Symbolic`.
        uj: (n_upper,) of the `Symbolic`.
        a: (n + n_upper, 8) the factors.
        b: (n, 8) right-hand sides in elimination order; become x.
    """
    zero = f64x8(0.0)
    n = len(up) - 1
    for k in range(n):
        left = load(zero, b, k)
        for x in range(up[k], up[k + 1]):
            j = uj[x]
            store(b, j, fnma(load(zero, a, n + x), left, load(zero, b, j)))
    for k in range(n - 1, -1, -1):
        left = load(zero, b, k) * load(zero, a, k)
        for x in range(up[k], up[k + 1]):
            left = fnma(load(zero, a, n + x), load(zero, b, uj[x]), left)
        store(b, k, left)
