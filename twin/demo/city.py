"""The demo city: a real German medium-voltage grid and a real water network, tied at a pumping station.

Power is pandapower's `mv_oberrhein` (two 110/20 kV stations on the Upper Rhine, 179 buses, with coordinates), water
is L-TOWN (782 junctions, the town of the BattLeDIM competition) as `epyt` ships it. Both come with installed
packages, so that the first five minutes need no further download.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from grid_models.measurements import Signal, SignalKind, Update

POWER = "power"
WATER = "water"
PUMP = "PUMP_1"
PUMP_BUS = 38  # a station far out on a feeder: one tripping line takes its supply
PUMP_P_MW = 0.012  # 45 m3/h lifted 65 m at 75 % and 90 % efficiency

# BattLeDIM's instruments.
PRESSURE_SENSORS: tuple[int, ...] = (
    1,
    4,
    31,
    54,
    105,
    114,
    163,
    188,
    215,
    229,
    288,
    296,
    332,
    342,
    410,
    415,
    429,
    458,
    469,
    495,
    506,
)
PRESSURE_SENSORS += (516, 519, 549, 613, 636, 644, 679, 722, 726, 740, 752, 769)
FLOW_SENSORS = ("p227", "p235", PUMP)
SMART_METERS = tuple(
    f"n{i}"
    for span in (
        (1, 4),
        (6, 11),
        (13, 13),
        (16, 36),
        (39, 45),
        (343, 347),
        (349, 358),
        (360, 362),
        (364, 379),
        (381, 389),
    )
    for i in range(span[0], span[1] + 1)
)

_P_SIGMA = 0.01  # class 1 metering, of the rating
_SCADA_TTL_S = 300.0
_WATER_TTL_S = 1800.0
_HOLD_S = 7 * 86400.0


def power_net() -> Any:
    """The power network as a pandapower net, the pump's motor added as a load named after the pump."""
    import pandapower as pp
    import pandapower.networks as pn

    net = pn.mv_oberrhein()
    net.name = "mv_oberrhein"
    net.sgen["scaling"] = 0.5  # the packaged scenario is a winter evening's, without sun
    pp.create_load(net, PUMP_BUS, p_mw=PUMP_P_MW, q_mvar=0.5 * PUMP_P_MW, name=PUMP)
    return net


def water_inp() -> Path:
    """The L-TOWN file inside the installed package `epyt`.

    Raises:
        ModuleNotFoundError: `epyt` is not installed (it comes with the `demo` extra).
    """
    spec = find_spec("epyt")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("epyt is not installed; the demo needs `pip install city-twin[demo]`")
    return Path(spec.origin).parent / "networks" / "L-TOWN.inp"


@lru_cache(maxsize=1)
def feeder_tree() -> nx.DiGraph[int]:
    """Buses as a forest rooted at the two stations' 20 kV busbars; edge attribute `line` is the line's index."""
    net = power_net()
    open_lines = set(net.switch.loc[~net.switch.closed & (net.switch.et == "l"), "element"])
    graph: nx.Graph[int] = nx.Graph()
    for line in net.line.itertuples():
        if line.Index not in open_lines:
            graph.add_edge(line.from_bus, line.to_bus, line=line.Index)
    forest: nx.DiGraph[int] = nx.DiGraph()
    for root in net.trafo.lv_bus:
        for upstream, bus in nx.bfs_edges(graph, root):
            forest.add_edge(upstream, bus, line=graph.edges[upstream, bus]["line"])
    return forest


def below(bus: int) -> set[int]:
    """The buses that lose supply when `bus` does, itself included."""
    return {bus, *nx.descendants(feeder_tree(), bus)}


def way_up(bus: int) -> list[tuple[int, int]]:
    """(line, lower bus) of every line between `bus` and its station, from the bus upward."""
    tree, way = feeder_tree(), []
    while (upstream := next(iter(tree.predecessors(bus)), None)) is not None:
        way.append((tree.edges[upstream, bus]["line"], bus))
        bus = upstream
    return way


def metered_lines() -> tuple[int, ...]:
    """Lines with a feeder meter: where a branch of at least five stations begins."""
    tree = feeder_tree()
    found = []
    for upstream, bus, line in tree.edges(data="line"):
        begins = tree.in_degree(upstream) == 0 or tree.out_degree(upstream) > 1
        if begins and len(below(bus)) >= 5:
            found.append(line)
    return tuple(sorted(found))


def _signal(uid: int, network: str, table: str, element: object, quantity: str, **more: Any) -> Signal:
    fields: dict[str, Any] = {
        "kind": SignalKind.ANALOG,
        "side": "",
        "sign": 1,
        "update": Update.CYCLIC,
        "ttl_s": _SCADA_TTL_S if network == POWER else _WATER_TTL_S,
        "hold_s": _HOLD_S,
        **more,
    }
    side = f".{fields['side']}" if fields["side"] else ""
    name = f"{network}.{table}.{element}{side}.{quantity}"
    return Signal(uid=uid, name=name, network=network, table=table, element=str(element), quantity=quantity, **fields)


