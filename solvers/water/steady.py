"""One hydraulic state: the gradient method behind plain values, and what it answers about small changes.

Around a solved state, heads answer linearly to demands: dH = S dd. A column costs one back-substitution, and so does a
row. Valves in control make S unsymmetric: with A the matrix of gradient.py, h the node a valve v holds and o the node on
its other side, the share of a demand that reaches o through v is c_v = A^-1 sum_k p_hk e_k (k: neighbours of h), valves in
series multiply, C = (I - M)^-1 c with M_vw = c_v[o_w], and

    dH = -A^-1 (dd + sum_v e_o(v) C_v dd)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from grid_models.water.network import LinkKind, WaterNetwork
from solvers.linalg.ldl import ldl_factor, ldl_solve
from solvers.solution import Solution, Stats, Status
from solvers.water.gradient import (
    ACTIVE,
    CLOSED,
    OPEN,
    XHEAD,
    add_outflows,
    assemble,
    balance,
    linearise,
)
from solvers.water.plan import POWER, TABLE, Floats, Index, WaterPlan

_ACCURACY = 1e-7  # of flows; heads follow to well below a millimetre
_FOOT_PER_S = 0.3048


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
        n_node, n_link, n = len(plan.laws.row), len(plan.laws.kind), plan.factor.n
        self.p, self.y = np.zeros(n_link), np.zeros(n_link)
        self.inflow = np.zeros(n_node)
        self.a, self.f = np.zeros(n + plan.factor.n_upper), np.zeros(n)
        self.original = np.zeros(n)
        self._supply: tuple[bytes, NDArray[np.bool_]] | None = None

    def reached(self, plan: WaterPlan, status: Index) -> NDArray[np.bool_]:
        """`reached`, remembered from one solve to the next: statuses seldom change."""
        key = status.tobytes()
        if self._supply is None or self._supply[0] != key:
            self._supply = key, reached(plan, status)
        return self._supply[1]


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
    """(n_link,) flows to begin with: one foot per second in pipes, the design flow in pumps."""
    laws = plan.laws
    q = np.pi * laws.diameter**2 / 4.0 * _FOOT_PER_S
    for k in np.flatnonzero(laws.kind == LinkKind.PUMP):
        points = laws.curve_q[laws.curve_start[k] : laws.curve_start[k + 1]]
        design = (
            0.028317 if laws.pump[k] == POWER else float(points[-1] / 2 if laws.pump[k] == TABLE else points[len(points) // 2])
        )
        q[k] = design * boundary.setting[k]
    return np.where(boundary.status <= CLOSED, 1e-6 * 0.028317, q)


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
        SOLVED; NO_SUPPLY naming the nodes that no water reaches; NEGATIVE_PRESSURE; PUMP_CANNOT_DELIVER naming pumps;
        NOT_CONVERGED naming the links whose flow moved most.
    """
    network, laws = plan.network, plan.laws
    q = first_flows(plan, boundary) if start is None else start.flow_m3_per_s.copy()
    status = boundary.status.copy()
    if start is not None:
        same = (start.status > CLOSED) == (boundary.status > CLOSED)
        valve = np.isin(laws.kind, (LinkKind.PRV, LinkKind.PSV))
        status = np.where(valve & same & ~np.isnan(boundary.setting), start.status, status)
        q = np.where(status <= CLOSED, 1e-6 * 0.028317, np.where(start.status <= CLOSED, first_flows(plan, boundary), q))
    head = boundary.head_m.copy()
    options = network.options
    pressure = np.array(
        [
            options.demand_model == "PDA",
            options.minimum_pressure_m,
            options.required_pressure_m,
            options.pressure_exponent,
        ],
        dtype=np.float64,
    )
    demand = np.where(laws.row >= 0, boundary.demand_m3_per_s, 0.0)
    emitted = np.where(laws.emitter > 0, 1e-3, 0.0) if start is None else start.emitted_m3_per_s.copy()
    served = np.where(demand > 0, demand, 0.0)
    iterations, relative = balance(
        laws, pressure, boundary.setting, demand, head, q, status, emitted, served,
        scratch.p, scratch.y, scratch.inflow, scratch.a, scratch.f, scratch.original,
        accuracy, trials, options.check_frequency, options.max_check,
    )  # fmt: skip
    supplied = scratch.reached(plan, status)
    shut = status <= CLOSED
    stranded = ~supplied[laws.start] & ~supplied[laws.end]
    drawn = np.where((pressure[0] > 0) & (demand > 0), served, demand)
    hydraulics = Hydraulics(
        head_m=np.where(supplied, head, np.nan),
        flow_m3_per_s=np.where(shut | stranded, 0.0, q),
        status=status,
        demand_m3_per_s=np.where(supplied, drawn, 0.0),
        emitted_m3_per_s=np.where(supplied, emitted, 0.0),
        supplied=supplied,
    )
    verdict, culprits = _verdict(plan, hydraulics, demand, iterations > trials)
    return Solution(hydraulics, verdict, Stats(iterations, relative), culprits)


def _verdict(plan: WaterPlan, found: Hydraulics, demand: Floats, failed: bool) -> tuple[Status, tuple[str, ...]]:
    """What must be said of the solution, the gravest first."""
    network, laws = plan.network, plan.laws
    if failed:
        return Status.NOT_CONVERGED, ()
    nodes, links = network.node_ids, network.link_ids
    dry = np.flatnonzero(~found.supplied)
    if len(dry):
        return Status.NO_SUPPLY, tuple(f"node {nodes[i]}" for i in dry)
    stalled = np.flatnonzero((laws.kind == LinkKind.PUMP) & (found.status == XHEAD))
    if len(stalled):
        return Status.PUMP_CANNOT_DELIVER, tuple(f"pump {links[k]}" for k in stalled)
    negative = np.flatnonzero((found.head_m < laws.elevation) & (demand > 0) & (laws.row >= 0))
    if len(negative):
        return Status.NEGATIVE_PRESSURE, tuple(f"node {nodes[i]}" for i in negative)
    return Status.SOLVED, ()


