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
        self._news = asyncio.Event()  # the next event is there

    def recall(self, events: Iterable[TwinEvent]) -> None:
        """Know the events of earlier epochs."""
        self.events = list(events)

    @property
    def sequence(self) -> int:
        """Of the newest event, 0 where there is none."""
        return self.events[-1].sequence if self.events else 0

    def announce(self, event: TwinEvent) -> None:
        """Add an event and wake the readers."""
        self.events.append(event)
        self._news.set()
        self._news = asyncio.Event()
        text = "event sequence=%d code=%s transition=%s %s"
        log.info(text, event.sequence, event.code, event.transition.name, event.message)

    async def watch(self, after_sequence: int) -> AsyncIterator[TwinEvent]:
        """Every event after the given one, then live; gap-free."""
        at = next((i for i, e in enumerate(self.events) if e.sequence > after_sequence), len(self.events))
        while True:
            while at < len(self.events):
                at += 1
                yield self.events[at - 1]
            await self._news.wait()
