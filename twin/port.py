"""The seam between the edge (gRPC, command line) and the core: plain values, no protobuf, no socket.

The edge translates messages into these values and back. The core never sees a message, so it can be driven by a test,
a replay, or another protocol, and behaves the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

from grid_models.errors import Issue
from grid_models.measurements import Catalogue, Rows
from grid_models.state import NetworkState, Position
from twin.field_report import FieldReport


class AckLevel(IntEnum):
    """RECEIVED: parsed, in memory. DURABLE: fsynced. ESTIMATED: a published state covers it."""

    RECEIVED = 1
    DURABLE = 2
    ESTIMATED = 3


@dataclass(frozen=True)
class ClaimedSignal:
    """What a publisher believes of a signal; the core refuses the claim where the catalogue says otherwise."""

    uid: int
    unit: str
    sign: int


@dataclass(frozen=True)
class Claim:
    """The opening of an ingest stream.

    Args:
        publisher: its stable name.
        epoch: grows with each restart of the publisher; with `batch_id` it makes batches idempotent.
        priority: of two living publishers that claim a signal, the higher counts.
        catalogue_revision: the revision that the claim was made against.
        signals: what it will send.
        ack: the highest level it wants to hear of.
        lease_s: silence after which it counts as gone; 0 = only the end of its stream tells.
    """

    publisher: str
    epoch: int
    priority: int
    catalogue_revision: int
    signals: tuple[ClaimedSignal, ...]
    ack: AckLevel
    lease_s: float = 0.0


class Snapshot(IntEnum):
    """BEGIN and END bracket a general interrogation: what it does not refresh turns NOT_TOPICAL at END."""

    NONE = 0
    BEGIN = 1
    END = 2


@dataclass(frozen=True)
class Batch:
    """Rows under one id, consecutive within a publisher epoch."""

    batch_id: int
    rows: Rows
    snapshot: Snapshot = Snapshot.NONE


class RowFault(IntEnum):
    """Why one row was refused or marked; the batch's other rows count."""

    UNKNOWN_SIGNAL = 1
    NOT_CLAIMED = 2
    NOT_FINITE = 3
    BAD_QUALITY = 4
    BAD_TIME = 5
    CONFLICT = 6  # same identity, another value
    TOO_LATE = 7
    REBOUND = 8
    OUTRANKED = 9  # a living publisher of higher priority owns the signal


@dataclass(frozen=True)
class RowError:
    """One refused row: its place in the batch, its signal, the reason."""

    row: int
    signal: int
    fault: RowFault
    message: str
    batch_id: int


@dataclass(frozen=True)
class Ack:
    """Cumulative: everything through `through_batch_id` has reached `level`."""

    level: AckLevel
    through_batch_id: int
    position: Position
    admitted: int = 0
    duplicate: int = 0
    questionable: int = 0
    errors: tuple[RowError, ...] = ()
    notice: str = ""  # in-band news: a clock ahead, a take-over by another publisher
    unlisted: int = 0  # errors behind those listed


@dataclass(frozen=True)
class Opened:
    """The core's answer to a claim."""

    position: Position
    last_durable_batch_id: int
    max_in_flight_batches: int
    max_rows: int
    lateness_s: float


class Publisher(Protocol):
    """One open ingest stream."""

    opened: Opened

    async def submit(self, batch: Batch) -> None:
        """Hand in a batch; waits while the in-flight window is full (back-pressure to the sender).

        What is wrong with the stream itself is raised here, or by `acks` where it comes out later.
        """

    def keep_alive(self) -> None:
        """The sender lives, though it has nothing to send."""

    def acks(self) -> AsyncIterator[Ack]:
        """Acks in batch order per level, until the stream closes; raises what ended it otherwise."""

    async def close(self) -> None:
        """End the stream: its signals become NOT_TOPICAL."""


