"""What people and loggers say of where a leak is, as likelihoods over pipes.

A leak lies at pipe l of length len_l, in a network of length L; a report i lies d_il along the pipes away from it. Some
of what is said is false: it tells of something else, or the logger is broken. With w the share that is true,

    p(i | l) / p(i | false) = 1 - w + w r_il

    citizen  a true report lies near the leak, a false one anywhere:
             r_il = L k_il / sum_m len_m k_im         k_il = exp(-d_il / D)
    logger   a leak raises its level e (above its own background, of deviation s) by G exp(-d_il / R), give or take
             half of that; a broken one shows anything within U:
             r_il = U N(e; g, s^2 + (g/2)^2)           g = G exp(-d_il / R)

w is not known for citizens, so it is integrated out, all reports together: a town that cries wolf is believed less.

    Lambda_l = int_0^1 prod_i (1 - w + w r_il) dw     of loggers: prod_i (1 - w + w r_il) / mean over l, with w = 0.9

What several reports of one source say is one voice. The voice that speaks most for a pipe does not count for it: what is
left must hold without it. So one report alone, wherever it lies, moves nothing, and the second one that agrees does.

    log p(reports | l) = min over voices v of log Lambda_l without v

A crew that has searched a pipe and found nothing may have missed the leak, with chance m: p(rejected | l) = m at what was
searched, 1 elsewhere. One that has found it does not err: elsewhere p = 0.

Every function is pure and symmetric in the reports. References: G. E. P. Box, G. C. Tiao: Biometrika 55 (1968) 119, a mixture
with a class of false readings; O. Hunaidi, W. T. Chu: Applied Acoustics 58 (1999) 235, decay of leak noise along pipes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from solvers.water.plan import Floats

_NEAR_M = 100.0  # D
_HEARD_M = 100.0  # R
_RISE_DB = 20.0  # G
_ANY_DB = 60.0  # U
_LEAST_DB = 0.5  # of a background's deviation
_WORKING = 0.9  # w of loggers
_MISSED = 0.15  # m
_SHARE, _WEIGHT = np.polynomial.legendre.leggauss(8)
_SHARE, _WEIGHT = 0.5 * (_SHARE + 1.0), 0.5 * _WEIGHT  # on (0, 1)
_TINY = 1e-300


def citizen(distance_m: Floats, length_m: Floats) -> Floats:
    """R of a citizen's report.

    Args:
        distance_m: (n_pipe,) along the pipes from where it lies; inf where no way leads.
        length_m: (n_pipe,) of the pipes.

    >>> citizen(np.array([0.0, 1000.0]), np.array([100.0, 100.0])).round(3)
    array([2., 0.])
    """
    near = np.exp(-distance_m / _NEAR_M)
    ratio: Floats = length_m.sum() * near / max(float(length_m @ near), _TINY)
    return ratio


def logger(distance_m: Floats, rise_db: float, deviation_db: float) -> Floats:
    """R of an acoustic logger's level.

    Args:
        distance_m: (n_pipe,) along the pipes from the logger.
        rise_db: its level above its background.
        deviation_db: of its levels around that.

    >>> loud, quiet = logger(np.array([0.0, 1000.0]), 20.0, 1.0), logger(np.array([0.0, 1000.0]), 0.0, 1.0)
    >>> bool(loud[0] > loud[1]), bool(quiet[0] < quiet[1])
    (True, True)
    """
    rise = _RISE_DB * np.exp(-distance_m / _HEARD_M)
    variance = max(deviation_db, _LEAST_DB) ** 2 + (0.5 * rise) ** 2
    ratio: Floats = _ANY_DB * np.exp(-0.5 * (rise_db - rise) ** 2 / variance) / np.sqrt(2.0 * np.pi * variance)
    return ratio


def voices(citizens: Sequence[Floats], loggers: Sequence[Floats], length_m: Floats) -> Floats:
    """What all voices say together: (n_pipe,) log-likelihood, 0 everywhere where there is but one.

    Args:
        citizens: r of each, (n_pipe,).
        loggers: likewise.
        length_m: (n_pipe,) of the pipes.

    >>> here, there = np.array([3.0, 0.1]), np.array([0.1, 3.0])
    >>> voices([here], [], np.ones(2)).tolist()
    [0.0, 0.0]
    >>> both = voices([here, here], [], np.ones(2))
    >>> bool(both[0] > both[1])
    True
    """
    if len(citizens) + len(loggers) < 2:
        return np.zeros(len(length_m))
    said = np.log(np.maximum(1.0 + np.multiply.outer(_SHARE, _stacked(citizens, length_m) - 1.0), _TINY))
    heard = 1.0 + _WORKING * (_stacked(loggers, length_m) - 1.0)
    heard = np.log(np.maximum(heard, _TINY)) - np.log(np.maximum(heard @ length_m / length_m.sum(), _TINY))[:, None]
    # The terms grow with r at every w: of each kind only the voice with the largest need be left out.
    every = _over_shares(said.sum(axis=1)), heard.sum(axis=0)
    without = []
    if len(citizens):
        without.append(_over_shares(said.sum(axis=1) - said.max(axis=1)) + every[1])
    if len(loggers):
        without.append(every[0] + every[1] - heard.max(axis=0))
    log: Floats = np.min(without, axis=0)
    return log


def searched(where: NDArray[np.bool_]) -> Floats:
    """(n_pipe,) log-likelihood once crews have searched and found nothing.

    Args:
        where: (n_search, n_pipe) what each has searched.
    """
    log: Floats = np.log(_MISSED) * where.sum(axis=0)
    return log


def found(where: NDArray[np.bool_]) -> Floats:
    """(n_pipe,) log-likelihood once crews have found the leak; -inf where none did.

    Args:
        where: (n_pipe,) where it was found; all of it False = nowhere yet.
    """
    return np.where(where, 0.0, -np.inf) if where.any() else np.zeros(len(where))


def placed(probability: Floats, log_likelihood: Floats) -> Floats:
    """(n_pipe,) probability after what was said; the very same where that tells no pipe from another.

    Args:
        probability: (n_pipe,) before.
        log_likelihood: (n_pipe,); finite somewhere.

    >>> placed(np.array([0.5, 0.3, 0.2]), searched(np.array([[True, False, False]]))).round(2)
    array([0.13, 0.52, 0.35])
    """
    if np.ptp(log_likelihood) == 0.0:
        return probability
    log = np.log(np.maximum(probability, _TINY)) + log_likelihood
    weight = np.exp(log - log.max())
    after: Floats = weight / weight.sum()
    return after


def _stacked(ratios: Sequence[Floats], length_m: Floats) -> Floats:
    return np.reshape(np.array(ratios, dtype=np.float64), (len(ratios), len(length_m)))


def _over_shares(log: Floats) -> Floats:
    """Log of the integral over w of exp(log), (n_share, n_pipe) -> (n_pipe,)."""
    largest = log.max(axis=0)
    integral: Floats = largest + np.log(_WEIGHT @ np.exp(log - largest))
    return integral
