"""Result columns of two- and three-ended elements and of switches, as in pandapower's res_ tables."""

from __future__ import annotations

import numpy as np

from grid_models.tables import Array, Table
from solvers.power.flows import ComplexArray, FloatArray, Flows, IntArray, positions
from solvers.power.results_electronics import tcsc_results


def branch_results(flows: Flows) -> dict[str, Array]:
    """Columns "{element}_{column}" of line, trafo, trafo3w, impedance, tcsc and switch, for tables with rows."""
    out: dict[str, Array] = {}
    tables = flows.network.tables
    for element, read in (
        ("line", _line),
        ("trafo", _trafo),
        ("trafo3w", _trafo3w),
        ("impedance", _impedance),
        ("tcsc", _tcsc),
    ):
        if element in tables and tables[element].size:
            out |= {f"{element}_{name}": values for name, values in read(flows, tables[element]).items()}
    if "switch" in tables and tables["switch"].size:
        columns = _switch(flows, tables["switch"], out)
        out |= {f"switch_{name}": values for name, values in columns.items()}
    return out


def _ends(flows: Flows, rows: IntArray, sides: tuple[str, str]) -> dict[str, Array]:
    """Powers, losses and currents at both ends of two-ended elements, columns named after the sides."""
    columns: dict[str, Array] = {}
    for side, s in zip(sides, (flows.s_from[rows], flows.s_to[rows]), strict=True):
        columns |= {f"p_{side}_mw": s.real, f"q_{side}_mvar": s.imag}
    loss = flows.s_from[rows] + flows.s_to[rows]
    columns |= {"pl_mw": loss.real, "ql_mvar": loss.imag}
    for side, i_ka in zip(sides, (flows.i_from_ka[rows], flows.i_to_ka[rows]), strict=True):
        columns[f"i_{side}_ka"] = i_ka
    return columns


def _voltage(side: str, v: ComplexArray) -> dict[str, Array]:
    return {f"vm_{side}_pu": np.abs(v), f"va_{side}_degree": np.degrees(np.angle(v))}


def _percent(value: FloatArray, limit: FloatArray) -> FloatArray:
    """Share of a limit; inf where the limit is zero, as pandapower has it."""
    return 100.0 * np.divide(value, limit, out=np.full_like(value, np.inf), where=limit != 0)


def _line(flows: Flows, table: Table) -> dict[str, Array]:
    rows = flows.rows("line")
    i_ka = np.maximum(flows.i_from_ka[rows], flows.i_to_ka[rows])
    return {
        **_ends(flows, rows, ("from", "to")),
        "i_ka": i_ka,
        **_voltage("from", flows.v_from[rows]),
        **_voltage("to", flows.v_to[rows]),
        "loading_percent": _percent(i_ka, table["max_i_ka"] * table.column("df", 1.0) * table.column("parallel", 1)),
        "energised": flows.live[rows],
    }


def _trafo(flows: Flows, table: Table) -> dict[str, Array]:
    rows = flows.rows("trafo")
    used = np.maximum(flows.i_from_ka[rows] * table["vn_hv_kv"], flows.i_to_ka[rows] * table["vn_lv_kv"]) * np.sqrt(3)
    rated = table["sn_mva"] * table.column("parallel", 1) * table.column("df", 1.0)
    return {
        **_ends(flows, rows, ("hv", "lv")),
        **_voltage("hv", flows.v_from[rows]),
        **_voltage("lv", flows.v_to[rows]),
        "loading_percent": 100.0 * used / rated,
        "energised": flows.live[rows],
    }


def _trafo3w(flows: Flows, table: Table) -> dict[str, Array]:
    """Three equivalents meet in the star point: hv -> star, star -> mv, star -> lv."""
    hv, mv, lv = (flows.rows("trafo3w", part) for part in (0, 1, 2))
    s = {"hv": flows.s_from[hv], "mv": flows.s_to[mv], "lv": flows.s_to[lv]}
    i_ka = {"hv": flows.i_from_ka[hv], "mv": flows.i_to_ka[mv], "lv": flows.i_to_ka[lv]}
    v = {"hv": flows.v_from[hv], "mv": flows.v_to[mv], "lv": flows.v_to[lv]}
    columns: dict[str, Array] = {}
    for side, power in s.items():
        columns |= {f"p_{side}_mw": power.real, f"q_{side}_mvar": power.imag}
    loss = s["hv"] + s["mv"] + s["lv"]
    columns |= {"pl_mw": loss.real, "ql_mvar": loss.imag}
    columns |= {f"i_{side}_ka": current for side, current in i_ka.items()}
    for side, voltage in v.items():
        columns |= _voltage(side, voltage)
    columns |= _voltage("internal", flows.v_to[hv])
    used = [i_ka[side] * table[f"vn_{side}_kv"] * np.sqrt(3) / table[f"sn_{side}_mva"] for side in i_ka]
    columns["loading_percent"] = 100.0 * np.max(used, axis=0)
    columns["energised"] = flows.live[hv] | flows.live[mv] | flows.live[lv]
    return columns


def _impedance(flows: Flows, table: Table) -> dict[str, Array]:
    rows = flows.rows("impedance")
    assert len(rows) == table.size
    return {**_ends(flows, rows, ("from", "to")), "energised": flows.live[rows]}


def _tcsc(flows: Flows, table: Table) -> dict[str, Array]:
    rows = flows.rows("tcsc")
    assert len(rows) == table.size
    voltages = _voltage("from", flows.v_from[rows]) | _voltage("to", flows.v_to[rows])
    return tcsc_results(flows, _ends(flows, rows, ("from", "to"))) | voltages


def _switch(flows: Flows, table: Table, branches: dict[str, Array]) -> dict[str, Array]:
    """Current through each switch: its branch's; zero if open; unknown (nan) in an ideal bus-bus switch."""
    kind, closed = table["et"], table["closed"].astype(bool)
    tables = flows.network.tables
    i_ka = np.full(table.size, np.nan)
    powers = {name: np.full(table.size, np.nan) for name in ("p_from_mw", "q_from_mvar", "p_to_mw", "q_to_mvar")}

    rows = flows.rows("switch")  # bus-bus switches with an impedance are branches of their own
    at = flows.network.equivalents.row[rows]
    i_ka[at] = np.maximum(flows.i_from_ka[rows], flows.i_to_ka[rows])
    s_from, s_to = (np.where(closed[at], s[rows], np.nan + 1j * np.nan) for s in (flows.s_from, flows.s_to))
    for name, values in zip(powers, (s_from.real, s_from.imag, s_to.real, s_to.imag), strict=True):
        powers[name][at] = values
    mine = kind == "l"
    if mine.any():
        i_ka[mine] = branches["line_i_ka"][positions(tables["line"].index, table["element"][mine])]
    mine = kind == "t"
    if mine.any():
        trafo = positions(tables["trafo"].index, table["element"][mine])
        at_hv = table["bus"][mine] == tables["trafo"]["hv_bus"][trafo]
        i_ka[mine] = np.where(at_hv, branches["trafo_i_hv_ka"][trafo], branches["trafo_i_lv_ka"][trafo])
    i_ka[~closed] = 0.0
    columns = {"i_ka": i_ka, "loading_percent": np.full(table.size, np.nan), **powers}
    if "in_ka" in table:
        columns["loading_percent"] = 100.0 * i_ka / table["in_ka"].astype(np.float64)
    return {**columns, "energised": flows.model.node_bus[flows.node(table["bus"])] >= 0}
