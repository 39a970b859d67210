"""Load flow of many branch outages at once: the base case's factor, corrected by rank four, in sixteen lanes.

An outage takes one branch between f and t away. Its equations are the base case's with what the branch draws added to
the injections of f and t,

    s - S(V) + S_branch(V) = 0,

so one admittance matrix serves all lanes. Its Jacobian is J0 - E D E', E picking (theta, u) of f and t and D the 4x4
block that the branch contributes; with y = J0^-1 r (Woodbury)

    x = J0^-1 (r + E w),    w = K^-1 D E' y,    K = I - D E' J0^-1 E.

D is that of the base case: the step needs only to point the right way, the mismatch is exact (chord.py). Where an outage
splits the network, K would be singular: there a hundredth of D is left in, and the rows of the part without source are
masked, so that it follows without pulling.

Reference: O. Alsac, B. Stott, W. F. Tinney, "Sparsity-oriented compensation methods for modified network solutions",
IEEE Trans. PAS 102 (1983).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.accelerate import kernel
from solvers.linalg.vector import f32x16, f64x16, larger, load, magnitude, narrow, store, widen
from solvers.power.chord import LANES, FloatArray, IntArray, SingleArray, mismatch_lanes, rotate_lanes, substitute_lanes

IndexArray = NDArray[np.int64]
_SINGULAR = 1e-7
_SPLITTING = 0.99


@kernel
def outages(
    begin: int,
    end: int,
    is_pv: NDArray[np.int8],
    ptr: IntArray,
    col: IntArray,
    up: IntArray,
    uj: IntArray,
    y: FloatArray,
    lower: SingleArray,
    upper: SingleArray,
    start: FloatArray,
    s_power: FloatArray,
    s_current: FloatArray,
    ends: IndexArray,
    branch: FloatArray,
    dead_from: IndexArray,
    dead: IndexArray,
    v: FloatArray,
    demand: FloatArray,
    residual: SingleArray,
    kept: SingleArray,
    alive: FloatArray,
    lane: FloatArray,
    small: FloatArray,
    iterations: IntArray,
    mismatch: FloatArray,
    tolerance: float,
    max_iterations: int,
) -> None:
    """Solve the groups begin .. end - 1 of sixteen outages each.

    Args:
        begin: first group.
        end: group after the last.
        is_pv: of the `Plan`.
        ptr: of the `Plan`.
        col: of the `Plan`.
        up: of its `Symbolic`.
        uj: of its `Symbolic`.
        y: of the `Factor`, all branches in.
        lower: of the `Base`.
        upper: of the `Base`.
        start: (n_bus, 2) the base case, by position.
        s_power: (n_free, 2) by position.
        s_current: (n_free, 2) by position.
        ends: (n_outage, 2) positions f, t.
        branch: (n_outage, 8) y_ff, y_ft, y_tf, y_tt as real and imaginary parts.
        dead_from: (n_outage + 1,) where each outage's part of `dead` begins.
        dead: free positions that lose their source.
        v: (n_group, 2 n_bus, 16) receives the voltages.
        demand: (2 n_free, 16) scratch.
        residual: (2 n_free, 16) scratch.
        kept: (2 n_free, 16) scratch.
        alive: (n_free, 16) scratch.
        lane: (3, 16) scratch.
        small: (16 + 16 + 4 + 4, 16) scratch: E' J0^-1 E, then K^-1 D; E' y; w.
        iterations: (n_outage,) receives the iterations, -1 where it did not converge.
        mismatch: (n_outage,) receives the largest mismatch left [pu].
        tolerance: largest mismatch accepted [pu].
        max_iterations: of each lane.
    """
    n_outage, n_free = len(ends), len(is_pv)
    for group in range(begin, end):
        first = group * LANES
        here = v[group]
        for i in range(len(start)):
            store(here, 2 * i, f64x16(start[i, 0]))
            store(here, 2 * i + 1, f64x16(start[i, 1]))
        splits = False
        for w in range(LANES):
            o = min(first + w, n_outage - 1)
            lane[0, w] = 1.0
            splits = splits or dead_from[o + 1] > dead_from[o]
        if splits:
            alive[:] = 1.0
            for w in range(LANES):
                o = min(first + w, n_outage - 1)
                for d in range(dead_from[o], dead_from[o + 1]):
                    alive[dead[d], w] = 0.0
        for i in range(n_free):
            store(demand, 2 * i, f64x16(s_power[i, 0]))
            store(demand, 2 * i + 1, f64x16(s_power[i, 1]))
        _correction(first, n_outage, n_free, is_pv, up, uj, lower, upper, start, ends, branch, dead_from, residual, small)
        moving = LANES
        for iteration in range(max_iterations + 1):
            for w in range(LANES):
                if lane[0, w] != 0.0:
                    _give_back(min(first + w, n_outage - 1), w, n_free, ends, branch, s_power, here, demand)
            mismatch_lanes(is_pv, ptr, col, y, s_current, here, demand, residual, lane)
            if splits:
                _mask(alive, residual, lane)
            for w in range(LANES):
                if lane[0, w] != 0.0:
                    sound = np.isfinite(lane[2, w])
                    done = sound and lane[1, w] <= tolerance
                    if done or not sound or iteration == max_iterations:
                        lane[0, w] = 0.0
                        moving -= 1
                        if first + w < n_outage:
                            iterations[first + w] = iteration if done else -1
                            mismatch[first + w] = lane[1, w] if sound else np.nan
            if moving == 0:
                break
            kept[:] = residual
            substitute_lanes(up, uj, lower, upper, residual)
            if _weights(first, n_outage, n_free, ends, residual, kept, small):
                residual[:] = kept
                substitute_lanes(up, uj, lower, upper, residual)
            rotate_lanes(residual, lane, here)


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
def _mask(alive: FloatArray, residual: SingleArray, lane: FloatArray) -> None:
    """Rows of the part without source are no equations; the mismatch is that of the others.

    A float32 still has seven figures of a mismatch, whatever its size.
    """
    like = f32x16(0.0)
    largest = f64x16(0.0)
    total = f64x16(0.0)
    for i in range(len(alive)):
        lives = narrow(load(f64x16(0.0), alive, i))
        for r in range(2 * i, 2 * i + 2):
            x = load(like, residual, r) * lives
            store(residual, r, x)
            size = magnitude(widen(x))
            largest = larger(size, largest)
            total = total + size
    store(lane, 1, largest)
    store(lane, 2, total)


@kernel
def _weights(
    first: int, n_outage: int, n_free: int, ends: IndexArray, y: SingleArray, kept: SingleArray, small: FloatArray
) -> bool:
    """Add E w to the right-hand side; tell whether any lane has a correction."""
    some = False
    for w in range(LANES):
        o = min(first + w, n_outage - 1)
        for a in range(4):
            p = ends[o, a // 2]
            small[32 + a, w] = y[2 * p + a % 2, w] if p < n_free else 0.0
        for a in range(4):
            total = 0.0
            for b in range(4):
                total += small[16 + 4 * a + b, w] * small[32 + b, w]
            p = ends[o, a // 2]
            if p < n_free and total != 0.0:
                kept[2 * p + a % 2, w] += np.float32(total)
                some = True
    return some


@kernel
def _correction(
    first: int,
    n_outage: int,
    n_free: int,
    is_pv: NDArray[np.int8],
    up: IntArray,
    uj: IntArray,
    lower: SingleArray,
    upper: SingleArray,
    start: FloatArray,
    ends: IndexArray,
    branch: FloatArray,
    dead_from: IndexArray,
    x: SingleArray,
    small: FloatArray,
) -> None:
    """K^-1 D of each lane into rows 16 .. 31 of `small`; zero where K is singular."""
    for c in range(4):
        x[:] = np.float32(0.0)
        for w in range(LANES):
            p = ends[min(first + w, n_outage - 1), c // 2]
            if p < n_free:
                x[2 * p + c % 2, w] = np.float32(1.0)
        substitute_lanes(up, uj, lower, upper, x)
        for w in range(LANES):
            for a in range(4):
                p = ends[min(first + w, n_outage - 1), a // 2]
                small[4 * a + c, w] = x[2 * p + a % 2, w] if p < n_free else 0.0
    K, D = np.zeros((4, 4)), np.zeros((4, 4))
    for w in range(LANES):
        o = min(first + w, n_outage - 1)
        small[16:32, w] = 0.0
        _block(o, n_free, is_pv, start, ends, branch, D)
        if dead_from[o + 1] > dead_from[o]:
            # Taken out in full it would leave the dead part without an equation for its angle.
            D *= _SPLITTING
        for a in range(4):
            for b in range(4):
                total = 1.0 if a == b else 0.0
                for c in range(4):
                    total -= D[a, c] * small[4 * c + b, w]
                K[a, b] = total
        if _solve4(K, D):
            for a in range(4):
                for b in range(4):
                    small[16 + 4 * a + b, w] = D[a, b]


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
