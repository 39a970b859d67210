"""The service takes a changed point list while it lives, and one that changed while it did not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from grid_models.measurements import Catalogue
from tests.simulation.live import Start, go_on, reached
from tests.simulation.small_city import MINUTE_US, NOON_US, played, points, settings, started
from tests.simulation.small_twin import CATALOGUE, SECOND, T0, claim, parts, rows, signal
from twin.assembly import Parts, assemble
from twin.chain import digest
from twin.config import read_config
from twin.errors import PreconditionFailed
from twin.point_list import write_point_list
from twin.port import AckLevel, AsOf, Batch, EventKind
from twin.records import read_records
from twin.replay import compared
from twin.service import TwinService

LATER = Catalogue(2, (*CATALOGUE.signals[:-1], signal(12, "water", element="another")))


def bound(revision: int | None) -> Parts:
    lists = {1: CATALOGUE, 2: LATER}
    return replace(parts(), catalogue=lists[revision or 2], bind=bound)


async def changed(twin: TwinService) -> str:
    """What is told of the change."""
    async with asyncio.timeout(10):
        async for event in twin.watch_events(0):
            if event.kind is EventKind.CATALOGUE:
                return event.message
    raise AssertionError


async def test_a_changed_list_refuses_who_claims_what_is_bound_anew_and_nobody_else(start: Start) -> None:
    twin = await start(bound(1))
    power, water = await twin.open_publisher(claim("power", (1, 2))), await twin.open_publisher(claim("water", (11, 12)))
    await water.submit(Batch(1, rows((11, 0, 1.0), (12, 0, 2.0))))
    await power.submit(Batch(1, rows(*((1, t, float(t)) for t in range(5)))))
    await reached(power, AckLevel.ESTIMATED, 1)
    at = AsOf(T0 + 3 * SECOND)
    before = [digest((await twin.get_state(n, at)).state) for n in ("power", "water")]
    await twin.rebind()
    assert "0 signals added, 0 taken out, 1 bound anew" in await changed(twin)
    assert twin.catalogue.revision == 2
    with pytest.raises(PreconditionFailed, match="signal s12 was bound anew or taken out; read the catalogue") as refused:
        await reached(water, AckLevel.ESTIMATED, 2)
    assert [issue.ids for issue in refused.value.issues] == [("s12",)]
    with pytest.raises(PreconditionFailed, match="the twin is at 2"):
        await twin.open_publisher(claim("water", (11, 12), epoch=2))
    await go_on(power, 5, 9, done=1)
    again = await twin.open_publisher(replace(claim("water", (11, 12), epoch=2), catalogue_revision=2))
    await again.submit(Batch(1, rows((12, 8, 5.0))))
    await reached(again, AckLevel.ESTIMATED, 1)
    twin = await start(bound(2))
    assert [digest((await twin.get_state(n, at)).state) for n in ("power", "water")] == before  # under the list of its time
    assert [e.kind for e in twin._events.events].count(EventKind.CATALOGUE) == 1


async def test_a_list_that_changed_while_nobody_lived_is_taken_at_the_start(start: Start) -> None:
    twin = await start(bound(1))
    stream = await twin.open_publisher(claim())
    await stream.submit(Batch(1, rows((1, 0, 1.0), (11, 0, 1.0), (12, 0, 2.0))))
    await reached(stream, AckLevel.ESTIMATED, 1)
    assert (await twin.get_state("water", None)).state.values["x"][1] > 2
    twin = await start(bound(2))
    assert "1 bound anew" in await changed(twin)
    stream = await twin.open_publisher(replace(claim(epoch=2), catalogue_revision=2))
    await stream.submit(Batch(1, rows((11, 2, 1.0))))
    await reached(stream, AckLevel.ESTIMATED, 1)
    state = (await twin.get_state("water", AsOf(T0 + 2 * SECOND))).state
    assert state.values["x"][1] < 1  # what was sent for another element is not read as the new one's


async def test_a_real_city_goes_on_with_the_meters_of_its_new_list(tmp_path: Path) -> None:
    """A voltmeter moves, a load's meter goes, a level comes: both networks begin anew, and a replay gives the same bits."""
    path = settings(tmp_path)
    twin = await started(path)
    try:
        async for _ in played(twin, 21):
            pass
        listed = [replace(p, table="bus", element="7") if p.uid == 9 else p for p in points() if p.uid != 20]
        (tmp_path / "points.csv").write_text("name,network")
        await twin.rebind()
        assert any("column is missing" in issue.message for issue in twin.check())
        write_point_list([*listed, replace(points()[-1], uid=40, name="second level")], tmp_path / "points.csv")
        await twin.rebind()
        assert "1 signals added, 1 taken out, 1 bound anew" in await changed(twin)
        assert twin.check() == ()
        async for _ in played(twin, 36, first=21, epoch=2):
            pass
        states = [(await twin.get_state(n, None)).state for n in ("power", "water")]
        assert [(s.valid_time_us - NOON_US) // MINUTE_US for s in states] == [35, 35]
        assert [s.status for s in states] == ["SOLVED", "SOLVED"]
    finally:
        await twin.stop()
    twin = await started(path)
    await twin.stop()
    found = [c for c in compared(assemble(read_config(path)), read_records(tmp_path / "store")) if c.equal is not None]
    assert len(found) == 36 + 8
    assert all(c.equal for c in found)
