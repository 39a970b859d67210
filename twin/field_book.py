"""What the field says, on its way to the leak watches: a report -> the book -> the journal, an event.

A report counts from the first grid instant that is not older than the lateness window when it comes, and not before what it
tells of happened. No late watch has looked at that instant yet, live or in a replay; so both learn from it in the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from twin.chains import Chains
from twin.effects import Effect
from twin.errors import BadRequest, Exhausted, NotFound, TooOld, Unavailable
from twin.field_report import FieldReport
from twin.journal import EntryKind
from twin.ledger import Ledger
from twin.port import EventKind, Transition
from twin.watches import Finding

CODE = "FIELD_REPORT"
MOST_REPORTS = 10_000
KEPT_DAYS = 30
_KEPT_US = KEPT_DAYS * 86_400_000_000


Placed = Callable[[FieldReport], FieldReport]


def as_given(draft: FieldReport) -> FieldReport:
    """A draft that names its pipes already."""
    return draft


class FieldBook:
    """The reports of the last 30 days, and those on alarms that stand.

    Args:
        ledger: what is taken is written there; it knows which alarms stand.
        chains: know the networks' instants.
    """

    def __init__(self, ledger: Ledger, chains: Chains) -> None:
        self._ledger, self._chains = ledger, chains
        self._reports: dict[str, FieldReport] = {}

    def checked(self, draft: FieldReport, horizon_us: int, placed: Placed = as_given) -> FieldReport:
        """The report that a draft would become.

        Args:
            draft: as it was entered.
            horizon_us: late watches may have looked at everything before.
            placed: gives it, with its network, the pipes that it means; raises what is wrong with its place.

        Raises:
            BadRequest: it is of the future, or the alarm is none of a leak.
            NotFound: no such network, no such alarm.
            PreconditionFailed: the alarm is over.
            TooOld: it happened more than 30 days ago.
            Exhausted: there are too many.
            Unavailable: the network has not begun to live.
        """
        if draft.kind.of_alarm:
            event = self._ledger.telling.open_alarm(draft.alarm_id)
            if event.kind is not EventKind.LEAK:
                raise BadRequest.of("report.alarm", f"{draft.alarm_id} is no leak but {event.code}")
            draft = placed(replace(draft, network=event.network))
            draft = replace(draft, pipes=draft.pipes or tuple(e.removeprefix("pipe ") for e in event.elements))
        elif draft.network not in self._chains:
            raise NotFound(f"no network {draft.network!r}; there are: {', '.join(self._chains)}")
        else:
            draft = placed(draft)
        chain, now = self._chains[draft.network], self._ledger.now_us
        if chain.first_us is None:
            raise Unavailable(f"{draft.network} has no state yet")
        happened = draft.happened_us or now
        if happened > now:
            raise BadRequest.of("report.happen_time", f"lies ahead of the twin's clock, {np.datetime64(now, 'us')}")
        if happened <= now - _KEPT_US:
            raise TooOld(f"what happened before {np.datetime64(now - _KEPT_US, 'us')} counts for no leak any more")
        if len(self._reports) >= MOST_REPORTS:
            raise Exhausted(f"{MOST_REPORTS} reports are kept; send again when some are {KEPT_DAYS} days old")
        source = draft.source or draft.author
        return replace(draft, source=source, happened_us=happened, counts_us=chain.grid_at_or_after(max(happened, horizon_us)))

    def enter(self, draft: FieldReport, horizon_us: int, placed: Placed = as_given) -> tuple[FieldReport, list[Effect]]:
        """Take a report; raises as `checked`."""
        same = (r for r in self._reports.values() if draft.request_id and r.request_id == draft.request_id)
        if (before := next(same, None)) is not None:
            return before, []
        report, position = self.checked(draft, horizon_us, placed), self._ledger.next()
        report = replace(report, report_id=f"{position.epoch}-{position.revision}")
        self.take(report)
        self._ledger.hear(report.created_us)
        body = {"report": report, "now": self._ledger.now_us, "made": report.created_us}
        effects: list[Effect] = [self._ledger.write(position, EntryKind.REPORT, body)]
        places = tuple(f"pipe {p}" for p in report.pipes)
        finding = Finding("", Transition.RAISED, EventKind.MANUAL, CODE, places, report.line, report.alarm_key)
        return report, effects + self._ledger.say(finding, report.network, report.counts_us)

    def take(self, report: FieldReport) -> None:
        """Take a report that the journal holds."""
        self._reports[report.report_id] = report

    def counting(self, network: str, instant: int) -> tuple[FieldReport, ...]:
        """What counts for the leaks of a network at an instant, in the order in which it was entered."""
        mine = [r for r in self._reports.values() if r.network == network and r.counts_us <= instant]
        return tuple(r for r in mine if r.alarm_id or r.happened_us > instant - _KEPT_US)

    def standing(self) -> list[FieldReport]:
        """What is kept, in the order in which it was entered."""
        return list(self._reports.values())

    def forget(self, before_us: int) -> None:
        """Drop what no instant from `before_us` on looks at."""
        stands, oldest = self._ledger.telling.standing, before_us - _KEPT_US
        self._reports = {k: r for k, r in self._reports.items() if r.happened_us > oldest or stands(r.alarm_key)}

    def saved(self) -> tuple[FieldReport, ...]:
        """What a checkpoint holds of it."""
        return tuple(self._reports.values())

    def recall(self, saved: Iterable[FieldReport]) -> None:
        """Know these reports, and no others."""
        self._reports = {r.report_id: r for r in saved}
