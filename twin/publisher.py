"""States to readers: latest wins. A slow reader is told how many states were merged; nobody waits for a reader."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from time import monotonic

from grid_models.state import Position
from twin.port import Delivery, PublishedState

_KEPT_BYTES = 256 << 20


class Publisher:
    """One network's published states, and everyone who watches them.

    Args:
        kept_bytes: how much of the newest states is kept; the newest one always is.

    Attributes:
        kept: states in the order of their positions.
        dropped: whether older ones have been let go.
    """

    def __init__(self, kept_bytes: int = _KEPT_BYTES) -> None:
        self.kept: deque[PublishedState] = deque()
        self.dropped = False
        self._kept_bytes, self._bytes = kept_bytes, 0
        self._news = asyncio.Event()  # the next state is there
        self._count = 0

    @property
    def newest(self) -> PublishedState | None:
        """The last published state."""
        return self.kept[-1] if self.kept else None

    def publish(self, published: PublishedState) -> None:
        """Make a state the newest one and wake the readers."""
        self.kept.append(published)
        self._bytes += _size(published)
        while self._bytes > self._kept_bytes and len(self.kept) > 1:
            self._bytes -= _size(self.kept.popleft())
            self.dropped = True
        self._count += 1
        self._news.set()
        self._news = asyncio.Event()

    async def watch(self, resume_after: Position | None, min_interval_s: float) -> AsyncIterator[Delivery]:
        """The newest state, unless the reader has it, then the newest one each time there is one.

        Args:
            resume_after: the last position that the reader has; states between it and the newest count as merged.
            min_interval_s: shortest time between two deliveries.
        """
        seen, previous = self._count, resume_after
        missed = sum(1 for p in self.kept if resume_after is not None and p.position > resume_after)
        newest = self.newest
        if newest is not None and (resume_after is None or missed):
            yield Delivery(newest, previous, max(0, missed - 1))
            previous = newest.position  # not the newest by now: others may have come while the reader was busy
        while True:
            sent_at = monotonic()
            while self._count == seen:
                await self._news.wait()
            if (pause := min_interval_s - (monotonic() - sent_at)) > 0:
                await asyncio.sleep(pause)
            merged, seen = self._count - seen - 1, self._count
            newest = self.newest
            assert newest is not None
            yield Delivery(newest, previous, merged)
            previous = newest.position


def _size(published: PublishedState) -> int:
    """Bytes of a state's arrays, and a little for what holds them."""
    state = published.state
    columns = [*state.values.values(), *state.sigma.values(), *state.origin.values(), *state.memory.values()]
    return 4096 + sum(c.nbytes for c in columns) + 5 * state.residuals.value.nbytes
