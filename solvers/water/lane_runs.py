"""Runs in lanes: each lane plays a scenario on a clock of its own, and takes the next one when that has ended.

What happens at an instant is what `instants.py` says; only the balance of eight runs is found at once (`lanes.py`). Since no
lane knows of another, one may be at 3:00 and its neighbour at 17:20, and it does not matter which scenario had the lane before.
An instant that the lanes cannot solve is solved by `solve_state`. A single state is a run that ends where it begins.
"""

from __future__ import annotations

from typing import NamedTuple

from solvers.accelerate import borrowed, kernel, part
from solvers.water.controls import control_pressures, control_times_and_levels
from solvers.water.folding import fits, fold
from solvers.water.gradient import SETTLED
from solvers.water.instants import BEGUN, MOST_REPEATS, TIME, Record, Run, Timetable, advance, ask_now, record
from solvers.water.lanes import IDLE, ITERATION, MODE, MOVING, RESTING, Lanes, balance_lanes, load_lane, unload_lane
from solvers.water.plan import LANES, Floats, Index
from solvers.water.state import ACCURACY, TRIALS, Solver, State, enter, finish, leave, solve_state, take_demands

_SCENARIO, _REPEAT = range(2)  # rows of `Book.at`
_MASS = 2  # row of the lanes' tally
_ENOUGH = 4  # lanes at rest for which the others are interrupted


class Told(NamedTuple):
    """What each scenario is told, a row each.

    Args:
        demand: (n_scenario, n_demand) bases [m3/s].
        status, setting: (n_scenario, n_link).
        resistance: (n_scenario, n_link), or one row for all.
        level: (n_scenario, n_tank) [m].
    """

    demand: Floats
    status: Index
    setting: Floats
    resistance: Floats
    level: Floats


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
        runs: (8, ...) of each lane.
        at: (2, 8) the scenario, -1 for none, and how often its instant was repeated.
    """

    runs: Run
    at: Index


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
        out.written[k : k + 1], out.time[k], out.head[k], out.demand[k], out.supplied[k], out.flow[k], out.status[k],
        out.setting[k], out.level[k],
    )  # fmt: skip


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
def take_scenario(solver: Solver, plan: Timetable, told: Told, k: int) -> None:
    """Turn the shared work space to scenario k."""
    plan.schedule.demand_base[:] = told.demand[k]
    if len(told.resistance) > 1:
        take_resistances(solver, told.resistance[k])


@part
def copy_state(a: State, b: State) -> None:
    """Write state a into state b."""
    b.head[:], b.flow[:], b.status[:] = a.head, a.flow, a.status
    b.demand[:], b.emitted[:], b.supplied[:] = a.demand, a.emitted, a.supplied


@part
def start_run(solver: Solver, g: Lanes, told: Told, run: Run, base: State, k: int, w: int) -> None:
    """Let lane w begin with scenario k, from the base case."""
    run.clock[TIME], run.clock[BEGUN] = 0, 1
    run.level[:], run.status[:], run.setting[:] = told.level[k], told.status[k], told.setting[k]
    copy_state(base, run.state)
    if len(told.resistance) > 1:
        flat = solver.reduction.core.lane_r.ravel()
        for x in range(len(g.resistance)):
            g.resistance[x, w] = flat[x]


@part
def begin_instant(solver: Solver, plan: Timetable, g: Lanes, run: Run, w: int, fit: bool, again: bool) -> int:
    """Put the present instant, after its controls, into lane w; -1, or its verdict where it had to be solved alone."""
    if not again:
        s = plan.schedule
        control_times_and_levels(
            plan.controls, plan.tanks, s.start_clocktime, run.clock[TIME], run.level, run.state.flow, run.status, run.setting
        )
    ask_now(plan, run)
    g.mark[ITERATION, w] = 0
    if fit and fits(solver.reduction, run.status):
        take_demands(solver.net, solver.work, run.demand)
        enter(solver, run.held, run.status, run.asked, run.state, True)
        load_lane(solver.reduction.core, g, solver.folded, w)
        return -1
    return solve_alone(solver, plan, g, run, w)


@part
def solve_alone(solver: Solver, plan: Timetable, g: Lanes, run: Run, w: int) -> int:
    """The present instant of lane w by itself; its verdict."""
    spent, _head_error, g.tally[_MASS, w], verdict = solve_state(
        solver,
        run.demand,
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
    return verdict


@part
def end_instant(solver: Solver, plan: Timetable, g: Lanes, run: Run, w: int) -> int:
    """Take the state of the present instant from lane w, or find it alone; its verdict."""
    if g.mark[MODE, w] == RESTING:
        take_demands(solver.net, solver.work, run.demand)
        c = solver.folded
        fold(solver.reduction, solver.work.wanted, c.gathered, c.work.wanted, c.work.shift)
        unload_lane(g, c, w)
        if leave(solver, run.state, True):
            return finish(solver.net, solver.work, run.asked, run.state, SETTLED)
    return solve_alone(solver, plan, g, run, w)


@part
def close_instant(
    solver: Solver, plan: Timetable, g: Lanes, book: Book, found: Found, run: Run, w: int, verdict: int, until: int
) -> bool:
    """Note how the present instant of lane w was found, and go to the next one; whether there is none.

    The instant stays where a junction's pressure has switched a link.
    """
    k, s = book.at[_SCENARIO, w], plan.schedule
    found.iterations[k] += g.mark[ITERATION, w]
    found.residual[k] = max(found.residual[k], g.tally[_MASS, w])
    found.verdict[k] = max(found.verdict[k], verdict)
    book.at[_REPEAT, w] += 1
    switched = control_pressures(plan.controls, solver.net.elevation, run.state.head, run.status, run.setting)
    if switched and book.at[_REPEAT, w] < MOST_REPEATS:
        return False
    book.at[_REPEAT, w] = 0
    since = run.clock[TIME] - s.report_start
    if since >= 0 and since % s.report_step == 0:
        record(solver.net, run, record_of(found.record, k))
    if run.clock[TIME] >= until:
        return True
    advance(solver.net, plan, run, until)
    return False


@part
def serve(
    solver: Solver, plan: Timetable, g: Lanes, book: Book, told: Told, base: State, found: Found, w: int,
    following: int, last: int, until: int, fit: bool,
) -> int:  # fmt: skip
    """Bring lane w to where its run, or the next scenario's, needs a balance; returns the scenario that follows."""
    run, scenario, verdict = run_of(book.runs, w), book.at[_SCENARIO], 0
    if scenario[w] >= 0:
        take_scenario(solver, plan, told, scenario[w])
        verdict = end_instant(solver, plan, g, run, w)
    while True:
        if scenario[w] >= 0 and close_instant(solver, plan, g, book, found, run, w, verdict, until):
            scenario[w] = -1
        if scenario[w] < 0:
            if following == last:
                g.mark[MODE, w] = IDLE
                return following
            scenario[w], following = following, following + 1
            take_scenario(solver, plan, told, scenario[w])
            start_run(solver, g, told, run, base, scenario[w], w)
        verdict = begin_instant(solver, plan, g, run, w, fit, book.at[_REPEAT, w] > 0)
        if verdict < 0:
            return following


