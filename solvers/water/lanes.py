"""Eight balances of one network at once, each in a lane of a vector: what `balance` does, with its letters and its rules.

A lane has demands, heads of sources, statuses, settings and resistances of its own; pattern, order and laws are shared, so
that the factor's lists are read once for eight. Links of pipes and all of the linear algebra run in vectors; pumps, valves and
statuses are few, and asked lane by lane with the same functions as in `gradient.py`. Instead of the residual r each link keeps
the flow that Newton's step would give it at fixed heads,

    s = q - p r,      A dH = -d + sum_in s - sum_out s,      q := s + p (dH_i - dH_j)

No operation crosses from one lane to another: a lane's bits depend on what it was told alone. One that has come to rest waits
without moving; one that finds no rest soon is left to `balance`, which knows more ways: valves that answer within a step, all
links judged once flows have nearly settled, statuses one by one, damping, rounding.

A part without source (supply.py) in which nobody draws stands still: its nodes keep their heads, its links are as if shut. A
state in which somebody draws there goes the scalar way, and so do networks with openings, with demands that depend on pressure,
or with friction factors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy import uint64

from solvers.accelerate import part
from solvers.lending import borrowed
from solvers.linalg.ldl_lanes import ldl_factor_lanes, ldl_solve_lanes
from solvers.linalg.vector import aligned, f64x8, fma, fnma, larger, load, magnitude, pick, power, store
from solvers.water.gradient import HEAD_ERROR, MASS_ERROR, judge
from solvers.water.laws import FLOOR, LEAST, TINY, link_law
from solvers.water.plan import (
    ACTIVE,
    CLOSED,
    CONSTANT_POWER,
    FCV,
    LANES,
    POWER_LAW,
    PRV,
    PSV,
    PUMP,
    Floats,
    Index,
    Laws,
    Reduction,
    WaterPlan,
)
from solvers.water.state import State, begin_link
from solvers.water.supply import Parts, find_parts, no_parts

TRIALS_IN_LANES = 25
IDLE, MOVING, RESTING, LEFT = range(4)  # modes of a lane
# Rows of `tally`: 1.0 in lanes that step; largest head and mass residual; sums of flow corrections and of flows; the sum of
# demands; by how much a consumer lacks pressure at most; more than 0 where demands have other signs than when parts were found.
STEPS, _HEAD, MASS, _MOVED, _TOTAL, DRAWN, LACKING, OTHER = range(8)
# Rows of `mark`: mode, iterations, whether statuses have changed, nodes that are held, nodes without source.
MODE, ITERATION, CHANGED, _HELD, MISSING = range(5)


class Lanes(NamedTuple):
    """Work space of eight balances.

    Args:
        begin: (n_node + 1,) where each node's links begin in `incident`.
        incident: links.
        turn: 1.0 where one ends in the node, -1.0 where it starts there.
        link_of: (n_link,) where each begins in the whole network.
        turn_of: (n_link,) -1.0 where that one points the other way.
        fixed: nodes of fixed head.
        valves: PRVs and PSVs.
        powered: whether a pump of constant power is among the links.
        head, demand: (n_node, 8).
        sign: (n_node, 8) of the demands with which parts were found.
        flow, p, ahead, opened: (n_link, 8); `ahead` is s, `opened` 0.0 where shut.
        lift, rate: (n_link, 8) of pumps with a power law: what they lift at rest at their speed, and what flow takes from it.
        alone: links whose law is asked lane by lane.
        resistance, shift, loss: (n_pipe, 8) by pipe of the links in lanes.
        a: (n + n_upper, 8), f: (n, 8) of the factor.
        tally: (8, 8) of the lanes.
        mark: (5, 8) of the lanes.
        setting, status, seen: (8, n_link).
        parts: (8, ...) by statuses as `seen`.
        held, holder: (8, n_node) nodes whose dH is known, and the valves that hold them, -1 where it is 0.
        flips: (n_link,) no one's.
        one_head, one_demand: (n_node,) of the lane that is looked at.
        one_flow: (n_link,) likewise.
        asked, gathered, whole_head: (n_whole_node, 8) demands, those with the trees' that hang on a node, and heads, of the
            network with its trees and series.
        whole_flow: (n_whole_link, 8) likewise.
        tree_q, tree_r, tree_m, tree_h, tree_g: (n_tree, 8) of the trees' pipes.
    """

    begin: Index
    incident: Index
    turn: Floats
    link_of: Index
    turn_of: Floats
    fixed: Index
    valves: Index
    powered: bool
    head: Floats
    demand: Floats
    sign: Floats
    flow: Floats
    p: Floats
    ahead: Floats
    opened: Floats
    lift: Floats
    rate: Floats
    alone: Index
    resistance: Floats
    shift: Floats
    loss: Floats
    a: Floats
    f: Floats
    tally: Floats
    mark: Index
    setting: Floats
    status: Index
    seen: Index
    parts: Parts
    held: Index
    holder: Index
    flips: Index
    one_head: Floats
    one_demand: Floats
    one_flow: Floats
    asked: Floats
    gathered: Floats
    whole_head: Floats
    whole_flow: Floats
    tree_q: Floats
    tree_r: Floats
    tree_m: Floats
    tree_h: Floats
    tree_g: Floats


def fit_lanes(net: Laws) -> bool:
    """Whether the lanes know all that a network has."""
    return net.exponent > 0.0 and net.pressure[0] == 0.0 and len(net.out_node) == 0


def lanes(plan: WaterPlan) -> Lanes:
    """Room for eight balances of a network without its trees and series."""
    net, tree = plan.reduction.core, plan.reduction.graph.tree_pipe
    n_node, n_link, n, n_pipe = len(net.row), len(net.kind), len(net.up) - 1, int(net.lane_first[-1])
    ends = np.r_[net.start, net.end]
    order = np.argsort(ends, kind="stable")

    def numbers(size: int) -> Index:
        return np.zeros((LANES, size), dtype=np.int64)

    def each(size: int) -> Floats:
        return aligned((size, LANES))

    graph, minor = plan.reduction.graph, each(len(tree))
    minor[:] = plan.laws.minor[tree, None]
    return Lanes(
        begin=np.searchsorted(ends[order], np.arange(n_node + 1)), incident=order % n_link,
        turn=np.where(order < n_link, -1.0, 1.0), link_of=graph.pipe[graph.first[:-1]], turn_of=graph.turn[graph.first[:-1]],
        fixed=np.flatnonzero(net.row < 0), valves=np.flatnonzero((net.kind == PRV) | (net.kind == PSV)),
        powered=bool((net.pump == CONSTANT_POWER).any()),
        head=each(n_node), demand=each(n_node), sign=each(n_node),
        flow=each(n_link), p=each(n_link), ahead=each(n_link), opened=each(n_link),
        lift=each(n_link), rate=each(n_link), alone=np.setdiff1d(net.single, np.flatnonzero(net.pump == POWER_LAW)),
        resistance=each(n_pipe), shift=each(n_pipe), loss=each(n_pipe), a=each(n + len(net.uj)), f=each(n),
        tally=each(8), mark=np.zeros((5, LANES), dtype=np.int64),
        setting=np.zeros((LANES, n_link)), status=numbers(n_link), seen=numbers(n_link) - 1,
        parts=no_parts(n_node, n_link, (LANES,)), held=numbers(n_node), holder=numbers(n_node),
        flips=np.zeros(n_link, dtype=np.int64),
        one_head=np.zeros(n_node), one_demand=np.zeros(n_node), one_flow=np.zeros(n_link),
        asked=each(len(plan.laws.row)), gathered=each(len(plan.laws.row)), whole_head=each(len(plan.laws.row)),
        whole_flow=each(len(plan.laws.kind)),
        tree_q=each(len(tree)), tree_r=each(len(tree)), tree_m=minor, tree_h=each(len(tree)), tree_g=each(len(tree)),
    )  # fmt: skip


@part
def place_lane(r: Reduction, g: Lanes, s: State, w: int) -> None:
    """Put lane w where a state of the whole network is."""
    net, graph = r.core, r.graph
    lane, status = uint64(w), g.status[w]
    for i in range(len(g.head)):
        head = s.head[uint64(graph.node[i])]
        g.head[i, lane] = head if np.isfinite(head) else net.elevation[i]
    for k in range(len(g.link_of)):
        at = uint64(g.link_of[k])
        g.flow[k, lane], status[k] = g.turn_of[k] * s.flow[at], s.status[at]


@part
def load_lane(r: Reduction, g: Lanes, held: Floats, status: Index, setting: Floats, w: int) -> None:
    """Let lane w go on from where it is.

    Args:
        r: the network without its trees and series.
        g: its lanes.
        held: (n_node,) heads of reservoirs and tanks [m], of the whole network as all that is told.
        status: (n_link,) as told.
        setting: (n_link,) as told.
        w: the lane.
    """
    net, anew = r.core, False
    for i in g.fixed:
        g.head[i, w] = held[r.graph.node[i]]
    for k in net.single:
        now = setting[g.link_of[k]]
        if g.setting[w, k] != now and net.kind[k] == PUMP:
            anew |= (g.setting[w, k] == 0.0) != (now == 0.0)
            if net.pump[k] == POWER_LAW:
                g.lift[k, w] = net.pump_law[k, 0] * now**2
                g.rate[k, w] = net.pump_law[k, 1] * now ** (2.0 - net.pump_law[k, 2]) if now > 0.0 else 0.0
        g.setting[w, k] = now
    own, seen = g.status[w], g.seen[w]
    for k in range(len(own)):
        now = status[uint64(g.link_of[k])]
        if now != own[k]:
            own[k], g.flow[k, w] = begin_link(net, k, now, g.setting[w, k], own[k], g.flow[k, w], True)
        anew |= seen[k] != own[k]
    g.mark[MODE, w], g.mark[ITERATION, w] = MOVING, 0
    if anew:  # else what the lane's last balance saw still holds
        look_anew(g, w)


@part
def look_anew(g: Lanes, w: int) -> None:
    """Let the parts of lane w be found again before its next step."""
    g.seen[w], g.mark[CHANGED, w] = -1, 1


@part
def parts_of(g: Lanes, w: int) -> Parts:
    """Those of lane w."""
    p = g.parts
    return Parts(p.part[w], p.grounded[w], p.pin[w], p.scale[w], p.short[w], p.pressed[w], p.forced[w])


@part
def regard(net: Laws, g: Lanes, w: int) -> None:
    """After a change of statuses: lane w's parts, shut links and held nodes; left where a part's demand is not met."""
    status, setting, parts = g.status[w], g.setting[w], borrowed(parts_of(g, w))
    missing, odd, n_held = 0, False, 0
    for i in range(len(g.one_demand)):
        drawn = g.demand[i, w]
        g.one_demand[i] = drawn
        g.sign[i, w] = 1.0 if drawn > 0.0 else -1.0 if drawn < 0.0 else 0.0
    parts.forced[:] = False
    while not np.array_equal(g.seen[w], status):
        g.seen[w] = status
        missing = find_parts(net, setting, status, g.one_demand, parts)
    for k in g.valves:
        odd |= parts.forced[k]
        i = net.end[k] if net.kind[k] == PRV else net.start[k]
        if status[k] == ACTIVE and net.row[i] >= 0:
            x = 0
            while x < n_held and g.held[w, x] != i:
                x += 1
            g.held[w, x], g.holder[w, x] = i, k
            n_held = max(n_held, x + 1)
    for i in range(len(g.head) if missing > 0 else 0):
        if not parts.grounded[i]:
            odd |= g.one_demand[i] != 0.0
            g.held[w, n_held], g.holder[w, n_held] = i, -1
            n_held += 1
    for k in range(len(status)):
        i, j = net.start[k], net.end[k]
        still = missing > 0 and not (parts.grounded[i] and parts.grounded[j])
        odd |= still and status[k] == ACTIVE
        shut = status[k] <= CLOSED or (net.kind[k] == PUMP and setting[k] == 0.0)
        g.opened[k, w] = 0.0 if shut or still else 1.0
        g.flow[k, w] *= g.opened[k, w]
    if odd:
        g.mark[MODE, w], g.seen[w] = LEFT, -1
    g.mark[CHANGED, w], g.mark[_HELD, w], g.mark[MISSING, w] = 0, n_held, missing


@part
def judge_lane(net: Laws, g: Lanes, w: int, which: int) -> int:
    """`judge` in lane w."""
    if which == 0 and len(g.valves) == 0:
        return 0
    for k in g.valves if which == 0 else net.judged:
        i, j = net.start[k], net.end[k]
        g.one_head[i], g.one_head[j], g.one_flow[k] = g.head[i, w], g.head[j, w], g.flow[k, w]
    changed = judge(net, borrowed(parts_of(g, w)), g.flips, g.status[w], g.setting[w], g.one_head, g.one_flow, which)
    if changed > 0:
        g.mark[CHANGED, w] = 1
        for k in g.valves if which == 0 else net.judged:
            g.flow[k, w] = g.one_flow[k]
    return changed


@part
def mass_of(g: Lanes, i: int, w: int) -> float:
    """What node i of lane w has too much [m3/s]."""
    mass = -float(g.demand[i, w])
    for x in range(g.begin[i], g.begin[i + 1]):
        mass += g.turn[x] * g.flow[g.incident[x], w]
    return mass


@part
def evaluate_lanes(net: Laws, g: Lanes) -> None:
    """Set p and s of every link, and the tally of each lane but for its mass residual."""
    zero, two = f64x8(0.0), f64x8(2.0)
    floor, least, tiny = f64x8(FLOOR), f64x8(LEAST), f64x8(TINY)
    n, line = f64x8(net.exponent), f64x8(FLOOR / net.exponent)
    head_error, moved, total = zero, zero, load(zero, g.tally, DRAWN)
    minor, c = net.lane_m.ravel(), 0
    for k in range(len(net.kind)):
        i, j = net.start[k], net.end[k]
        q = load(zero, g.flow, k)
        h, slopes = zero, zero
        if c < len(net.lane_link) and net.lane_link[c] == k:
            for x in range(net.lane_first[c], net.lane_first[c + 1]):
                here = q
                if x > net.lane_first[c]:
                    here = q - load(zero, g.shift, x)
                size, m = magnitude(here), f64x8(minor[x])
                slope = load(zero, g.resistance, x) * power(larger(size, least), net.exponent - 1.0)
                gradient = n * slope
                lost = fma(m, size, pick(gradient, floor, line, slope)) * here
                store(g.loss, x, lost)
                h = h + lost
                slopes = slopes + fma(two * m, size, pick(gradient, floor, line, gradient))
            c += 1
        elif net.pump[k] == POWER_LAW:
            slope = load(zero, g.rate, k) * power(larger(magnitude(q), tiny), net.pump_law[k, 2] - 1.0)
            gradient = f64x8(net.pump_law[k, 2]) * slope
            h = pick(gradient, floor, floor, slope) * q - load(zero, g.lift, k)
            slopes = larger(gradient, floor)
        else:
            continue
        opened = load(zero, g.opened, k)
        p = opened / slopes
        r = h - (load(zero, g.head, i) - load(zero, g.head, j))
        store(g.p, k, p)
        store(g.ahead, k, fnma(p, r, q))
        r = magnitude(r)
        head_error = larger(head_error, opened * r)
        moved = fma(p, r, moved)
        total = total + magnitude(q)
    store(g.tally, _HEAD, head_error)
    store(g.tally, MASS, zero)
    store(g.tally, _MOVED, moved)
    store(g.tally, _TOTAL, total)
    for w in range(LANES):
        if g.mark[MODE, w] == MOVING:
            evaluate_others(net, g, w)


@part
def evaluate_others(net: Laws, g: Lanes, w: int) -> None:
    """Valves, pumps of other laws, and held nodes of lane w."""
    t = g.tally
    for k in g.alone:
        kind, status, setting, q = net.kind[k], g.status[w, k], g.setting[w, k], g.flow[k, w]
        if g.opened[k, w] == 0.0:
            g.flow[k, w] = g.p[k, w] = g.ahead[k, w] = 0.0
            continue
        t[_TOTAL, w] += abs(q)
        if status == ACTIVE and (kind in (PRV, PSV, FCV)):
            g.p[k, w] = 0.0
            if kind == FCV:
                g.ahead[k, w] = setting
                t[MASS, w] = max(t[MASS, w], abs(q - setting))
            else:  # by the balance of the node that it holds
                g.ahead[k, w] = q - mass_of(g, net.end[k], w) if kind == PRV else q + mass_of(g, net.start[k], w)
            continue
        if net.pump[k] == CONSTANT_POWER and q <= 0.0:  # its law has no other side
            q = g.flow[k, w] = net.first_flow[k] * setting
        loss, gradient = link_law(net, k, status, setting, q)
        r = loss - (g.head[net.start[k], w] - g.head[net.end[k], w])
        g.p[k, w], g.ahead[k, w] = 1.0 / gradient, q - r / gradient
        t[_HEAD, w] = max(t[_HEAD, w], abs(r))
        t[_MOVED, w] += abs(r) / gradient
    for x in range(g.mark[_HELD, w]):
        t[_HEAD, w] = max(t[_HEAD, w], abs(_known(net, g, x, w)))


@part
def _known(net: Laws, g: Lanes, x: int, w: int) -> float:
    """What is known of the x-th held node of lane w: its dH."""
    i, k = g.held[w, x], g.holder[w, x]
    if k < 0:
        return 0.0
    return float(net.elevation[i] + g.setting[w, k] - g.head[i, w])


@part
def weigh_lanes(net: Laws, g: Lanes) -> None:
    """Add the largest mass residual to the tally of each lane."""
    zero = f64x8(0.0)
    most = load(zero, g.tally, MASS)
    for i in range(len(g.head)):
        if net.row[i] >= 0:
            mass = -load(zero, g.demand, i)
            for x in range(g.begin[i], g.begin[i + 1]):
                mass = fma(f64x8(g.turn[x]), load(zero, g.flow, g.incident[x]), mass)
            most = larger(most, magnitude(mass))
    store(g.tally, MASS, most)


@part
def assemble_lanes(net: Laws, g: Lanes) -> None:
    """A in its slots and f in elimination order."""
    zero = f64x8(0.0)
    a, f, row = g.a, g.f, net.row
    for x in range(len(f), len(a)):
        store(a, x, zero)
    for i in range(len(row)):
        if row[i] >= 0:
            diagonal, right = zero, -load(zero, g.demand, i)
            for x in range(g.begin[i], g.begin[i + 1]):
                k = g.incident[x]
                diagonal = diagonal + load(zero, g.p, k)
                right = fma(f64x8(g.turn[x]), load(zero, g.ahead, k), right)
            store(a, row[i], diagonal)
            store(f, row[i], right)
    for k in range(len(net.slot)):
        if net.slot[k] >= 0:
            store(a, net.slot[k], load(zero, a, net.slot[k]) - load(zero, g.p, k))
    for w in range(LANES):
        if g.tally[STEPS, w] > 0.0:
            _hold(net, g, w)


@part
def _hold(net: Laws, g: Lanes, w: int) -> None:
    """Take the rows of lane w's held nodes out of its matrix; what they do to their neighbours is known."""
    row = net.row
    for x in range(g.mark[_HELD, w]):
        i, change = g.held[w, x], _known(net, g, x, w)
        for y in range(g.begin[i], g.begin[i + 1]):
            k = g.incident[y]
            j = net.end[k] if net.start[k] == i else net.start[k]
            if row[j] >= 0 and g.p[k, w] != 0.0:
                g.f[row[j], w] += g.p[k, w] * change
                g.a[net.slot[k], w] = 0.0
    for x in range(g.mark[_HELD, w]):
        i = g.held[w, x]
        g.a[row[i], w], g.f[row[i], w] = 1.0, _known(net, g, x, w)


