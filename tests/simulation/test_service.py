"""The service on a real store: what is acknowledged is there, now, after sealing, and after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import time_ns

import numpy as np
import pytest

from grid_models.measurements import Rows, TimeQuality
from grid_models.state import Freshness, Position
from tests.simulation.small_twin import SECOND, T0, claim, parts, rows
from twin.assembly import Parts
from twin.chain import digest
from twin.effects import Effect
from twin.errors import NotFound, TooOld, TooSlow, TwinError, Unavailable
from twin.journal import EntryKind, Journal
from twin.lease import Lease
from twin.packing import unpacked
from twin.port import FOREVER_US, Ack, AckLevel, AsOf, Batch, EventKind, ManualEntry, RowError, RowFault
from twin.records import read_records
from twin.replay import compared
from twin.room import Room
from twin.service import TwinService
from twin.stream import Stream


class Start:
    """Starts the service on one store, stopping the one before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: TwinService | None = None

    async def __call__(self, some: Parts | None = None) -> TwinService:
        await self.stop()
        self.running = TwinService("small", some or parts(), Lease(self.folder), Journal(self.folder))
        await self.running.start()
        return self.running

    async def stop(self) -> None:
        if self.running is not None:
            await self.running.stop()
            self.running = None


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    starter = Start(tmp_path)
    yield starter
    await starter.stop()


async def reached(stream: Stream, level: AckLevel, batch: int) -> None:
    async def wait() -> None:
        async for ack in stream.acks():
            if ack.level is level and ack.through_batch_id >= batch:
                return

    await asyncio.wait_for(wait(), 10)


async def play(twin: TwinService, first: int, last: int, epoch: int = 1) -> Stream:
    """A row each second for power, each other second for water, until states cover them."""
    stream = await twin.open_publisher(claim(epoch=epoch))
    await go_on(stream, first, last, stream.opened.last_durable_batch_id)
    return stream


async def go_on(stream: Stream, first: int, last: int, done: int) -> None:
    for n, t in enumerate(range(first, last), start=done + 1):
        await stream.submit(Batch(n, rows((1, t, float(t)), *(((11, t, 1.0),) if t % 2 == 0 else ()))))
    await reached(stream, AckLevel.ESTIMATED, done + last - first)


async def history(twin: TwinService, uid: int = 1, known_us: int | None = None) -> list[float]:
    found = [r async for r in twin.read_measurements((uid,), T0, T0 + 10**6 * SECOND, known_us)]
    return Rows.concatenate(found).value.tolist()


async def test_a_row_is_read_right_after_it_is_durable_and_once_after_it_is_sealed(start: Start) -> None:
    twin = await start()
    stream = await twin.open_publisher(claim())
    await stream.submit(Batch(1, rows((1, 0, 5.0), (1, 1, 6.0))))
    await reached(stream, AckLevel.DURABLE, 1)
    assert await history(twin) == [5, 6]
    twin._history.seal()
    assert twin._history.archive.sealed.revision > 0
    assert await history(twin) == [5, 6]
    await stream.submit(Batch(2, rows((1, 2, 7.0))))
    await reached(stream, AckLevel.DURABLE, 2)
    assert await history(twin) == [5, 6, 7]
    timeless = rows((1, 0, 8.0), quality=TimeQuality.NONE)
    await stream.submit(Batch(3, timeless))
    await reached(stream, AckLevel.DURABLE, 3)
    assert await history(twin) == [5, 6, 7, 8]


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


async def test_a_late_row_is_announced_and_known_time_tells_the_states_apart(start: Start) -> None:
    twin = await start()
    stream = await play(twin, 0, 10)
    old = await twin.get_state("power", AsOf(T0 + 5 * SECOND))
    await stream.submit(Batch(11, rows((2, 5, 7.0))))
    await reached(stream, AckLevel.ESTIMATED, 11)
    new = await twin.get_state("power", AsOf(T0 + 5 * SECOND))
    assert (old.state.values["x"][1], new.state.values["x"][1]) == (0, 7)
    assert new.correction
    assert (await twin.get_state("power", old.position)).state is old.state
    event = await asyncio.wait_for(anext(twin.watch_events(0)), 5)
    assert (event.kind, event.network) == (EventKind.CORRECTION, "power")


