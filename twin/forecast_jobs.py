"""Forecasts: the journal's history -> futures of demand and sun -> both networks -> labelled quantiles.

Three rhythms are learnt: what metered loads draw over their nominal power, what metered plants feed in over theirs, and
what the water network consumes over its profile. Each future moves all consumers of its kind together, which is what
loads lines and empties tanks; it starts from the newest state. Future k of a power network at an hour, and of a water
network over the horizon, is an ordinary network (`power_future`, `water_future`) whose solution is in the dataset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from grid_models.columns import COLUMNS
from grid_models.measurements import Catalogue, Rows
from grid_models.power.network import PowerNetwork
from grid_models.state import NetworkState
from grid_models.tables import Table, frozen
from grid_models.water.network import WaterNetwork
from solvers.forecast.seasonal import Floats, Seasonal, fit, futures
from solvers.plan import Reuse
from solvers.power.admittance import factor, prepare
from solvers.power.load_flow import load_flow
from solvers.power.results import results
from solvers.water.extended import simulate
from twin.errors import NotFound

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_POWER = ("bus_vm_pu", "line_loading_percent", "trafo_loading_percent", "ext_grid_p_mw")
_WATER = ("node_pressure_m", "link_flow_m3_per_s", "tank_level_m")
_HOUR_S = 3600


@dataclass(frozen=True)
class Rhythms:
    """What was learnt from history, as shares of the models' nominal values."""

    load: Seasonal
    sun: Seasonal
    water: Seasonal


def learn(history: Iterable[Rows], catalogue: Catalogue, power: PowerNetwork | None, states: Iterable[NetworkState]) -> Rhythms:
    """Learn the rhythms.

    Args:
        history: admitted measurements.
        catalogue: their signals.
        power: the power network, for nominal values.
        states: of the water network, for its consumption over its profile.
    """
    nominal: dict[int, tuple[str, float]] = {}
    for signal in catalogue.signals:
        if power is not None and signal.table in ("load", "sgen") and signal.quantity == "p_mw":
            table = power.tables[signal.table]
            row = int(table.rows([int(signal.element)])[0])
            value = float(table["p_mw"][row] * table.column("scaling", 1.0)[row])
            if value > 0:
                nominal[signal.uid] = (signal.table, value)
    series: dict[str, tuple[list[Floats], list[Floats]]] = {"load": ([], []), "sgen": ([], [])}
    wanted = {t: np.array([u for u, (element, _) in nominal.items() if element == t], dtype=np.uint32) for t in series}
    for rows in history:
        for element, uids in wanted.items():
            mine = np.isin(rows.signal, uids)
            if mine.any():
                base = np.array([nominal[int(u)][1] for u in rows.signal[mine]])
                # The median of an instant: one consumer that grew does not speak for all.
                series[element][0].append(np.array([rows.source_time_us[mine][0] / 1e6]))
                series[element][1].append(np.array([max(0.0, float(np.median(rows.value[mine] / base)))]))
    load, sun = (fit(_joined(series[t][0]), _joined(series[t][1])) for t in ("load", "sgen"))
    times, shares = [], []
    for state in states:
        if "nominal" in state.memory:
            expected = float(np.sum(state.memory["nominal"]))
            drawn = float(np.sum(np.asarray(state.values["node_demand_m3_per_s"])))
            if expected > 0:
                times.append(state.valid_time_us / 1e6)
                shares.append(drawn / expected)
    return Rhythms(load, sun, fit(np.array(times), np.array(shares)))


def _joined(parts: list[Floats]) -> Floats:
    return np.concatenate(parts) if parts else np.zeros(0)


@dataclass(frozen=True, eq=False)
class Inputs:
    """What each future is given, (n_future, n_hour), as shares of nominal values [1]."""

    load: Floats
    sun: Floats
    water: Floats

    @staticmethod
    def draw(rhythms: Rhythms, start_s: float, hours: int, n: int, seed: int) -> Inputs:
        """Draw futures of all three; their residuals are independent of each other."""
        return Inputs(
            futures(rhythms.load, start_s, hours, n, seed),
            futures(rhythms.sun, start_s, hours, n, seed + 1),
            futures(rhythms.water, start_s, hours, n, seed + 2),
        )


def power_future(base: PowerNetwork, load_share: float, sun_share: float) -> PowerNetwork:
    """The power network of one future at one hour: nominal loads and plants, scaled."""
    tables = dict(base.tables)
    for element, share in (("load", load_share), ("sgen", sun_share)):
        if element in tables:
            table = tables[element]
            scaled = {c: frozen(table[c] * share) for c in ("p_mw", "q_mvar")}
            tables[element] = Table(table.index, {**table.columns, **scaled})
    return replace(base, tables=tables)


