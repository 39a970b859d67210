"""Batches on their way to the engine: one at once, and all that come within the next moment together where many do.

Where more wait than one turn takes in, the event loop serves others for half as long as the turn took: calls, which take some
rounds of it, are answered in the midst of a burst.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from twin.port import Batch

_GATHER_S = 0.01  # what comes within it, after a batch that was taken in at once, is taken in together
_ROWS_AT_ONCE = 10_000  # or a few more: the loop has others to serve


class Arrivals:
    """Gathers batches, on the event loop.

    Args:
        take: is handed each publisher's batches.
    """

    def __init__(self, take: Callable[[str, list[Batch]], None]) -> None:
        self._take = take
        self._waiting: deque[tuple[str, Batch]] = deque()  # from which publisher
        self._turn: asyncio.TimerHandle | None = None
        self._turn_s = 0.0  # when the last one was

    def add(self, publisher: str, batch: Batch) -> None:
        """A batch has come."""
        self._waiting.append((publisher, batch))
        if self._turn is None:
            loop = asyncio.get_running_loop()
            self._turn = loop.call_later(max(0.0, self._turn_s + _GATHER_S - loop.time()), self._hand_over)

    def flush(self, publisher: str) -> None:
        """Hand over all that has come from one publisher, now."""
        mine = [batch for sender, batch in self._waiting if sender == publisher]
        if mine:
            self._waiting = deque(waiting for waiting in self._waiting if waiting[0] != publisher)
            self._take(publisher, mine)

    def cancel(self) -> None:
        """Hand over nothing more by itself."""
        if self._turn is not None:
            self._turn.cancel()

    def _hand_over(self) -> None:
        """Each publisher's batches together."""
        loop = asyncio.get_running_loop()
        self._turn_s = loop.time()
        taken: dict[str, list[Batch]] = {}
        rows = 0
        while self._waiting and rows < _ROWS_AT_ONCE:
            publisher, batch = self._waiting.popleft()
            taken.setdefault(publisher, []).append(batch)
            rows += len(batch.rows)
        for publisher, batches in taken.items():
            self._take(publisher, batches)
        took_s = loop.time() - self._turn_s
        self._turn = loop.call_later(took_s / 2, self._hand_over) if self._waiting else None
