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


def turned(past: Hours, year: Hours) -> Index:
    """(n,) hours by which each hour of a year is later in the consumers' week than the calendar says.

    Args:
        past: the history, whose calendar is right.
        year: with the same meters.
    """
    turned_h = np.zeros(len(year), dtype=np.int64)
    smart = past.drawn_m3_per_h.shape[1] > 0
    before, now = (past.drawn_m3_per_h, year.drawn_m3_per_h) if smart else (past.flow_m3_per_h, year.flow_m3_per_h)
    usual = _mean(before, 0)
    known, known_day, _ = _shapes(past, before[:, usual > 0] / usual[usual > 0])
    shapes, day, begin = _shapes(year, now[:, usual > 0] / usual[usual > 0])
    weekdays = range(_WEEK)
    if min(int((known_day == w).sum()) for w in weekdays) < _LEAST_DAYS:
        return turned_h
    mean = np.array([known[known_day == w].mean(axis=0) for w in weekdays])
    scatter = np.var(known - mean[known_day], axis=0) + _LEAST_SCATTER
    misfit = np.array([(np.square(shapes - mean[(day + s) % _WEEK]) / scatter).sum(axis=1) for s in weekdays])
    gain = 0.5 * _TEMPER * np.cumsum(misfit[0] - misfit, axis=1)
    for best, certain, first in zip(gain.argmax(axis=0), gain.max(axis=0) > np.log(_ODDS), begin, strict=True):
        turned_h[first + 24 :] = 24 * best if certain else 0
    return turned_h


def _shapes(hours: Hours, drawn: Floats) -> tuple[Floats, Index, Index]:
    """(n, 24) shapes of the days that were read as a whole, their weekdays by the calendar, and their first hours."""
    mean = _mean(drawn, 1)
    of_day = hours.hour_of_week % 24
    first = int(-of_day[0] % 24)
    begin = np.arange(first, len(mean) - 23, 24)
    day = mean[begin[:, None] + np.arange(24)]
    whole = (day > 0).all(axis=1)
    shape = np.log(day[whole])
    return shape - shape.mean(axis=1, keepdims=True), hours.hour_of_week[begin[whole]] // 24, begin[whole]


def _mean(values: Floats, axis: int) -> Floats:
    """Mean of what was read, nan of nothing."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(there, values, 0.0).sum(axis=axis) / there.sum(axis=axis))
