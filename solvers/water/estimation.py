"""Water state estimation: demands that explain what the instruments show.

1. Prior demands: smart-metered nodes as measured; the others by their patterns, scaled zone by zone so that each metered
   zone's balance holds (zones.py).
2. Predict: hydraulics with measured tank levels, and with metered pumps as flows instead of curves. Innovation
   r = measured - predicted, by pressure and flow meters.
3. Update: demands d ~ N(d_prior, diag(s^2)); the balance is kept, so the signature of node j is its sensitivity less the
   zone's demand-weighted mean, S_ij = J_ij - sum_k w_k J_ik. With R = diag(sigma^2)

       dd = s^2 S' (S s^2 S' + R)^-1 r,   normalised_i = |r_i| / sqrt((S s^2 S' + R)_ii)

4. Solve again with the updated demands: the published state. Its sigma comes from samples of the posterior
   (conditioning by kriging, Matheron's rule), each a back-substitution.

Reference: A. Kumar, S. Narasimhan, S. M. Bhallamudi, "State estimation in water distribution networks using graph-theoretic
reduction strategy", J. Water Resour. Plann. Manage. 134 (2008); J.-P. Chiles, P. Delfiner, "Geostatistics" (2012), 7.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from solvers.solution import Solution
from solvers.water.plan import Floats, Index, WaterPlan
from solvers.water.sensitivity import Linear
from solvers.water.steady import Boundary, Hydraulics, Scratch, steady
from solvers.water.zones import Zones

_SAMPLES = 24


@dataclass(frozen=True, eq=False)
class Instruments:
    """What is compared with the prediction.

    Args:
        node: (n_pressure,) nodes of pressure meters.
        link: (n_flow,) links of flow meters.
        value: (n_pressure + n_flow,) head [m] or flow [m3/s].
        sigma: likewise; inf where there is no reading.
    """

    node: Index
    link: Index
    value: Floats
    sigma: Floats


@dataclass(frozen=True, eq=False)
class Prediction:
    """A model's answer to prior demands.

    Args:
        boundary: what was solved.
        solution: how it went.
        linear: its answers to small changes of demand.
        reading: (n_instrument,) what the instruments should show.
        signature: (n_instrument, n_node) change of a reading per m3/s drawn at a node, the zones' balances kept.
        together: (n_instrument, n_zone) change per m3/s that a metered zone's consumers draw more in all; 0 for others.
    """

    boundary: Boundary
    solution: Solution[Hydraulics]
    linear: Linear
    reading: Floats
    signature: Floats
    together: Floats


def prior_demand(
    zones: Zones, nominal: Floats, metered: NDArray[np.bool_], value: Floats, flow: Floats, lost: Floats, before: Floats
) -> tuple[Floats, Floats]:
    """Demands by node that keep every metered zone's balance.

    Args:
        zones: of the placement of flow meters.
        nominal: (n_node,) by patterns [m3/s].
        metered: (n_node,) whether a smart meter reads the node now.
        value: (n_node,) its reading.
        flow: (n_meter,) readings of the zones' flow meters; nan where there is none.
        lost: (n_node,) known leaks [m3/s].
        before: (n_zone,) scales of the previous instant, for zones that nothing tells about now.

    Returns:
        (n_node,) demands [m3/s], and (n_zone,) scales.
    """
    n_zone = len(zones.balanced)
    at = zones.of_node >= 0

    def total(values: Floats, where: NDArray[np.bool_]) -> Floats:
        use = where & at
        return np.bincount(zones.of_node[use], weights=values[use], minlength=n_zone).astype(np.float64)

    free = total(nominal, ~metered)
    read, expected = total(value, metered), total(nominal, metered)
    inflow = zones.inflow(flow)
    with np.errstate(invalid="ignore", divide="ignore"):
        by_balance = (inflow - read - total(lost, np.ones(len(lost), dtype=bool))) / free
        by_meters = read / expected
    scale = np.where(
        zones.balanced & np.isfinite(by_balance),
        by_balance,
        np.where(np.isfinite(by_meters) & (expected > 0), by_meters, before),
    )
    scale = np.clip(scale, 0.0, 10.0)
    demand = np.where(metered, np.maximum(value, 0.0), nominal * np.where(at, scale[zones.of_node], 1.0))
    return np.where(at, demand, 0.0), scale


def predict(
    plan: WaterPlan,
    scratch: Scratch,
    zones: Zones,
    boundary: Boundary,
    free: Floats,
    instruments: Instruments,
    start: Hydraulics | None,
) -> Prediction:
    """Solve, and linearise the instruments' readings.

    Args:
        plan: of the network.
        scratch: a worker's.
        zones: of the placement of flow meters.
        boundary: prior demands, heads, statuses.
        free: (n_node,) demands that the zones' balances may move [m3/s].
        instruments: where the readings are.
        start: flows to begin with.
    """
    solution = steady(plan, scratch, boundary, start)
    found = solution.value
    reading = np.concatenate([found.head_m[instruments.node], found.flow_m3_per_s[instruments.link]])
    linear = Linear(plan, scratch, boundary, found)
    raw = np.concatenate([linear.heads(instruments.node), linear.flows(instruments.link)])
    signature, together = balanced(raw, zones, free)
    return Prediction(boundary, solution, linear, reading, signature, together)


def balanced(raw: Floats, zones: Zones, free: Floats) -> tuple[Floats, Floats]:
    """Sensitivities with the balance of every metered zone kept: what one node takes, its zone's consumers give up.

    Returns:
        (n_instrument, n_node) those, and (n_instrument, n_zone) to what a metered zone's consumers draw more together.
    """
    out, together = raw.copy(), np.zeros((len(raw), len(zones.balanced)))
    for zone in np.flatnonzero(zones.balanced):
        mine = zones.of_node == zone
        total = free[mine].sum()
        if total > 0:
            together[:, zone] = raw[:, mine] @ (free[mine] / total)
            out[:, mine] -= together[:, [zone]]
    return out, together


@dataclass(frozen=True, eq=False)
class Weights:
    """What the instruments that show something weigh against the prior demands.

    Args:
        use: (n_instrument,) which do.
        signature: (k, n_node) S of those.
        weighted: (k, n_node) S s^2.
        covariance: (k, k) S s^2 S' + R.
    """

    use: NDArray[np.bool_]
    signature: Floats
    weighted: Floats
    covariance: Floats


def weigh(prediction: Prediction, spread: Floats, instruments: Instruments) -> Weights:
    """Weigh instruments against demands.

    Args:
        prediction: from `predict`.
        spread: (n_node,) standard deviation of the prior demands [m3/s].
        instruments: readings.
    """
    use = np.isfinite(instruments.value - prediction.reading) & np.isfinite(instruments.sigma)
    signature = prediction.signature[use]
    weighted = signature * spread**2
    return Weights(use, signature, weighted, weighted @ signature.T + np.diag(instruments.sigma[use] ** 2))


def update(prediction: Prediction, weights: Weights, instruments: Instruments) -> tuple[Floats, Floats, Floats]:
    """Move demands to explain the innovations.

    Args:
        prediction: from `predict`.
        weights: from `weigh`.
        instruments: readings.

    Returns:
        (n_node,) changes of demand [m3/s], (n_instrument,) innovations, (n_instrument,) normalised ones.
    """
    innovation, use = instruments.value - prediction.reading, weights.use
    change = weights.weighted.T @ np.linalg.solve(weights.covariance, innovation[use])
    normalised = np.zeros(len(innovation))
    normalised[use] = np.abs(innovation[use]) / np.sqrt(np.diag(weights.covariance))
    return change, innovation, normalised


def head_sigma(
    linear: Linear, weights: Weights, spread: Floats, instruments: Instruments, zones: Zones, free: Floats
) -> Floats:
    """(n_node,) standard deviation of heads after the update, from samples that are the same every time [m]."""
    drawn = _draws(0, len(spread)) * spread
    for zone in np.flatnonzero(zones.balanced):
        mine = zones.of_node == zone
        total = free[mine].sum()
        if total > 0:
            drawn[:, mine] -= drawn[:, mine].sum(axis=1)[:, None] * (free[mine] / total)
    noise = _draws(1, len(weights.use))[:, weights.use] * instruments.sigma[weights.use]
    seen = drawn @ weights.signature.T + noise
    drawn -= np.linalg.solve(weights.covariance, seen.T).T @ weights.weighted
    heads = linear.head_changes(drawn)
    return np.asarray(np.sqrt((heads**2).mean(axis=0)))


@lru_cache(maxsize=8)
def _draws(seed: int, n: int) -> Floats:
    """(_SAMPLES, n) standard normal numbers."""
    drawn: Floats = np.random.default_rng(seed).normal(size=(_SAMPLES, n))
    drawn.flags.writeable = False
    return drawn
