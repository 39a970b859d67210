"""A year whose consumers' week is not the calendar's is recognised from days that are over."""

from dataclasses import replace

import numpy as np
import pytest

from solvers.water.leak_search.readings import Hours
from twin.scada_week import Calendar, Week

MONDAY_S = 1514764800.0  # 1 January 2018


def turned(past: Hours, year: Hours) -> np.ndarray:
    """(n,) by how much each hour of a year is later in the consumers' week, told hour by hour."""
    week, calendar, out = Week.of(past), Calendar.empty(), []
    for h in range(len(year)):
        calendar, turned_h = week.after(calendar, year[h])
        out.append(turned_h)
    return np.array(out)


def hours(days: int, begin_day: int, turned_days: int, *, smart: bool = True, lost: float = 0.0) -> Hours:
    """Two peaks on workdays, a late one at weekends and a still later one on Sundays; all of it less in summer."""
    rng = np.random.default_rng(days)
    t = np.arange(24 * days)
    weekday = (t // 24 + begin_day + turned_days) % 7
    hour = t % 24
    morning = np.select([weekday < 5, weekday == 5], [7.0, 9.0], 11.0)
    shape = 1.0 + np.exp(-((hour - morning) ** 2) / 4.0) + 0.5 * np.exp(-((hour - 19) ** 2) / 9.0)
    mean = shape * (1.0 + 0.3 * np.sin(2 * np.pi * t / 24 / 365))
    drawn = mean[:, None] * (0.5, 2.0, 1.0) * np.exp(0.05 * rng.standard_normal((len(t), 3)))
    drawn[rng.random(drawn.shape) < lost] = np.nan
    none = np.zeros((len(t), 0))
    start_s = MONDAY_S + 86400.0 * begin_day + 3600.0 * t
    return Hours(start_s, none, none if smart else drawn, none, none, drawn if smart else none)


@pytest.mark.parametrize("smart", [True, False])
@pytest.mark.parametrize(("begin", "by"), [(365, 0), (365, 6), (730, 5), (1096, 3)])
def test_the_day_of_the_week_is_known_once_a_weekend_or_what_should_have_been_one_is_over(
    smart: bool, begin: int, by: int
) -> None:
    found = turned(hours(365, 0, 0, smart=smart), hours(60, begin, by, smart=smart))
    assert (found[24 * 8 :] == 24 * by).all()
    assert found[0] == 0


def test_only_days_that_are_over_tell_what_a_day_is() -> None:
    past, year = hours(365, 0, 0), hours(60, 365, 6, lost=0.02)
    whole = turned(past, year)
    for day in range(1, 12):
        part = hours(60, 365, 6, lost=0.02)
        part.drawn_m3_per_h[24 * day :] = np.nan
        np.testing.assert_array_equal(turned(past, part)[: 24 * (day + 1)], whole[: 24 * (day + 1)])


def test_a_history_of_a_fortnight_tells_nothing() -> None:
    assert not turned(hours(14, 0, 0), hours(60, 365, 6)).any()


def test_the_consumers_week_counts_from_their_monday() -> None:

    year = hours(14, 365, 6)  # 1 January 2019 was a Tuesday
    assert year.hour_of_week[0] == 24
    assert replace(year, turned_h=turned(hours(365, 0, 0), year)).hour_of_week[-24] == 6 * 24
