"""Extended period: hydraulics from instant to instant, with tanks, patterns, controls and rules.

How time passes stands in `instants.py`; here is what holds a run between two calls of those kernels. A `Simulation` can be
stopped after any step: `state` has all that it needs to go on, bit for bit, at the cost of a copy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid_models.water.network import WaterNetwork
from solvers.lending import lend
from solvers.solution import Cancelled, Solution, Stats, Status, never
from solvers.water.columns import Memory, columns, fresh, room
from solvers.water.controls import controls
from solvers.water.instants import BEGUN, TIME, Record, Run, Timetable, advance, ask_now, play, settle
from solvers.water.plan import Floats, Index, WaterPlan, prepare
from solvers.water.rules import rules
from solvers.water.schedule import schedule
from solvers.water.state import nothing
from solvers.water.steady import VERDICTS, Boundary, Hydraulics, Scratch, culprits, hydraulics, link_start, put
from solvers.water.tanks import tanks

_AT_ONCE = 64  # instants between two looks at the caller's wish to stop, at most
_NODES_AT_ONCE = 50_000  # and fewer of a large network: some 10 ms


@dataclass(frozen=True, eq=False)
class SimulationState:
    """All that a simulation knows between two steps.

    Args:
        time_s: since the start.
        tank_level_m: (n_tank,).
        status: (n_link,) codes of gradient.py, as controls have set them.
        setting: (n_link,).
        found: the last solution, None before the first.
    """

    time_s: int
    tank_level_m: Floats
    status: Index
    setting: Floats
    found: Hydraulics | None


@dataclass(frozen=True, eq=False)
class Trace:
    """A run, at its report times.

    Args:
        time_s: (n_time,) since the start.
        values: column -> (n_time, n).
    """

    time_s: Floats
    values: dict[str, NDArray[np.generic]]


class Simulation:
    """Steps a network through time.

    Args:
        network: the network.
        state: where to begin; the network's own start unless told. Measured tank levels, statuses and settings begin a run
            when put into a `SimulationState` whose `found` is None.
        plan: of a network that differs in what it is told only (demands, patterns, levels, statuses, controls).

    >>> from grid_models.library.water import pumped_tank
    >>> run = Simulation(pumped_tank())
    >>> run.solve().status.name
    'SOLVED'
    >>> run.step(7200.0)
    >>> run.state.time_s
    3600
    """

    def __init__(self, network: WaterNetwork, state: SimulationState | None = None, plan: WaterPlan | None = None) -> None:
        self.network = network
        self.plan = plan or prepare(network)
        self.timetable = lend(timetable(network))
        self.scratch = Scratch(self.plan)
        self.run = lend(new_run(self.plan, self.timetable))
        if state is not None:
            self.state = state

    @property
    def state(self) -> SimulationState:
        """All that the run knows now, as a copy; what is put here is where it goes on."""
        run = self.run
        found = hydraulics(run.state) if run.clock[BEGUN] else None
        return SimulationState(int(run.clock[TIME]), run.level.copy(), run.status.copy(), run.setting.copy(), found)

    @state.setter
    def state(self, state: SimulationState) -> None:
        run = self.run
        run.clock[:] = state.time_s, state.found is not None
        run.level[:], run.status[:], run.setting[:] = state.tank_level_m, state.status, state.setting
        if state.found is not None:
            put(state.found, run.state)
        else:
            run.state.flow[:] = 0.0

    def solve(self) -> Solution[Hydraulics]:
        """The hydraulics at the present instant, after its controls; pressure switches repeat it until they rest."""
        iterations, head, mass, verdict = settle(self.scratch.solver(self.plan), self.timetable, self.run)
        stats = Stats(iterations, mass, extra={"head_error_m": head, "mass_error_m3_per_s": mass})
        return Solution(
            hydraulics(self.run.state), VERDICTS[verdict], stats, culprits(self.plan, self.scratch, VERDICTS[verdict])
        )

    def step(self, until_s: float) -> None:
        """Advance to the next instant at which something may change, and not beyond `until_s`; after a `solve`."""
        advance(self.scratch.solver(self.plan), self.timetable, self.run, int(until_s))

    def boundary(self) -> Boundary:
        """What is asked of the hydraulics at the present instant."""
        run = self.run
        ask_now(self.timetable, run)
        return Boundary(run.demand.copy(), run.held.copy(), run.status.copy(), run.asked.copy())

    def through(self, end_s: float, cancelled: Cancelled = never) -> Solution[Trace]:
        """Run from the present instant to `end_s`.

        Args:
            end_s: since the start.
            cancelled: asked from time to time whether to stop.

        Returns:
            Results at report times; the gravest status of all instants, with its culprits and the largest residual;
            CANCELLED with what was found so far.
        """
        end, solver = int(end_s), self.scratch.solver(self.plan)
        at_once = min(_AT_ONCE, 1 + _NODES_AT_ONCE // len(self.plan.laws.row))
        out = new_record(self.plan, len(self.run.level), (reports(self.network, end),))
        lent, named = lend(out), tuple[str, ...]()
        verdict, iterations, residual, ended = 0, 0, 0.0, False
        while not ended:
            if cancelled():
                return Solution(_trace(out), Status.CANCELLED, Stats(iterations, residual))
            ended, spent, left, now = play(solver, self.timetable, self.run, lent, end, at_once, verdict)
            iterations, residual = iterations + spent, max(residual, left)
            if now > verdict:
                verdict, named = now, culprits(self.plan, self.scratch, VERDICTS[now])
        return Solution(_trace(out), VERDICTS[verdict], Stats(iterations, residual), named)


def timetable(network: WaterNetwork) -> Timetable:
    """What a network is told over time, as kernels take it."""
    o = network.options
    return Timetable(
        schedule(network), tanks(network), controls(network), rules(network), int(o.check_frequency), int(o.max_check)
    )


def new_run(plan: WaterPlan, times: Timetable) -> Run:
    """A run at the network's own start."""
    status, setting = link_start(plan.network)
    n_node, n_link = len(plan.laws.row), len(status)
    return Run(
        np.zeros(2, dtype=np.int64), times.tanks.initial.copy(), status, setting,
        np.zeros(n_node), np.zeros(n_node), np.zeros(n_link), nothing(n_node, n_link),
    )  # fmt: skip


