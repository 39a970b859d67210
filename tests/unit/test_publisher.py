"""States to readers: the newest first, none twice, and every merge is counted."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from grid_models.state import NetworkState, Position, Residuals
from twin.port import Delivery, PublishedState
from twin.publisher import Publisher


def state(revision: int) -> PublishedState:
    none = np.zeros(0)
    residuals = Residuals(np.zeros(0, np.uint32), none, none, none, np.zeros(0, bool))
    found = NetworkState("power", revision, "model", 0, {}, {}, {}, residuals, "SOLVED")
    return PublishedState(Position(1, revision), revision, found)


def publish(publisher: Publisher, *revisions: int) -> None:
    for revision in revisions:
        publisher.publish(state(revision))


def told(delivery: Delivery) -> tuple[int, int | None, int]:
    previous = delivery.previous.revision if delivery.previous else None
    return delivery.published.position.revision, previous, delivery.merged


async def test_a_reader_gets_the_newest_state_and_then_each_next_one() -> None:
    publisher = Publisher()
    publish(publisher, 1, 2)
    reader = publisher.watch(None, 0.0)
    assert told(await anext(reader)) == (2, None, 0)
    publish(publisher, 3)
    assert told(await anext(reader)) == (3, 2, 0)
    await reader.aclose()


async def test_a_reader_may_come_before_the_first_state() -> None:
    publisher = Publisher()
    reader = publisher.watch(None, 0.0)
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    publish(publisher, 1)
    assert told(await waiting) == (1, None, 0)
    await reader.aclose()


async def test_a_slow_reader_is_told_how_many_states_were_merged() -> None:
    publisher = Publisher()
    publish(publisher, 1)
    reader = publisher.watch(None, 0.0)
    await anext(reader)
    publish(publisher, 2, 3, 4)
    assert told(await anext(reader)) == (4, 1, 2)
    publish(publisher, 5)
    assert told(await anext(reader)) == (5, 4, 0)
    await reader.aclose()


async def test_resuming_spares_the_state_that_the_reader_has_and_counts_the_gap() -> None:
    publisher = Publisher()
    publish(publisher, 1, 2, 3)
    behind = publisher.watch(Position(1, 1), 0.0)
    assert told(await anext(behind)) == (3, 1, 1)
    level = publisher.watch(Position(1, 3), 0.0)
    waiting = asyncio.ensure_future(anext(level))
    await asyncio.sleep(0)
    assert not waiting.done()
    publish(publisher, 4)
    assert told(await waiting) == (4, 3, 0)
    await behind.aclose()
    await level.aclose()


async def test_a_state_published_while_the_first_is_being_read_is_not_lost() -> None:
    publisher = Publisher()
    publish(publisher, 1)
    reader = publisher.watch(None, 0.0)
    first = await anext(reader)
    publish(publisher, 2)
    assert told(first) == (1, None, 0)
    assert told(await asyncio.wait_for(anext(reader), 1)) == (2, 1, 0)
    await reader.aclose()


async def test_the_shortest_interval_merges_what_comes_within_it() -> None:
    publisher = Publisher()
    publish(publisher, 1)
    reader = publisher.watch(None, 0.05)
    await anext(reader)
    waiting = asyncio.ensure_future(anext(reader))
    for revision in (2, 3, 4):
        publish(publisher, revision)
        await asyncio.sleep(0.005)
    assert told(await waiting) == (4, 1, 2)
    await reader.aclose()


def test_what_is_kept_is_bounded_in_bytes_and_the_newest_always_is() -> None:
    publisher = Publisher(kept_bytes=10_000)
    publish(publisher, 1, 2)
    assert not publisher.dropped
    publish(publisher, 3, 4)
    assert [p.position.revision for p in publisher.kept] == [3, 4]
    assert publisher.dropped
    tiny = Publisher(kept_bytes=1)
    publish(tiny, 1, 2)
    assert [p.position.revision for p in tiny.kept] == [2]


@pytest.mark.parametrize("readers", [1, 50])
async def test_publishing_waits_for_no_reader(readers: int) -> None:
    publisher = Publisher()
    idle = [publisher.watch(None, 0.0) for _ in range(readers)]
    publish(publisher, 1)
    for reader in idle:
        await anext(reader)
    publish(publisher, *range(2, 300))
    assert [told(await anext(reader)) for reader in idle] == [(299, 1, 297)] * readers
    for reader in idle:
        await reader.aclose()
