"""Which reports concern a leak, and as whose voice: sources, times, and alarms of the same number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from grid_models.library.water import looped_town
from solvers.water.leak_memory import Heard, Leak
from twin.field_report import FieldReport, Level, ReportKind
from twin.field_voices import FieldVoices

HOUR_US = 3_600_000_000
TOWN = looped_town()
N = len(TOWN.pipe_link)
VOICES = FieldVoices(TOWN, np.full(N, -1))
KEY = "LEAK/water/1"
NOTHING = np.zeros(N)
LEAK = Leak(
    1, 100, 102, 0, 0.01, 0.01, np.full(N, 1.0 / N), np.full(N, 0.01), 9.0, 0, (NOTHING, NOTHING),
    (1, NOTHING, NOTHING, NOTHING), onset_us=100 * HOUR_US, deviation=np.full(N, 1e-3),
)  # fmt: skip


def wet(number: int, source: str, hour: float = 101.0, **more: Any) -> FieldReport:
    at_us = round(hour * HOUR_US)
    given: dict[str, Any] = {"kind": ReportKind.CITIZEN, "pipes": ("E202",), "happened_us": at_us, "counts_us": at_us}
    return FieldReport(network="water", author="desk", text="wet", source=source, report_id=f"1-{number}", **(given | more))


def heard(*reports: FieldReport, leak: Leak = LEAK) -> Heard:
    said = VOICES.of(leak, KEY, reports, None)
    assert said is not None
    return said


def test_what_one_source_says_twice_is_one_voice() -> None:
    assert not heard(wet(1, "a"), wet(2, "a")).log_likelihood.any()
    assert heard(wet(1, "a"), wet(2, "b")).log_likelihood.any()
    loud = Level(50.0, 30.0, 1.0)
    levels = [replace(wet(k, "logger 7", hour=100.0 + k), kind=ReportKind.LOGGER, level=loud) for k in (1, 2)]
    assert not heard(*levels).log_likelihood.any()
    assert heard(*levels, wet(3, "a")).log_likelihood.any()


def test_a_report_that_is_older_than_the_leak_is_of_another() -> None:
    assert heard(wet(1, "a", 99.5), wet(2, "b", 98.5)).reports == ("1-1",)  # an onset may be told an hour too late


def test_nothing_new_is_nothing_to_hear() -> None:
    said = heard(wet(1, "a"))
    again = replace(LEAK, heard=said.log_likelihood, reports=said.reports)
    assert VOICES.of(again, KEY, (wet(1, "a"),), None) is None
    assert heard(leak=again).reports == ()


def test_a_word_on_the_alarm_of_an_earlier_memory_does_not_end_the_leak_of_the_same_number() -> None:
    over = wet(1, "crew", kind=ReportKind.REPAIRED, alarm_id=f"{KEY}#7")
    assert heard(over).repaired
    assert VOICES.of(LEAK, KEY, (replace(over, counts_us=90 * HOUR_US),), None) is None
    assert VOICES.of(LEAK, "LEAK/water/2", (over,), None) is None


def test_of_a_flood_of_reports_the_newest_two_hundred_count() -> None:
    flood = [wet(k, f"citizen {k}", 100.0 + k / 1000.0) for k in range(300)]
    word = wet(300, "crew", 100.0, kind=ReportKind.DISPATCHED, alarm_id=f"{KEY}#7", counts_us=101 * HOUR_US)
    assert heard(word, *flood).reports == ("1-300", *(f"1-{k}" for k in range(100, 300)))
