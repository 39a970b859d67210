"""Load flow of many branch outages at once: the base case's factor, corrected by rank four, in sixteen lanes.

An outage takes one branch between f and t away. Its equations are the base case's with what the branch draws added to
the injections of f and t,

    s - S(V) + S_branch(V) = 0,

so one admittance matrix serves all lanes. Its Jacobian is J0 - E D E', E picking (theta, u) of f and t and D the 4x4
block that the branch contributes. With J0 = L U, A = L^-1 E, B = E' U^-1 and z = L^-1 r (Woodbury)

    x = U^-1 (z + A w),    w = K^-1 D B z,    K = I - D B A.

The columns of A and the rows of B are zero but for the path from f to the root of the elimination tree, on which t lies
too: some dozen buses of thousands. So an iteration costs one substitution, as without outage, and a little for each lane.

D is that of the base case: the step needs only to point the right way, the mismatch is exact (chord.py). Where an outage
splits the network, K would be singular: there a hundredth of D is left in, and the rows of the part without source are
masked, so that it follows without pulling.

References: O. Alsac, B. Stott, W. F. Tinney, "Sparsity-oriented compensation methods for modified network solutions",
IEEE Trans. PAS 102 (1983). W. F. Tinney, V. Brandwajn, S. M. Chan, "Sparse vector methods", IEEE Trans. PAS 104 (1985).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.accelerate import kernel
from solvers.power.chord import (
    FloatArray,
    IntArray,
    SingleArray,
    any_moves,
    eliminate_lanes,
    return_lanes,
    spread_lanes,
)
from solvers.power.regroup import LANES, IndexArray

_SINGULAR = 1e-7
_SPLITTING = 0.99


@kernel
def outages(
    which: IndexArray,
    few: int,
    resumed: bool,
    is_pv: NDArray[np.int8],
    ptr: IntArray,
    col: IntArray,
    up: IntArray,
    uj: IntArray,
    parent: IntArray,
    lp: IntArray,
    lj: IntArray,
    below: IntArray,
    y: FloatArray,
    lower: SingleArray,
    upper: SingleArray,
    start: FloatArray,
    drawn: FloatArray,
    s_power: FloatArray,
    s_current: FloatArray,
    ends: IndexArray,
    branch: FloatArray,
    dead_from: IndexArray,
    dead: IndexArray,
    v: FloatArray,
    demand: FloatArray,
    residual: SingleArray,
    alive: FloatArray,
    lane: FloatArray,
    path: IntArray,
    A: SingleArray,
    B: SingleArray,
    KD: FloatArray,
    spent: IntArray,
    iterations: IntArray,
    mismatch: FloatArray,
    tolerance: float,
    max_iterations: int,
) -> None:
    """Solve lanes in groups of sixteen.

    Args:
        which: (n_lane,) the outage in each lane; the last group is filled up with its last one.
        few: a group is left when no more lanes than this move.
        resumed: the lanes go on from `v`; otherwise they begin at `start`.
        is_pv: of the `Plan`.
        ptr: of the `Plan`.
        col: of the `Plan`.
        up: of its `Symbolic`.
        uj: of its `Symbolic`.
        parent: of its `Symbolic`.
        lp: of the `Base`.
        lj: of the `Base`.
        below: (n_upper,) where the entry of L across from each of `uj` stands in `lower`.
        y: of the `Factor`, all branches in.
        lower: of the `Base`.
        upper: of the `Base`.
        start: (n_bus, 2) the base case, by position.
        drawn: of the `Base`.
        s_power: (n_free, 2) by position.
        s_current: (n_free, 2) by position.
        ends: (n_outage, 2) positions f, t.
        branch: (n_outage, 8) y_ff, y_ft, y_tf, y_tt as real and imaginary parts.
        dead_from: (n_outage + 1,) where each outage's part of `dead` begins.
        dead: free positions that lose their source.
        v: (n_group, 2 n_bus, 16) of these lanes; receives the voltages.
        demand: (2 n_free, 16) scratch.
        residual: (2 n_free, 16) scratch.
        alive: (n_free, 16) scratch.
        lane: (3, 16) scratch.
        path: (16, height + 1) scratch: each lane's path, ended by -1.
        A: (16, height, 8) scratch: rows of L^-1 E on the path, 2x4.
        B: (16, height, 8) scratch: columns of E' U^-1 on the path, 4x2 by columns.
        KD: (16, 4, 4) scratch: K^-1 D.
        spent: (n_outage,) iterations so far.
        iterations: (n_outage,) receives the iterations spent, or GIVEN_UP; stays UNFINISHED where a group was left.
        mismatch: (n_outage,) receives the largest mismatch left [pu].
        tolerance: largest mismatch accepted [pu].
        max_iterations: of each lane.
    """
    n_free, last = len(is_pv), len(which) - 1
    place = np.zeros(n_free, dtype=np.int32)
    spread_lanes(s_power, demand)
    for group in range(len(v)):
        first = group * LANES
        here = v[group]
        if not resumed:
            spread_lanes(start, here)
        lane[0, :] = 1.0
        splits = False
        for w in range(LANES):
            o = which[min(first + w, last)]
            splits = splits or dead_from[o + 1] > dead_from[o]
            _follow(o, n_free, ends, parent, path[w])
            _sparse_vectors(o, n_free, up, uj, below, lower, upper, ends, path[w], place, A[w], B[w])
            _correction(o, n_free, is_pv, start, ends, branch, dead_from, path[w], A[w], B[w], KD[w])
        if splits:
            alive[:] = 1.0
            for w in range(LANES):
                o = which[min(first + w, last)]
                for d in range(dead_from[o], dead_from[o + 1]):
                    alive[dead[d], w] = 0.0
        passed = 0
        while True:
            for w in range(LANES):
                if lane[0, w] != 0.0:
                    _give_back(which[min(first + w, last)], w, n_free, ends, branch, s_power, here, demand)
            eliminate_lanes(
                is_pv, ptr, col, lp, lj, y, lower, start, drawn, s_current, here, demand, residual, lane,
                passed == 0 and not resumed, alive, splits,
            )  # fmt: skip
            if not any_moves(first, which, passed, few, lane, spent, iterations, mismatch, tolerance, max_iterations):
                break
            for w in range(LANES):
                _correct(w, path[w], A[w], B[w], KD[w], residual)
            return_lanes(up, uj, upper, residual, lane, here)
            passed += 1
        for w in range(LANES):
            for p in ends[which[min(first + w, last)]]:
                if p < n_free:
                    demand[2 * p, w], demand[2 * p + 1, w] = s_power[p, 0], s_power[p, 1]


@kernel
def _follow(o: int, n_free: int, ends: IndexArray, parent: IntArray, path: IntArray) -> None:
    """The path from the end that is eliminated first; the other end lies on it."""
    k = min(ends[o, 0], ends[o, 1])
    length = 0
    while 0 <= k < n_free:
        path[length] = k
        length += 1
        k = parent[k]
    path[length] = -1


@kernel
def _sparse_vectors(
    o: int,
    n_free: int,
    up: IntArray,
    uj: IntArray,
    below: IntArray,
    lower: SingleArray,
    upper: SingleArray,
    ends: IndexArray,
    path: IntArray,
    place: IntArray,
    A: SingleArray,
    B: SingleArray,
) -> None:
    """A = L^-1 E and B = E' U^-1 on the path: each bus hands on to the later ones in its row."""
    n_upper = len(uj)
    length = 0
    while path[length] >= 0:
        k = path[length]
        place[k] = length
        for c in range(8):
            A[length, c] = 0.0
            B[length, c] = 0.0
        for side in range(2):
            if ends[o, side] == k:
                # 2x4 by rows, 4x2 by columns: the same places.
                A[length, 2 * side] = B[length, 2 * side] = 1.0
                A[length, 4 + 2 * side + 1] = B[length, 4 + 2 * side + 1] = 1.0
        length += 1
    for m in range(length):
        k = path[m]
        row = 4 * (n_upper - up[k + 1] + n_free - 1 - k)  # rows stand from the last
        pivot = row + 4 * (up[k + 1] - up[k])
        p0, p1, p2, p3 = upper[pivot], upper[pivot + 1], upper[pivot + 2], upper[pivot + 3]
        for c in range(4):
            b0, b1 = B[m, c], B[m, 4 + c]
            B[m, c], B[m, 4 + c] = b0 * p0 + b1 * p2, b0 * p1 + b1 * p3
        for x in range(up[k], up[k + 1]):
            q, l, u = place[uj[x]], 4 * below[x], row + 4 * (x - up[k])
            l0, l1, l2, l3 = lower[l], lower[l + 1], lower[l + 2], lower[l + 3]
            u0, u1, u2, u3 = upper[u], upper[u + 1], upper[u + 2], upper[u + 3]
            for c in range(4):
                A[q, c] -= l0 * A[m, c] + l1 * A[m, 4 + c]
                A[q, 4 + c] -= l2 * A[m, c] + l3 * A[m, 4 + c]
                B[q, c] -= B[m, c] * u0 + B[m, 4 + c] * u2
                B[q, 4 + c] -= B[m, c] * u1 + B[m, 4 + c] * u3


