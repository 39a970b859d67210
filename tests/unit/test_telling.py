"""Alarms over corrections and restarts: what should have been said is said, what should not have been is withdrawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from grid_models.state import NetworkState
from tests.simulation.small_twin import T0, Driver, driver, restored, rows
from twin.estimators import Found
from twin.field_report import FieldReport
from twin.port import FOREVER_US, EventKind, ManualEntry, Transition
from twin.watches import Finding


class Above:
    """Raises an alarm while the first value is above 100."""

    name, network, late = "above", "power", False

    def __init__(self, late: bool = False) -> None:
        self.late = late

    def found(self, memory: Any) -> None:
        return None

    def empty(self) -> Any:
        return {"stands": False}

    def step(
        self, memory: Any, state: NetworkState, coupled: Mapping[str, NetworkState], reports: tuple[FieldReport, ...] = ()
    ) -> tuple[Any, tuple[Finding, ...]]:
        stands = bool(state.values["x"][0] > 100)
        if stands == memory["stands"]:
            return memory, ()
        transition = Transition.RAISED if stands else Transition.CLEARED
        return {"stands": stands}, (Finding("above", transition, EventKind.ALARM, "ABOVE", ("1",), f"above: {stands}"),)


class Finds(Above):
    """A late watch that finds a leak in the fifth state; `nothing`, one beside it that only tells."""

    def __init__(self, name: str) -> None:
        super().__init__(late=True)
        self.name = name

    def empty(self) -> Any:
        return {"stands": False, "states": 0}

    def step(
        self, memory: Any, state: NetworkState, coupled: Mapping[str, NetworkState], reports: tuple[FieldReport, ...] = ()
    ) -> tuple[Any, tuple[Finding, ...]]:
        return {**memory, "states": memory["states"] + 1}, ()

    def found(self, memory: Any) -> Any:
        if self.name == "nothing" or memory["states"] < 5:
            return None
        return Found(1, np.array([0]), np.array([0.1]), np.zeros(0, dtype=np.int64))


def test_what_one_late_watch_has_found_another_does_not_take_back() -> None:
    for names in (("leaks", "nothing"), ("nothing", "leaks")):
        twin = driver(watches=tuple(Finds(name) for name in names)).open()
        for t in range(40):
            twin.send(rows((1, t, 1.0)))
        found = [request.given.found for request in twin.asked if request.network == "power"]
        assert found[0] is None
        assert found[-1] is not None


def played(values: dict[int, float], until: int, late: bool = False) -> Driver:
    """Signal 1 has these values from these seconds on; another signal ticks."""
    twin = driver(watches=(Above(late),)).open()
    for t in range(until):
        twin.send(rows((3, t, 0.0), *(((1, t, values[t]),) if t in values else ())))
    return twin


def said(twin: Driver) -> list[str]:
    return [e.transition.name for e in twin.events if e.kind is EventKind.ALARM]


def test_an_alarm_has_one_id_from_raised_to_cleared() -> None:
    twin = played({0: 0.0, 2: 90.0, 6: 0.0}, 12)
    alarms = [e for e in twin.events if e.kind is EventKind.ALARM]
    assert said(twin) == ["RAISED", "CLEARED"]
    assert len({e.alarm_id for e in alarms}) == 1
    assert [e.sequence for e in twin.events] == list(range(1, len(twin.events) + 1))


def test_what_a_correction_reveals_is_raised_late() -> None:
    twin = played({0: 0.0}, 6)
    twin.send(rows((1, 2, 90.0)))
    assert said(twin) == []  # the correction itself is silent
    twin.send(rows((3, 6, 0.0)))
    assert said(twin) == ["RAISED"]
    twin.send(rows((3, 7, 0.0), (1, 7, -500.0)))
    assert said(twin) == ["RAISED", "CLEARED"]


def test_what_a_correction_disproves_is_withdrawn() -> None:
    twin = played({0: 0.0, 2: 90.0}, 6)
    assert said(twin) == ["RAISED"]
    twin.send(rows((1, 2, 0.0, 1)))
    twin.send(rows((3, 6, 0.0)))
    assert said(twin) == ["RAISED", "CLEARED"]
    assert "withdrawn" in twin.events[-1].message
    assert twin.engine._ledger.telling.open_alarms == {}


def test_a_correction_that_changes_nothing_of_it_says_nothing_again() -> None:
    twin = played({0: 0.0, 2: 90.0}, 6)
    twin.send(rows((2, 1, 5.0)))
    for t in (6, 7):
        twin.send(rows((3, t, 0.0)))
    assert said(twin) == ["RAISED"]


def test_after_a_restart_nothing_is_said_twice_and_numbers_go_on() -> None:
    values = {0: 0.0, 2: 90.0, 15: 0.0, 20: 90.0, 38: 0.0}
    whole = played(values, 30)
    assert said(whole) == ["RAISED", "CLEARED", "RAISED"]
    again = restored(whole.journal, 2, watches=(Above(),)).open()
    assert said(again) == []
    for t in range(30, 45):
        again.send(rows((3, t, 0.0), *(((1, t, values[t]),) if t in values else ())))
    assert said(again) == ["CLEARED"]
    assert again.events[0].alarm_id == whole.events[-1].alarm_id
    assert again.events[0].sequence == whole.events[-1].sequence + 1


def test_a_late_watch_sees_each_instant_once_after_it_has_left_the_window() -> None:
    twin = played({0: 0.0, 2: 90.0}, 6, late=True)
    twin.send(rows((1, 2, 0.0, 1)))
    for t in range(6, 30):
        twin.send(rows((3, t, 0.0)))
    assert said(twin) == []
    other = played({0: 0.0, 2: 90.0}, 30, late=True)
    assert said(other) == ["RAISED"]


def test_a_correction_takes_back_nothing_that_came_in_or_was_said_by_people() -> None:
    twin = played({0: 0.0}, 6)
    twin.send(rows((2, 5, 5000.0)))
    twin.perform(twin.engine.enter(ManualEntry("", 3, 1.0, "me", "why", 0, FOREVER_US, T0))[1])
    twin.send(rows((1, 2, 2.0, 1)))
    twin.send(rows((1, 6, 2.0)))
    told = [(e.code, e.transition) for e in twin.events if e.kind is not EventKind.CORRECTION]
    assert told == [("IMPLAUSIBLE_VALUE", Transition.RAISED), ("MANUAL_ENTRY", Transition.RAISED)]