@part
def step_lanes(net: Laws, g: Lanes) -> None:
    """Heads and flows by the solution in f, in the lanes that step."""
    zero, half = f64x8(0.0), f64x8(0.5)
    steps = load(zero, g.tally, STEPS)
    f, row = g.f, net.row
    for k in range(len(g.flow)):
        x, y, q = row[net.start[k]], row[net.end[k]], load(zero, g.flow, k)
        fall = zero
        if x >= 0:
            fall = load(zero, f, x)
        if y >= 0:
            fall = fall - load(zero, f, y)
        now = fma(load(zero, g.p, k), fall, load(zero, g.ahead, k))
        if net.pump[k] == CONSTANT_POWER:
            now = pick(now, zero, half * q, now)
        store(g.flow, k, pick(zero, steps, now, q))
    for i in range(len(row)):
        if row[i] >= 0:
            head = load(zero, g.head, i)
            store(g.head, i, pick(zero, steps, head + load(zero, f, row[i]), head))
    for k in g.valves:
        for w in range(LANES):
            if g.tally[STEPS, w] > 0.0 and g.status[w, k] == ACTIVE:
                if net.kind[k] == PRV:
                    g.flow[k, w] -= mass_of(g, net.end[k], w)
                else:
                    g.flow[k, w] += mass_of(g, net.start[k], w)


