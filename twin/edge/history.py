"""HistoryService: measurements out again."""

# ruff: noqa: N802, ARG002 - names and signatures of the methods are gRPC's.

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import numpy as np

from twin.api.v1 import history_pb2 as pb
from twin.edge.errors import bad
from twin.edge.requests import interval, optional_instant, twin_of
from twin.edge.rows import message_of
from twin.errors import NotFound
from twin.port import Twin

_MOST_SIGNALS = 10_000
_CHUNK_ROWS = 16_384


class HistoryService:
    """Translates questions to the archive."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    async def ReadMeasurements(
        self, request: pb.ReadMeasurementsRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.ReadMeasurementsResponse]:
        """Admitted rows in chunks."""
        twin_of(self._twin, request.twin, "twin")
        if not 0 < len(request.signal) <= _MOST_SIGNALS:
            raise bad("signal", f"must name 1 to {_MOST_SIGNALS} signals, names {len(request.signal)}")
        wanted = np.unique(np.array(request.signal, dtype=np.uint32))
        unknown = wanted[self._twin.catalogue.find(wanted) < 0]
        if len(unknown):
            raise NotFound(f"no signal {', '.join(map(str, unknown[:8]))}")
        start, end = interval(request)
        known = optional_instant(request, "known_time")
        async for rows in self._twin.read_measurements(tuple(wanted.tolist()), start, end, known):
            for first in range(0, len(rows), _CHUNK_ROWS):
                chunk = rows.take(np.arange(first, min(first + _CHUNK_ROWS, len(rows))))
                yield pb.ReadMeasurementsResponse(rows=message_of(chunk))
