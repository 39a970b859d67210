"""Power of the machines that hold voltages: ext_grids, generators, both ends of dclines, SVCs that regulate.

The network says what a bus draws in all; where several machines hold its voltage, they share that as in pandapower.
Active: scheduled generators keep theirs, slacks divide the rest by weight, equally if all weights are zero (pandapower
from a flat start; from a DC start it divides only the losses by weight).
Reactive: in proportion to the machines' ranges, equally where those are empty. Where reactive limits hold, a machine
beside a slack stops at its own, and the slack gives the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid_models.power.injections import controlled, dc_line_mw
from grid_models.tables import Array, Table
from solvers.power.flows import ComplexArray, FloatArray, Flows, IntArray
from solvers.power.results_electronics import svc_results

# What pandapower assumes of a machine without limits; kept because it decides how two machines share a bus.
_Q_RANGE_MVAR = 1e9


@dataclass(frozen=True, eq=False)
class _Machines:
    """One list of machines; p_mw is what they are scheduled to feed in."""

    node: IntArray
    active: NDArray[np.bool_]
    p_mw: FloatArray
    q_min_mvar: FloatArray
    q_max_mvar: FloatArray
    slack: NDArray[np.bool_]
    weight: FloatArray


@dataclass(frozen=True, eq=False)
class _Outcome:
    """What one list of machines feeds in, and at which voltage; zero where inactive."""

    s: ComplexArray
    vm: FloatArray
    va: FloatArray
    energised: NDArray[np.bool_]


def machine_results(flows: Flows, consumed: ComplexArray) -> tuple[ComplexArray, dict[str, Array]]:
    """Result columns of ext_grid, gen and dcline.

    Args:
        flows: of the solved network.
        consumed: (n_node,) complex [MVA], what all other elements draw, xwards with their internal branch.

    Returns:
        What ext_grids, generators and SVCs feed into each node (n_node,) complex [MVA] - dclines not, as pandapower leaves
        them out of a bus's sum - and the columns.
    """
    lists = {}
    tables = flows.network.tables
    for name, read, table in (
        ("ext_grid", _ext_grids, "ext_grid"),
        ("gen", _generators, "gen"),
        ("dcline_from", _dcline_starts, "dcline"),
        ("dcline_to", _dcline_ends, "dcline"),
        ("svc", _regulating_shunts, "svc"),
    ):
        if table in tables and tables[table].size:
            lists[name] = read(flows, tables[table])
    outcome = dict(zip(lists, _outcomes(flows, list(lists.values()), consumed), strict=True))

    fed = np.zeros(len(flows.v), dtype=np.complex128)
    columns: dict[str, Array] = {}
    for name in ("ext_grid", "gen"):
        if name in lists:
            np.add.at(fed, lists[name].node, outcome[name].s)
            s = outcome[name].s
            if name == "ext_grid" and not flows.network.in_service(name).any():
                s = np.full(len(s), np.nan + 1j * np.nan)  # pandapower then leaves the whole table empty
            columns |= {f"{name}_p_mw": s.real, f"{name}_q_mvar": s.imag}
            if name == "gen":
                columns |= {"gen_va_degree": outcome[name].va, "gen_vm_pu": outcome[name].vm}
            columns[f"{name}_energised"] = outcome[name].energised
    if "svc" in lists:
        np.add.at(fed, lists["svc"].node, outcome["svc"].s)
        columns |= svc_results(flows, outcome["svc"].s)
    if "dcline_from" in lists:
        start, end = outcome["dcline_from"], outcome["dcline_to"]
        columns |= {
            "dcline_p_from_mw": -start.s.real,
            "dcline_q_from_mvar": -start.s.imag,
            "dcline_p_to_mw": -end.s.real,
            "dcline_q_to_mvar": -end.s.imag,
            "dcline_pl_mw": -(start.s.real + end.s.real),
            "dcline_vm_from_pu": start.vm,
            "dcline_va_from_degree": start.va,
            "dcline_vm_to_pu": end.vm,
            "dcline_va_to_degree": end.va,
            "dcline_energised": start.energised & end.energised,
        }
    return fed, columns


def _machines(flows: Flows, element: str, side: str, p_mw: FloatArray, limits: str) -> _Machines:
    """Machines without slack, at the buses of column `side`, with reactive limits from the columns of that name."""
    table = flows.network.tables[element]
    node = flows.node(table[side])
    low, high = (table.column(f"{end}_{limits}", np.nan).astype(np.float64) for end in ("min", "max"))
    return _Machines(
        node=node,
        active=flows.active(element, side),
        p_mw=p_mw,
        q_min_mvar=np.where(np.isnan(low), -_Q_RANGE_MVAR, low),
        q_max_mvar=np.where(np.isnan(high), _Q_RANGE_MVAR, high),
        slack=np.zeros(table.size, dtype=bool),
        weight=np.zeros(table.size),
    )


def _ext_grids(flows: Flows, table: Table) -> _Machines:
    node = flows.node(table["bus"])
    none = np.zeros(table.size)
    active = flows.active("ext_grid")
    weight = table.column("slack_weight", 1.0).astype(np.float64)
    return _Machines(node, active, none, none, none, np.ones(table.size, dtype=bool), weight)


def _generators(flows: Flows, table: Table) -> _Machines:
    machines = _machines(flows, "gen", "bus", table["p_mw"] * table.column("scaling", 1.0), "q_mvar")
    slack = table.column("slack", False).astype(bool)
    weight = table.column("slack_weight", 0.0).astype(np.float64)
    if flows.model.distributed_slack:
        slack = weight > 0
    return _Machines(**{**machines.__dict__, "slack": slack, "weight": weight})


def _dcline_starts(flows: Flows, table: Table) -> _Machines:
    return _machines(flows, "dcline", "from_bus", dc_line_mw(table)[0], "q_from_mvar")


def _dcline_ends(flows: Flows, table: Table) -> _Machines:
    return _machines(flows, "dcline", "to_bus", dc_line_mw(table)[1], "q_to_mvar")


def _regulating_shunts(flows: Flows, table: Table) -> _Machines:
    machines = _machines(flows, "svc", "bus", np.zeros(table.size), "q_mvar")
    return _Machines(**{**machines.__dict__, "active": machines.active & controlled(flows.network, "svc")})


def _outcomes(flows: Flows, lists: list[_Machines], consumed: ComplexArray) -> list[_Outcome]:
    """Share out each bus's power among all machines at it, then give each list its own back."""
    if not lists:
        return []
    joined = _Machines(**{name: np.concatenate([getattr(m, name) for m in lists]) for name in lists[0].__dict__})
    active = joined.active
    at_work = _Machines(**{name: values[active] for name, values in joined.__dict__.items()})
    bus = flows.model.node_bus[at_work.node]
    drawn = _drawn(flows, consumed)
    s = np.zeros(len(active), dtype=np.complex128)
    q = _reactive_shares(at_work, bus, drawn.imag)
    if flows.model.within_q_limits:
        q = _within_ranges(at_work, bus, q)
    s[active] = _active_shares(at_work, bus, drawn.real) + 1j * q
    v = np.where(active, flows.v[joined.node], 0.0)
    cuts = np.cumsum([len(m.node) for m in lists])[:-1]
    pieces = zip(*(np.split(x, cuts) for x in (s, np.abs(v), np.degrees(np.angle(v)), active)), strict=True)
    return [_Outcome(*piece) for piece in pieces]


