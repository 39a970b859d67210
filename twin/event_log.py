"""Events to readers: all of them, in order, none merged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable

from twin.port import TwinEvent

log = logging.getLogger(__name__)


class EventLog:
    """Every event of a twin.

    Attributes:
        events: in the order of their sequences.
    """

    def __init__(self) -> None:
        self.events: list[TwinEvent] = []
        self._news = asyncio.Condition()

    def recall(self, events: Iterable[TwinEvent]) -> None:
        """Know the events of earlier epochs."""
        self.events = list(events)

    @property
    def sequence(self) -> int:
        """Of the newest event, 0 where there is none."""
        return self.events[-1].sequence if self.events else 0

    async def announce(self, event: TwinEvent) -> None:
        """Add an event and wake the readers."""
        async with self._news:
            self.events.append(event)
            self._news.notify_all()
        text = "event sequence=%d code=%s transition=%s %s"
        log.info(text, event.sequence, event.code, event.transition.name, event.message)

    async def watch(self, after_sequence: int) -> AsyncIterator[TwinEvent]:
        """Every event after the given one, then live; gap-free."""
        at = next((i for i, e in enumerate(self.events) if e.sequence > after_sequence), len(self.events))
        while True:
            while at < len(self.events):
                at += 1
                yield self.events[at - 1]
            async with self._news:
                while at >= len(self.events):
                    await self._news.wait()
