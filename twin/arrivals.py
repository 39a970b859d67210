"""Batches on their way to the engine: one at once, and all that come within the next moment together where many do."""

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

    def flush(self) -> None:
        """Hand over all that has come, now."""
        while self._waiting:
            self.cancel()
            self._hand_over()

    def cancel(self) -> None:
        """Hand over nothing more by itself."""
        if self._turn is not None:
            self._turn.cancel()

    def _hand_over(self) -> None:
        """Each publisher's batches together; much of it in several turns."""
        taken: dict[str, list[Batch]] = {}
        rows = 0
        while self._waiting and rows < _ROWS_AT_ONCE:
            publisher, batch = self._waiting.popleft()
            taken.setdefault(publisher, []).append(batch)
            rows += len(batch.rows)
        loop = asyncio.get_running_loop()
        self._turn, self._turn_s = None, loop.time()
        if self._waiting:
            self._turn = loop.call_later(0.0, self._hand_over)
        for publisher, batches in taken.items():
            self._take(publisher, batches)