@kernel
def _correct(w: int, path: IntArray, A: SingleArray, B: SingleArray, KD: FloatArray, z: SingleArray) -> None:
    """Add A K^-1 D B z to z in one lane."""
    b0, b1, b2, b3 = 0.0, 0.0, 0.0, 0.0
    m = 0
    while path[m] >= 0:
        k = 2 * path[m]
        r, t = z[k, w], z[k + 1, w]
        b0 += B[m, 0] * r + B[m, 4] * t
        b1 += B[m, 1] * r + B[m, 5] * t
        b2 += B[m, 2] * r + B[m, 6] * t
        b3 += B[m, 3] * r + B[m, 7] * t
        m += 1
    w0 = np.float32(KD[0, 0] * b0 + KD[0, 1] * b1 + KD[0, 2] * b2 + KD[0, 3] * b3)
    w1 = np.float32(KD[1, 0] * b0 + KD[1, 1] * b1 + KD[1, 2] * b2 + KD[1, 3] * b3)
    w2 = np.float32(KD[2, 0] * b0 + KD[2, 1] * b1 + KD[2, 2] * b2 + KD[2, 3] * b3)
    w3 = np.float32(KD[3, 0] * b0 + KD[3, 1] * b1 + KD[3, 2] * b2 + KD[3, 3] * b3)
    m = 0
    while path[m] >= 0:
        k = 2 * path[m]
        z[k, w] += A[m, 0] * w0 + A[m, 1] * w1 + A[m, 2] * w2 + A[m, 3] * w3
        z[k + 1, w] += A[m, 4] * w0 + A[m, 5] * w1 + A[m, 6] * w2 + A[m, 7] * w3
        m += 1