def _drawn(flows: Flows, consumed: ComplexArray) -> ComplexArray:
    """(n_bus,) complex [MVA]: what branches and consumers draw from each bus."""
    model = flows.model
    drawn = np.zeros(len(model.bus_kind), dtype=np.complex128)
    alive = model.node_bus >= 0
    np.add.at(drawn, model.node_bus[alive], consumed[alive])
    inner = np.isin(flows.network.equivalents.element[model.branch_row], ("xward", "ssc"))  # counted with their consumers
    row = model.branch_row[~inner]
    np.add.at(drawn, model.branch_from[~inner], flows.s_from[row])
    np.add.at(drawn, model.branch_to[~inner], flows.s_to[row])
    return drawn


def _active_shares(m: _Machines, bus: IntArray, drawn_mw: FloatArray) -> FloatArray:
    """(n_machine,) [MW]: the schedule, and for slacks what the schedule leaves over."""
    n = len(drawn_mw)
    left = drawn_mw - np.bincount(bus, m.p_mw, n)
    slacks = np.bincount(bus, m.slack, n)
    weights = np.bincount(bus, m.weight * m.slack, n)
    scheduled = np.bincount(bus, m.p_mw * m.slack, n)
    weighted = weights[bus] > 0
    share = np.where(weighted, m.weight, 1.0) / np.where(weighted, weights[bus], np.maximum(slacks[bus], 1))
    base = np.where(weighted, m.p_mw, 0.0)
    rest = np.where(weighted, left[bus], left[bus] + scheduled[bus])
    return np.where(m.slack, base + rest * share, m.p_mw)


def _reactive_shares(m: _Machines, bus: IntArray, drawn_mvar: FloatArray) -> FloatArray:
    """(n_machine,) [Mvar]: in proportion to the ranges, so that all reach their limits together."""
    n = len(drawn_mvar)
    low, high = np.bincount(bus, m.q_min_mvar, n)[bus], np.bincount(bus, m.q_max_mvar, n)[bus]
    count = np.bincount(bus, minlength=n)[bus]
    span = high - low
    ranged = (span != 0) & (count > 1)
    share = np.where(ranged, (m.q_max_mvar - m.q_min_mvar) / np.where(ranged, span, 1.0), 1.0 / count)
    offset = np.where(ranged, m.q_min_mvar - low * share, 0.0)
    return drawn_mvar[bus] * share + offset


def _within_ranges(m: _Machines, bus: IntArray, q_mvar: FloatArray) -> FloatArray:
    """(n_machine,) [Mvar]: beside slacks the others within their ranges, what they leave shared by the slacks equally."""
    slacks = np.bincount(bus, m.slack)
    bound = ~m.slack & (slacks[bus] > 0)
    kept = np.where(bound, np.clip(q_mvar, m.q_min_mvar, m.q_max_mvar), q_mvar)
    left = np.bincount(bus, q_mvar - kept)
    return np.where(m.slack, kept + left[bus] / np.maximum(slacks[bus], 1), kept)
