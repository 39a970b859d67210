"""What must hold before a water network can be solved: all faults at once, by table, column and id.

An area without supply is no fault here: it is a result, and `grid_models.water.zones.supplied` tells it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_models.errors import Issue
from grid_models.tables import Table
from grid_models.water.controls import Action
from grid_models.water.network import LINK_TABLES, NODE_TABLES, LinkKind, Options, WaterNetwork

_POSITIVE = {
    "tank": ("diameter_m",),
    "pipe": ("length_m", "diameter_m", "roughness"),
    "valve": ("diameter_m",),
}
_NOT_NEGATIVE = {
    "junction": ("emitter_coefficient",),
    "tank": ("minimum_volume_m3",),
    "pipe": ("minor_loss", "leak_area_m2_per_m", "leak_expansion_m2_per_m2"),
    "pump": ("power_w", "speed"),
    "valve": ("minor_loss",),
}
_MAY_BE_NAN = {"x", "y", "setting"}  # nodes without coordinates; valves whose setting is a curve
_ON_THE_MAP = {"x", "y"}
# In SI, whatever the quantity: beyond these it is a slip of the pen, and the arithmetic of a solver runs out of digits.
_LARGEST, _LARGEST_FLOW, _SMALLEST = 1e9, 1e6, 1e-9
_LARGEST_OPTION = 100.0  # none of these options means anything beyond
_STATUS = {
    "pipe": {"open", "closed", "check_valve"},
    "pump": {"open", "closed"},
    "valve": {"open", "closed", "active"},
}
_PATTERN_COLUMNS = (
    ("demand", "pattern"),
    ("reservoir", "pattern"),
    ("pump", "speed_pattern"),
    ("pump", "energy_price_pattern"),
)
_CURVE_COLUMNS = (("tank", "volume_curve", "volume"), ("pump", "head_curve", "head"),
                  ("pump", "efficiency_curve", "efficiency"))  # fmt: skip
VALVE_CURVE = {"GPV": "headloss", "PCV": "valve"}  # what the curve of a valve is, by the valve's kind
_SAME_UNITS = ({"head", "headloss"}, {"generic", "valve"})


def validate(network: WaterNetwork) -> tuple[Issue, ...]:
    """Every fault of the network, empty when it can be solved."""
    with np.errstate(all="ignore"):  # a check of one fault meets the numbers of another
        return tuple(issue for check in _CHECKS for issue in check(network))


def _issue(table: Table, name: str, column: str, wrong: NDArray[np.bool_], message: str) -> Iterator[Issue]:
    """One issue for all rows that are wrong."""
    if np.any(wrong):
        yield Issue(name, column, tuple(table.index[wrong].tolist()), message)


def _numbers(network: WaterNetwork) -> Iterator[Issue]:
    for name, table in network.tables.items():
        for column, values in table.items():
            if values.dtype.kind == "f":
                bad = np.isinf(values) if column in _MAY_BE_NAN else ~np.isfinite(values)
                yield from _issue(table, name, column, bad, "must be a finite number")
                if column not in _ON_THE_MAP:
                    most = _LARGEST_FLOW if column.endswith("m3_per_s") else _LARGEST
                    huge = np.isfinite(values) & (np.abs(values) > most)
                    yield from _issue(table, name, column, huge, f"is beyond {most:.0e} in SI units, which nothing is")
        for column in _POSITIVE.get(name, ()):
            tiny = (table[column] > 0) & (table[column] < _SMALLEST)
            yield from _issue(table, name, column, tiny, f"is below {_SMALLEST:.0e} in SI units, which nothing is")
            yield from _issue(table, name, column, table[column] <= 0, "must be greater than 0")
        for column in _NOT_NEGATIVE.get(name, ()):
            yield from _issue(table, name, column, table[column] < 0, "must not be negative")
    valve = network.tables["valve"]
    unset = np.isnan(valve["setting"]) & (valve["kind"] != "GPV") & (valve["status"] == "active")
    yield from _issue(valve, "valve", "setting", unset, "is missing; only a GPV goes without")


def _ids(network: WaterNetwork) -> Iterator[Issue]:
    for names, what in ((NODE_TABLES, "node"), (LINK_TABLES, "link")):
        ids = np.concatenate([network.tables[name].index.astype(np.str_) for name in names])
        labels, counts = np.unique(ids, return_counts=True)
        if np.any(counts > 1):
            yield Issue(what, "", tuple(labels[counts > 1].tolist()), "the id is given more than once")
    if len(network.node_ids) < 2:
        yield Issue("junction", "", (), "a network has at least two nodes")
    if not len(network.link_ids):
        yield Issue("pipe", "", (), "a network has at least one link")
    if network.n_junction == len(network.node_ids):
        yield Issue("reservoir", "", (), "a network has at least one reservoir or tank")


def _ends(network: WaterNetwork) -> Iterator[Issue]:
    for name in LINK_TABLES:
        table = network.tables[name]
        start, end = network.nodes(table["from_node"]), network.nodes(table["to_node"])
        yield from _issue(table, name, "from_node", start < 0, "names a node that does not exist")
        yield from _issue(table, name, "to_node", end < 0, "names a node that does not exist")
        yield from _issue(table, name, "to_node", (start == end) & (start >= 0), "is the node the link comes from")
        allowed = list(_STATUS[name])
        message = f"must be one of {', '.join(sorted(allowed))}"
        yield from _issue(table, name, "status", ~np.isin(table["status"].astype(np.str_), allowed), message)
    demand = network.tables["demand"]
    node = network.demand_node
    lost = (node < 0) | (node >= network.n_junction)
    if np.any(lost):
        yield Issue("demand", "node", tuple(demand["node"][lost].tolist()), "is not a junction")


def _references(network: WaterNetwork) -> Iterator[Issue]:
    patterns = {"", *network.tables["pattern"].index.tolist()}
    for name, column in _PATTERN_COLUMNS:
        table = network.tables[name]
        unknown = np.array([label not in patterns for label in table[column]], dtype=bool)
        yield from _issue(table, name, column, unknown, "names a pattern that does not exist")
    for name, column, kind in _CURVE_COLUMNS:
        table = network.tables[name]
        for label, curve in zip(table.index.tolist(), table[column].tolist(), strict=True):
            yield from _curve_use(network, name, column, label, curve, kind)
    valve = network.tables["valve"]
    rows = zip(valve.index.tolist(), valve["kind"].tolist(), valve["curve"].tolist(), strict=True)
    for label, kind, curve in rows:
        if kind not in LinkKind.__members__ or LinkKind[kind] <= LinkKind.PUMP:
            yield Issue("valve", "kind", (label,), f"{kind} is not a kind of valve")
        elif kind == "GPV" and not curve:
            yield Issue("valve", "curve", (label,), "a GPV needs a head loss curve")
        elif kind in VALVE_CURVE:
            yield from _curve_use(network, "valve", "curve", label, curve, VALVE_CURVE[kind])


def _curve_use(network: WaterNetwork, name: str, column: str, label: int | str, curve: str, kind: str) -> Iterator[Issue]:
    if not curve:
        return
    curves = network.tables["curve"]
    rows = np.flatnonzero(curves.index == curve)
    if not len(rows):
        yield Issue(name, column, (label,), f"names a curve that does not exist: {curve}")
    elif (found := curves["kind"][rows[0]]) != kind and {found, kind} not in _SAME_UNITS:
        yield Issue(name, column, (label,), f"curve {curve} is a {found} curve, not a {kind} curve")


def _series(network: WaterNetwork) -> Iterator[Issue]:
    pattern = network.tables["pattern"]
    bad = np.array([not len(m) or not np.all(np.isfinite(m)) for m in pattern["multipliers"]], dtype=bool)
    yield from _issue(pattern, "pattern", "multipliers", bad, "must hold at least one number, and finite ones only")
    huge = np.array([bool(np.any(np.abs(m) > _LARGEST_FLOW)) for m in pattern["multipliers"]], dtype=bool) & ~bad
    yield from _issue(pattern, "pattern", "multipliers", huge, f"is beyond {_LARGEST_FLOW:.0e}, which no pattern is")
    curve = network.tables["curve"]
    for label, x, y in zip(curve.index.tolist(), curve["x"], curve["y"], strict=True):
        if not len(x) or len(x) != len(y):
            yield Issue("curve", "x", (label,), "must hold at least one point")
        elif not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
            yield Issue("curve", "x", (label,), "must hold finite numbers only")
        elif np.any(np.diff(x) <= 0):
            yield Issue("curve", "x", (label,), "must rise from point to point")


def _tanks(network: WaterNetwork) -> Iterator[Issue]:
    tank = network.tables["tank"]
    low, start, high = (tank[f"{which}_level_m"] for which in ("minimum", "initial", "maximum"))
    slack = 1e-9 * np.maximum(1.0, np.abs(high))  # feet to metres and back must not put a level out of order
    out_of_order = (low > start + slack) | (start > high + slack)
    message = "must lie between minimum_level_m and maximum_level_m"
    yield from _issue(tank, "tank", "initial_level_m", out_of_order, message)
    curves = network.tables["curve"]
    for row in np.flatnonzero(tank["volume_curve"] != ""):
        at = np.flatnonzero(curves.index == tank["volume_curve"][row])
        if not len(at) or not len(curves["x"][at[0]]):
            continue  # told by _references and _series
        x, y = curves["x"][at[0]], curves["y"][at[0]]
        if x[0] > low[row] + slack[row] or x[-1] < high[row] - slack[row]:
            yield Issue("tank", "volume_curve", (str(tank.index[row]),), "does not reach from minimum to maximum level")
        if np.any(np.diff(y) <= 0):
            yield Issue("curve", "y", (str(curves.index[at[0]]),), "a volume must rise with the level")


def _pumps(network: WaterNetwork) -> Iterator[Issue]:
    pump, curves = network.tables["pump"], network.tables["curve"]
    has_curve = pump["head_curve"] != ""
    missing = ~has_curve & (pump["power_w"] <= 0)
    yield from _issue(pump, "pump", "head_curve", missing, "a pump needs a head curve or a power")
    for row in np.flatnonzero(has_curve):
        at = np.flatnonzero(curves.index == pump["head_curve"][row])
        if not len(at):
            continue  # told by _references
        message = _head_curve_fault(curves["x"][at[0]], curves["y"][at[0]])
        if message:
            yield Issue("pump", "head_curve", (str(pump.index[row]),), f"{curves.index[at[0]]}: {message}")


def _head_curve_fault(flow: NDArray[np.float64], head: NDArray[np.float64]) -> str:
    """What keeps a head curve from being a pump's: one point makes a parabola, three from flow 0 make h0 - r q^n."""
    if len(flow) == 1:
        return "" if flow[0] > 0 and head[0] > 0 else "a single point must have flow and head above 0"
    if np.any(np.diff(head) >= 0):
        return "head must fall with flow"
    if len(flow) == 3 and flow[0] == 0:
        h0, h1, h2 = head
        exponent = np.log((h0 - h2) / (h0 - h1)) / np.log(flow[2] / flow[1])
        return "" if 0 < exponent <= 20 else f"its three points give the exponent {exponent:.3g}, not one in (0, 20]"
    return ""


