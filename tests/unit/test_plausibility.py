"""A value out of range is an alarm that names its signal, and is over when it has been inside for a while."""

from __future__ import annotations

from tests.simulation.small_twin import Driver, driver, restored, rows
from twin.port import Transition


def said(twin: Driver) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(e.transition.name, e.network, e.elements) for e in twin.events if e.code == "IMPLAUSIBLE_VALUE"]


def test_a_value_out_of_range_is_taken_and_alarmed_until_it_is_back_for_a_minute() -> None:
    twin = driver(lateness_us=10**9).open()
    twin.send(rows((1, 0, 1.0), (2, 0, 2.0)))
    assert said(twin) == []
    twin.send(rows((1, 10, 5000.0), (2, 10, 2.0)))
    assert twin.x("power", 10)[0] > 5000  # it counts
    twin.send(rows((1, 11, 5001.0)))
    assert said(twin) == [("RAISED", "power", ("s1",))]
    (event,) = [e for e in twin.events if e.code == "IMPLAUSIBLE_VALUE"]
    assert event.message == "s1 reads 5000 MW, plausible is -1000 to 1000"
    assert event.figures == {"value": 5000.0, "signals": 1.0}
    twin.send(rows((1, 70, 1.0)))  # 59 s after the last one outside
    assert len(said(twin)) == 1
    twin.send(rows((1, 72, 1.0)))
    assert said(twin)[1:] == [("CLEARED", "power", ("s1",))]
    assert {e.alarm_id for e in twin.events if e.code == "IMPLAUSIBLE_VALUE"} == {event.alarm_id}


def test_signals_of_one_network_share_an_alarm() -> None:
    twin = driver(lateness_us=10**9).open()
    twin.send(rows((1, 0, 5000.0), (11, 0, -9999.0)))
    twin.send(rows((2, 5, 5000.0)))
    twin.send(rows((1, 61, 1.0)))  # one of two is inside again: nothing to say
    assert said(twin) == [
        ("RAISED", "power", ("s1",)), ("RAISED", "water", ("s11",)), ("UPDATED", "power", ("s2", "s1")),
    ]  # fmt: skip
    twin.send(rows((2, 66, 1.0)))
    assert said(twin)[3:] == [("CLEARED", "power", ("s2",))]


def test_a_test_value_or_one_that_is_too_late_alarms_nobody() -> None:
    twin = driver().open()
    twin.send(rows((1, 100, 1.0)))
    twin.send(rows((1, 101, 5000.0), flags=16))
    twin.send(rows((1, 1, 5000.0)))
    assert said(twin) == []


def test_an_alarm_outlives_a_restart_and_is_cleared_then() -> None:
    twin = driver(lateness_us=10**9).open()
    twin.send(rows((1, 0, 5000.0)))
    again = restored(twin.journal, 2, lateness_us=10**9).open()
    again.send(rows((1, 30, 1.0)))
    assert said(again) == []
    again.send(rows((1, 90, 1.0)))
    assert [(t, e) for t, _, e in said(again)] == [("CLEARED", ("s1",))]
    (event,) = [e for e in again.events if e.transition is Transition.CLEARED]
    assert event.alarm_id == next(e.alarm_id for e in twin.events if e.code == "IMPLAUSIBLE_VALUE")
