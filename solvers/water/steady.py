"""One hydraulic state: the gradient method behind plain values, and the named outcome of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid_models.water.network import LinkKind, WaterNetwork
from solvers.linalg.vector import aligned
from solvers.solution import Solution, Stats, Status
from solvers.water.gradient import SETTLED, STUCK, Work, balance
from solvers.water.plan import ACTIVE, CLOSED, FCV, OPEN, PRV, PSV, PUMP, XHEAD, Floats, Index, WaterPlan

_ACCURACY = 1e-7  # of flows; heads follow to well below a millimetre
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
        n_node, n_link, n, n_out = len(plan.laws.row), len(plan.laws.kind), plan.factor.n, len(plan.laws.out_node)

        def flags() -> NDArray[np.bool_]:
            return np.zeros(n_node, dtype=np.bool_)

        def numbers(size: int) -> Index:
            return np.zeros(size, dtype=np.int64)

        self.work = Work(
            p=np.zeros(n_link), r=np.zeros(n_link), mass=np.zeros(n_node), known=np.zeros(n_node), held=flags(),
            part=numbers(n_node), grounded=flags(), pin=flags(), scale=np.zeros(n_node), short=flags(),
            forced=np.zeros(n_link, dtype=np.bool_), seen=numbers(n_link), flips=numbers(n_link),
            lane_q=aligned(plan.laws.lane.shape), lane_r=aligned(plan.laws.lane.shape), lane_m=aligned(plan.laws.lane.shape),
            lane_h=aligned(plan.laws.lane.shape), lane_g=aligned(plan.laws.lane.shape),
            out_q=np.zeros(n_out), out_p=np.zeros(n_out), out_r=np.zeros(n_out),
            served=np.zeros(n_node), served_p=np.zeros(n_node), served_r=np.zeros(n_node),
            a=np.zeros(n + plan.factor.n_upper), f=np.zeros(n), original=np.zeros(n),
        )  # fmt: skip


def initial_boundary(network: WaterNetwork, time_s: float = 0.0) -> Boundary:
    """Demands, heads, statuses and settings that the network's own patterns and initial conditions give.

    Args:
        network: the network.
        time_s: since the start; patterns are read there, statuses and tank levels are the initial ones.
    """
    status, setting = link_start(network)
    pump = network.tables["pump"]
    for i, link in enumerate(network.pump_link.tolist()):
        if str(pump["speed_pattern"][i]):
            setting[link] = pattern_at(network, str(pump["speed_pattern"][i]), time_s)
    head = np.zeros(len(network.node_ids))
    reservoir, tank = network.tables["reservoir"], network.tables["tank"]
    factor = np.array([pattern_at(network, str(p), time_s) for p in reservoir["pattern"]])
    head[network.reservoir_node] = reservoir["head_m"] * factor if reservoir.size else 0.0
    head[network.tank_node] = tank["elevation_m"] + tank["initial_level_m"]
    return Boundary(demand_at(network, time_s), head, status, setting)


def pattern_at(network: WaterNetwork, name: str, time_s: float) -> float:
    """A pattern's factor at a time since the start; 1 for no pattern."""
    if not name:
        return 1.0
    table = network.tables["pattern"]
    factors = table["multipliers"][int(table.rows([name])[0])]
    step = int((time_s + network.options.pattern_start_s) // network.options.pattern_step_s)
    return float(factors[step % len(factors)]) if len(factors) else 1.0


def demand_at(network: WaterNetwork, time_s: float) -> Floats:
    """(n_node,) demands of all categories by their patterns [m3/s]."""
    table = network.tables["demand"]
    names, of = np.unique(table["pattern"].astype(str), return_inverse=True)
    factor = np.array([pattern_at(network, str(n), time_s) for n in names])
    out = np.zeros(len(network.node_ids))
    if table.size:
        drawn = table["base_m3_per_s"] * factor[of] * network.options.demand_multiplier
        np.add.at(out, network.demand_node, drawn)
    return out


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


def first_flows(plan: WaterPlan, boundary: Boundary) -> Floats:
    """(n_link,) flows to begin with: one foot per second in pipes, the design flow in pumps, none where shut."""
    pump = plan.laws.kind == PUMP
    q = np.where(pump, plan.laws.first_flow * boundary.setting, plan.laws.first_flow)
    return np.where(boundary.status <= CLOSED, 0.0, q)


def take_outflows(plan: WaterPlan, scratch: Scratch, head: Floats, served: Floats) -> None:
    """Begin with the outflows that these heads make, and with these demands served."""
    laws, w = plan.laws, scratch.work
    above = np.maximum(head[laws.out_node] - laws.elevation[laws.out_node], 0.0)
    w.out_q[:] = laws.out_k * above**laws.out_n
    w.served[:] = served


def steady(
    plan: WaterPlan,
    scratch: Scratch,
    boundary: Boundary,
    start: Hydraulics | None = None,
    *,
    accuracy: float = _ACCURACY,
    trials: int = 400,
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
    laws, w = plan.laws, scratch.work
    options = plan.network.options
    demand = np.where(laws.row >= 0, boundary.demand_m3_per_s, 0.0)
    status, q, head = _begin(plan, scratch, boundary, start, demand)
    iterations, head_error, mass_error, outcome = balance(
        laws, w, boundary.setting, demand, head, q, status, accuracy, trials, options.check_frequency, options.max_check
    )
    supplied = w.grounded.copy()
    emitted = np.zeros(len(head))
    np.add.at(emitted, laws.out_node, w.out_q)
    hydraulics = Hydraulics(np.where(supplied, head, np.nan), q, status, w.served.copy(), emitted, supplied)
    verdict, culprits = _verdict(plan, scratch, boundary, hydraulics, demand, outcome)
    extra = {"head_error_m": head_error, "mass_error_m3_per_s": mass_error}
    return Solution(hydraulics, verdict, Stats(iterations, mass_error, extra=extra), culprits)


def _begin(
    plan: WaterPlan, scratch: Scratch, boundary: Boundary, start: Hydraulics | None, demand: Floats
) -> tuple[Index, Floats, Floats]:
    """Statuses, flows and heads to begin with; outflows go to the scratch."""
    laws, status, q = plan.laws, boundary.status.copy(), first_flows(plan, boundary)
    served = np.where(demand > 0, demand, 0.0)
    fixed = laws.row < 0
    if start is None:
        head = np.where(fixed, boundary.head_m, laws.elevation)
        take_outflows(plan, scratch, head + 1.0, served)
        return status, q, head
    same = (start.status > CLOSED) == (boundary.status > CLOSED)
    controls = np.isin(laws.kind, (PRV, PSV)) & same & ~np.isnan(boundary.setting)
    status = np.where(controls, start.status, status)
    q = np.where(status <= CLOSED, 0.0, np.where(start.status <= CLOSED, q, start.flow_m3_per_s))
    head = np.where(fixed, boundary.head_m, np.where(np.isfinite(start.head_m), start.head_m, laws.elevation))
    take_outflows(plan, scratch, head, np.minimum(served, np.where(start.supplied, start.demand_m3_per_s, served)))
    return status, q, head


def _verdict(
    plan: WaterPlan, scratch: Scratch, boundary: Boundary, found: Hydraulics, demand: Floats, outcome: int
) -> tuple[Status, tuple[str, ...]]:
    """What must be said of the solution, the gravest first."""
    laws, w = plan.laws, scratch.work
    nodes, links = plan.network.node_ids, plan.network.link_ids
    if outcome == STUCK:
        worst = np.argsort(-np.abs(w.r))[:_NAMED]
        return Status.NOT_CONVERGED, tuple(f"link {links[k]}" for k in worst if abs(w.r[k]) > 0)
    if outcome != SETTLED:
        return Status.VALVES_HUNT, tuple(f"link {links[k]}" for k in np.flatnonzero(w.flips > 0))
    short = ~found.supplied & (w.scale > 0.0) & (w.scale < 1.0)
    stalled = np.flatnonzero((laws.kind == PUMP) & (found.status == XHEAD))
    dry = np.flatnonzero(~found.supplied & ~short)
    if len(dry) and (np.abs(demand[dry]).max() > 0 or not len(stalled)):
        return Status.NO_SUPPLY, tuple(f"node {nodes[i]}" for i in dry)
    if short.any():
        holding = (laws.kind == FCV) & (found.status == ACTIVE) & ~found.supplied[laws.end]
        return Status.SUPPLY_LIMITED, tuple(f"valve {links[k]}" for k in np.flatnonzero(holding))
    yielding = w.forced & (found.head_m[laws.start] < laws.elevation[laws.start] + boundary.setting)
    if yielding.any():
        return Status.VALVE_CANNOT_HOLD, tuple(f"valve {links[k]}" for k in np.flatnonzero(yielding))
    if len(stalled):
        return Status.PUMP_CANNOT_DELIVER, tuple(f"pump {links[k]}" for k in stalled)
    negative = np.flatnonzero((found.head_m < laws.elevation) & (demand > 0) & (laws.row >= 0))
    if len(negative):
        return Status.NEGATIVE_PRESSURE, tuple(f"node {nodes[i]}" for i in negative)
    return Status.SOLVED, ()
