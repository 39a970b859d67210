"""The search for leaks through the living twin: what it tells is what `twin leaks` tells of the same readings."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from grid_models.errors import InvalidInput
from grid_models.formats.epanet_export import write_inp
from grid_models.library.water import looped_town
from grid_models.measurements import Catalogue, Rows
from grid_models.state import NetworkState
from grid_models.tables import Table
from grid_models.water.network import WaterNetwork
from solvers.water.leak_search.events import Event
from solvers.water.leak_search.readings import Hours
from solvers.water.leak_search.search import LeakSearch
from solvers.water.plan import prepare
from solvers.water.steady import Boundary, Scratch, demand_at, initial_boundary, steady
from tests.simulation.life import Life
from tests.simulation.scada_life import batches, points, told_alike
from twin.alarms import AlarmWatch
from twin.assembly import Parts, assemble
from twin.config import read_config
from twin.estimators.water import WaterEstimator
from twin.field_report import FieldReport, ReportKind
from twin.journal import EntryKind, Journal
from twin.leak_report import YearSearch, search_year
from twin.learnt import Learnt, kept
from twin.lease import Lease
from twin.packing import packed, unpacked
from twin.point_list import write_point_list
from twin.port import AckLevel, Batch, Claim, ClaimedSignal, EventKind, Transition, TwinEvent
from twin.replay import compared
from twin.scada_year import in_common, read_year
from twin.search_watch import Log, SearchWatch
from twin.service import TwinService
from twin.setup import NetworkSetup
from twin.watches import Finding

STEP_S, HISTORY_H, YEAR_H = 1800, 24 * 32, 24 * 13
BEGIN_S = 1_514_764_800  # Monday, 1 January 2018
PRESSURES, FLOWS = ("J001", "J004", "J103", "J201", "J302", "J304"), ("source", "tower")
TOWN = looped_town(4, 5)
PIPES = tuple(str(i) for i in TOWN.link_ids[TOWN.pipe_link])
RAN_ALREADY, BURST, SLOW = "N103", "E202", "E301"


def truth() -> WaterNetwork:
    """The town as it is, which nobody knows exactly."""
    rng = np.random.default_rng(1)

    def disturbed(table: Table, column: str) -> Table:
        return table.replace(column, slice(None), table[column] * rng.uniform(0.92, 1.08, table.size))

    tables = dict(TOWN.tables)
    tables["pipe"] = disturbed(tables["pipe"], "roughness")
    tables["demand"] = disturbed(tables["demand"], "base_m3_per_s")
    return replace(TOWN, tables=tables)


def write_year(folder: Path, year: int, first_h: int, n_h: int, leaks: dict[str, np.ndarray], step_s: int) -> Path:
    """A folder of readings: heads to 2 mm, demand that varies from hour to hour; leaks in m3/h, hour by hour."""
    rng = np.random.default_rng(year)
    network, n = truth(), n_h * 3600 // step_s
    plan = prepare(network)
    scratch, boundary, laws = Scratch(plan), initial_boundary(network), plan.laws
    node, meter = network.nodes(list(PRESSURES)), network.links(list(FLOWS))
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
    time = pd.to_datetime(BEGIN_S + 3600 * first_h + step_s * np.arange(n), unit="s")
    # Tenths of the units in which a utility writes: so small a town would not show its leaks in whole ones.
    tables = {
        "pressures_cm": pd.DataFrame(dict(zip(PRESSURES, np.round(100 * pressure.T, 1), strict=True))),
        "flows_level_x100": pd.DataFrame({**dict(zip(FLOWS, np.round(100 * flow.T, 1), strict=True)), "tank": 100 * level}),
        "demands_Lh": pd.DataFrame(index=range(n)),
        "leak_flow": pd.DataFrame({pipe: np.repeat(amount, 3600 // step_s) for pipe, amount in leaks.items()}),
    }
    folder.mkdir()
    for name, table in tables.items():
        table.insert(0, "time", time)
        connection = duckdb.connect()
        connection.register("frame", table)
        connection.execute(f"copy frame to '{folder / f'{name}_{year}.parquet'}' (format parquet)")
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


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    home = tmp_path_factory.mktemp("search")
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


@pytest.fixture(scope="module")
def life(world: World) -> Life:
    return Life(town(world, "live")).through(batches(world.scada, world.learnt.sensors))


def test_alarms_told_live_are_those_of_twin_leaks(world: World, life: Life) -> None:
    assert [a.pipe for a in world.offline.alarms if a.state == "carried over"] == [RAN_ALREADY]
    assert len([a for a in world.offline.alarms if a.state == "new"]) >= 2  # the burst, and what grew slowly
    told_alike(life, world.offline)
    assert all(world.learnt.revision in e.message for e in life.leaks)
    assert all(e.valid_time_us == life.states[0].valid_time_us for e in life.leaks[:1])


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


def test_its_memory_is_small_and_another_watch_goes_on_from_it_with_the_same_bits(world: World, life: Life) -> None:
    whole, told = driven(watch_of(world, "whole"), life.states)
    cut, again = driven(watch_of(world, "cut"), life.states, forget=301)  # in the first week, in the second, within an hour
    assert packed((whole, tuple(told))) == packed((cut, tuple(again)))
    assert whole.base
    assert len(whole.hours) < 24 * 7
    assert len(packed(whole)) < 300_000  # the search itself has megabytes
    assert len(list((world.folder / "whole").glob("*.search"))) == 1


def test_a_start_at_a_checkpoint_tells_what_would_have_been_told(world: World, life: Life) -> None:
    places = [k for k, e in enumerate(life.journal) if e.kind is EntryKind.CHECKPOINT]
    first = next(k for k in places if unpacked(life.journal[k].payload).mark.sealed_us > life.leaks[1].valid_time_us)
    sealed_us = unpacked(life.journal[first].payload).mark.sealed_us
    rest = [b for b in batches(world.scada, world.learnt.sensors) if b.source_time_us[0] > sealed_us + STEP_S * 1_000_000]
    entry = life.journal[first]
    again = Life(town(world, "live")).through(rest, epoch=2, before=[entry])
    expected = [(e.transition, e.alarm_id, e.valid_time_us, e.message) for e in life.leaks if e.valid_time_us > sealed_us]
    assert len(expected) > 1
    assert [(e.transition, e.alarm_id, e.valid_time_us, e.message) for e in again.leaks] == expected


def test_it_outlives_another_point_list_and_tells_again_what_lasts(world: World, life: Life) -> None:
    rows = list(batches(world.scada, world.learnt.sensors))[: 2 * 215]  # until a meter is heard again
    parts, cut = town(world, "list"), 2 * 150  # in the burst
    more = replace(points(world.learnt.sensors, STEP_S).signals[0], uid=999, name="another", element="J203")
    again = town(world, "list", Catalogue(2, (*parts.catalogue.signals, more)))
    found = Life(parts).through(rows[:cut]).rebound(again).through(rows[cut:], epoch=2)
    at_us = int(rows[cut].source_time_us[0])  # the end of an hour
    told = [(e.transition.name, e.elements[0], e.valid_time_us >= at_us) for e in found.leaks]
    standing = [f"pipe {RAN_ALREADY}", f"pipe {BURST}"]
    assert told[2:4] == [("CLEARED", pipe, False) for pipe in standing]
    assert told[4:6] == [("RAISED", pipe, True) for pipe in standing]
    end_us = found.states[-1].valid_time_us - STEP_S * 1_000_000
    later = [(e.transition, e.elements[0], e.valid_time_us) for e in life.leaks if at_us < e.valid_time_us < end_us]
    assert [(e.transition, e.elements[0], e.valid_time_us) for e in found.leaks[6:]] == later


def test_the_alarms_of_a_search_end_where_another_one_takes_its_place(world: World, life: Life) -> None:
    place = max(k for k, e in enumerate(life.journal) if e.kind is EntryKind.CHECKPOINT)
    other = replace(world, learnt=replace(world.learnt, revision="other"))
    again = Life(town(other, "other")).through([], epoch=2, before=life.journal[place:])
    standing = {e.alarm_id for e in life.leaks if e.transition is Transition.RAISED}
    standing -= {e.alarm_id for e in life.leaks if e.transition is Transition.CLEARED}
    assert standing
    assert {e.alarm_id for e in again.leaks if e.transition is Transition.CLEARED} == standing


def test_the_past_is_computed_again_without_it(world: World, life: Life) -> None:
    assert all(c.equal for c in compared(town(world, "past"), life.journal))
    assert not (world.folder / "past").exists()


@pytest.mark.parametrize("left", [None, 1000])
def test_without_its_base_it_begins_anew_and_says_so(world: World, life: Life, left: int | None) -> None:
    watch = watch_of(world, f"lost-{left}")
    memory, _ = driven(watch, life.states[: 48 * 8])
    standing = memory.told
    assert standing
    assert memory.base
    for path in (world.folder / f"lost-{left}").glob("*.search"):
        whole = path.read_bytes()
        path.unlink()
        if left is not None:
            path.write_bytes(whole[:left])
    watch, over = watch.again(), list[Finding]()
    for state in life.states[48 * 8 : 48 * 8 + 5]:
        memory, findings = watch.step(memory, state, {})
        over += findings
    cleared = {f.key for f in over if f.transition is Transition.CLEARED}
    assert cleared == {f"METER_CHANGED/water/{watch.name}/J004", *(watch.key(n) for n, _ in standing)}
    assert memory.count == 1  # it has begun again


def carrying(state: NetworkState, pipe: str) -> NetworkState:
    """A state that carries a leak at a pipe, as one does once the watch for bursts has told it."""
    lost = np.zeros(len(TOWN.node_ids))
    row = int(TOWN.links([pipe])[0])
    lost[[TOWN.link_from[row], TOWN.link_to[row]]] = 0.003
    return replace(state, memory={**state.memory, "lost": lost})


def test_what_states_carry_is_not_told_twice_unless_it_flows_on_when_they_do_no_more(world: World, life: Life) -> None:
    raised = [(e.valid_time_us, e.elements[0]) for e in life.leaks if e.transition is Transition.RAISED]
    burst_us = next(t for t, pipe in raised[1:])
    first_us = life.states[0].valid_time_us
    hour_us = 3_600_000_000

    def told(carried_h: float) -> list[int]:
        """When a leak near the burst was told first, states carrying the burst for so many hours."""
        end_us = burst_us + carried_h * hour_us
        states = [
            carrying(s, BURST) if first_us + 100 * hour_us < s.valid_time_us < end_us else s
            for s in life.states
            if s.valid_time_us < first_us + 185 * hour_us
        ]
        found = driven(watch_of(world, f"carried-{carried_h}"), states)[1]
        raised = [(t, f) for t, f in found if f.transition is Transition.RAISED and f.kind is EventKind.LEAK]
        near = [t for t, f in raised if t > first_us and _is_near(world, f, BURST)]
        return near[:1]

    assert told(0) == [burst_us]  # nobody else has told it
    assert told(90) == []
    assert told(12) == [burst_us + (12 + 23) * hour_us]  # its end was told, and a day later it flows still


def _is_near(world: World, finding: Finding, pipe: str) -> bool:
    at = PIPES.index(finding.elements[0].removeprefix("pipe "))
    return bool(world.learnt.noise.distance_m[at, PIPES.index(pipe)] <= 300.0)


def test_a_repair_ends_the_alarm_and_one_that_was_none_is_told_again_a_day_later(world: World, life: Life) -> None:
    hour_us, first_us = 3_600_000_000, life.states[0].valid_time_us
    burst = next(e for e in life.leaks if e.valid_time_us > first_us)
    key = burst.alarm_id.rsplit("#", 1)[0]

    def said_at(hour: int, until: int) -> list[tuple[str, int]]:
        """What is told of the burst, told as repaired at an hour; it is repaired in the 190th."""
        report = FieldReport(
            ReportKind.REPAIRED, "water", "crew", "done", alarm_id=burst.alarm_id, counts_us=first_us + hour * hour_us
        )
        states = [s for s in life.states if s.valid_time_us < first_us + until * hour_us]
        found = driven(watch_of(world, f"repaired-{hour}"), states, reports=(report,))[1]
        return [(f.transition.name, (t - first_us) // hour_us) for t, f in found if f.key == key]

    begun = ("RAISED", (burst.valid_time_us - first_us) // hour_us)
    assert said_at(191, 260) == [begun, ("CLEARED", 191)]
    assert said_at(130, 180) == [begun, ("CLEARED", 130), ("RAISED", 130 + 23)]  # the hour that ended then counts


def test_a_fault_of_the_search_begins_it_anew(world: World, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    step, calls = LeakSearch.step, count(1)

    def faulty(search: LeakSearch, hour: Hours) -> list[Event]:
        if next(calls) == 30:
            raise np.linalg.LinAlgError("not positive definite")
        return step(search, hour)

    monkeypatch.setattr(LeakSearch, "step", faulty)
    watch = watch_of(world, "faulty")
    memory, told = driven(watch, life.states[: 2 * 40])
    ran = [f.transition.name for _, f in told if f.key == watch.key(1)]
    assert ran == ["RAISED", "CLEARED", "RAISED"]
    assert memory.count == 8  # of 39 hours 29, the faulty one, the one in which it began anew


def test_a_meter_that_changes_by_itself_is_named_until_it_is_heard_again(world: World, life: Life) -> None:
    at = world.learnt.sensors.pressure.index("J103")

    def jumped(state: NetworkState) -> NetworkState:
        read = np.array(state.memory["read"])
        read[at] += 0.5
        return replace(state, memory={**state.memory, "read": read})

    states = [jumped(s) if k >= 48 * 3 else s for k, s in enumerate(life.states)]
    told = [(t, f) for t, f in driven(watch_of(world, "meter"), states)[1] if f.elements == ("J103",)]
    assert [f.transition for _, f in told] == [Transition.RAISED, Transition.CLEARED]
    assert {f.code for _, f in told} == {"METER_CHANGED"}
    days = (told[1][0] - told[0][0]) / 86_400e6
    assert 6.5 < days <= 7.0


def test_what_was_learnt_is_learnt_once_and_anew_from_another_history(world: World, tmp_path: Path) -> None:
    told: list[str] = []
    sensors = world.learnt.sensors
    again = kept(world.folder / "learnt", TOWN, world.history, sensors, lambda text, done: told.append(text))
    assert told == []
    bare = [packed(replace(x, noise=x.noise.alone())) for x in (again, world.learnt)]
    assert bare[0] == bare[1]
    other = kept(world.folder / "learnt", TOWN, world.scada, sensors, lambda text, done: told.append(text))
    assert told
    assert other.revision != world.learnt.revision


@pytest.fixture
def settings(world: World, tmp_path: Path) -> Path:
    """Of a service that searches."""
    write_inp(TOWN, tmp_path / "town.inp")
    write_point_list(points(world.learnt.sensors, STEP_S).signals, tmp_path / "signals.csv")
    path = tmp_path / "twin.toml"
    path.write_text(f"""
