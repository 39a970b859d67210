"""A large leak that is over: what was believed before it began holds again.

While it runs, the bias and the flows of others take on what its picture misses, on KL centimetres where millimetres count.
When it is over that is wrong, and looks like leaks and drops for weeks. So each large leak keeps the belief before it
began. When something drops, each is held against the hour,

    chi^2 = e' (R + H P H')^-1 e / n,    e = readings - model without the leak - the bias before it,

P of that older belief. What was found since stays, with some doubt. An hour in which a leak has ended is part with and part
without it: it is not taken in, and the next one is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from solvers.water.leak_search.bias_filter import RATE
from solvers.water.leak_search.location import Scene
from solvers.water.leak_search.memory import Belief
from solvers.water.plan import Floats

_LARGE = 3.0  # units
_AS_BEFORE, _SHARE = 4.0, 0.05  # chi-square of an hour that is as it should be, or share of what it is with the leak
_PARTLY = 0.7  # of it, in the hour of the end
_YOUNG_H = 3
_SAME_FLOW = 0.3  # share by which a settled leak's flow may have moved meanwhile
_WAITS_H = 2


@dataclass
class Endings:
    """Which leaks are over, since when.

    Args:
        scene: the town and its past.
        before: what was believed before a track began, by its number.
        over: hour from which it flows no more.
        cut: hours that are not taken in.
    """

    scene: Scene
    before: dict[int, Belief] = field(default_factory=dict)
    over: dict[int, int] = field(default_factory=dict)
    cut: set[int] = field(default_factory=set)

    @property
    def last(self) -> int:
        """The last hour that an end was seen in."""
        return max([-1, *self.cut, *(h - 1 for h in self.over.values())])

    def find(self, h: int, belief: Belief) -> int | None:
        """The track that is over before hour h; -1 where the hour may be part of an end; None where no end is seen."""
        now, best, least = self._misses(h, belief, belief), -1, np.inf
        for k, track in enumerate(belief.tracks):
            if track.number not in self.before or belief.flow[k] < _LARGE * self.scene.walks.unit or h - track.onset < _YOUNG_H:
                continue
            misses = self._misses(h, belief, self._without(belief, k, h))
            if misses < min(least, _PARTLY * now):
                best, least = k, misses
        if best < 0:
            return None
        if least <= max(_AS_BEFORE, _SHARE * now):
            self.over[belief.tracks[best].number] = h
            return best
        if any(h - i in self.cut for i in range(1, _WAITS_H + 1)):
            return None
        self.cut.add(h)
        return -1

    def ended(self, belief: Belief, h: int) -> Belief:
        """The belief before hour h without the tracks that are over by then; their share is taken out of the past."""
        for k in range(len(belief.tracks) - 1, -1, -1):
            track = belief.tracks[k]
            if self.over.get(track.number, h + 1) <= h:
                belief = self._without(belief, k, h)
                self.scene.memory.take_back(track.onset, h - 1, self.before[track.number].bias)
        return belief

    def _misses(self, h: int, present: Belief, belief: Belief) -> float:
        """Chi-square per output of an hour, remembered with the present belief, under another one."""
        memory, town, n_pipe = self.scene.memory, self.scene.town, len(self.scene.allowed)
        now, then = (town.view(memory.hour(h), b.leaks(n_pipe) * memory.outflow(h)).reading for b in (present, belief))
        e = memory.residual(h) + now - then - belief.bias
        read = np.flatnonzero(np.isfinite(e))
        H = np.concatenate([np.eye(len(e)), memory.signature(h)[:, belief.pipes]], axis=1)
        V = self.scene.noise.covariance[memory.bin_of(h)] + H @ belief.covariance @ H.T
        return float(e[read] @ np.linalg.solve(V[np.ix_(read, read)], e[read])) / max(len(read), 1)

    def _without(self, present: Belief, k: int, h: int) -> Belief:
        """What would be believed if a leak had never been, but for what has been found since."""
        track, n, noise = present.tracks[k], len(present.bias), self.scene.noise
        before = self.before[track.number]
        out = Belief(before.bias.copy(), np.zeros(0), before.covariance[:n, :n].copy())
        out.covariance[np.diag_indices(n)] += (RATE * noise.bias) ** 2 * (h - track.onset)
        rows, olds = [], []
        for i, other in enumerate(present.tracks):
            if i == k:
                continue
            j, flow = before.index(other.number), float(present.flow[i])
            doubt = float(present.covariance[n + i, n + i])
            if j < 0:
                doubt += (0.2 * flow) ** 2
                out.covariance[:n, :n] += noise.signature_error(other.pipe, flow)
            elif self._stands(float(before.flow[j]), flow) and self.scene.walks.is_settled(other, h):
                flow, doubt = float(before.flow[j]), float(before.covariance[n + j, n + j])
                rows.append(n + len(out.tracks))
                olds.append(n + j)
            else:
                doubt += (0.5 * (flow - float(before.flow[j]))) ** 2
            out.add(replace(other), flow, doubt)
        _copy(out.covariance, [*range(n), *rows], before.covariance, [*range(n), *olds], n)
        return out

    def _stands(self, before: float, now: float) -> bool:
        return abs(now - before) < _SAME_FLOW * before + self.scene.walks.unit


def _copy(to: Floats, rows: list[int], of: Floats, olds: list[int], n: int) -> None:
    """Correlations of biases and settled flows as they were; the biases' own covariance has been seen to."""
    own = to[:n, :n].copy()
    to[np.ix_(rows, rows)] = of[np.ix_(olds, olds)]
    to[:n, :n] = own