@part
def balance_lanes(net: Laws, g: Lanes, accuracy: float, check_every: int, check_until: int, enough: int) -> None:
    """Iterate until so many lanes rest, or none moves.

    Args:
        net: the network's numbers.
        g: its lanes; those that move go on from where they are, and become RESTING or LEFT.
        accuracy: as of `balance`.
        check_every: likewise.
        check_until: likewise.
        enough: lanes that do not move at which to come back.
    """
    while True:
        still = 0
        for w in range(LANES):
            if g.mark[MODE, w] == MOVING and g.mark[CHANGED, w] > 0:
                regard(net, g, w)
        evaluate_lanes(net, g)
        calm = False
        for w in range(LANES):
            g.tally[STEPS, w] = 1.0 if g.mark[MODE, w] == MOVING else 0.0
            if g.mark[MODE, w] == MOVING:
                calm |= g.tally[_HEAD, w] <= HEAD_ERROR and g.tally[_MOVED, w] <= accuracy * max(g.tally[_TOTAL, w], 1e-9)
        if calm:
            weigh_lanes(net, g)
        for w in range(LANES):
            if g.mark[MODE, w] == MOVING:
                _settle_lane(net, g, w, accuracy)
            still += g.mark[MODE, w] != MOVING
        if still >= enough or still == LANES:
            return
        assemble_lanes(net, g)
        ldl_factor_lanes(net.up, net.uj, net.target, g.a)
        ldl_solve_lanes(net.up, net.uj, g.a, g.f)
        step_lanes(net, g)
        for w in range(LANES):
            if g.tally[STEPS, w] > 0.0:
                g.mark[ITERATION, w] += 1
                iteration = g.mark[ITERATION, w]
                judge_lane(net, g, w, 1 if iteration <= check_until and iteration % check_every == 0 else 0)


@part
def _settle_lane(net: Laws, g: Lanes, w: int, accuracy: float) -> None:
    """Say whether lane w rests, takes its next step, waits for one evaluation with new statuses, or is left."""
    t, total = g.tally, max(g.tally[_TOTAL, w], 1e-9)
    at_rest = t[_HEAD, w] <= HEAD_ERROR and t[MASS, w] <= MASS_ERROR * total and t[_MOVED, w] <= accuracy * total
    if at_rest and judge_lane(net, g, w, 1) == 0:
        g.mark[MODE, w] = RESTING
    elif not np.isfinite(t[_MOVED, w]) or g.mark[ITERATION, w] >= TRIALS_IN_LANES:
        g.mark[MODE, w] = LEFT
    elif at_rest:
        g.mark[ITERATION, w] += 1
    else:
        return
    t[STEPS, w] = 0.0