@kernel
def play_lanes(
    solver: Solver, plan: Timetable, g: Lanes, book: Book, told: Told, base: State, found: Found, first: int, last: int,
    until: int, fit: bool,
) -> None:  # fmt: skip
    """Run scenarios first to last, each from the base case.

    Args:
        solver: of the network, its resistances this task's own.
        plan: of the network, its bases of demands this task's own.
        g: lanes of the reduced network.
        book: of the lanes.
        told: of all scenarios.
        base: the state that each begins from.
        found: of all scenarios.
        first: scenario.
        last: the one after the last.
        until: the end [s].
        fit: whether the lanes know all that the network has.
    """
    solver, plan, g, book = borrowed(solver), borrowed(plan), borrowed(g), borrowed(book)
    told, base, found = borrowed(told), borrowed(base), borrowed(found)
    take_resistances(solver, told.resistance[0])
    flat = solver.reduction.core.lane_r.ravel()
    for x in range(len(g.resistance)):
        g.resistance[x] = flat[x]
    book.at[_SCENARIO], book.at[_REPEAT] = -1, 0
    g.mark[MODE] = IDLE
    following, moving = first, LANES
    while moving > 0:
        moving = 0
        for w in range(LANES):
            if g.mark[MODE, w] != MOVING:
                following = serve(solver, plan, g, book, told, base, found, w, following, last, until, fit)
            moving += g.mark[MODE, w] == MOVING
        if moving > 0:
            enough = min(LANES - moving + _ENOUGH, LANES)
            balance_lanes(solver.reduction.core, g, ACCURACY, plan.check_every, plan.check_until, enough)
