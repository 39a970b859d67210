"""One hydraulic state: the gradient method behind plain values, and the named outcome of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_models.water.network import LinkKind, WaterNetwork
from solvers.lending import lend
from solvers.linalg.vector import aligned
from solvers.solution import Solution, Stats, Status
from solvers.water.gradient import work_space
from solvers.water.plan import ACTIVE, CLOSED, OPEN, Floats, Index, WaterPlan
from solvers.water.schedule import ask, schedule
from solvers.water.state import ACCURACY, TRIALS, Folded, Solver, State, nothing, solve_state

VERDICTS = (
    Status.SOLVED, Status.NEGATIVE_PRESSURE, Status.PUMP_CANNOT_DELIVER, Status.VALVE_CANNOT_HOLD, Status.SUPPLY_LIMITED,
    Status.NO_SUPPLY, Status.VALVES_HUNT, Status.NOT_CONVERGED,
)  # fmt: skip
_NUMBERS, _CODES = np.dtype(np.float64), np.dtype(np.int64)
_NAMED = 16  # links that a solve without result tells


@dataclass(frozen=True, eq=False)
class Boundary:
    """What a hydraulic state is the answer to.

    Args:
        demand_m3_per_s: (n_node,) drawn at junctions; of others ignored.
        head_m: (n_node,) held at reservoirs and tanks; of others ignored.
        status: (n_link,) codes of gradient.py: CLOSED, OPEN, ACTIVE.
        setting: (n_link,) speed of pumps; of valves in SI, nan where they are fixed open or closed.
    """

    demand_m3_per_s: Floats
    head_m: Floats
    status: Index
    setting: Floats


@dataclass(frozen=True, eq=False)
class Hydraulics:
    """A solved state.

    Args:
        head_m: (n_node,) nan where no water reaches.
        flow_m3_per_s: (n_link,) positive from -> to.
        status: (n_link,) codes of gradient.py.
        demand_m3_per_s: (n_node,) drawn by consumers; where it depends on pressure, what they get.
        emitted_m3_per_s: (n_node,) through emitters.
        supplied: (n_node,) whether water reaches it.
    """

    head_m: Floats
    flow_m3_per_s: Floats
    status: Index
    demand_m3_per_s: Floats
    emitted_m3_per_s: Floats
    supplied: NDArray[np.bool_]


class Scratch:
    """Work space of one worker for one plan; never stored, never shared."""

    def __init__(self, plan: WaterPlan) -> None:
        laws, core = plan.laws, plan.reduction.core
        self.work = work_space(laws)
        rows = plan.reduction.tree_r.shape
        self.folded = Folded(
            work_space(core), nothing(len(core.row), len(core.kind)), np.zeros(len(laws.row)), np.zeros(len(core.row)),
            np.zeros(len(core.kind), dtype=np.int64), np.zeros(len(core.kind)), aligned(rows), aligned(rows), aligned(rows),
        )  # fmt: skip
        self.state = lend(nothing(len(laws.row), len(laws.kind)))
        self._plan, self._solver = plan, self._lent(plan)

    def solver(self, plan: WaterPlan) -> Solver:
        """With a plan of the same graph, what kernels take."""
        if plan is not self._plan:
            self._plan, self._solver = plan, self._lent(plan)
        return self._solver

    def _lent(self, plan: WaterPlan) -> Solver:
        return lend(Solver(plan.laws, self.work, plan.reduction, self.folded))


def initial_boundary(network: WaterNetwork, time_s: float = 0.0) -> Boundary:
    """Demands, heads, statuses and settings that the network's own patterns and initial conditions give.

    Args:
        network: the network.
        time_s: since the start; patterns are read there, statuses and tank levels are the initial ones.
    """
    status, setting = link_start(network)
    demand, head = np.zeros(len(network.node_ids)), np.zeros(len(network.node_ids))
    ask(lend(schedule(network)), int(time_s), demand, head, setting)
    tank = network.tables["tank"]
    head[network.tank_node] = tank["elevation_m"] + tank["initial_level_m"]
    return Boundary(demand, head, status, setting)


def demand_at(network: WaterNetwork, time_s: float) -> Floats:
    """(n_node,) demands of all categories by their patterns [m3/s]."""
    return initial_boundary(network, time_s).demand_m3_per_s


def link_start(network: WaterNetwork) -> tuple[Index, Floats]:
    """Initial status codes and settings of all links."""
    codes = {"closed": CLOSED, "open": OPEN, "active": ACTIVE}
    status = np.array([codes[str(s)] for s in network.link_status], dtype=np.int64)
    setting = np.ones(len(status))
    setting[network.pump_link] = network.tables["pump"]["speed"]
    valve = network.tables["valve"]
    setting[network.valve_link] = np.where(valve["status"] == "active", valve["setting"], np.nan)
    gpv = network.link_kind == LinkKind.GPV
    setting[gpv] = 0.0
    return status, setting


def steady(
    plan: WaterPlan,
    scratch: Scratch,
    boundary: Boundary,
    start: Hydraulics | None = None,
    *,
    accuracy: float = ACCURACY,
    trials: int = TRIALS,
) -> Solution[Hydraulics]:
    """Solve one hydraulic state.

    Args:
        plan: of the network.
        scratch: of this worker; afterwards it belongs to this solution.
        boundary: demands, held heads, statuses, settings.
        start: flows to begin with.
        accuracy: sum of flow changes over sum of flows at which to stop.
        trials: at most so many iterations.

    Returns:
        SOLVED; NO_SUPPLY naming the nodes that no water reaches; SUPPLY_LIMITED and VALVE_CANNOT_HOLD naming valves;
        NEGATIVE_PRESSURE; PUMP_CANNOT_DELIVER naming pumps; VALVES_HUNT naming links that find no rest; NOT_CONVERGED
        naming the links whose law holds least. `stats.extra` has `head_error_m` and `mass_error_m3_per_s`.
    """
    options = plan.network.options
    state = scratch.state
    if start is not None:
        put(start, state)
    iterations, head_error, mass_error, verdict = solve_state(
        scratch.solver(plan), _plain(boundary.demand_m3_per_s), _plain(boundary.head_m), _plain(boundary.status, _CODES),
        _plain(boundary.setting), state, start is not None, accuracy, trials, options.check_frequency, options.max_check,
    )  # fmt: skip
    extra = {"head_error_m": head_error, "mass_error_m3_per_s": mass_error}
    stats = Stats(iterations, mass_error, extra=extra)
    return Solution(hydraulics(state), VERDICTS[verdict], stats, culprits(plan, scratch, VERDICTS[verdict]))


def put(found: Hydraulics, state: State) -> None:
    """Write a solved state into one for kernels."""
    state.head[:], state.flow[:], state.status[:] = found.head_m, found.flow_m3_per_s, found.status
    state.demand[:], state.emitted[:], state.supplied[:] = found.demand_m3_per_s, found.emitted_m3_per_s, found.supplied


def hydraulics(state: State) -> Hydraulics:
    """A copy of a state."""
    return Hydraulics(
        state.head.copy(), state.flow.copy(), state.status.copy(), state.demand.copy(), state.emitted.copy(),
        state.supplied.copy(),
    )  # fmt: skip


def _plain(values: NDArray[Any], kind: np.dtype[Any] = _NUMBERS) -> NDArray[Any]:
    """Itself, or a plain copy: a kernel is compiled again for arrays that are read-only or in pieces."""
    return values if values.dtype is kind and values.flags.carray else np.array(values, dtype=kind, order="C")


def culprits(plan: WaterPlan, scratch: Scratch, verdict: Status) -> tuple[str, ...]:
    """Names of what the verdict of the scratch's last state speaks of."""
    if verdict is Status.SOLVED:
        return ()
    w, nodes, links = scratch.work, plan.network.node_ids, plan.network.link_ids
    if verdict in (Status.NO_SUPPLY, Status.NEGATIVE_PRESSURE):
        return tuple(f"node {nodes[i]}" for i in np.flatnonzero(w.named_node))
    if verdict is Status.NOT_CONVERGED:
        worst = np.argsort(-np.abs(w.r))[:_NAMED]
        return tuple(f"link {links[k]}" for k in worst if abs(w.r[k]) > 0)
    word = {Status.VALVES_HUNT: "link", Status.PUMP_CANNOT_DELIVER: "pump"}.get(verdict, "valve")
    return tuple(f"{word} {links[k]}" for k in np.flatnonzero(w.named_link))
