"""Where is it? A probability over pipes, with the pictures of the likeliest computed anew instead of linearised.

    p_j ~ length_j exp(T evidence_j / 2),    T = 1/2

evidence_j is z_j^2 at first, with pictures that bend as the nearest reference's does (bending.py); then, of the pipes that
this leaves likely, what their own pictures explain (pictures.py), the others being out. T tempers it, since no picture is
exact: with T = 1 the credible zones were too small. Reported is not the likeliest pipe but the one around which a crew finds
most of the probability, and of those the one that is least far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solvers.water.leak_search.bending import References, bends, references
from solvers.water.leak_search.bias_filter import Walks
from solvers.water.leak_search.memory import Belief, Memory
from solvers.water.leak_search.noise import Noise
from solvers.water.leak_search.pictures import judge
from solvers.water.leak_search.ratio_tests import Window, averaged_noise, least, ratios
from solvers.water.leak_search.town import Town
from solvers.water.leak_search.whitening import projected
from solvers.water.plan import Floats, Index

CREW_M = 280.0  # what a crew searches from one place
_TEMPER = 0.5
_FAR_M = 1000.0
_LEFT = 3.0  # chi-square per output
_CREDIBLE = 0.9
_SHARED = 0.4  # of z that must be left without any one meter; a leak beside a meter leaves half, a broken meter nothing
_LEAST, _MOST = 0.5, 40.0  # units: flows whose pictures are computed
_SOLVED = 3  # hours, for pictures
_WITHIN, _MOST_JUDGED = 30.0, 120  # of the evidence; pipes that are judged by their own pictures
_SAME_SHARE = 0.05  # by which a flow may differ from the one that its picture was computed for
_NEGLIGIBLE = 1e-7  # of the probability, for a pipe
_HOPELESS = 0.3  # within a crew's reach, by the references' bends: no picture of its own makes that a place


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
        evidence: (n_pipe,) twice the log of the likelihood, but for a constant; -inf where it cannot be.
        least: z there if the meter that speaks most for it were silent.
        bend: by how many deviations its picture departs from the linear one there.
        left: chi-square per output that it leaves.
    """

    pipe: int
    near: float
    radius_m: float
    probability: Floats
    flow: Floats
    z: Floats
    evidence: Floats
    least: float
    bend: float = 0.0
    left: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether the evidence is little more than what a leak there would make."""
        return self.left < _LEFT

    @property
    def is_shared(self) -> bool:
        """Whether the evidence is more than one meter's."""
        return self.least > _SHARED * float(self.z[self.pipe])


@dataclass(frozen=True, eq=False)
class Scene:
    """What it takes to locate a new leak, and a followed one again.

    Args:
        town: the model.
        memory: of past hours.
        noise: of the town.
        walks: of flows.
        allowed: (n_pipe,) pipes that can leak.
    """

    town: Town
    memory: Memory
    noise: Noise
    walks: Walks
    allowed: NDArray[np.bool_]

    @cached_property
    def references(self) -> References:
        """Pipes whose bends are known first."""
        return references(self.noise.distance_m, self.allowed)


def locate(scene: Scene, w: Window, pipe: int, flow: float) -> Place:
    """Locate a new leak from the window that found it.

    Args:
        scene: the town and its past.
        w: the window's evidence.
        pipe: the likeliest by linear signatures.
        flow: its flow [m3/h].
    """
    at = np.unique(np.linspace(w.first, w.last, _SOLVED).astype(int)).tolist()
    leaks = {h: scene.memory.before[h].leaks(len(scene.allowed)) for h in at}
    return _hold_against(scene, w, leaks, pipe, flow, np.zeros(0, dtype=np.int64))


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
    R = averaged_noise(means, noise) + _doubt_at_onset(memory, track.onset, belief, n)
    others = [i for i in range(len(belief.tracks)) if i != k]
    if others:
        at = means.signature[:, belief.pipes[others]]
        doubt = belief.covariance[n:, n:][np.ix_(others, others)] + 0.1 * scene.walks.unit**2 * np.eye(len(others))
        doubt += np.diag([_taken(scene, start, belief, i, h) ** 2 for i in others])
        R += at @ doubt @ at.T
    leaks = {}
    for x in hours[np.unique(np.linspace(max(len(hours) - 24, 0), len(hours) - 1, _SOLVED).astype(int))].tolist():
        before = memory.before[x]
        leaks[x] = before.leaks(len(scene.allowed))
        mine = float(before.flow[before.index(track.number)])
        leaks[x][track.pipe] = max(leaks[x][track.pipe] - mine, 0.0)
    here = np.array([track.pipe])
    amount = np.array([max(float(flows**2 @ weight / (flows @ weight)), _LEAST * scene.walks.unit)])
    # The residual is what is left with the leak in the model: its own picture, bend included, goes back to it.
    own = own + mean_flow * bends(scene.town, memory, leaks, here, amount)[:, 0]
    e = np.where(means.share > 0, means.residual + own - start.bias, 0.0)
    w = Window(int(hours[0]), h, e, means.signature, R, np.zeros(0))
    return _hold_against(scene, w, leaks, track.pipe, mean_flow, here)


