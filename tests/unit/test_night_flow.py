"""Minimum night flow: which instants make a night, and what a rise says of zones and sizes."""

from __future__ import annotations

import numpy as np

from solvers.water.night_flow import Nights, Rise, likelihood, rise
from solvers.water.plan import Floats

DAY_US, STEP_US, M3H = 86_400_000_000, 900_000_000, 1.0 / 3600.0
ZONE = np.array([0, 1, 2, -1])
METER = np.full(3, 0.2 * M3H)


def lived(inflow: Floats, first_us: int = 0) -> Nights:
    """(n_day, n_zone) night flows, ten times as much by day."""
    nights = Nights()
    for t in range(first_us, len(inflow) * DAY_US, STEP_US):
        second = t % DAY_US / 1e6
        busy = 1.0 if 7200 <= second < 14400 else 10.0
        nights = nights.after(t, second, busy * inflow[t // DAY_US])
    return nights


def town(days: int, since: int, zone: int, leak: float) -> Floats:
    """Three zones of 10, 20 and 30 m3/h, the third without meters; a leak in one of them from a day on."""
    inflow = np.tile([10.0 * M3H, 20.0 * M3H, np.nan], (days, 1))
    inflow *= 1.0 + 0.01 * np.random.default_rng(1).normal(size=inflow.shape)
    inflow[since:, zone] += leak
    return inflow


def told(found: Rise | None, size: float) -> Floats:
    assert found is not None
    return likelihood(found, ZONE, np.full(4, size), np.full(4, 0.1 * size))


def test_a_night_is_the_mean_from_two_to_four_and_half_a_night_is_none() -> None:
    inflow = town(3, 3, 0, 0.0)
    nights = lived(inflow)
    assert np.allclose([n.inflow for n in nights.whole], inflow, equal_nan=True)
    assert len(lived(inflow, first_us=3 * 3_600_000_000).whole) == 2  # the first was heard from three o'clock on
    assert len(lived(town(40, 40, 0, 0.0)).whole) == 28


def test_a_rise_speaks_for_its_zone_and_for_the_size_that_it_has() -> None:
    found = rise(lived(town(8, 6, 1, 3.0 * M3H)), 6 * DAY_US, METER)
    log = told(found, 3.0 * M3H)
    assert log[1] > 3.0 > 0.0 > log[0]
    assert log[2] == log[3] == 0.0  # nobody measures there
    assert log[1] > told(found, 0.5 * M3H)[1]
    assert log[1] > told(found, 12.0 * M3H)[1]


def test_without_a_rise_a_large_leak_is_elsewhere_and_one_odd_night_before_is_no_matter() -> None:
    quiet = town(8, 8, 0, 0.0)
    quiet[3, 0] += 40.0 * M3H  # a fire
    log = told(rise(lived(quiet), 6 * DAY_US, METER), 8.0 * M3H)
    assert max(log[0], log[1]) < -2.0
    assert log.min() > np.log(0.001)  # one night in ten something else happens


def test_a_night_in_which_a_meter_was_not_read_is_left_out_for_its_zone_alone() -> None:
    inflow = town(9, 7, 1, 3.0 * M3H)
    gap = inflow.copy()
    gap[2, 1] = np.nan
    whole, missed = (rise(lived(i), 7 * DAY_US, METER) for i in (inflow, gap))
    assert whole is not None
    assert missed is not None
    without = rise(lived(np.delete(inflow, 2, axis=0)), 6 * DAY_US, METER)
    assert without is not None
    assert (missed.above[0], missed.variance[0]) == (whole.above[0], whole.variance[0])
    assert (missed.above[1], missed.variance[1]) == (without.above[1], without.variance[1])
    gap[3:7, 1] = np.nan  # of seven nights two are left
    few = rise(lived(gap), 7 * DAY_US, METER)
    assert few is not None
    assert np.isnan(few.above[1])
    assert few.above[0] == whole.above[0]


def test_three_nights_before_and_one_since_are_needed() -> None:
    nights = lived(town(5, 5, 0, 0.0))
    assert rise(nights, 2 * DAY_US, METER) is None
    assert rise(nights, 5 * DAY_US, METER) is None
    assert rise(nights, 3 * DAY_US, METER) is not None
