"""The engine: events in, effects out; no clock, no disk, no socket, one writer.

A state is a pure function of the model, the measurements in force at its instant, and the state of the instant before.
Instants lie on a fixed grid. A late row makes its instant dirty, and the chain is computed again from there to the live
edge; so every order of arrival within the lateness window ends in the same chain. What the engine wants done it returns
as effects; whoever runs it performs them in order and reports back with `committed` and `estimated`.

A state is published, and an event announced, once the journal holds it, and therefore everything it was made from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from grid_models.errors import Issue
from grid_models.measurements import Catalogue, Rows, TimeQuality
from grid_models.state import NetworkState, Position
from twin.chain import Chain, Link
from twin.effects import Announce, Append, Effect, Estimate, Publish, Tell
from twin.errors import NotFound, PreconditionFailed
from twin.intake import admit
from twin.journal import Entry, EntryKind
from twin.packing import packed, unpacked
from twin.port import Ack, AckLevel, Batch, Claim, EventKind, Opened, PublishedState, Snapshot, Transition, TwinEvent
from twin.watches import Finding, Watch
from twin.window import Seen, Window

_IN_FLIGHT = 64
_ROWS = 20_000


@dataclass(frozen=True)
class NetworkSetup:
    """How one network is kept.

    Args:
        name: of the network.
        cycle_us: distance of its instants.
        waits_for: networks whose states this one's estimator looks at.
    """

    name: str
    cycle_us: int
    waits_for: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setup:
    """Everything the engine is told once.

    Args:
        epoch: from the lease.
        catalogue: the signals.
        networks: in any order.
        lateness_us: how late a row may come and still change states.
        stream_clock: whether time is what the data say, instead of the wall's.
        keyframe_us: how often a whole state goes to the journal.
        watches: alarms, leaks.
    """

    epoch: int
    catalogue: Catalogue
    networks: tuple[NetworkSetup, ...]
    lateness_us: int
    stream_clock: bool
    keyframe_us: int = 900_000_000
    watches: tuple[Watch, ...] = ()


@dataclass(eq=False)
class _Sender:
    claim: Claim
    uids: NDArray[np.uint32]
    living: bool = True
    received: int = 0
    durable: int = 0
    interrogation: set[int] | None = None
    waiting: deque[tuple[int, dict[str, int]]] = field(default_factory=deque)


class Engine:
    """Keeps the chain of states of every network of one twin."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.now_us = 0
        self.position = Position(setup.epoch, 0)
        self.open_alarms: dict[str, TwinEvent] = {}
        self._window, self._seen = Window(setup.catalogue), Seen()
        self._chains = {n.name: Chain(n.name, n.cycle_us, n.waits_for) for n in setup.networks}
        self._uids = {
            n.name: np.array([s.uid for s in setup.catalogue.of(n.name)], dtype=np.uint32) for n in setup.networks
        }
        self._senders: dict[str, _Sender] = {}
        self._last_batch: dict[tuple[str, int], int] = {}
        self._after_commit: deque[tuple[Position, Callable[[], list[Effect]]]] = deque()
        self._events = 0
        self._told: set[tuple[str, str, int]] = set()
        self._watches = {w.name: w for w in setup.watches}
        for chain in self._chains.values():
            chain.late_memory = {w.name: w.empty() for w in setup.watches if w.late and w.network == chain.network}

    # Publishers

    def open(self, claim: Claim) -> tuple[Opened, list[Effect]]:
        """Admit a publisher.

        Raises:
            PreconditionFailed: the claim contradicts the catalogue, or a newer epoch of the publisher is there; every
                signal concerned is named.
        """
        catalogue = self.setup.catalogue
        if claim.catalogue_revision != catalogue.revision:
            raise PreconditionFailed(
                f"the claim was made against catalogue revision {claim.catalogue_revision}, "
                f"the twin is at {catalogue.revision}; read the catalogue again"
            )
        issues = _contradictions(claim, catalogue)
        if issues:
            raise PreconditionFailed("the claim contradicts the catalogue", issues)
        before = self._senders.get(claim.publisher)
        effects: list[Effect] = []
        if before is not None and before.living:
            if before.claim.epoch > claim.epoch:
                raise PreconditionFailed(f"publisher {claim.publisher} lives in epoch {before.claim.epoch} already")
            effects += self.close(claim.publisher)
        uids = np.array(sorted(s.uid for s in claim.signals), dtype=np.uint32)
        done = self._last_batch.get((claim.publisher, claim.epoch), 0)
        self._senders[claim.publisher] = _Sender(claim, uids, received=done, durable=done)
        opened = Opened(self.position, done, _IN_FLIGHT, _ROWS, self.setup.lateness_us / 1e6)
        return opened, effects

    def close(self, publisher: str) -> list[Effect]:
        """A stream has ended: what nobody else sends becomes NOT_TOPICAL."""
        sender = self._senders.get(publisher)
        if sender is None or not sender.living:
            return []
        sender.living = False
        others = [s for s in self._senders.values() if s.living]
        alone = (
            ~np.isin(sender.uids, np.concatenate([s.uids for s in others]))
            if others
            else np.ones(len(sender.uids), bool)
        )
        effects = self._orphaned(sender.uids[alone])
        for heir in others:
            shared = np.intersect1d(heir.uids, sender.uids)
            if len(shared) and heir.claim.priority < sender.claim.priority:
                notice = f"{publisher} has ended; {len(shared)} of its signals are now taken from this stream"
                ack = Ack(AckLevel.RECEIVED, heir.received, self.position, notice=notice)
                effects.append(Tell(heir.claim.publisher, ack))
        return effects

    def receive(self, publisher: str, batch: Batch, receive_us: int) -> list[Effect]:
        """Take a batch in.

        Raises:
            PreconditionFailed: the stream is not open.
        """
        sender = self._senders.get(publisher)
        if sender is None or not sender.living:
            raise PreconditionFailed(f"publisher {publisher} has no open stream; open it again")
        if batch.batch_id <= sender.received:
            level = AckLevel.DURABLE if batch.batch_id <= sender.durable else AckLevel.RECEIVED
            through = sender.durable if level is AckLevel.DURABLE else sender.received
            return [Tell(publisher, Ack(level, through, self.position, duplicate=len(batch.rows)))]
        if batch.snapshot is Snapshot.BEGIN:
            sender.interrogation = set()
        timed = batch.rows.time_quality == TimeQuality.SYNCED
        if self.setup.stream_clock and timed.any():
            self.now_us = max(self.now_us, int(batch.rows.source_time_us[timed].max()))
        admission = admit(
            batch.rows,
            self.setup.catalogue,
            sender.uids,
            self._seen,
            receive_us=receive_us,
            now_us=self.now_us,
            oldest_us=self.now_us - self.setup.lateness_us,
            outranked=self._outranked(sender),
            check_clock=not self.setup.stream_clock,
        )
        sender.received = batch.batch_id
        if sender.interrogation is not None:
            sender.interrogation.update(admission.history.signal.tolist())
        position = self._next()
        payload = packed(
            {"publisher": publisher, "epoch": sender.claim.epoch, "batch": batch.batch_id}
            | {"rows": admission.history, "late": len(admission.history) != len(admission.window)}
        )
        ahead = f"the clock of {publisher} is {admission.ahead / 1e6:.1f} s ahead" if admission.ahead else ""
        ack = Ack(
            AckLevel.RECEIVED,
            batch.batch_id,
            position,
            len(admission.history),
            admission.duplicate,
            admission.questionable,
            admission.errors,
            ahead,
        )
        effects: list[Effect] = [Append(Entry(position, EntryKind.ROWS, payload)), Tell(publisher, ack)]
        self._on_commit(position, lambda: self._durable(sender, replace(ack, level=AckLevel.DURABLE, errors=())))
        newest = self._latest_by_network(admission.window.signal, admission.window.source_time_us)
        sender.waiting.append((batch.batch_id, newest))
        self._window.insert(admission.window)
        effects += self._touched(admission.window.signal, _sample_time(admission.window))
        if batch.snapshot is Snapshot.END and sender.interrogation is not None:
            missing = np.array(sorted(set(sender.uids.tolist()) - sender.interrogation), dtype=np.uint32)
            sender.interrogation = None
            effects += self._orphaned(missing)
        return effects + self._schedule()

    # Time, disk, solvers

    def tick(self, now_us: int) -> list[Effect]:
        """The wall clock has moved on; a twin on the stream clock is not interested."""
        if self.setup.stream_clock:
            return []
        self.now_us = max(self.now_us, now_us)
        return self._schedule()

    def committed(self, position: Position) -> list[Effect]:
        """The journal holds everything through `position`."""
        effects: list[Effect] = []
        while self._after_commit and self._after_commit[0][0] <= position:
            effects += self._after_commit.popleft()[1]()
        return effects

    def estimated(self, network: str, state: NetworkState) -> list[Effect]:
        """A state has been computed."""
        chain, instant = self._chains[network], state.valid_time_us
        chain.busy_us = None
        if chain.outdated:
            chain.outdated = False
            return self._schedule()
        again = instant <= chain.ever_us
        position = self._next()
        published = PublishedState(position, self.now_us, state, correction=again)
        memory, findings = self._watch(chain, state, again)
        chain.links[instant] = Link(published, memory)
        chain.ever_us = max(chain.ever_us, instant)
        chain.todo_us = instant + chain.cycle_us
        body = {"network": network, "instant": instant, "digest": digest(state), "correction": again}
        effects: list[Effect] = [Append(Entry(position, EntryKind.STATE, packed(body)))]
        self._on_commit(position, lambda: self._publish(chain, published))
        effects += self._tell(findings, published)
        return effects + self._seal(chain) + self._schedule()

    def acknowledge(self, alarm_id: str, author: str, comment: str) -> tuple[TwinEvent, list[Effect]]:
        """An operator has seen an alarm.

        Raises:
            NotFound: no such alarm is open.
        """
        event = self.open_alarms.get(alarm_id)
        if event is None:
            raise NotFound(f"no open alarm {alarm_id}; open are {', '.join(self.open_alarms) or 'none'}")
        said = replace(event, transition=Transition.ACKNOWLEDGED, message=f"acknowledged by {author}: {comment}")
        said, effects = self._event(said)
        return said, effects

    # Recovery

    def restore(self, entries: Iterable[Entry]) -> None:
        """Take up where an earlier epoch ended: measurements, newest key frames, open alarms, batch numbers."""
        for entry in entries:
            match entry.kind:
                case EntryKind.ROWS:
                    body = unpacked(entry.payload)
                    self._last_batch[body["publisher"], body["epoch"]] = body["batch"]
                    self._replay_rows(body["rows"])
                case EntryKind.TOPICAL:
                    body = unpacked(entry.payload)
                    self._window.mark(np.asarray(body["signals"]), body["time"])
                case EntryKind.KEYFRAME:
                    self._restore_keyframe(unpacked(entry.payload), entry.position)
                case EntryKind.EVENT:
                    self._restore_event(unpacked(entry.payload))
                case EntryKind.STATE:
                    body = unpacked(entry.payload)
                    chain = self._chains.get(body["network"])
                    if chain is not None:
                        chain.published_us = max(chain.published_us, body["instant"])
        for chain in self._chains.values():
            self._begin_after_restore(chain)

    def _replay_rows(self, rows: Rows) -> None:
        if not len(rows):
            return
        synced = rows.time_quality == TimeQuality.SYNCED
        if self.setup.stream_clock and synced.any():
            self.now_us = max(self.now_us, int(rows.source_time_us[synced].max()))
        late = _sample_time(rows) < self.now_us - self.setup.lateness_us
        self._seen.judge(rows, late)
        self._window.insert(rows.take(~late))
        for chain in self._chains.values():
            mine = np.isin(rows.signal, self._uids[chain.network]) & ~late
            if mine.any():
                chain.touch(int(_sample_time(rows)[mine].min()))

    def _restore_keyframe(self, body: Mapping[str, object], position: Position) -> None:
        state = body["state"]
        assert isinstance(state, NetworkState)
        chain = self._chains.get(state.network)
        if chain is None:
            return
        published = PublishedState(position, state.valid_time_us, state)
        memory, late = body["memory"], body["late_memory"]
        assert isinstance(memory, dict)
        assert isinstance(late, dict)
        chain.links = {state.valid_time_us: Link(published, memory)}
        chain.late_memory = {**chain.late_memory, **late}
        chain.sealed_us = state.valid_time_us

    def _begin_after_restore(self, chain: Chain) -> None:
        if chain.sealed_us is not None:
            chain.todo_us = chain.sealed_us + chain.cycle_us
            chain.ever_us = chain.sealed_us
        self._forget()

    def _restore_event(self, event: object) -> None:
        assert isinstance(event, TwinEvent)
        self._events = max(self._events, event.sequence)
        self._told.add((event.alarm_id.rsplit("#", 1)[0], event.transition.name, event.valid_time_us))
        self._note(event)

    def begin(self) -> Position:
        """The position of the entry that opens this epoch."""
        return self._next()

    def resume(self) -> list[Effect]:
        """What there is to compute after `restore`."""
        return self._schedule()

    def readmit(self, rows: Rows) -> list[Effect]:
        """Take rows that the journal holds, as they were taken when they came."""
        self._replay_rows(rows)
        return self._schedule()

    def reorphan(self, uids: NDArray[np.uint32], time_us: int) -> list[Effect]:
        """Repeat that a publisher's signals became NOT_TOPICAL."""
        self._window.mark(uids, time_us)
        return self._touched(uids, np.full(len(uids), time_us + 1)) + self._schedule()

    # Inside

    def _next(self) -> Position:
        self.position = Position(self.position.epoch, self.position.revision + 1)
        return self.position

    def _on_commit(self, position: Position, action: Callable[[], list[Effect]]) -> None:
        self._after_commit.append((position, action))

    def _durable(self, sender: _Sender, ack: Ack) -> list[Effect]:
        sender.durable = max(sender.durable, ack.through_batch_id)
        self._last_batch[sender.claim.publisher, sender.claim.epoch] = sender.durable
        return [Tell(sender.claim.publisher, ack)]

    def _publish(self, chain: Chain, published: PublishedState) -> list[Effect]:
        chain.published_us = max(chain.published_us, published.state.valid_time_us)
        effects: list[Effect] = [Publish(published)]
        for sender in self._senders.values():
            through = 0
            while sender.waiting and all(
                self._chains[n].published_us >= self._chains[n].grid_at_or_after(t)
                for n, t in sender.waiting[0][1].items()
            ):
                through = sender.waiting.popleft()[0]
            if through and sender.living:
                effects.append(Tell(sender.claim.publisher, Ack(AckLevel.ESTIMATED, through, published.position)))
        return effects

    def _outranked(self, sender: _Sender) -> NDArray[np.uint32]:
        """(j,) uids of this stream that a living one of higher priority sends, ascending."""
        higher = [
            np.intersect1d(sender.uids, s.uids)
            for s in self._senders.values()
            if s.living and s is not sender and s.claim.priority > sender.claim.priority
        ]
        return np.unique(np.concatenate(higher)) if higher else np.zeros(0, dtype=np.uint32)

    def _orphaned(self, uids: NDArray[np.uint32]) -> list[Effect]:
        if not len(uids):
            return []
        position = self._next()
        self._window.mark(uids, self.now_us)
        payload = packed({"signals": uids, "time": self.now_us})
        effects: list[Effect] = [Append(Entry(position, EntryKind.TOPICAL, payload))]
        return effects + self._touched(uids, np.full(len(uids), self.now_us + 1))

    def _latest_by_network(self, uids: NDArray[np.uint32], times: NDArray[np.int64]) -> dict[str, int]:
        return {
            name: int(times[mine].max())
            for name, mine in ((c, np.isin(uids, self._uids[c])) for c in self._chains)
            if mine.any()
        }

    def _touched(self, uids: NDArray[np.uint32], times: NDArray[np.int64]) -> list[Effect]:
        """Mark what is dirty; a correction of published states is announced."""
        effects: list[Effect] = []
        for chain in self._chains.values():
            mine = np.isin(uids, self._uids[chain.network])
            if not mine.any():
                continue
            dirty = chain.touch(int(times[mine].min()))
            if dirty is None or dirty > chain.ever_us:
                continue
            dependents = [c for c in self._chains.values() if chain.network in c.waits_for]
            for other in dependents:
                other.touch(dirty)
            count = (chain.ever_us - dirty) // chain.cycle_us + 1
            message = f"{chain.network}: a late measurement changes {count} states; they are computed again"
            event = TwinEvent(
                0, self.position, dirty, self.now_us, EventKind.CORRECTION, Transition.RAISED, "", "CORRECTION",
                chain.network, (), message,
            )  # fmt: skip
            effects += self._event(event)[1]
        return effects

    def _schedule(self) -> list[Effect]:
        """Start every network's next due instant whose inputs are there."""
        effects: list[Effect] = []
        for chain in self._chains.values():
            instant = chain.todo_us
            if chain.busy_us is not None or instant is None or instant > self.now_us:
                continue
            sources = [self._chains[name] for name in chain.waits_for]
            if any(s.todo_us is not None and s.todo_us <= instant for s in sources):
                continue
            coupled = {s.network: p.state for s in sources if (p := s.newest(instant)) is not None}
            before = chain.links.get(instant - chain.cycle_us)
            chain.busy_us = instant
            measured = self._window.in_force(instant, chain.network)
            effects.append(Estimate(chain.network, measured, before.published.state if before else None, coupled))
        return effects

    def _coupled(self, chain: Chain, instant: int) -> dict[str, NetworkState]:
        return {
            c.network: p.state for c in self._chains.values() if c is not chain and (p := c.newest(instant)) is not None
        }

    def _watch(self, chain: Chain, state: NetworkState, again: bool) -> tuple[dict[str, object], list[Finding]]:
        """Let the live watches look; on a correction they only remember."""
        before = chain.links.get(state.valid_time_us - chain.cycle_us)
        memory: dict[str, object] = {}
        told: list[Finding] = []
        for watch in self.setup.watches:
            if watch.network != chain.network or watch.late:
                continue
            known = before.memory.get(watch.name) if before is not None else None
            known = watch.empty() if known is None else known
            memory[watch.name], findings = watch.step(known, state, self._coupled(chain, state.valid_time_us))
            told += [] if again else findings
        return memory, told

    def _seal(self, chain: Chain) -> list[Effect]:
        """Hand the late watches every instant that no measurement can change any more."""
        effects: list[Effect] = []
        horizon = self.now_us - self.setup.lateness_us
        while True:
            instant = min(chain.links) if chain.sealed_us is None else chain.sealed_us + chain.cycle_us
            dirty = chain.todo_us is not None and chain.todo_us <= instant
            if instant > horizon or dirty or instant not in chain.links:
                break
            link = chain.links[instant]
            for name in chain.late_memory:
                memory, findings = self._watches[name].step(
                    chain.late_memory[name], link.published.state, self._coupled(chain, instant)
                )
                chain.late_memory[name] = memory
                effects += self._tell(findings, link.published)
            if instant % self.setup.keyframe_us == 0:
                body = {"state": link.published.state, "memory": link.memory, "late_memory": dict(chain.late_memory)}
                effects.append(Append(Entry(self._next(), EntryKind.KEYFRAME, packed(body))))
            chain.links.pop(instant - chain.cycle_us, None)
            chain.sealed_us = instant
        self._forget()
        return effects

    def _forget(self) -> None:
        sealed = [c.sealed_us for c in self._chains.values() if c.todo_us is not None]
        if sealed and all(s is not None for s in sealed):
            before = min(s for s in sealed if s is not None)
            self._window.forget(before)
            self._seen.forget(before - self.setup.lateness_us)

    def _tell(self, findings: Sequence[Finding], published: PublishedState) -> list[Effect]:
        effects: list[Effect] = []
        for finding in findings:
            instant = published.state.valid_time_us
            if (finding.key, finding.transition.name, instant) in self._told:
                continue  # said before the restart
            alarm_id = self._alarm_id(finding)
            cause = (
                next((a for a in self.open_alarms if a.rsplit("#", 1)[0] == finding.cause), "") if finding.cause else ""
            )
            event = TwinEvent(
                0, published.position, instant, self.now_us, finding.kind, finding.transition, alarm_id, finding.code,
                published.state.network, finding.elements, finding.message, cause, finding.candidates, finding.figures,
            )  # fmt: skip
            effects += self._event(event)[1]
        return effects

    def _alarm_id(self, finding: Finding) -> str:
        """The open alarm of this key, or a new number for it."""
        mine = [a for a in self.open_alarms if a.rsplit("#", 1)[0] == finding.key]
        return mine[0] if mine else f"{finding.key}#{self._events + 1}"

    def _event(self, event: TwinEvent) -> tuple[TwinEvent, list[Effect]]:
        self._events += 1
        position = self._next()
        numbered = replace(event, sequence=self._events)
        self._note(numbered)
        self._on_commit(position, lambda: [Announce(numbered)])
        return numbered, [Append(Entry(position, EntryKind.EVENT, packed(numbered)))]

    def _note(self, event: TwinEvent) -> None:
        if not event.alarm_id:
            return
        if event.transition is Transition.CLEARED:
            self.open_alarms.pop(event.alarm_id, None)
        else:
            self.open_alarms[event.alarm_id] = event


def digest(state: NetworkState) -> bytes:
    """Hash of all that subscribers see of a state; equal bits, equal digest."""
    seen = replace(state, memory={})
    return sha256(packed(seen)).digest()


def _sample_time(rows: Rows) -> NDArray[np.int64]:
    return np.where(rows.time_quality == TimeQuality.NONE, rows.receive_time_us, rows.source_time_us)


def _contradictions(claim: Claim, catalogue: Catalogue) -> list[Issue]:
    known = {s.uid: s for s in catalogue.signals}
    issues = []
    for claimed in claim.signals:
        signal = known.get(claimed.uid)
        if signal is None:
            issues.append(Issue("signal", "", (claimed.uid,), "is not in the catalogue"))
        elif claimed.unit != signal.unit:
            issues.append(Issue("signal", "unit", (signal.name,), f"is {signal.unit}, the claim says {claimed.unit}"))
        elif claimed.sign != signal.sign:
            issues.append(
                Issue("signal", "sign", (signal.name,), f"is {signal.sign:+d}, the claim says {claimed.sign:+d}")
            )
    return issues