@kernel
def _correction(
    o: int,
    n_free: int,
    is_pv: NDArray[np.int8],
    start: FloatArray,
    ends: IndexArray,
    branch: FloatArray,
    dead_from: IndexArray,
    path: IntArray,
    A: SingleArray,
    B: SingleArray,
    KD: FloatArray,
) -> None:
    """K^-1 D of one lane; zero where K is singular."""
    G, K = np.zeros((4, 4)), np.zeros((4, 4))
    m = 0
    while path[m] >= 0:
        for a in range(4):
            for b in range(4):
                G[a, b] += B[m, a] * A[m, b] + B[m, 4 + a] * A[m, 4 + b]
        m += 1
    _block(o, n_free, is_pv, start, ends, branch, KD)
    if dead_from[o + 1] > dead_from[o]:
        # Taken out in full it would leave the dead part without an equation for its angle.
        KD *= _SPLITTING
    for a in range(4):
        for b in range(4):
            total = 1.0 if a == b else 0.0
            for c in range(4):
                total -= KD[a, c] * G[c, b]
            K[a, b] = total
    if not _solve4(K, KD):
        KD[:] = 0.0


@kernel
def _give_back(
    o: int, w: int, n_free: int, ends: IndexArray, branch: FloatArray, s_power: FloatArray, v: FloatArray, demand: FloatArray
) -> None:
    """Add what the missing branch would draw to the injections at its ends."""
    f, t = ends[o, 0], ends[o, 1]
    vf = complex(v[2 * f, w], v[2 * f + 1, w])
    vt = complex(v[2 * t, w], v[2 * t + 1, w])
    y_ff, y_ft = complex(branch[o, 0], branch[o, 1]), complex(branch[o, 2], branch[o, 3])
    y_tf, y_tt = complex(branch[o, 4], branch[o, 5]), complex(branch[o, 6], branch[o, 7])
    if f < n_free:
        s = vf * np.conj(y_ff * vf + y_ft * vt)
        demand[2 * f, w] = s_power[f, 0] + s.real
        demand[2 * f + 1, w] = s_power[f, 1] + s.imag
    if t < n_free:
        s = vt * np.conj(y_tf * vf + y_tt * vt)
        demand[2 * t, w] = s_power[t, 0] + s.real
        demand[2 * t + 1, w] = s_power[t, 1] + s.imag


