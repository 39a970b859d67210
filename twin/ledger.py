"""What the twin knows of time, what it has written down, and what it has said.

Whatever is to outlive the process becomes an entry of the journal at the next position. What follows from an entry (an ack, a
frame, an event that is announced) waits until the journal holds it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from grid_models.state import Position
from twin.effects import Announce, Append, Effect
from twin.journal import Entry, EntryKind
from twin.packing import packed
from twin.port import Transition, TwinEvent
from twin.telling import Telling
from twin.watches import Finding


class Ledger:
    """Numbers entries and events.

    Args:
        epoch: of all positions.

    Attributes:
        now_us: the twin's now; it never goes back.
        heard_us: newest receipt of a row or of an entry by hand.
        position: of the newest entry.
        telling: which alarms stand, and what has been said.
    """

    def __init__(self, epoch: int) -> None:
        self.now_us = self.heard_us = 0
        self.position = Position(epoch, 0)
        self.telling = Telling()
        self._following: deque[tuple[Position, Callable[[], list[Effect]]]] = deque()

    def reach(self, now_us: int) -> None:
        """Time has come this far."""
        self.now_us = max(self.now_us, now_us)

    def hear(self, receive_us: int) -> None:
        """Something was received at this time."""
        self.heard_us = max(self.heard_us, receive_us)

    def next(self) -> Position:
        """The position of the next entry."""
        self.position = Position(self.position.epoch, self.position.revision + 1)
        return self.position

    def write(
        self, position: Position, kind: EntryKind, body: object, then: Callable[[], list[Effect]] | None = None
    ) -> Append:
        """Write an entry down.

        Args:
            position: the newest one.
            kind: of the entry.
            body: what `twin.packing` can pack.
            then: what follows once the journal holds it.
        """
        if then is not None:
            self._following.append((position, then))
        return Append(Entry(position, kind, packed(body)))

    def committed(self, position: Position) -> list[Effect]:
        """The journal holds everything through `position`."""
        effects: list[Effect] = []
        while self._following and self._following[0][0] <= position:
            effects += self._following.popleft()[1]()
        return effects

    def say(
        self, finding: Finding, network: str, valid_us: int, *, position: Position | None = None, alarm_id: str | None = None
    ) -> list[Effect]:
        """Tell a finding.

        Args:
            finding: what there is to tell; one without a key is no alarm.
            network: that it concerns, empty for the twin.
            valid_us: the instant it is about.
            position: of the state that it was found in; None = the newest.
            alarm_id: of its alarm where that is known already.
        """
        if alarm_id is None:
            alarm_id = self.telling.alarm_id(finding.key) if finding.key else ""
        event = TwinEvent(
            0, position or self.position, valid_us, self.now_us, finding.kind, finding.transition, alarm_id, finding.code,
            network, finding.elements, finding.message, self.telling.cause_of(finding), finding.candidates, finding.figures,
            finding.evidence,
        )  # fmt: skip
        return self._numbered(event)[1]

    def acknowledge(self, alarm_id: str, author: str, comment: str) -> tuple[TwinEvent, list[Effect]]:
        """An operator has seen an alarm.

        Raises:
            NotFound: no such alarm.
            PreconditionFailed: the alarm is over.
        """
        event = self.telling.open_alarm(alarm_id)
        seen = replace(event, transition=Transition.ACKNOWLEDGED, message=f"acknowledged by {author}: {comment}")
        return self._numbered(seen)

    def _numbered(self, event: TwinEvent) -> tuple[TwinEvent, list[Effect]]:
        numbered = replace(event, sequence=self.telling.count + 1)
        self.telling.note(numbered)
        return numbered, [self.write(self.next(), EntryKind.EVENT, numbered, lambda: [Announce(numbered)])]
