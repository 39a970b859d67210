"""ManualService: entries by hand."""

# ruff: noqa: N802, ARG002 - names and signatures of the methods are gRPC's.

from __future__ import annotations

import time

import grpc

from twin import wire
from twin.api.v1 import manual_pb2 as pb
from twin.edge.requests import child_of, optional_instant, said, twin_of
from twin.port import FOREVER_US, ManualEntry, Twin

_MOST_AUTHOR = 200
_MOST_REASON = 2000
_MOST_REQUEST_ID = 100


class ManualService:
    """Translates entries by hand."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    async def CreateManualEntry(
        self, request: pb.CreateManualEntryRequest, context: grpc.aio.ServicerContext
    ) -> pb.ManualEntry:
        """Enter a value for a signal."""
        twin_of(self._twin, request.parent, "parent")
        entry = request.entry
        said(entry.author, "entry.author", _MOST_AUTHOR, needed=True)
        said(entry.reason, "entry.reason", _MOST_REASON, needed=True)
        said(request.request_id, "request_id", _MOST_REQUEST_ID, needed=False)
        start, until = (optional_instant(entry, field) for field in ("start_time", "expire_time"))
        draft = ManualEntry(
            "", entry.signal, entry.value, entry.author, entry.reason, start or 0, FOREVER_US if until is None else until,
            time.time_ns() // 1000, request.request_id,
        )  # fmt: skip
        return self._message(await self._twin.enter_manual(draft, validate_only=request.validate_only))

    async def ListManualEntries(
        self, request: pb.ListManualEntriesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListManualEntriesResponse:
        """Entries in force or still to come."""
        twin_of(self._twin, request.parent, "parent")
        return pb.ListManualEntriesResponse(entries=[self._message(e) for e in self._twin.manual_entries()])

    async def DeleteManualEntry(
        self, request: pb.DeleteManualEntryRequest, context: grpc.aio.ServicerContext
    ) -> pb.ManualEntry:
        """Withdraw an entry."""
        entry_id = child_of(self._twin, request.name, "manualEntries", "name")
        said(request.author, "author", _MOST_AUTHOR, needed=True)
        said(request.reason, "reason", _MOST_REASON, needed=False)
        return self._message(await self._twin.withdraw_manual(entry_id, request.author, request.reason))

    def _message(self, entry: ManualEntry) -> pb.ManualEntry:
        return pb.ManualEntry(
            name=f"twins/{self._twin.name}/manualEntries/{entry.entry_id}",
            signal=entry.signal,
            value=entry.value * self._twin.catalogue.sign_of(entry.signal),
            author=entry.author,
            reason=entry.reason,
            start_time=wire.timestamp(entry.start_us),
            expire_time=None if entry.until_us == FOREVER_US else wire.timestamp(entry.until_us),
            create_time=wire.timestamp(entry.created_us),
        )
