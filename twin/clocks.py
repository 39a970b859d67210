"""Publishers whose clock is ahead: one alarm for each, which ends when nothing of theirs was ahead for a minute."""

from __future__ import annotations

from collections.abc import Iterable

from twin.intake import AHEAD_US
from twin.port import EventKind, Transition, TwinEvent
from twin.watches import Finding

CODE = "CLOCK_AHEAD"
_RIGHT_US = 60_000_000


class Clocks:
    """Knows whose clock is ahead."""

    def __init__(self) -> None:
        self._ahead_us: dict[str, int] = {}  # publisher of a standing alarm -> the twin's now when it was last ahead

    def recall(self, standing: Iterable[TwinEvent]) -> None:
        """Go on from the alarms that stood before a restart."""
        self._ahead_us = {event.elements[0]: event.valid_time_us for event in standing if event.code == CODE}

    def judge(self, publisher: str, lead_us: int | None, now_us: int) -> list[Finding]:
        """What rows that were taken change.

        Args:
            publisher: who sent them.
            lead_us: how far the foremost of them is ahead; None where none tells its time.
            now_us: the twin's now.
        """
        if lead_us is None:
            return []
        stands, ahead = publisher in self._ahead_us, lead_us > AHEAD_US
        if ahead:
            self._ahead_us[publisher] = now_us
        if ahead == stands or (stands and now_us - self._ahead_us[publisher] < _RIGHT_US):
            return []
        if not ahead:
            del self._ahead_us[publisher]
        transition = Transition.RAISED if ahead else Transition.CLEARED
        message = said(publisher, lead_us) if ahead else f"the clock of {publisher} is right again"
        figures = {"ahead_s": lead_us / 1e6}
        return [Finding(f"{CODE}/{publisher}", transition, EventKind.ALARM, CODE, (publisher,), message, figures=figures)]


def said(publisher: str, lead_us: int) -> str:
    """How far a clock is ahead, in words."""
    return f"the clock of {publisher} is {lead_us / 1e6:.1f} s ahead"
