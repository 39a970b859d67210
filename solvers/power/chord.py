"""Load flow of many injections over one topology: Newton's method with one Jacobian for all (the chord method).

Unknowns, equations and signs as in `newton.py`. With the factor LU = J(V0) of a base case V0, every scenario iterates

    J(V0) (d theta, d u) = s - S(V),     V := V (1 + du) (1 - dtheta^2 / 2 + j dtheta)

The mismatch is computed in float64, so the answer is as exact as Newton's; the step needs only to point the right way,
so the factor is kept in float32, half the memory to stream. Convergence is linear, at a rate of about how far the
scenario's Jacobian is from the base case's, and each iteration reads factor and admittances once for sixteen lanes. A
lane below the tolerance is frozen: its step is multiplied by zero, so its bits do not depend on its neighbours. A lane
that does not converge is left to the caller. What is solved is the network without passive buses (passive.py).

One iteration is two sweeps over the buses. Forward, `eliminate_lanes`: the mismatch of a bus, from which its row of L at
once takes the buses before it. Backward, `return_lanes`: the step of a bus, by which it is turned at once. The first
mismatch needs no admittances, since every lane starts from the same voltages: it is s - S(V0).

The rotation is exact to the third power of the angle and leaves |V| alone to the fourth. The second row of a PV bus reads
(1 - |V|^2 / V_set^2) / 2 = du, so that what a large step leaves there is taken back by the next.

Layout: voltages (2 n_bus, 16) with rows e_0, f_0, e_1, f_1 ..., injections and residuals (2 n_free, 16) with rows
P_0, Q_0, P_1 ...; buses by position of the core's `Plan`.

Reference: L. V. Kantorovich, "Functional analysis and applied mathematics" (1948), ch. 2, for the modified Newton process.
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
from solvers.power.passive import follow_lanes
from solvers.power.regroup import GIVEN_UP, LANES, IndexArray

TILE = 32  # columns of injections that are turned into lanes at once: their reads are long enough to be fetched ahead

FloatArray = NDArray[np.float64]
SingleArray = NDArray[np.float32]
IntArray = NDArray[np.int32]


@kernel
def chord(
    which: IndexArray,
    is_pv: NDArray[np.int8],
    ptr: IntArray,
    col: IntArray,
    up: IntArray,
    uj: IntArray,
    lp: IntArray,
    lj: IntArray,
    y: FloatArray,
    lower: SingleArray,
    upper: SingleArray,
    start: FloatArray,
    drawn: FloatArray,
    fixed: FloatArray,
    s_current: FloatArray,
    row: IndexArray,
    given: FloatArray,
    v: FloatArray,
    demand: FloatArray,
    residual: SingleArray,
    lane: FloatArray,
    tile: FloatArray,
    passive_ptr: IntArray,
    passive_col: IntArray,
    weight: FloatArray,
    spent: IntArray,
    iterations: IntArray,
    mismatch: FloatArray,
    tolerance: float,
    max_iterations: int,
) -> None:
    """Solve lanes in groups of sixteen.

    Args:
        which: (n_lane,) the scenario in each lane; the last group is filled up with its last one.
        is_pv: of the `Plan`.
        ptr: of the `Plan`.
        col: of the `Plan`.
        up: of its `Symbolic`.
        uj: of its `Symbolic`.
        lp: (n_free + 1,) rows of L.
        lj: (n_upper,) their columns, ascending.
        y: (nnz + n_bus, 2) of the `Factor`.
        lower: (4 n_upper,) blocks of L by rows.
        upper: (4 (n_free + n_upper),) for each row from the last, its blocks of U, then its inverted pivot.
        start: (n_bus, 2) e, f where every lane begins, by position.
        drawn: (n_free, 2) what network and voltage-dependent injections draw at `start` [pu].
        fixed: (n_free, 2) injections that all scenarios have, by position [pu].
        s_current: (n_free, 2) injection proportional to |V|, by position [pu].
        row: (n_column,) free position at which a column of `given` is injected too; -1 for none.
        given: (n_scenario, 2 n_column) P, Q of each column [pu].
        v: (n_group, 2 n_bus, 16) of these lanes; receives the voltages, those of passive buses last.
        demand: (2 n_free, 16) scratch.
        residual: (2 n_free, 16) scratch.
        lane: (3, 16) scratch: whether each lane moves, its largest and its summed residual.
        tile: (2 TILE, 16) scratch.
        passive_ptr: `ptr` of the `Core`.
        passive_col: `col` of the `Core`.
        weight: of the `Core`.
        spent: (n_scenario,) zero.
        iterations: (n_scenario,) receives the iterations spent, or GIVEN_UP.
        mismatch: (n_scenario,) receives the largest mismatch left [pu].
        tolerance: largest mismatch accepted [pu].
        max_iterations: of each lane.
    """
    for group in range(len(v)):
        first = group * LANES
        here = v[group]
        spread_lanes(start, here)
        spread_lanes(fixed, demand)
        _inject(first, which, row, given, demand, tile)
        lane[0, :] = 1.0
        passed = 0
        while True:
            eliminate_lanes(
                is_pv, ptr, col, lp, lj, y, lower, start, drawn, s_current, here, demand, residual, lane,
                passed == 0, tile, False,
            )  # fmt: skip
            if not any_moves(first, which, passed, 0, lane, spent, iterations, mismatch, tolerance, max_iterations):
                break
            return_lanes(up, uj, upper, residual, lane, here)
            passed += 1
        follow_lanes(len(start), passive_ptr, passive_col, weight, here)


@kernel
def any_moves(
    first: int,
    which: IndexArray,
    passed: int,
    few: int,
    lane: FloatArray,
    spent: IntArray,
    iterations: IntArray,
    mismatch: FloatArray,
    tolerance: float,
    max_iterations: int,
) -> bool:
    """Freeze the lanes of a group that are done, and tell whether to go on; if not, note what is left as unfinished."""
    moving = 0
    for w in range(LANES):
        if lane[0, w] != 0.0:
            o = which[min(first + w, len(which) - 1)]
            sound = np.isfinite(lane[2, w])
            done = sound and lane[1, w] <= tolerance
            if done or not sound or spent[o] + passed >= max_iterations:
                lane[0, w] = 0.0
                if first + w < len(which):
                    iterations[o] = spent[o] + passed if done else GIVEN_UP
                    mismatch[o] = lane[1, w] if sound else np.nan
            elif first + w < len(which):
                moving += 1
    if passed > 0 and 0 < moving <= few:  # the first mismatch is made in another way than those of lanes that go on
        for w in range(min(LANES, len(which) - first)):
            if lane[0, w] != 0.0:
                spent[which[first + w]] += passed
        return False
    return moving > 0


@kernel
def spread_lanes(pairs: FloatArray, out: FloatArray) -> None:
    """The same (n, 2) pairs in every lane of (2 n, 16)."""
    for i in range(len(pairs)):
        store(out, 2 * i, f64x16(pairs[i, 0]))
        store(out, 2 * i + 1, f64x16(pairs[i, 1]))


@kernel
def _inject(first: int, which: IndexArray, row: IndexArray, given: FloatArray, demand: FloatArray, tile: FloatArray) -> None:
    """Add each scenario's own injections, a tile of columns at a time."""
    zero = f64x16(0.0)
    n, last = len(row), len(which) - 1
    for begin in range(0, n, TILE):
        width = min(TILE, n - begin)
        for w in range(LANES):
            own = given[which[min(first + w, last)], 2 * begin : 2 * (begin + width)]
            for c in range(len(own)):
                tile[c, w] = own[c]
        for c in range(width):
            i = row[begin + c]
            if i >= 0:
                store(demand, 2 * i, load(zero, demand, 2 * i) + load(zero, tile, 2 * c))
                store(demand, 2 * i + 1, load(zero, demand, 2 * i + 1) + load(zero, tile, 2 * c + 1))


