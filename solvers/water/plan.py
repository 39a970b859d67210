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

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from grid_models.errors import InvalidInput, Issue
from grid_models.water.network import LinkKind, WaterNetwork
from grid_models.water.units import M3_PER_FT3, M_PER_FT
from solvers.linalg.symbolic import Symbolic, symbolic

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
        pump: (n_link,) kind of pump, -1 elsewhere.
        pump_law: (n_link, 4): shut-off head h0 [m], r, c, and the greatest head [m].
        curve_start: (n_link + 1,) points of a pump's or valve's own table.
        curve_q, curve_h: points [m3/s], [m].
        elevation: (n_node,) [m].
        low, high: (n_node,) heads at which a tank gives or takes no more; -inf, inf elsewhere.
        first_flow: (n_link,) where an iteration begins that knows nothing better [m3/s].
        lane: (n_row, 8) pipes with a power law, -1 beyond the last; without rows where there is none.
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
    pump: Index
    pump_law: Floats
    curve_start: Index
    curve_q: Floats
    curve_h: Floats
    elevation: Floats
    low: Floats
    high: Floats
    first_flow: Floats
    lane: Index
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


@dataclass(frozen=True, eq=False)
class WaterPlan:
    """A network prepared for solving; immutable, shared by all who solve it.

    Args:
        network: where it comes from.
        laws: its numbers.
        factor: the symbolic factor over junctions; `factor.perm` gives places in `junction`.
        junction: (n_junction,) nodes with an unknown head.
    """

    network: WaterNetwork
    laws: Laws
    factor: Symbolic
    junction: Index


def prepare(network: WaterNetwork) -> WaterPlan:
    """Read the laws of all links and analyse the matrix.

    Raises:
        InvalidInput: pumps whose curve is no curve; all of them at once.
    """
    n_node, n_link = len(network.node_ids), len(network.link_ids)
    start, end = network.link_from.copy(), network.link_to.copy()
    is_fixed = network.node_table > 0
    row = np.full(n_node, -1, dtype=np.int64)
    free = np.flatnonzero(~is_fixed)
    place = np.full(n_node, -1, dtype=np.int64)
    place[free] = np.arange(len(free))
    both = (place[start] >= 0) & (place[end] >= 0)
    a, b = place[start[both]], place[end[both]]
    n = len(free)
    pattern = coo_array((np.ones(2 * len(a)), (np.r_[a, b], np.r_[b, a])), shape=(n, n)).tocsr()
    pattern.sort_indices()
    factor = symbolic(pattern.indptr, pattern.indices)
    row[free] = factor.inverse
    slot = np.full(n_link, -1, dtype=np.int64)
    slot[both] = factor.position(a, b)
    resistance, minor, rough, viscous, diameter, exponent = _pipes(network)
    pump, law, curve_start, curve_q, curve_h = _curves(network)
    low, high = np.full(n_node, -np.inf), np.full(n_node, np.inf)
    tank, at = network.tables["tank"], network.tank_node
    low[at] = tank["elevation_m"] + tank["minimum_level_m"]
    overflows = tank.column("can_overflow", False).astype(bool)
    high[at] = np.where(overflows, np.inf, tank["elevation_m"] + tank["maximum_level_m"])
    out_node, out_k, out_n, one_way = _openings(network)
    kinds = network.link_kind.astype(np.int64)
    lane = _lanes(kinds, exponent)
    single = np.setdiff1d(np.arange(n_link), lane)
    judged = np.flatnonzero((kinds != PIPE) | ~both)
    o = network.options
    laws = Laws(
        kinds, start, end, resistance, exponent, minor, rough, viscous, diameter,
        pump, law, curve_start, curve_q, curve_h, np.array(network.node_elevation_m), low, high,
        _first_flow(diameter, pump, curve_start, curve_q), lane, single, judged, out_node, out_k, out_n, one_way,
        np.array([o.demand_model == "PDA", o.minimum_pressure_m, o.required_pressure_m, o.pressure_exponent]),
        row, slot, np.array(factor.up), np.array(factor.uj), np.array(factor.target),
    )  # fmt: skip
    return WaterPlan(network, laws, factor, free)


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


def _lanes(kind: Index, exponent: float) -> Index:
    pipes = np.flatnonzero(kind <= PIPE) if exponent > 0 else np.zeros(0, dtype=np.int64)
    lane = np.full((-(-len(pipes) // LANES), LANES), -1, dtype=np.int64)
    lane.ravel()[: len(pipes)] = pipes
    return lane


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