def simulate(network: WaterNetwork, duration_s: float | None = None, cancelled: Cancelled = never) -> Solution[Trace]:
    """Run a network from its own start through its duration, or another one; see `Simulation.through`."""
    end = network.options.duration_s if duration_s is None else duration_s
    return Simulation(network).through(end, cancelled)


def reports(network: WaterNetwork, end_s: int) -> int:
    """How many report times a run from the start to its end has."""
    o = network.options
    return max(0, (end_s - o.report_start_s) // o.report_step_s + 1)


def new_record(plan: WaterPlan, n_tank: int, shape: tuple[int, ...], memory: Memory = fresh) -> Record:
    """Room for report times: (n_time,), or (n_scenario, n_time)."""
    nodes, links = (*shape, len(plan.laws.row)), (*shape, len(plan.laws.kind))
    number = np.float64
    return Record(
        np.zeros(shape[:-1] or 1, dtype=np.int64),
        *room(
            (shape, number), (nodes, number), (nodes, number), (nodes, np.bool_), (links, number), (links, np.int8),
            (links, number), ((*shape, n_tank), number), (nodes, number), (links, number), (links, number), memory=memory,
        ),
    )  # fmt: skip


def _trace(out: Record) -> Trace:
    """What was recorded so far."""
    n = int(out.written[0])
    record = Record(
        out.written, out.time[:n], out.head[:n], out.demand[:n], out.supplied[:n], out.flow[:n], out.code[:n],
        out.setting[:n], out.level[:n], out.pressure[:n], out.velocity[:n], out.loss[:n],
    )  # fmt: skip
    return Trace(record.time, columns(record))