async def test_the_past_before_a_restart_is_computed_again_with_the_same_bits(start: Start) -> None:
    twin = await start()
    stream = await play(twin, 0, 40)
    await stream.submit(Batch(41, rows((2, 35, 7.0))))
    await reached(stream, AckLevel.ESTIMATED, 41)
    instants = [T0 + t * SECOND for t in (0, 7, 36, 39)]
    asked = [AsOf(t + SECOND // 2) for t in instants]
    while not (await twin.get_state("power", asked[-1])).correction:  # noqa: ASYNC110 - later states follow
        await asyncio.sleep(0.01)
    before = [await twin.get_state("power", at) for at in asked]
    twin = await start()
    again = [await twin.get_state("power", at) for at in asked]
    assert [p.state.valid_time_us for p in again] == instants
    assert [digest(p.state) for p in again] == [digest(p.state) for p in before]
    with pytest.raises(TooOld, match="no state at or before"):
        await twin.get_state("power", AsOf(T0 - SECOND))


async def test_an_estimator_that_raises_gives_a_stale_state_and_the_others_go_on(start: Start) -> None:
    broken = parts()
    power, water = broken.estimators["power"], broken.estimators["water"]
    power.broken_at |= {T0 + 3 * SECOND}  # type: ignore[attr-defined]
    water.broken_at |= {T0}  # type: ignore[attr-defined]
    twin = await start(broken)
    await play(twin, 0, 8)
    stale = await twin.get_state("power", AsOf(T0 + 3 * SECOND))
    assert stale.state.freshness is Freshness.STALE
    assert stale.state.values["x"][0] == (await twin.get_state("power", AsOf(T0 + 2 * SECOND))).state.values["x"][0]
    assert (await twin.get_state("power", None)).state.freshness is Freshness.FRESH
    assert twin.position("water").revision > 0


async def test_a_refused_batch_frees_its_place_in_the_window(start: Start) -> None:
    twin = await start()
    stream = await twin.open_publisher(claim())
    for _ in range(3 * stream.opened.max_in_flight_batches):
        with pytest.raises(TwinError):
            await stream.submit(Batch(50, Rows.empty()))  # ids are consecutive
    await asyncio.wait_for(stream.submit(Batch(1, rows((1, 0, 1.0)))), 1)
    await reached(stream, AckLevel.DURABLE, 1)


async def test_a_batch_sent_again_and_again_never_blocks_its_stream(start: Start) -> None:
    twin = await start()
    stream = await twin.open_publisher(claim())
    for _ in range(3 * stream.opened.max_in_flight_batches):
        await asyncio.wait_for(stream.submit(Batch(1, Rows.empty())), 5)
    await asyncio.wait_for(stream.submit(Batch(2, rows((1, 0, 1.0)))), 5)
    await reached(stream, AckLevel.DURABLE, 2)


async def test_a_fault_of_ours_in_a_batch_ends_its_stream_and_no_other(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = await start()
    broken, sound = await twin.open_publisher(claim("broken", (1,))), await twin.open_publisher(claim("sound", (2,)))
    taken = twin._engine.receive

    def receive(publisher: str, batches: Sequence[Batch], receive_us: int) -> list[Effect]:
        if publisher == "broken":
            raise ZeroDivisionError
        return taken(publisher, batches, receive_us)

    monkeypatch.setattr(twin._engine, "receive", receive)
    await broken.submit(Batch(1, rows((1, 0, 1.0))))
    await sound.submit(Batch(1, rows((2, 0, 1.0))))
    await reached(sound, AckLevel.DURABLE, 1)
    with pytest.raises(Unavailable, match="by a fault of ours; open the stream again"):
        await reached(broken, AckLevel.DURABLE, 1)


async def test_who_does_not_read_its_acks_is_not_listened_to(start: Start) -> None:
    """Else a sender that only sends would fill our memory with what it ought to hear."""
    twin = await start()
    stream = await twin.open_publisher(claim())
    await stream.submit(Batch(1, rows((1, 0, 1.0))))
    sent = 0

    async def send() -> None:
        nonlocal sent
        while sent < 2000:
            await asyncio.wait_for(stream.submit(Batch(sent + 2, rows((99, 0, 1.0)))), 5)  # each answer names a row
            await asyncio.sleep(0.02)  # so that it is answered by itself
            sent += 1

    with pytest.raises(TimeoutError):
        await send()
    assert 100 < sent < 400
    heard = stream.acks()
    for _ in range(sent):
        await asyncio.wait_for(anext(heard), 5)
    await asyncio.wait_for(stream.submit(Batch(sent + 2, rows((1, 1, 1.0)))), 5)
    await reached(stream, AckLevel.DURABLE, sent + 2)


async def test_acks_that_wait_to_be_heard_are_told_as_one(start: Start) -> None:
    stream = await (await start()).open_publisher(claim())
    error = RowError(0, 99, RowFault.UNKNOWN_SIGNAL, "no signal has this uid", 5)
    for n in (1, 2, 3):
        stream.tell(Ack(AckLevel.DURABLE, n, Position(1, n), admitted=n, duplicate=1))
    for n in (4, 5, 6):
        stream.tell(Ack(AckLevel.RECEIVED, n, Position(1, n), admitted=n, errors=(error,) if n == 5 else (), unlisted=1))
    stream.tell(Ack(AckLevel.RECEIVED, 7, Position(1, 7), errors=(error,) * 200))  # a list must not grow for ever
    heard = stream.acks()
    told = [await asyncio.wait_for(anext(heard), 5) for _ in range(3)]
    assert [(a.level, a.through_batch_id, a.admitted, a.duplicate, len(a.errors), a.unlisted) for a in told] == [
        (AckLevel.DURABLE, 3, 6, 3, 0, 0), (AckLevel.RECEIVED, 6, 15, 0, 1, 3), (AckLevel.RECEIVED, 7, 0, 0, 200, 0)
    ]  # fmt: skip


async def test_a_replaced_stream_ends_and_says_so(start: Start) -> None:
    twin = await start()
    old = await twin.open_publisher(claim())
    await twin.open_publisher(claim(epoch=2))
    assert [a async for a in old.acks()] == []
    with pytest.raises(Unavailable, match="has ended"):
        await old.submit(Batch(1, rows((1, 0, 1.0))))


async def test_a_publisher_that_falls_silent_hands_over_within_its_lease(start: Start) -> None:
    """No end of the stream tells: the cable is out, or the process hangs."""
    twin = await start()
    main = await twin.open_publisher(replace(claim("main", (1,), priority=2), lease_s=0.2))
    backup = await twin.open_publisher(claim("backup", (1,), priority=1))
    await main.submit(Batch(1, rows((1, 0, 1.0))))
    await backup.submit(Batch(1, rows((1, 0.5, 9.0))))
    with pytest.raises(TooSlow, match="nothing was heard of main within its lease"):
        async for _ in main.acks():
            pass
    heard = backup.acks()
    assert (await anext(heard)).errors[0].fault is RowFault.OUTRANKED
    while not (news := (await asyncio.wait_for(anext(heard), 5)).notice):
        pass
    assert news == "main has ended; 1 of its signals are now taken from this stream"
    await backup.submit(Batch(2, rows((1, 1, 9.0))))
    assert (await anext(heard)).admitted == 1
    with pytest.raises(Unavailable, match="has ended"):
        await main.submit(Batch(2, rows((1, 1, 1.0))))


async def test_signs_of_life_keep_a_lease(start: Start) -> None:
    twin = await start()
    stream = await twin.open_publisher(replace(claim(), lease_s=0.3))
    for _ in range(12):
        await asyncio.sleep(0.05)
        stream.keep_alive()
    await stream.submit(Batch(1, rows((1, 0, 1.0))))
    await reached(stream, AckLevel.DURABLE, 1)


async def test_states_from_before_a_restart_are_out_of_range_naming_the_oldest_kept(start: Start) -> None:
    await play(await start(), 0, 5)
    twin = await start()
    await play(twin, 5, 8, epoch=2)
    with pytest.raises(TooOld, match="keeps states from"):
        async for _ in twin.read_states("power", T0 - 10 * SECOND, T0 + 4 * SECOND, None):
            pass


async def test_what_waits_for_a_full_disk_is_written_when_there_is_room(start: Start) -> None:
    twin = await start()
    stream = await play(twin, 0, 3)
    db = twin._journal._db
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count={pages + 3}")
    big = rows(*((1, 3.0 + k / 10_000, 1.0) for k in range(5_000)))
    await stream.submit(Batch(4, big))
    await asyncio.sleep(0.3)
    assert twin._journal.full
    with pytest.raises(TwinError, match="disk is full"):
        await stream.submit(Batch(5, rows((1, 5, 1.0))))
    assert any("full" in i.message for i in twin.check())
    assert await history(twin) == [0, 1, 2]  # reads go on
    db.execute("PRAGMA max_page_count=10000000")
    await reached(stream, AckLevel.DURABLE, 4)
    await stream.submit(Batch(5, rows((1, 5, 1.0))))
    await reached(stream, AckLevel.DURABLE, 5)
    assert len(await history(twin)) == 5004


async def test_nothing_yet_is_said_by_name(start: Start) -> None:
    twin = await start()
    with pytest.raises(NotFound, match="waits for its first measurements"):
        await twin.get_state("power", None)
    with pytest.raises(NotFound, match="no network gas"):
        await twin.get_state("gas", None)
    assert np.all([n.ready == "LIVE" for n in twin.networks()])


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
    kept = [p.state.valid_time_us for p in twin._publishers["power"].kept]
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


async def test_large_batches_wait_for_each_other_and_an_ended_stream_leaves_no_room_taken(start: Start) -> None:
    twin = await start()
    room = twin._room = Room(1000)  # of all streams; a row counts 39 bytes
    one, two = await twin.open_publisher(claim("one", (1,))), await twin.open_publisher(claim("two", (2,)))
    twenty = [rows(*((uid, float(t), 1.0) for t in range(20))) for uid in (1, 2)]
    with twin._journal._lock:  # a disk that takes its time
        await one.submit(Batch(1, twenty[0]))
        waiting = asyncio.create_task(two.submit(Batch(1, twenty[1])))
        await asyncio.sleep(0.1)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 5)
    await reached(two, AckLevel.DURABLE, 1)
    with twin._journal._lock:
        await one.submit(Batch(2, twenty[0]))
        assert room._free < 1000
        await one.close()
        assert room._free == 1000
