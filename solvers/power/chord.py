"""Load flow of many injections over one topology: Newton's method with one Jacobian for all (the chord method).

Unknowns, equations and signs as in `newton.py`. With the factor LU = J(V0) of a base case V0, every scenario iterates

    J(V0) (d theta, d u) = s - S(V),     V := V (1 + du) (1 + j dtheta/2) / (1 - j dtheta/2)

The mismatch is computed in float64, so the answer is as exact as Newton's; the step needs only to point the right way,
so the factor is kept in float32, half the memory to stream. Convergence is linear, at a rate of about how far the
scenario's Jacobian is from the base case's, and each iteration reads factor and admittances once for sixteen lanes. A
lane below the tolerance is frozen: its step is multiplied by zero, so its bits do not depend on its neighbours. A lane
that does not converge is left to the caller.

Layout: voltages (2 n_bus, 16) with rows e_0, f_0, e_1, f_1 ..., injections and residuals (2 n_free, 16) with rows
P_0, Q_0, P_1 ...; buses by position of the `Plan`.

Reference: J. E. Tate, T. J. Overbye, "A comparison of the optimal multiplier in polar and rectangular coordinates"
(2005) for the role of the mismatch; L. V. Kantorovich, "Functional analysis and applied mathematics" (1948), ch. 2, for
the modified Newton process.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.accelerate import kernel
from solvers.linalg.vector import (
    Vector,
    f32x16,
    f64x16,
    fma,
    fnma,
    larger,
    load,
    magnitude,
    narrow,
    root,
    store,
    widen,
)

LANES = 16

FloatArray = NDArray[np.float64]
SingleArray = NDArray[np.float32]
IntArray = NDArray[np.int32]


@kernel
def chord(
    begin: int,
    end: int,
    bus: NDArray[np.int64],
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
    v: FloatArray,
    demand: FloatArray,
    residual: SingleArray,
    lane: FloatArray,
    iterations: IntArray,
    mismatch: FloatArray,
    tolerance: float,
    max_iterations: int,
) -> None:
    """Solve the groups begin .. end - 1 of sixteen scenarios each.

    Args:
        begin: first group.
        end: group after the last.
        bus: (n_bus,) model bus at each position.
        is_pv: of the `Plan`.
        ptr: of the `Plan`.
        col: of the `Plan`.
        up: of its `Symbolic`.
        uj: of its `Symbolic`.
        y: (nnz + n_bus, 2) of the `Factor`.
        lower: (4 n_upper,) blocks of L in the order of the forward substitution.
        upper: (4 (n_free + n_upper),) for each row from the last, its blocks of U, then its inverted pivot.
        start: (n_bus, 2) e, f where every lane begins, by position.
        s_power: (n_scenario, 2 n_bus) P, Q of each model bus [pu].
        s_current: (n_free, 2) injection proportional to |V|, by position [pu].
        v: (n_group, 2 n_bus, 16) receives the voltages.
        demand: (2 n_free, 16) scratch.
        residual: (2 n_free, 16) scratch.
        lane: (3, 16) scratch: whether each lane moves, its largest and its summed residual.
        iterations: (n_scenario,) receives the iterations spent, -1 where it did not converge.
        mismatch: (n_scenario,) receives the largest mismatch left [pu].
        tolerance: largest mismatch accepted [pu].
        max_iterations: of each lane.
    """
    n_scenario = len(s_power)
    for group in range(begin, end):
        first = group * LANES
        here = v[group]
        for i in range(len(start)):
            store(here, 2 * i, f64x16(start[i, 0]))
            store(here, 2 * i + 1, f64x16(start[i, 1]))
        for w in range(LANES):
            # The last group is filled up with copies of its last scenario.
            own = s_power[min(first + w, n_scenario - 1)]
            for i in range(len(is_pv)):
                demand[2 * i, w] = own[2 * bus[i]]
                demand[2 * i + 1, w] = own[2 * bus[i] + 1]
            lane[0, w] = 1.0
        moving = LANES
        for iteration in range(max_iterations + 1):
            mismatch_lanes(is_pv, ptr, col, y, s_current, here, demand, residual, lane)
            for w in range(LANES):
                if lane[0, w] != 0.0:
                    sound = np.isfinite(lane[2, w])
                    done = sound and lane[1, w] <= tolerance
                    if done or not sound or iteration == max_iterations:
                        lane[0, w] = 0.0
                        moving -= 1
                        if first + w < n_scenario:
                            iterations[first + w] = iteration if done else -1
                            mismatch[first + w] = lane[1, w] if sound else np.nan
            if moving == 0:
                break
            substitute_lanes(up, uj, lower, upper, residual)
            rotate_lanes(residual, lane, here)


@kernel
def mismatch_lanes(
    is_pv: NDArray[np.int8],
    ptr: IntArray,
    col: IntArray,
    y: FloatArray,
    s_current: FloatArray,
    v: FloatArray,
    demand: FloatArray,
    residual: SingleArray,
    lane: FloatArray,
) -> None:
    """What each bus still lacks, in float32; its largest and summed magnitude per lane, in float64."""
    nnz = len(col)
    zero = f64x16(0.0)
    largest, total = zero, zero
    for i in range(len(is_pv)):
        e, f = load(zero, v, 2 * i), load(zero, v, 2 * i + 1)
        g, b = f64x16(y[nnz + i, 0]), f64x16(y[nnz + i, 1])
        i_re, i_im = fnma(b, f, g * e), fma(b, e, g * f)
        for x in range(ptr[i], ptr[i + 1]):
            k = 2 * col[x]
            e_k, f_k = load(zero, v, k), load(zero, v, k + 1)
            g, b = f64x16(y[x, 0]), f64x16(y[x, 1])
            i_re, i_im = fnma(b, f_k, fma(g, e_k, i_re)), fma(b, e_k, fma(g, f_k, i_im))
        p = fnma(f, i_im, fnma(e, i_re, load(zero, demand, 2 * i)))
        q = fma(e, i_im, fnma(f, i_re, load(zero, demand, 2 * i + 1)))
        if s_current[i, 0] != 0.0 or s_current[i, 1] != 0.0:
            vm = root(fma(e, e, f * f))
            p, q = fma(f64x16(s_current[i, 0]), vm, p), fma(f64x16(s_current[i, 1]), vm, q)
        if is_pv[i] != 0:
            q = zero
        store(residual, 2 * i, narrow(p))
        store(residual, 2 * i + 1, narrow(q))
        p, q = magnitude(p), magnitude(q)
        largest = larger(larger(p, q), largest)
        total = total + (p + q)  # the largest ignores nan, a sum does not
    store(lane, 1, largest)
    store(lane, 2, total)


@kernel
def substitute_lanes(up: IntArray, uj: IntArray, lower: SingleArray, upper: SingleArray, x: SingleArray) -> None:
    """Solve L U x = x in place, factor entries once for all lanes, in the order in which they stand."""
    n = len(up) - 1
    like = f32x16(0.0)
    q = 0
    for k in range(n):
        a, b = load(like, x, 2 * k), load(like, x, 2 * k + 1)
        for entry in range(up[k], up[k + 1]):
            j = 2 * uj[entry]
            store(x, j, fnma(f32x16(lower[q + 1]), b, fnma(f32x16(lower[q]), a, load(like, x, j))))
            store(x, j + 1, fnma(f32x16(lower[q + 3]), b, fnma(f32x16(lower[q + 2]), a, load(like, x, j + 1))))
            q += 4
    q = 0
    for k in range(n - 1, -1, -1):
        a, b = load(like, x, 2 * k), load(like, x, 2 * k + 1)
        for entry in range(up[k], up[k + 1]):
            j = 2 * uj[entry]
            c, d = load(like, x, j), load(like, x, j + 1)
            a = fnma(f32x16(upper[q + 1]), d, fnma(f32x16(upper[q]), c, a))
            b = fnma(f32x16(upper[q + 3]), d, fnma(f32x16(upper[q + 2]), c, b))
            q += 4
        store(x, 2 * k, fma(f32x16(upper[q + 1]), b, f32x16(upper[q]) * a))
        store(x, 2 * k + 1, fma(f32x16(upper[q + 3]), b, f32x16(upper[q + 2]) * a))
        q += 4


@kernel
def rotate_lanes(step: SingleArray, lane: FloatArray, v: FloatArray) -> None:
    """Apply the step to the lanes that move; a frozen lane is multiplied by exactly 1."""
    zero = f64x16(0.0)
    one = f64x16(1.0)
    moves = load(zero, lane, 0)
    half: Vector = moves * f64x16(0.5)
    for i in range(len(step) // 2):
        t = widen(load(f32x16(0.0), step, 2 * i)) * half
        growth = fma(widen(load(f32x16(0.0), step, 2 * i + 1)), moves, one)
        square = t * t
        scale = growth / (one + square)
        cos, sin = (one - square) * scale, (t + t) * scale
        e, f = load(zero, v, 2 * i), load(zero, v, 2 * i + 1)
        store(v, 2 * i, fnma(sin, f, cos * e))
        store(v, 2 * i + 1, fma(sin, e, cos * f))