def _valve_places(network: WaterNetwork) -> Iterator[Issue]:
    """Valves that hold a pressure or a flow must not stand at a tank, and must not command the same node."""
    valve = network.tables["valve"]
    kind = valve["kind"].astype(np.str_)
    start, end = network.nodes(valve["from_node"]), network.nodes(valve["to_node"])
    at_tank = np.isin(kind, ["PRV", "PSV", "FCV"]) & ((start >= network.n_junction) | (end >= network.n_junction))
    message = "must not be connected to a reservoir or tank; put a length of pipe between"
    yield from _issue(valve, "valve", "from_node", at_tank, message)
    clash = np.zeros(valve.size, dtype=bool)
    for i in np.flatnonzero(np.isin(kind, ["PRV", "PSV"])):
        other = np.arange(valve.size) != i
        if kind[i] == "PRV":
            clash[i] |= np.any(other & (kind == "PRV") & ((end == end[i]) | (end == start[i]) | (start == end[i])))
            clash[i] |= np.any(other & np.isin(kind, ["PSV", "FCV"]) & (start == end[i]))
        else:
            clash[i] |= np.any(other & (kind == "PSV") & ((start == start[i]) | (start == end[i]) | (end == start[i])))
            clash[i] |= np.any(other & (kind == "FCV") & (end == start[i]))
    yield from _issue(valve, "valve", "to_node", clash, "stands in line with a valve that controls the same node")