@kernel
def eliminate_lanes(
    is_pv: NDArray[np.int8],
    ptr: IntArray,
    col: IntArray,
    lp: IntArray,
    lj: IntArray,
    y: FloatArray,
    lower: SingleArray,
    start: FloatArray,
    drawn: FloatArray,
    s_current: FloatArray,
    v: FloatArray,
    demand: FloatArray,
    residual: SingleArray,
    lane: FloatArray,
    at_start: bool,
    alive: FloatArray,
    masked: bool,
) -> None:
    """Put L^-1 (s - S(V)) into `residual`, the largest and summed s - S(V) of each lane into rows 1 and 2 of `lane`.

    Where `masked`, rows are multiplied by `alive`: what has no source has no equation. A float32 has seven figures of a
    mismatch, whatever its size. The largest ignores nan, the sum does not.
    """
    nnz = len(col)
    zero, single = f64x16(0.0), f32x16(0.0)
    largest, total = single, single
    for i in range(len(is_pv)):
        if at_start:
            p = load(zero, demand, 2 * i) - f64x16(drawn[i, 0])
            q = load(zero, demand, 2 * i + 1) - f64x16(drawn[i, 1])
            if is_pv[i] != 0:
                q = zero
        else:
            e, f = load(zero, v, 2 * i), load(zero, v, 2 * i + 1)
            g, b = f64x16(y[nnz + i, 0]), f64x16(y[nnz + i, 1])
            i_re, i_im = g * e, g * f
            j_re, j_im = b * f, b * e  # a second pair of sums, so that each waits less for the one before
            for x in range(ptr[i], ptr[i + 1]):
                k = 2 * col[x]
                e_k, f_k = load(zero, v, k), load(zero, v, k + 1)
                g, b = f64x16(y[x, 0]), f64x16(y[x, 1])
                i_re, i_im = fma(g, e_k, i_re), fma(g, f_k, i_im)
                j_re, j_im = fma(b, f_k, j_re), fma(b, e_k, j_im)
            i_re, i_im = i_re - j_re, i_im + j_im
            p = fnma(f, i_im, fnma(e, i_re, load(zero, demand, 2 * i)))
            square = fma(e, e, f * f)
            if s_current[i, 0] != 0.0 or s_current[i, 1] != 0.0:
                p = fma(f64x16(s_current[i, 0]), root(square), p)
            if is_pv[i] != 0:
                q = fnma(f64x16(0.5 / (start[i, 0] * start[i, 0] + start[i, 1] * start[i, 1])), square, f64x16(0.5))
            else:
                q = fma(e, i_im, fnma(f, i_re, load(zero, demand, 2 * i + 1)))
                if s_current[i, 0] != 0.0 or s_current[i, 1] != 0.0:
                    q = fma(f64x16(s_current[i, 1]), root(square), q)
        if masked:
            p, q = p * load(zero, alive, i), q * load(zero, alive, i)
        r, t = narrow(p), narrow(q)
        largest = larger(larger(magnitude(r), magnitude(t)), largest)
        total = total + (magnitude(r) + magnitude(t))
        for entry in range(lp[i], lp[i + 1]):
            j, at = 2 * lj[entry], 4 * entry
            c, d = load(single, residual, j), load(single, residual, j + 1)
            r = fnma(f32x16(lower[at + 1]), d, fnma(f32x16(lower[at]), c, r))
            t = fnma(f32x16(lower[at + 3]), d, fnma(f32x16(lower[at + 2]), c, t))
        store(residual, 2 * i, r)
        store(residual, 2 * i + 1, t)
    store(lane, 1, widen(largest))
    store(lane, 2, widen(total))


