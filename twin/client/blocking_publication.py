"""A blocking ingest stream: one thread keeps it open, sends again what was not safe, and hears the acks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

import grpc
from numpy.typing import ArrayLike

from grid_models.measurements import Validity
from twin.api.v1 import ingest_pb2 as pb
from twin.client.channel import Patience
from twin.client.errors import ClientError, translated
from twin.client.publication import KEEP_ALIVE, Ledger, columns
from twin.port import Ack, AckLevel, RowError, Snapshot

_Outbox = SimpleQueue[pb.IngestRequest | None]


class Publication:
    """Sends measurement batches; made by `TwinClient.publish`."""

    def __init__(self, stub: Any, ledger: Ledger, reconnect_s: float, on_ack: Callable[[Ack], None] | None = None) -> None:
        self._stub = stub
        self._ledger = ledger
        self._patience = Patience(reconnect_s)
        self._on_ack = on_ack
        self._changed = threading.Condition()
        self._outbox: _Outbox | None = None  # None while there is no open stream
        self._call: Any = None
        self._closing = False
        self._over = False
        self._error: ClientError | None = None
        self._thread = threading.Thread(target=self._run, name="twin-publication", daemon=True)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._outbox is not None or self._over)
            self._check()

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

    def send(
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
        """Send rows; waits while the window granted by the service is used up.

        Args:
            signal: (n,) uids.
            value: (n,) in each signal's unit and direction.
            time: (n,) or one: datetime64 (UTC) or Unix microseconds; None = the source told no time.
            validity: (n,) or one, of Validity; None = GOOD.
            time_quality: (n,) or one, of TimeQuality; None = SYNCED.
            flags: (n,) or one, of Flag; None = none.
            sequence: (n,) or one; a correction of a row has a higher one.
            snapshot: BEGIN or END of a general interrogation.

        Returns:
            The batch's id, for `wait`.
        """
        described = columns(signal, value, time, validity, time_quality, flags, sequence)
        with self._changed:
            self._changed.wait_for(lambda: self._over or (self._outbox is not None and not self._ledger.full))
            self._check()
            request = self._ledger.batch(described, snapshot)
            if self._outbox is not None:
                self._outbox.put(request)
            return self._ledger.last

    def wait(self, batch_id: int | None = None, level: AckLevel = AckLevel.DURABLE, timeout_s: float | None = None) -> bool:
        """Until a batch (None = the last) has reached a level; False where the time ran out."""
        with self._changed:
            wanted = self._ledger.last if batch_id is None else batch_id
            arrived = self._changed.wait_for(lambda: self._over or self._ledger.reaches(wanted, level), timeout_s)
            self._check()
            return arrived

    def close(self) -> None:
        """Send the rest, wait until it is safe, end the stream."""
        with self._changed:
            self._closing = True
            if self._outbox is not None:
                self._outbox.put(None)
        self._thread.join()
        self._check()

    def abandon(self) -> None:
        """End the stream at once; what is not yet acknowledged may be lost."""
        with self._changed:
            self._closing = True
            self._patience.reconnect_s = 0.0
            if self._call is not None:
                self._call.cancel()
            self._changed.notify_all()
        self._thread.join()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while not self._over:
            try:
                self._stream()
                self._end(None)
            except grpc.RpcError as error:
                self._retry(translated(error))

    def _stream(self) -> None:
        outbox: _Outbox = SimpleQueue()
        outbox.put(self._ledger.opening)
        self._call = self._stub.Ingest(_requests(outbox, self._ledger.pause_s))
        try:
            for response in self._call:
                self._patience.progress()
                self._hear(response, outbox)
        finally:
            with self._changed:
                self._outbox = None
            outbox.put(None)

    def _hear(self, response: pb.IngestResponse, outbox: _Outbox) -> None:
        with self._changed:
            if response.WhichOneof("kind") == "opened":
                for request in self._ledger.opened(response.opened):
                    outbox.put(request)
                self._outbox = outbox
                if self._closing:
                    outbox.put(None)
                ack = None
            else:
                ack = self._ledger.hear(response)
            self._changed.notify_all()
        if ack is not None and self._on_ack is not None:
            self._on_ack(ack)

    def _retry(self, error: ClientError) -> None:
        try:
            pause_s = self._patience.pause_s(error)
        except ClientError as final:
            self._end(final)
            return
        with self._changed:
            self._changed.wait(pause_s)

    def _end(self, error: ClientError | None) -> None:
        with self._changed:
            self._error = error
            self._over = True
            self._changed.notify_all()


def _requests(outbox: _Outbox, pause_s: float | None) -> Iterator[pb.IngestRequest]:
    """What is to be sent, until None; after every pause without anything, a sign of life."""
    while True:
        try:
            request = outbox.get(timeout=pause_s)
        except Empty:
            yield KEEP_ALIVE
            continue
        if request is None:
            return
        yield request
