"""The search for leaks through the living twin: what it tells is what `twin leaks` tells of the same readings.

Over a restart, another point list and another search, too. The watch alone: test_search_watch.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from grid_models.errors import InvalidInput
from grid_models.formats.epanet_export import write_inp
from grid_models.measurements import Catalogue, Rows
from tests.simulation.life import Life
from tests.simulation.scada_life import batches, points, told_alike
from tests.simulation.searched_town import BURST, RAN_ALREADY, STEP_S, World, town
from tests.true_town import TOWN
from twin.assembly import assemble
from twin.config import read_config
from twin.journal import EntryKind, Journal
from twin.lease import Lease
from twin.packing import unpacked
from twin.point_list import write_point_list
from twin.port import AckLevel, Batch, Claim, ClaimedSignal, Transition, TwinEvent
from twin.replay import compared
from twin.service import TwinService


def test_alarms_told_live_are_those_of_twin_leaks(world: World, lived: Life) -> None:
    assert [a.pipe for a in world.offline.alarms if a.state == "carried over"] == [RAN_ALREADY]
    assert len([a for a in world.offline.alarms if a.state == "new"]) >= 2  # the burst, and what grew slowly
    told_alike(lived, world.offline)
    assert all(world.learnt.revision in e.message for e in lived.leaks)
    assert all(e.valid_time_us == lived.states[0].valid_time_us for e in lived.leaks[:1])


def test_a_start_at_a_checkpoint_tells_what_would_have_been_told(world: World, lived: Life) -> None:
    places = [k for k, e in enumerate(lived.journal) if e.kind is EntryKind.CHECKPOINT]
    first = next(k for k in places if unpacked(lived.journal[k].payload).mark.sealed_us > lived.leaks[1].valid_time_us)
    sealed_us = unpacked(lived.journal[first].payload).mark.sealed_us
    rest = [b for b in batches(world.scada, world.learnt.sensors) if b.source_time_us[0] > sealed_us + STEP_S * 1_000_000]
    entry = lived.journal[first]
    again = Life(town(world, "live")).through(rest, epoch=2, before=[entry])
    expected = [(e.transition, e.alarm_id, e.valid_time_us, e.message) for e in lived.leaks if e.valid_time_us > sealed_us]
    assert len(expected) > 1
    assert [(e.transition, e.alarm_id, e.valid_time_us, e.message) for e in again.leaks] == expected


def test_it_outlives_another_point_list_and_tells_again_what_lasts(world: World, lived: Life) -> None:
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
    later = [(e.transition, e.elements[0], e.valid_time_us) for e in lived.leaks if at_us < e.valid_time_us < end_us]
    assert [(e.transition, e.elements[0], e.valid_time_us) for e in found.leaks[6:]] == later


def test_the_alarms_of_a_search_end_where_another_one_takes_its_place(world: World, lived: Life) -> None:
    place = max(k for k, e in enumerate(lived.journal) if e.kind is EntryKind.CHECKPOINT)
    other = replace(world, learnt=replace(world.learnt, revision="other"))
    again = Life(town(other, "other")).through([], epoch=2, before=lived.journal[place:])
    standing = {e.alarm_id for e in lived.leaks if e.transition is Transition.RAISED}
    standing -= {e.alarm_id for e in lived.leaks if e.transition is Transition.CLEARED}
    assert standing
    assert {e.alarm_id for e in again.leaks if e.transition is Transition.CLEARED} == standing


def test_the_past_is_computed_again_without_it(world: World, lived: Life) -> None:
    assert all(c.equal for c in compared(town(world, "past"), lived.journal))
    assert not (world.folder / "past").exists()


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
    # As in one life, which told it after 42 hours.
    assert [e.elements for e in second if "/search-" in e.alarm_id] == [("J004",)]


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
