"""Room is given in order of asking, and nothing of it is lost to those who stop waiting."""

from __future__ import annotations

import asyncio

import pytest

from twin.room import Room


async def waits(task: asyncio.Task[int]) -> bool:
    for _ in range(5):
        await asyncio.sleep(0)
    return not task.done()


async def test_who_asks_for_more_than_is_free_waits_and_nobody_overtakes() -> None:
    room = Room(10)
    assert await room.take(8) == 8
    large, small = asyncio.create_task(room.take(5)), asyncio.create_task(room.take(1))
    assert await waits(large)
    assert await waits(small)  # there would be room, but the other one came first
    room.give(8)
    assert (await large, await small) == (5, 1)
    room.give(5)
    room.give(1)
    assert await room.take(1000) == 10  # more than there is: alone


async def test_who_stops_waiting_holds_nobody_up() -> None:
    room = Room(10)
    first = await room.take(6)
    gone, next_one = asyncio.create_task(room.take(10)), asyncio.create_task(room.take(4))
    assert await waits(gone)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    room.give(0)
    assert await next_one == 4
    room.give(first)
    room.give(4)
    granted = asyncio.create_task(room.take(10))
    await room.take(0)
    assert await granted == 10
    late = asyncio.create_task(room.take(10))
    assert await waits(late)
    room.give(10)  # granted and cancelled in one moment: given back
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    assert await asyncio.wait_for(room.take(10), 1) == 10