def reached(plan: WaterPlan, status: Index) -> NDArray[np.bool_]:
    """(n_node,) whether an open way leads to a reservoir or tank."""
    laws = plan.laws
    n = len(laws.row)
    use = status > CLOSED
    graph = coo_array((np.ones(int(use.sum()), dtype=np.int8), (laws.start[use], laws.end[use])), shape=(n, n)).tocsr()
    _, label = connected_components(graph, directed=False)
    fed = np.zeros(int(label.max()) + 1, dtype=bool)
    fed[label[laws.row < 0]] = True
    return np.asarray(fed[label])


class Linear:
    """A solved state's answers to small changes of demand.

    Args:
        plan: of the network.
        scratch: a worker's; it is overwritten.
        boundary: what was solved.
        at: the solution.
    """

    def __init__(self, plan: WaterPlan, scratch: Scratch, boundary: Boundary, at: Hydraulics) -> None:
        laws, factor = plan.laws, plan.factor
        self._plan = plan
        head = np.where(np.isfinite(at.head_m), at.head_m, laws.elevation)
        q = np.where(at.status <= CLOSED, 0.0, at.flow_m3_per_s)
        p, y = np.zeros(len(q)), np.zeros(len(q))
        linearise(laws, at.status, boundary.setting, q, p, y)
        a = np.zeros(factor.n + factor.n_upper)
        assemble(laws, boundary.setting, at.demand_m3_per_s, head, q, p, y, scratch.inflow, a, scratch.f)
        none = np.zeros(4)
        add_outflows(laws, at.demand_m3_per_s, none, at.emitted_m3_per_s, at.demand_m3_per_s, a, scratch.f)
        ldl_factor(laws.up, laws.uj, laws.target, a, scratch.original, 0.0)
        self._a, self._p = a, p
        holds = (p == 0.0) & np.isin(laws.kind, (LinkKind.PRV, LinkKind.PSV))
        self._valves = np.flatnonzero(holds)
        prv = laws.kind[self._valves] == LinkKind.PRV
        self._held = np.where(prv, laws.end[self._valves], laws.start[self._valves])
        self._other = np.where(prv, laws.start[self._valves], laws.end[self._valves])
        self._carried = self._carry()

    def heads(self, nodes: Index) -> Floats:
        """dH_i / d demand_j [m per m3/s].

        Args:
            nodes: (k,) whose heads.

        Returns:
            (k, n_node): the change of each head by a demand at each node.
        """
        out = np.zeros((len(nodes), len(self._plan.laws.row)))
        for i, node in enumerate(nodes.tolist()):
            z = self._solve_at(np.array([node]), np.ones(1))
            out[i] = -z - z[self._other] @ self._carried
        return out

    def flows(self, links: Index) -> Floats:
        """(k, n_node) dq_k / d demand_j of chosen links [1]."""
        laws = self._plan.laws
        ends = self.heads(np.concatenate([laws.start[links], laws.end[links]]))
        out = self._p[links][:, None] * (ends[: len(links)] - ends[len(links) :])
        for i, link in enumerate(links.tolist()):
            if self._p[link] == 0.0 and link in self._valves:
                out[i] = self._carried[int(np.flatnonzero(self._valves == link)[0])]
        return np.asarray(out)

    def respond(self, demand: Floats) -> tuple[Floats, Floats]:
        """Heads' and flows' answers to changes of demand.

        Args:
            demand: (k, n_node) changes [m3/s].

        Returns:
            (k, n_node) head changes [m] and (k, n_link) flow changes [m3/s].
        """
        laws = self._plan.laws
        head = np.zeros((len(demand), len(laws.row)))
        every = np.arange(len(laws.row))
        through = demand @ self._carried.T
        for i, change in enumerate(demand):
            drawn = change.copy()
            np.add.at(drawn, self._other, through[i])
            head[i] = -self._solve_at(every, drawn)
        flow = self._p * (head[:, laws.start] - head[:, laws.end])
        flow[:, self._valves] = through
        return head, flow

    def _solve_at(self, nodes: Index, values: Floats) -> Floats:
        """(n_node,) A^-1 b with b given at some nodes; zero at fixed ones."""
        laws, factor = self._plan.laws, self._plan.factor
        b = np.zeros(factor.n)
        row = laws.row[nodes]
        np.add.at(b, row[row >= 0], values[row >= 0])
        ldl_solve(laws.up, laws.uj, self._a, b)
        return np.where(laws.row >= 0, b[np.maximum(laws.row, 0)], 0.0)

    def _carry(self) -> Floats:
        """(n_valve, n_node) C: how much more a valve in control carries per unit of demand at each node."""
        laws = self._plan.laws
        direct = np.zeros((len(self._valves), len(laws.row)))
        for v, held in enumerate(self._held.tolist()):
            links = np.flatnonzero(((laws.start == held) | (laws.end == held)) & (self._p > 0))
            far = np.where(laws.start[links] == held, laws.end[links], laws.start[links])
            direct[v] = self._solve_at(far, self._p[links])
            direct[v, held] = 1.0
        chained = direct[:, self._other]
        np.fill_diagonal(chained, 0.0)
        return np.asarray(np.linalg.solve(np.eye(len(self._valves)) - chained, direct)) if len(direct) else direct
