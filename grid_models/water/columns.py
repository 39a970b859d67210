"""Columns of the water side, all in SI; flows run from `from_node` to `to_node`, demands leave the network."""

from __future__ import annotations

from grid_models.column import Column, Role

_I, _S, _P, _B, _R = Role.INJECTION, Role.STATUS, Role.PARAMETER, Role.LABEL, Role.RESULT
_LAST = 2**63 - 1  # numbered after everything the file holds


def _nodes() -> list[Column]:
    return [
        Column("junction", "elevation_m", "m", "elevation", _P),
        Column("junction", "emitter_coefficient", "m3/s/m^n", "outflow at 1 m of pressure", _P, lower=0.0, default=0.0),
        Column("demand", "node", "", "junction it is drawn from", _P, "str"),
        Column("demand", "base_m3_per_s", "m3/s", "demand before its pattern", _I),
        Column("demand", "pattern", "", "pattern it follows; empty for constant", _I, "str", default=""),
        Column("demand", "category", "", "its owner's name for it", _B, "str", default=""),
        Column("reservoir", "head_m", "m", "head held", _I),
        Column("reservoir", "pattern", "", "pattern of its head; empty for constant", _I, "str", default=""),
        Column("tank", "elevation_m", "m", "elevation of level 0", _P),
        Column("tank", "initial_level_m", "m", "level at the start", _I),
        Column("tank", "minimum_level_m", "m", "level at which it gives no more", _P),
        Column("tank", "maximum_level_m", "m", "level at which it takes no more", _P),
        Column("tank", "diameter_m", "m", "diameter of the cylinder", _P, lower=0.0),
        Column("tank", "minimum_volume_m3", "m3", "volume at the minimum level", _P, lower=0.0, default=0.0),
        Column("tank", "volume_curve", "", "volume by level, instead of the cylinder", _P, "str", default=""),
        Column("tank", "can_overflow", "1", "whether a full tank still takes water", _P, "bool", default=False),
    ]


def _links() -> list[Column]:
    rows = [
        Column("pipe", "length_m", "m", "length", _P, lower=0.0),
        Column("pipe", "diameter_m", "m", "inner diameter", _P, lower=0.0),
        Column("pipe", "roughness", "1", "C of H-W, n of C-M; for D-W the height in m", _P, lower=0.0),
        Column("pipe", "minor_loss", "1", "loss coefficient of fittings", _P, lower=0.0, default=0.0),
        Column("pipe", "status", "", "open, closed or check_valve", _S, "str", default="open"),
        Column("pipe", "leak_area_m2_per_m", "m2/m", "leak area of a metre of pipe", _P, lower=0.0, default=0.0),
        Column("pipe", "leak_expansion_m2_per_m2", "m2/m2", "its growth a metre of pressure", _P, lower=0.0, default=0.0),
        Column("pump", "power_w", "W", "constant hydraulic power, where there is no curve", _P, lower=0.0, default=0.0),
        Column("pump", "head_curve", "", "head gain by flow at speed 1", _P, "str", default=""),
        Column("pump", "speed", "1", "relative to the curve's", _I, lower=0.0, default=1.0),
        Column("pump", "speed_pattern", "", "pattern of the speed; empty for constant", _I, "str", default=""),
        Column("pump", "efficiency_curve", "", "wire-to-water efficiency by flow", _B, "str", default=""),
        Column("pump", "energy_price", "1/kWh", "price of energy", _B, lower=0.0, default=0.0),
        Column("pump", "energy_price_pattern", "", "pattern of the price", _B, "str", default=""),
        Column("pump", "status", "", "open or closed", _S, "str", default="open"),
        Column("valve", "kind", "", "PRV, PSV, PBV, FCV, TCV, GPV or PCV", _P, "str"),
        Column("valve", "diameter_m", "m", "diameter", _P, lower=0.0),
        Column("valve", "setting", "m, m3/s or 1", "head of PRV, PSV, PBV; flow of FCV; loss or opening else", _I),
        Column("valve", "minor_loss", "1", "loss coefficient when fully open", _P, lower=0.0, default=0.0),
        Column("valve", "status", "", "active, or fixed open or closed", _S, "str", default="active"),
        Column("valve", "curve", "", "head loss by flow (GPV) or loss by opening (PCV)", _P, "str", default=""),
    ]
    for table in ("pipe", "pump", "valve"):
        rows.append(Column(table, "from_node", "", "node a positive flow comes from", _S, "str"))
        rows.append(Column(table, "to_node", "", "node a positive flow goes to", _S, "str"))
    return rows


def _tables() -> list[Column]:
    rows = [
        Column("pattern", "multipliers", "1", "(n_step,) factors, repeated from the first", _I, "array"),
        Column("curve", "kind", "", "volume, head, efficiency, headloss, valve or generic", _P, "str"),
        Column("curve", "x", "m, m3/s or %", "(n_point,) level, flow or opening", _P, "array"),
        Column("curve", "y", "m3, m or %", "(n_point,) volume, head, head loss, efficiency or loss", _P, "array"),
    ]
    for table in ("junction", "reservoir", "tank"):
        rows.append(Column(table, "x", "m", "place on the map, eastward", _B, default=float("nan")))
        rows.append(Column(table, "y", "m", "place on the map, northward", _B, default=float("nan")))
    numbered = ("junction", "reservoir", "tank", "pipe", "pump", "valve")
    return rows + [Column(t, "position", "1", "its number in the file", _B, "int", default=_LAST) for t in numbered]


def _results() -> list[Column]:
    return [
        Column("node", "head_m", "m", "elevation plus pressure", _R),
        Column("node", "pressure_m", "m", "head above the elevation", _R),
        Column("node", "demand_m3_per_s", "m3/s", "drawn from the network; of tanks what they take in", _R),
        Column("node", "leakage_m3_per_s", "m3/s", "lost through leaks and emitters", _R),
        Column("node", "supplied", "1", "whether water reaches it", _R, "bool"),
        Column("link", "flow_m3_per_s", "m3/s", "positive from from_node to to_node", _R),
        Column("link", "velocity_m_per_s", "m/s", "mean velocity, never negative", _R, lower=0.0),
        Column("link", "headloss_m", "m", "head at from_node less head at to_node", _R),
        Column("link", "status", "1", "0 closed, 1 open, 2 active", _R, "int", lower=0.0, upper=2.0),
        Column("link", "setting", "m, m3/s or 1", "speed of a pump, setting of a valve", _R),
        Column("tank", "level_m", "m", "water level above the tank's elevation", _R),
        Column("pump", "electric_power_w", "W", "drawn from the grid", _R, lower=0.0),
        Column("pump", "efficiency", "1", "wire to water; 0 where nothing flows", _R, lower=0.0, upper=1.0),
        Column("pump", "energy_kwh", "kWh", "drawn since the first report", _R, lower=0.0),
        Column("pump", "cost", "1", "of that energy, in the price's currency", _R),
    ]


WATER_COLUMNS: tuple[Column, ...] = (*_nodes(), *_links(), *_tables(), *_results())
