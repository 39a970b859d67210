"""From publishers' streams through the door into the journal, the window and the chains.

A claim is held against the catalogue; admitted rows are appended and RECEIVED, DURABLE once the journal holds them, ESTIMATED
once a state covers them. When a stream ends, or a snapshot leaves signals out, nobody stands for them: that is an entry of its
own, and a mark in the window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from grid_models.measurements import Flag, Rows, TimeQuality
from twin.chains import Chains
from twin.clocks import Clocks, said
from twin.effects import Effect, Tell
from twin.errors import PreconditionFailed
from twin.intake import AHEAD_US, Admission, admit
from twin.journal import EntryKind
from twin.ledger import Ledger
from twin.plausibility import Plausibility
from twin.port import Ack, AckLevel, Batch, Claim, Opened, PublishedState, Snapshot
from twin.samples import sample_time
from twin.senders import Sender, Waiting, alone, check_claim, newest_epochs, rank, rivals
from twin.settling import Settling
from twin.setup import Setup
from twin.together import received, runs
from twin.window import Window

_IN_FLIGHT = 64
_ROWS = 20_000


class Reception:
    """Takes measurements in.

    Args:
        setup: of the twin.
        ledger: what is taken is written there.
        window: takes in what may change states.
        chains: told what it changes.
        settling: told what was taken.
    """

    def __init__(self, setup: Setup, ledger: Ledger, window: Window, chains: Chains, settling: Settling) -> None:
        self._setup, self._ledger, self._window, self._chains, self._settling = setup, ledger, window, chains, settling
        self._senders: dict[str, Sender] = {}
        self._last_batch: dict[tuple[str, int], int] = {}
        self._plausibility, self._clocks = Plausibility(setup.catalogue), Clocks()

    # Streams

    def open(self, claim: Claim) -> tuple[Opened, list[Effect]]:
        """Admit a publisher.

        Raises:
            PreconditionFailed: the claim contradicts the catalogue, or a newer epoch of the publisher is there; every
                signal concerned is named.
        """
        check_claim(claim, self._setup.catalogue)
        before = self._senders.get(claim.publisher)
        effects: list[Effect] = []
        if before is not None and before.living:
            if before.claim.epoch > claim.epoch:
                raise PreconditionFailed(f"publisher {claim.publisher} lives in epoch {before.claim.epoch} already")
            effects += self.close(claim.publisher)
        uids = np.array(sorted(s.uid for s in claim.signals), dtype=np.uint32)
        done = self._last_batch.get((claim.publisher, claim.epoch), 0)
        claimed = np.append(np.isin(self._setup.catalogue.uid, uids), False)  # the last one for rows of no signal
        self._senders[claim.publisher] = Sender(claim, uids, claimed, np.zeros_like(claimed), received=done, durable=done)
        rank(list(self._senders.values()))
        opened = Opened(self._ledger.position, done, _IN_FLIGHT, _ROWS, self._setup.lateness_us / 1e6)
        return opened, effects

    def close(self, publisher: str) -> list[Effect]:
        """A stream has ended: what nobody else sends becomes NOT_TOPICAL."""
        sender = self._senders.get(publisher)
        if sender is None or not sender.living:
            return []
        sender.living = False
        everyone = list(self._senders.values())
        rank(everyone)
        effects = self.orphan(alone(sender, everyone))
        for heir in rivals(sender, everyone):
            shared = np.intersect1d(heir.uids, sender.uids)
            if len(shared) and heir.claim.priority < sender.claim.priority:
                notice = f"{publisher} has ended; {len(shared)} of its signals are now taken from this stream"
                ack = Ack(AckLevel.RECEIVED, heir.received, self._ledger.position, notice=notice)
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
        for run in ([b] for b in batches) if self._setup.stream_clock else runs(batches):
            known = sum(batch.batch_id <= sender.received for batch in run)
            effects += [Tell(publisher, self._again(sender, batch)) for batch in run[:known]]
            effects += self._admit(sender, run[known:], receive_us) if run[known:] else []
        return effects

    def _again(self, sender: Sender, batch: Batch) -> Ack:
        level = AckLevel.DURABLE if batch.batch_id <= sender.durable else AckLevel.RECEIVED
        through = sender.durable if level is AckLevel.DURABLE else sender.received
        return Ack(level, through, self._ledger.position, duplicate=len(batch.rows))

    # Rows

    def _admit(self, sender: Sender, run: Sequence[Batch], receive_us: int) -> list[Effect]:
        """Take consecutive batches in; only one alone may begin or end a snapshot."""
        ledger, publisher, last, snapshot = self._ledger, sender.claim.publisher, run[-1].batch_id, run[0].snapshot
        rows = run[0].rows if len(run) == 1 else Rows.concatenate(b.rows for b in run)
        if snapshot is Snapshot.BEGIN:
            sender.interrogation = set()
        self._hear(rows, sender.claimed, receive_us)
        oldest_us = ledger.now_us - self._setup.lateness_us
        admission = admit(
            rows,
            self._setup.catalogue,
            sender.claimed,
            self._window,
            receive_us=receive_us,
            now_us=ledger.now_us,
            oldest_us=oldest_us,
            outranked=sender.outranked,
            check_clock=not self._setup.stream_clock,
        )
        ledger.hear(int(admission.history.receive_time_us.max(initial=0)))
        sender.received = last
        if sender.interrogation is not None:
            sender.interrogation.update(admission.refreshed.tolist())
        position, lead = ledger.next(), admission.lead or 0
        heard = received(run, admission, position, said(publisher, lead) if lead > AHEAD_US else "")
        durable = replace(heard, level=AckLevel.DURABLE, errors=(), unlisted=0)
        body = {
            "publisher": publisher, "epoch": sender.claim.epoch, "batch": last,
            "rows": admission.history, "now": ledger.now_us, "oldest": oldest_us,
        }  # fmt: skip
        effects: list[Effect] = [ledger.write(position, EntryKind.ROWS, body, lambda: self._durable(sender, durable))]
        effects.append(Tell(publisher, heard))
        times = sample_time(admission.window)
        # No state covers a row of the far future; it is not waited for.
        soon = times <= ledger.now_us + AHEAD_US
        sender.waiting.append(Waiting(last, position, self._chains.instants(admission.window.signal[soon], times[soon])))
        self._changed(admission.window.signal, times)
        if snapshot is Snapshot.END and sender.interrogation is not None:
            effects += self._interrogated(sender, sender.interrogation)
            sender.interrogation = None
        return effects + self._doubt(publisher, admission)

    def _hear(self, rows: Rows, claimed: NDArray[np.bool_], receive_us: int) -> None:
        """Let time move on with a batch."""
        if not self._setup.stream_clock:
            self._ledger.reach(receive_us)
            return
        at = self._setup.catalogue.find(rows.signal)
        heard = (rows.time_quality == TimeQuality.SYNCED) & claimed[at] & np.isfinite(rows.value)
        if heard.any():
            self._ledger.reach(int(rows.source_time_us[heard].max()))

    def _doubt(self, publisher: str, admission: Admission) -> list[Effect]:
        """Alarms on what came in: said once, when it comes, not again when states are computed again."""
        effects: list[Effect] = []
        now_us = self._ledger.now_us
        for finding in self._plausibility.judge(admission.window):
            effects += self._ledger.say(finding, finding.key.partition("/")[2], now_us)
        for finding in self._clocks.judge(publisher, admission.lead, now_us):
            effects += self._ledger.say(finding, "", now_us)
        return effects

    def take(self, rows: Rows, now_us: int, oldest_us: int) -> None:
        """Take rows that the journal holds, as they were taken when they came."""
        self._ledger.reach(now_us)
        self._ledger.hear(int(rows.receive_time_us.max(initial=0)))
        late = sample_time(rows) < oldest_us
        self._window.enter(rows, late)
        window = rows.take(~late & ((rows.flags & int(Flag.TEST)) == 0))
        self._changed(window.signal, sample_time(window))

    def _changed(self, uids: NDArray[np.uint32], times: NDArray[np.int64]) -> None:
        self._chains.touch(uids, times)
        self._settling.noticed(uids, times)

    # Acks

    def _durable(self, sender: Sender, ack: Ack) -> list[Effect]:
        sender.durable = max(sender.durable, ack.through_batch_id)
        self._last_batch[sender.claim.publisher, sender.claim.epoch] = sender.durable
        return [Tell(sender.claim.publisher, ack)]

    def covered(self, published: PublishedState) -> list[Effect]:
        """A state is out that nothing outdates which came before it was finished: ESTIMATED for what it covers."""
        state, effects = published.state, list[Effect]()
        for sender in self._senders.values():
            through = sender.covered(state.network, state.valid_time_us, published.position)
            if through and sender.living:
                effects.append(Tell(sender.claim.publisher, Ack(AckLevel.ESTIMATED, through, published.position)))
        return effects

    # Who stands for a signal

    def _interrogated(self, sender: Sender, refreshed: set[int]) -> list[Effect]:
        """A snapshot has ended: what it confirmed stands again, what it left out and nobody else sends does not."""
        confirmed = np.array(sorted(refreshed), dtype=np.uint32)
        missing = np.setdiff1d(alone(sender, list(self._senders.values())), confirmed)
        return self.orphan(confirmed, topical=True) + self.orphan(missing)

    def orphan(self, uids: NDArray[np.uint32], *, topical: bool = False) -> list[Effect]:
        """From now on nobody stands for these signals; or somebody does again."""
        if not len(uids):
            return []
        position, time = self._ledger.next(), self._ledger.now_us + 1  # the state of now is as it was
        self.mark(uids, time, topical)
        return [self._ledger.write(position, EntryKind.TOPICAL, {"signals": uids, "time": time, "topical": topical})]

    def mark(self, uids: NDArray[np.uint32], time_us: int, topical: bool) -> None:
        """Take from the journal who stands for these signals from a time on."""
        self._window.mark(uids, time_us, topical=topical)
        for chain, _ in self._chains.of_each(uids):
            chain.retouch(time_us)

    # Another point list

    def bind(self, setup: Setup, window: Window, chains: Chains, settling: Settling) -> list[Effect]:
        """Go on with another point list; publishers of what it binds anew have been closed before."""
        self._setup, self._window, self._chains, self._settling = setup, window, chains, settling
        self._plausibility = Plausibility(setup.catalogue)
        for sender in self._senders.values():
            sender.claimed = np.append(np.isin(setup.catalogue.uid, sender.uids), False)
        rank(list(self._senders.values()))
        notice = f"the point list is at revision {setup.catalogue.revision} now; read it again for what is new"
        return [
            Tell(s.claim.publisher, Ack(AckLevel.RECEIVED, s.received, self._ledger.position, notice=notice))
            for s in self._senders.values()
            if s.living
        ]

    def claimed(self) -> dict[str, set[int]]:
        """Living publisher -> the uids that it claims."""
        return {s.claim.publisher: set(s.uids.tolist()) for s in self._senders.values() if s.living}

    # Recovery

    def known(self, publisher: str, epoch: int, batch_id: int) -> None:
        """The journal holds this publisher's batches through this one."""
        self._last_batch[publisher, epoch] = batch_id

    def batches(self) -> dict[tuple[str, int], int]:
        """(publisher, epoch) -> its last batch, for a checkpoint."""
        living = {(s.claim.publisher, s.claim.epoch): s.received for s in self._senders.values()}
        return newest_epochs(self._last_batch | living)

    def recall(self, batches: Mapping[tuple[str, int], int]) -> None:
        """Know these batches, and no others."""
        self._last_batch = dict(batches)

    def recall_doubts(self) -> None:
        """Go on from the alarms that stood before a restart."""
        standing = self._ledger.telling.open_alarms.values()
        self._plausibility.recall(standing)
        self._clocks.recall(standing)
