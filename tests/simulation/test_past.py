"""Restarts, cuts and replays: the past is there, with the same bits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import time_ns

import pytest

from grid_models.measurements import TimeQuality
from tests.simulation.live import Start, go_on, history, play, reached
from tests.simulation.small_twin import SECOND, T0, claim, parts, rows
from tests.waiting import until
from twin.chain import digest
from twin.errors import TooOld
from twin.journal import EntryKind, Journal
from twin.packing import unpacked
from twin.port import FOREVER_US, AckLevel, AsOf, Batch, EventKind, ManualEntry
from twin.records import read_records
from twin.replay import compared


async def test_after_a_restart_nothing_is_lost_and_the_chain_goes_on(start: Start) -> None:
    twin = await start()
    await play(twin, 0, 25)
    before = twin.position("power")
    twin._history.seal()
    again = await start()
    await play(again, 25, 30, epoch=2)
    assert await history(again) == [float(t) for t in range(30)]
    assert again.position("power") > before
    assert again.position("power").epoch == before.epoch + 1
    x = 0.0
    for t in range(30):
        x = 0.5 * x + t
    newest = await again.get_state("power", None)
    assert newest.state.values["x"][0] == x


async def test_an_archive_that_was_deleted_is_built_again(start: Start, tmp_path: Path) -> None:
    twin = await start()
    await play(twin, 0, 5)
    twin._history.seal()
    await start.stop()
    for path in (tmp_path / "archive").iterdir():
        path.unlink()
    fresh = await start()
    assert await history(fresh) == [0, 1, 2, 3, 4]
    fresh._history.seal()
    assert await history(fresh) == [0, 1, 2, 3, 4]
    assert len(fresh._history.archive.window([1], T0, T0 + 10 * SECOND)) == 5


async def test_a_replay_of_the_journal_equals_what_was_published(start: Start, tmp_path: Path) -> None:
    twin = await start()
    stream = await play(twin, 0, 20)
    await stream.submit(Batch(21, rows((2, 12, 3.0), (12, 13, 4.0))))  # late
    await stream.submit(Batch(22, rows((2, 1, 99.0))))  # too late
    entry = await twin.enter_manual(ManualEntry("", 2, 9.0, "me", "why", T0 + 15 * SECOND, FOREVER_US, time_ns() // 1000))
    await stream.submit(Batch(23, rows((3, 20, 1.0), quality=TimeQuality.NONE)))
    await reached(stream, AckLevel.DURABLE, 23)
    await stream.close()
    twin = await start()
    await play(twin, 20, 35, epoch=2)
    await twin.withdraw_manual(entry.entry_id, "me", "")
    await play(twin, 35, 40, epoch=3)
    assert (await twin.get_state("power", AsOf(T0 + 30 * SECOND))).state.manual_inputs == 1
    await start.stop()
    journal = Journal(tmp_path)
    entries = list(journal.read_after())
    found = list(compared(parts(), entries))
    journal.close()
    assert len(found) == 60
    assert [c for c in found if c.equal is not True] == []
    published = {unpacked(e.payload)["digest"].hex() for e in entries if e.kind is EntryKind.STATE}
    assert {digest(c.published.state).hex() for c in found} <= published


async def test_the_past_before_a_restart_is_computed_again_with_the_same_bits(start: Start) -> None:
    twin = await start()
    stream = await play(twin, 0, 40)
    await stream.submit(Batch(41, rows((2, 35, 7.0))))
    await reached(stream, AckLevel.ESTIMATED, 41)
    instants = [T0 + t * SECOND for t in (0, 7, 36, 39)]
    asked = [AsOf(t + SECOND // 2) for t in instants]

    async def corrected() -> bool:
        return (await twin.get_state("power", asked[-1])).correction

    await until(corrected)  # the states of later instants follow
    before = [await twin.get_state("power", at) for at in asked]
    twin = await start()
    again = [await twin.get_state("power", at) for at in asked]
    assert [p.state.valid_time_us for p in again] == instants
    assert [digest(p.state) for p in again] == [digest(p.state) for p in before]
    with pytest.raises(TooOld, match="no state at or before"):
        await twin.get_state("power", AsOf(T0 - SECOND))


async def test_states_from_before_a_restart_are_out_of_range_naming_the_oldest_kept(start: Start) -> None:
    await play(await start(), 0, 5)
    twin = await start()
    await play(twin, 5, 8, epoch=2)
    with pytest.raises(TooOld, match="keeps states from"):
        async for _ in twin.read_states("power", T0 - 10 * SECOND, T0 + 4 * SECOND, None):
            pass


async def test_the_journal_is_cut_and_nothing_that_it_told_is_lost(start: Start, tmp_path: Path) -> None:
    """What was cut is computed again with the same bits, before and after a restart that reads only the rest."""
    short = parts(checkpoint_us=10 * SECOND)
    twin = await start(short)
    stream = await play(twin, 0, 12)
    await stream.submit(Batch(13, rows((2, 5, 7.0))))  # late: an event that lies in what will be cut
    await reached(stream, AckLevel.ESTIMATED, 13)
    await go_on(stream, 12, 70, done=13)
    asked = [AsOf(T0 + t * SECOND) for t in (0, 7, 21, 36, 52, 69)]
    before = [await twin.get_state("power", at) for at in asked]
    whole = sum(1 for _ in twin._journal.read_after())
    twin._history.seal()
    rest = sum(1 for _ in twin._journal.read_after())
    assert rest < 0.6 * whole  # what its newest two checkpoints begin
    assert len(twin._records.past.marks()) >= 3
    await stream.close()
    twin = await start(short)
    assert sum(1 for _ in twin._records.newest()) <= rest
    assert await history(twin) == [float(t) for t in range(70)]
    again = [await twin.get_state("power", at) for at in asked]
    assert [digest(p.state) for p in again] == [digest(p.state) for p in before]
    event = await asyncio.wait_for(anext(twin.watch_events(0)), 5)
    assert (event.sequence, event.kind, event.valid_time_us) == (1, EventKind.CORRECTION, T0 + 5 * SECOND)
    await start.stop()
    for path in (tmp_path / "archive").iterdir():
        path.unlink()
    twin = await start(short)
    assert await history(twin) == [float(t) for t in range(70)]  # out of the past
    twin._history.seal()
    assert len(twin._history.archive.window([1], T0, T0 + 70 * SECOND)) == 70
    await start.stop()
    found = list(compared(short, read_records(tmp_path)))
    assert len([c for c in found if c.equal]) == 70 + 35
    assert [c for c in found if c.equal is False] == []


async def test_what_was_not_yet_known_is_computed_from_a_checkpoint_that_did_not_know_it(start: Start) -> None:
    twin = await start(parts(checkpoint_us=10 * SECOND))
    stream = await play(twin, 0, 40)
    await asyncio.sleep(0.01)
    known = time_ns() // 1000
    await asyncio.sleep(0.01)
    await stream.submit(Batch(41, rows((2, 35, 7.0))))
    await go_on(stream, 40, 80, done=41)
    twin._history.seal()
    await stream.close()
    twin = await start(parts(checkpoint_us=10 * SECOND))
    then = await twin.get_state("power", AsOf(T0 + 36 * SECOND, known))
    now = await twin.get_state("power", AsOf(T0 + 36 * SECOND))
    assert (then.state.values["x"][1], now.state.values["x"][1]) == (0, 7 + 0.5 * 7)


async def test_after_a_restart_only_what_is_new_is_published_and_the_newest_state(start: Start) -> None:
    await play(await start(), 0, 30)
    twin = await start()
    stream = await play(twin, 30, 33, epoch=2)
    await stream.close()
    kept = [p.state.valid_time_us for p in twin._states.publishers["power"].kept]
    assert kept == [T0 + t * SECOND for t in (29, 30, 31, 32)]


async def test_days_that_need_not_be_kept_are_dropped_and_said_to_be(start: Start, tmp_path: Path) -> None:
    day = 86_400
    twin = await start(parts(keep_us=2 * day * SECOND))
    stream = await twin.open_publisher(claim(uids=(1,)))
    for n, t in enumerate((0, 1), start=1):
        await stream.submit(Batch(n, rows((1, t, float(t)))))
    await reached(stream, AckLevel.DURABLE, 2)
    twin._history.seal()
    twin._engine._ledger.now_us += 4 * day * SECOND
    twin._history.seal()
    assert not list((tmp_path / "archive").glob("2023-11-14.duckdb"))
    with pytest.raises(TooOld, match="measurements are kept from 2023-11-16T00:00"):
        await history(twin)
