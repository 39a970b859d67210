"""Sparse LU of a matrix of 2x2 blocks with symmetric pattern, without pivoting, and its solves.

The load flow's Jacobian has one block per pair of buses, rows (P, Q), columns (d theta, dV/V). Its diagonal blocks are
the buses' own sensitivities and stay regular in the given order, as a scalar factorisation's pivots need not; a
radial network's factor has no fill, and the solve is then the backward-forward sweep.

A value array `a` (n + 2 n_upper, 4) holds the blocks row-major in the slots of `Symbolic.position_lu`. `lu_factor`
overwrites it: diagonal blocks with their inverses, blocks below the diagonal with those of L (unit diagonal).

Vectors are (n, 2) in elimination order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.accelerate import kernel

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]


@kernel
def lu_factor(up: IntArray, uj: IntArray, target: IntArray, a: FloatArray) -> None:
    """Factor in place; a singular pivot leaves inf or nan, which the caller sees in its next mismatch.

    Args:
        up: (n + 1,) of the `Symbolic`.
        uj: (n_upper,) of the `Symbolic`.
        target: (n_pairs,) of the `Symbolic`.
        a: (n + 2 n_upper, 4) the matrix; becomes the factor.
    """
    n = len(up) - 1
    below = n + len(uj)
    t = 0
    for k in range(n):
        p0, p1, p2, p3 = a[k, 0], a[k, 1], a[k, 2], a[k, 3]
        reciprocal = 1.0 / (p0 * p3 - p1 * p2)
        i0, i1, i2, i3 = p3 * reciprocal, -p1 * reciprocal, -p2 * reciprocal, p0 * reciprocal
        a[k, 0], a[k, 1], a[k, 2], a[k, 3] = i0, i1, i2, i3
        for x in range(up[k], up[k + 1]):
            l = below + x
            b0, b1, b2, b3 = a[l, 0], a[l, 1], a[l, 2], a[l, 3]
            a[l, 0] = b0 * i0 + b1 * i2
            a[l, 1] = b0 * i1 + b1 * i3
            a[l, 2] = b2 * i0 + b3 * i2
            a[l, 3] = b2 * i1 + b3 * i3
        for x in range(up[k], up[k + 1]):
            # Held in registers: the compiler cannot know that the stores below leave these two blocks alone.
            l, u, d = below + x, n + x, uj[x]
            l0, l1, l2, l3 = a[l, 0], a[l, 1], a[l, 2], a[l, 3]
            u0, u1, u2, u3 = a[u, 0], a[u, 1], a[u, 2], a[u, 3]
            a[d, 0] -= l0 * u0 + l1 * u2
            a[d, 1] -= l0 * u1 + l1 * u3
            a[d, 2] -= l2 * u0 + l3 * u2
            a[d, 3] -= l2 * u1 + l3 * u3
            for y in range(x + 1, up[k + 1]):
                right, out = n + y, n + target[t]
                b0, b1, b2, b3 = a[right, 0], a[right, 1], a[right, 2], a[right, 3]
                a[out, 0] -= l0 * b0 + l1 * b2
                a[out, 1] -= l0 * b1 + l1 * b3
                a[out, 2] -= l2 * b0 + l3 * b2
                a[out, 3] -= l2 * b1 + l3 * b3
                left, out = below + y, below + target[t]
                b0, b1, b2, b3 = a[left, 0], a[left, 1], a[left, 2], a[left, 3]
                a[out, 0] -= b0 * u0 + b1 * u2
                a[out, 1] -= b0 * u1 + b1 * u3
                a[out, 2] -= b2 * u0 + b3 * u2
                a[out, 3] -= b2 * u1 + b3 * u3
                t += 1


@kernel
def lu_solve(up: IntArray, uj: IntArray, a: FloatArray, b: FloatArray) -> None:
    """Solve A x = b in place.

    Args:
        up: (n + 1,) of the `Symbolic`.
        uj: (n_upper,) of the `Symbolic`.
        a: (n + 2 n_upper, 4) the factor.
        b: (n, 2) right-hand side in elimination order; becomes x.
    """
    n = len(up) - 1
    below = n + len(uj)
    for k in range(n):
        r0, r1 = b[k, 0], b[k, 1]
        for x in range(up[k], up[k + 1]):
            j, l = uj[x], below + x
            b[j, 0] -= a[l, 0] * r0 + a[l, 1] * r1
            b[j, 1] -= a[l, 2] * r0 + a[l, 3] * r1
    for k in range(n - 1, -1, -1):
        r0, r1 = b[k, 0], b[k, 1]
        for x in range(up[k], up[k + 1]):
            j, u = uj[x], n + x
            r0 -= a[u, 0] * b[j, 0] + a[u, 1] * b[j, 1]
            r1 -= a[u, 2] * b[j, 0] + a[u, 3] * b[j, 1]
        b[k, 0] = a[k, 0] * r0 + a[k, 1] * r1
        b[k, 1] = a[k, 2] * r0 + a[k, 3] * r1