@dataclass(frozen=True)
class NetworkInfo:
    """What a client must know before it reads frames of a network.

    Args:
        name: of the network.
        kind: `power` or `water`.
        model_revision: content hash.
        cycle_s: distance of grid instants.
        dims: dimension (`bus`, `line`, `node` ...) -> ids as text, in the order of the columns.
        columns: published column -> (dimension, unit, text).
        ready: LIVE / READY / FRESH in words.
    """

    name: str
    kind: str
    model_revision: str
    cycle_s: float
    dims: Mapping[str, tuple[str, ...]]
    columns: Mapping[str, tuple[str, str, str]]
    ready: str


@dataclass(frozen=True)
class PublishedState:
    """A state with its place in the stream."""

    position: Position
    known_time_us: int
    state: NetworkState
    correction: bool = False


@dataclass(frozen=True)
class Delivery:
    """What a reader gets: the state, and how many were merged into it because the reader was slow."""

    published: PublishedState
    previous: Position | None
    merged: int


class EventKind(IntEnum):
    """What an event tells."""

    ALARM = 1
    LEAK = 2
    CORRECTION = 3
    CATALOGUE = 4
    SERVICE = 5
    MANUAL = 6


class Transition(IntEnum):
    """An alarm's life."""

    RAISED = 1
    UPDATED = 2
    CLEARED = 3
    ACKNOWLEDGED = 4


@dataclass(frozen=True)
class Candidate:
    """One suspected pipe of a leak: its share of the probability and its size."""

    element: str
    probability: float
    flow_m3_per_h: float
    distance_m: float


