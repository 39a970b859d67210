"""Runs in lanes: each lane plays a scenario on a clock of its own, and takes the next one when that has ended.

What happens at an instant is what `instants.py` says; only the balance of eight runs is found at once (`lanes.py`). Since no
lane knows of another, one may be at 3:00 and its neighbour at 17:20, and it does not matter which scenario had the lane before.
An instant that the lanes cannot solve is solved by `solve_state`. A single state is a run that ends where it begins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solvers.accelerate import kernel, part
from solvers.lending import borrowed
from solvers.linalg.rows import copied, streamed, to_lanes, to_rows
from solvers.linalg.vector import fence
from solvers.water.controls import control_pressures, control_times_and_levels
from solvers.water.folding import fits
from solvers.water.instants import BEGUN, MOST_REPEATS, TIME, Record, Run, Timetable, advance, ask_again, ask_now, record
from solvers.water.lane_folding import fold_lanes, resist, unfold_lanes
from solvers.water.lane_start import Tangent, begins_there, learn_base, start_lanes
from solvers.water.lanes import (
    IDLE,
    ITERATION,
    LACKING,
    MASS,
    MISSING,
    MODE,
    MOVING,
    RESTING,
    Lanes,
    balance_lanes,
    load_lane,
    place_lane,
)
from solvers.water.plan import LANES, PUMP, XHEAD, Floats, Index, Laws, Reduction
from solvers.water.state import (
    ACCURACY,
    NEGATIVE_PRESSURE,
    NO_SUPPLY,
    SOLVED,
    STALLED_PUMP,
    TRIALS,
    Solver,
    State,
    solve_state,
)

_SCENARIO, _REPEAT, _TOLD, _PLACE = range(4)  # rows of `Book.at`
AT_BASE, IN_LANE, IN_STATE = range(3)  # where the last hydraulics of a run are
_LONG = 512  # nodes from which on it pays to write past the caches: the pieces of lines at a row's ends cost more than others
_ENOUGH = 5  # lanes at rest for which the others are interrupted


class Told(NamedTuple):
    """What each scenario is told, a row each, or one row for all.

    Args:
        factor: (n_scenario, n_node) on demands [1].
        leaking: (n_leaking,) nodes.
        leak: (n_scenario, n_leaking) drawn there besides [m3/s].
        status, setting: (n_scenario, n_link).
        resistance: (n_scenario, n_link).
        level: (n_scenario, n_tank) [m].
        pipes_as_ever: whether all resistances are the network's own.
    """

    factor: Floats
    leaking: Index
    leak: Floats
    status: Index
    setting: Floats
    resistance: Floats
    level: Floats
    pipes_as_ever: bool


class Found(NamedTuple):
    """What became of each scenario.

    Args:
        record: (n_scenario, ...).
        iterations: (n_scenario,).
        residual: (n_scenario,) largest mass residual [m3/s].
        verdict: (n_scenario,) the gravest.
    """

    record: Record
    iterations: Index
    residual: Floats
    verdict: Index


class Book(NamedTuple):
    """What the lanes are at.

    Args:
        runs: (8, ...) of each lane; demands are the network's own.
        wanted: (8, n_node) demands of the scenario, 0 at reservoirs and tanks.
        at: (4, 8) the scenario, -1 for none; how often its instant was repeated; the time whose demands are told, -1 for none;
            where its last hydraulics are.
        resting: (8,) lanes that have just come to rest.
        page: one instant's record.
        tangent: the base case, for the first step of each run; learnt once, and good for all batches of the plan.
    """

    runs: Run
    wanted: Floats
    at: Index
    resting: Index
    page: Record
    tangent: Tangent


@part
def run_of(runs: Run, w: int) -> Run:
    """The run in lane w."""
    s = runs.state
    state = State(s.head[w], s.flow[w], s.status[w], s.demand[w], s.emitted[w], s.supplied[w])
    return Run(
        runs.clock[w], runs.level[w], runs.status[w], runs.setting[w], runs.demand[w], runs.held[w], runs.asked[w], state
    )


@part
def record_of(out: Record, k: int) -> Record:
    """The record of scenario k."""
    return Record(
        out.written[k : k + 1], out.time[k], out.head[k], out.demand[k], out.supplied[k], out.flow[k], out.code[k],
        out.setting[k], out.level[k], out.pressure[k], out.velocity[k], out.loss[k],
    )  # fmt: skip


@part
def write_down(net: Laws, run: Run, page: Record, out: Record) -> None:
    """Record the present instant; long rows on a page that stays at hand, and from there past the caches."""
    if len(net.row) < _LONG:
        record(net, run, out)
        return
    row, page.written[0] = out.written[0], 0
    record(net, run, page)
    out.time[row], out.written[0] = page.time[0], row + 1
    streamed(page.head[0], out.head[row])
    streamed(page.demand[0], out.demand[row])
    streamed(page.flow[0], out.flow[row])
    streamed(page.setting[0], out.setting[row])
    streamed(page.pressure[0], out.pressure[row])
    streamed(page.velocity[0], out.velocity[row])
    streamed(page.loss[0], out.loss[row])
    copied(page.level[0], out.level[row])
    copied(page.supplied[0], out.supplied[row])
    copied(page.code[0], out.code[row])


@part
def take_resistances(solver: Solver, resistance: Floats) -> None:
    """Write resistances into the pipes of the whole network, of the reduced one, and of the trees."""
    net, r = solver.net, solver.reduction
    flat = net.lane_r.ravel()
    for x in range(len(net.lane_link)):
        flat[x] = resistance[net.lane_link[x]]
    flat, graph = r.core.lane_r.ravel(), r.graph
    for c in range(len(r.core.lane_link)):
        m = graph.first[r.core.lane_link[c]]
        for x in range(r.core.lane_first[c], r.core.lane_first[c + 1]):
            flat[x] = resistance[graph.pipe[m]]
            m += 1
    flat = r.tree_r.ravel()
    for x in range(len(graph.tree_pipe)):
        flat[x] = resistance[graph.tree_pipe[x]]
    net.resistance[:] = resistance


@part
def row_of(rows: Floats, k: int) -> int:
    """The row of scenario k."""
    return k if len(rows) > 1 else 0


@part
def copy_state(a: State, b: State) -> None:
    """Write state a into state b."""
    b.head[:], b.flow[:], b.status[:] = a.head, a.flow, a.status
    b.demand[:], b.emitted[:], b.supplied[:] = a.demand, a.emitted, a.supplied


@part
def start_run(r: Reduction, g: Lanes, book: Book, told: Told, run: Run, k: int, w: int) -> None:
    """Let lane w begin with scenario k, from the base case."""
    run.clock[TIME], run.clock[BEGUN] = 0, 1
    copied(told.level[row_of(told.level, k)], run.level)
    copied(told.setting[row_of(told.setting, k)], run.setting)
    copied(told.status[k if len(told.status) > 1 else 0], run.status)
    book.at[_PLACE, w] = AT_BASE
    if len(told.resistance) > 1:
        resist(r, g, told.resistance[k], w)


@part
def ask_lane(plan: Timetable, book: Book, run: Run, w: int) -> None:
    """Set what the present instant asks of lane w, from what another lane has asked at the same time where there is one."""
    time, told = run.clock[TIME], book.at[_TOLD]
    v = 0
    while v < LANES and told[v] != time:
        v += 1
    if told[w] != time and v < LANES:
        copied(book.runs.demand[v], run.demand)
        copied(book.runs.held[v], run.held)
    if v < LANES:
        ask_again(plan, run)
    else:
        ask_now(plan, run)
    told[w] = time


@part
def begin_instant(
    solver: Solver, plan: Timetable, g: Lanes, book: Book, told: Told, base: State, run: Run, w: int, fit: bool
) -> int:
    """Put the present instant, after its controls, into lane w; -1, or its verdict where it had to be solved alone."""
    k, place, time = book.at[_SCENARIO, w], book.at[_PLACE, w], run.clock[TIME]
    if book.at[_REPEAT, w] == 0:
        flow = base.flow if place == AT_BASE else run.state.flow
        clock = plan.schedule.start_clocktime
        control_times_and_levels(plan.controls, plan.tanks, clock, time, run.level, flow, run.status, run.setting)
    ask_lane(plan, book, run, w)
    wanted, row = book.wanted[w], solver.net.row
    factor, leak = told.factor[row_of(told.factor, k)], told.leak[row_of(told.leak, k)]
    for i in range(len(factor)):
        drawn = run.demand[i] * factor[i]
        wanted[i] = drawn if row[i] >= 0 else 0.0
    for x in range(len(leak)):
        if row[told.leaking[x]] >= 0:
            wanted[told.leaking[x]] += leak[x]
    g.mark[ITERATION, w] = 0
    if not fit or not fits(solver.reduction, run.status):
        return solve_alone(solver, plan, g, book, told, base, run, w)
    if place != IN_LANE:
        place_lane(solver.reduction, g, base if place == AT_BASE else run.state, w)
    load_lane(solver.reduction, g, run.held, run.status, run.asked, w)
    as_base = place == AT_BASE and told.pipes_as_ever
    book.tangent.fresh[w] = as_base and begins_there(solver.reduction.core, g, book.tangent, w)
    return -1


@part
def solve_alone(solver: Solver, plan: Timetable, g: Lanes, book: Book, told: Told, base: State, run: Run, w: int) -> int:
    """The present instant of lane w by itself; its verdict."""
    if book.at[_PLACE, w] == AT_BASE:
        copy_state(base, run.state)
    if len(told.resistance) > 1:
        take_resistances(solver, told.resistance[book.at[_SCENARIO, w]])
    spent, _head_error, g.tally[MASS, w], verdict = solve_state(
        solver,
        book.wanted[w],
        run.held,
        run.status,
        run.asked,
        run.state,
        True,
        ACCURACY,
        TRIALS,
        plan.check_every,
        plan.check_until,
    )
    g.mark[ITERATION, w] += spent
    g.mark[MODE, w] = RESTING
    book.at[_PLACE, w] = IN_STATE
    return verdict


@part
def take_lane(solver: Solver, g: Lanes, book: Book, run: Run, w: int) -> int:
    """The rest of the state that lane w has come to, whose heads and flows are there; its verdict."""
    s, core, graph = run.state, solver.reduction.core, solver.reduction.graph
    copied(book.wanted[w], s.demand)
    copied(run.status, s.status)
    for i in range(len(s.supplied)):
        s.supplied[i] = True
    book.at[_PLACE, w], stalled = IN_LANE, False
    for k in core.judged:  # all others are what they were told to be
        s.status[g.link_of[k]] = g.status[w, k]
        stalled |= core.kind[k] == PUMP and g.status[w, k] == XHEAD
    if g.mark[MISSING, w] > 0:
        for i in range(len(s.head)):
            s.supplied[i] = g.parts.grounded[w, graph.owner[i]]
            if not s.supplied[i]:
                s.head[i] = np.nan
    if stalled:
        return STALLED_PUMP
    if g.mark[MISSING, w] > 0:
        return NO_SUPPLY
    return NEGATIVE_PRESSURE if g.tally[LACKING, w] > 0.0 else SOLVED


@part
def close_instant(
    solver: Solver, plan: Timetable, g: Lanes, book: Book, found: Found, run: Run, w: int, verdict: int, until: int
) -> bool:
    """Note how the present instant of lane w was found, and go to the next one; whether there is none.

    The instant stays where a junction's pressure has switched a link.
    """
    k, s = book.at[_SCENARIO, w], plan.schedule
    found.iterations[k] += g.mark[ITERATION, w]
    found.residual[k] = max(found.residual[k], g.tally[MASS, w])
    found.verdict[k] = max(found.verdict[k], verdict)
    book.at[_REPEAT, w] += 1
    switched = control_pressures(plan.controls, solver.net.elevation, run.state.head, run.status, run.setting)
    if switched and book.at[_REPEAT, w] < MOST_REPEATS:
        return False
    book.at[_REPEAT, w] = 0
    since = run.clock[TIME] - s.report_start
    if since >= 0 and since % s.report_step == 0:
        write_down(solver.net, run, book.page, borrowed(record_of(found.record, k)))
    if run.clock[TIME] >= until:
        return True
    advance(solver, plan, run, until)
    return False


@part
def serve(
    solver: Solver, plan: Timetable, g: Lanes, book: Book, told: Told, base: State, found: Found, w: int,
    following: int, last: int, until: int, fit: bool,
) -> int:  # fmt: skip
    """Bring lane w to where its run, or the next scenario's, needs a balance; returns the scenario that follows."""
    run, scenario, verdict = borrowed(run_of(book.runs, w)), book.at[_SCENARIO], 0
    if g.mark[MODE, w] == RESTING:
        verdict = take_lane(solver, g, book, run, w)
    elif scenario[w] >= 0:
        verdict = solve_alone(solver, plan, g, book, told, base, run, w)
    while True:
        if scenario[w] >= 0 and close_instant(solver, plan, g, book, found, run, w, verdict, until):
            scenario[w] = -1
        if scenario[w] < 0:
            if following == last:
                g.mark[MODE, w] = IDLE
                return following
            scenario[w], following = following, following + 1
            start_run(solver.reduction, g, book, told, run, scenario[w], w)
        verdict = begin_instant(solver, plan, g, book, told, base, run, w, fit)
        if verdict < 0:
            return following


