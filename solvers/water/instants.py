"""From instant to instant within kernels: settle the hydraulics, advance to where something may change next.

Between two instants the flows are held, so a tank's volume changes by its inflow times the step. A step ends at the first
of: the hydraulic step, the next step of a pattern, the next report, a tank that runs full or empty, a simple control's
hour or the level that it watches, and, where there are rules, one of their sub-steps that changes something. These are
EPANET's rules for time (Rossman et al. 2020, ch. 3 and app. D), so that switches act at the same seconds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solvers.accelerate import kernel, part
from solvers.linalg.rows import copied
from solvers.water.controls import Controls, control_pressures, control_times_and_levels, time_to_control
from solvers.water.plan import ACTIVE, CLOSED, Floats, Index, Laws
from solvers.water.rules import Rules, apply_rules
from solvers.water.schedule import Schedule, ask, ask_speeds
from solvers.water.state import ACCURACY, TRIALS, Solver, State, solve_state
from solvers.water.tanks import Tanks, fill, time_to_limit

MOST_REPEATS = 10  # of a junction's pressure switch within one instant
TIME, BEGUN = 0, 1  # places in `Run.clock`
_SHUT, _OPEN, _IN_CONTROL = 0, 1, 2  # statuses as results have them


class Timetable(NamedTuple):
    """What a network is told over time."""

    schedule: Schedule
    tanks: Tanks
    controls: Controls
    rules: Rules
    check_every: int
    check_until: int


class Run(NamedTuple):
    """A simulation's state between two kernels.

    Args:
        clock: (2,) seconds since the start, and whether `state` is one.
        level: (n_tank,) [m].
        status, setting: (n_link,) as controls and rules have set them.
        demand, held: (n_node,) what is asked at the present instant.
        asked: (n_link,) settings, with the speeds that patterns give.
        state: the last hydraulics.
    """

    clock: Index
    level: Floats
    status: Index
    setting: Floats
    demand: Floats
    held: Floats
    asked: Floats
    state: State


class Record(NamedTuple):
    """What was found at report times.

    Args:
        written: (1,) how many there are.
        time: (n_time,) [s].
        head, demand, supplied: (n_time, n_node); `demand` with what openings let out, of fixed nodes the net inflow.
        flow, setting: (n_time, n_link).
        code: (n_time, n_link) status as results have it: 0 shut, 1 open, 2 in control.
        level: (n_time, n_tank).
        pressure: (n_time, n_node).
        velocity, loss: (n_time, n_link).
    """

    written: Index
    time: Floats
    head: Floats
    demand: Floats
    supplied: NDArray[np.bool_]
    flow: Floats
    code: NDArray[np.int8]
    setting: Floats
    level: Floats
    pressure: Floats
    velocity: Floats
    loss: Floats


@kernel
def ask_now(plan: Timetable, run: Run) -> None:
    """Set what the present instant asks of the hydraulics."""
    ask(plan.schedule, run.clock[TIME], run.demand, run.held, run.asked)
    ask_again(plan, run)


@part
def ask_again(plan: Timetable, run: Run) -> None:
    """As `ask_now`, where demands and reservoirs are known to be those of this time."""
    copied(run.setting, run.asked)
    ask_speeds(plan.schedule, run.clock[TIME], run.asked)
    for i in range(len(run.level)):
        run.held[plan.tanks.node[i]] = plan.tanks.elevation[i] + run.level[i]


@kernel
def settle(solver: Solver, plan: Timetable, run: Run) -> tuple[int, float, float, int]:
    """The hydraulics of the present instant, after its controls; pressure switches repeat it until they rest.

    Returns:
        Iterations, largest head residual [m], largest mass residual [m3/s], verdict.
    """
    s, clock = run.state, plan.schedule.start_clocktime
    control_times_and_levels(plan.controls, plan.tanks, clock, run.clock[TIME], run.level, s.flow, run.status, run.setting)
    iterations, head_error, mass_error, verdict = 0, 0.0, 0.0, 0
    for _ in range(MOST_REPEATS):
        ask_now(plan, run)
        spent, head_error, mass_error, verdict = solve_state(
            solver, run.demand, run.held, run.status, run.asked, s, run.clock[BEGUN] == 1,
            ACCURACY, TRIALS, plan.check_every, plan.check_until,
        )  # fmt: skip
        run.clock[BEGUN] = 1
        iterations += spent
        if not control_pressures(plan.controls, solver.net.elevation, s.head, run.status, run.setting):
            break
    return iterations, head_error, mass_error, verdict


@kernel
def advance(solver: Solver, plan: Timetable, run: Run, until: int) -> None:
    """Go to the next instant at which something may change, and not beyond `until` [s]."""
    s, now, flow = plan.schedule, run.clock[TIME], run.state.flow
    dt = min(s.hydraulic_step, s.pattern_step - (now + s.pattern_start) % s.pattern_step)
    report = s.report_start - now
    if report <= 0:
        report = s.report_step - (now - s.report_start) % s.report_step
    dt = min(dt, report, until - now, time_to_limit(plan.tanks, run.level, flow))
    dt = min(dt, time_to_control(
        plan.controls, plan.tanks, s.start_clocktime, now, run.level, flow, run.status, run.setting
    ))  # fmt: skip
    dt = max(1, dt)
    if len(plan.rules.priority) == 0:
        fill(plan.tanks, run.level, flow, dt)
        run.clock[TIME] = now + dt
        return
    end, sub = now + dt, max(1, min(s.rule_step, dt))
    step = min(sub - now % sub, dt)
    while run.clock[TIME] < end:
        fill(plan.tanks, run.level, flow, step)
        run.clock[TIME] += step
        if apply_rules(
            plan.rules, solver.net, plan.tanks, s.start_clocktime, run.clock[TIME], run.level, run.state.head, flow,
            run.state.demand, run.state.status, run.status, run.setting,
        ):  # fmt: skip
            return
        step = min(sub, end - run.clock[TIME])


@part
def record(net: Laws, run: Run, out: Record) -> None:
    """Write the present instant down."""
    s, row = run.state, out.written[0]
    out.time[row] = run.clock[TIME]
    copied(s.head, out.head[row])
    copied(s.supplied, out.supplied[row])
    copied(s.flow, out.flow[row])
    copied(run.asked, out.setting[row])
    copied(run.level, out.level[row])
    head, flow, demand, pressure = s.head, s.flow, out.demand[row], out.pressure[row]
    for i in range(len(demand)):  # no branch in any of these loops: they run in vectors
        drawn = s.demand[i] + s.emitted[i]
        demand[i] = drawn if net.row[i] >= 0 else 0.0
    for i in range(len(pressure)):
        pressure[i] = head[i] - net.elevation[i]
    for k in net.judged:  # whatever a reservoir or tank is at, is among them
        i, j = net.start[k], net.end[k]
        if net.row[j] < 0:
            demand[j] += flow[k]
        if net.row[i] < 0:
            demand[i] -= flow[k]
    code, velocity, loss = out.code[row], out.velocity[row], out.loss[row]
    for k in range(len(velocity)):
        velocity[k] = abs(flow[k]) * net.per_area[k]
    for k in range(len(loss)):
        loss[k] = head[net.start[k]] - head[net.end[k]]
    for k in range(len(code)):
        code[k] = _SHUT if s.status[k] <= CLOSED else (_IN_CONTROL if s.status[k] == ACTIVE else _OPEN)
    out.written[0] = row + 1


@kernel
def play(
    solver: Solver, plan: Timetable, run: Run, out: Record, until: int, most: int, gravest: int
) -> tuple[bool, int, float, int]:
    """Settle and advance until the end, or a graver verdict, or `most` instants, whichever comes first.

    Args:
        solver: of the network.
        plan: the network's timetable.
        run: start and result.
        out: receives the report times.
        until: the end [s].
        most: instants.
        gravest: verdict so far.

    Returns:
        Whether the end is reached, iterations, largest mass residual [m3/s], gravest verdict.
    """
    iterations, residual = 0, 0.0
    s = plan.schedule
    for _ in range(most):
        spent, _head_error, mass_error, verdict = settle(solver, plan, run)
        iterations += spent
        residual = max(residual, mass_error)
        since = run.clock[TIME] - s.report_start
        if since >= 0 and since % s.report_step == 0:
            record(solver.net, run, out)
        ended = run.clock[TIME] >= until
        if not ended:
            advance(solver, plan, run, until)
        if ended or verdict > gravest:
            return ended, iterations, residual, max(verdict, gravest)
    return False, iterations, residual, gravest
