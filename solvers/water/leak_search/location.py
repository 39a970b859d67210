"""Where is it? A probability over pipes, with the pictures of the likeliest computed anew instead of linearised.

    p_j ~ length_j exp(T z_j^2 / 2),    T = 1/2

T tempers the evidence, since signatures are not exact: with T = 1 the credible zones were too small. Reported is not the
likeliest pipe but the one around which a crew finds most of the probability, and of those the one that is least far.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solvers.water.leak_search.bias_filter import Walks
from solvers.water.leak_search.memory import Belief, Memory
from solvers.water.leak_search.noise import Noise
from solvers.water.leak_search.ratio_tests import Window, averaged_noise, least, ratios
from solvers.water.leak_search.readings import Hours
from solvers.water.leak_search.town import Town
from solvers.water.plan import Floats, Index

CREW_M = 280.0  # what a crew searches from one place
_TEMPER = 0.5
_FAR_M = 1000.0
_CREDIBLE = 0.9
_SHARED = 0.4  # of z that must be left without any one meter; a leak beside a meter leaves half, a broken meter nothing
_NEGLIGIBLE = 1e-7  # of the probability, for a pipe
_HOPELESS = 0.3  # within a crew's reach, by linear signatures: no curvature makes that a place


@dataclass(frozen=True, eq=False)
class Place:
    """Where a leak may be.

    Args:
        pipe: where to send the crew.
        near: probability within a crew's reach of it.
        radius_m: of the credible zone around it.
        probability: (n_pipe,).
        flow: (n_pipe,) its flow if it were there [m3/h].
        z: (n_pipe,).
        least: z there if the meter that speaks most for it were silent.
    """

    pipe: int
    near: float
    radius_m: float
    probability: Floats
    flow: Floats
    z: Floats
    least: float

    @property
    def is_shared(self) -> bool:
        """Whether the evidence is more than one meter's."""
        return self.least > _SHARED * float(self.z[self.pipe])


@dataclass(frozen=True, eq=False)
class Scene:
    """What both questions need.

    Args:
        town: the model.
        hours: readings.
        memory: of past hours.
        noise: of the town.
        walks: of flows.
        allowed: (n_pipe,) pipes that can leak.
    """

    town: Town
    hours: Hours
    memory: Memory
    noise: Noise
    walks: Walks
    allowed: NDArray[np.bool_]


def locate(scene: Scene, w: Window, pipe: int, flow: float) -> Place:
    """Locate a new leak from the window that found it.

    Args:
        scene: the town and its past.
        w: the window's evidence.
        pipe: the likeliest by linear signatures.
        flow: its flow [m3/h].
    """
    R = w.R + scene.noise.signature_error(pipe, flow)
    f, z = ratios(w, R, scene.allowed)
    straight = _placed(scene, w, R, f, z, np.ones(len(z), dtype=bool))
    if straight.near < _HOPELESS:
        return straight
    likely = _likely(z, 30.0, 80)
    length = w.last - w.first + 1
    at = np.unique(np.linspace(w.first, w.last, 3).astype(int)) if length > 2 else np.array([w.first, w.last])
    bent = np.zeros((len(w.e), len(likely)))
    for h in at.tolist():
        before = scene.memory.before[h]
        amounts = np.clip(f[likely], 0.5 * scene.walks.unit, 40.0 * scene.walks.unit)
        bent += _bend(scene, h, before.leaks(len(z)), likely, amounts) / len(at)
    signature = w.signature.copy()
    signature[:, likely] += bent
    w = replace(w, signature=signature)
    f, z = ratios(w, R, scene.allowed)
    return _placed(scene, w, R, f, z, np.isin(np.arange(len(z)), likely))


