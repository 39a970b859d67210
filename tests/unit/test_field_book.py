"""Reports from the field: from when on they count, who is refused, and that a replay and a restart hear the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from grid_models.state import NetworkState
from tests.simulation.small_twin import SECOND, T0, Driver, claim, driver, parts, restored, rows
from twin.errors import BadRequest, NotFound, PreconditionFailed, TooOld, Unavailable
from twin.field_report import FieldReport, ReportKind
from twin.journal import EntryKind
from twin.port import FOREVER_US, EventKind, ManualEntry, Transition
from twin.replay import recompute
from twin.watches import Finding


class Listening:
    """A late watch that notes which reports it heard at each instant; a leak stands from the fourth to the thirtieth."""

    name, network, late = "listening", "power", True

    def __init__(self) -> None:
        self.heard: dict[int, tuple[str, ...]] = {}

    def found(self, memory: Any) -> None:
        return None

    def empty(self) -> Any:
        return {"step": 0}

    def step(
        self, memory: Any, state: NetworkState, coupled: Mapping[str, NetworkState], reports: tuple[FieldReport, ...] = ()
    ) -> tuple[Any, tuple[Finding, ...]]:
        second = (state.valid_time_us - T0) // SECOND
        self.heard[second] = tuple(r.report_id for r in reports)
        turn = {4: Transition.RAISED, 30: Transition.CLEARED}.get(second)
        leak = () if turn is None else (Finding("LEAK/power/1", turn, EventKind.LEAK, "LEAK", ("pipe 1", "pipe 2"), "leak"),)
        return {"step": memory["step"] + 1}, leak


def citizen(happened: float | None = None, **more: Any) -> FieldReport:
    at_us = 0 if happened is None else T0 + round(happened * SECOND)
    return FieldReport(ReportKind.CITIZEN, "power", "me", "wet", pipes=("1",), happened_us=at_us, **more)


def say(twin: Driver, draft: FieldReport) -> FieldReport:
    report, effects = twin.engine.report(draft)
    twin.perform(effects)
    return report


def lived(watch: Listening, until: int, drafts: Mapping[int, FieldReport]) -> tuple[Driver, dict[int, FieldReport]]:
    twin, said = driver(watches=(watch,)).open(), {}
    for t in range(until):
        twin.send(rows((1, t, float(t))))
        if t in drafts:
            said[t] = say(twin, drafts[t])
    return twin, said


def test_a_report_counts_from_the_first_instant_that_no_late_watch_has_seen() -> None:
    watch = Listening()
    twin, said = lived(watch, 50, {20: citizen(5.0), 25: citizen()})
    assert [(said[t].counts_us - T0) // SECOND for t in said] == [10, 25]  # a lateness of 10 s, and when it happened
    first = [min(t for t, heard in watch.heard.items() if said[k].report_id in heard) for k in said]
    assert first == [10, 25]
    event = next(e for e in twin.events if e.code == "FIELD_REPORT")
    assert (event.kind, event.alarm_id, event.elements) == (EventKind.MANUAL, "", ("pipe 1",))
    assert event.message == "citizen by me at pipe 1: wet"


def test_a_replay_and_restarts_hear_the_same_at_every_instant() -> None:
    watch = Listening()
    twin, _ = lived(watch, 50, {20: citizen(5.0), 25: citizen()})
    again = Listening()
    list(recompute(parts(watches=(again,)), twin.journal))
    assert again.heard == watch.heard
    checkpoints = [k for k, e in enumerate(twin.journal) if e.kind is EntryKind.CHECKPOINT]
    for first in (0, checkpoints[1], checkpoints[-1]):
        later = Listening()
        other = restored(twin.journal[first:], 2, watches=(later,)).open(claim(epoch=2))
        assert later.heard == {t: h for t, h in watch.heard.items() if t >= min(later.heard)}
        assert other.engine.reports() == twin.engine.reports()


def test_a_word_on_an_alarm_stands_for_the_pipes_that_it_named_and_is_refused_once_it_is_over() -> None:
    watch = Listening()
    twin, _ = lived(watch, 20, {})
    (alarm,) = [e.alarm_id for e in twin.events if e.kind is EventKind.LEAK]
    word = replace(citizen(), kind=ReportKind.REJECTED, network="", pipes=(), alarm_id=alarm)
    heard = say(twin, word)
    assert (heard.network, heard.pipes, heard.alarm_key) == ("power", ("1", "2"), "LEAK/power/1")
    with pytest.raises(NotFound, match=f"no alarm 'LEAK/power/9#1'; open are {alarm}"):
        say(twin, replace(word, alarm_id="LEAK/power/9#1"))
    for t in range(20, 50):
        twin.send(rows((1, t, float(t))))
    late = restored(twin.journal[[e.kind for e in twin.journal].index(EntryKind.CHECKPOINT) :], 2, watches=(Listening(),))
    for each in (twin, late):
        with pytest.raises(PreconditionFailed, match=f"alarm {alarm} is over"):
            say(each, word)
        with pytest.raises(PreconditionFailed, match="is over"):
            each.engine.acknowledge(alarm, "me", "")


def test_a_report_that_cannot_be_is_refused_and_a_repeated_request_is_one_report() -> None:
    with pytest.raises(Unavailable, match="power has no state yet"):
        driver().open().engine.report(citizen())
    twin, _ = lived(Listening(), 5, {})
    with pytest.raises(BadRequest, match="happen_time: lies ahead of the twin's clock"):
        say(twin, citizen(6.0))
    with pytest.raises(TooOld, match="counts for no leak any more"):
        say(twin, citizen(-31 * 86_400.0))
    with pytest.raises(NotFound, match="no network 'gas'; there are: power, water"):
        say(twin, replace(citizen(), network="gas"))
    before = len(twin.journal)
    assert twin.engine.check_report(citizen()).counts_us
    assert len(twin.journal) == before
    first = say(twin, citizen(request_id="a"))
    assert say(twin, citizen(request_id="a")) == first
    assert say(twin, citizen(request_id="b")) != first
    twin.perform(twin.engine.enter(ManualEntry("", 1, 1.0, "me", "because", 0, FOREVER_US, T0))[1])  # an alarm that is no leak
    other = next(e.alarm_id for e in twin.events if e.code == "MANUAL_ENTRY")
    with pytest.raises(BadRequest, match="is no leak but MANUAL_ENTRY"):
        say(twin, replace(citizen(), kind=ReportKind.REPAIRED, alarm_id=other))
