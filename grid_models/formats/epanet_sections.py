"""The sections of an .inp file as lines of text, from the tables of a network, in the file's units.

Numbers carry 15 digits, so that reading them back gives the same network to within a rounding or two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from grid_models.formats.epanet_controls import curve_units, premise_unit, setting_unit
from grid_models.water.controls import Action, Premise
from grid_models.water.network import LinkKind, Options, WaterNetwork
from grid_models.water.units import VISCOSITY_M2_PER_S, Units


def _units(network: WaterNetwork) -> Units:
    o = network.options
    return Units.of(o.flow_unit, o.pressure_unit, o.specific_gravity)


def _number(value: float, unit: float = 1.0) -> str:
    return f"{float(value) / unit:.15g}"


def _row(*cells: str) -> str:
    return " " + "\t".join(cells).rstrip()


def _rows(network: WaterNetwork, table: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Id and values of each element, in the order in which the network numbers them."""
    t = network.tables[table]
    order = np.argsort(t.column("position", 0), kind="stable")
    names = list(t)
    columns = [t[name].tolist() for name in names]
    for row in order.tolist():
        yield str(t.index[row]), {name: column[row] for name, column in zip(names, columns, strict=True)}


def _junctions(network: WaterNetwork) -> list[str]:
    u = _units(network)
    return [_row(label, _number(j["elevation_m"], u.length_m)) for label, j in _rows(network, "junction")]


def _demands(network: WaterNetwork) -> list[str]:
    u = _units(network)
    out = []
    for _, d in _rows(network, "demand"):
        row = _row(d["node"], _number(d["base_m3_per_s"], u.flow_m3_per_s), d["pattern"])
        out.append(f"{row}\t;{d['category']}" if d["category"] else row)
    return out


def _emitters(network: WaterNetwork) -> list[str]:
    u = _units(network)
    unit = u.flow_m3_per_s / u.emitter_pressure_m**network.options.emitter_exponent
    rows = _rows(network, "junction")
    return [_row(label, _number(j["emitter_coefficient"], unit)) for label, j in rows if j["emitter_coefficient"] > 0]


def _reservoirs(network: WaterNetwork) -> list[str]:
    u = _units(network)
    return [_row(label, _number(r["head_m"], u.length_m), r["pattern"]) for label, r in _rows(network, "reservoir")]


def _tanks(network: WaterNetwork) -> list[str]:
    u = _units(network)
    lengths = ("elevation_m", "initial_level_m", "minimum_level_m", "maximum_level_m", "diameter_m")
    out = []
    for label, tank in _rows(network, "tank"):
        cells = [label, *(_number(tank[name], u.length_m) for name in lengths)]
        cells.append(_number(tank["minimum_volume_m3"], u.volume_m3))
        curve = tank["volume_curve"]
        overflow = ["YES"] if tank["can_overflow"] else []
        out.append(_row(*cells, curve or ("*" if overflow else ""), *overflow))
    return out


def _pipes(network: WaterNetwork) -> list[str]:
    u = _units(network)
    roughness = u.roughness_m if network.options.headloss == "D-W" else 1.0
    word = {"open": "Open", "closed": "Closed", "check_valve": "CV"}
    out = []
    for label, p in _rows(network, "pipe"):
        size = (_number(p["length_m"], u.length_m), _number(p["diameter_m"], u.diameter_m))
        friction = (_number(p["roughness"], roughness), _number(p["minor_loss"]))
        out.append(_row(label, p["from_node"], p["to_node"], *size, *friction, word[p["status"]]))
    return out


def _leakage(network: WaterNetwork) -> list[str]:
    unit = 1e-6 / (100 * _units(network).length_m)
    out = []
    for label, p in _rows(network, "pipe"):
        area, expansion = p["leak_area_m2_per_m"], p["leak_expansion_m2_per_m2"]
        if area or expansion:
            out.append(_row(label, _number(area, unit), _number(expansion, unit)))
    return out


def _pumps(network: WaterNetwork) -> list[str]:
    u = _units(network)
    out = []
    for label, p in _rows(network, "pump"):
        drive = ("HEAD", p["head_curve"]) if p["head_curve"] else ("POWER", _number(p["power_w"], u.power_w))
        speed = ("SPEED", _number(p["speed"])) if p["speed"] != 1 else ()
        pattern = ("PATTERN", p["speed_pattern"]) if p["speed_pattern"] else ()
        out.append(_row(label, p["from_node"], p["to_node"], *drive, *speed, *pattern))
    return out


