"""On which day of their week consumers are: a year's calendar need not be that of its history.

A simulated year may begin its week on 1 January, a data logger's clock may be days off. Of the smart meters' mean
consumption a (of all flows where there is no smart meter) only each day's shape counts, so that seasons do not:

    y_dh = ln a_dh - mean over the day's hours        h = 0 .. 23

With the history's mean shape m of each weekday w and its scatter v of each hour, a week turned by s days fits the days
before D with

    C_s = sum over days d < D and hours h of (y_dh - m_(w(d)+s) h)^2 / v_h

Day D is taken for what the calendar says unless another s is likelier by `_ODDS`: (C_0 - C_s) / 2 > ln(_ODDS), C tempered
because a day's hours go together. So only days that are over tell what a day is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.water.leak_search.readings import Hours

Floats = NDArray[np.float64]
Index = NDArray[np.int64]

_TEMPER = 0.25
_ODDS = 1e6
_LEAST_SCATTER = 1e-6  # of what never changes
_LEAST_DAYS = 4  # of each weekday in the history
_WEEK = 7


@dataclass(frozen=True, eq=False)
class Calendar:
    """What the days so far tell.

    Args:
        day: mean consumption in each hour of the day that is under way.
        gain: (7,) C_0 - C_s of each turn.
        turned_h: hours by which consumers are later in their week than the calendar says.
    """

    day: tuple[float, ...]
    gain: Floats
    turned_h: int

    @staticmethod
    def empty() -> Calendar:
        """Before the first day."""
        return Calendar((), np.zeros(_WEEK), 0)


@dataclass(frozen=True, eq=False)
class Week:
    """The consumers' week in a history.

    Args:
        usual: (n,) mean consumption at each meter.
        mean: (7, 24) shape of each weekday; none where the history has too few of one.
        scatter: (24,) variance around it.
    """

    usual: Floats
    mean: Floats
    scatter: Floats

    @staticmethod
    def of(past: Hours) -> Week:
        """The week of a history, whose calendar is right."""
        drawn = _drawn(past)
        usual = _mean(drawn, 0)
        shapes, day = _shapes(past, drawn[:, usual > 0] / usual[usual > 0])
        if min(int((day == w).sum()) for w in range(_WEEK)) < _LEAST_DAYS:
            return Week(usual, np.zeros((0, 24)), np.zeros(24))
        mean = np.array([shapes[day == w].mean(axis=0) for w in range(_WEEK)])
        return Week(usual, mean, np.var(shapes - mean[day], axis=0) + _LEAST_SCATTER)

    def after(self, calendar: Calendar, hour: Hours) -> tuple[Calendar, int]:
        """Take in an hour.

        Args:
            calendar: before it.
            hour: the next one, by its calendar.

        Returns:
            The calendar after it, and by how much this hour is later in the consumers' week.
        """
        if not len(self.mean):
            return calendar, 0
        of_day, turned_h, flows = int(hour.hour_of_week) % 24, calendar.turned_h, self.usual > 0
        day = () if of_day == 0 else calendar.day
        if len(day) == of_day:  # the day has been seen from its begin
            day = (*day, float(_mean(_drawn(hour)[flows] / self.usual[flows], 0)))
        gain, after_h = calendar.gain, turned_h
        if len(day) == 24 and min(day) > 0:
            shape = np.log(day)
            shape -= shape.mean()
            turns = int(hour.hour_of_week) // 24 + np.arange(_WEEK)
            misfit = (np.square(shape - self.mean[turns % _WEEK]) / self.scatter).sum(axis=1)
            gain = gain + (misfit[0] - misfit)
            certain = 0.5 * _TEMPER * gain.max() > np.log(_ODDS)
            after_h = 24 * int(gain.argmax()) if certain else 0
        return Calendar(day, gain, after_h), turned_h


def _drawn(hours: Hours) -> Floats:
    """Consumption by meter: smart meters, or flows where there are none."""
    return hours.drawn_m3_per_h if hours.drawn_m3_per_h.shape[-1] > 0 else hours.flow_m3_per_h


def _shapes(hours: Hours, drawn: Floats) -> tuple[Floats, Index]:
    """(n, 24) shapes of the days that were read as a whole, and their weekdays by the calendar."""
    mean = _mean(drawn, 1)
    of_day = hours.hour_of_week % 24
    first = int(-of_day[0] % 24)
    begin = np.arange(first, len(mean) - 23, 24)
    day = mean[begin[:, None] + np.arange(24)]
    whole = (day > 0).all(axis=1)
    shape = np.log(day[whole])
    return shape - shape.mean(axis=1, keepdims=True), hours.hour_of_week[begin[whole]] // 24


def _mean(values: Floats, axis: int) -> Floats:
    """Mean of what was read, nan of nothing."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(there, values, 0.0).sum(axis=axis) / there.sum(axis=axis))