@kernel
def return_lanes(
    up: IntArray, uj: IntArray, upper: SingleArray, residual: SingleArray, lane: FloatArray, v: FloatArray
) -> None:
    """The step U^-1 residual, and V turned by it in the lanes that move; a frozen lane is multiplied by exactly 1."""
    zero, single = f64x16(0.0), f32x16(0.0)
    one, half = f64x16(1.0), f64x16(0.5)
    moves: Vector = load(zero, lane, 0)
    at = 0
    for k in range(len(up) - 2, -1, -1):
        a, b = load(single, residual, 2 * k), load(single, residual, 2 * k + 1)
        for entry in range(up[k], up[k + 1]):
            j = 2 * uj[entry]
            c, d = load(single, residual, j), load(single, residual, j + 1)
            a = fnma(f32x16(upper[at + 1]), d, fnma(f32x16(upper[at]), c, a))
            b = fnma(f32x16(upper[at + 3]), d, fnma(f32x16(upper[at + 2]), c, b))
            at += 4
        angle = fma(f32x16(upper[at + 1]), b, f32x16(upper[at]) * a)
        growth = fma(f32x16(upper[at + 3]), b, f32x16(upper[at + 2]) * a)
        at += 4
        store(residual, 2 * k, angle)
        store(residual, 2 * k + 1, growth)
        t = widen(angle) * moves
        scale = fma(widen(growth), moves, one)
        cos, sin = fnma(half * t, t, one) * scale, t * scale
        e, f = load(zero, v, 2 * k), load(zero, v, 2 * k + 1)
        store(v, 2 * k, fnma(sin, f, cos * e))
        store(v, 2 * k + 1, fma(sin, e, cos * f))
