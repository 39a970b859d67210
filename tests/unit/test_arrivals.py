"""Batches in a burst: others are served between turns, and who ends a stream waits for nobody else's batches."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

from grid_models.measurements import Rows
from tests.simulation.small_twin import rows
from twin.arrivals import Arrivals
from twin.port import Batch

_ROUNDS = 5  # of the event loop that a call takes


class Door:
    """Remembers what came when."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self._takes_s = takes_s
        self.taken: list[tuple[str, list[int]]] = []
        self.at_s: list[float] = []
        self.news = asyncio.Event()

    def take(self, publisher: str, batches: list[Batch]) -> None:
        time.sleep(self._takes_s)
        self.taken.append((publisher, [b.batch_id for b in batches]))
        self.at_s.append(time.monotonic())
        self.news.set()

    async def until(self, n: int) -> None:
        while len(self.taken) < n:
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), 10)


async def test_a_call_is_answered_between_two_turns() -> None:
    door = Door(0.01)
    arrivals, large = Arrivals(door.take), rows(*((1, float(k), 0.0) for k in range(10_000)))
    for k in range(8):
        arrivals.add("burst", Batch(k + 1, large))
    await door.until(1)
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
    assert len(door.taken) == 1
    await door.until(8)
    assert min(b - a for a, b in pairwise(door.at_s)) > 0.014  # a turn, and half of it again


async def test_flushing_hands_over_what_one_publisher_sent() -> None:
    door = Door()
    arrivals = Arrivals(door.take)
    for publisher, batch_id in (("a", 1), ("b", 1), ("a", 2), ("b", 2)):
        arrivals.add(publisher, Batch(batch_id, Rows.empty()))
    arrivals.flush("a")
    arrivals.flush("nobody")
    assert door.taken == [("a", [1, 2])]
    await door.until(2)
    assert door.taken == [("a", [1, 2]), ("b", [1, 2])]
