"""Weeks of a small town with leaks, and a search that lives through them: what tests of the live search share."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from grid_models.measurements import Catalogue
from grid_models.state import NetworkState
from solvers.water.plan import prepare
from solvers.water.steady import Boundary, Scratch, demand_at, initial_boundary, steady
from tests.simulation.scada_life import points
from tests.true_town import MONDAY_S, SENSORS, TOWN, truth
from twin.alarms import AlarmWatch
from twin.assembly import Parts
from twin.estimators.water import WaterEstimator
from twin.field_report import FieldReport
from twin.leak_report import YearSearch, search_year
from twin.learnt import Learnt, kept
from twin.packing import packed, unpacked
from twin.scada_year import in_common, read_year
from twin.search_watch import Log, SearchWatch
from twin.setup import NetworkSetup
from twin.watches import Finding

STEP_S, HISTORY_H, YEAR_H = 1800, 24 * 32, 24 * 13
RAN_ALREADY, BURST, SLOW = "N103", "E202", "E301"


def write_year(folder: Path, year: int, first_h: int, n_h: int, leaks: dict[str, np.ndarray], step_s: int) -> Path:
    """A folder of readings: heads to 2 mm, demand that varies from hour to hour; leaks in m3/h, hour by hour."""
    rng = np.random.default_rng(year)
    network, n = truth(), n_h * 3600 // step_s
    plan = prepare(network)
    scratch, boundary, laws = Scratch(plan), initial_boundary(network), plan.laws
    node, meter = network.nodes(list(SENSORS.pressure)), network.links(list(SENSORS.flow))
    row = {pipe: int(network.links([pipe])[0]) for pipe in leaks}
    level = 4.0 + np.sin(np.arange(n) * step_s / 3600.0 / 5.0)
    varies = 1 + 0.05 * rng.standard_normal(n_h)
    pressure, flow, found = np.empty((n, len(node))), np.empty((n, len(meter))), None
    for k in range(n):
        h = k * step_s // 3600
        demand = demand_at(network, 3600.0 * first_h + k * step_s + step_s / 2) * varies[h]
        for pipe, amount in leaks.items():
            demand[[laws.start[row[pipe]], laws.end[row[pipe]]]] += 0.5 * amount[h] / 3600.0
        head = boundary.head_m.copy()
        head[network.tank_node] = network.tables["tank"]["elevation_m"] + level[k]
        found = steady(plan, scratch, Boundary(demand, head, boundary.status, boundary.setting), found).value
        pressure[k] = (found.head_m - laws.elevation)[node] + 0.002 * rng.standard_normal(len(node))
        flow[k] = found.flow_m3_per_s[meter] * 3600.0
    time = pd.to_datetime(MONDAY_S + 3600 * first_h + step_s * np.arange(n), unit="s")
    by_meter = dict(zip(SENSORS.flow, np.round(100 * flow.T, 1), strict=True))
    # Tenths of the units in which a utility writes: so small a town would not show its leaks in whole ones.
    tables = {
        "pressures_cm": pd.DataFrame(dict(zip(SENSORS.pressure, np.round(100 * pressure.T, 1), strict=True))),
        "flows_level_x100": pd.DataFrame({**by_meter, "tank": 100 * level}),
        "demands_Lh": pd.DataFrame(index=range(n)),
        "leak_flow": pd.DataFrame({pipe: np.repeat(amount, 3600 // step_s) for pipe, amount in leaks.items()}),
    }
    folder.mkdir()
    for name, table in tables.items():
        table.insert(0, "time", time)
        _write(table, folder / f"{name}_{year}.parquet")
    with (folder / f"leaks_{year}.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["pipe", "start"])
        rows.writerows([pipe, str(time[int(np.argmax(np.repeat(a, 3600 // step_s) > 0))])] for pipe, a in leaks.items())
    return folder


@dataclass(frozen=True)
class World:
    """A history and the weeks after it, and what `twin leaks` finds in them."""

    history: Path
    scada: Path
    folder: Path
    learnt: Learnt
    offline: YearSearch


def world_in(home: Path) -> World:
    """Write both folders, learn from the one and search the other: a leak that ran already, a burst, one that grows."""
    ran = np.where(np.arange(HISTORY_H) >= 500, 8.0, 0.0)
    h = np.arange(YEAR_H)
    leaks = {
        RAN_ALREADY: np.full(YEAR_H, 8.0),
        BURST: np.where((h >= 100) & (h < 190), 25.0, 0.0),
        SLOW: np.clip((h - 120) / 10.0, 0.0, 14.0),
    }
    history = write_year(home / "history", 2018, 0, HISTORY_H, {RAN_ALREADY: ran}, 3600)
    scada = write_year(home / "scada", 2019, HISTORY_H, YEAR_H, leaks, STEP_S)
    _lose(scada)
    past, year = in_common(read_year(history, TOWN), read_year(scada, TOWN))
    learnt = kept(home / "learnt", TOWN, history, year.sensors, lambda text, done: None)
    return World(history, scada, home, learnt, search_year(TOWN, past, year, lambda text, done: None, learnt))


def _lose(scada: Path) -> None:
    """Rows that are missing, a meter that is silent for some hours, and one that stands still."""
    path = scada / "pressures_cm_2019.parquet"
    table = duckdb.connect().execute(f"select * from read_parquet('{path}')").df()
    table.loc[60:63, "J103"] = np.nan
    table.loc[80:130, "J004"] = table.loc[80, "J004"]
    table = table.drop(index=range(30, 33))
    path.unlink()
    _write(table, path)


def _write(table: pd.DataFrame, path: Path) -> None:
    connection = duckdb.connect()
    connection.register("frame", table)
    connection.execute(f"copy frame to '{path}' (format parquet)")


def town(world: World, bases: str, catalogue: Catalogue | None = None) -> Parts:
    """A twin that searches, and has no other watch for leaks."""
    catalogue = catalogue or points(world.learnt.sensors, STEP_S)
    water = WaterEstimator(TOWN, catalogue, "water")
    search = SearchWatch(water, world.learnt, STEP_S * 1_000_000, world.folder / bases)
    return Parts(
        catalogue, {"water": water}, {"water": "water"}, (NetworkSetup("water", STEP_S * 1_000_000),),
        (AlarmWatch.for_water("water", TOWN, catalogue),), STEP_S * 1_000_000, stream_clock=True,
        checkpoint_us=6 * 3600 * 1_000_000, searches=(search,),
    )  # fmt: skip


def driven(
    watch: SearchWatch, states: list[NetworkState], forget: int = 0, reports: tuple[FieldReport, ...] = ()
) -> tuple[Log, list[tuple[int, Finding]]]:
    """A watch's memory after some states, and what it told when; where `forget` is set, so many states after another it
    is packed, as in a checkpoint, and another watch goes on."""
    memory, told = watch.empty(), list[tuple[int, Finding]]()
    for k, state in enumerate(states):
        if forget and k % forget == forget - 1:
            memory, watch = unpacked(packed(memory)), watch.again()
        said = tuple(r for r in reports if r.counts_us <= state.valid_time_us)
        memory, findings = watch.step(memory, state, {}, said)
        told += [(state.valid_time_us, f) for f in findings]
    return memory, told


def watch_of(world: World, bases: str) -> SearchWatch:
    (search,) = town(world, bases).searches
    assert isinstance(search, SearchWatch)
    return search
