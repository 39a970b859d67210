"""What a meter would read, and how that changes with the state: h(x) and H(x) for the bus-branch form.

State per bus i: theta_i [rad], u_i = ln |V_i|. Every meter looks at a *row*: a current I = sum_k y_k V_k seen from a
bus c, where the row is that of the admittance matrix (injection at c) or of a branch (flow into the branch at c). With
S_k = V_c conj(y_k V_k) = p_k + j q_k and S = V_c conj(I) = P + jQ:

    V    h = |V_c|     dh/du_c = |V_c|
    P    h = P         dh/dtheta_k = q_k     dh/du_k = p_k      and at c also  -Q  and  +P
    Q    h = Q         dh/dtheta_k = -p_k    dh/du_k = q_k      and at c also  +P  and  +Q
    I    h = |I|       dh/dtheta_k = Re(w j y_k V_k)   dh/du_k = Re(w y_k V_k)   with w = conj(I) / |I|

Powers are positive into the row: into the branch, or from the bus's own elements into the network.

Reference: A. Abur, A. Gomez Exposito, "Power System State Estimation" (2004), ch. 2.4, in logarithmic magnitudes.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solvers.accelerate import kernel

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]
Index = NDArray[np.int64]

# Below this current [pu] its direction is noise, and so would be the derivative of its magnitude.
_NO_CURRENT_PU = 1e-6


class Kind(IntEnum):
    """What a meter measures."""

    V = 0
    P = 1
    Q = 2
    I = 3


class Rows(NamedTuple):
    """What meters look at, as the kernels take it; buses are numbered in elimination order.

    Args:
        kind: (m,) Kind, meters by row.
        first: (n_row + 1,) where each row's meters begin.
        center: (n_row,) bus c of each row.
        own: (n_row,) entry of c.
        pointer: (n_row + 1,) where each row's entries begin.
        bus: (n_entry,) k, ascending in each row.
        y: (2 n_entry,) y_k [pu].
        pair: (n_row + 1,) where each row's slots begin: for its entries, the pairs i <= j in order.
        slot: (n_pair,) where the 2x2 block of each pair begins in the gain matrix.
        is_reference: (n_bus,) int8, whether the angle is known; its derivative is left out.
    """

    kind: Index
    first: Index
    center: Index
    own: Index
    pointer: Index
    bus: Index
    y: Floats
    pair: Index
    slot: Index
    is_reference: NDArray[np.int8]


@kernel
def linearise(rows: Rows, v: Floats, h: Floats, H: Floats) -> None:
    """Evaluate every meter and its derivatives; a row's current once for all its meters.

    Args:
        rows: what the meters look at.
        v: (2 n_bus,) e and f [pu].
        h: (m,) receives the readings [pu].
        H: (2 * sum of row lengths over meters,) receives dh/dtheta_k, dh/du_k of each meter's entries in turn.
    """
    first, own, bus, y = rows.first, rows.own, rows.bus, rows.y
    at = 0
    for r in range(len(rows.center)):
        c, begin, end = rows.center[r], rows.pointer[r], rows.pointer[r + 1]
        e, f = v[2 * c], v[2 * c + 1]
        i_re, i_im = 0.0, 0.0
        for x in range(begin, end):
            k = 2 * bus[x]
            i_re += y[2 * x] * v[k] - y[2 * x + 1] * v[k + 1]
            i_im += y[2 * x + 1] * v[k] + y[2 * x] * v[k + 1]
        p, q = e * i_re + f * i_im, f * i_re - e * i_im
        for m in range(first[r], first[r + 1]):
            what = rows.kind[m]
            magnitude = np.sqrt(e * e + f * f) if what == 0 else np.sqrt(i_re * i_re + i_im * i_im) if what == 3 else 0.0
            w_re, w_im = 0.0, 0.0
            if magnitude > _NO_CURRENT_PU:
                w_re, w_im = i_re / magnitude, i_im / magnitude
            h[m] = p if what == 1 else q if what == 2 else magnitude
            for x in range(begin, end):
                k = 2 * bus[x]
                y_re, y_im = y[2 * x] * v[k] - y[2 * x + 1] * v[k + 1], y[2 * x + 1] * v[k] + y[2 * x] * v[k + 1]
                p_k, q_k = e * y_re + f * y_im, f * y_re - e * y_im
                if what == 1:
                    d_theta, d_u = q_k, p_k
                    if x == own[r]:
                        d_theta, d_u = d_theta - q, d_u + p
                elif what == 2:
                    d_theta, d_u = -p_k, q_k
                    if x == own[r]:
                        d_theta, d_u = d_theta + p, d_u + q
                elif what == 3:
                    d_theta, d_u = w_im * y_re - w_re * y_im, w_re * y_re + w_im * y_im
                else:
                    d_theta, d_u = 0.0, magnitude if x == own[r] else 0.0
                H[at] = 0.0 if rows.is_reference[bus[x]] != 0 else d_theta
                H[at + 1] = d_u
                at += 2


@kernel
def gain(rows: Rows, H: Floats, weight: Floats, residual: Floats, with_matrix: bool, a: Floats, b: Floats) -> None:
    """Add H' W r into the right-hand side and, where asked for, H' W H into the factor's slots.

    Args:
        rows: what the meters look at.
        H: derivatives from `linearise`.
        weight: (m,) 1 / sigma^2.
        residual: (m,).
        with_matrix: whether the matrix is wanted too.
        a: the matrix of 2x2 blocks, added to.
        b: (2 n_bus,) the right-hand side, added to.
    """
    first, pointer, bus, slot = rows.first, rows.pointer, rows.bus, rows.slot
    at = 0
    for r in range(len(first) - 1):
        begin, d = pointer[r], pointer[r + 1] - pointer[r]
        for m in range(first[r], first[r + 1]):
            pull = weight[m] * residual[m]
            q = rows.pair[r]
            for i in range(d):
                k = 2 * bus[begin + i]
                h0, h1 = H[at + 2 * i], H[at + 2 * i + 1]
                b[k] += pull * h0
                b[k + 1] += pull * h1
                if with_matrix:
                    w0, w1 = weight[m] * h0, weight[m] * h1
                    for j in range(i, d):
                        s, g0, g1 = slot[q], H[at + 2 * j], H[at + 2 * j + 1]
                        a[s] += w0 * g0
                        a[s + 1] += w0 * g1
                        a[s + 2] += w1 * g0
                        a[s + 3] += w1 * g1
                        q += 1
            at += 2 * d


@kernel
def explained_variance(rows: Rows, H: Floats, z: Floats, out: Floats) -> None:
    """Variance of each meter's estimate, H_m G^-1 H_m', from the selected inverse `z`.

    Args:
        rows: what the meters look at.
        H: derivatives from `linearise`.
        z: blocks of the inverse on the pattern.
        out: (m,) receives the variances.
    """
    first, pointer, slot = rows.first, rows.pointer, rows.slot
    at = 0
    for r in range(len(first) - 1):
        d = pointer[r + 1] - pointer[r]
        for m in range(first[r], first[r + 1]):
            q = rows.pair[r]
            total = 0.0
            for i in range(d):
                h0, h1 = H[at + 2 * i], H[at + 2 * i + 1]
                for j in range(i, d):
                    s, g0, g1 = slot[q], H[at + 2 * j], H[at + 2 * j + 1]
                    term = h0 * (z[s] * g0 + z[s + 1] * g1) + h1 * (z[s + 2] * g0 + z[s + 3] * g1)
                    total += term if i == j else 2.0 * term
                    q += 1
            out[m] = total
            at += 2 * d
