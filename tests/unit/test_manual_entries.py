"""Entries by hand: they count, they end, they are refused, they outlive restarts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.simulation.small_twin import (
    SECOND,
    T0,
    Driver,
    claim,
    driver,
    restored,
    rows,
)  # fmt: skip
from twin.errors import BadRequest, NotFound, TooOld
from twin.journal import EntryKind
from twin.port import FOREVER_US, EventKind, ManualEntry, Transition


def by_hand(
    twin: Driver, uid: int, value: float, start: float | None = None, until: float | None = None, **more: str
) -> ManualEntry:
    times = [0 if start is None else T0 + round(start * SECOND), FOREVER_US if until is None else T0 + round(until * SECOND)]
    entry, effects = twin.engine.enter(ManualEntry("", uid, value, "me", "because", *times, T0, **more))
    twin.perform(effects)
    return entry


def withdraw(twin: Driver, entry: ManualEntry) -> None:
    twin.perform(twin.engine.withdraw(entry.entry_id, "you", "enough", T0)[1])


def test_an_entry_by_hand_counts_in_place_of_the_meter_until_it_is_withdrawn() -> None:
    twin = driver().open()
    twin.send(rows((1, 0, 1.0), (2, 0, 0.0)))
    entry = by_hand(twin, 1, 50.0)
    assert twin.x("power", 0)[0] == 1  # the state of now is as it was
    twin.send(rows((1, 1, 2.0)))
    assert twin.x("power", 1)[0] == 50.5
    assert (twin.state("power", 1).manual_inputs, twin.state("power", 0).manual_inputs) == (1, 0)
    assert twin.engine.manual_entries() == [entry]
    withdraw(twin, entry)
    twin.send(rows((2, 2, 0.0)))
    assert twin.x("power", 2)[0] == 25.25 + 2.0  # what was sent meanwhile counts again
    assert twin.engine.manual_entries() == []
    told = [(e.kind, e.transition, e.message) for e in twin.events]
    assert told == [
        (EventKind.MANUAL, Transition.RAISED, "s1 set to 50 by me: because"),
        (EventKind.MANUAL, Transition.CLEARED, "s1 withdrawn by you: enough"),
    ]


def test_an_entry_by_hand_expires_by_itself_and_that_is_told() -> None:
    twin = driver().open()
    twin.send(rows((2, 0, 0.0)))
    by_hand(twin, 3, 8.0, start=1, until=3)  # a signal that nobody ever sent
    for t in range(1, 6):
        twin.send(rows((2, t, 0.0)))
    assert [twin.x("power", t)[2] for t in range(6)] == [0, 8, 12, 6, 3, 1.5]
    assert [e.message for e in twin.events][1:] == ["s3: the entry has expired"]


def test_an_entry_by_hand_may_reach_back_into_the_window_and_no_further() -> None:
    twin = driver().open()
    for t in range(20):
        twin.send(rows((1, t, 0.0)))
    by_hand(twin, 1, 16.0, start=18)
    assert [twin.x("power", t)[0] for t in (17, 18, 19)] == [0, 16, 24]
    assert any(e.kind is EventKind.CORRECTION for e in twin.events)
    with pytest.raises(TooOld, match="cannot start before"):
        by_hand(twin, 1, 16.0, start=8)


@pytest.mark.parametrize(
    ("uid", "value", "start", "until", "message"),
    [
        (1, float("nan"), None, None, "entry.value"),
        (1, 2000.0, None, None, "must lie in -1000 to 1000 MW, is 2000"),
        (1, 1.0, 5, 5, "entry.expire_time: must lie behind"),
    ],
)
def test_an_impossible_entry_by_hand_is_refused(uid: int, value: float, start: float, until: float, message: str) -> None:
    twin = driver().open()
    with pytest.raises(BadRequest, match=message):
        by_hand(twin, uid, value, start, until)
    assert twin.journal == []


def test_an_entry_for_an_unknown_signal_names_it_and_a_repeated_request_is_one_entry() -> None:
    twin = driver().open()
    twin.send(rows((1, 0, 0.0)))
    with pytest.raises(NotFound, match="no signal 77"):
        by_hand(twin, 77, 1.0)
    first = by_hand(twin, 1, 1.0, request_id="a")
    assert by_hand(twin, 1, 1.0, request_id="a") == first
    assert by_hand(twin, 1, 1.0, request_id="b") != first
    with pytest.raises(NotFound, match="is in force"):
        withdraw(twin, replace(first, entry_id="9-9"))


def test_entries_by_hand_outlive_restarts_and_checkpoints_with_the_same_bits() -> None:
    whole = driver().open()
    for t in range(50):
        whole.send(rows((1, t, float(t)), (11, t, 1.0)))
        if t == 5:
            entry = by_hand(whole, 1, 7.0)
        if t == 45:
            by_hand(whole, 11, 3.0, until=48)
    checkpoints = [k for k, e in enumerate(whole.journal) if e.kind is EntryKind.CHECKPOINT]
    late, early = (restored(whole.journal[k:], 2).open(claim(epoch=2)) for k in (checkpoints[-1], 0))
    for twin in (late, early):
        twin.send(rows((1, 50, 50.0)))
        assert twin.engine.manual_entries() == [entry]
        assert twin.state("power", 50).manual_inputs == 1
        withdraw(twin, entry)
        twin.send(rows((1, 51, 51.0), (11, 51, 1.0)))
        assert not [e for e in twin.events if "expired" in e.message]  # that was said before
    assert late.chain() == early.chain()
