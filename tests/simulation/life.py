"""A twin of real estimators and watches that lives through batches of rows: its engine's effects are performed at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from grid_models.measurements import Rows
from grid_models.state import NetworkState
from twin.assembly import Parts
from twin.effects import Announce, Append, Effect, Estimate, Learn, Publish
from twin.engine import Engine
from twin.field_report import FieldReport
from twin.journal import Entry
from twin.port import AckLevel, Batch, Claim, ClaimedSignal, EventKind, TwinEvent
from twin.replay import estimated
from twin.watching import looked


@dataclass
class Life:
    """What came of it: `states` as they were published, `looks` of the late watches."""

    parts: Parts
    journal: list[Entry] = field(default_factory=list)
    states: list[NetworkState] = field(default_factory=list)
    events: list[TwinEvent] = field(default_factory=list)
    looks: list[Learn] = field(default_factory=list)
    engine: Engine | None = None
    sent: int = 0  # batches since the stream was opened

    def open(self, epoch: int = 1, before: list[Entry] | None = None) -> Life:
        """Open the one stream, after a journal where there is one."""
        engine = self.engine = self.engine or Engine(self.parts.setup(epoch))
        if before is not None:
            engine.restore(before, {name: e.model.revision for name, e in self.parts.estimators.items()})
            engine.begin()
            self._perform(engine, engine.resume() + engine.over())
        catalogue, self.sent = self.parts.catalogue, 0
        claimed = tuple(ClaimedSignal(s.uid, s.unit, 1) for s in catalogue.signals)
        claim = Claim("scada", epoch, 0, catalogue.revision, claimed, AckLevel.DURABLE)
        self._perform(engine, engine.open(claim)[1])
        return self

    def send(self, rows: Rows) -> None:
        """The next batch."""
        assert self.engine is not None
        self.sent += 1
        self._perform(self.engine, self.engine.receive("scada", [Batch(self.sent, rows)], 1))

    def hear(self, draft: FieldReport) -> None:
        """A report from the field."""
        assert self.engine is not None
        self._perform(self.engine, self.engine.report(draft)[1])

    def through(self, batches: Iterable[Rows], epoch: int = 1, before: list[Entry] | None = None) -> Life:
        """Open the stream and send all."""
        self.open(epoch, before)
        for rows in batches:
            self.send(rows)
        return self

    def rebound(self, parts: Parts) -> Life:
        """Go on with another point list."""
        assert self.engine is not None
        self._perform(self.engine, self.engine.conclude())
        effects, self.parts = self.engine.rebind(parts.setup(1)), parts
        self._perform(self.engine, effects)
        return self

    def _perform(self, engine: Engine, effects: list[Effect]) -> None:
        waiting = list(effects)
        while waiting:
            match waiting.pop(0):
                case Append(entry):
                    self.journal.append(entry)
                    waiting += engine.committed(entry.position)
                case Publish(published):
                    self.states.append(published.state)
                case Announce(event):
                    self.events.append(event)
                case Estimate() as request:
                    waiting += engine.estimated(request.network, estimated(self.parts, request))
                case Learn() as request:
                    self.looks.append(request)
                    waiting += engine.learned(request.network, looked(self.parts.live_watches, request))

    @property
    def final(self) -> dict[int, NetworkState]:
        """Instant -> what was published of it last."""
        return {s.valid_time_us: s for s in self.states}

    @property
    def leaks(self) -> list[TwinEvent]:
        """What was told of leaks."""
        return [e for e in self.events if e.kind is EventKind.LEAK]
