"""What people say: an entry by hand -> the book -> the journal, an event, states computed again from where it counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from grid_models.state import Position
from twin.chains import Chains
from twin.effects import Effect
from twin.journal import EntryKind
from twin.ledger import Ledger
from twin.manual import ManualBook
from twin.port import EventKind, ManualEntry, Transition
from twin.settling import Settling
from twin.setup import Setup
from twin.watches import Finding

CODE = "MANUAL_ENTRY"


class ByHand:
    """Takes entries by hand in.

    Args:
        setup: of the twin.
        ledger: what is taken is written there.
        book: takes entries in.
        chains: told what it changes.
        settling: told what was taken.
    """

    def __init__(self, setup: Setup, ledger: Ledger, book: ManualBook, chains: Chains, settling: Settling) -> None:
        self._lateness_us, self._ledger, self._book = setup.lateness_us, ledger, book
        self._chains, self._settling = chains, settling

    def check(self, draft: ManualEntry) -> ManualEntry:
        """The entry that a draft would become; raises as `enter`."""
        return self._book.checked(draft, self._ledger.now_us, self._ledger.now_us - self._lateness_us)

    def enter(self, draft: ManualEntry) -> tuple[ManualEntry, list[Effect]]:
        """Take an entry.

        Raises:
            BadRequest: an impossible value, or times the wrong way round.
            NotFound: no such signal.
            TooOld: it starts before the lateness window.
            Exhausted: there are too many.
        """
        if (before := self._book.same(draft, self._ledger.now_us)) is not None:
            return before, []
        entry, position = self.check(draft), self._ledger.next()
        entry = replace(entry, entry_id=f"{position.epoch}-{position.revision}")
        message = f"{self._book.name_of(entry)} set to {entry.value:g} by {entry.author}: {entry.reason}"
        return entry, self._noted(position, entry, entry.created_us, Transition.RAISED, message)

    def withdraw(self, entry_id: str, author: str, reason: str, made_us: int) -> tuple[ManualEntry, list[Effect]]:
        """End an entry, at `made_us` on the wall clock.

        Raises:
            NotFound: no such entry is in force or to come.
        """
        entry = self._book.withdrawn(entry_id, self._ledger.now_us)
        message = f"{self._book.name_of(entry)} withdrawn by {author}: {reason}"
        return entry, self._noted(self._ledger.next(), entry, made_us, Transition.CLEARED, message)

    def expire(self) -> list[Effect]:
        """Tell of entries whose time is over."""
        over = [e for e in self._book.ended(self._ledger.now_us) if self._ledger.telling.standing(_key(e))]
        return [x for e in over for x in self._say(e, Transition.CLEARED, f"{self._book.name_of(e)}: the entry has expired")]

    def take(self, entry: ManualEntry) -> None:
        """Take an entry, or its end, that the journal holds."""
        times = self._book.take(entry)
        for chain in self._chains.values():
            if chain.network == self._book.network_of(entry):
                chain.retouch(times[0])
        self._settling.noticed(np.full(len(times), entry.signal, dtype=np.uint32), np.array(times))

    def _noted(
        self, position: Position, entry: ManualEntry, made_us: int, transition: Transition, message: str
    ) -> list[Effect]:
        self.take(entry)
        self._ledger.hear(made_us)
        body = {"entry": entry, "now": self._ledger.now_us, "made": made_us}
        return [self._ledger.write(position, EntryKind.MANUAL, body), *self._say(entry, transition, message)]

    def _say(self, entry: ManualEntry, transition: Transition, message: str) -> list[Effect]:
        names, figures = (self._book.name_of(entry),), {"value": entry.value}
        finding = Finding(_key(entry), transition, EventKind.MANUAL, CODE, names, message, figures=figures)
        return self._ledger.say(finding, self._book.network_of(entry), max(entry.start_us, self._ledger.now_us))


def _key(entry: ManualEntry) -> str:
    return f"{CODE}/{entry.entry_id}"
