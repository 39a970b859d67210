"""IngestService: one publisher's stream of batches in, acknowledgements out."""

# ruff: noqa: N802, ARG002 - names and signatures of the methods are gRPC's.

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from grid_models.measurements import Rows
from twin import wire
from twin.api.v1 import common_pb2
from twin.api.v1 import ingest_pb2 as pb
from twin.edge.errors import bad, status_of
from twin.edge.requests import span, twin_of
from twin.edge.rows import rows_of
from twin.errors import BadRequest, TooSlow
from twin.port import Ack, AckLevel, Batch, Claim, ClaimedSignal, Opened, Publisher, RowError, Snapshot, Twin

_OPEN_WITHIN_S = 10.0
_MOST_NAME = 200
_SHORTEST_LEASE_S, _LONGEST_LEASE_S = 0.1, 3600.0


class IngestService:
    """Translates publishers' streams."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    async def Ingest(
        self, request_iterator: AsyncIterator[pb.IngestRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.IngestResponse]:
        """Open -> Opened; Batch -> Ack, until the client's half-close is answered."""
        claim = self._claim(await _first(request_iterator))
        publisher = await self._twin.open_publisher(claim)
        try:
            yield pb.IngestResponse(opened=_opened(publisher.opened))
            async with aclosing(_answers(request_iterator, publisher, claim.ack)) as answers:
                async for answer in answers:
                    yield answer
        finally:
            await publisher.close()

    def _claim(self, message: pb.IngestRequest.Open) -> Claim:
        twin_of(self._twin, message.twin, "open.twin")
        if not 0 < len(message.publisher) <= _MOST_NAME:
            raise bad("open.publisher", f"must have 1 to {_MOST_NAME} characters")
        for k, signal in enumerate(message.signals):
            if signal.sign not in (-1, 1):
                raise bad(f"open.signals[{k}].sign", f"of signal {signal.uid} must be +1 or -1, is {signal.sign}")
        if message.ack not in (0, *AckLevel):
            raise bad("open.ack", f"is no AckLevel: {message.ack}")
        return Claim(
            publisher=message.publisher,
            epoch=message.publisher_epoch,
            priority=message.priority,
            catalogue_revision=message.catalog_revision,
            signals=tuple(ClaimedSignal(s.uid, s.unit, s.sign) for s in message.signals),
            ack=AckLevel(message.ack or AckLevel.DURABLE),
            lease_s=_lease_s(message),
        )


def _lease_s(message: pb.IngestRequest.Open) -> float:
    lease_s = span(message, "lease", _LONGEST_LEASE_S)
    if message.HasField("lease") and lease_s < _SHORTEST_LEASE_S:
        raise bad("open.lease", f"must be {_SHORTEST_LEASE_S:g} to {_LONGEST_LEASE_S:g} s, is {lease_s:g} s")
    return lease_s


async def _first(requests: AsyncIterator[pb.IngestRequest]) -> pb.IngestRequest.Open:
    try:
        async with asyncio.timeout(_OPEN_WITHIN_S):
            message = await anext(requests, None)
    except TimeoutError as error:
        raise TooSlow(f"no Open within {_OPEN_WITHIN_S:g} s") from error
    if message is None or message.WhichOneof("kind") != "open":
        raise bad("open", "must be the first message of the stream")
    return message.open


async def _answers(
    requests: AsyncIterator[pb.IngestRequest], publisher: Publisher, wanted: AckLevel
) -> AsyncGenerator[pb.IngestResponse, None]:
    """Merge refusals and acks; end when the sender has closed and its last batch is as safe as it wanted."""
    intake = _Intake(requests, publisher)
    refusals, acks = intake.refusals(), publisher.acks()
    # A state may never cover the last rows (a replay's clock stands still), so a close waits for DURABLE at most.
    settled = min(wanted, AckLevel.DURABLE)
    reached = publisher.opened.last_durable_batch_id
    waiting: dict[asyncio.Future[Any], AsyncIterator[Any]] = {_next(refusals): refusals, _next(acks): acks}
    try:
        while not (intake.closed and reached >= intake.last_batch):
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for future in done:
                source = waiting.pop(future)
                try:
                    answer = future.result()
                except StopAsyncIteration:
                    if source is acks:
                        return
                    continue
                waiting[_next(source)] = source
                if isinstance(answer, Ack):
                    if answer.level >= settled:
                        reached = max(reached, answer.through_batch_id)
                    answer = pb.IngestResponse(ack=_ack(answer))
                yield answer
    finally:
        for future in waiting:
            future.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


class _Intake:
    """Hands batches to the core; yields refusals only."""

    def __init__(self, requests: AsyncIterator[pb.IngestRequest], publisher: Publisher) -> None:
        self._requests = requests
        self._publisher = publisher
        self.last_batch = 0
        self.closed = False

    async def refusals(self) -> AsyncIterator[pb.IngestResponse]:
        async for message in self._requests:
            if message.WhichOneof("kind") == "keep_alive":
                self._publisher.keep_alive()
                continue
            if message.WhichOneof("kind") != "batch":
                raise bad("batch", "or keep_alive must be every message after the first")
            batch_id = message.batch.batch_id
            try:
                batch = self._batch(message.batch)
            except BadRequest as error:
                # Its id is spent without rows, so that ids stay consecutive and later acks stay true.
                batch = Batch(batch_id, Rows.empty())
                yield pb.IngestResponse(refused=pb.IngestResponse.Refused(batch_id=batch_id, status=status_of(error)))
            await self._publisher.submit(batch)
            self.last_batch = max(self.last_batch, batch_id)
        self.closed = True

    def _batch(self, message: pb.IngestRequest.Batch) -> Batch:
        rows = rows_of(message.rows)
        most = self._publisher.opened.max_rows
        if len(rows) > most:
            raise bad("rows", f"has {len(rows)} rows; at most {most} per batch")
        if int(message.snapshot) not in tuple(Snapshot):
            raise bad("snapshot", f"is no Snapshot: {message.snapshot}")
        return Batch(message.batch_id, rows, Snapshot(message.snapshot))


def _next(source: AsyncIterator[Any]) -> asyncio.Future[Any]:
    return asyncio.ensure_future(anext(source))


def _opened(opened: Opened) -> pb.IngestResponse.Opened:
    return pb.IngestResponse.Opened(
        position=common_pb2.Position(epoch=opened.position.epoch, revision=opened.position.revision),
        last_durable_batch_id=opened.last_durable_batch_id,
        max_in_flight_batches=opened.max_in_flight_batches,
        max_rows=opened.max_rows,
        lateness=wire.duration(opened.lateness_s),
    )


def _ack(ack: Ack) -> pb.IngestResponse.Ack:
    return pb.IngestResponse.Ack(
        through_batch_id=ack.through_batch_id,
        level=pb.AckLevel.Name(ack.level),
        position=common_pb2.Position(epoch=ack.position.epoch, revision=ack.position.revision),
        admitted=ack.admitted,
        duplicate=ack.duplicate,
        questionable=ack.questionable,
        errors=_row_errors(ack.errors, ack.unlisted) if ack.errors else None,
        notice=ack.notice,
    )


def _row_errors(errors: tuple[RowError, ...], unlisted: int) -> pb.IngestResponse.RowErrors:
    return pb.IngestResponse.RowErrors(
        row=[e.row for e in errors],
        signal=[e.signal for e in errors],
        fault=[pb.RowFault.Name(e.fault) for e in errors],
        message=[e.message for e in errors],
        batch_id=[e.batch_id for e in errors],
        not_listed=unlisted,
    )
