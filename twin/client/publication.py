"""A publisher's side of an ingest stream, without its transport: ids, what is not yet safe, what was refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from grid_models.measurements import Signal
from grid_models.state import Position
from twin import wire
from twin.api.v1 import ingest_pb2 as pb
from twin.client.errors import ClientError
from twin.port import Ack, AckLevel, RowError, RowFault, Snapshot

KEEP_ALIVE = pb.IngestRequest(keep_alive=pb.IngestRequest.KeepAlive())


class Ledger:
    """What was sent, how far it came, and what must be sent again after a broken connection.

    Args:
        twin: its id, `-` for the one served.
        publisher: stable name.
        epoch: grows with each restart of the publisher.
        priority: of two living publishers of a signal the higher counts.
        catalogue_revision: the claim is made against.
        signals: what will be sent.
        ack: the highest level to hear of.
        lease_s: silence after which the service counts the publisher as gone; 0 = none.
    """

    def __init__(
        self,
        twin: str,
        publisher: str,
        epoch: int,
        priority: int,
        catalogue_revision: int,
        signals: Iterable[Signal],
        ack: AckLevel,
        lease_s: float = 0.0,
    ) -> None:
        self.ack = ack
        self.pause_s = lease_s / 3 if lease_s else None  # longest silence, so that two may be lost
        self.safe_level = min(ack, AckLevel.DURABLE)
        self.errors: list[RowError] = []
        self.notices: list[str] = []
        self.refusals: list[tuple[int, str]] = []
        self.reached: dict[AckLevel, int] = dict.fromkeys(AckLevel, 0)
        self.max_in_flight = 1
        self.max_rows = 1
        self._last = 0
        self._unsafe: dict[int, pb.IngestRequest] = {}
        claimed = [pb.IngestRequest.ClaimedSignal(uid=s.uid, unit=s.unit, sign=s.sign) for s in signals]
        self.opening = pb.IngestRequest(
            open=pb.IngestRequest.Open(
                twin=f"twins/{twin}",
                publisher=publisher,
                publisher_epoch=epoch,
                priority=priority,
                catalog_revision=catalogue_revision,
                signals=claimed,
                ack=pb.AckLevel.Name(ack),
                lease=wire.duration(lease_s) if lease_s else None,
            )
        )

    @property
    def last(self) -> int:
        """Id of the newest batch."""
        return self._last

    @property
    def full(self) -> bool:
        """Whether the window granted by the server is used up."""
        return self._last - self.reached[AckLevel.RECEIVED] >= self.max_in_flight

    def batch(self, columns: dict[str, ArrayLike | None], snapshot: Snapshot) -> pb.IngestRequest:
        """The next request; it is kept until it is safe."""
        self._last += 1
        message = pb.IngestRequest.Batch(batch_id=self._last, snapshot=pb.Snapshot.Name(int(snapshot)))
        for name, values in columns.items():
            if values is not None:
                wire.fill(message.rows, name, np.atleast_1d(np.asarray(values)))
        request = pb.IngestRequest(batch=message)
        self._unsafe[self._last] = request
        return request

    def opened(self, message: pb.IngestResponse.Opened) -> list[pb.IngestRequest]:
        """Note the server's terms; what must be sent (again) on the new stream."""
        self.max_in_flight = max(1, message.max_in_flight_batches)
        self.max_rows = max(1, message.max_rows)
        self._last = max(self._last, message.last_durable_batch_id)
        for level in (AckLevel.RECEIVED, AckLevel.DURABLE):
            self.reached[level] = message.last_durable_batch_id
        self._forget(message.last_durable_batch_id)
        return list(self._unsafe.values())

    def hear(self, response: pb.IngestResponse) -> Ack | None:
        """Note an answer; the ack, where it is one."""
        if response.WhichOneof("kind") == "refused":
            self.refusals.append((response.refused.batch_id, response.refused.status.message))
            return None
        if response.WhichOneof("kind") != "ack":
            return None
        ack = _ack(response.ack)
        self.reached[ack.level] = max(self.reached[ack.level], ack.through_batch_id)
        if ack.level > AckLevel.RECEIVED:  # a higher level includes the lower
            self.reached[AckLevel.RECEIVED] = max(self.reached[AckLevel.RECEIVED], ack.through_batch_id)
        if ack.level >= self.safe_level:
            self._forget(ack.through_batch_id)
        self.errors += ack.errors
        if ack.notice:
            self.notices.append(ack.notice)
        return ack

    def reaches(self, batch_id: int, level: AckLevel) -> bool:
        """Whether a batch has reached a level.

        Raises:
            ClientError: the level is higher than what the stream was opened for.
        """
        if level > self.ack:
            raise ClientError("INVALID_ARGUMENT", f"opened with ack={self.ack.name}; {level.name} will not be told")
        return self.reached[level] >= batch_id

    def _forget(self, through: int) -> None:
        self._unsafe = {k: v for k, v in self._unsafe.items() if k > through}


def columns(
    signal: ArrayLike,
    value: ArrayLike,
    time: Any,
    validity: ArrayLike | None,
    time_quality: ArrayLike | None,
    flags: ArrayLike | None,
    sequence: ArrayLike | None,
) -> dict[str, ArrayLike | None]:
    """A batch's columns; `time` is datetime64 (UTC) or Unix microseconds, one or one a row, None = no time."""
    if time is not None:
        times = np.atleast_1d(np.asarray(time))
        time = times.astype("datetime64[us]").astype(np.int64) if times.dtype.kind == "M" else times
    return {
        "signal": signal,
        "value": value,
        "source_time_us": time,
        "validity": validity,
        "time_quality": time_quality,
        "flags": flags,
        "sequence": sequence,
    }


def chosen(catalogue: Sequence[Signal], wanted: Iterable[Signal | int | str] | None) -> list[Signal]:
    """Signals by object, uid or name; None = all.

    Raises:
        ClientError: an unknown one.
    """
    if wanted is None:
        return list(catalogue)
    known: dict[int | str, Signal] = {s.uid: s for s in catalogue} | {s.name: s for s in catalogue}
    found = []
    for item in wanted:
        if isinstance(item, Signal):
            found.append(item)
        elif item in known:
            found.append(known[item])
        else:
            raise ClientError("NOT_FOUND", f"no signal {item!r}")
    return found


def _ack(message: pb.IngestResponse.Ack) -> Ack:
    e = message.errors
    return Ack(
        level=AckLevel(message.level),
        through_batch_id=message.through_batch_id,
        position=Position(message.position.epoch, message.position.revision),
        admitted=message.admitted,
        duplicate=message.duplicate,
        questionable=message.questionable,
        errors=tuple(
            RowError(row, uid, RowFault(fault), text, batch)
            for row, uid, fault, text, batch in zip(e.row, e.signal, e.fault, e.message, e.batch_id, strict=True)
        ),
        notice=message.notice,
    )
