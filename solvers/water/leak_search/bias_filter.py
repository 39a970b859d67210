"""Follow the slow model error and the flows of the known leaks: a Kalman filter, hour by hour.

State x = (b, f): bias of each output and flow of each leak. With r the residual against a model in which the leaks flow
already, and s_l their signatures,

    r = b + sum_l s_l (f_l - flow in the model) + v,    v ~ N(0, R(demand)),    b, f random walks.

A leak that has settled walks no more, so that it cannot swallow a new neighbour. Innovations are clipped at four
deviations: an outlier is for the tests to judge, not for the filter to follow. f >= 0 by projection along the covariance.
When a leak's flow jumps, and whenever it grows, the error of its signature is charged to the bias: a large leak's
imprecise picture must not look like a new leak beside it.

Reference: R. E. Kalman, J. Basic Eng. 82 (1960); A. S. Willsky, H. L. Jones, IEEE Trans. AC 21 (1976).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.water.leak_search.memory import Belief, Track
from solvers.water.leak_search.noise import Noise
from solvers.water.leak_search.whitening import projected
from solvers.water.plan import Floats, Index

_UNREAD = 1e6  # variance of what was not read
RATE = 0.04  # of the bias's own deviation, per square root of an hour
_CLIP = 4.0
_JUMP_Z = 4.5
_MOST_LOST = 1.5  # times its flow: a larger drop is not a leak's end
_MOST_BIAS = 60.0  # of its own deviation
_MOST_DOUBT = 12.0
_OLD_HOURS = 2400
_BURST_HOURS, _BURST_SETTLES_H, _SETTLES_H = 4, 48, 24 * 14
_SAME_FLOW = 0.12  # share by which a flow that has settled may move


@dataclass(frozen=True)
class Walks:
    """How flows move, scaled to the town.

    Args:
        unit: what one m3/h of a town of 180 m3/h is here [m3/h].
        pace: how far flows may walk, 1 where an hour tells a flow as on L-Town. Where it tells it better, a walk as wide
            would take in within hours what belongs to a neighbour.
    """

    unit: float
    pace: float = 1.0

    def of(self, track: Track, h: int) -> float:
        """Walk of a leak's flow [m3/h per sqrt(h)]."""
        if h < track.walk_until:
            return track.walk
        return self.settled if self.is_settled(track, h) else 0.05 * self.unit * self.pace

    @property
    def settled(self) -> float:
        """Walk of a leak that has settled."""
        return 0.004 * self.unit * self.pace

    def is_burst(self, hours: int, size: float, flow: float) -> bool:
        """Whether a growth by `size` within hours, where `flow` flowed already, is something that has broken open."""
        return hours <= _BURST_HOURS and size > max(5.0 * self.unit, flow)

    def has_broken_open(self, track: Track, h: int, hours: int, size: float, flow: float) -> bool:
        """Whether a leak that is known for days grows by so much within hours that it is no growth."""
        return track.issued and h - track.found > _BURST_SETTLES_H and self.is_burst(hours, size, flow)

    def is_settled(self, track: Track, h: int) -> bool:
        """Whether a leak has no freedom left: carried over, old, or one that has kept its flow."""
        return track.carried or h - track.onset > _OLD_HOURS or track.has_settled


@dataclass(frozen=True)
class Jump:
    """A known leak that jumped by itself in an hour: a repair, a growth."""

    pipe: int
    number: int
    size: float


def advance(belief: Belief, h: int, residual: Floats, signature: Floats, bin_: int, noise: Noise, walks: Walks) -> list[Jump]:
    """Take in one hour, in place.

    Args:
        belief: before the hour; afterwards after it.
        h: the hour.
        residual: (n_output,) nan where nothing was read.
        signature: (n_output, n_pipe).
        bin_: consumption bin.
        noise: of the town.
        walks: of the flows.
    """
    n, k = len(belief.bias), len(belief.flow)
    P = belief.covariance
    _settle(belief, h, walks)
    P[np.arange(n), np.arange(n)] += (RATE * noise.bias) ** 2
    for q, track in enumerate(belief.tracks):
        P[n + q, n + q] += walks.of(track, h) ** 2
        if walks.is_settled(track, h) and h - track.changed > 72:
            _hold(P, n + q, 0.15 * walks.unit * walks.pace)
    R = noise.covariance[bin_].copy()
    unread = ~np.isfinite(residual)
    R[unread, unread] = _UNREAD
    e = np.where(unread, 0.0, residual - belief.bias)
    S = np.asarray(signature, dtype=np.float64)
    jumps = _jump(belief, h, e, S, R, noise, walks) if k else []
    H = np.zeros((n, n + k))
    H[:, :n] = np.eye(n)
    H[:, n:] = S[:, belief.pipes] if k else 0.0
    PH = P @ H.T
    V = H @ PH + R
    sd = np.sqrt(np.diag(V))
    e = np.clip(e, -_CLIP * sd, _CLIP * sd)
    gain = np.linalg.solve(V, PH.T).T
    x = gain @ e
    P -= gain @ PH.T
    belief.covariance = 0.5 * (P + P.T)
    belief.bias = belief.bias + x[:n]
    if k:
        belief.flow = belief.flow + x[n:]
        _keep_within(belief, noise, walks)
    for track, flow in zip(belief.tracks, belief.flow.tolist(), strict=True):
        track.peak = max(track.peak, flow)
        if flow > track.charged + 0.5 * walks.unit:
            grown = flow**2 - track.charged**2
            belief.covariance[:n, :n] += noise.signature_error(track.pipe, 1.0) * grown
            track.charged = flow
    return jumps