def _valves(network: WaterNetwork) -> list[str]:
    u = _units(network)
    out = []
    for label, v in _rows(network, "valve"):
        kind = LinkKind[v["kind"]]
        set_to = v["setting"] if np.isfinite(v["setting"]) else 0.0
        setting = v["curve"] if kind == LinkKind.GPV else _number(set_to, setting_unit(kind, u))
        curve = (v["curve"],) if kind == LinkKind.PCV else ()
        size = _number(v["diameter_m"], u.diameter_m)
        out.append(_row(label, v["from_node"], v["to_node"], size, kind.name, setting, _number(v["minor_loss"]), *curve))
    return out


def _status(network: WaterNetwork) -> list[str]:
    """Pipes tell their status in [PIPES]; here stand closed pumps and valves that do not control."""
    out = [_row(label, "Closed") for label, p in _rows(network, "pump") if p["status"] == "closed"]
    fixed = {"open": "Open", "closed": "Closed"}
    return out + [_row(label, fixed[v["status"]]) for label, v in _rows(network, "valve") if v["status"] in fixed]


def _patterns(network: WaterNetwork) -> list[str]:
    out = []
    for label, p in _rows(network, "pattern"):
        cells = [_number(m) for m in p["multipliers"]]
        out += [_row(label, *cells[k : k + 6]) for k in range(0, len(cells), 6)]
    return out


def _curves(network: WaterNetwork) -> list[str]:
    out = []
    for label, c in _rows(network, "curve"):
        x_unit, y_unit = curve_units(c["kind"], _units(network))
        out += [_row(label, _number(x, x_unit), _number(y, y_unit)) for x, y in zip(c["x"], c["y"], strict=True)]
    return out


def _clock(seconds: float) -> str:
    """Seconds as h:mm:ss, nudged where EPANET, which cuts 3600 (h + m/60 + s/3600) to whole seconds, would lose one."""
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    nudge = ".2" if int((hours + minutes / 60 + rest / 3600) * 3600) < whole else ""
    return f"{hours}:{minutes:02d}:{rest:02d}{nudge}"


def _controls(network: WaterNetwork) -> list[str]:
    u = _units(network)
    out = []
    for c in network.controls:
        kind = int(network.link_kind[network.links([c.link])[0]])
        word = c.status.upper()
        if c.setting is not None and (c.status == "active" or (kind == LinkKind.PUMP and c.setting not in (0.0, 1.0))):
            word = _number(c.setting, setting_unit(kind, u))
        if c.condition in ("below", "above"):
            junction = network.nodes([c.node])[0] < network.n_junction
            level = _number(c.value, u.pressure_m if junction else u.length_m)
            when = f"IF NODE {c.node} {c.condition.upper()} {level}"
        else:
            when = f"AT {'TIME' if c.condition == 'time' else 'CLOCKTIME'} {_clock(c.value)}"
        out.append(f" LINK {c.link} {word} {when}{'' if c.enabled else ' DISABLED'}")
    return out


def _rules(network: WaterNetwork) -> list[str]:
    out = []
    for rule in network.rules:
        out.append(f"RULE {rule.id}")
        for k, premise in enumerate(rule.premises):
            out.append(f"{premise.logic.upper() if k else 'IF'} {_premise(network, premise)}")
        for word, actions in (("THEN", rule.then), ("ELSE", rule.otherwise)):
            out += [f"{'AND' if k else word} {_action(network, action)}" for k, action in enumerate(actions)]
        if rule.priority:
            out.append(f"PRIORITY {_number(rule.priority)}")
        if not rule.enabled:
            out.append("DISABLED")
        out.append("")
    return out


def _premise(network: WaterNetwork, premise: Premise) -> str:
    kind = int(network.link_kind[network.links([premise.id])[0]]) if premise.object == "link" else -1
    if premise.value is None:
        value = str(premise.status).upper()
    elif premise.attribute in ("time", "clock_time"):
        hours, rest = divmod(premise.value, 3600.0)  # a rule's time is no whole number of seconds
        value = f"{int(hours)}:{int(rest // 60):02d}:{_number(rest % 60)}"
    elif premise.attribute in ("fill_time", "drain_time"):
        value = _number(premise.value, 3600.0)
    else:
        value = _number(premise.value, premise_unit(premise.attribute, kind, _units(network)))
    subject = "SYSTEM" if premise.object == "system" else f"{premise.object.upper()} {premise.id}"
    return f"{subject} {premise.attribute.replace('_', '').upper()} {premise.relation} {value}"


def _action(network: WaterNetwork, action: Action) -> str:
    if action.setting is None:
        return f"LINK {action.link} STATUS = {str(action.status).upper()}"
    kind = int(network.link_kind[network.links([action.link])[0]])
    return f"LINK {action.link} SETTING = {_number(action.setting, setting_unit(kind, _units(network)))}"