@kernel
def play_lanes(
    solver: Solver, plan: Timetable, g: Lanes, book: Book, told: Told, base: State, setting: Floats, found: Found,
    first: int, last: int, until: int, fit: bool,
) -> None:  # fmt: skip
    """Run scenarios first to last, each from the base case.

    Args:
        solver: of the network, its resistances this task's own.
        plan: of the network.
        g: lanes of the reduced network.
        book: of the lanes.
        told: of all scenarios.
        base: the state that each begins from.
        setting: (n_link,) of that state.
        found: of all scenarios.
        first: scenario.
        last: the one after the last.
        until: the end [s].
        fit: whether the lanes know all that the network has.
    """
    take_resistances(solver, told.resistance[0])
    for w in range(LANES):
        resist(solver.reduction, g, told.resistance[0], w)
    if fit and told.pipes_as_ever and book.tangent.known[0] == 0:
        learn_base(solver.reduction, g, book.tangent, base, setting)
    book.at[_SCENARIO], book.at[_REPEAT], book.at[_TOLD] = -1, 0, -1
    g.mark[MODE] = IDLE
    s = book.runs.state
    following, moving = first, LANES
    while moving > 0:
        moving = 0
        for w in range(LANES):
            if g.mark[MODE, w] != MOVING:
                following = serve(solver, plan, g, book, told, base, found, w, following, last, until, fit)
            moving += g.mark[MODE, w] == MOVING
        if moving > 0:
            to_lanes(book.wanted, g.asked)
            fold_lanes(solver.reduction, g)
            start_lanes(solver.reduction.core, g, book.tangent)
            enough = min(LANES - moving + _ENOUGH, LANES)
            balance_lanes(solver.reduction.core, g, ACCURACY, plan.check_every, plan.check_until, enough)
            unfold_lanes(solver.net, solver.reduction, g)
            for w in range(LANES):
                book.resting[w] = g.mark[MODE, w] == RESTING
            to_rows(g.whole_head, s.head, book.resting)
            to_rows(g.whole_flow, s.flow, book.resting)
    fence()
