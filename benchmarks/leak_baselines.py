"""Two simple ways to search a year for leaks, for comparison: causal, learnt from the same history.

Night flow: the mean inflow of each metered zone between 2 and 4 o'clock against the median of the same weekday's nights in
the four weeks before (people stay up at weekends); three nights in a row four deviations above are an alarm. The deviation
is that of a night by itself: what a night gains on the one before, less the same a week earlier, in the history. It knows the
zone alone, so it names the pipe in its middle.

Pressure regression and likelihood ratio: each pressure by least squares on 1, inflow^1.852, pumped flow, levels, and the
hour of the day; a day's mean residual less the mean of the week before it is tested for a leak at every pipe with the
signatures of the nominal model, z = s' R^-1 e / sqrt(s' R^-1 s).

Reference: G. Steffelbauer et al., "Pressure-leak duality", Water Res. X 16 (2022), for the kind; own thresholds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from grid_models.water.network import WaterNetwork
from solvers.water.leak_search.noise import distances_m
from solvers.water.leak_search.readings import Hours
from solvers.water.leak_search.town import Town
from twin.scada_year import ScadaYear

Floats = NDArray[np.float64]
Found = list[tuple[str, int]]  # pipe and the hour at whose end it is told
_NIGHTS, _WEEKS, _DEVIATIONS = 3, 4, 4.0
_QUIET_H = 24 * 10
_THRESHOLD = 8.0


def night_flow(network: WaterNetwork, past: ScadaYear, year: ScadaYear) -> Found:
    """Alarms by the minimum night flow of each zone."""
    town = Town(network, year.sensors)
    distance = np.minimum(distances_m(town), 1e5)
    out: Found = []
    for zone in np.flatnonzero(town.zones.balanced):
        learnt, seen = (_nights(town, hours, int(zone)) for hours in (past.hours, year.hours))
        gain = np.diff(learnt[7:] - learnt[:-7])
        deviation = 0.5 * 1.4826 * float(np.median(np.abs(gain))) or 1.0  # leaks hardly move a median; four nights make a gain
        mine = np.flatnonzero(town.zone_of_pipe == zone)
        middle = mine[distance[np.ix_(mine, mine)].sum(axis=1).argmin()] if len(mine) else -1
        high, quiet = _above(np.concatenate([learnt[-7 * _WEEKS :], seen]))[7 * _WEEKS :] > _DEVIATIONS * deviation, 0
        for day in range(_NIGHTS - 1, len(seen)):
            if middle >= 0 and day >= quiet and high[day - _NIGHTS + 1 : day + 1].all():
                out.append((town.pipe_ids[middle], 24 * day + 4))
                quiet = day + 7 * _WEEKS
    return out


def _nights(town: Town, hours: Hours, zone: int) -> Floats:
    inflow = np.array([town.zones.inflow(flow)[zone] for flow in hours.flow_m3_per_h])
    night = np.isin(hours.hour_of_week % 24, (2, 3))
    day = ((hours.start_s - hours.start_s[0]) // 86400).astype(np.int64)
    sums, count = (np.bincount(day[night & np.isfinite(inflow)], w) for w in (inflow[night & np.isfinite(inflow)], None))
    return np.asarray(sums / np.maximum(count, 1))


def _above(nights: Floats) -> Floats:
    """Each night less the median of the same weekday's in the weeks before it, 0 where there are none."""
    out = np.zeros(len(nights))
    for day in range(7 * _WEEKS, len(nights)):
        out[day] = nights[day] - np.median(nights[day - 7 * _WEEKS : day : 7])
    return out


def pressure_regression(network: WaterNetwork, past: ScadaYear, year: ScadaYear) -> Found:
    """Alarms by regressed pressures and a likelihood ratio over pipes."""
    town = Town(network, year.sensors)
    X, y = _regressors(town, past.hours), past.hours.pressure_m
    there = np.isfinite(X).all(axis=1)
    weights = np.column_stack([_least_squares(X[there], column[there]) for column in y.T])
    learnt, seen = y - X @ weights, year.hours.pressure_m - _regressors(town, year.hours) @ weights
    step = _steps(learnt)
    R = np.cov(np.nan_to_num(step[24 * 8 :]).T) + 1e-6 * np.eye(y.shape[1])
    view = town.view(past.hours[24 * 7 + 18], np.zeros(len(town.pipe)))
    S = np.nan_to_num(town.signatures(view)[: town.n_head])
    weight = np.linalg.inv(R)
    power = np.maximum(np.einsum("ij,ik,kj->j", S, weight, S), 1e-12)
    out: Found = []
    quiet = 0
    e = np.nan_to_num(_steps(np.concatenate([learnt[-24 * 8 :], seen])))[24 * 8 :]
    for h in range(len(seen)):
        z = (S.T @ weight @ e[h]) / np.sqrt(power)
        if h >= quiet and z.max() > _THRESHOLD:
            out.append((town.pipe_ids[int(z.argmax())], h + 1))
            quiet = h + _QUIET_H
    return out


def _regressors(town: Town, hours: Hours) -> Floats:
    is_pump = np.isin(town.network.links(list(town.sensors.flow)), town.network.pump_link)
    inflow = hours.flow_m3_per_h[:, ~is_pump].sum(axis=1)
    angle = 2 * np.pi * (hours.hour_of_week % 24) / 24
    parts = [np.ones(len(inflow)), np.maximum(inflow, 0) ** 1.852, np.cos(angle), np.sin(angle)]
    return np.column_stack([*parts, hours.flow_m3_per_h[:, is_pump], hours.level_m])


def _least_squares(X: Floats, y: Floats) -> Floats:
    there = np.isfinite(y)
    return np.asarray(np.linalg.lstsq(X[there], y[there], rcond=None)[0])


def _steps(residual: Floats) -> Floats:
    """Mean of the last day less the mean of the week before it, of what is there."""

    def trailing(length: int) -> Floats:
        there = np.isfinite(residual).astype(np.float64)
        origin = (length - 1) // 2
        total = uniform_filter1d(np.nan_to_num(residual), length, axis=0, origin=origin)
        return np.asarray(total / np.maximum(uniform_filter1d(there, length, axis=0, origin=origin), 1e-3))

    day, week = trailing(24), trailing(24 * 7)
    out = np.zeros_like(residual)
    out[24:] = day[24:] - week[:-24]
    return out
