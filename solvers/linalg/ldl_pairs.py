"""Sparse L D L^T of a symmetric matrix of 2x2 blocks, its solves, and the inverse on the pattern of L.

Two unknowns at each bus stand together, so one index serves four numbers. A = L D L^T in elimination order, blocks of L unit
lower triangular. The value array `a` (4 (n + n_upper),) holds blocks row-major in the slots of `Symbolic.position`, that of an
earlier and a later unknown with the earlier one's rows. It is overwritten: diagonal blocks with D^-1, the others with D^-1 A,
blocks of L^T.

No pivoting, as in ldl.py: of the two pivots in a diagonal block each counts as zero at or below `tolerance` times the original
diagonal entry, and its unknown is left out: its row and column of D^-1 are zero.

Vectors are (2 n,) in elimination order.

Reference: K. Takahashi, J. Fagan, M. Chen, "Formation of a sparse bus impedance matrix and its application to short circuit
study", PICA (1973), for the selected inverse.
"""

from __future__ import annotations

from solvers.accelerate import kernel
from solvers.linalg.ldl import FloatArray, IntArray


@kernel
def pair_factor(up: IntArray, uj: IntArray, target: IntArray, a: FloatArray, original: FloatArray, tolerance: float) -> int:
    """Factor in place.

    Args:
        up: (n + 1,) of the `Symbolic`.
        uj: (n_upper,) of the `Symbolic`.
        target: (n_pairs,) of the `Symbolic`.
        a: (4 (n + n_upper),) the matrix; becomes the factor.
        original: (2 n,) scratch; holds the matrix's diagonal afterwards.
        tolerance: a pivot <= tolerance * original diagonal counts as zero.

    Returns:
        The number of zero pivots.
    """
    n = len(up) - 1
    for k in range(n):
        original[2 * k], original[2 * k + 1] = a[4 * k], a[4 * k + 3]
    zeros = 0
    t = 0
    for k in range(n):
        first, both, second = a[4 * k], a[4 * k + 1], a[4 * k + 3]
        r0, r1, l = 0.0, 0.0, 0.0
        if first > tolerance * original[2 * k]:
            r0 = 1.0 / first
            l = both * r0
            second -= both * l
        else:
            zeros += 1
        if second > tolerance * original[2 * k + 1]:
            r1 = 1.0 / second
        else:
            zeros += 1
        d00, d01, d11 = r0 + l * l * r1, -l * r1, r1
        a[4 * k], a[4 * k + 1], a[4 * k + 2], a[4 * k + 3] = d00, d01, d01, d11
        for x in range(up[k], up[k + 1]):
            s, d = 4 * (n + x), 4 * uj[x]
            u00, u01, u10, u11 = a[s], a[s + 1], a[s + 2], a[s + 3]
            v00, v01 = d00 * u00 + d01 * u10, d00 * u01 + d01 * u11
            v10, v11 = d01 * u00 + d11 * u10, d01 * u01 + d11 * u11
            off = v00 * u01 + v10 * u11
            a[d] -= v00 * u00 + v10 * u10
            a[d + 1] -= off
            a[d + 2] -= off
            a[d + 3] -= v01 * u01 + v11 * u11
            for y in range(x + 1, up[k + 1]):
                w, o = 4 * (n + y), 4 * (n + target[t])
                w00, w01, w10, w11 = a[w], a[w + 1], a[w + 2], a[w + 3]
                a[o] -= v00 * w00 + v10 * w10
                a[o + 1] -= v00 * w01 + v10 * w11
                a[o + 2] -= v01 * w00 + v11 * w10
                a[o + 3] -= v01 * w01 + v11 * w11
                t += 1
            a[s], a[s + 1], a[s + 2], a[s + 3] = v00, v01, v10, v11
    return zeros


