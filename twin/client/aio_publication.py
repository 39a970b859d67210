"""An asynchronous ingest stream: one task keeps it open, sends again what was not safe, and hears the acks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
from numpy.typing import ArrayLike

from grid_models.measurements import Validity
from twin.api.v1 import ingest_pb2 as pb
from twin.client.channel import Patience
from twin.client.errors import ClientError, translated
from twin.client.publication import KEEP_ALIVE, Ledger, columns
from twin.port import Ack, AckLevel, RowError, Snapshot


class AsyncPublication:
    """Sends measurement batches; made by `AsyncTwinClient.publish`, methods as `Publication`."""

    def __init__(self, stub: Any, ledger: Ledger, reconnect_s: float, on_ack: Callable[[Ack], None] | None = None) -> None:
        self._stub = stub
        self._ledger = ledger
        self._patience = Patience(reconnect_s)
        self._on_ack = on_ack
        self._changed = asyncio.Condition()
        self._writing = asyncio.Lock()  # keeps batches in the order of their ids
        self._call: Any = None  # None while there is no open stream
        self._closing = False
        self._over = False
        self._error: ClientError | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def max_rows(self) -> int:
        """Rows that one batch may have."""
        return self._ledger.max_rows

    @property
    def errors(self) -> list[RowError]:
        """Refused rows so far."""
        return self._ledger.errors

    @property
    def refusals(self) -> list[tuple[int, str]]:
        """Refused batches so far: id and reason."""
        return self._ledger.refusals

    @property
    def notices(self) -> list[str]:
        """News from the service so far."""
        return self._ledger.notices

    def reached(self, level: AckLevel) -> int:
        """The last batch that has reached a level."""
        return self._ledger.reached[level]

    async def open(self) -> None:
        """Open the stream.

        Raises:
            ClientError: the claim was refused, or nobody answers.
        """
        self._task = asyncio.create_task(self._run())
        await self._until(lambda: self._call is not None)

    async def send(
        self,
        signal: ArrayLike,
        value: ArrayLike,
        time: Any = None,
        *,
        validity: ArrayLike | Validity | None = None,
        time_quality: ArrayLike | None = None,
        flags: ArrayLike | None = None,
        sequence: ArrayLike | None = None,
        snapshot: Snapshot = Snapshot.NONE,
    ) -> int:
        """Send rows; waits while the window is used up. Arguments as `Publication.send`."""
        described = columns(signal, value, time, validity, time_quality, flags, sequence)
        while True:
            await self._until(lambda: self._call is not None and not self._ledger.full)
            async with self._writing:
                if self._call is None or self._ledger.full:
                    continue
                request = self._ledger.batch(described, snapshot)
                batch_id = self._ledger.last
                await _write(self._call, request)
                return batch_id

    async def wait(self, batch_id: int | None = None, level: AckLevel = AckLevel.DURABLE) -> None:
        """Until a batch (None = the last) has reached a level."""
        wanted = self._ledger.last if batch_id is None else batch_id
        await self._until(lambda: self._ledger.reaches(wanted, level))

    async def close(self) -> None:
        """Wait until everything is safe, end the stream."""
        self._closing = True
        if self._call is not None:
            async with self._writing:
                await self._call.done_writing()
        if self._task is not None:
            await self._task
        if self._error is not None:
            raise self._error

    async def abandon(self) -> None:
        """End the stream at once, if it is not over."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._over or condition())
        if self._error is not None:
            raise self._error

    async def _run(self) -> None:
        while not self._over:
            try:
                await self._stream()
                await self._end(None)
            except grpc.RpcError as error:
                try:
                    pause_s = self._patience.pause_s(translated(error))
                except ClientError as final:
                    await self._end(final)
                    return
                await asyncio.sleep(pause_s)

    async def _stream(self) -> None:
        call = self._stub.Ingest()
        beating = asyncio.create_task(self._beat(call))
        try:
            await _write(call, self._ledger.opening)
            async for response in call:
                self._patience.progress()
                await self._hear(call, response)
        finally:
            self._call = None
            beating.cancel()
            call.cancel()

    async def _beat(self, call: Any) -> None:
        """Signs of life, where the stream has a lease."""
        while self._ledger.pause_s is not None and not self._closing:
            await asyncio.sleep(self._ledger.pause_s)
            async with self._writing:
                if not self._closing:
                    await _write(call, KEEP_ALIVE)

    async def _hear(self, call: Any, response: pb.IngestResponse) -> None:
        ack = None
        if response.WhichOneof("kind") == "opened":
            async with self._writing:
                for request in self._ledger.opened(response.opened):
                    await _write(call, request)
                self._call = call
                if self._closing:
                    await call.done_writing()
        else:
            ack = self._ledger.hear(response)
        async with self._changed:
            self._changed.notify_all()
        if ack is not None and self._on_ack is not None:
            self._on_ack(ack)

    async def _end(self, error: ClientError | None) -> None:
        self._error = error
        self._over = True
        async with self._changed:
            self._changed.notify_all()


async def _write(call: Any, request: pb.IngestRequest) -> None:
    """Write; a stream that broke meanwhile is the reader's to notice, and its batches are sent again."""
    try:
        await call.write(request)
    except (grpc.RpcError, asyncio.InvalidStateError):
        return
