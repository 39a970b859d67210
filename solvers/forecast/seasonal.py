"""Futures of a daily rhythm: a seasonal profile, and residual paths around it.

    ln x(t) = ln s(hour of t) + r(t),      r(t + 1 h) = rho r(t) + sigma sqrt(1 - rho^2) e(t),   e ~ N(0, 1)

s is the median of the history by hour of day; hours never seen are filled from their neighbours around the clock. rho and
sigma come from the residuals' own hourly steps. Futures start from the last residual, so that the first hours know what
the present knows. The same seed gives the same futures.

Reference: T. Hong, S. Fan, "Probabilistic electric load forecasting: a tutorial review", Int. J. Forecasting 32 (2016).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_HOURS = 24
_LEAST_SIGMA, _USUAL_RHO = 0.02, 0.7  # before there are two days to learn them from


@dataclass(frozen=True)
class Seasonal:
    """A fitted rhythm.

    Args:
        profile: (24,) by hour of day, in the unit of the history.
        rho: of the residual, hour to hour [1].
        sigma: of the residual [1, logarithmic].
        last: the newest residual.
    """

    profile: Floats
    rho: float
    sigma: float
    last: float


def fit(time_s: Floats, value: Floats) -> Seasonal:
    """Learn a rhythm.

    Args:
        time_s: (n,) Unix seconds.
        value: (n,) not negative.

    Returns:
        The rhythm; flat at 1 where there is no history at all.

    >>> hours = np.arange(48.0)
    >>> rhythm = fit(hours * 3600, 2 + np.sin(hours / 24 * 2 * np.pi))
    >>> round(float(rhythm.profile[6]), 3), round(rhythm.sigma, 3)
    (3.0, 0.02)
    """
    good = np.isfinite(value) & (value >= 0)
    hour, hourly = _hourly(time_s[good], value[good])
    if not len(hour):
        return Seasonal(np.ones(_HOURS), _USUAL_RHO, _LEAST_SIGMA, 0.0)
    of_day = hour % _HOURS
    known = np.unique(of_day)
    medians = np.array([np.median(hourly[of_day == h]) for h in known])
    around = np.concatenate([known - _HOURS, known, known + _HOURS])
    profile = np.interp(np.arange(_HOURS), around, np.tile(medians, 3))
    floor = 1e-3 * max(float(profile.max()), 1e-12)
    residual = np.log(np.maximum(hourly, floor) / np.maximum(profile[of_day], floor))
    sigma, rho = float(residual.std()), _USUAL_RHO
    following = np.flatnonzero(np.diff(hour) == 1)
    if len(following) > _HOURS and sigma > 0:
        rho = float(np.clip((residual[following] * residual[following + 1]).mean() / sigma**2, 0.0, 0.98))
    return Seasonal(profile, rho, max(sigma, _LEAST_SIGMA), float(residual[-1]))


def futures(rhythm: Seasonal, start_s: float, hours: int, n: int, seed: int) -> Floats:
    """Draw futures.

    Args:
        rhythm: fitted.
        start_s: Unix seconds of the first hour.
        hours: how many.
        n: how many futures.
        seed: of the residual paths.

    Returns:
        (n, hours) in the unit of the history.
    """
    rng = np.random.default_rng(seed)
    step = rng.normal(size=(n, hours)) * rhythm.sigma * np.sqrt(1.0 - rhythm.rho**2)
    residual = np.empty((n, hours))
    now = np.full(n, rhythm.last)
    for h in range(hours):
        now = rhythm.rho * now + step[:, h]
        residual[:, h] = now
    of_day = (int(start_s // 3600) + np.arange(hours)) % _HOURS
    return np.asarray(rhythm.profile[of_day] * np.exp(residual))


def _hourly(time_s: Floats, value: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Hours since 1970 that have values, and their means."""
    hours = (time_s // 3600).astype(np.int64)
    known, of = np.unique(hours, return_inverse=True)
    return known, np.bincount(of, weights=value) / np.bincount(of)
