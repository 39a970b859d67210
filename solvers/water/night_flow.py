"""Minimum night flow, zone by zone: what rose with a leak, as likelihood over its zone and size.

Between 2 and 4 o'clock hardly anybody draws water, so that a leak is a large share of what flows in. With Q_zn the mean net
inflow of zone z in night n, q_z the median of the nights before an onset, s_z what they scatter around it, and d_z how far the
nights since then lie above (their mean, b nights before, a since),

    s_z = max(1.4826 median |Q_zn - q_z|, 0.03 |q_z|, the meters' own)        v_z = s_z^2 (1 / a + pi / (2 b))

a leak at pipe l of size f_l +- g_l, told by the pressures, makes the rise of its own zone likely, and no other's:

    p(d | l) / p(d | none) = M(d_z; f_l, v_z + g_l^2) / M(d_z; 0, v_z),   z the zone of l; 1 where it is not metered
    M(d; m, v) = w N(d; m, v) + (1 - w) N(d; 0, (10 s_z)^2),   w = 0.9: one night in ten something else happens

So a fire or a misread meter moves the odds between zones by what it may, and no further. Other leaks that begin or end in these
nights are not taken apart from it.

Reference: DVGW W 392 (A), "Wasserverlust in Rohrnetzen" (2017); A. O. Lambert: Water Science and Technology: Water Supply 2
(2002) 1. The median's variance is pi / 2 times the mean's: H. Cramér, Mathematical Methods of Statistics (1946), ch. 28.5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from solvers.water.plan import Floats, Index

NIGHT_S = (7200.0, 14400.0)
_LEAST_SPAN_US = 5_400_000_000  # of what was measured of a night
_KEPT = 28  # nights
_BEFORE, _LEAST_BEFORE, _SINCE = 14, 3, 7  # nights that are compared
_SCATTER = 0.03
_USUAL_NIGHT = 0.9  # w
_ELSE = 10.0


@dataclass(frozen=True, eq=False)
class Night:
    """One night.

    Args:
        first_us, last_us: what was measured of it, Unix us.
        inflow: (n_zone,) mean net inflow [m3/s]; NaN where it is not metered, or was not read all the time.
    """

    first_us: int
    last_us: int
    inflow: Floats


@dataclass(frozen=True, eq=False)
class Nights:
    """The nights that are remembered, the oldest first.

    Args:
        whole: those that are over.
        count: instants of the night under way, 0 by day.
        sums: of the night under way: its mean so far.
    """

    whole: tuple[Night, ...] = ()
    count: int = 0
    sums: Night | None = None

    def after(self, time_us: int, second_of_day: float, inflow: Floats) -> Nights:
        """Take in an instant.

        Args:
            time_us: Unix us.
            second_of_day: on the town's clock.
            inflow: (n_zone,) net inflow [m3/s]; NaN where it is not metered, or not read.
        """
        if NIGHT_S[0] <= second_of_day < NIGHT_S[1]:
            if self.sums is None:
                return replace(self, count=1, sums=Night(time_us, time_us, inflow))
            mean = self.sums.inflow + (inflow - self.sums.inflow) / (self.count + 1)
            return replace(self, count=self.count + 1, sums=Night(self.sums.first_us, time_us, mean))
        if self.sums is None:
            return self
        span = self.sums.last_us - self.sums.first_us
        return Nights((*self.whole, self.sums)[-_KEPT:] if span >= _LEAST_SPAN_US else self.whole)


@dataclass(frozen=True, eq=False)
class Rise:
    """What night flow rose by with a leak.

    Args:
        above: (n_zone,) d [m3/s]; NaN where fewer nights were read than are needed.
        variance: (n_zone,) v [m6/s2].
        scatter: (n_zone,) s [m3/s].
        nights: (n, n_zone) those compared, the last `since` of them since the onset; a zone's are those that were read.
        since: how many.
        newest_us: end of the newest night.
    """

    above: Floats
    variance: Floats
    scatter: Floats
    nights: Floats
    since: int
    newest_us: int


def rise(nights: Nights, onset_us: int, meter_sigma: Floats) -> Rise | None:
    """What rose since an onset; None as long as there are not three nights before and one since.

    Args:
        nights: remembered.
        onset_us: of the leak, Unix us.
        meter_sigma: (n_zone,) standard deviation of the meters around each zone together [m3/s].
    """
    before = [n for n in nights.whole if n.last_us < onset_us][-_BEFORE:]
    since = [n for n in nights.whole if n.first_us >= onset_us][:_SINCE]
    if len(before) < _LEAST_BEFORE or not since:
        return None
    earlier, later = (np.array([n.inflow for n in some]) for some in (before, since))
    b, a = np.isfinite(earlier).sum(axis=0), np.isfinite(later).sum(axis=0)
    read = np.flatnonzero((b >= _LEAST_BEFORE) & (a > 0))
    above, variance, scatter = np.full((3, len(meter_sigma)), np.nan)
    usual: Floats = np.nanmedian(earlier[:, read], axis=0)
    usually = np.maximum(1.4826 * np.nanmedian(np.abs(earlier[:, read] - usual), axis=0), _SCATTER * np.abs(usual))
    scatter[read] = np.maximum(usually, meter_sigma[read])
    variance[read] = scatter[read] ** 2 * (1.0 / a[read] + np.pi / (2.0 * b[read]))
    above[read] = np.nanmean(later[:, read], axis=0) - usual
    return Rise(above, variance, scatter, np.concatenate([earlier, later]), len(since), since[-1].last_us)


def likelihood(found: Rise, zone: Index, flow: Floats, deviation: Floats) -> Floats:
    """(n_pipe,) log p(d | l) / p(d | none).

    Args:
        found: what rose.
        zone: (n_pipe,) zone of each pipe, -1 where it has none.
        flow: (n_pipe,) f, the leak's size if it were that pipe [m3/s].
        deviation: (n_pipe,) g [m3/s].

    >>> quiet = Rise(np.array([0.005, 0.0]), np.full(2, 1e-6), np.full(2, 1e-3), np.zeros((4, 2)), 1, 0)
    >>> log = likelihood(quiet, np.array([0, 1, -1]), np.full(3, 0.005), np.full(3, 5e-4))
    >>> bool(log[0] > 0.0 > log[1]), float(log[2])
    (True, 0.0)
    """
    d, v, s = found.above[zone], found.variance[zone], found.scatter[zone]
    other = (1.0 - _USUAL_NIGHT) * _normal(d, 0.0 * flow, (_ELSE * s) ** 2)
    leak = _USUAL_NIGHT * _normal(d, flow, v + deviation**2) + other
    none = _USUAL_NIGHT * _normal(d, 0.0 * flow, v) + other
    log: Floats = np.log(leak) - np.log(none)
    return np.where((zone >= 0) & np.isfinite(log), log, 0.0)


def _normal(x: Floats, mean: Floats, variance: Floats) -> Floats:
    density: Floats = np.exp(-0.5 * (x - mean) ** 2 / variance) / np.sqrt(2.0 * np.pi * variance)
    return density
