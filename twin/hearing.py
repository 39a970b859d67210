"""From readings to hours, the same for a year that is read at once and for one that is lived through.

An hour's reading is the mean of what was read within it, none where that was too little: half of the hour, of a pressure nine
tenths, for it may swing by a metre. What cannot be a reading is none: a pressure that stands still for much longer than it ever
did in the history, or one far outside of what the history saw (a unit mistaken, a meter without power).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solvers.water.leak_search.readings import Hours
from twin.scada_week import Calendar, Week

Floats = NDArray[np.float64]
_WHOLE = 0.9  # of an hour that a pressure must have been read
MOST_HOURS_STILL = 12  # without the slightest change of the mean: a pressure that stands still is not measured
_FEWEST_HOURS_STILL = 3  # that are enough where the history never stood still for half as long


def hours_of(
    start_s: Floats, pressure_m: Floats, flow_m3_per_h: Floats, level_m: Floats, drawn_m3_per_h: Floats, level_after_m: Floats
) -> Hours:
    """Hourly means.

    Args:
        start_s: (n,) begin of each hour.
        pressure_m: (n, n_step, n_pressure) what was read, nan where nothing was.
        flow_m3_per_h: (n, n_step, n_flow) likewise.
        level_m: (n, n_step, n_level) likewise.
        drawn_m3_per_h: (n, n_step, n_drawn) likewise.
        level_after_m: (n, n_level) at each hour's end.
    """
    return Hours(
        start_s, hourly_mean(pressure_m, _WHOLE), hourly_mean(flow_m3_per_h), hourly_mean(level_m),
        level_after_m - level_m[:, 0], hourly_mean(drawn_m3_per_h), flow_spread_m3_per_h=_spread(flow_m3_per_h),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Heard:
    """What of the hours before counts for the next one.

    Args:
        pressure_m: (n_pressure,) in the last hour.
        still_h: (n_pressure,) for how many hours it has not moved.
        calendar: what days have told of the consumers' week.
    """

    pressure_m: Floats
    still_h: NDArray[np.int64]
    calendar: Calendar

    @staticmethod
    def nothing(n_pressure: int) -> Heard:
        """Before the first hour."""
        return Heard(np.full(n_pressure, np.nan), np.zeros(n_pressure, dtype=np.int64), Calendar.empty())


@dataclass(frozen=True, eq=False)
class Usual:
    """What a history has taught about readings.

    Args:
        low_m, high_m: (n_pressure,) outside of which no pressure is one.
        still_h: (n_pressure,) hours from which on one that does not move is none.
        week: of the consumers.
    """

    low_m: Floats
    high_m: Floats
    still_h: NDArray[np.int64]
    week: Week

    @staticmethod
    def of(past: Hours) -> Usual:
        """What is usual in a history: further outside of its range than it is wide, and ten metres more, is no pressure."""
        low, high = np.nanmin(past.pressure_m, axis=0), np.nanmax(past.pressure_m, axis=0)
        margin = high - low + 10.0
        longest = still(past.pressure_m).max(axis=0)
        limit = np.clip(2 * longest + 1, _FEWEST_HOURS_STILL, MOST_HOURS_STILL)
        return Usual(low - margin, high + margin, limit, Week.of(past))

    def hear(self, before: Heard, hour: Hours) -> tuple[Heard, Hours]:
        """Take in an hour.

        Args:
            before: what hours before it say.
            hour: as read.

        Returns:
            What this one says for the next, and the hour without what cannot be a reading, in the consumers' week.
        """
        read = hour.pressure_m
        still_h = np.where(read == before.pressure_m, before.still_h + 1, 0)
        with np.errstate(invalid="ignore"):
            kept = np.where((still_h >= self.still_h) | (read < self.low_m) | (read > self.high_m), np.nan, read)
        calendar, turned_h = self.week.after(before.calendar, hour)
        return Heard(read, still_h, calendar), replace(hour, pressure_m=kept, turned_h=turned_h)

    def hear_all(self, hours: Hours) -> Hours:
        """The same of many hours, one after the other."""
        heard, out = Heard.nothing(hours.pressure_m.shape[1]), []
        for h in range(len(hours)):
            heard, hour = self.hear(heard, hours[h])
            out.append(hour)
        pressure, turned = np.array([x.pressure_m for x in out]), np.array([x.turned_h for x in out], dtype=np.int64)
        return replace(hours, pressure_m=pressure, turned_h=turned)


def still(pressure: Floats) -> NDArray[np.int64]:
    """(n, n_pressure) for how many hours each reading has not moved."""
    out = np.zeros(pressure.shape, dtype=np.int64)
    for h in range(1, len(pressure)):
        out[h] = np.where(pressure[h] == pressure[h - 1], out[h - 1] + 1, 0)
    return out


def hourly_mean(values: Floats, least: float = 0.5) -> Floats:
    """(n, n_meter) mean of each hour over what was read, nan where that is nothing or less than a share of it."""
    there = np.isfinite(values)
    count = there.sum(axis=1)
    total = np.where(there, values, 0.0).sum(axis=1)
    return np.where(count >= max(least * values.shape[1], 1), total / np.maximum(count, 1), np.nan)


def _spread(values: Floats) -> Floats:
    """Standard deviation within each hour of what was read, nan where nothing was."""
    mean = hourly_mean(values, 0.0)
    return np.sqrt(hourly_mean((values - mean[:, None]) ** 2, 0.0))