def locate_again(scene: Scene, h: int, belief: Belief, k: int) -> Place | None:
    """Locate a followed leak from all hours since its onset, weighted by its flow; None where there is too little.

    Args:
        scene: the town and its past.
        h: now.
        belief: present.
        k: which track.
    """
    track, memory, noise = belief.tracks[k], scene.memory, scene.noise
    first = max(track.onset, h - memory.ring + 3)
    hours = np.array([x for x in range(first, h + 1) if x in memory.before and memory.before[x].index(track.number) >= 0])
    if len(hours) < 2:
        return None
    flows = np.array([memory.before[x].flow[memory.before[x].index(track.number)] for x in hours.tolist()])
    weight = flows * memory.weight(hours)
    if weight.sum() <= 0:
        return None
    mean_flow = float(flows @ weight / weight.sum())
    means = memory.weighted(hours, weight)
    n = len(means.residual)
    own = np.einsum("h,hi->i", weight / weight.sum() * flows, memory.signatures_of(hours, track.pipe))
    start = memory.before[max(int(hours[0]) - 2, min(memory.before))]
    e = np.where(means.share > 0, means.residual + own - start.bias, 0.0)
    R = averaged_noise(means, noise) + _doubt_at_onset(memory, track.onset, belief, n)
    others = [i for i in range(len(belief.tracks)) if i != k]
    if others:
        at = means.signature[:, belief.pipes[others]]
        doubt = belief.covariance[n:, n:][np.ix_(others, others)] + 0.1 * scene.walks.unit**2 * np.eye(len(others))
        R += at @ doubt @ at.T
    R += noise.signature_error(track.pipe, mean_flow)
    w = Window(int(hours[0]), h, e, means.signature, R, np.zeros(0))
    f, z = ratios(w, R, scene.allowed)
    judged = np.ones(len(z), dtype=bool)
    if mean_flow > 2.5 * scene.walks.unit:
        likely = np.union1d(_likely(z, 40.0, 80), [track.pipe])
        recent = hours[hours > h - 24][::6]
        bent = np.zeros((n, len(likely)))
        for x in recent.tolist():
            before = memory.before[x]
            leaks = before.leaks(len(z))
            mine = float(before.flow[before.index(track.number)])
            leaks[track.pipe] = max(leaks[track.pipe] - mine, 0.0)
            bent += _bend(scene, x, leaks, likely, np.full(len(likely), max(mine, 0.5 * scene.walks.unit))) / len(recent)
        signature = means.signature.copy()
        signature[:, likely] += bent
        e = e + mean_flow * bent[:, int(np.searchsorted(likely, track.pipe))]
        w = replace(w, e=e, signature=signature)
        f, z = ratios(w, R, scene.allowed)
        judged = np.isin(np.arange(len(z)), likely)
        z = np.where(judged, z, 0.0)
    return _placed(scene, w, R, f, z, judged)


def _doubt_at_onset(memory: Memory, onset: int, belief: Belief, n: int) -> Floats:
    """Covariance of the bias as it was believed when the leak began, or as soon after as is remembered."""
    for x in range(onset, onset + memory.ring):
        if x in memory.before:
            return np.array(memory.before[x].covariance[:n, :n])
    return np.array(belief.covariance[:n, :n])


def _likely(z: Floats, within: float, most: int) -> Index:
    """Pipes whose z^2 is not far below the best."""
    found = np.flatnonzero(z > np.sqrt(max(float(z.max()) ** 2 - within, 0.0)))
    return found[np.argsort(-z[found], kind="stable")[:most]]


def _bend(scene: Scene, h: int, leaks: Floats, pipes: Index, amounts: Floats) -> Floats:
    """(n_output, n) how the outputs' true change per m3/h departs from the linear signature."""
    town, hours = scene.town, scene.hours
    outflow = scene.memory.outflow(h)
    before = town.view(hours, h, leaks * outflow).reading
    after = town.readings_with(hours, h, leaks * outflow, pipes, amounts * outflow[pipes])
    return np.nan_to_num((after - before[:, None]) / amounts - scene.memory.signature(h)[:, pipes])


def _placed(scene: Scene, w: Window, R: Floats, f: Floats, z: Floats, judged: NDArray[np.bool_]) -> Place:
    distance = scene.noise.distance_m
    evidence = np.where(judged & (f > 0), 0.5 * _TEMPER * z**2, -np.inf)
    best = evidence.max()
    length = np.asarray(scene.town.network.tables["pipe"]["length_m"], dtype=np.float64)
    p = np.exp(evidence - best) * length if np.isfinite(best) else length * scene.allowed
    p /= p.sum()
    some = np.flatnonzero(p > _NEGLIGIBLE)
    near = (distance[:, some] <= CREW_M) @ p[some]
    enough = np.flatnonzero(near >= near.max() - 0.02)
    pipe = int(enough[(np.minimum(distance[np.ix_(enough, some)], _FAR_M) @ p[some]).argmin()])
    order = np.argsort(distance[pipe], kind="stable")
    inside = int(np.searchsorted(np.cumsum(p[order]), _CREDIBLE))
    radius = float(distance[pipe][order[min(inside, len(p) - 1)]])
    return Place(pipe, float(near[pipe]), radius, p, f, z, least(w, R, pipe, scene.town.n_head))
