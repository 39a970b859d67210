"""A small deterministic twin: two coupled networks, an estimator whose states can be checked by hand, and a driver that
performs the engine's effects at once and in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from grid_models.measurements import Catalogue, Rows, Signal, SignalKind, TimeQuality, Update
from grid_models.state import NetworkState, Position, Residuals
from twin.assembly import Parts
from twin.chain import digest
from twin.effects import Announce, Append, Effect, Estimate, Learn, Publish, Tell
from twin.engine import Engine
from twin.estimators import Given
from twin.journal import Entry
from twin.port import Ack, AckLevel, Batch, Claim, ClaimedSignal, PublishedState, Snapshot, TwinEvent
from twin.setup import NetworkSetup, Setup
from twin.watches import Watch
from twin.watching import looked

SECOND = 1_000_000
T0 = 1_700_000_000 * SECOND
POWER, WATER = (1, 2, 3), (11, 12)


def signal(uid: int, network: str, **changes: Any) -> Signal:
    given: dict[str, Any] = {
        "uid": uid, "name": f"s{uid}", "network": network, "kind": SignalKind.ANALOG, "table": "bus",
        "element": str(uid), "quantity": "p_mw", "side": "", "unit": "MW", "sign": 1, "sigma": 1.0, "lower": -1e3,
        "upper": 1e3, "update": Update.SPONTANEOUS, "ttl_s": 5.0, "hold_s": 3600.0,
    }  # fmt: skip
    return Signal(**(given | changes))


CATALOGUE = Catalogue(1, tuple(signal(u, "power") for u in POWER) + tuple(signal(u, "water") for u in WATER))
NETWORKS = (NetworkSetup("power", SECOND), NetworkSetup("water", 2 * SECOND, ("power",)))


def setup(epoch: int = 1, **changes: Any) -> Setup:
    given: dict[str, Any] = {
        "epoch": epoch, "catalogue": CATALOGUE, "networks": NETWORKS, "lateness_us": 10 * SECOND,
        "stream_clock": True, "keyframe_us": 10 * SECOND,
    }  # fmt: skip
    return Setup(**(given | changes))


def rows(
    *items: tuple[int, float, float] | tuple[int, float, float, int], quality: int = 1, flags: int = 0, validity: int = 1
) -> Rows:
    """Rows of (signal, seconds after T0, value[, sequence])."""
    n = len(items)
    timeless = quality == TimeQuality.NONE
    times = [0 if timeless else T0 + round(i[1] * SECOND) for i in items]
    return Rows(
        signal=np.array([i[0] for i in items], dtype=np.uint32),
        value=np.array([i[2] for i in items], dtype=np.float64),
        source_time_us=np.array(times, dtype=np.int64),
        receive_time_us=np.zeros(n, dtype=np.int64),
        validity=np.full(n, validity, dtype=np.uint8),
        time_quality=np.full(n, quality, dtype=np.uint8),
        flags=np.full(n, flags, dtype=np.uint8),
        sequence=np.array([i[3] if len(i) > 3 else 0 for i in items], dtype=np.uint64),
    )


def claim(publisher: str = "scada", uids: Iterable[int] = POWER + WATER, epoch: int = 1, priority: int = 0) -> Claim:
    signals = tuple(ClaimedSignal(u, "MW", 1) for u in uids)
    return Claim(publisher, epoch, priority, CATALOGUE.revision, signals, AckLevel.ESTIMATED)


def estimate(network: str, uids: tuple[int, ...], given: Given) -> NetworkState:
    """Value in force + half the previous state + a tenth of what the coupled network has."""
    measured = given.measured
    x = np.zeros(len(uids)) if given.previous is None else 0.5 * given.previous.values["x"]
    at = np.searchsorted(np.array(uids), measured.signal)
    x[at] += np.nan_to_num(measured.value)
    for other in given.coupled.values():
        x += 0.1 * other.values["x"].sum()
    none = np.zeros(0)
    residuals = Residuals(np.zeros(0, np.uint32), none, none, none, np.zeros(0, bool))
    return NetworkState(
        network, measured.valid_time_us, "model", 0, {"x": x}, {}, {}, residuals, "SOLVED",
        stale_inputs=int(measured.stale.sum()), manual_inputs=int(measured.manual.sum()),
        newest_source_us=int(measured.source_time_us.max(initial=0)),
    )  # fmt: skip


@dataclass
class Driver:
    """Performs effects at once; `hold` keeps entries back from the journal, as a slow disk would."""

    engine: Engine
    hold: bool = False
    lag: int = 0  # where set, estimates wait for `settle`
    first: str = ""  # the network whose estimates are always answered before the others'
    journal: list[Entry] = field(default_factory=list)
    published: list[PublishedState] = field(default_factory=list)
    events: list[TwinEvent] = field(default_factory=list)
    acks: list[tuple[str, Ack]] = field(default_factory=list)
    waiting: deque[Entry] = field(default_factory=deque)
    computing: deque[Estimate] = field(default_factory=deque)
    ids: dict[str, int] = field(default_factory=dict)
    asked: list[Estimate] = field(default_factory=list)  # every estimate, answered or not

    def open(self, a_claim: Claim | None = None) -> Driver:
        a_claim = claim() if a_claim is None else a_claim
        opened, effects = self.engine.open(a_claim)
        self.ids[a_claim.publisher] = opened.last_durable_batch_id
        self.perform(effects)
        return self

    def send(self, batch: Rows, publisher: str = "scada", snapshot: Snapshot = Snapshot.NONE, at: int = 0) -> Ack:
        self.ids[publisher] += 1
        self.perform(self.engine.receive(publisher, [Batch(self.ids[publisher], batch, snapshot)], at or T0))
        return next(a for p, a in reversed(self.acks) if p == publisher and a.level is AckLevel.RECEIVED)

    def perform(self, effects: list[Effect]) -> None:
        todo = deque(effects)
        while todo or (self.computing and not self.lag):
            if not todo:
                request = next((r for r in self.computing if r.network == self.first), self.computing[0])
                self.computing.remove(request)
                uids = POWER if request.network == "power" else WATER
                todo.extend(self.engine.estimated(request.network, estimate(request.network, uids, request.given)))
                continue
            match todo.popleft():
                case Append(entry) if self.hold:
                    self.waiting.append(entry)
                case Append(entry):
                    self.journal.append(entry)
                    todo.extend(self.engine.committed(entry.position))
                case Estimate() as request:
                    self.asked.append(request)
                    self.computing.append(request)
                case Learn() as request:
                    todo.extend(self.engine.learned(request.network, looked(self.engine.setup.watches, request)))
                case Publish(published):
                    self.published.append(published)
                case Announce(event):
                    self.events.append(event)
                case Tell(publisher, ack):
                    self.acks.append((publisher, ack))

    def settle(self) -> None:
        """Answer the estimates that were held back."""
        lag, self.lag = self.lag, 0
        self.perform([])
        self.lag = lag

    def flush(self) -> None:
        """The disk has caught up."""
        self.hold = False
        while self.waiting:
            entry = self.waiting.popleft()
            self.journal.append(entry)
            self.perform(self.engine.committed(entry.position))

    def chain(self) -> dict[tuple[str, int], bytes]:
        """(network, instant) -> digest of its last published state."""
        return {(p.state.network, p.state.valid_time_us): digest(p.state) for p in self.published}

    def x(self, network: str, second: float) -> list[float]:
        instant = T0 + round(second * SECOND)
        mine = [p for p in self.published if p.state.network == network and p.state.valid_time_us == instant]
        return [round(v, 9) for v in mine[-1].state.values["x"].tolist()]

    def state(self, network: str, second: float) -> NetworkState:
        instant = T0 + round(second * SECOND)
        return [p for p in self.published if p.state.network == network and p.state.valid_time_us == instant][-1].state


def driver(epoch: int = 1, watches: tuple[Watch, ...] = (), **changes: Any) -> Driver:
    return Driver(Engine(setup(epoch, watches=watches, **changes)))


def restored(entries: list[Entry], epoch: int, **changes: Any) -> Driver:
    """A twin started again on a journal."""
    again = driver(epoch, **changes)
    again.engine.restore(entries)
    again.journal = list(entries)
    again.engine.begin()
    again.perform(again.engine.resume())
    return again


def levels(acks: Iterable[tuple[str, Ack]], publisher: str = "scada") -> Mapping[AckLevel, int]:
    """The last batch that reached each level."""
    out: dict[AckLevel, int] = {}
    for name, ack in acks:
        if name == publisher:
            out[ack.level] = max(out.get(ack.level, 0), ack.through_batch_id)
    return out


def last_position(entries: list[Entry]) -> Position:
    return max(e.position for e in entries)


class SmallEstimator:
    """`twin.estimators.Estimator` around `estimate`."""

    model = SimpleNamespace(revision="model")
    columns: Mapping[str, tuple[str, str, str]] = {"x": ("point", "1", "a value")}

    def __init__(self, network: str, uids: tuple[int, ...]) -> None:
        self.network, self.uids = network, uids
        self.dims = {"point": tuple(map(str, uids))}
        self.broken_at: set[int] = set()

    def step(self, given: Given) -> NetworkState:
        if given.measured.valid_time_us in self.broken_at:
            raise ZeroDivisionError("a fault of ours")
        return estimate(self.network, self.uids, given)

    def fork(self, state: NetworkState) -> Any:
        raise NotImplementedError


def parts(stream_clock: bool = True, watches: tuple[Watch, ...] = (), **changes: Any) -> Parts:
    """The small twin's parts."""
    estimators: Any = {"power": SmallEstimator("power", POWER), "water": SmallEstimator("water", WATER)}
    return Parts(
        CATALOGUE, estimators, {"power": "power", "water": "water"}, NETWORKS, watches, 10 * SECOND, stream_clock, **changes
    )
