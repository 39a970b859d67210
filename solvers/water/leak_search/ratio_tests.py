"""Generalised likelihood ratios: does a change within a window, at some pipe, explain what the filter did not expect?

For a window of w hours that begins at t0, with the bias b0 and its covariance P0 as believed at t0,

    e = mean(r) - b0,    R = noise + walk of the bias + P0 + what known leaks may have contributed
    f_j = s_j' R^-1 e / s_j' R^-1 s_j,    z_j = s_j' R^-1 e / sqrt(s_j' R^-1 s_j)

over all pipes j; the same with the unit vectors of single outputs asks whether a meter alone has changed.

Reference: M. Basseville, I. V. Nikiforov, "Detection of Abrupt Changes" (1993), ch. 7.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.water.leak_search.bias_filter import Walks
from solvers.water.leak_search.memory import Belief, Means, Memory
from solvers.water.leak_search.noise import Noise
from solvers.water.leak_search.whitening import NO_METER_TELLS, projected, whitened
from solvers.water.plan import Floats

_UNREAD = 1e6


@dataclass(frozen=True)
class Past:
    """A leak that is over; windows that reach back to it still see its shadow."""

    pipe: int
    peak: float
    ended: int


@dataclass(frozen=True, eq=False)
class Window:
    """A window's evidence.

    Args:
        first, last: its hours.
        e: (n_output,) unexplained mean.
        signature: (n_output, n_pipe) mean.
        R: (n_output, n_output).
        own: (n_track,) variance that each known leak's flow was granted in R.
    """

    first: int
    last: int
    e: Floats
    signature: Floats
    R: Floats
    own: Floats


def window(memory: Memory, belief: Belief, noise: Noise, walks: Walks, first: int, last: int, past: Sequence[Past]) -> Window:
    """Collect a window's evidence."""
    before, length = memory.before[first], last - first + 1
    means = memory.means(first, last)
    n = len(means.residual)
    R = averaged_noise(means, noise)
    R[np.arange(n), np.arange(n)] += (0.04 * noise.bias) ** 2 * length
    R += before.covariance[:n, :n]
    own = np.zeros(len(belief.tracks))
    for k, track in enumerate(belief.tracks):
        i = before.index(track.number)
        walked = walks.of(track, last) ** 2 * length
        if i >= 0:
            own[k] = before.covariance[n + i, n + i] + walked
            grown = abs(belief.flow[k] - before.flow[i])
            if not walks.is_settled(track, last):
                own[k] += grown**2  # what it has taken in meanwhile may be another's
            if track.changed >= last + 1 - length:
                grown = max(grown, abs(track.peak - before.flow[i]))
            if grown > 0.7 * walks.unit:
                R += noise.signature_error(track.pipe, grown)
        else:
            own[k] = belief.covariance[n + k, n + k] + walked + belief.flow[k] ** 2
            R += noise.signature_error(track.pipe, track.peak)
        if belief.flow[k] > 3.0 * walks.unit:
            R += 0.04 * noise.signature_error(track.pipe, float(belief.flow[k]))
    flowing = means.signature[:, belief.pipes]
    R += (flowing * own) @ flowing.T
    for leak in past:
        if leak.ended >= first:
            R += noise.signature_error(leak.pipe, leak.peak)
    return Window(first, last, np.where(means.share > 0, means.residual - before.bias, 0.0), means.signature, R, own)


def averaged_noise(means: Means, noise: Noise) -> Floats:
    """(n_output, n_output) covariance of a mean; outputs that were read seldom are worth less, unread ones nothing."""
    R = np.tensordot(means.noise, noise.covariance, (0, 0))
    lost = 1.0 / np.maximum(means.share, 1e-9) - 1.0
    R[np.diag_indices_from(R)] *= 1.0 + np.minimum(lost, _UNREAD)
    R[np.diag_indices_from(R)] += np.where(means.share > 0, 0.0, _UNREAD)
    return R


def ratios(w: Window, R: Floats, allowed: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """(n_pipe,) flows [m3/h] and z of a change at each pipe."""
    product, power = projected(R, w.e, w.signature)
    product, power = np.where(allowed, product, 0.0), power + 1e-12
    return product / power, product / np.sqrt(power)


def by_itself(w: Window, k: int, pipe: int, allowed: NDArray[np.bool_], sign: float = 1.0) -> tuple[float, float, float]:
    """Strongest z of one sign, z at a followed leak and its size, as if that leak explained nothing yet.

    Args:
        w: the window's evidence.
        k: which leak.
        pipe: where it is followed.
        allowed: (n_pipe,) pipes that can leak.
        sign: 1 for a rise, -1 for a drop.
    """
    s = w.signature[:, pipe]
    f, z = ratios(w, w.R - 0.95 * w.own[k] * np.outer(s, s), allowed)
    return float(sign * (sign * z).max()), float(z[pipe]), float(f[pipe])


def least(w: Window, R: Floats, pipe: int, n_head: int) -> float:
    """Z of a change at a pipe if the pressure meter that speaks most for it were silent.

    With W = R^-1, u = W e, v = W s, the evidence without output i is (s' u - v_i u_i / W_ii) / sqrt(s' v - v_i^2 / W_ii).
    """
    s = w.signature[:, pipe]
    W = np.linalg.inv(R + NO_METER_TELLS * np.eye(len(R)))
    u, v, d = W @ w.e, W @ s, np.diag(W)
    product, power = float(s @ u), float(s @ v)
    z = (product - v * u / d) / np.sqrt(np.maximum(power - v**2 / d, 1e-12))
    return float(z[:n_head].min()) if n_head else product / max(power, 1e-12) ** 0.5


def alone(w: Window) -> tuple[Floats, float]:
    """(n_output,) z^2 of a change of one output by itself, and all that there is to explain, e' R^-1 e."""
    white = whitened(w.R, np.column_stack([w.e, np.eye(len(w.e))]))
    power = (white[:, 1:] ** 2).sum(axis=0)
    return np.asarray((white[:, 0] @ white[:, 1:]) ** 2 / power), float(white[:, 0] @ white[:, 0])