def _hold_against(scene: Scene, w: Window, at: Mapping[int, Floats], pipe: int, flow: float, also: Index) -> Place:
    """Hold all pipes against a window's evidence.

    Args:
        scene: the town and its past.
        w: the evidence.
        at: hours whose hydraulics are solved anew, and the leaks that flow in each without this one.
        pipe: where it may be.
        flow: its flow then [m3/h].
        also: pipes that are to be judged by their own pictures in any case.
    """
    unit, noise = scene.walks.unit, scene.noise
    flow = min(max(flow, _LEAST * unit), _MOST * unit)
    R = w.R + noise.signature_error(pipe, flow)

    def bent(pipes: Index, amounts: Floats) -> Floats:
        return bends(scene.town, scene.memory, at, pipes, amounts)

    known = scene.references
    like, wrong = known.bends(bent(known.pipes, np.full(len(known.pipes), flow)))
    near = replace(w, signature=w.signature + like)
    f, z = ratios(near, R + flow**2 * wrong, scene.allowed)
    rough = placed(scene, near, R, f, z, np.where(f > 0, z**2, -np.inf))
    if rough.near < _HOPELESS:
        return rough
    likely = np.union1d(_likely(z, _WITHIN, _MOST_JUDGED), also)
    amounts = np.clip(f[likely], _LEAST * unit, _MOST * unit)
    bend = bent(likely, amounts)
    error = np.array([noise.signature_error(int(j), 1.0) for j in likely])
    found = judge(w, w.signature[:, likely] + bend, error, amounts)
    off = np.abs(found.flow / amounts - 1.0) > _SAME_SHARE
    anew = np.flatnonzero(off & (found.evidence > found.evidence.max() - _WITHIN))
    if len(anew):
        bend[:, anew] = bent(likely[anew], np.clip(found.flow[anew], _LEAST * unit, _MOST * unit))
        found = judge(w, w.signature[:, likely] + bend, error, found.flow)
    evidence = np.full(len(z), -np.inf)
    evidence[likely] = np.where(found.flow > 0, found.evidence, -np.inf)
    f[likely], z[likely] = found.flow, found.z
    z = np.where(np.isfinite(evidence), z, 0.0)
    signature = near.signature
    signature[:, likely] = w.signature[:, likely] + bend
    place = placed(scene, replace(w, signature=signature), R, f, z, evidence)
    departs = place.flow[place.pipe] * (signature - w.signature)[:, [place.pipe]]
    left = w.e - place.flow[place.pipe] * signature[:, place.pipe]
    squares = projected(R, left, np.column_stack([departs[:, 0], left]))[1]
    return replace(place, bend=float(np.sqrt(squares[0])), left=float(squares[1]) / len(left))


def _taken(scene: Scene, start: Belief, belief: Belief, i: int, h: int) -> float:
    """What a followed leak has taken in since some belief, which may be another's; nothing where it has settled."""
    was = start.index(belief.tracks[i].number)
    flow = float(belief.flow[i]) - (float(start.flow[was]) if was >= 0 else 0.0)
    return 0.0 if scene.walks.is_settled(belief.tracks[i], h) else flow


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


def placed(scene: Scene, w: Window, R: Floats, f: Floats, z: Floats, evidence: Floats) -> Place:
    """The place that evidence tells of.

    Args:
        scene: the town and its past.
        w: what was judged.
        R: (n_output, n_output) covariance in it.
        f: (n_pipe,) flow if it were there [m3/h].
        z: (n_pipe,).
        evidence: (n_pipe,) twice the log of the likelihood, -inf where it cannot be.
    """
    distance = scene.noise.distance_m
    length = np.asarray(scene.town.network.tables["pipe"]["length_m"], dtype=np.float64)
    best = evidence.max()
    p = np.exp(0.5 * _TEMPER * (evidence - best)) * length if np.isfinite(best) else length * scene.allowed
    p /= p.sum()
    some = np.flatnonzero(p > _NEGLIGIBLE)
    near = (distance[:, some] <= CREW_M) @ p[some]
    enough = np.flatnonzero(near >= near.max() - 0.02)
    pipe = int(enough[(np.minimum(distance[np.ix_(enough, some)], _FAR_M) @ p[some]).argmin()])
    order = np.argsort(distance[pipe], kind="stable")
    inside = int(np.searchsorted(np.cumsum(p[order]), _CREDIBLE))
    radius = float(distance[pipe][order[min(inside, len(p) - 1)]])
    return Place(pipe, float(near[pipe]), radius, p, f, z, evidence, least(w, R, pipe, scene.town.n_head))
