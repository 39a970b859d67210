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


@kernel
def evaluate(
    kind: Index, row: Index, center: Index, pointer: Index, bus: Index, y: Complex, v: Complex, h: Floats, H: Floats
) -> None:
    """Evaluate every meter and its derivatives.

    Args:
        kind: (m,) Kind.
        row: (m,) the row it looks at.
        center: (n_row,) bus c of each row.
        pointer: (n_row + 1,) where each row's entries start.
        bus: (n_entry,) k; c itself is always among them.
        y: (n_entry,) y_k [pu].
        v: (n_bus,) [pu].
        h: (m,) receives the readings [pu].
        H: (2 * sum of row lengths over meters,) receives dh/dtheta_k, dh/du_k of each meter's entries in turn.
    """
    out = 0
    for m in range(len(kind)):
        begin, end = pointer[row[m]], pointer[row[m] + 1]
        c = center[row[m]]
        current = 0.0 + 0.0j
        for e in range(begin, end):
            current += y[e] * v[bus[e]]
        s = v[c] * np.conj(current)
        magnitude = abs(current)
        w = np.conj(current) / magnitude if magnitude > _NO_CURRENT_PU else 0.0j
        if kind[m] == 0:
            h[m] = abs(v[c])
        elif kind[m] == 1:
            h[m] = s.real
        elif kind[m] == 2:
            h[m] = s.imag
        else:
            h[m] = magnitude
        for e in range(begin, end):
            k = bus[e]
            yv = y[e] * v[k]
            t = v[c] * np.conj(yv)
            at_center = k == c
            if kind[m] == 0:
                d_theta = 0.0
                d_u = h[m] if at_center else 0.0
            elif kind[m] == 1:
                d_theta = t.imag - (s.imag if at_center else 0.0)
                d_u = t.real + (s.real if at_center else 0.0)
            elif kind[m] == 2:
                d_theta = -t.real + (s.real if at_center else 0.0)
                d_u = t.imag + (s.imag if at_center else 0.0)
            else:
                d_theta = -(w * yv).imag
                d_u = (w * yv).real
            H[out] = d_theta
            H[out + 1] = d_u
            out += 2


@kernel
def gain(
    row: Index, pointer: Index, unknown: Index, pair: Index, slot: Index,
    H: Floats, weight: Floats, residual: Floats, a: Floats, b: Floats,
) -> None:  # fmt: skip
    """Add H' W H into the factor's slots, and H' W r into the right-hand side.

    Args:
        row: (m,) of each meter.
        pointer: (n_row + 1,) of entries.
        unknown: (2 * n_entry,) elimination position of theta_k and u_k, -1 for a reference angle.
        pair: (n_row + 1,) where each row's slots start: for its 2d scalars, the pairs i <= j in order.
        slot: (n_pair,) slot of each pair in `a`, -1 where one of both is a reference angle.
        H: derivatives from `evaluate`.
        weight: (m,) 1 / sigma^2.
        residual: (m,).
        a: the matrix, added to.
        b: (n,) the right-hand side in elimination order, added to.
    """
    at = 0
    for m in range(len(row)):
        begin, end = 2 * pointer[row[m]], 2 * pointer[row[m] + 1]
        width = end - begin
        q = pair[row[m]]
        for i in range(width):
            left = weight[m] * H[at + i]
            where = unknown[begin + i]
            if where >= 0:
                b[where] += left * residual[m]
            for j in range(i, width):
                if slot[q] >= 0:
                    a[slot[q]] += left * H[at + j]
                q += 1
        at += width


@kernel
def explained_variance(row: Index, pointer: Index, pair: Index, slot: Index, H: Floats, z: Floats, out: Floats) -> None:
    """Variance of each meter's estimate, H_m G^-1 H_m', from the selected inverse `z`.

    Args:
        row: (m,) of each meter.
        pointer: (n_row + 1,) of entries.
        pair: (n_row + 1,) of slots.
        slot: (n_pair,).
        H: derivatives from `evaluate`.
        z: the inverse on the pattern.
        out: (m,) receives the variances.
    """
    at = 0
    for m in range(len(row)):
        width = 2 * (pointer[row[m] + 1] - pointer[row[m]])
        q = pair[row[m]]
        total = 0.0
        for i in range(width):
            for j in range(i, width):
                if slot[q] >= 0:
                    term = H[at + i] * H[at + j] * z[slot[q]]
                    total += term if i == j else 2.0 * term
                q += 1
        out[m] = total
        at += width
