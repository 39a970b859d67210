"""Columns of the power side: pandapower's inputs that can be set, and all its result columns.

Directions as in pandapower: loads, storages, motors, wards and shunts consume where positive; generators and external
grids feed in where positive; branch powers are positive into the branch.
"""

from __future__ import annotations

from grid_models.column import Column, Role

_I, _S, _P, _L, _R = Role.INJECTION, Role.STATUS, Role.PARAMETER, Role.LIMIT, Role.RESULT


def _inputs() -> list[Column]:
    rows = [
        Column("bus", "vn_kv", "kV", "nominal voltage", _P, lower=0.0),
        Column("line", "length_km", "km", "length", _P, lower=0.0),
        Column("line", "r_ohm_per_km", "ohm/km", "resistance", _P, lower=0.0),
        Column("line", "x_ohm_per_km", "ohm/km", "reactance", _P),
        Column("line", "c_nf_per_km", "nF/km", "capacitance to earth; negative where a reactor is counted in", _P),
        Column("line", "g_us_per_km", "uS/km", "conductance to earth", _P, lower=0.0),
        Column("line", "parallel", "1", "parallel systems", _P, "int", lower=1.0),
        Column("line", "max_i_ka", "kA", "thermal limit", _L, lower=0.0),
        Column("line", "df", "1", "derating of the thermal limit", _L, lower=0.0, upper=1.0, default=1.0),
        Column("trafo", "tap_pos", "1", "tap position", _P, "int"),
        Column("trafo", "sn_mva", "MVA", "rated power", _P, lower=0.0),
        Column("trafo", "vk_percent", "%", "short-circuit voltage", _P),
        Column("trafo", "vkr_percent", "%", "its real part", _P),
        Column("trafo", "parallel", "1", "parallel units", _P, "int", lower=1.0),
        Column("trafo3w", "tap_pos", "1", "tap position", _P, "int"),
        Column("tap_control", "vm_lower_pu", "pu", "lower end of the band that a stepped tap changer keeps", _I, lower=0.0),
        Column("tap_control", "vm_upper_pu", "pu", "upper end of that band", _I, lower=0.0),
        Column("tap_control", "vm_set_pu", "pu", "voltage that a continuous tap changer holds", _I, lower=0.0),
        Column("tap_control", "in_service", "1", "whether it regulates", _S, "bool", default=True),
        Column("switch", "closed", "1", "whether it conducts", _S, "bool"),
        Column("shunt", "p_mw", "MW", "consumed at 1 pu", _P),
        Column("shunt", "q_mvar", "Mvar", "consumed at 1 pu", _P),
        Column("shunt", "step", "1", "steps in use", _P, "int", lower=0.0),
        Column("gen", "p_mw", "MW", "fed in", _I),
        Column("bus", "vm_start_pu", "pu", "where a load flow begins, if it is not told", _I, lower=0.0),
        Column("bus", "va_start_degree", "degree", "where a load flow begins, if it is not told", _I),
        Column("gen", "vm_pu", "pu", "voltage held", _I, lower=0.0, upper=2.0),
        Column("ext_grid", "vm_pu", "pu", "voltage held", _I, lower=0.0, upper=2.0),
        Column("ext_grid", "va_degree", "degree", "angle held", _I),
        Column("dcline", "p_mw", "MW", "transferred from -> to", _I),
        Column("svc", "set_vm_pu", "pu", "voltage held", _I, lower=0.0, upper=2.0),
        Column("ssc", "set_vm_pu", "pu", "voltage held", _I, lower=0.0, upper=2.0),
        Column("tcsc", "set_p_to_mw", "MW", "power into its to side", _I),
        Column("ward", "ps_mw", "MW", "constant-power consumption", _I),
        Column("ward", "qs_mvar", "Mvar", "constant-power consumption", _I),
        Column("motor", "loading_percent", "%", "loading", _I, lower=0.0),
    ]
    for element in ("load", "sgen", "storage"):
        rows.append(Column(element, "p_mw", "MW", "fed in" if element == "sgen" else "consumed", _I))
        rows.append(Column(element, "q_mvar", "Mvar", "fed in" if element == "sgen" else "consumed", _I))
    rows += [
        Column(element, "scaling", "1", "factor on its power", _I, default=1.0)
        for element in ("load", "sgen", "storage", "gen", "motor")
    ]
    for element in (
        "bus", "line", "trafo", "trafo3w", "impedance", "dcline", "load", "sgen", "storage", "motor", "gen", "ext_grid",
        "shunt", "ward", "xward", "asymmetric_load", "asymmetric_sgen", "svc", "ssc", "tcsc",
    ):  # fmt: skip
        rows.append(Column(element, "in_service", "1", "whether it is in service", _S, "bool", default=True))
        rows.append(Column(element, "name", "", "its owner's name for it", Role.LABEL, "str"))
    return rows


def _pq(element: str, sides: tuple[str, ...], text: str) -> list[Column]:
    out = []
    for side in sides:
        where = f" at the {side} side" if side else ""
        end = f"{side}_" if side else ""
        out.append(Column(element, f"p_{end}mw", "MW", f"active power {text}{where}", _R))
        out.append(Column(element, f"q_{end}mvar", "Mvar", f"reactive power {text}{where}", _R))
    return out


