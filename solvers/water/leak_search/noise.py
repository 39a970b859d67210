"""What the calibrated model still misses: a weekly rhythm, hourly noise by demand, and how wrong a signature may be."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.ndimage import uniform_filter1d

from grid_models.water.zones import pipe_distance_m
from solvers.water.leak_search.calibration import Calibration
from solvers.water.leak_search.readings import HOURS_PER_WEEK, Hours
from solvers.water.leak_search.town import Town
from solvers.water.leak_search.whitening import projected
from solvers.water.plan import Floats, Index

UNSTEADY = 4  # bin of the hours with switching
BINS = UNSTEADY + 1
_SLOW_HOURS = 120
_BIN_QUANTILES = (0.15, 0.45, 0.75)
_NEIGHBOUR_M = 120.0
_POSITION_WEIGHT = 0.4
_SCALE_ERROR = 0.03
_BIAS_OF_DAILY = 0.8
_LEAST_BIAS_M = 0.0005
_LEAST_SHARE = 1e-4  # of the consumption: a meter of a pipe that stands still has noise, too


@dataclass(frozen=True, eq=False)
class Noise:
    """Statistics of the history's residuals.

    Args:
        rhythm: (168, n_output) mean residual by hour of the week.
        edges: (3,) of the consumption bins [m3/h].
        covariance: (5, n_output, n_output) of an hour's residual in each bin, the last one that of hours with switching.
        worth: (5,) weight of an hour of each bin.
        usual_flow_m3_per_h: (n_flow,) of the history, by which switching is told.
        reference_m3_per_h: median consumption.
        bias: (n_output,) standard deviation of the slow model error.
        last_bias: (n_output,) the slow model error at the end of the history.
        signature: (n_output, n_pipe) at a typical hour.
        pressure_m: (n_pipe,) at that hour; what a leak's flow is stated for.
        spread: (n_sample, n_output, n_pipe) of the posterior's samples around it.
        distance_m: (n_pipe, n_pipe) along pipes, between their middles.
    """

    rhythm: Floats
    edges: Floats
    covariance: Floats
    worth: Floats
    usual_flow_m3_per_h: Floats
    reference_m3_per_h: float
    bias: Floats
    last_bias: Floats
    signature: Floats
    pressure_m: Floats
    spread: Floats
    distance_m: Floats
    _unit_error: dict[int, Floats] = field(default_factory=dict)

    def alone(self) -> Noise:
        """The same without what has been computed from it."""
        return replace(self, _unit_error={})

    def bin_of(self, consumption: float, unsteady: bool) -> int:
        """The bin of an hour."""
        return UNSTEADY if unsteady else int(np.searchsorted(self.edges, consumption))

    @property
    def told_m3_per_h(self) -> float:
        """Standard deviation to which an hour tells the flow of a leak, in the median over pipes."""
        _, power = projected(self.covariance[:UNSTEADY].mean(axis=0), self.bias, self.signature)
        return float(1.0 / np.sqrt(np.median(power)))

    def signature_error(self, pipe: int, flow: float) -> Floats:
        """(n_output, n_output) covariance of what a leak's picture may miss: the model's error, its place, its scale."""
        if pipe not in self._unit_error:
            drawn = self.spread[:, :, pipe]
            near = np.flatnonzero(self.distance_m[pipe] < _NEIGHBOUR_M)
            moved = self.signature[:, near] - self.signature[:, [pipe]]
            unit = drawn.T @ drawn / len(drawn) + _POSITION_WEIGHT * (moved @ moved.T) / len(near)
            self._unit_error[pipe] = unit + np.diag((_SCALE_ERROR * self.signature[:, pipe]) ** 2)
        return self._unit_error[pipe] * flow**2


def learn_noise(calibration: Calibration, hours: Hours) -> Noise:
    """Statistics of a calibrated history.

    Args:
        calibration: of these hours.
        hours: of the history.
    """
    town = calibration.town
    usual = hours.usual_flow_m3_per_h
    unsteady = hours.is_unsteady(usual)
    calm = np.where(unsteady[:, None], np.nan, calibration.residual)
    rhythm = _rhythm(calm, hours.hour_of_week)
    residual = calm - rhythm[hours.hour_of_week]
    slow = _slow(residual)
    fast = np.nan_to_num(calibration.residual - rhythm[hours.hour_of_week] - slow)
    sd = fast[~unsteady].std(axis=0)
    steady = np.clip(fast[~unsteady], -5 * sd, 5 * sd)
    edges = np.quantile(calibration.consumption, _BIN_QUANTILES)
    bins = np.searchsorted(edges, calibration.consumption[~unsteady])
    least = np.full(town.n_output, _LEAST_SHARE * float(np.median(calibration.consumption)))
    least[: town.n_head] = _LEAST_BIAS_M
    covariance = np.array([np.cov(steady[bins == k].T) for k in range(UNSTEADY)]) + np.diag(least**2)
    covariance = np.concatenate([covariance, [_of_switching(fast[unsteady], covariance.mean(axis=0))]])
    heads = np.array([np.median(np.diag(c)[: town.n_head]) for c in covariance])
    worth = np.append(np.ones(UNSTEADY), min(1.0, heads[:UNSTEADY].mean() / heads[UNSTEADY]))
    n_day = len(residual) // 24
    daily = np.nanstd(_mean(residual[: n_day * 24].reshape(n_day, 24, -1), axis=1), axis=0)
    bias = daily.copy()
    bias[: town.n_head] = max(_BIAS_OF_DAILY * float(np.median(daily[: town.n_head])), _LEAST_BIAS_M)
    typical = int(np.argmin(np.abs(calibration.consumption - np.quantile(calibration.consumption, 0.6))))
    leaks = calibration.leaks[typical]
    pressure = town.pipe_pressure(town.view(hours[typical], leaks))
    signature = _signature(town, hours, typical, leaks)
    spread = np.array([_signature(town.with_parameters(p), hours, typical, leaks) - signature for p in calibration.samples])
    return Noise(
        rhythm, edges, covariance, worth, usual, float(np.median(calibration.consumption)), bias, np.nan_to_num(slow[-1]),
        signature, pressure, spread, distances_m(town),
    )  # fmt: skip


def _of_switching(residual: Floats, usual: Floats) -> Floats:
    """(n_output, n_output) covariance of hours with switching: what they missed in the mean counts, too."""
    few = 10 * len(usual)  # hours that say as much as what is usual does
    return np.asarray((residual.T @ residual + few * usual) / (len(residual) + few))


def distances_m(town: Town) -> Floats:
    """(n_pipe, n_pipe) way along pipes from middle to middle, inf where pipes do not join them [m]."""
    start, end = town.pipe_ends
    length = np.asarray(town.network.tables["pipe"]["length_m"], dtype=np.float64)
    ways = pipe_distance_m(town.network, np.arange(len(town.network.node_ids)))
    between = np.minimum.reduce([ways[np.ix_(a, b)] for a in (start, end) for b in (start, end)])
    out: Floats = between + 0.5 * (length[:, None] + length[None])
    np.fill_diagonal(out, 0.0)
    return out


def _signature(town: Town, hours: Hours, h: int, leaks: Floats) -> Floats:
    return np.nan_to_num(town.signatures(town.view(hours[h], leaks)))


def _mean(values: Floats, axis: int = 0) -> Floats:
    """Mean of what is there, nan where nothing is."""
    there = np.isfinite(values)
    count = there.sum(axis=axis)
    return np.where(count > 0, np.where(there, values, 0.0).sum(axis=axis) / np.maximum(count, 1), np.nan)


def _rhythm(residual: Floats, hour_of_week: Index) -> Floats:
    """(168, n_output) means by hour of the week, drawn towards those of its workdays or weekend.

    With d the difference of both means and s the standard error of d, the share max(0, 1 - s^2 / d^2) of d is kept
    (W. James, C. Stein, 1961).
    """
    how = np.arange(HOURS_PER_WEEK)
    kind = how % 24 + 24 * (how >= 5 * 24)
    kinds = np.array([np.nan_to_num(_mean(residual[kind[hour_of_week] == k])) for k in range(48)])
    common = kinds[kind]
    own = np.array([_mean(residual[hour_of_week == k]) for k in how])
    scatter = np.nanvar(residual - kinds[kind[hour_of_week]], axis=0)
    count = np.array([np.isfinite(residual[hour_of_week == k]).sum(axis=0) for k in how])
    d = np.nan_to_num(own - common)
    share = np.maximum(1.0 - scatter / np.maximum(count, 1) / np.maximum(d**2, 1e-30), 0.0)
    return np.asarray(common + share * d)


def _slow(residual: Floats) -> Floats:
    """Centred moving mean over days, of what is there."""
    there = np.isfinite(residual).astype(np.float64)
    total = uniform_filter1d(np.nan_to_num(residual), _SLOW_HOURS, axis=0, mode="constant")
    weight = uniform_filter1d(there, _SLOW_HOURS, axis=0, mode="constant")
    return np.where(weight > 0, total / np.maximum(weight, 1e-9), 0.0)
