"""What a water network gives a solver once: resistances, curves, the pattern of the matrix, in flat arrays.

Link law, head loss from -> to as a function of flow q (SI):

    pipe      h = r q|q|^(n-1) + m q|q|      Hazen-Williams n = 1.852, Chezy-Manning n = 2
              h = f(Re, e/d) r q|q| + m q|q|  Darcy-Weisbach
    pump      h = -(w^2 h0 - r w^(2-c) q^c)   power law; or a table of points; or h = -P / (rho g q)
    valve     by kind, see gradient.py

The numbers are EPANET's, feet and cubic feet included (L. A. Rossman et al., EPANET 2.2 User Manual, 2020, app. D), so
that a pipe loses here what it loses there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from grid_models.errors import InvalidInput, Issue
from grid_models.water.network import LinkKind, WaterNetwork
from grid_models.water.units import M3_PER_FT3, M_PER_FT
from solvers.linalg.symbolic import Symbolic, symbolic
from solvers.linalg.vector import aligned
from solvers.water.reduction import Skeleton, skeleton

Floats = NDArray[np.float64]
Index = NDArray[np.int64]

HW_EXPONENT, CM_EXPONENT = 1.852, 2.0
_WATT_PER_HP = 745.7
# A pump of one horsepower lifts one cubic foot per second by this many feet (EPANET).
_FEET_PER_HP = 8.814
CONSTANT_POWER, POWER_LAW, TABLE = 0, 1, 2  # kinds of pump
CV, PIPE, PUMP, PRV, PSV, PBV, FCV, TCV, GPV, PCV = range(10)  # LinkKind, as kernels take it
# Statuses with EPANET's numbers: pumps that cannot lift, links shut by a full or empty tank, shut, open, in control, an
# FCV that cannot hold its flow.
XHEAD, TEMPCLOSED, CLOSED, OPEN, ACTIVE, XFCV = 0, 1, 2, 3, 4, 6
FOOT, CUBIC_FOOT = M_PER_FT, M3_PER_FT3
LANES = 8  # links that one vector holds
_FIRST_VELOCITY = 0.3048  # m/s in a pipe, where nothing better is known
_LEAK = 4.8149866  # 0.6 sqrt(2 g) in feet (EPANET)


class Laws(NamedTuple):
    """A network's numbers as kernels take them.

    Args:
        kind: (n_link,) LinkKind.
        start, end: (n_link,) node.
        resistance: (n_link,) r of pipes [SI].
        exponent: n of all pipes; 0 for Darcy-Weisbach.
        minor: (n_link,) m [s2/m5].
        roughness: (n_link,) e/d of Darcy-Weisbach [1].
        viscous: (n_link,) viscosity times diameter [m3/s].
        diameter: (n_link,) [m], 0 for pumps.
        per_area: (n_link,) 1 / cross-section [1/m2], 0 for pumps.
        pump: (n_link,) kind of pump, -1 elsewhere.
        pump_law: (n_link, 4): shut-off head h0 [m], r, c, and the greatest head [m].
        curve_start: (n_link + 1,) points of a pump's or valve's own table.
        curve_q, curve_h: points [m3/s], [m].
        elevation: (n_node,) [m].
        low, high: (n_node,) heads at which a tank gives or takes no more; -inf, inf elsewhere.
        first_flow: (n_link,) where an iteration begins that knows nothing better [m3/s].
        lane_link: links made of pipes with a power law: one pipe, or several in series (reduction.py).
        lane_first: (n_lane_link + 1,) where each one's pipes begin, counted through the lanes.
        lane_r, lane_m: (n_row, 8) r and m of these pipes, 0 beyond the last; without rows where there are none.
        single: (n_single,) links that are in no lane.
        judged: (n_judged,) links whose status can change by itself: all but pipes, and pipes at reservoirs and tanks.
        out_node: (n_out,) junctions with an opening q = k p^n: emitters, and what pipes leak at fixed and growing area.
        out_k, out_n: (n_out,) k [SI] and n.
        out_one_way: (n_out,) whether nothing may flow back in.
        pressure: (4,) 1 where demand depends on pressure, p_min, p_required [m], exponent.
        row: (n_node,) position in elimination order, -1 for reservoirs and tanks.
        slot: (n_link,) slot of the off-diagonal entry, -1 where one end is fixed.
        up, uj, target: of the symbolic factor.
    """

    kind: Index
    start: Index
    end: Index
    resistance: Floats
    exponent: float
    minor: Floats
    roughness: Floats
    viscous: Floats
    diameter: Floats
    per_area: Floats
    pump: Index
    pump_law: Floats
    curve_start: Index
    curve_q: Floats
    curve_h: Floats
    elevation: Floats
    low: Floats
    high: Floats
    first_flow: Floats
    lane_link: Index
    lane_first: Index
    lane_r: Floats
    lane_m: Floats
    single: Index
    judged: Index
    out_node: Index
    out_k: Floats
    out_n: Floats
    out_one_way: NDArray[np.bool_]
    pressure: Floats
    row: Index
    slot: Index
    up: NDArray[np.int32]
    uj: NDArray[np.int32]
    target: NDArray[np.int32]


class Reduction(NamedTuple):
    """The network without its trees and series.

    Args:
        core: what is left.
        graph: what became of each node and link.
        tree_r, tree_m: (n_row, 8) r and m of the trees' pipes.
    """

    core: Laws
    graph: Skeleton
    tree_r: Floats
    tree_m: Floats


@dataclass(frozen=True, eq=False)
class WaterPlan:
    """A network prepared for solving; immutable, shared by all who solve it.

    Args:
        network: where it comes from.
        laws: its numbers.
        factor: the symbolic factor over junctions; `factor.perm` gives places in `junction`.
        junction: (n_junction,) nodes with an unknown head.
        reduction: the network without its trees and series.
    """

    network: WaterNetwork
    laws: Laws
    factor: Symbolic
    junction: Index
    reduction: Reduction

    def with_resistance(self, resistance: Floats) -> WaterPlan:
        """The same network with other resistances: (n_link,) r of pipes [SI]."""
        laws, core = self.laws._replace(resistance=resistance), self.reduction.core
        laws = laws._replace(lane_r=lanes_of(resistance[laws.lane_link]))
        return replace(self, laws=laws, reduction=_reduction(laws, self.reduction.graph, core))


def prepare(network: WaterNetwork) -> WaterPlan:
    """Read the laws of all links and analyse the matrix.

    Raises:
        InvalidInput: pumps whose curve is no curve; all of them at once.
    """
    n_node = len(network.node_ids)
    start, end = network.link_from.copy(), network.link_to.copy()
    row, slot, factor = _matrix(network.node_table > 0, start, end)
    resistance, minor, rough, viscous, diameter, exponent = _pipes(network)
    pump, law, curve_start, curve_q, curve_h = _curves(network)
    low, high = np.full(n_node, -np.inf), np.full(n_node, np.inf)
    tank, at = network.tables["tank"], network.tank_node
    low[at] = tank["elevation_m"] + tank["minimum_level_m"]
    overflows = tank.column("can_overflow", False).astype(bool)
    high[at] = np.where(overflows, np.inf, tank["elevation_m"] + tank["maximum_level_m"])
    out_node, out_k, out_n, one_way = _openings(network)
    kinds = network.link_kind.astype(np.int64)
    lane_link = np.flatnonzero(kinds <= PIPE) if exponent > 0 else np.zeros(0, dtype=np.int64)
    judged = np.flatnonzero((kinds != PIPE) | (row[start] < 0) | (row[end] < 0))
    o = network.options
    laws = Laws(
        kinds, start, end, resistance, exponent, minor, rough, viscous, diameter,
        np.divide(4.0 / np.pi, diameter**2, out=np.zeros(len(diameter)), where=diameter > 0),
        pump, law, curve_start, curve_q, curve_h, np.array(network.node_elevation_m), low, high,
        _first_flow(diameter, pump, curve_start, curve_q),
        lane_link, np.arange(len(lane_link) + 1), lanes_of(resistance[lane_link]), lanes_of(minor[lane_link]),
        np.setdiff1d(np.arange(len(kinds)), lane_link), judged, out_node, out_k, out_n, one_way,
        np.array([o.demand_model == "PDA", o.minimum_pressure_m, o.required_pressure_m, o.pressure_exponent]),
        row, slot, np.array(factor.up), np.array(factor.uj), np.array(factor.target),
    )  # fmt: skip
    graph = skeleton(start, end, _kept(network, laws))
    return WaterPlan(network, laws, factor, np.flatnonzero(row >= 0), _reduction(laws, graph))


def _matrix(fixed: NDArray[np.bool_], start: Index, end: Index) -> tuple[Index, Index, Symbolic]:
    """Rows of nodes, slots of links, and the symbolic factor."""
    row, slot = np.full(len(fixed), -1, dtype=np.int64), np.full(len(start), -1, dtype=np.int64)
    free = np.flatnonzero(~fixed)
    place = np.full(len(fixed), -1, dtype=np.int64)
    place[free] = np.arange(len(free))
    both = (place[start] >= 0) & (place[end] >= 0)
    a, b, n = place[start[both]], place[end[both]], len(free)
    pattern = coo_array((np.ones(2 * len(a)), (np.r_[a, b], np.r_[b, a])), shape=(n, n)).tocsr()
    pattern.sort_indices()
    factor = symbolic(pattern.indptr, pattern.indices)
    row[free] = factor.inverse
    slot[both] = factor.position(a, b)
    return row, slot, factor


def _kept(network: WaterNetwork, laws: Laws) -> NDArray[np.bool_]:
    """(n_node,) nodes that a reduction leaves: all where there is no power law, or where demands depend on pressure."""
    keep = np.array(laws.row < 0)
    if laws.exponent == 0.0 or laws.pressure[0] > 0.0:
        keep[:] = True
    switched = [c.link for c in network.controls] + [a.link for r in network.rules for a in (*r.then, *r.otherwise)]
    links = np.r_[laws.judged, network.links(switched), np.flatnonzero(network.link_status == "closed")]
    keep[laws.start[links]] = keep[laws.end[links]] = True
    keep[laws.out_node] = True
    return keep


def _reduction(laws: Laws, graph: Skeleton, core: Laws | None = None) -> Reduction:
    """The laws of what a skeleton leaves; of a core at hand only the resistances are made anew."""
    link, size = graph.pipe[graph.first[:-1]], np.diff(graph.first)
    is_lane = np.isin(link, laws.lane_link)
    member = graph.pipe[np.repeat(is_lane, size)]
    if core is None:
        row, slot, factor = _matrix(laws.row[graph.node] < 0, graph.start, graph.end)
        place = np.full(len(laws.row), -1, dtype=np.int64)
        place[graph.node] = np.arange(len(graph.node))
        core = laws._replace(
            kind=laws.kind[link], start=graph.start, end=graph.end, minor=laws.minor[link], roughness=laws.roughness[link],
            viscous=laws.viscous[link], diameter=laws.diameter[link], per_area=laws.per_area[link],
            pump=laws.pump[link], pump_law=laws.pump_law[link],
            curve_start=np.r_[0, np.cumsum(np.diff(laws.curve_start)[link])],  # who has a curve keeps its place among its like
            elevation=laws.elevation[graph.node],
            low=laws.low[graph.node], high=laws.high[graph.node], first_flow=laws.first_flow[link],
            lane_link=np.flatnonzero(is_lane), lane_first=np.r_[0, np.cumsum(size[is_lane])],
            lane_m=lanes_of(laws.minor[member]), single=np.flatnonzero(~is_lane),
            judged=np.flatnonzero(np.isin(link, laws.judged)), out_node=place[laws.out_node], row=row, slot=slot,
            up=np.array(factor.up), uj=np.array(factor.uj), target=np.array(factor.target),
        )  # fmt: skip
    core = core._replace(resistance=laws.resistance[link], lane_r=lanes_of(laws.resistance[member]))
    tree = graph.tree_pipe
    return Reduction(core, graph, lanes_of(laws.resistance[tree]), lanes_of(laws.minor[tree]))


def lanes_of(values: Floats) -> Floats:
    """(n_row, 8) values one after the other, 0 beyond the last."""
    out: Floats = aligned((-(-len(values) // LANES), LANES))
    out.ravel()[: len(values)] = values
    return out


def minor_coefficient(loss: Floats, diameter_m: Floats) -> Floats:
    """(n,) m of h = m q^2 [s2/m5] from a dimensionless loss coefficient."""
    return np.asarray(0.02517 * loss / (diameter_m / M_PER_FT) ** 4 * M_PER_FT / M3_PER_FT3**2)


def _pipes(network: WaterNetwork) -> tuple[Floats, Floats, Floats, Floats, Floats, float]:
    n_link = len(network.link_ids)
    resistance, minor, rough = np.zeros(n_link), np.zeros(n_link), np.zeros(n_link)
    viscous, diameter = np.zeros(n_link), np.zeros(n_link)
    pipe, valve = network.tables["pipe"], network.tables["valve"]
    at = network.pipe_link
    d, length = pipe["diameter_m"] / M_PER_FT, pipe["length_m"] / M_PER_FT
    formula = network.options.headloss
    if formula == "H-W":
        exponent = HW_EXPONENT
        r = 4.727 * length / pipe["roughness"] ** HW_EXPONENT / d**4.871
    elif formula == "C-M":
        exponent = CM_EXPONENT
        r = (4.0 * pipe["roughness"] / (1.49 * np.pi * d**2)) ** 2 * (d / 4.0) ** -1.333 * length
    else:
        exponent = 0.0
        r = length / 2.0 / 32.2 / d / (np.pi * d**2 / 4.0) ** 2
        rough[at] = pipe["roughness"] / pipe["diameter_m"]
    power = exponent or 2.0
    resistance[at] = r * M_PER_FT / M3_PER_FT3**power
    minor[at] = minor_coefficient(pipe["minor_loss"], pipe["diameter_m"])
    diameter[at] = pipe["diameter_m"]
    # EPANET's Reynolds number takes the viscosity in ft2/s and the flow in its own cubic feet.
    viscous[at] = network.options.viscosity_m2_per_s / M_PER_FT**2 * d * M3_PER_FT3
    at = network.valve_link
    diameter[at] = valve["diameter_m"]
    minor[at] = minor_coefficient(valve["minor_loss"], valve["diameter_m"])
    return resistance, minor, rough, viscous, diameter, exponent


def _first_flow(diameter: Floats, pump: Index, curve_start: Index, curve_q: Floats) -> Floats:
    """One foot per second in pipes and valves, the design flow in pumps."""
    out = np.pi * diameter**2 / 4.0 * _FIRST_VELOCITY
    for k in np.flatnonzero(pump >= 0):
        points = curve_q[curve_start[k] : curve_start[k + 1]]
        if pump[k] == CONSTANT_POWER:
            out[k] = CUBIC_FOOT
        else:
            out[k] = points[-1] / 2 if pump[k] == TABLE else points[len(points) // 2]
    return np.asarray(out)


def _openings(network: WaterNetwork) -> tuple[Index, Floats, Floats, NDArray[np.bool_]]:
    """Emitters, then the leaks of pipes, half at each end that is a junction (FAVAD: q = C L (A + m p) sqrt p)."""
    n_node = len(network.node_ids)
    k = np.zeros((3, n_node))
    k[0, network.junction_node] = network.tables["junction"]["emitter_coefficient"]
    pipe, at = network.tables["pipe"], network.pipe_link
    ends = np.stack([network.link_from[at], network.link_to[at]])
    is_junction = network.node_table[ends] == 0
    share = np.where(is_junction, 1.0, 0.0) / np.maximum(is_junction.sum(axis=0), 1)
    orifice = _LEAK * np.sqrt(FOOT) * M3_PER_FT3 / FOOT**3
    for row, name in ((1, "leak_area_m2_per_m"), (2, "leak_expansion_m2_per_m2")):
        np.add.at(k[row], ends, orifice * share * pipe["length_m"] * pipe.column(name, 0.0))
    n = (float(network.options.emitter_exponent), 0.5, 1.5)
    which, node = np.nonzero(k > 0)
    one_way = (which > 0) | (not network.options.emitter_backflow)
    return node.astype(np.int64), k[which, node], np.array(n)[which], one_way


def _curves(network: WaterNetwork) -> tuple[Index, Floats, Index, Floats, Floats]:
    n_link = len(network.link_ids)
    kind, law = np.full(n_link, -1, dtype=np.int64), np.zeros((n_link, 4))
    points: list[tuple[Floats, Floats]] = [(np.zeros(0), np.zeros(0))] * n_link
    curves, issues = network.tables["curve"], []
    pumps, valves = network.tables["pump"], network.tables["valve"]
    for i, link in enumerate(network.pump_link.tolist()):
        name = str(pumps["head_curve"][i])
        if not name:
            kind[link] = CONSTANT_POWER
            feet = _FEET_PER_HP * float(pumps["power_w"][i]) / _WATT_PER_HP
            law[link] = (0.0, -feet * M_PER_FT * M3_PER_FT3, -1.0, np.inf)
            continue
        c = int(curves.rows([name])[0])
        q, h = np.asarray(curves["x"][c], dtype=float), np.asarray(curves["y"][c], dtype=float)
        try:
            kind[link], law[link] = _pump(q, h)
        except ValueError as error:
            issues.append(Issue("pump", "head_curve", (str(pumps.index[i]),), f"curve {name} {error}"))
        points[link] = (q, h)
    for i, link in enumerate(network.valve_link.tolist()):
        if network.link_kind[link] in (LinkKind.GPV, LinkKind.PCV) and str(valves["curve"][i]):
            c = int(curves.rows([str(valves["curve"][i])])[0])
            points[link] = np.asarray(curves["x"][c], dtype=float), np.asarray(curves["y"][c], dtype=float)
    if issues:
        raise InvalidInput(issues)
    first = np.concatenate([[0], np.cumsum([len(q) for q, _ in points])]).astype(np.int64)
    return kind, law, first, np.concatenate([q for q, _ in points]), np.concatenate([h for _, h in points])


def _pump(q: Floats, h: Floats) -> tuple[int, Any]:
    """Kind and law of a pump from the points of its curve."""
    if len(q) == 1:
        q, h = np.array([0.0, q[0], 2.0 * q[0]]), np.array([1.33334 * h[0], h[0], 0.0])
    if len(q) == 3 and q[0] == 0.0:
        first, second = h[0] - h[1], h[0] - h[2]
        if h[0] < 1e-6 or first < 1e-6 or second < 1e-6 or q[1] < 1e-9 or q[2] < 1e-9 or second <= first:
            raise ValueError("does not fall from shut-off to its last point")
        c = np.log(second / first) / np.log(q[2] / q[1])
        if not 0.0 < c <= 20.0:
            raise ValueError(f"fits no pump: its exponent would be {c:.3g}")
        return POWER_LAW, (h[0], first / q[1] ** c, c, h[0])
    if len(q) < 2 or (np.diff(h) >= 0).any():
        raise ValueError("must fall from point to point")
    return TABLE, (0.0, 0.0, 1.0, h[0] - q[0] * (h[1] - h[0]) / (q[1] - q[0]))