def _energy(network: WaterNetwork) -> list[str]:
    o = network.options
    out = [f" GLOBAL PRICE {_number(o.energy_price)}"] if o.energy_price else []
    if o.energy_price_pattern:
        out.append(f" GLOBAL PATTERN {o.energy_price_pattern}")
    out.append(f" GLOBAL EFFIC {_number(o.pump_efficiency_percent)}")
    out.append(f" DEMAND CHARGE {_number(o.demand_charge)}")
    for label, p in _rows(network, "pump"):
        if p["energy_price"]:
            out.append(f" PUMP {label} PRICE {_number(p['energy_price'])}")
        if p["energy_price_pattern"]:
            out.append(f" PUMP {label} PATTERN {p['energy_price_pattern']}")
        if p["efficiency_curve"]:
            out.append(f" PUMP {label} EFFIC {p['efficiency_curve']}")
    return out


def _times(network: WaterNetwork) -> list[str]:
    o = network.options
    steps = {
        "DURATION": o.duration_s,
        "HYDRAULIC TIMESTEP": o.hydraulic_step_s,
        "REPORT TIMESTEP": o.report_step_s,
        "REPORT START": o.report_start_s,
        "PATTERN TIMESTEP": o.pattern_step_s,
        "PATTERN START": o.pattern_start_s,
        "RULE TIMESTEP": o.rule_step_s,
        "START CLOCKTIME": o.start_clocktime_s,
    }
    return [*(f" {name}\t{_clock(value)}" for name, value in steps.items()), f" STATISTIC\t{o.statistic.upper()}"]


def _options(network: WaterNetwork) -> list[str]:
    o, u = network.options, _units(network)
    words = {
        "UNITS": o.flow_unit,
        "PRESSURE": o.pressure_unit,
        "HEADLOSS": o.headloss,
        "TRIALS": str(o.trials),
        "ACCURACY": _number(o.accuracy),
        "UNBALANCED": "STOP" if o.unbalanced_trials < 0 else f"CONTINUE {o.unbalanced_trials}",
        "DEMAND MULTIPLIER": _number(o.demand_multiplier),
        "DEMAND MODEL": o.demand_model,
        "EMITTER EXPONENT": _number(o.emitter_exponent),
        "BACKFLOW ALLOWED": "YES" if o.emitter_backflow else "NO",
        "SPECIFIC GRAVITY": _number(o.specific_gravity),
        "VISCOSITY": _number(o.viscosity_m2_per_s, VISCOSITY_M2_PER_S),
        "CHECKFREQ": str(o.check_frequency),
        "MAXCHECK": str(o.max_check),
        "DAMPLIMIT": _number(o.damp_limit),
    }
    return [*(f" {name}\t{word}" for name, word in words.items()), *_optional_options(o, u)]


def _optional_options(o: Options, u: Units) -> Iterator[str]:
    if o.default_pattern:
        yield f" PATTERN\t{o.default_pattern}"
    if o.head_error_m > 0:
        yield f" HEADERROR\t{_number(o.head_error_m, u.length_m)}"
    if o.flow_change_m3_per_s > 0:
        yield f" FLOWCHANGE\t{_number(o.flow_change_m3_per_s, u.flow_m3_per_s)}"
    if o.demand_model == "PDA":
        yield f" MINIMUM PRESSURE\t{_number(o.minimum_pressure_m, u.pressure_m)}"
        yield f" REQUIRED PRESSURE\t{_number(o.required_pressure_m, u.pressure_m)}"
        yield f" PRESSURE EXPONENT\t{_number(o.pressure_exponent)}"


def _coordinates(network: WaterNetwork) -> list[str]:
    tables = ("junction", "reservoir", "tank")
    rows = ((label, r["x"], r["y"]) for table in tables for label, r in _rows(network, table))
    return [_row(label, _number(x), _number(y)) for label, x, y in rows if np.isfinite(x) and np.isfinite(y)]


SECTIONS: dict[str, Callable[[WaterNetwork], list[str]]] = {
    "JUNCTIONS": _junctions,
    "RESERVOIRS": _reservoirs,
    "TANKS": _tanks,
    "PIPES": _pipes,
    "PUMPS": _pumps,
    "VALVES": _valves,
    "DEMANDS": _demands,
    "EMITTERS": _emitters,
    "LEAKAGE": _leakage,
    "STATUS": _status,
    "PATTERNS": _patterns,
    "CURVES": _curves,
    "CONTROLS": _controls,
    "RULES": _rules,
    "ENERGY": _energy,
    "TIMES": _times,
    "OPTIONS": _options,
    "COORDINATES": _coordinates,
}
