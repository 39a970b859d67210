"""How well an answer satisfies the physics, whoever gave it: mass, head loss, and what each valve and pump must obey.

Nothing of the iteration is used here but the law of a single link; the parts without source are found anew by graph search.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from grid_models.water.network import LinkKind
from solvers.lending import lend
from solvers.water.laws import link_law
from solvers.water.plan import (
    ACTIVE,
    CLOSED,
    CONSTANT_POWER,
    CV,
    FCV,
    PIPE,
    PRV,
    PSV,
    PUMP,
    TEMPCLOSED,
    XHEAD,
    Floats,
    Index,
    WaterPlan,
)
from solvers.water.statuses import FLOW_TOLERANCE, HEAD_TOLERANCE
from solvers.water.steady import Boundary, Hydraulics

_NAMED = 16
_SLACK_M = 1e-6


@dataclass(frozen=True)
class Residuals:
    """What is left of each equation.

    Args:
        mass: largest imbalance of a junction over the network's inflow [1].
        mass_at: that junction.
        head_m: largest difference between a link's head loss and its law, or a valve's held head and its setting [m].
        head_at: that link.
        outflow: by how much openings or pressure-dependent demands miss their law at a pressure within 1e-6 m, over the
            inflow [1].
        broken: links whose condition does not hold, with what is wrong.
    """

    mass: float
    mass_at: str
    head_m: float
    head_at: str
    outflow: float
    broken: tuple[str, ...]

    @property
    def hold(self) -> bool:
        """Whether everything holds: 1e-6 of the inflow, 1e-6 m, every condition."""
        return self.mass <= 1e-6 and self.head_m <= 1e-6 and self.outflow <= 1e-6 and not self.broken


def residuals(plan: WaterPlan, boundary: Boundary, found: Hydraulics) -> Residuals:
    """Check an answer.

    Args:
        plan: of the network.
        boundary: the question.
        found: the answer; heads may be nan where no water reaches.
    """
    ids = plan.network.link_ids
    mass, inflow = _imbalance(plan, found)
    loss = _head_residuals(plan, boundary, found)
    node, link = int(np.argmax(mass)), int(np.argmax(loss)) if len(loss) else 0
    broken = [*_conditions(plan, boundary, found), *_supply(plan, boundary, found)]
    return Residuals(
        mass=float(mass[node] / inflow),
        mass_at=str(plan.network.node_ids[node]),
        head_m=float(loss[link]) if len(loss) else 0.0,
        head_at=str(ids[link]) if len(loss) else "",
        outflow=float(np.max(_outflow_errors(plan, boundary, found, inflow), initial=0.0)),
        broken=tuple(broken[:_NAMED]),
    )


def _imbalance(plan: WaterPlan, found: Hydraulics) -> tuple[Floats, float]:
    """(n_node,) imbalance of junctions [m3/s], and what enters the network [m3/s]."""
    laws = plan.laws
    net = -(found.demand_m3_per_s + found.emitted_m3_per_s)
    np.add.at(net, laws.end, found.flow_m3_per_s)
    np.add.at(net, laws.start, -found.flow_m3_per_s)
    fixed = laws.row < 0
    entering = np.maximum(-net[fixed], 0.0).sum() + np.maximum(-found.demand_m3_per_s[~fixed], 0.0).sum()
    return np.where(fixed, 0.0, np.abs(net)), max(float(entering), 1e-6)


def _head_residuals(plan: WaterPlan, boundary: Boundary, found: Hydraulics) -> Floats:
    """(n_link,) [m]; 0 for what is shut or has no law."""
    laws, lent, head, q = plan.laws, lend(plan.laws), found.head_m, found.flow_m3_per_s
    out = np.zeros(len(q))
    for k in range(len(q)):
        i, j, kind, status, setting = laws.start[k], laws.end[k], laws.kind[k], found.status[k], boundary.setting[k]
        if status <= CLOSED or (kind == PUMP and setting == 0.0) or np.isnan(head[i]) or np.isnan(head[j]):
            continue
        if status == ACTIVE and kind in (PRV, PSV, FCV):
            held = j if kind == PRV else i
            out[k] = 0.0 if kind == FCV else abs(head[held] - laws.elevation[held] - setting)
            continue
        loss, _ = link_law(lent, k, status, setting, q[k])
        # Of absurd heads no more can be asked than their own digits.
        out[k] = abs(loss - (head[i] - head[j])) / max(1.0, 1e-6 * max(abs(head[i]), abs(head[j])))
    return out


def _outflow_errors(plan: WaterPlan, boundary: Boundary, found: Hydraulics, inflow: float) -> Floats:
    """(n_node,) of emitters and leaks, and of demands; see `Residuals.outflow`."""
    laws = plan.laws
    pressure = np.where(found.supplied, found.head_m - laws.elevation, 0.0)
    low, high = _opening_flow(plan, pressure - _SLACK_M), _opening_flow(plan, pressure + _SLACK_M)
    emitted = np.maximum(low - found.emitted_m3_per_s, found.emitted_m3_per_s - high) / inflow
    wanted = np.where(laws.row >= 0, boundary.demand_m3_per_s, 0.0)
    low, high = (wanted * _share(plan, wanted, pressure + slack) for slack in (-_SLACK_M, _SLACK_M))
    demand = found.demand_m3_per_s
    drawn = np.maximum(np.minimum(low, high) - demand, demand - np.maximum(low, high)) / inflow
    return np.where(found.supplied & (laws.row >= 0), np.maximum(np.maximum(emitted, drawn), 0.0), 0.0)


def _opening_flow(plan: WaterPlan, pressure: Floats) -> Floats:
    """(n_node,) out of emitters and leaks at these pressures [m3/s]."""
    laws, out = plan.laws, np.zeros(len(pressure))
    p = pressure[laws.out_node]
    through = laws.out_k * np.abs(p) ** laws.out_n * np.sign(p)
    np.add.at(out, laws.out_node, np.where(laws.out_one_way, np.maximum(through, 0.0), through))
    return out


def _share(plan: WaterPlan, wanted: Floats, pressure: Floats) -> Floats:
    """(n_node,) of the demand that is served at these pressures."""
    depends, low, required, exponent = plan.laws.pressure
    if not depends:
        return np.ones(len(wanted))
    return np.where(wanted > 0, np.clip((pressure - low) / (required - low), 0.0, 1.0) ** exponent, 1.0)


def _conditions(plan: WaterPlan, boundary: Boundary, found: Hydraulics) -> Iterator[str]:
    """What is wrong with a check valve, pump, control valve or shut link."""
    laws, ids = plan.laws, plan.network.link_ids
    watched = np.flatnonzero((laws.kind != PIPE) | (found.status == TEMPCLOSED) | (found.status <= CLOSED))
    for k in watched.tolist():
        i, j = int(laws.start[k]), int(laws.end[k])
        wrong = _condition(plan, boundary, found, k, float(found.head_m[i]), float(found.head_m[j]))
        if wrong:
            yield f"{LinkKind(int(laws.kind[k])).name} {ids[k]}: {wrong}"


def _condition(plan: WaterPlan, boundary: Boundary, found: Hydraulics, k: int, h1: float, h2: float) -> str:
    laws, kind, status = plan.laws, plan.laws.kind[k], found.status[k]
    q, setting = float(found.flow_m3_per_s[k]), float(boundary.setting[k])
    if status <= CLOSED and q != 0.0:
        return f"is shut and carries {q:.3g} m3/s"
    if np.isnan(h1) or np.isnan(h2):
        return ""
    one_way = kind in (CV, PUMP) or (kind in (PRV, PSV) and not np.isnan(setting))
    if one_way and q < -FLOW_TOLERANCE:
        return f"carries {q:.3g} m3/s backwards"
    if kind == CV and status == CLOSED and h1 > h2 + HEAD_TOLERANCE:
        return f"is shut against a fall of {h1 - h2:.3g} m"
    if kind == PUMP and status == XHEAD:
        if laws.pump[k] == CONSTANT_POWER:
            return "" if _leads_nowhere(plan, boundary, found, k) else "is off though it could deliver"
        top = laws.pump_law[k, 3] * setting**2
        return "" if h2 - h1 > top else f"is off though {h2 - h1:.3g} m is within its lift of {top:.3g} m"
    if kind in (PRV, PSV) and not np.isnan(setting):
        return _pressure_valve(plan, found, k, h1, h2, setting)
    if kind == FCV and not np.isnan(setting) and status > CLOSED:
        if status == ACTIVE and abs(q - setting) > FLOW_TOLERANCE:
            return f"carries {q:.3g} m3/s instead of {setting:.3g}"
        if status == ACTIVE and h1 < h2 - HEAD_TOLERANCE:
            return "works as a pump"
        if status != ACTIVE and q > setting + FLOW_TOLERANCE:
            return f"carries {q:.3g} m3/s, more than {setting:.3g}"
    return ""


def _pressure_valve(plan: WaterPlan, found: Hydraulics, k: int, h1: float, h2: float, setting: float) -> str:
    laws, status, slack = plan.laws, found.status[k], 2.0 * HEAD_TOLERANCE
    reducing = laws.kind[k] == PRV
    target = float(laws.elevation[laws.end[k] if reducing else laws.start[k]]) + setting
    loss = float(laws.minor[k] * found.flow_m3_per_s[k] ** 2)
    if status == ACTIVE:
        return "" if h1 - loss >= h2 - slack else "works as a pump"
    if status > CLOSED:
        if reducing:
            return "" if h2 <= target + slack else f"stands open at {h2 - target:.3g} m above its setting"
        fed_elsewhere = found.supplied[laws.end[k]] and not _feeds_alone(plan, found, k)
        return f"stands open at {target - h1:.3g} m below its setting" if h1 < target - slack and fed_elsewhere else ""
    if h1 <= h2 + slack:
        return ""
    if reducing:
        return "" if h2 >= target - slack else f"is shut at {target - h2:.3g} m below its setting"
    return "" if h1 <= target + slack else f"is shut at {h1 - target:.3g} m above its setting"


def _feeds_alone(plan: WaterPlan, found: Hydraulics, k: int) -> bool:
    """Whether nothing but link k brings water to its end."""
    use = found.status > CLOSED
    use[k] = False
    label = _labels(plan, use)
    return bool(not (label[plan.laws.row < 0] == label[plan.laws.end[k]]).any())


def _leads_nowhere(plan: WaterPlan, boundary: Boundary, found: Hydraulics, k: int) -> bool:
    """Whether link k alone joins two parts of which one has neither source nor anything drawn or let out.

    A shut PRV whose end lies below its setting would let out what a pump of any lift brings to it.
    """
    laws = plan.laws
    target = laws.elevation[laws.end] + boundary.setting - 2.0 * HEAD_TOLERANCE
    waits = (laws.kind == PRV) & (found.status == CLOSED) & (found.head_m[laws.end] < target)
    label = _labels(plan, found.status > CLOSED)  # link k is shut
    i, j = int(laws.start[k]), int(laws.end[k])
    idle = []
    for end in (i, j):
        part = label == label[end]
        drawn = np.abs(found.demand_m3_per_s[part]).max(initial=0.0) + np.abs(found.emitted_m3_per_s[part]).max(initial=0.0)
        idle.append(not (laws.row[part] < 0).any() and drawn == 0.0 and not part[laws.start[waits]].any())
    return bool(label[i] != label[j] and any(idle))


def _labels(plan: WaterPlan, use: NDArray[np.bool_]) -> Index:
    laws = plan.laws
    n = len(laws.row)
    graph = coo_array((np.ones(int(use.sum()), dtype=np.int8), (laws.start[use], laws.end[use])), shape=(n, n)).tocsr()
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _supply(plan: WaterPlan, boundary: Boundary, found: Hydraulics) -> Iterator[str]:
    """Nodes called dry that an open way joins to a source, and the other way round; a shut check valve in between."""
    laws, nodes = plan.laws, plan.network.node_ids
    use = (found.status > CLOSED) & ~((laws.kind == PUMP) & (boundary.setting == 0.0))
    label = _labels(plan, use)
    reached = np.isin(label, label[laws.row < 0])
    limited = (laws.kind == FCV) & (found.status == ACTIVE)
    parts = _labels(plan, use & ~limited)
    behind = np.isin(parts, parts[laws.end[limited]]) & ~np.isin(parts, parts[laws.row < 0])
    for i in np.flatnonzero(found.supplied & ~reached).tolist():
        yield f"node {nodes[i]}: is called supplied, and no open way leads to it"
    for i in np.flatnonzero(~found.supplied & reached & ~behind).tolist():
        yield f"node {nodes[i]}: is called dry, and an open way leads to it"
    opens = ((laws.kind == CV) & (found.status == CLOSED)) | (found.status == XHEAD)
    for k in np.flatnonzero(opens & found.supplied[laws.start] & ~found.supplied[laws.end]).tolist():
        if laws.pump[k] == CONSTANT_POWER and _leads_nowhere(plan, boundary, found, k):
            continue
        yield f"link {plan.network.link_ids[k]}: is shut before a part without water"