@kernel
def _block(
    o: int, n_free: int, is_pv: NDArray[np.int8], start: FloatArray, ends: IndexArray, branch: FloatArray, D: FloatArray
) -> None:
    """What the branch contributes to the Jacobian, in (theta_f, u_f, theta_t, u_t); no rows or columns at slacks."""
    for i in range(2):
        a, b = ends[o, i], ends[o, 1 - i]
        va, vb = complex(start[a, 0], start[a, 1]), complex(start[b, 0], start[b, 1])
        own = complex(branch[o, 6 * i], branch[o, 6 * i + 1])
        far = complex(branch[o, 2 + 2 * i], branch[o, 3 + 2 * i])
        s_own, s_far = va * np.conj(own * va), va * np.conj(far * vb)
        s = s_own + s_far
        r, m = 2 * i, 2 - 2 * i
        D[r, r], D[r, r + 1] = s_own.imag - s.imag, s_own.real + s.real
        D[r + 1, r], D[r + 1, r + 1] = s.real - s_own.real, s_own.imag + s.imag
        D[r, m], D[r, m + 1] = s_far.imag, s_far.real
        D[r + 1, m], D[r + 1, m + 1] = -s_far.real, s_far.imag
    for i in range(2):
        p = ends[o, i]
        if p >= n_free:
            D[2 * i : 2 * i + 2, :] = 0.0
            D[:, 2 * i : 2 * i + 2] = 0.0
        elif is_pv[p] != 0:
            D[2 * i + 1, :] = 0.0


@kernel
def _solve4(K: FloatArray, D: FloatArray) -> bool:
    """D := K^-1 D by elimination with row pivots; False where K is singular."""
    for k in range(4):
        p = k
        for i in range(k + 1, 4):
            if abs(K[i, k]) > abs(K[p, k]):
                p = i
        if abs(K[p, k]) < _SINGULAR:
            return False
        for j in range(4):
            K[k, j], K[p, j] = K[p, j], K[k, j]
            D[k, j], D[p, j] = D[p, j], D[k, j]
        for i in range(k + 1, 4):
            factor = K[i, k] / K[k, k]
            for j in range(4):
                K[i, j] -= factor * K[k, j]
                D[i, j] -= factor * D[k, j]
    for k in range(3, -1, -1):
        for j in range(4):
            for i in range(k + 1, 4):
                D[k, j] -= K[k, i] * D[i, j]
            D[k, j] /= K[k, k]
    return True