def water_future(base: WaterNetwork, share: Floats) -> WaterNetwork:
    """The water network of one future: its patterns hour by hour, scaled.

    Args:
        base: the fork of the newest state: tank levels, statuses, and the clock from which its patterns go on.
        share: (n_hour,) [1].
    """
    options, patterns = base.options, base.tables["pattern"]
    hourly = np.empty(patterns.size, dtype=object)
    speeds = {str(p) for p in base.tables["pump"]["speed_pattern"]} | {str(p) for p in base.tables["reservoir"]["pattern"]}
    for i, name in enumerate(patterns.index.tolist()):
        factors = np.asarray(patterns["multipliers"][i], dtype=float)
        at = options.pattern_start_s + np.arange(len(share) * _HOUR_S // options.pattern_step_s) * options.pattern_step_s
        seen = factors[(at // options.pattern_step_s) % len(factors)]
        means = seen.reshape(len(share), -1).mean(axis=1)
        hourly[i] = frozen(means if str(name) in speeds else means * share)
    tables = {**base.tables, "pattern": Table(patterns.index, {**patterns.columns, "multipliers": frozen(hourly)})}
    clock = replace(
        options, pattern_start_s=0, pattern_step_s=_HOUR_S, hydraulic_step_s=_HOUR_S, report_step_s=_HOUR_S,
        report_start_s=0, duration_s=(len(share) - 1) * _HOUR_S,
    )  # fmt: skip
    return replace(base, tables=tables, options=clock)


def forecast(
    power: PowerNetwork | None,
    water: WaterNetwork | None,
    inputs: Inputs,
    start: np.datetime64,
    step: Callable[[], None],
) -> xr.Dataset:
    """Push every future through both networks.

    Args:
        power: nominal, with the topology of the newest state.
        water: the fork of the newest state.
        inputs: of the futures.
        start: instant of the first hour, UTC.
        step: called after each future, for a progress bar.

    Returns:
        (future, time, element) for the columns a planner asks for, `{column}_quantile` over (quantile, time, element), the
        inputs, and per future the gravest status.
    """
    n, hours = inputs.load.shape
    kept: dict[str, list[NDArray[np.float64]]] = {}
    status = []
    reuse = Reuse(prepare, factor)
    for k in range(n):
        said = set()
        if power is not None:
            rows: dict[str, list[NDArray[np.float64]]] = {}
            for h in range(hours):
                network = power_future(power, inputs.load[k, h], inputs.sun[k, h])
                flow = load_flow(network, reuse=reuse)
                said.add(flow.status.name)
                columns = results(network, flow.value.model, flow.value.v)
                for name in _POWER:
                    if name in columns:
                        rows.setdefault(name, []).append(np.asarray(columns[name], dtype=np.float64))
            for name, values in rows.items():
                kept.setdefault(name, []).append(np.array(values))
        if water is not None:
            trace = simulate(water_future(water, inputs.water[k]))
            said.add(trace.status.name)
            for name in _WATER:
                kept.setdefault(name, []).append(np.asarray(trace.value.values[name], dtype=np.float64))
        status.append(",".join(sorted(said)))
        step()
    return _labelled(kept, power, water, inputs, start, status)


def _labelled(
    kept: dict[str, list[NDArray[np.float64]]],
    power: PowerNetwork | None,
    water: WaterNetwork | None,
    inputs: Inputs,
    start: np.datetime64,
    status: list[str],
) -> xr.Dataset:
    n, hours = inputs.load.shape
    coordinates: dict[str, object] = {
        "future": np.arange(n),
        "time": start + np.arange(hours) * np.timedelta64(1, "h"),
        "quantile": np.array(QUANTILES),
    }
    variables: dict[str, object] = {}
    for name, values in kept.items():
        column = COLUMNS[name]
        array = np.array(values)
        variables[name] = (("future", "time", column.table), array, {"units": column.unit, "long_name": column.text})
        finite = np.where(np.isfinite(array), array, np.nan)
        quantiles = np.quantile(np.nan_to_num(finite), QUANTILES, axis=0)
        quantiles = np.where(np.isnan(finite).all(axis=0), np.nan, quantiles)
        text = {"units": column.unit, "long_name": f"quantile of {column.text}"}
        variables[f"{name}_quantile"] = (("quantile", "time", column.table), quantiles, text)
        coordinates[column.table] = _ids(column.table, power, water)
    for name, array in (("load_share", inputs.load), ("sun_share", inputs.sun), ("water_share", inputs.water)):
        variables[name] = (("future", "time"), array, {"units": "1", "long_name": "input: share of nominal"})
    variables["status"] = (("future",), np.array(status, dtype="U64"), {"long_name": "statuses of the future's solves"})
    return xr.Dataset(variables, coordinates)


def _ids(table: str, power: PowerNetwork | None, water: WaterNetwork | None) -> NDArray[np.generic]:
    if power is not None and table in power.tables:
        return np.asarray(power.tables[table].index)
    if water is None:
        raise NotFound(f"no network has a table {table}")
    ids = {"node": water.node_ids, "link": water.link_ids, "tank": water.tables["tank"].index}
    return np.asarray(ids[table]).astype(str)
