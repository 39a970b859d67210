"""The engine: events in, effects out; no clock, no disk, no socket, one writer.

    measurement -> journal -> window (`Reception`), an entry by hand -> journal -> book (`ByHand`)
    a report from the field -> journal -> book (`FieldBook`)
    window and book at a due instant -> Estimate -> the state -> journal -> Publish
    the state -> live watches, and once no measurement can change it any more, late ones, with the reports that count
        (`Watching`) -> events

A state is a pure function of the model, the measurements in force at its instant, the state of the instant before, and
what the late watches had found in states older than the lateness window.
Instants lie on a fixed grid; beside it a switch change is shown by a frame of its own (`Settling`). A late row makes its
instant dirty, and the chain is computed again from there to the live edge; so every order of arrival within the lateness
window ends in the same chain. What the engine wants done it returns as effects; whoever runs it performs them in order and
reports back with `committed`, `estimated` and `learned`.

A state is published, and an event announced, once the journal holds it, and therefore everything it was made from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from grid_models.measurements import Catalogue, Rows
from grid_models.state import NetworkState, Position
from twin.by_hand import ByHand
from twin.chain import Chain, Link, digest
from twin.chains import Chains
from twin.checkpoint import Checkpoint, Mark
from twin.effects import Effect, Estimate, Publish
from twin.estimators import Given
from twin.field_book import FieldBook, Placed, as_given
from twin.field_report import FieldReport
from twin.journal import Entry, EntryKind
from twin.ledger import Ledger
from twin.manual import ManualBook
from twin.packing import unpacked
from twin.port import Batch, Claim, EventKind, ManualEntry, Opened, PublishedState, Transition, TwinEvent
from twin.rebinding import Change
from twin.reception import Reception
from twin.settling import Settling
from twin.setup import Setup
from twin.watches import Finding
from twin.watching import Looked, Watching
from twin.window import Window

_SETTLE_US = 200_000
_FORGET_US = 10_000_000  # forgetting costs a walk over the window


class Engine:
    """Keeps the chain of states of every network of one twin."""

    def __init__(self, setup: Setup) -> None:
        self._ledger = Ledger(setup.epoch)
        self._furnish(setup)
        self._reception = Reception(setup, self._ledger, self._window, self._chains, self._settling)
        self._final_us = -1  # states up to here are final, also those that have not left the lateness window
        self._forgotten_us = 0
        self._lived = False
        self._checked: int | None = None  # number of the stretch of time whose checkpoint has been taken

    def _furnish(self, setup: Setup) -> None:
        """Everything that depends on the point list, empty."""
        self.setup = setup
        self._window = Window(setup.catalogue)
        chains = [Chain(n.name, n.cycle_us, n.waits_for, setup.lateness_us) for n in setup.networks]
        self._chains = Chains(chains, setup.catalogue)
        self._book = ManualBook(setup.catalogue)
        self._settling = Settling(setup.catalogue, self._window, self._book, self._chains)
        self._by_hand = ByHand(setup, self._ledger, self._book, self._chains, self._settling)
        self._field = FieldBook(self._ledger, self._chains)
        self._watching = Watching(setup.watches, self._ledger, self._chains, self._field)

    @property
    def now_us(self) -> int:
        """The twin's now."""
        return self._ledger.now_us

    def lived_until(self, network: str) -> int:
        """The newest instant ever computed, before a restart too; -1 where there is none."""
        return self._chains[network].ever_us

    # What publishers and people say

    def open(self, claim: Claim) -> tuple[Opened, list[Effect]]:
        """Admit a publisher; see `Reception.open`."""
        return self._reception.open(claim)

    def close(self, publisher: str) -> list[Effect]:
        """A stream has ended: what nobody else sends becomes NOT_TOPICAL."""
        return self._reception.close(publisher)

    def receive(self, publisher: str, batches: Sequence[Batch], receive_us: int) -> list[Effect]:
        """Take in batches that wait together; see `Reception.receive`."""
        return self._reception.receive(publisher, batches, receive_us) + self._schedule()

    def check_manual(self, draft: ManualEntry) -> ManualEntry:
        """The entry by hand that a draft would become; raises as `enter`."""
        return self._by_hand.check(draft)

    def enter(self, draft: ManualEntry) -> tuple[ManualEntry, list[Effect]]:
        """Take an entry by hand; see `ByHand.enter`."""
        entry, effects = self._by_hand.enter(draft)
        return entry, effects + self._schedule()

    def withdraw(self, entry_id: str, author: str, reason: str, made_us: int) -> tuple[ManualEntry, list[Effect]]:
        """End an entry by hand; see `ByHand.withdraw`."""
        entry, effects = self._by_hand.withdraw(entry_id, author, reason, made_us)
        return entry, effects + self._schedule()

    def manual_entries(self) -> list[ManualEntry]:
        """Entries by hand in force or to come."""
        return self._book.standing(self.now_us)

    def check_report(self, draft: FieldReport, placed: Placed = as_given) -> FieldReport:
        """The report from the field that a draft would become; see `FieldBook.checked`."""
        return self._field.checked(draft, self._horizon_us, placed)

    def report(self, draft: FieldReport, placed: Placed = as_given) -> tuple[FieldReport, list[Effect]]:
        """Take a report from the field; see `FieldBook.enter`."""
        return self._field.enter(draft, self._horizon_us, placed)

    def reports(self) -> list[FieldReport]:
        """Reports from the field that are kept."""
        return self._field.standing()

    def acknowledge(self, alarm_id: str, author: str, comment: str) -> tuple[TwinEvent, list[Effect]]:
        """An operator has seen an alarm; see `Ledger.acknowledge`."""
        return self._ledger.acknowledge(alarm_id, author, comment)

    # Time, disk, solvers

    def tick(self, now_us: int) -> list[Effect]:
        """The wall clock has moved on; a twin on the stream clock is not interested."""
        return [] if self.setup.stream_clock else self.advance(now_us)

    @property
    def due_us(self) -> int | None:
        """When the next state falls due on the wall's clock, None where none waits for time to pass."""
        due = [c.todo_us + _SETTLE_US for c in self._chains.begun() if c.todo_us is not None and c.todo_us > self._edge_us]
        return min(due, default=None) if not self.setup.stream_clock else None

    def advance(self, now_us: int) -> list[Effect]:
        """Time has come this far."""
        self._ledger.reach(now_us)
        return self._schedule()

    def committed(self, position: Position) -> list[Effect]:
        """The journal holds everything through `position`."""
        return self._ledger.committed(position)

    def estimated(self, network: str, state: NetworkState, seen: bytes | None = None) -> list[Effect]:
        """A state has been computed; `seen` is its digest, where the runner has computed that, too."""
        chain, instant = self._chains[network], state.valid_time_us
        chain.busy_us = None
        seen = digest(state) if seen is None else seen
        known = chain.said.pop(instant, None) == seen  # it was published before the restart, bit for bit
        correction = instant <= chain.ever_us and not known
        # Of states that were published already, the newest is published again: somebody may wait for the first.
        silent = known and instant < chain.ever_us
        position = self._ledger.position if silent else self._ledger.next()
        published = PublishedState(position, self.now_us, state, correction)
        findings: list[Finding] = []
        if chain.on_grid(instant):
            memory, findings = self._watching.look(chain, state)
            chain.links[instant] = Link(published, memory, seen)
        else:
            chain.shown[instant] = seen
        chain.ever_us = max(chain.ever_us, instant)
        chain.todo_us = chain.after(instant)
        effects: list[Effect] = []
        if not silent:
            final = chain.is_final(instant)
            body = {"network": network, "instant": instant, "digest": seen, "correction": correction, "now": self.now_us}
            effects.append(self._ledger.write(position, EntryKind.STATE, body, lambda: self._publish(published, final)))
        effects += self._watching.tell(findings, published) if chain.on_grid(instant) else []
        return effects + self._seal(chain) + self._schedule()

    def learned(self, network: str, seen: Looked) -> list[Effect]:
        """The late watches have looked at the state that they were asked to look at."""
        chain = self._chains[network]
        assert chain.learning_us is not None
        chain.sealed_us, chain.learning_us = chain.learning_us, None
        effects = self._watching.learn(chain, chain.links[chain.sealed_us], seen)
        return effects + self._seal(chain) + self._schedule()

    def failed(self, network: str) -> list[Effect]:
        """The instant being computed gave no state at all: leave it out, the next one starts anew."""
        chain = self._chains[network]
        assert chain.busy_us is not None
        chain.todo_us = chain.after(chain.busy_us)
        chain.busy_us = None
        return self._schedule()

    # The way of a state

    @property
    def _edge_us(self) -> int:
        """Instants up to here are due: on the wall's clock a little after they have passed, so that their rows are in."""
        return self.now_us if self.setup.stream_clock else self.now_us - _SETTLE_US

    @property
    def _horizon_us(self) -> int:
        """No measurement can change what lies before."""
        return max(self.now_us - self.setup.lateness_us, self._final_us + 1)

    def _schedule(self) -> list[Effect]:
        """Start every network's next due instant whose inputs are there."""
        effects = self._by_hand.expire()
        # Where the data are the clock, it may stand still for ever: nothing waits for time to pass.
        for chain, first in self._chains.corrections(self._edge_us, 0 if self.setup.stream_clock else self.now_us):
            effects += self._corrected(chain, first)
        for chain, instant in self._chains.due(self._edge_us):
            before = chain.links.get(chain.grid_before(instant))
            chain.busy_us = instant
            measured = self._book.laid_over(self._window.in_force(instant, chain.network), chain.network)
            previous = before.published.state if before else None
            given = Given(measured, previous, self._chains.coupled(chain, instant), chain.known(instant))
            effects.append(Estimate(chain.network, given))
        return effects

    def _corrected(self, chain: Chain, first: int) -> list[Effect]:
        """Announce a correction that has been taken up."""
        if first > chain.ever_us:
            return []
        count = chain.count(first, chain.ever_us)
        message = f"{chain.network}: late measurements change {count} states; they are computed again"
        finding = Finding("", Transition.RAISED, EventKind.CORRECTION, "CORRECTION", (), message)
        return self._ledger.say(finding, chain.network, first)

    def _publish(self, published: PublishedState, final: bool) -> list[Effect]:
        return [Publish(published), *(self._reception.covered(published) if final else ())]

    def _seal(self, chain: Chain) -> list[Effect]:
        """Seal instants that no measurement can change any more, each once the late watches have looked at it."""
        while (instant := self._chains.sealable(chain, self._horizon_us)) is not None:
            link = chain.links.get(instant)  # none where its estimate failed
            if link is not None and (asked := self._watching.ask(chain, link)):
                chain.learning_us = instant
                return asked
            chain.sealed_us = instant
        self._forget()
        return self._check()

    def _check(self) -> list[Effect]:
        """A checkpoint, when one is due."""
        sealed = self._chains.sealed()
        due = min(sealed) // self.setup.keyframe_us if sealed else self._checked
        if self._checked is None or due is None or due <= self._checked:
            self._checked = due if self._checked is None else self._checked
            return []
        self._checked = due
        return [self._written(self._memory())]

    def _memory(self) -> Checkpoint:
        """What the engine remembers, at the next position."""
        mark = Mark(self._ledger.next(), max(self._chains.sealed(), default=0), self._ledger.heard_us)
        return Checkpoint(
            mark, self.now_us, self._reception.batches(), self._window.saved(), self._chains.saved(),
            self._ledger.telling.saved(), self._book.saved(), self.setup.catalogue.revision, self._field.saved(),
        )  # fmt: skip

    def _written(self, checkpoint: Checkpoint) -> Effect:
        return self._ledger.write(checkpoint.mark.position, EntryKind.CHECKPOINT, checkpoint)

    def _forget(self) -> None:
        """Drop what nobody asks for any more."""
        self._chains.trim()
        sealed = self._chains.sealed()
        if sealed and min(sealed) - self._forgotten_us >= _FORGET_US:
            self._forgotten_us = min(sealed)
            self._window.forget(self._forgotten_us)
            self._ledger.telling.forget(self._forgotten_us)
            self._book.forget(self._forgotten_us)
            self._field.forget(self._forgotten_us)

    # Another point list

    def conclude(self) -> list[Effect]:
        """Let every state up to now become final: compute what is left, and have the late watches look."""
        self._final_us = self._edge_us
        for chain in self._chains.values():
            chain.rested_us = 0
        effects = self._schedule()
        for chain in self._chains.begun():
            effects += self._seal(chain) if chain.rests else []
        return effects

    @property
    def concluded(self) -> bool:
        """Whether every state up to now is final; to be asked before anything else happens."""
        return self._final_us == self._edge_us and self._chains.concluded(self._edge_us)

    def refused(self, catalogue: Catalogue) -> dict[str, list[str]]:
        """Publisher -> names of its signals that another point list binds anew or leaves out; it cannot go on."""
        return Change(self.setup.catalogue, catalogue).refused(self._reception.claimed())

    def rebind(self, setup: Setup) -> list[Effect]:
        """Go on with another point list; all states up to now are final, and those whom it refuses have been closed."""
        assert self.concluded
        change = Change(self.setup.catalogue, setup.catalogue)
        effects = self._ledger.say(change.finding(), "", self.now_us)
        for network, finding in change.over(list(self._ledger.telling.open_alarms.values())):
            effects += self._ledger.say(finding, network, self.now_us)
        begins_us = max((c.grid_at_or_after(self._edge_us + 1) for c in self._chains.begun()), default=self._edge_us)
        memory = change.outlived(self._memory(), begins_us, setup.lasting)
        self._furnish(setup)
        self._final_us = -1  # all that was concluded is sealed now
        effects += self._reception.bind(setup, self._window, self._chains, self._settling)
        self.recall(memory)
        self._reception.recall_doubts()
        return [*effects, self._written(memory), *self._schedule()]

    # Recovery and replay

    def restore(self, entries: Iterable[Entry], models: Mapping[str, str] | None = None) -> None:
        """Take up where an earlier epoch ended: measurements, states, open alarms, batch numbers.

        Args:
            entries: of the journal, from a checkpoint or from its beginning on.
            models: network -> revision of its model; a state of another revision tells where to begin, and no more.
        """
        for entry in entries:
            self._lived, body = True, unpacked(entry.payload)
            match entry.kind:
                case EntryKind.ROWS:
                    self._reception.known(body["publisher"], body["epoch"], body["batch"])
                    self._reception.take(body["rows"], body["now"], body["oldest"])
                case EntryKind.TOPICAL:
                    self._reception.mark(body["signals"], body["time"], body["topical"])
                case EntryKind.MANUAL:
                    self._ledger.reach(body["now"])
                    self._by_hand.take(body["entry"])
                case EntryKind.REPORT:
                    self._ledger.reach(body["now"])
                    self._field.take(body["report"])
                case EntryKind.CHECKPOINT:
                    self._reception.recall(body.batches)
                    self.recall(body, models)
                case EntryKind.EVENT:
                    self._ledger.telling.restored(body)
                case EntryKind.STATE:
                    self._ledger.reach(body["now"])
                    if body["network"] in self._chains:
                        self._chains[body["network"]].published(body["instant"], bytes(body["digest"]))
        for chain in self._chains.values():
            chain.straighten()
        self._reception.recall_doubts()

    def recall(self, checkpoint: Checkpoint, models: Mapping[str, str] | None = None) -> None:
        """Forget everything but how far publishers have come, and go on from a checkpoint."""
        self._ledger.now_us, self._ledger.heard_us = checkpoint.now_us, checkpoint.mark.heard_us
        self._window.recall(checkpoint.window)
        self._ledger.telling.recall(checkpoint.telling)
        self._book.recall(checkpoint.manual)
        self._field.recall(checkpoint.field)
        self._chains.recall(checkpoint.chains, models or {})
        self._settling.recall()
        self._forgotten_us = min((c.sealed_us or c.first_us for c in checkpoint.chains.values()), default=0)
        self._checked = self._forgotten_us // self.setup.keyframe_us

    def begin(self) -> Position:
        """The position of the entry that opens this epoch."""
        return self._ledger.next()

    def resume(self) -> list[Effect]:
        """What there is to do after `restore`: every stream ended with the process that held it."""
        effects = self._reception.orphan(self.setup.catalogue.uid) if self._lived else []
        return effects + self._schedule()

    def over(self) -> list[Effect]:
        """End the alarms of searches that are no more; to be asked once the settings' own point list is in force."""
        return self._watching.over()

    def readmit(self, rows: Rows, now_us: int, oldest_us: int) -> list[Effect]:
        """Take rows that the journal holds, as they were taken when they came."""
        self._reception.take(rows, now_us, oldest_us)
        return self._schedule()

    def reorphan(self, uids: NDArray[np.uint32], time_us: int, *, topical: bool) -> list[Effect]:
        """Repeat that signals became NOT_TOPICAL, or topical again."""
        self._ledger.reach(time_us - 1)
        self._reception.mark(uids, time_us, topical)
        return self._schedule()

    def reenter(self, entry: ManualEntry, now_us: int) -> list[Effect]:
        """Repeat an entry by hand, or its end."""
        self._ledger.reach(now_us)
        self._by_hand.take(entry)
        return self._schedule()

    def rereport(self, report: FieldReport, now_us: int) -> list[Effect]:
        """Repeat a report from the field."""
        self._ledger.reach(now_us)
        self._field.take(report)
        return self._schedule()
