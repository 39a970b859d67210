"""From findings of watches to numbered events: each said once, over restarts and corrections.

A correction computes instants again, and the watches with them. What they then find is compared with what has been said:
an alarm that should have been raised is raised late, one that should not have been is cleared. What people said, and alarms on
what came in, are not of states: no correction takes them back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from twin import clocks, plausibility
from twin.errors import NotFound, PreconditionFailed
from twin.port import EventKind, PublishedState, Transition, TwinEvent
from twin.watches import Finding, ended

_REMEMBERED = 1000  # alarms that are over


@dataclass(eq=False)
class _Revision:
    """A correction under way: the instant it began at and the last finding of each key since."""

    since_us: int
    last: dict[str, Finding] = field(default_factory=dict)


class Telling:
    """What has been said.

    Attributes:
        open_alarms: alarm id -> its last event.
        count: events so far; the newest one's sequence.
    """

    def __init__(self) -> None:
        self.open_alarms: dict[str, TwinEvent] = {}
        self.count = 0
        self._over: list[str] = []  # the alarms that ended last
        self._raised_us: dict[str, int] = {}
        self._told: set[tuple[str, str, int]] = set()  # before the restart
        self._recent: set[tuple[str, str, int]] = set()  # since then, as far as their instants may be computed again
        self._revisions: dict[str, _Revision] = {}

    def standing(self, key: str) -> str:
        """The open alarm of a key, empty where there is none."""
        return next((a for a in self.open_alarms if _key(a) == key), "")

    def open_alarm(self, alarm_id: str) -> TwinEvent:
        """The last event of an open alarm.

        Raises:
            NotFound: there is no such alarm.
            PreconditionFailed: it is over.
        """
        if alarm_id in self.open_alarms:
            return self.open_alarms[alarm_id]
        if alarm_id in self._over:
            raise PreconditionFailed(f"alarm {alarm_id} is over")
        raise NotFound(f"no alarm {alarm_id!r}; open are {', '.join(self.open_alarms) or 'none'}")

    def note(self, event: TwinEvent) -> None:
        """An event has been said."""
        self.count = max(self.count, event.sequence)
        if not event.alarm_id:
            return
        self._recent.add((_key(event.alarm_id), event.transition.name, event.valid_time_us))
        if event.transition is Transition.CLEARED:
            self.open_alarms.pop(event.alarm_id, None)
            self._over = [*self._over, event.alarm_id][-_REMEMBERED:]
            self._raised_us.pop(event.alarm_id, None)
        else:
            self.open_alarms[event.alarm_id] = event
            self._raised_us.setdefault(event.alarm_id, event.valid_time_us)

    def restored(self, event: TwinEvent) -> None:
        """An event had been said before the restart."""
        self.note(event)
        self._told.add((_key(event.alarm_id), event.transition.name, event.valid_time_us))

    def forget(self, before_us: int) -> None:
        """Instants before this are never computed again."""
        self._told = {t for t in self._told if t[2] >= before_us}
        self._recent = {t for t in self._recent if t[2] >= before_us}

    def saved(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        told = tuple(sorted(self._told | self._recent))
        raised, over = dict(self._raised_us), tuple(self._over)
        return {"open": dict(self.open_alarms), "count": self.count, "raised": raised, "told": told, "over": over}

    def recall(self, saved: Mapping[str, Any]) -> None:
        """Know what `saved` told, and nothing else."""
        self.open_alarms, self.count = dict(saved["open"]), saved["count"]
        self._raised_us, self._told = dict(saved["raised"]), set(saved["told"])
        self._over = list(saved.get("over", ()))
        self._recent, self._revisions = set(), {}

    def to_say(
        self, findings: Iterable[Finding], published: PublishedState, late: bool = False
    ) -> Iterator[tuple[Finding, str]]:
        """What of a state's findings is to be said, with its alarm id."""
        network, instant = published.state.network, published.state.valid_time_us
        if not late:
            if published.correction:
                revision = self._revisions.setdefault(network, _Revision(instant))
                revision.since_us = min(revision.since_us, instant)
                revision.last |= {f.key: f for f in findings}
                return
            findings = [*self._reconciled(network), *findings]
        for finding in findings:
            stands = bool(self.standing(finding.key))
            said = (finding.key, finding.transition.name, instant) in self._told
            if not said and stands != (finding.transition is Transition.RAISED):
                yield finding, self.alarm_id(finding.key)

    def _reconciled(self, network: str) -> Iterator[Finding]:
        """What a finished correction changes in what has been said."""
        revision = self._revisions.pop(network, None)
        if revision is None:
            return
        standing = {_key(a): a for a, e in self.open_alarms.items() if e.network == network and _of_states(e)}
        for key, finding in revision.last.items():
            cleared = finding.transition is Transition.CLEARED
            if cleared == (key in standing):
                yield finding if cleared else replace(finding, transition=Transition.RAISED)
        for key, alarm_id in standing.items():
            if key not in revision.last and self._raised_us[alarm_id] >= revision.since_us:
                yield ended(self.open_alarms[alarm_id], "withdrawn: with the late measurements this did not happen")

    def alarm_id(self, key: str) -> str:
        """The open alarm of this key, or a new number for it."""
        return self.standing(key) or f"{key}#{self.count + 1}"

    def cause_of(self, finding: Finding) -> str:
        """Alarm id of the root cause, empty where there is none."""
        return self.standing(finding.cause) if finding.cause else ""


def _of_states(event: TwinEvent) -> bool:
    return event.kind is not EventKind.MANUAL and event.code not in (plausibility.CODE, clocks.CODE)


def _key(alarm_id: str) -> str:
    return alarm_id.rsplit("#", 1)[0]