def _controls(network: WaterNetwork) -> Iterator[Issue]:
    for number, control in enumerate(network.controls, start=1):
        yield from _switched(network, "control", number, control.link)
        if control.condition in ("below", "above") and network.nodes([control.node])[0] < 0:
            yield Issue("control", "node", (number,), f"names a node that does not exist: {control.node}")
    for rule in network.rules:
        actions: tuple[Action, ...] = (*rule.then, *rule.otherwise)
        if not rule.premises or not rule.then:
            yield Issue("rule", "", (rule.id,), "needs an IF and a THEN")
        for action in actions:
            yield from _switched(network, "rule", rule.id, action.link)
        for premise in rule.premises:
            number_of: dict[str, Callable[[Any], Any]] = {"node": network.nodes, "link": network.links}
            if premise.object in number_of and number_of[premise.object]([premise.id])[0] < 0:
                yield Issue("rule", premise.object, (rule.id,), f"names a {premise.object} that is not there: {premise.id}")


def _switched(network: WaterNetwork, what: str, label: int | str, link: str) -> Iterator[Issue]:
    number = int(network.links([link])[0])
    if number < 0:
        yield Issue(what, "link", (label,), f"names a link that does not exist: {link}")
    elif network.link_table[number] == 0:
        row = network.link_row[number]
        if network.tables["pipe"]["status"][row] == "check_valve":
            yield Issue(what, "link", (label,), f"a check valve cannot be switched: {link}")


