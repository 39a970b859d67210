"""A small core in memory, so that the edge can be tested by itself: it admits, keeps, publishes and tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import numpy as np

from grid_models.errors import Issue
from grid_models.measurements import Catalogue, Rows, Signal, SignalKind, Update
from grid_models.state import NetworkState, Position, Residuals
from twin.errors import BadRequest, NotFound, PreconditionFailed, TooOld, Unavailable
from twin.field_report import FieldReport
from twin.port import (
    Ack,
    AckLevel,
    AsOf,
    Batch,
    Claim,
    Delivery,
    EventKind,
    ManualEntry,
    NetworkInfo,
    Opened,
    PublishedState,
    RowError,
    RowFault,
    RunResult,
    Transition,
    TwinEvent,
)

BUSES = tuple(str(i) for i in range(5))
LINES = ("10", "11", "12")
MODEL = "f" * 64
START_US = 1_700_000_000_000_000


def signal(uid: int, element: str) -> Signal:
    return Signal(
        uid, f"U bus {element}", "mv", SignalKind.ANALOG, "bus", element, "vm_pu", "", "pu", 1, 0.01, 0.0, 2.0,
        Update.CYCLIC, 30.0, 900.0,
    )  # fmt: skip


class MemoryPublisher:
    def __init__(self, twin: MemoryTwin, claim: Claim) -> None:
        self.twin = twin
        self.claim = claim
        durable = twin.batches.get((claim.publisher, claim.epoch), 0)
        self.opened = Opened(Position(1, len(twin.states)), durable, 4, 1000, 30.0)
        self._acks: asyncio.Queue[Ack | None] = asyncio.Queue()

    async def submit(self, batch: Batch) -> None:
        key = (self.claim.publisher, self.claim.epoch)
        last = self.twin.batches.get(key, 0)
        if batch.batch_id > last + 1:
            raise PreconditionFailed(f"batch {batch.batch_id} after {last}: ids are consecutive")
        rows, errors = batch.rows, []
        duplicate = len(rows) if batch.batch_id <= last else 0
        if not duplicate:
            known = self.twin.catalogue.find(rows.signal)
            finite = np.isfinite(rows.value)
            for row in np.flatnonzero((known < 0) | ~finite).tolist():
                fault = RowFault.UNKNOWN_SIGNAL if known[row] < 0 else RowFault.NOT_FINITE
                errors.append(RowError(row, int(rows.signal[row]), fault, fault.name, batch.batch_id))
            self.twin.kept.append(rows.take((known >= 0) & finite))
            self.twin.snapshots.append(batch.snapshot)
            self.twin.batches[key] = batch.batch_id
        admitted = len(rows) - len(errors) - duplicate
        position = Position(1, len(self.twin.states))
        for level in AckLevel:
            if level <= self.claim.ack:
                told = tuple(errors) if level == AckLevel.RECEIVED else ()
                await self._acks.put(Ack(level, batch.batch_id, position, admitted, duplicate, 0, told))
        self.twin.publish()

    def keep_alive(self) -> None:
        self.twin.beats += 1

    async def acks(self) -> AsyncIterator[Ack]:
        while (ack := await self._acks.get()) is not None:
            yield ack

    async def close(self) -> None:
        self.twin.closed.append(self.claim.publisher)


class MemoryTwin:
    """Implements twin.port.Twin."""

    name = "test"

    def __init__(self, buses: tuple[str, ...] = BUSES) -> None:
        self.buses = buses
        self.catalogue = Catalogue(7, tuple(signal(100 + i, str(i)) for i in range(5)))
        self.states: list[PublishedState] = []
        self.events: list[TwinEvent] = []
        self.kept: list[Rows] = []
        self.snapshots: list[int] = []
        self.batches: dict[tuple[str, int], int] = {}
        self.closed: list[str] = []
        self.beats = 0
        self.manual: list[ManualEntry] = []
        self.field: list[FieldReport] = []
        self._changed = asyncio.Event()

    # --- driven by tests
    def publish(self) -> PublishedState:
        k = len(self.states)
        n = len(self.buses)
        vm = 1.0 + 0.001 * k + 0.01 * np.arange(n)
        state = NetworkState(
            network="mv",
            valid_time_us=START_US + k * 1_000_000,
            model_revision=MODEL,
            parameter_revision=3,
            values={
                "bus_vm_pu": vm,
                "bus_energised": np.arange(n) % 2 == 0,
                "line_loading_percent": np.array([10.0, 120.0, np.nan]),
            },
            sigma={"bus_vm_pu": np.full(n, 0.002)},
            origin={"bus_vm_pu": np.full(n, 2, np.uint8)},
            residuals=Residuals(
                np.array([100, 101], np.uint32), np.array([1.0, 1.1]), np.array([1.0, 1.0]), np.array([0.0, 9.0]),
                np.array([False, True]),
            ),
            status="BAD_DATA",
            culprits=("signal 101",),
            iterations=4,
            accuracy=1.1,
            oldest_source_us=START_US,
            newest_source_us=START_US + 5,
            stale_inputs=2,
            manual_inputs=1,
        )  # fmt: skip
        published = PublishedState(Position(1, k + 1), START_US + k * 1_000_000 + 7, state)
        self.states.append(published)
        self._wake()
        return published

    def forget(self) -> None:
        """Drop what was kept; a long test does not want it."""
        self.kept.clear()
        self.snapshots.clear()
        self.batches.clear()
        self.closed.clear()
        self.manual.clear()
        self.field.clear()

    def tell(self, **changes: Any) -> TwinEvent:
        event = TwinEvent(
            len(self.events) + 1, Position(1, len(self.states)), START_US, START_US + 1, EventKind.ALARM,
            Transition.RAISED, "a1", "LINE_OVERLOAD", "mv", ("line 11",), "line 11 carries 120 %",
            figures={"loading_percent": 120.0},
        )  # fmt: skip
        event = replace(event, **changes)
        self.events.append(event)
        self._wake()
        return event

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change(self) -> None:
        await self._changed.wait()

    # --- the port
    def networks(self) -> tuple[NetworkInfo, ...]:
        columns = {
            "bus_vm_pu": ("bus", "pu", "voltage magnitude"),
            "bus_energised": ("bus", "", "has a source"),
            "line_loading_percent": ("line", "%", "loading"),
        }
        dims = {"bus": self.buses, "line": LINES}
        return (NetworkInfo("mv", "power", MODEL, 1.0, dims, columns, "FRESH" if self.states else "LIVE"),)

    def position(self, network: str) -> Position:
        if not self.states:
            raise Unavailable("no state yet")
        return self.states[-1].position

    async def open_publisher(self, claim: Claim) -> MemoryPublisher:
        if claim.catalogue_revision != self.catalogue.revision:
            raise PreconditionFailed(f"the catalogue is at revision {self.catalogue.revision}")
        for s in claim.signals:
            row = int(self.catalogue.find(np.array([s.uid], np.uint32))[0])
            if row < 0 or self.catalogue.signals[row].unit != s.unit:
                message = f"signal {s.uid} is not in {s.unit}"
                raise PreconditionFailed(message, [Issue("signal", "unit", (s.uid,), message)])
        return MemoryPublisher(self, claim)

    async def watch_states(self, network: str, resume_after: Position | None, min_interval_s: float) -> AsyncIterator[Delivery]:
        seen = resume_after.revision if resume_after else 0
        previous = resume_after
        while True:
            while len(self.states) <= seen:
                await self._change()
            newest = self.states[-1]
            merged = newest.position.revision - seen - 1 if previous else 0
            yield Delivery(newest, previous, merged)
            previous, seen = newest.position, newest.position.revision

    async def get_state(self, network: str, at: Position | AsOf | None) -> PublishedState:
        if not self.states:
            raise Unavailable("no state yet")
        if at is None:
            return self.states[-1]
        if isinstance(at, Position):
            found = [s for s in self.states if s.position == at]
        else:
            found = [s for s in self.states if s.state.valid_time_us <= at.valid_time_us]
        if not found:
            raise TooOld(f"the oldest kept is {self.states[0].position}")
        return found[-1]

    async def read_states(
        self, network: str, start_us: int, end_us: int, known_us: int | None
    ) -> AsyncIterator[PublishedState]:
        for s in self.states:
            if start_us <= s.state.valid_time_us < end_us:
                yield s

    @property
    def event_sequence(self) -> int:
        return len(self.events)

    async def watch_events(self, after_sequence: int) -> AsyncIterator[TwinEvent]:
        told = after_sequence
        while True:
            while len(self.events) <= told:
                await self._change()
            yield self.events[told]
            told += 1

    async def acknowledge(self, alarm_id: str, author: str, comment: str) -> TwinEvent:
        if not any(e.alarm_id == alarm_id for e in self.events):
            raise NotFound(f"no alarm {alarm_id}")
        return self.tell(transition=Transition.ACKNOWLEDGED, alarm_id=alarm_id, message=f"{author}: {comment}")

    async def enter_manual(self, draft: ManualEntry, *, validate_only: bool = False) -> ManualEntry:
        if not np.isfinite(draft.value) or not 0 <= draft.value <= 2:
            raise BadRequest("entry.value: must lie in 0 to 2 pu")
        if int(self.catalogue.find(np.array([draft.signal], np.uint32))[0]) < 0:
            raise NotFound(f"no signal {draft.signal}")
        entry = replace(draft, entry_id=f"1-{len(self.manual) + 1}", start_us=draft.start_us or START_US)
        if not validate_only:
            self.manual.append(entry)
        return entry

    def manual_entries(self) -> list[ManualEntry]:
        return self.manual

    async def withdraw_manual(self, entry_id: str, author: str, reason: str) -> ManualEntry:
        found = [e for e in self.manual if e.entry_id == entry_id]
        if not found:
            raise NotFound(f"no manual entry {entry_id} is in force")
        self.manual.remove(found[0])
        return found[0]

    async def report(self, draft: FieldReport, *, validate_only: bool = False) -> FieldReport:
        if draft.kind.of_alarm and not any(e.alarm_id == draft.alarm_id for e in self.events):
            raise NotFound(f"no alarm {draft.alarm_id}")
        report = replace(draft, report_id=f"1-{len(self.field) + 1}", network="mv", counts_us=START_US, happened_us=START_US)
        if not validate_only:
            self.field.append(report)
        return report

    def reports(self) -> list[FieldReport]:
        return self.field

    async def read_measurements(
        self, signals: tuple[int, ...], start_us: int, end_us: int, known_us: int | None
    ) -> AsyncIterator[Rows]:
        for rows in self.kept:
            wanted = np.isin(rows.signal, signals) & (rows.source_time_us >= start_us) & (rows.source_time_us < end_us)
            if wanted.any():
                yield rows.take(wanted)

    async def fork(self, network: str, at: Position | AsOf | None) -> Any:
        from grid_models.formats import read

        return read("pandapower:case9")

    async def run_what_if(self, network: str, at: Position | AsOf | None, patch: Any, duration_s: float) -> RunResult:
        base = (await self.get_state(network, at)).state.values
        patched = {"bus_vm_pu": base["bus_vm_pu"] * 0.9, "line_loading_percent": np.array([1.0, 2.0])}
        return RunResult(base, patched, "SOLVED", (), ("bus 0: VOLTAGE_BAND",), (), patched_dims={"line": LINES[:2]})

    def check(self) -> tuple[Issue, ...]:
        return (Issue("signal", "ttl_s", (101,), "is silent"),)
