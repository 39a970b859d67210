"""The engine: events in, effects out; no clock, no disk, no socket, one writer.

A state is a pure function of the model, the measurements in force at its instant, the state of the instant before, and
what the late watches had found in states older than the lateness window.
Instants lie on a fixed grid. A late row makes its instant dirty, and the chain is computed again from there to the live
edge; so every order of arrival within the lateness window ends in the same chain. What the engine wants done it returns
as effects; whoever runs it performs them in order and reports back with `committed` and `estimated`.

A state is published, and an event announced, once the journal holds it, and therefore everything it was made from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from grid_models.measurements import Flag, Rows, TimeQuality
from grid_models.state import NetworkState, Position
from twin.chain import Chain, Link, digest
from twin.chains import Chains
from twin.checkpoint import Checkpoint, Mark
from twin.effects import Announce, Append, Effect, Estimate, Publish, Tell
from twin.errors import NotFound, PreconditionFailed
from twin.intake import AHEAD_US, admit
from twin.journal import Entry, EntryKind
from twin.manual import ManualBook
from twin.packing import packed, unpacked
from twin.plausibility import Plausibility
from twin.port import (
    Ack,
    AckLevel,
    Batch,
    Claim,
    EventKind,
    ManualEntry,
    Opened,
    PublishedState,
    Snapshot,
    Transition,
    TwinEvent,
)
from twin.samples import sample_time
from twin.senders import Sender, Waiting, alone, check_claim, newest_epochs, rank, rivals
from twin.setup import Setup
from twin.telling import Telling
from twin.together import received, runs
from twin.watches import Finding
from twin.window import Window

_IN_FLIGHT = 64
_SETTLE_US = 200_000
_FORGET_US = 10_000_000  # forgetting costs a walk over the window
_ROWS = 20_000
_CLOCK_RIGHT_US = 60_000_000  # a clock is right again when nothing was ahead for so long


class Engine:
    """Keeps the chain of states of every network of one twin."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.now_us = 0
        self.position = Position(setup.epoch, 0)
        self._window = Window(setup.catalogue)
        chains = [Chain(n.name, n.cycle_us, n.waits_for, setup.lateness_us) for n in setup.networks]
        self._chains = Chains(chains, setup.catalogue)
        self._senders: dict[str, Sender] = {}
        self._last_batch: dict[tuple[str, int], int] = {}
        self._after_commit: deque[tuple[Position, Callable[[], list[Effect]]]] = deque()
        self._telling, self._manual = Telling(), ManualBook(setup.catalogue)
        self._plausibility = Plausibility(setup.catalogue)
        self._forgotten_us = 0
        self._lived = False
        self._heard_us = 0  # newest receipt of a row
        self._checked: int | None = None  # number of the stretch of time whose checkpoint has been taken
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
        check_claim(claim, self.setup.catalogue)
        before = self._senders.get(claim.publisher)
        effects: list[Effect] = []
        if before is not None and before.living:
            if before.claim.epoch > claim.epoch:
                raise PreconditionFailed(f"publisher {claim.publisher} lives in epoch {before.claim.epoch} already")
            effects += self.close(claim.publisher)
        uids = np.array(sorted(s.uid for s in claim.signals), dtype=np.uint32)
        done = self._last_batch.get((claim.publisher, claim.epoch), 0)
        claimed = np.append(np.isin(self.setup.catalogue.uid, uids), False)  # the last one for rows of no signal
        self._senders[claim.publisher] = Sender(claim, uids, claimed, np.zeros_like(claimed), received=done, durable=done)
        rank(list(self._senders.values()))
        opened = Opened(self.position, done, _IN_FLIGHT, _ROWS, self.setup.lateness_us / 1e6)
        return opened, effects

    def close(self, publisher: str) -> list[Effect]:
        """A stream has ended: what nobody else sends becomes NOT_TOPICAL."""
        sender = self._senders.get(publisher)
        if sender is None or not sender.living:
            return []
        sender.living = False
        everyone = list(self._senders.values())
        rank(everyone)
        effects = self._orphaned(alone(sender, everyone))
        for heir in rivals(sender, everyone):
            shared = np.intersect1d(heir.uids, sender.uids)
            if len(shared) and heir.claim.priority < sender.claim.priority:
                notice = f"{publisher} has ended; {len(shared)} of its signals are now taken from this stream"
                ack = Ack(AckLevel.RECEIVED, heir.received, self.position, notice=notice)
                effects.append(Tell(heir.claim.publisher, ack))
        return effects

    def receive(self, publisher: str, batches: Sequence[Batch], receive_us: int) -> list[Effect]:
        """Take in batches that wait together; they go through the door, and into the journal, at once.

        Raises:
            PreconditionFailed: the stream is not open, or batches before these are missing.
        """
        sender = self._senders.get(publisher)
        if sender is None or not sender.living:
            raise PreconditionFailed(f"publisher {publisher} has no open stream; open it again")
        before = sender.received
        for batch in batches:
            if batch.batch_id > before + 1:
                raise PreconditionFailed(f"batch {batch.batch_id} came after {before}; batch ids are consecutive")
            before = max(before, batch.batch_id)
        effects: list[Effect] = []
        # Where the data are the clock, each batch moves it on, and what is too late depends on the batches before.
        for run in ([b] for b in batches) if self.setup.stream_clock else runs(batches):
            known = sum(batch.batch_id <= sender.received for batch in run)
            effects += [Tell(publisher, self._again(sender, batch)) for batch in run[:known]]
            effects += self._admit(sender, run[known:], receive_us) if run[known:] else []
        return effects + self._schedule()

    def _again(self, sender: Sender, batch: Batch) -> Ack:
        level = AckLevel.DURABLE if batch.batch_id <= sender.durable else AckLevel.RECEIVED
        through = sender.durable if level is AckLevel.DURABLE else sender.received
        return Ack(level, through, self.position, duplicate=len(batch.rows))

    def _admit(self, sender: Sender, run: Sequence[Batch], receive_us: int) -> list[Effect]:
        """Take consecutive batches in; only one alone may begin or end a snapshot."""
        publisher, last, snapshot = sender.claim.publisher, run[-1].batch_id, run[0].snapshot
        rows = run[0].rows if len(run) == 1 else Rows.concatenate(b.rows for b in run)
        if snapshot is Snapshot.BEGIN:
            sender.interrogation = set()
        self._hear(rows, sender.claimed, receive_us)
        oldest_us = self.now_us - self.setup.lateness_us
        admission = admit(
            rows,
            self.setup.catalogue,
            sender.claimed,
            self._window,
            receive_us=receive_us,
            now_us=self.now_us,
            oldest_us=oldest_us,
            outranked=sender.outranked,
            check_clock=not self.setup.stream_clock,
        )
        self._heard_us = max(self._heard_us, int(admission.history.receive_time_us.max(initial=0)))
        sender.received = last
        if sender.interrogation is not None:
            sender.interrogation.update(admission.refreshed.tolist())
        position = self._next()
        payload = packed(
            {"publisher": publisher, "epoch": sender.claim.epoch, "batch": last}
            | {"rows": admission.history, "now": self.now_us, "oldest": oldest_us}
        )
        ahead = (admission.lead or 0) > AHEAD_US
        notice = f"the clock of {publisher} is {(admission.lead or 0) / 1e6:.1f} s ahead" if ahead else ""
        effects: list[Effect] = [Append(Entry(position, EntryKind.ROWS, payload))]
        heard = received(run, admission, position, notice)
        effects.append(Tell(publisher, heard))
        durable = replace(heard, level=AckLevel.DURABLE, errors=(), unlisted=0)
        self._on_commit(position, lambda: self._durable(sender, durable))
        times = sample_time(admission.window)
        # No state covers a row of the far future; it is not waited for.
        soon = times <= self.now_us + AHEAD_US
        sender.waiting.append(Waiting(last, position, self._chains.instants(admission.window.signal[soon], times[soon])))
        self._chains.touch(admission.window.signal, times)
        if snapshot is Snapshot.END and sender.interrogation is not None:
            effects += self._interrogated(sender, sender.interrogation)
            sender.interrogation = None
        return effects + self._judge_values(admission.window) + self._judge_clock(sender, admission.lead)

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

    def estimated(self, network: str, state: NetworkState, seen: bytes | None = None) -> list[Effect]:
        """A state has been computed; `seen` is its digest, where the runner has computed that, too."""
        chain, instant = self._chains[network], state.valid_time_us
        chain.busy_us = None
        seen = digest(state) if seen is None else seen
        known = chain.said.pop(instant, None) == seen  # it was published before the restart, bit for bit
        correction = instant <= chain.ever_us and not known
        effects: list[Effect] = []
        # Of states that were published already, the newest is published again: somebody may wait for the first.
        silent = known and instant < chain.ever_us
        position = self.position if silent else self._next()
        published = PublishedState(position, self.now_us, state, correction)
        memory, findings = self._watch(chain, state)
        chain.links[instant] = Link(published, memory, seen)
        chain.ever_us = max(chain.ever_us, instant)
        chain.todo_us = instant + chain.cycle_us
        if not silent:
            body = {"network": network, "instant": instant, "digest": seen, "correction": correction, "now": self.now_us}
            effects.append(Append(Entry(position, EntryKind.STATE, packed(body))))
            final = chain.is_final(instant)
            self._on_commit(position, lambda: self._publish(published, final))
        effects += self._tell(findings, published)
        return effects + self._seal(chain) + self._schedule()

    def failed(self, network: str) -> list[Effect]:
        """The instant being computed gave no state at all: leave it out, the next one starts anew."""
        chain = self._chains[network]
        assert chain.busy_us is not None
        chain.todo_us = chain.busy_us + chain.cycle_us
        chain.busy_us = None
        return self._schedule()

    def acknowledge(self, alarm_id: str, author: str, comment: str) -> tuple[TwinEvent, list[Effect]]:
        """An operator has seen an alarm.

        Raises:
            NotFound: no such alarm is open.
        """
        event = self._telling.open_alarms.get(alarm_id)
        if event is None:
            raise NotFound(f"no open alarm {alarm_id}; open are {', '.join(self._telling.open_alarms) or 'none'}")
        said = replace(event, transition=Transition.ACKNOWLEDGED, message=f"acknowledged by {author}: {comment}")
        said, effects = self._event(said)
        return said, effects

    # What people say

    def check_manual(self, draft: ManualEntry) -> ManualEntry:
        """The entry that a draft would become; raises as `enter`."""
        return self._manual.checked(draft, self.now_us, self.now_us - self.setup.lateness_us)

    def enter(self, draft: ManualEntry) -> tuple[ManualEntry, list[Effect]]:
        """Take an entry by hand.

        Raises:
            BadRequest: an impossible value, or times the wrong way round.
            NotFound: no such signal.
            TooOld: it starts before the lateness window.
            Exhausted: there are too many.
        """
        if (before := self._manual.same(draft, self.now_us)) is not None:
            return before, []
        entry, position = self.check_manual(draft), self._next()
        entry = replace(entry, entry_id=f"{position.epoch}-{position.revision}")
        message = f"{self._manual.name_of(entry)} set to {entry.value:g} by {entry.author}: {entry.reason}"
        return entry, self._noted(position, entry, entry.created_us, Transition.RAISED, message)

    def withdraw(self, entry_id: str, author: str, reason: str, made_us: int) -> tuple[ManualEntry, list[Effect]]:
        """End an entry by hand, at `made_us` on the wall clock.

        Raises:
            NotFound: no such entry is in force or to come.
        """
        entry = self._manual.withdrawn(entry_id, self.now_us)
        message = f"{self._manual.name_of(entry)} withdrawn by {author}: {reason}"
        return entry, self._noted(self._next(), entry, made_us, Transition.CLEARED, message)

    def manual_entries(self) -> list[ManualEntry]:
        """Entries in force or to come."""
        return self._manual.standing(self.now_us)

    def reenter(self, entry: ManualEntry, now_us: int) -> list[Effect]:
        """Repeat an entry by hand, or its end."""
        self.now_us = max(self.now_us, now_us)
        self._overlay(entry)
        return self._schedule()

    def _noted(
        self, position: Position, entry: ManualEntry, made_us: int, transition: Transition, message: str
    ) -> list[Effect]:
        self._overlay(entry)
        self._heard_us = max(self._heard_us, made_us)
        append = Append(Entry(position, EntryKind.MANUAL, packed({"entry": entry, "now": self.now_us, "made": made_us})))
        return [append, *self._said(entry, transition, message), *self._schedule()]

    def _overlay(self, entry: ManualEntry) -> None:
        since = self._manual.take(entry)
        for chain in self._chains.values():
            if chain.network == self._manual.network_of(entry):
                chain.retouch(since)

    def _said(self, entry: ManualEntry, transition: Transition, message: str) -> list[Effect]:
        alarm = self._telling.alarm_id(f"MANUAL_ENTRY/{entry.entry_id}")
        event = TwinEvent(
            0, self.position, max(entry.start_us, self.now_us), self.now_us, EventKind.MANUAL, transition, alarm,
            "MANUAL_ENTRY", self._manual.network_of(entry), (self._manual.name_of(entry),), message,
            figures={"value": entry.value},
        )  # fmt: skip
        return self._event(event)[1]

    def _expired(self) -> list[Effect]:
        """Tell of entries whose time is over."""
        over = [e for e in self._manual.ended(self.now_us) if self._telling.standing(f"MANUAL_ENTRY/{e.entry_id}")]
        return [x for e in over for x in self._said(e, Transition.CLEARED, f"{self._manual.name_of(e)}: the entry has expired")]

    # Recovery

    def restore(self, entries: Iterable[Entry], models: Mapping[str, str] | None = None) -> None:
        """Take up where an earlier epoch ended: measurements, states, open alarms, batch numbers.

        Args:
            entries: of the journal, from a checkpoint or from its beginning on.
            models: network -> revision of its model; a state of another revision tells where to begin, and no more.
        """
        for entry in entries:
            self._lived = True
            match entry.kind:
                case EntryKind.ROWS:
                    body = unpacked(entry.payload)
                    self._last_batch[body["publisher"], body["epoch"]] = body["batch"]
                    self._take(body["rows"], body["now"], body["oldest"])
                case EntryKind.TOPICAL:
                    body = unpacked(entry.payload)
                    self._mark(body["signals"], body["time"], body["topical"])
                case EntryKind.MANUAL:
                    body = unpacked(entry.payload)
                    self.now_us = max(self.now_us, body["now"])
                    self._overlay(body["entry"])
                case EntryKind.CHECKPOINT:
                    self.recall(unpacked(entry.payload), models)
                case EntryKind.EVENT:
                    self._telling.restored(unpacked(entry.payload))
                case EntryKind.STATE:
                    body = unpacked(entry.payload)
                    self.now_us = max(self.now_us, body["now"])
                    if body["network"] in self._chains:
                        self._chains[body["network"]].published(body["instant"], bytes(body["digest"]))
        for chain in self._chains.values():
            chain.straighten()
        self._plausibility.recall(self._telling.open_alarms.values())

    def recall(self, checkpoint: Checkpoint, models: Mapping[str, str] | None = None) -> None:
        """Forget everything and go on from a checkpoint."""
        self.now_us, self._heard_us = checkpoint.now_us, checkpoint.mark.heard_us
        self._last_batch = dict(checkpoint.batches)
        self._window.recall(checkpoint.window)
        self._telling.recall(checkpoint.telling)
        self._manual.recall(checkpoint.manual)
        self._chains.recall(checkpoint.chains, models or {})
        self._forgotten_us = min(c.sealed_us or c.first_us for c in checkpoint.chains.values())
        self._checked = self._forgotten_us // self.setup.keyframe_us

    def lived_until(self, network: str) -> int:
        """The newest instant ever computed, before a restart too; -1 where there is none."""
        return self._chains[network].ever_us

    def begin(self) -> Position:
        """The position of the entry that opens this epoch."""
        return self._next()

    def resume(self) -> list[Effect]:
        """What there is to do after `restore`: every stream ended with the process that held it."""
        effects = self._orphaned(self.setup.catalogue.uid) if self._lived else []
        return effects + self._schedule()

    def readmit(self, rows: Rows, now_us: int, oldest_us: int) -> list[Effect]:
        """Take rows that the journal holds, as they were taken when they came."""
        self._take(rows, now_us, oldest_us)
        return self._schedule()

    def reorphan(self, uids: NDArray[np.uint32], time_us: int, *, topical: bool) -> list[Effect]:
        """Repeat that signals became NOT_TOPICAL, or topical again."""
        self.now_us = max(self.now_us, time_us - 1)
        self._mark(uids, time_us, topical)
        return self._schedule()

    def advance(self, now_us: int) -> list[Effect]:
        """Time has come this far, by the journal."""
        self.now_us = max(self.now_us, now_us)
        return self._schedule()

    # Inside

    def _next(self) -> Position:
        self.position = Position(self.position.epoch, self.position.revision + 1)
        return self.position

    def _on_commit(self, position: Position, action: Callable[[], list[Effect]]) -> None:
        self._after_commit.append((position, action))

    def _durable(self, sender: Sender, ack: Ack) -> list[Effect]:
        sender.durable = max(sender.durable, ack.through_batch_id)
        self._last_batch[sender.claim.publisher, sender.claim.epoch] = sender.durable
        return [Tell(sender.claim.publisher, ack)]

    def _hear(self, rows: Rows, claimed: NDArray[np.bool_], receive_us: int) -> None:
        """Let time move on with a batch."""
        if not self.setup.stream_clock:
            self.now_us = max(self.now_us, receive_us)
            return
        at = self.setup.catalogue.find(rows.signal)
        heard = (rows.time_quality == TimeQuality.SYNCED) & claimed[at] & np.isfinite(rows.value)
        if heard.any():
            self.now_us = max(self.now_us, int(rows.source_time_us[heard].max()))

    def _take(self, rows: Rows, now_us: int, oldest_us: int) -> None:
        """Take rows from the journal."""
        self.now_us = max(self.now_us, now_us)
        self._heard_us = max(self._heard_us, int(rows.receive_time_us.max(initial=0)))
        late = sample_time(rows) < oldest_us
        self._window.enter(rows, late)
        window = rows.take(~late & ((rows.flags & int(Flag.TEST)) == 0))
        self._chains.touch(window.signal, sample_time(window))

    def _judge_values(self, rows: Rows) -> list[Effect]:
        """Alarms on values outside their plausible range; said once, when they come, not again when states are."""
        effects: list[Effect] = []
        for finding in self._plausibility.judge(rows):
            network = finding.key.partition("/")[2]
            event = TwinEvent(
                0, self.position, self.now_us, self.now_us, finding.kind, finding.transition,
                self._telling.alarm_id(finding.key), finding.code, network, finding.elements, finding.message,
                figures=finding.figures,
            )  # fmt: skip
            effects += self._event(event)[1]
        return effects

    def _judge_clock(self, sender: Sender, lead_us: int | None) -> list[Effect]:
        """One alarm for each publisher whose clock is ahead; it ends when nothing has been ahead for a while."""
        if lead_us is None:
            return []
        publisher = sender.claim.publisher
        key = f"CLOCK_AHEAD/{publisher}"
        stands, ahead = bool(self._telling.standing(key)), lead_us > AHEAD_US
        if ahead:
            sender.ahead_us = self.now_us
        if ahead == stands or (stands and self.now_us - sender.ahead_us < _CLOCK_RIGHT_US):
            return []
        transition = Transition.RAISED if ahead else Transition.CLEARED
        message = (
            f"the clock of {publisher} is {lead_us / 1e6:.1f} s ahead" if ahead else f"the clock of {publisher} is right again"
        )
        event = TwinEvent(
            0, self.position, self.now_us, self.now_us, EventKind.ALARM, transition, self._telling.alarm_id(key),
            "CLOCK_AHEAD", "", (publisher,), message, figures={"ahead_s": lead_us / 1e6},
        )  # fmt: skip
        return self._event(event)[1]

    def _publish(self, published: PublishedState, final: bool) -> list[Effect]:
        effects: list[Effect] = [Publish(published)]
        state = published.state
        for sender in self._senders.values() if final else ():
            through = sender.covered(state.network, state.valid_time_us, published.position)
            if through and sender.living:
                effects.append(Tell(sender.claim.publisher, Ack(AckLevel.ESTIMATED, through, published.position)))
        return effects

    def _interrogated(self, sender: Sender, refreshed: set[int]) -> list[Effect]:
        """A snapshot has ended: what it confirmed stands again, what it left out and nobody else sends does not."""
        confirmed = np.array(sorted(refreshed), dtype=np.uint32)
        missing = np.setdiff1d(alone(sender, list(self._senders.values())), confirmed)
        return self._orphaned(confirmed, topical=True) + self._orphaned(missing)

    def _orphaned(self, uids: NDArray[np.uint32], *, topical: bool = False) -> list[Effect]:
        if not len(uids):
            return []
        position, time = self._next(), self.now_us + 1  # the state of now is as it was
        self._mark(uids, time, topical)
        payload = packed({"signals": uids, "time": time, "topical": topical})
        return [Append(Entry(position, EntryKind.TOPICAL, payload))]

    def _mark(self, uids: NDArray[np.uint32], time_us: int, topical: bool) -> None:
        self._window.mark(uids, time_us, topical=topical)
        for chain, _ in self._chains.of_each(uids):
            chain.retouch(time_us)

    @property
    def _edge_us(self) -> int:
        """Instants up to here are due: on the wall's clock a little after they have passed, so that their rows are in."""
        return self.now_us if self.setup.stream_clock else self.now_us - _SETTLE_US

    def _corrected(self, chain: Chain, first: int) -> list[Effect]:
        """Announce a correction that has been taken up."""
        if first > chain.ever_us:
            return []
        count = (chain.ever_us - first) // chain.cycle_us + 1
        message = f"{chain.network}: late measurements change {count} states; they are computed again"
        event = TwinEvent(
            0, self.position, first, self.now_us, EventKind.CORRECTION, Transition.RAISED, "", "CORRECTION",
            chain.network, (), message,
        )  # fmt: skip
        return self._event(event)[1]

    def _schedule(self) -> list[Effect]:
        """Start every network's next due instant whose inputs are there."""
        effects = self._expired()
        # Where the data are the clock, it may stand still for ever: nothing waits for time to pass.
        for chain, first in self._chains.corrections(self._edge_us, 0 if self.setup.stream_clock else self.now_us):
            effects += self._corrected(chain, first)
        for chain, instant in self._chains.due(self._edge_us):
            before = chain.links.get(instant - chain.cycle_us)
            chain.busy_us = instant
            measured = self._manual.laid_over(self._window.in_force(instant, chain.network), chain.network)
            previous = before.published.state if before else None
            coupled = self._chains.coupled(chain, instant)
            effects.append(Estimate(chain.network, measured, previous, coupled, chain.known(instant)))
        return effects

    def _watch(self, chain: Chain, state: NetworkState) -> tuple[dict[str, object], list[Finding]]:
        """Let the live watches look."""
        before = chain.links.get(state.valid_time_us - chain.cycle_us)
        memory: dict[str, object] = {}
        told: list[Finding] = []
        for watch in self.setup.watches:
            if watch.network != chain.network or watch.late:
                continue
            known = before.memory.get(watch.name) if before is not None else None
            known = watch.empty() if known is None else known
            memory[watch.name], findings = watch.step(known, state, self._chains.coupled(chain, state.valid_time_us))
            told += findings
        return memory, told

    def _seal(self, chain: Chain) -> list[Effect]:
        """Hand the late watches every instant that no measurement can change any more."""
        effects: list[Effect] = []
        for instant in self._chains.sealable(chain, self.now_us - self.setup.lateness_us):
            link = chain.links.get(instant)
            if link is None:
                continue  # its estimate failed
            for name in chain.late_memory:
                memory, findings = self._watches[name].step(
                    chain.late_memory[name], link.published.state, self._chains.coupled(chain, instant)
                )
                chain.late_memory[name] = memory
                chain.note(self._watches[name].found(memory))
                effects += self._tell(findings, link.published, late=True)
        self._forget()
        return effects + self._check()

    def _check(self) -> list[Effect]:
        """A checkpoint, when one is due."""
        sealed = self._chains.sealed()
        due = min(sealed) // self.setup.keyframe_us if sealed else self._checked
        if self._checked is None or due is None or due <= self._checked:
            self._checked = due if self._checked is None else self._checked
            return []
        self._checked = due
        living = {(s.claim.publisher, s.claim.epoch): s.received for s in self._senders.values()}
        position = self._next()
        checkpoint = Checkpoint(
            Mark(position, max(sealed), self._heard_us), self.now_us, newest_epochs(self._last_batch | living),
            self._window.saved(), self._chains.saved(), self._telling.saved(), self._manual.saved(),
        )  # fmt: skip
        return [Append(Entry(position, EntryKind.CHECKPOINT, packed(checkpoint)))]

    def _forget(self) -> None:
        """Drop what nobody asks for any more."""
        self._chains.trim()
        sealed = self._chains.sealed()
        if sealed and min(sealed) - self._forgotten_us >= _FORGET_US:
            self._forgotten_us = min(sealed)
            self._window.forget(self._forgotten_us)
            self._telling.forget(self._forgotten_us)
            self._manual.forget(self._forgotten_us)

    def _tell(self, findings: Sequence[Finding], published: PublishedState, *, late: bool = False) -> list[Effect]:
        effects: list[Effect] = []
        for finding, alarm_id in self._telling.to_say(findings, published, late=late):
            event = TwinEvent(
                0, published.position, published.state.valid_time_us, self.now_us, finding.kind, finding.transition,
                alarm_id, finding.code, published.state.network, finding.elements, finding.message,
                self._telling.cause_of(finding), finding.candidates, finding.figures,
            )  # fmt: skip
            effects += self._event(event)[1]
        return effects

    def _event(self, event: TwinEvent) -> tuple[TwinEvent, list[Effect]]:
        position = self._next()
        numbered = replace(event, sequence=self._telling.count + 1)
        self._telling.note(numbered)
        self._on_commit(position, lambda: [Announce(numbered)])
        return numbered, [Append(Entry(position, EntryKind.EVENT, packed(numbered)))]