signals = "signals.csv"
clock = "stream"
lateness_s = {STEP_S}
[[networks]]
name = "water"
model = "town.inp"
cycle_s = {STEP_S}
history = "{world.history}"
""")
    return path


def test_a_service_searches_where_its_settings_name_a_history(settings: Path) -> None:
    told: list[str] = []
    (search,) = assemble(read_config(settings), lambda text, done: told.append(text)).searches
    assert told
    assert search.name.startswith("search-water-")
    assert assemble(read_config(settings)).searches == ()  # who computes the past needs none
    settings.write_text(settings.read_text().replace(f"cycle_s = {STEP_S}", "cycle_s = 7"))
    with pytest.raises(InvalidInput, match="by the hour"):
        assemble(read_config(settings), lambda text, done: None)


async def test_a_service_that_is_started_again_searches_on(world: World, settings: Path) -> None:
    rows = list(batches(world.scada, world.learnt.sensors))[:120]
    first = await _served(settings, rows[:70], 1)
    mine = [(e.elements[0], e.transition) for e in first if "/search-" in e.alarm_id]
    assert mine == [(f"pipe {RAN_ALREADY}", Transition.RAISED)]
    second = await _served(settings, rows[70:], 2)
    assert [e.elements for e in second if "/search-" in e.alarm_id] == [
        ("J004",)
    ]  # as in one life, which told it after 42 hours


async def _served(settings: Path, rows: list[Rows], epoch: int) -> list[TwinEvent]:
    """A service's life through some batches, and what it told."""
    config = read_config(settings)
    parts = assemble(config, lambda text, done: None)
    service = TwinService("city", parts, Lease(config.store), Journal(config.store))
    await service.start()
    before = service.event_sequence
    claimed = tuple(ClaimedSignal(s.uid, s.unit, 1) for s in service.catalogue.signals)
    claim = Claim("scada", epoch, 0, service.catalogue.revision, claimed, AckLevel.ESTIMATED)
    stream = await service.open_publisher(claim)
    chain = service._engine._chains["water"]
    for number, batch in enumerate(rows, start=1):
        await stream.submit(Batch(number, batch))
        at_us = int(batch.source_time_us.max()) - 2 * STEP_S * 1_000_000
        while chain.sealed_us is None or chain.sealed_us < at_us or not chain.rests:
            await asyncio.sleep(0.001)
            if number < 4:
                break
    count = service.event_sequence
    events = [event async for event in _first(service.watch_events(before), count - before)]
    await service.stop()
    return events


async def _first(events: AsyncIterator[TwinEvent], n: int) -> AsyncIterator[TwinEvent]:
    for _ in range(n):
        yield await anext(events)