def validate_options(options: Options) -> Iterator[Issue]:
    """Every fault of the options alone."""
    for name in ("hydraulic_step_s", "pattern_step_s", "report_step_s", "rule_step_s", "trials"):
        if getattr(options, name) < 1:
            yield Issue("options", name, (), f"must be at least 1, is {getattr(options, name)}")
    for name in ("accuracy", "specific_gravity", "viscosity_m2_per_s", "emitter_exponent", "pressure_exponent"):
        if not 0 < getattr(options, name) <= _LARGEST_OPTION:
            yield Issue("options", name, (), f"must be in (0, {_LARGEST_OPTION:g}], is {getattr(options, name)}")
    for name in ("duration_s", "demand_multiplier", "pattern_start_s", "report_start_s", "head_error_m"):
        if not 0 <= getattr(options, name) < np.inf:
            yield Issue("options", name, (), f"must not be negative, is {getattr(options, name)}")
    if options.demand_model == "PDA" and not options.minimum_pressure_m < options.required_pressure_m:
        yield Issue("options", "required_pressure_m", (), "must be greater than minimum_pressure_m")


_CHECKS: tuple[Callable[[WaterNetwork], Iterator[Issue]], ...] = (
    _numbers,
    _ids,
    _ends,
    _references,
    _series,
    _tanks,
    _pumps,
    _valve_places,
    _controls,
    lambda network: validate_options(network.options),
)
