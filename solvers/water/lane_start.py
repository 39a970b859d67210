"""The first step of a run from the base case: all scenarios take it from one point, so that one factor serves them all.

At the base case the laws hold. What a scenario is told besides moves a link's residual from 0 to

    r = - sum_m h'_m (s_m - s0_m) - (H_i - H0_i) + (H_j - H0_j)

with the demands s_m that its series has lost before pipe m (reduction.py) and H at nodes of fixed head; p and A are the base
case's. What is left is a right-hand side, a back-substitution and a step: an iteration without laws and without a factor.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solvers.accelerate import part
from solvers.linalg.ldl_lanes import ldl_factor_lanes, ldl_solve_lanes
from solvers.linalg.rows import copied
from solvers.linalg.vector import aligned, f64x8, fma, fnma, larger, load, magnitude, pick, power, store
from solvers.water.folding import fits
from solvers.water.lane_folding import fold_lanes
from solvers.water.lanes import (
    CHANGED,
    ITERATION,
    MISSING,
    MODE,
    MOVING,
    STEPS,
    Lanes,
    assemble_lanes,
    evaluate_lanes,
    evaluate_others,
    load_lane,
    look_anew,
    place_lane,
    regard,
    step_lanes,
)
from solvers.water.laws import FLOOR, LEAST
from solvers.water.plan import LANES, Floats, Index, Laws, Reduction
from solvers.water.state import State


class Tangent(NamedTuple):
    """The base case as the lanes of the reduced network see it, the same in each.

    Args:
        known: (1,) whether it has been learnt.
        fresh: (8,) lanes that are about to begin there.
        status, setting: (n_link,).
        head: (n_node, 8).
        flow, p: (n_link, 8).
        shift, slope: (n_pipe, 8); the slope is h'_m.
        a: (n + n_upper, 8) the factor.
    """

    known: Index
    fresh: Index
    status: Index
    setting: Floats
    head: Floats
    flow: Floats
    p: Floats
    shift: Floats
    slope: Floats
    a: Floats


def tangent(g: Lanes) -> Tangent:
    """Room for the base case of these lanes."""
    n_link, like = len(g.flow), (g.head, g.flow, g.p, g.shift, g.shift, g.a)
    return Tangent(
        np.zeros(1, dtype=np.int64), np.zeros(LANES, dtype=np.int64), np.zeros(n_link, dtype=np.int64), np.zeros(n_link),
        *(aligned(values.shape) for values in like),
    )  # fmt: skip


@part
def learn_base(r: Reduction, g: Lanes, t: Tangent, base: State, setting: Floats) -> None:
    """Evaluate and factor the base case, in lanes that have the network's own resistances."""
    net = r.core
    t.known[0], t.fresh[:] = 0, 0
    if not fits(r, base.status):
        return
    for w in range(LANES):
        place_lane(r, g, base, w)
        load_lane(r, g, base.head, base.status, setting, w)
        for i in range(len(g.asked)):
            g.asked[i, w] = base.demand[i]
    fold_lanes(r, g)
    for w in range(LANES):
        look_anew(g, w)  # what an earlier batch of this worker saw does not tell how many nodes have no source
        regard(net, g, w)
        if g.mark[MODE, w] != MOVING or g.mark[MISSING, w] > 0:
            return
    copied(g.status[0], t.status)
    copied(g.setting[0], t.setting)
    evaluate_lanes(net, g)
    g.tally[STEPS] = 1.0
    assemble_lanes(net, g)
    ldl_factor_lanes(net.up, net.uj, net.target, g.a)
    copied(g.head.ravel(), t.head.ravel())
    copied(g.flow.ravel(), t.flow.ravel())
    copied(g.p.ravel(), t.p.ravel())
    copied(g.shift.ravel(), t.shift.ravel())
    copied(g.a.ravel(), t.a.ravel())
    zero, two, least, floor = f64x8(0.0), f64x8(2.0), f64x8(LEAST), f64x8(FLOOR)
    n, minor = f64x8(net.exponent), net.lane_m.ravel()
    for c in range(len(net.lane_link)):
        q = load(zero, g.flow, net.lane_link[c])
        for x in range(net.lane_first[c], net.lane_first[c + 1]):
            size = magnitude(q - load(zero, g.shift, x)) if x > net.lane_first[c] else magnitude(q)
            slope = n * (load(zero, g.resistance, x) * power(larger(size, least), net.exponent - 1.0))
            store(t.slope, x, fma(two * f64x8(minor[x]), size, pick(slope, floor, floor / n, slope)))
    t.known[0] = 1


@part
def begins_there(net: Laws, g: Lanes, t: Tangent, w: int) -> bool:
    """Whether lane w, which is placed where the base case is, differs from it in demands and fixed heads alone."""
    if t.known[0] == 0:
        return False
    other = 0
    for k in range(len(t.status)):
        other += g.status[w, k] != t.status[k]
    for k in net.single:
        same = g.setting[w, k] == t.setting[k] or (np.isnan(g.setting[w, k]) and np.isnan(t.setting[k]))
        other += not same
    return other == 0


@part
def start_lanes(net: Laws, g: Lanes, t: Tangent) -> None:
    """Take the first step in the lanes that begin at the base case."""
    zero, some = f64x8(0.0), 0
    for w in range(LANES):
        if t.fresh[w] != 0 and g.mark[CHANGED, w] > 0:
            regard(net, g, w)
        fresh = t.fresh[w] != 0 and g.mark[MODE, w] == MOVING
        g.tally[STEPS, w], t.fresh[w] = 1.0 if fresh else 0.0, 0
        some += fresh
    if some == 0:
        return
    c = 0
    for k in range(len(net.kind)):
        i, j = net.start[k], net.end[k]
        r = zero
        if c < len(net.lane_link) and net.lane_link[c] == k:
            for x in range(net.lane_first[c] + 1, net.lane_first[c + 1]):
                r = fnma(load(zero, t.slope, x), load(zero, g.shift, x) - load(zero, t.shift, x), r)
            c += 1
        if net.row[i] < 0:
            r = r - (load(zero, g.head, i) - load(zero, t.head, i))
        if net.row[j] < 0:
            r = r + (load(zero, g.head, j) - load(zero, t.head, j))
        p = load(zero, t.p, k)
        store(g.p, k, p)
        store(g.ahead, k, fnma(p, r, load(zero, t.flow, k)))
    for w in range(LANES):
        if g.tally[STEPS, w] > 0.0:
            g.mark[ITERATION, w] += 1
            evaluate_others(net, g, w)
    assemble_lanes(net, g)
    ldl_solve_lanes(net.up, net.uj, t.a, g.f)
    step_lanes(net, g)