@dataclass(frozen=True)
class Evidence:
    """What an alarm rests on: a sensor, or a report from the field.

    Args:
        signal: name of the sensor, or of the meters that tell a zone's night flow; empty of a report.
        report: id of the report; empty of a sensor.
        sigma: how far the sensor's mean since the onset lies from what the model predicts without it [1].
        unit: of the trace: m of head, or m3/s.
        trace: what the sensor showed above the model's prediction, step by step up to the alarm; of night flows, night by
            night; NaN where nothing.
        text: of a report or a night flow, in one line.
    """

    signal: str
    report: str = ""
    sigma: float = 0.0
    unit: str = ""
    trace: tuple[float, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class TwinEvent:
    """An alarm, a leak, a correction: gap-free, in order.

    Args:
        sequence: consecutive from 1 over the twin's whole life.
        position: of the state that brought it about.
        valid_time_us: the instant it speaks of.
        known_time_us: when the twin knew.
        kind: what it tells.
        transition: of the alarm `alarm_id`.
        alarm_id: stable over the alarm's life, empty for events that are no alarms.
        code: `LINE_OVERLOAD`, `BAD_METER`, `PUMP_WITHOUT_SUPPLY`, `LEAK` ... (documented in docs/alarms.md).
        network: concerned.
        elements: culprits first.
        message: for the operator, with figures and units.
        cause: alarm_id of the root cause, empty where this is one.
        candidates: of a leak, most probable first.
        figures: numbers behind the message, by name with unit (`loading_percent`, `flow_m3_per_h`).
        evidence: what a leak's alarm rests on, the strongest first.
    """

    sequence: int
    position: Position
    valid_time_us: int
    known_time_us: int
    kind: EventKind
    transition: Transition
    alarm_id: str
    code: str
    network: str
    elements: tuple[str, ...]
    message: str
    cause: str = ""
    candidates: tuple[Candidate, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()


FOREVER_US = 1 << 62


@dataclass(frozen=True)
class ManualEntry:
    """What a person says of a signal.

    Args:
        entry_id: given by the core; empty before.
        signal: uid.
        value: in the signal's unit, our direction once the core has taken it, the signal's before.
        author: who.
        reason: why.
        start_us: first instant that it holds for, Unix us; 0 = from now on.
        until_us: first instant that it no longer holds for, FOREVER_US = until it is withdrawn.
        created_us: when it was entered, on the wall clock.
        request_id: the same again is no second entry; may be empty.
    """

    entry_id: str
    signal: int
    value: float
    author: str
    reason: str
    start_us: int
    until_us: int
    created_us: int
    request_id: str = ""


@dataclass(frozen=True)
class AsOf:
    """Two time axes: the instant asked for, and what was known when (None = now)."""

    valid_time_us: int
    known_time_us: int | None = None


@dataclass(frozen=True)
class RunResult:
    """A what-if run: the base and the patched solution, column -> (n,), and what got worse or better.

    Args:
        base: columns of the forked state, solved.
        patched: the same columns after the patch.
        status: `Status.name` of the patched solve.
        culprits: elements the status speaks of.
        violated: limits broken by the patch, in words.
        relieved: limits mended by it.
        base_dims: dimension -> ids of the fork's elements, in column order; empty = the network's own.
        patched_dims: the same after the patch, which may create and remove elements.
        time_us: instants of a run over a duration; then the columns are (n_time, n).
    """

    base: Mapping[str, Any]
    patched: Mapping[str, Any]
    status: str
    culprits: tuple[str, ...]
    violated: tuple[str, ...]
    relieved: tuple[str, ...]
    base_dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    patched_dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    time_us: tuple[int, ...] = ()


class Twin(Protocol):
    """What the edge may ask of the core. Every method raises twin.errors, never grpc."""

    name: str

    @property
    def catalogue(self) -> Catalogue:
        """The signals at the current revision."""

    def networks(self) -> tuple[NetworkInfo, ...]:
        """All networks."""

    def position(self, network: str) -> Position:
        """The newest published position."""

    async def open_publisher(self, claim: Claim) -> Publisher:
        """Admit a publisher, or refuse its claim naming the signal."""

    def watch_states(self, network: str, resume_after: Position | None, min_interval_s: float) -> AsyncIterator[Delivery]:
        """The newest state (unless `resume_after` is it), then each next one; latest wins."""

    async def get_state(self, network: str, at: Position | AsOf | None) -> PublishedState:
        """The newest state, one revision, or as of two times."""

    def read_states(self, network: str, start_us: int, end_us: int, known_us: int | None) -> AsyncIterator[PublishedState]:
        """Every kept revision in [start, end), in order, none merged."""

    @property
    def event_sequence(self) -> int:
        """Sequence of the newest event, 0 where there is none."""

    def watch_events(self, after_sequence: int) -> AsyncIterator[TwinEvent]:
        """Every event after the given one, then live; gap-free."""

    async def acknowledge(self, alarm_id: str, author: str, comment: str) -> TwinEvent:
        """An operator has seen the alarm."""

    async def enter_manual(self, draft: ManualEntry, *, validate_only: bool = False) -> ManualEntry:
        """Take an entry by hand; returns once it is on disk."""

    def manual_entries(self) -> list[ManualEntry]:
        """Entries in force or to come, in the order in which they were entered."""

    async def withdraw_manual(self, entry_id: str, author: str, reason: str) -> ManualEntry:
        """End an entry; returns once that is on disk."""

    async def report(self, draft: FieldReport, *, validate_only: bool = False) -> FieldReport:
        """Take a report from the field; returns once it is on disk."""

    def reports(self) -> list[FieldReport]:
        """Reports from the field that are kept, in the order in which they were entered."""

    def read_measurements(
        self, signals: tuple[int, ...], start_us: int, end_us: int, known_us: int | None
    ) -> AsyncIterator[Rows]:
        """Admitted rows by source time, in chunks."""

    async def fork(self, network: str, at: Position | AsOf | None) -> Any:
        """The network (grid_models Network) carrying the state at that instant as its own injections and levels."""

    async def run_what_if(self, network: str, at: Position | AsOf | None, patch: Any, duration_s: float) -> RunResult:
        """Fork, patch, solve, compare; writes nothing live."""

    def check(self) -> tuple[Issue, ...]:
        """What is wrong with the twin right now, for health."""