def _power_points(net: Any) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = []

    def power_meter(table: str, element: int, rating_mva: float, **more: Any) -> None:
        for quantity, unit in (("p_mw", "MW"), ("q_mvar", "Mvar")):
            points.append(
                {"table": table, "element": element, "quantity": quantity, "unit": unit, **more}
                | {"sigma": _P_SIGMA * rating_mva, "lower": -2 * rating_mva, "upper": 2 * rating_mva}
            )

    def current_meter(table: str, element: int, rating_ka: float, **more: Any) -> None:
        points.append(
            {"table": table, "element": element, "quantity": "i_ka", "unit": "kA", **more}
            | {"sigma": _P_SIGMA * rating_ka, "lower": -0.1 * rating_ka, "upper": 2 * rating_ka}  # noise goes below 0
        )

    stations = [*net.trafo.hv_bus, *net.trafo.lv_bus]
    voltage_metered = [*stations, *sorted(set(net.bus.index) - set(stations))[::4]]
    points += [
        {"table": "bus", "element": bus, "quantity": "vm_pu", "unit": "pu"} | {"sigma": 0.002, "lower": 0.8, "upper": 1.2}
        for bus in voltage_metered
    ]
    for trafo in net.trafo.itertuples():
        power_meter("trafo", trafo.Index, trafo.sn_mva, side="hv")
        current_meter("trafo", trafo.Index, trafo.sn_mva / (3**0.5 * trafo.vn_hv_kv), side="hv")
    tree = feeder_tree()
    upstream_of = {line: upstream for upstream, _, line in tree.edges(data="line")}
    for line in metered_lines():
        side = "from" if net.line.from_bus[line] == upstream_of[line] else "to"
        rating_ka = float(net.line.max_i_ka[line])
        power_meter("line", line, 3**0.5 * 20.0 * rating_ka * 0.5, side=side)
        current_meter("line", line, rating_ka, side=side)
    for load in [*net.load.index[:-1:4], net.load.index[-1]]:
        power_meter("load", load, max(1.0, float(net.load.p_mw[load])) * 0.7)
    # One plant in ten is metered and tells how much sun there is.
    for sgen in net.sgen.index[::10]:
        power_meter("sgen", sgen, 0.3)
    points += [
        {"table": "switch", "element": switch, "quantity": "closed", "unit": "1", "kind": SignalKind.SWITCH}
        | {"update": Update.SPONTANEOUS, "sigma": 0.0, "lower": 0.0, "upper": 3.0}
        for switch in net.switch.index
    ]
    return points


def _water_points() -> list[dict[str, Any]]:
    pressure = {
        "table": "junction",
        "quantity": "pressure_m",
        "unit": "m",
        "sigma": 0.02,
        "lower": -5.0,
        "upper": 120.0,
    }
    points: list[dict[str, Any]] = [pressure | {"element": f"n{i}"} for i in PRESSURE_SENSORS]
    points += [
        {"table": "pump" if link == PUMP else "pipe", "element": link, "quantity": "flow_m3_per_s"}
        | {"unit": "m3/s", "sigma": 0.5 / 3600, "lower": -0.2, "upper": 0.2}
        for link in FLOW_SENSORS
    ]
    points.append(
        {"table": "tank", "element": "T1", "quantity": "level_m", "unit": "m"} | {"sigma": 0.01, "lower": -0.1, "upper": 4.2}
    )
    points.append(
        {"table": "pump", "element": PUMP, "quantity": "status", "unit": "1", "kind": SignalKind.SWITCH}
        | {"update": Update.SPONTANEOUS, "sigma": 0.0, "lower": 0.0, "upper": 3.0}
    )
    points += [
        {"table": "junction", "element": node, "quantity": "demand_m3_per_s", "unit": "m3/s"}
        | {"sigma": 0.02 / 3600, "lower": -0.2 / 3600, "upper": 0.05}
        for node in SMART_METERS
    ]
    return points


def signals() -> tuple[Signal, ...]:
    """The city's point list: uids from 1, power first."""
    points = [(POWER, p) for p in _power_points(power_net())] + [(WATER, p) for p in _water_points()]
    return tuple(_signal(uid, network, **point) for uid, (network, point) in enumerate(points, start=1))


def daily_load(hour: float) -> float:
    """Share of nominal load at an hour of the day: a residential double peak over a commercial plateau [1]."""
    evening = np.exp(-((((hour - 19.0 + 12) % 24) - 12) ** 2) / 6.0)
    morning = np.exp(-((((hour - 8.0 + 12) % 24) - 12) ** 2) / 5.0)
    business = 1.0 / (1.0 + np.exp(-(hour - 7.0) * 1.5)) / (1.0 + np.exp((hour - 18.0) * 1.2))
    return float(0.30 + 0.14 * morning + 0.20 * evening + 0.12 * business)


def daily_sun(hour: float) -> float:
    """Share of nominal photovoltaic power under a clear sky at an hour of the day [1]."""
    return float(max(0.0, np.cos((hour - 12.5) / 6.5 * np.pi / 2)) ** 1.4) if 6.0 < hour < 19.0 else 0.0
