"""One publisher's stream: what it may have in flight, what it hears, when it counts as gone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from time import monotonic
from typing import NamedTuple, Protocol

from twin.errors import PreconditionFailed, TooSlow, TwinError, Unavailable
from twin.port import Ack, AckLevel, Batch, Claim, Opened
from twin.room import Room
from twin.together import joined, may_join

_IN_FLIGHT_BYTES = 16 << 20  # of rows that are not yet durable
_ROW_BYTES = 39
_UNREAD = 256  # acks that a sender need not have read to go on


class Taker(Protocol):
    """What a stream needs of the twin."""

    def receive(self, publisher: str, batch: Batch) -> None:
        """Take a batch in, or refuse it."""

    def close_stream(self, name: str, stream: Stream, reason: TwinError | None = None) -> None:
        """A stream has ended."""


class _Held(NamedTuple):
    """A batch in flight, and the room that it takes."""

    batch_id: int
    taken: tuple[int, ...]


class Stream:
    """One open ingest stream; implements `twin.port.Publisher`.

    Args:
        twin: takes the batches.
        claim: of the publisher.
        opened: what was granted.
        shared: room for what all streams have in flight.
    """

    def __init__(self, twin: Taker, claim: Claim, opened: Opened, shared: Room) -> None:
        self.opened = opened
        self._twin, self._name, self._lease_s = twin, claim.publisher, claim.lease_s
        self._acks: deque[Ack | TwinError | None] = deque()
        self._news = asyncio.Event()  # there are some
        self._listens = asyncio.Event()  # the sender reads its acks
        self._listens.set()
        self._places = asyncio.Semaphore(opened.max_in_flight_batches)
        self._rooms = (Room(_IN_FLIGHT_BYTES), shared)
        self._in_flight: deque[_Held] = deque()
        self._last = opened.last_durable_batch_id  # handed in
        self._ended = False
        self._held = 0  # submissions that wait for room: their sender lives, it is we who do not listen
        self._heard_s = monotonic()
        if self._lease_s:
            self._watch_lease()

    async def submit(self, batch: Batch) -> None:
        """Hand in a batch; waits while too many, or too large ones, are not yet durable, and for who does not read its acks."""
        await self._listens.wait()
        self._held += 1
        try:
            await self._places.acquire()
            taken = [await room.take(_ROW_BYTES * len(batch.rows)) for room in self._rooms]
        finally:
            self._held -= 1
            self.keep_alive()
        held = _Held(batch.batch_id, tuple(taken))
        try:
            if self._ended:
                raise Unavailable(f"the stream of {self._name} has ended; open it again")
            if batch.batch_id > self._last + 1:
                raise PreconditionFailed(f"batch {batch.batch_id} came after {self._last}; batch ids are consecutive")
            self._twin.receive(self._name, batch)
        except TwinError:
            self._let_go(held)
            raise
        self._last = max(self._last, batch.batch_id)
        self._in_flight.append(held)

    def _let_go(self, held: _Held) -> None:
        self._places.release()
        for room, taken in zip(self._rooms, held.taken, strict=True):
            room.give(taken)

    async def acks(self) -> AsyncIterator[Ack]:
        """Acks in order, until the stream closes."""
        while True:
            while not self._acks:
                self._news.clear()
                await self._news.wait()
            if (ack := self._acks.popleft()) is None:
                return
            if len(self._acks) <= _UNREAD:
                self._listens.set()
            if isinstance(ack, TwinError):
                raise ack
            yield ack

    def tell(self, ack: Ack) -> None:
        """An answer of the engine; it takes along the one before where that has not been heard yet and may be left out."""
        if ack.level >= AckLevel.DURABLE:
            while self._in_flight and self._in_flight[0].batch_id <= ack.through_batch_id:
                self._let_go(self._in_flight.popleft())
        if self._acks and isinstance(before := self._acks[-1], Ack) and may_join(before, ack):
            self._acks.pop()
            ack = joined(before, ack)
        self._acks.append(ack)
        self._news.set()
        if len(self._acks) > _UNREAD and not self._ended:
            self._listens.clear()

    def keep_alive(self) -> None:
        """The sender has been heard."""
        self._heard_s = monotonic()

    def _watch_lease(self) -> None:
        left_s = self._lease_s if self._held else self._heard_s + self._lease_s - monotonic()
        if self._ended:
            return
        if left_s > 0:
            asyncio.get_running_loop().call_later(left_s, self._watch_lease)
            return
        gone = TooSlow(f"nothing was heard of {self._name} within its lease of {self._lease_s:g} s; open the stream again")
        self._twin.close_stream(self._name, self, gone)

    def end(self, reason: TwinError | None = None) -> None:
        """No more acks; whoever waits to submit is told."""
        self._ended = True
        self._listens.set()
        self._places.release()
        while self._in_flight:
            self._let_go(self._in_flight.popleft())
        self._acks.append(reason)
        self._news.set()

    async def close(self) -> None:
        """End the stream: its signals become NOT_TOPICAL."""
        self._twin.close_stream(self._name, self)
