"""What the search remembers of past hours: readings, residuals, signatures, and what it believed before each hour.

Hours are kept for the longest window; whole days also as sums, so that a window of weeks costs as little as one of days.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from solvers.water.leak_search.noise import BINS
from solvers.water.leak_search.readings import Hours
from solvers.water.leak_search.whitening import add_hours
from solvers.water.plan import Floats, Index


@dataclass(frozen=True)
class Known:
    """A leak that runs before the first hour."""

    pipe: int
    flow_m3_per_h: float


@dataclass
class Track:
    """A leak that is followed, issued or not.

    Args:
        number: counts from 1; never used twice.
        pipe: where it is believed to be.
        onset: hour at which it began.
        found: hour at which it was tracked.
        window: length of the window that found it [h].
        peak: largest flow seen [m3/h].
        charged: flow up to which its signature error has been charged to the bias [m3/h].
        rival: largest recent jump in its zone when it was found [m3/h]; a small leak beside it may be its shadow.
        carried: it ran before the first hour.
        issued: it has raised an alarm.
        level: flow that it has kept near to [m3/h] since the hour `since`.
        has_settled: it has kept its flow for long: it walks no more.
        walk: extra walk of its flow until the hour `walk_until` [m3/h per sqrt(h)].
        changed: last hour at which its flow jumped.
        moved: last hour at which it was moved far.
        steady: days for which a fit of all leaks has left it where it is, and sharp.
    """

    number: int
    pipe: int
    onset: int
    found: int
    window: int = 0
    peak: float = 0.0
    charged: float = 0.0
    rival: float = 0.0
    carried: bool = False
    issued: bool = False
    level: float = 0.0
    since: int = 0
    has_settled: bool = False
    walk: float = 0.0
    walk_until: int = 0
    changed: int = -9999
    moved: int = -9999
    steady: int = 0


@dataclass
class Belief:
    """What is believed before an hour's readings.

    Args:
        bias: (n_output,) slow model error.
        flow: (n_track,) [m3/h].
        covariance: (n_output + n_track,) squared.
        tracks: the leaks.
    """

    bias: Floats
    flow: Floats
    covariance: Floats
    tracks: list[Track] = field(default_factory=list)

    def copy(self) -> Belief:
        """One that may be changed alone."""
        return Belief(self.bias.copy(), self.flow.copy(), self.covariance.copy(), [replace(t) for t in self.tracks])

    @property
    def pipes(self) -> Index:
        """(n_track,) pipes."""
        return np.array([t.pipe for t in self.tracks], dtype=np.int64)

    def leaks(self, n_pipe: int) -> Floats:
        """(n_pipe,) flows [m3/h]."""
        return np.bincount(self.pipes, self.flow, n_pipe).astype(np.float64) if self.tracks else np.zeros(n_pipe)

    def add(self, track: Track, flow: float, variance: float) -> None:
        """Follow one more leak."""
        n = len(self.covariance)
        grown = np.zeros((n + 1, n + 1))
        grown[:n, :n] = self.covariance
        grown[n, n] = variance
        self.covariance, self.flow = grown, np.append(self.flow, flow)
        self.tracks.append(track)

    def remove(self, k: int) -> Track:
        """Follow a leak no longer."""
        at = len(self.bias) + k
        self.covariance = np.delete(np.delete(self.covariance, at, 0), at, 1)
        self.flow = np.delete(self.flow, k)
        return self.tracks.pop(k)

    def index(self, number: int) -> int:
        """Place of a track, -1 where it is not followed."""
        return next((k for k, t in enumerate(self.tracks) if t.number == number), -1)


@dataclass(frozen=True, eq=False)
class Means:
    """A window's weighted means.

    Args:
        residual: (n_output,), 0 where nothing was read.
        signature: (n_output, n_pipe).
        share: (n_output,) of the weight at which something was read.
        noise: (n_bin,) sums of squared weights by consumption bin.
    """

    residual: Floats
    signature: Floats
    share: Floats
    noise: Floats


class Memory:
    """Past hours.

    Args:
        n_output: of the town.
        n_pipe: of the town.
        longest: window [h].
    """

    def __init__(self, n_output: int, n_pipe: int, longest: int) -> None:
        self.ring = longest + 8
        self._signature = np.zeros((self.ring, n_output, n_pipe), dtype=np.float32)
        self._residual = np.zeros((self.ring, n_output))
        self._weight = np.zeros(self.ring)
        self._outflow = np.zeros((self.ring, n_pipe))
        self._bin = np.zeros(self.ring, dtype=np.int64)
        self._days: dict[int, tuple[float, NDArray[np.float32], Floats, Floats, Floats]] = {}
        self._hours: dict[int, Hours] = {}
        self.before: dict[int, Belief] = {}

    def take(self, h: int, hour: Hours) -> None:
        """Remember an hour's readings."""
        self._hours[h] = hour
        self._hours.pop(h - self.ring, None)

    def hour(self, h: int) -> Hours:
        """An hour's readings."""
        return self._hours[h]

    def keep(
        self, h: int, residual: Floats, signature: Floats, outflow: Floats, weight: float, bin_: int, belief: Belief
    ) -> None:
        """Remember an hour and what was believed before it.

        Args:
            h: the hour.
            residual: (n_output,).
            signature: (n_output, n_pipe) per m3/h of leak at its usual pressure.
            outflow: (n_pipe,) what a leak flowed in this hour, over its flow at its usual pressure.
            weight: of the hour in means.
            bin_: of its consumption.
            belief: before it.
        """
        at = h % self.ring
        self._signature[at], self._residual[at], self._weight[at], self._bin[at] = signature, residual, weight, bin_
        self._outflow[at] = outflow
        self.before[h] = belief.copy()
        self.before.pop(h - self.ring, None)
        if h % 24 == 23 and h >= 23:
            self._days[h // 24] = self._sums(np.arange(h - 23, h + 1))
            self._days.pop(h // 24 - self.ring // 24 - 2, None)

    def take_back(self, first: int, last: int, bias: Floats) -> None:
        """Take out of the hours first .. last what the bias has become since it was `bias`."""
        for h in range(max(first, min(self.before)), last + 1):
            self._residual[h % self.ring] -= self.before[h].bias - bias
            self.before[h].bias = bias.copy()
        for day in self._days:
            if first // 24 <= day <= last // 24:
                self._days[day] = self._sums(np.arange(24 * day, 24 * day + 24))

    def signature(self, h: int) -> Floats:
        """(n_output, n_pipe) at an hour."""
        return np.asarray(self._signature[h % self.ring], dtype=np.float64)

    def signatures_of(self, hours: Index, pipe: int) -> Floats:
        """(n, n_output) of one pipe at many hours."""
        return np.asarray(self._signature[hours % self.ring, :, pipe], dtype=np.float64)

    def outflow(self, h: int) -> Floats:
        """(n_pipe,) what leaks flowed in an hour, over their flow at usual pressure."""
        return np.array(self._outflow[h % self.ring])

    def residual(self, h: int) -> Floats:
        """(n_output,) at an hour, nan where nothing was read."""
        return np.array(self._residual[h % self.ring])

    def weight(self, hours: Index) -> Floats:
        """(n,) weights of hours."""
        return np.array(self._weight[hours % self.ring])

    def bin_of(self, h: int) -> int:
        """Consumption bin of an hour."""
        return int(self._bin[h % self.ring])

    def means(self, first: int, last: int) -> Means:
        """Weighted means over the hours first .. last; whole days where the window is long."""
        if last - first >= 6 * 24:
            days = [self._days[d] for d in range(first // 24, last // 24 + 1)]
            parts = tuple(sum(day[i] for day in days) for i in range(5))
        else:
            parts = self._sums(np.arange(first, last + 1))
        total, signature, residual, read, noise = parts
        return Means(
            residual / np.maximum(read, 1e-12),
            np.asarray(signature, dtype=np.float64) / total,
            np.asarray(read / total),
            np.asarray(noise / total**2),
        )

    def weighted(self, hours: Index, weight: Floats) -> Means:
        """Means over chosen hours with the caller's own weights."""
        at = hours % self.ring
        there = np.isfinite(self._residual[at])
        read = weight @ there
        return Means(
            weight @ np.where(there, self._residual[at], 0.0) / np.maximum(read, 1e-12),
            self._signature_sum(at, weight).astype(np.float64) / weight.sum(),
            read / weight.sum(),
            np.bincount(self._bin[at], (weight / weight.sum()) ** 2, BINS).astype(np.float64),
        )

    def _sums(self, hours: Index) -> tuple[float, NDArray[np.float32], Floats, Floats, Floats]:
        at = hours % self.ring
        weight = self._weight[at]
        there = np.isfinite(self._residual[at])
        return (
            float(weight.sum()),
            self._signature_sum(at, weight),
            weight @ np.where(there, self._residual[at], 0.0),
            weight @ there,
            np.bincount(self._bin[at], weight**2, BINS).astype(np.float64),
        )

    def _signature_sum(self, at: Index, weight: Floats) -> NDArray[np.float32]:
        out = np.zeros(self._signature.shape[1:], dtype=np.float32)
        add_hours(self._signature.reshape(self.ring, -1), at, weight, out.reshape(-1))
        return out
