"""A publisher's stream: what it may have in flight, what it hears, when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from grid_models.measurements import Rows
from grid_models.state import Position
from tests.simulation.live import Start, history, play, reached
from tests.simulation.small_twin import claim, rows
from twin.effects import Effect
from twin.errors import TooSlow, TwinError, Unavailable
from twin.port import Ack, AckLevel, Batch, RowError, RowFault
from twin.room import Room


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