def _branch(element: str, sides: tuple[str, ...]) -> list[Column]:
    out = _pq(element, sides, "into it")
    out += [
        Column(element, "pl_mw", "MW", "active power losses", _R),
        Column(element, "ql_mvar", "Mvar", "reactive power consumed", _R),
    ]
    for side in sides:
        out += [
            Column(element, f"i_{side}_ka", "kA", f"current at the {side} side", _R, lower=0.0),
            Column(element, f"vm_{side}_pu", "pu", f"voltage at the {side} side", _R, lower=0.0),
            Column(element, f"va_{side}_degree", "degree", f"voltage angle at the {side} side", _R),
        ]
    return out


def _electronics() -> list[Column]:
    rows = []
    for element in ("svc", "tcsc"):
        rows += [
            Column(element, "thyristor_firing_angle_degree", "degree", "firing angle of its thyristors", _R),
            Column(element, "x_ohm", "ohm", "reactance at that angle", _R),
        ]
    for element in ("svc", "ssc"):
        rows += [
            Column(element, "q_mvar", "Mvar", "reactive power consumed", _R),
            Column(element, "vm_pu", "pu", "voltage of its bus", _R),
            Column(element, "va_degree", "degree", "voltage angle of its bus", _R),
        ]
    return [
        *rows,
        Column("ssc", "vm_internal_pu", "pu", "voltage behind its impedance", _R),
        Column("ssc", "va_internal_degree", "degree", "voltage angle behind its impedance", _R),
    ]


def _results() -> list[Column]:
    rows = [
        Column("bus", "vm_pu", "pu", "voltage magnitude", _R, lower=0.0),
        Column("bus", "va_degree", "degree", "voltage angle", _R),
        Column("bus", "vm_sigma_pu", "pu", "standard deviation of the estimated voltage magnitude", _R, lower=0.0),
        Column("bus", "ikss_ka", "kA", "initial short-circuit current of a fault there", _R, lower=0.0),
        Column("bus", "skss_mw", "MVA", "initial short-circuit power of a fault there", _R, lower=0.0),
        Column("bus", "ip_ka", "kA", "peak short-circuit current", _R, lower=0.0),
        Column("bus", "ith_ka", "kA", "thermally equivalent short-circuit current", _R, lower=0.0),
        Column("bus", "rk_ohm", "ohm", "resistance of the network behind a fault there", _R),
        Column("bus", "xk_ohm", "ohm", "reactance of the network behind a fault there", _R),
        Column("bus", "rk0_ohm", "ohm", "zero-sequence resistance behind a fault there", _R),
        Column("bus", "xk0_ohm", "ohm", "zero-sequence reactance behind a fault there", _R),
        *_pq("bus", ("",), "consumed at it, net of generation"),
        *_branch("line", ("from", "to")),
        Column("line", "i_ka", "kA", "larger current of both ends", _R, lower=0.0),
        Column("line", "loading_percent", "%", "current over thermal limit", _R, lower=0.0),
        *_branch("trafo", ("hv", "lv")),
        Column("trafo", "loading_percent", "%", "larger current over rated current", _R, lower=0.0),
        *_branch("trafo3w", ("hv", "mv", "lv")),
        Column("trafo3w", "loading_percent", "%", "largest current over rated current", _R, lower=0.0),
        Column("trafo3w", "va_internal_degree", "degree", "voltage angle of the star point", _R),
        Column("trafo3w", "vm_internal_pu", "pu", "voltage of the star point", _R),
        *_branch("impedance", ("from", "to")),
        *_branch("dcline", ("from", "to")),
        *_branch("tcsc", ("from", "to")),
        Column("tcsc", "i_ka", "kA", "current through it", _R, lower=0.0),
        *_electronics(),
        *_pq("ext_grid", ("",), "fed in"),
        *_pq("gen", ("",), "fed in"),
        Column("gen", "va_degree", "degree", "voltage angle", _R),
        Column("gen", "vm_pu", "pu", "voltage magnitude", _R),
        *_pq("sgen", ("",), "fed in"),
        *_pq("asymmetric_sgen", ("",), "fed in"),
        Column("xward", "va_internal_degree", "degree", "voltage angle of the inner source", _R),
        Column("xward", "vm_internal_pu", "pu", "voltage of the inner source", _R),
        Column("switch", "i_ka", "kA", "current through it", _R, lower=0.0),
        Column("switch", "loading_percent", "%", "current over rated current", _R, lower=0.0),
        *_pq("switch", ("from", "to"), "into it"),
    ]
    rows += [
        Column("measurement", "value", "as measured", "reading", _R),
        Column("measurement", "sigma", "as measured", "standard deviation of the meter", _R, lower=0.0),
        Column("measurement", "estimate", "as measured", "what it should have read", _R),
        Column("measurement", "residual", "as measured", "reading less estimate", _R),
        Column("measurement", "normalised_residual", "1", "residual over its standard deviation", _R, lower=0.0),
        Column("measurement", "suspect", "1", "whether it was removed as bad data", _R, "bool"),
    ]
    for element in ("load", "storage", "motor", "asymmetric_load"):
        rows += _pq(element, ("",), "consumed")
    for element in ("shunt", "ward", "xward"):
        rows += [*_pq(element, ("",), "consumed"), Column(element, "vm_pu", "pu", "voltage of its bus", _R)]
    elements = sorted({r.table for r in rows})
    rows += [Column(e, "energised", "1", "whether it has voltage", _R, "bool") for e in elements]
    return rows


def _once(rows: list[Column]) -> tuple[Column, ...]:
    """Inputs and results may share a name (`gen_vm_pu`); the input's declaration serves both."""
    kept: dict[str, Column] = {}
    for row in rows:
        kept.setdefault(row.key, row)
    return tuple(kept.values())


POWER_COLUMNS = _once(_inputs() + _results())