@kernel
def pair_solve(up: IntArray, uj: IntArray, a: FloatArray, b: FloatArray) -> None:
    """Solve A x = b in place.

    Args:
        up: (n + 1,) of the `Symbolic`.
        uj: (n_upper,) of the `Symbolic`.
        a: (4 (n + n_upper),) the factor.
        b: (2 n,) right-hand side in elimination order; becomes x.
    """
    n = len(up) - 1
    for k in range(n):
        r, q = b[2 * k], b[2 * k + 1]
        for x in range(up[k], up[k + 1]):
            s, j = 4 * (n + x), 2 * uj[x]
            b[j] -= a[s] * r + a[s + 2] * q
            b[j + 1] -= a[s + 1] * r + a[s + 3] * q
    for k in range(n - 1, -1, -1):
        r = a[4 * k] * b[2 * k] + a[4 * k + 1] * b[2 * k + 1]
        q = a[4 * k + 2] * b[2 * k] + a[4 * k + 3] * b[2 * k + 1]
        for x in range(up[k], up[k + 1]):
            s, j = 4 * (n + x), 2 * uj[x]
            r -= a[s] * b[j] + a[s + 1] * b[j + 1]
            q -= a[s + 2] * b[j] + a[s + 3] * b[j + 1]
        b[2 * k], b[2 * k + 1] = r, q


@kernel
def pair_selected_inverse(up: IntArray, uj: IntArray, target: IntArray, a: FloatArray, z: FloatArray) -> None:
    """Blocks of the inverse on the pattern of the factor, from Z = D^-1 L^-1 + (I - L^T) Z row by row from the last.

    Args:
        up: (n + 1,) of the `Symbolic`.
        uj: (n_upper,) of the `Symbolic`.
        target: (n_pairs,) of the `Symbolic`.
        a: (4 (n + n_upper),) the factor.
        z: (4 (n + n_upper),) receives the inverse in the same slots.
    """
    n = len(up) - 1
    t = len(target)
    for k in range(n - 1, -1, -1):
        begin, end = up[k], up[k + 1]
        t -= ((end - begin) * (end - begin - 1)) // 2
        q = t
        for x in range(begin, end):
            s, d = 4 * (n + x), 4 * uj[x]
            z[s] = -a[s] * z[d] - a[s + 1] * z[d + 2]
            z[s + 1] = -a[s] * z[d + 1] - a[s + 1] * z[d + 3]
            z[s + 2] = -a[s + 2] * z[d] - a[s + 3] * z[d + 2]
            z[s + 3] = -a[s + 2] * z[d + 1] - a[s + 3] * z[d + 3]
        for x in range(begin, end):
            s = 4 * (n + x)
            v00, v01, v10, v11 = a[s], a[s + 1], a[s + 2], a[s + 3]
            z00, z01, z10, z11 = z[s], z[s + 1], z[s + 2], z[s + 3]
            for y in range(x + 1, end):
                w, o = 4 * (n + y), 4 * (n + target[q])
                o00, o01, o10, o11 = z[o], z[o + 1], z[o + 2], z[o + 3]
                w00, w01, w10, w11 = a[w], a[w + 1], a[w + 2], a[w + 3]
                z00 -= w00 * o00 + w01 * o01
                z01 -= w00 * o10 + w01 * o11
                z10 -= w10 * o00 + w11 * o01
                z11 -= w10 * o10 + w11 * o11
                z[w] -= v00 * o00 + v01 * o10
                z[w + 1] -= v00 * o01 + v01 * o11
                z[w + 2] -= v10 * o00 + v11 * o10
                z[w + 3] -= v10 * o01 + v11 * o11
                q += 1
            z[s], z[s + 1], z[s + 2], z[s + 3] = z00, z01, z10, z11
        i00, i01, i11 = a[4 * k], a[4 * k + 1], a[4 * k + 3]
        for x in range(begin, end):
            s = 4 * (n + x)
            i00 -= a[s] * z[s] + a[s + 1] * z[s + 1]
            i01 -= a[s] * z[s + 2] + a[s + 1] * z[s + 3]
            i11 -= a[s + 2] * z[s + 2] + a[s + 3] * z[s + 3]
        z[4 * k], z[4 * k + 1], z[4 * k + 2], z[4 * k + 3] = i00, i01, i01, i11