def _settle(belief: Belief, h: int, walks: Walks) -> None:
    """A leak that came at once has settled when its flow has stood for two days; any other, for a fortnight.

    One that has not been told never settles: if it is none, its flow must be free to go.
    """
    for track, flow in zip(belief.tracks, belief.flow.tolist(), strict=True):
        if abs(flow - track.level) > max(_SAME_FLOW * track.level, 0.4 * walks.unit):
            track.level, track.since = flow, h
        came_at_once = track.window > 0 and walks.is_burst(track.window, track.peak, 0.0)
        track.has_settled = track.issued and h - track.since >= (_BURST_SETTLES_H if came_at_once else _SETTLES_H)


def _hold(P: Floats, at: int, most: float) -> None:
    """Scale a variance down to a bound, correlations kept."""
    if P[at, at] > most**2:
        c = most / np.sqrt(P[at, at])
        P[at] *= c
        P[:, at] *= c


def _jump(belief: Belief, h: int, e: Floats, S: Floats, R: Floats, noise: Noise, walks: Walks) -> list[Jump]:
    """Give a known leak room where its own signature explains the hour nearly as well as any."""
    n = len(e)
    product, power = projected(R + belief.covariance[:n, :n], e, S)
    power = power + 1e-12
    z, f = product / np.sqrt(power), product / power
    mine = belief.pipes
    q = int(np.abs(z[mine]).argmax())
    if z[mine[q]] < 0:
        q = who_fell(z, f, mine, belief.flow, walks.unit)
    own_z, size = z[mine[q]], f[mine[q]]
    track = belief.tracks[q]
    if abs(own_z) <= _JUMP_Z or abs(size) <= 0.8 * walks.unit:
        return []
    sign = np.sign(own_z)
    best = (sign * z).max()
    settled = walks.is_settled(track, h)
    if sign < 0:
        had = belief.flow[q] > 0.4 * walks.unit and -size < _MOST_LOST * belief.flow[q] + 2.0 * walks.unit
        explains = own_z**2 > 0.6 * best**2 and had
        accepted = explains and (not settled or size < -0.5 * belief.flow[q])
    else:
        young = h - track.onset < 72
        broke = walks.has_broken_open(track, h, 1, float(size), float(belief.flow[q]))  # the search will ask whose that is
        accepted = not settled and not broke and (own_z**2 > best**2 - 12 or (young and own_z**2 > 0.75 * best**2))
    if not accepted:
        return []
    belief.covariance[n + q, n + q] += size**2
    belief.covariance[:n, :n] += noise.signature_error(track.pipe, abs(size))
    track.changed = h
    return [Jump(track.pipe, track.number, abs(float(size)))]


def who_fell(z: Floats, f: Floats, mine: Index, flow: Floats, unit: float) -> int:
    """Of the known leaks that explain a drop, the one that explains it best and has as much to lose.

    Args:
        z: (n_pipe,) ratio of a change at each pipe.
        f: (n_pipe,) its size [m3/h].
        mine: (n_track,) pipes of the known leaks.
        flow: (n_track,) their flows [m3/h].
        unit: flow below which sizes do not matter [m3/h].
    """
    share = np.where(z[mine] < 0, z[mine] ** 2, 0.0) / z.min() ** 2
    excess = np.maximum(-f[mine] - flow, 0.0) / (flow + unit)
    return int((share - excess).argmax())


def _keep_within(belief: Belief, noise: Noise, walks: Walks) -> None:
    """No negative flow, no bias and no doubt about it beyond reason."""
    n = len(belief.bias)
    P = belief.covariance
    for q in np.flatnonzero(belief.flow < 0).tolist():
        if belief.flow[q] >= 0:
            continue
        toward = P[:, n + q] / (P[n + q, n + q] + 1e-4)
        lack = -belief.flow[q]
        belief.bias = belief.bias + np.clip(toward[:n] * lack, -5 * noise.bias, 5 * noise.bias)
        belief.flow = belief.flow + toward[n:] * lack
        belief.flow[q] = 0.0
    belief.flow = np.clip(belief.flow, 0.0, 45.0 * walks.unit)
    doubt = np.sqrt(np.maximum(np.diag(P)[:n], 1e-18))
    cap = np.minimum(1.0, _MOST_DOUBT * noise.bias / doubt)
    if (cap < 1.0).any():
        c = np.concatenate([cap, np.ones(len(belief.flow))])
        belief.covariance = P * c[:, None] * c[None]
    belief.bias = np.clip(belief.bias, -_MOST_BIAS * noise.bias, _MOST_BIAS * noise.bias)
