"""All followed leaks at once against a day's readings: their places and flows, whatever was believed hour by hour.

With y the mean readings of some hours of the day, M(p, f) what the model says with leaks of f at the pipes p, and b the bias
as the history left it,

    y = M(p, f) + b + v,    b ~ N(b0, B),    f ~ N(f0, F), f >= 0,    v ~ N(0, R + sum_k f_k^2 S_k)

where S_k is how wrong the picture of leak k may be. Flows by Gauss-Newton, the hours solved anew. Places by exchange: one
leak more at any pipe, a leak elsewhere, two leaks that are one at a third place, a large one that is two, a meter that is
not to be believed. What
explains most by linear pictures, flows being free within F, is solved, and kept where

    evidence = -e' V^-1 e - (f - f0)' F^-1 (f - f0) - ln det V - cost of each leak

gains enough. The hourly filter moves one leak at a time, and where one has taken another's water, each stays where the
other keeps it; here all of it is dealt out again.

Reference: A. Tarantola, "Inverse Problem Theory" (2005), ch. 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from solvers.water.leak_search.location import Place, Scene, placed
from solvers.water.leak_search.ratio_tests import Window, ratios
from solvers.water.leak_search.whitening import projected
from solvers.water.plan import Floats, Index

_BIAS = 6.0  # times the deviation of the history's daily means: a year later the model misses more than in its own history
_PICTURE = 0.3  # of the covariance of a picture's error
_ROUNDS, _STEPS, _TRIED = 6, 3, 6
_COST, _DEAF = 16.0, 8.0  # of a leak, and of a meter that is not believed
_GAIN = 12.0
_APART_M = 600.0
_SPLIT, _NEAREST = 8.0, 300  # units from where on a leak may be two; pipes around it at which they may be
_LEAST, _MOST, _ANY = 0.1, 40.0, 20.0  # units: a flow that counts, the largest, the deviation of one never heard of
_UNREAD = 1e6
_SAME = 0.05  # units by which flows may still move


@dataclass(frozen=True, eq=False)
class Day:
    """What was read in some hours.

    Args:
        hours: which.
        reading: (n_output,) mean, nan where something was not read.
        bias: (n_output,) as the history left it.
    """

    hours: tuple[int, ...]
    reading: Floats
    bias: Floats


@dataclass(frozen=True, eq=False)
class Leaks:
    """Leaks that may explain a day.

    Args:
        pipe: (n,) where.
        number: (n,) of the track, 0 for a new one.
        flow: (n,) [m3/h].
        prior: (n,) flow before the day [m3/h].
        doubt: (n,) its deviation.
        known: (n,) 1 where it ran through the history: it stays where it is, and calibration has seen its picture.
        deaf: outputs that are not believed.
    """

    pipe: Index
    number: Index
    flow: Floats
    prior: Floats
    doubt: Floats
    known: Index
    deaf: tuple[int, ...] = ()

    def only(self, kept: Index) -> Leaks:
        """Some of them."""
        return Leaks(
            self.pipe[kept], self.number[kept], self.flow[kept], self.prior[kept], self.doubt[kept], self.known[kept], self.deaf
        )  # fmt: skip

    def with_one(self, pipe: int, flow: float, doubt: float) -> Leaks:
        """One more."""
        return Leaks(
            np.append(self.pipe, pipe), np.append(self.number, 0), np.append(self.flow, flow), np.append(self.prior, 0.0),
            np.append(self.doubt, doubt), np.append(self.known, 0), self.deaf,
        )  # fmt: skip

    def moved(self, k: int, pipe: int, flow: float, doubt: float) -> Leaks:
        """One of them elsewhere."""
        it = np.arange(len(self.pipe)) == k
        return replace(
            self, pipe=np.where(it, pipe, self.pipe), flow=np.where(it, flow, self.flow),
            prior=np.where(it, flow, self.prior), doubt=np.where(it, doubt, self.doubt),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Fit:
    """A day's fit.

    Args:
        leaks: with the flows that fit best.
        evidence: twice the log of the likelihood, less what leaks cost.
        left: (n_output,) what they leave of the readings.
        bias: (n_output, n_output) covariance of the bias, pictures' errors included.
        noise: (n_output, n_output) covariance of the mean reading around it.
        signature: (n_output, n_pipe).
    """

    leaks: Leaks
    evidence: float
    left: Floats
    bias: Floats
    noise: Floats
    signature: Floats

    @property
    def flowing(self) -> Floats:
        """(n_output, n) pictures of its leaks."""
        return self.signature[:, self.leaks.pipe]

    @property
    def before(self) -> Floats:
        """(n_output,) what the leaks would leave with the flows that they had before the day."""
        return self.left + self.flowing @ (self.leaks.flow - self.leaks.prior)

    def doubt(self, of: Index) -> Floats:
        """(n_output, n_output) covariance of that, with the flows of some leaks free."""
        s = self.flowing[:, of]
        return self.bias + self.noise + (s * self.leaks.doubt[of] ** 2) @ s.T


def day_of(scene: Scene, hours: tuple[int, ...], bias: Floats) -> Day:
    """Collect a day.

    Args:
        scene: the town and its past.
        hours: that are remembered.
        bias: (n_output,) as the history left it.
    """
    memory, read = scene.memory, []
    for h in hours:
        leaks = memory.before[h].leaks(len(scene.allowed)) * memory.outflow(h)
        read.append(memory.residual(h) + scene.town.view(memory.hour(h), leaks).reading)
    return Day(hours, np.mean(read, axis=0), bias)


def solved(scene: Scene, day: Day, leaks: Leaks) -> Fit:
    """The flows of leaks at given places.

    Args:
        scene: the town and its past.
        day: what was read.
        leaks: where, and about how much.
    """
    memory, n = scene.memory, len(scene.allowed)
    deaf = [*np.flatnonzero(~np.isfinite(day.reading)).tolist(), *leaks.deaf]
    noise = np.mean([scene.noise.covariance[memory.bin_of(h)] for h in day.hours], axis=0) / len(day.hours)
    noise[deaf, deaf] += _UNREAD
    for _ in range(_STEPS):
        model, signature = np.zeros(len(day.reading)), np.zeros((len(day.reading), n))
        for h in day.hours:
            outflow = memory.outflow(h)
            view = scene.town.view(memory.hour(h), np.bincount(leaks.pipe, leaks.flow, n) * outflow)
            model += view.reading / len(day.hours)
            signature += np.nan_to_num(scene.town.signatures(view)) * outflow / len(day.hours)
        bias = np.diag((_BIAS * scene.noise.bias) ** 2)
        for k in np.flatnonzero(leaks.known == 0).tolist():
            bias += _PICTURE * scene.noise.signature_error(int(leaks.pipe[k]), float(leaks.flow[k]))
        e = np.nan_to_num(day.reading - model - day.bias)
        s = signature[:, leaks.pipe]
        weight = np.linalg.inv(bias + noise)
        flow = _flows(s, weight, e + s @ leaks.flow, leaks)
        left = e - s @ (flow - leaks.flow)
        still = float(np.abs(flow - leaks.flow).max(initial=0.0)) < _SAME * scene.walks.unit
        leaks = replace(leaks, flow=flow)
        if still:
            break
    off = float((((leaks.flow - leaks.prior) / leaks.doubt) ** 2).sum())
    cost = _COST * int((leaks.flow > _LEAST * scene.walks.unit).sum()) + _DEAF * len(leaks.deaf)
    evidence = -float(left @ weight @ left) - off - float(np.linalg.slogdet(bias + noise)[1]) - cost
    return Fit(leaks, evidence, left, bias, noise, signature)


def exchanged(scene: Scene, day: Day, fit: Fit) -> Fit:
    """The best that exchange finds, beginning with a fit."""
    for _ in range(_ROUNDS):
        options = sorted(_options(scene, fit), key=lambda option: -option[0])[:_TRIED]
        tried = [solved(scene, day, leaks) for gain, leaks in options if gain > _GAIN]
        better = max(tried, key=lambda found: found.evidence, default=fit)
        if better.evidence < fit.evidence + _GAIN:
            break
        fit = better
    return fit


def place_of(scene: Scene, day: Day, fit: Fit, k: int) -> Place:
    """Where one of the leaks may be, the others flowing as they will."""
    others = np.flatnonzero(np.arange(len(fit.leaks.pipe)) != k)
    R = fit.doubt(others)
    e = fit.before + fit.leaks.prior[k] * fit.flowing[:, k]
    w = Window(min(day.hours), max(day.hours), e, fit.signature, R, np.zeros(0))
    f, z = ratios(w, R, scene.allowed)
    return placed(scene, w, R, f, z, np.where(f > 0, z**2, -np.inf))


def _flows(s: Floats, weight: Floats, target: Floats, leaks: Leaks) -> Floats:
    """Least squares, what would be negative held at 0."""
    free = np.ones(len(leaks.flow), dtype=bool)
    while True:
        out, A = np.zeros(len(free)), s[:, free]
        precision = 1.0 / leaks.doubt[free] ** 2
        out[free] = np.linalg.solve(
            A.T @ weight @ A + np.diag(precision), A.T @ weight @ target + precision * leaks.prior[free]
        )
        if (out >= 0.0).all():
            return out
        free &= out > 0.0


def _options(scene: Scene, fit: Fit) -> Iterator[tuple[float, Leaks]]:
    """Other leaks, and about what evidence each would gain."""
    leaks, unit = fit.leaks, scene.walks.unit
    everyone = np.arange(len(leaks.pipe))
    R, e = fit.doubt(everyone), fit.before
    W = np.linalg.inv(R)
    now = float(e @ W @ e)

    def explains(R: Floats, e: Floats) -> tuple[Floats, Floats]:
        product, power = projected(R, e, fit.signature)
        f = np.minimum(product / (power + 1e-12), _MOST * unit)
        return np.where(scene.allowed & (f > 0), product**2 / (power + 1.0 / (_ANY * unit) ** 2), 0.0), f

    gain, f = explains(R, e)
    for _ in range(2):
        j = int(gain.argmax())
        yield float(gain[j]) - _COST, leaks.with_one(j, float(f[j]), _ANY * unit)
        gain = np.where(scene.noise.distance_m[j] < _APART_M, 0.0, gain)
    for k in np.flatnonzero((leaks.known == 0) & (leaks.flow > _SPLIT * unit)).tolist():
        yield from _split(scene, fit, k)
    alone = (W @ e) ** 2 / np.diag(W)
    i = int(alone[: scene.town.n_head].argmax()) if scene.town.n_head else 0
    yield float(alone[i]) - _DEAF, replace(leaks, deaf=(*leaks.deaf, i))
    movable = np.flatnonzero(leaks.known == 0).tolist()
    for k, *merged in [(k,) for k in movable] + [(k, q) for k in movable for q in movable if k != q]:
        out = [k, *merged]
        R = fit.doubt(np.setdiff1d(everyone, out))
        e = fit.before + fit.flowing[:, out] @ leaks.prior[out]
        gain, f = explains(R, e)
        j = int(gain.argmax())
        if merged or j != leaks.pipe[k]:
            there = leaks.moved(k, j, float(f[j]), 0.5 * float(f[j]) + 3.0 * unit)
            better = now - float(e @ np.linalg.solve(R, e)) + float(gain[j]) + _COST * len(merged)
            yield better, there.only(np.setdiff1d(everyone, merged))


def _split(scene: Scene, fit: Fit, k: int) -> Iterator[tuple[float, Leaks]]:
    """One leak as two: what both explain together, and how much less two small pictures miss than a large one."""
    leaks, unit = fit.leaks, scene.walks.unit
    others = np.setdiff1d(np.arange(len(leaks.pipe)), k)
    at = np.argsort(np.where(scene.allowed, scene.noise.distance_m[leaks.pipe[k]], np.inf), kind="stable")[:_NEAREST]
    L = np.linalg.cholesky(fit.doubt(others))
    white = np.linalg.solve(L, np.column_stack([fit.signature[:, at], fit.before + leaks.prior[k] * fit.flowing[:, k]]))
    S, e = white[:, :-1], white[:, -1]
    p, Q = S.T @ e, S.T @ S
    q = np.diag(Q)
    det = q[:, None] * q[None] - Q**2
    first = (p[:, None] * q[None] - Q * p[None]) / np.maximum(det, 1e-9)  # the flow of the one, beside each other one
    explains = np.where((np.minimum(first, first.T) > unit) & (det > 1e-6 * q[:, None] * q[None]), p[:, None] * first, -np.inf)
    explains = explains + explains.T
    a, b = np.unravel_index(int(explains.argmax()), explains.shape)
    if not np.isfinite(explains[a, b]):
        return
    mine = at == leaks.pipe[k]
    now = float((p[mine] ** 2 / q[mine]).sum())
    error = scene.noise.signature_error
    V = fit.bias + fit.noise
    two = [(int(at[i]), float(f)) for i, f in ((a, first[a, b]), (b, first[b, a]))]
    less = V + _PICTURE * (sum(error(*leak) for leak in two) - error(int(leaks.pipe[k]), float(leaks.flow[k])))
    looser = float(np.linalg.slogdet(V)[1] - np.linalg.slogdet(less)[1])
    apart = leaks.moved(k, two[0][0], two[0][1], 0.5 * two[0][1] + 3.0 * unit)
    yield float(explains[a, b]) - now + looser - _COST, apart.with_one(*two[1], _ANY * unit)
