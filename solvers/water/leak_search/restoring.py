"""What was believed before an hour, with the leaks as they are known now: where a replay begins."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

from solvers.water.leak_search.bias_filter import Walks
from solvers.water.leak_search.memory import Belief
from solvers.water.leak_search.noise import Noise


def restored(before: Belief, present: Belief, dropped: AbstractSet[int], noise: Noise, walks: Walks) -> Belief:
    """The belief of old, with leaks that have been found since and without those that were none.

    Leaks that have ended since stay: without them their water would look like something new.

    Args:
        before: what was believed.
        present: the leaks as they are known now.
        dropped: numbers of tracks that were no leaks.
        noise: of the town.
        walks: of flows.
    """
    belief = before.copy()
    now = {track.number: track for track in present.tracks}
    for k in range(len(belief.tracks) - 1, -1, -1):
        number = belief.tracks[k].number
        if number in dropped:
            belief.remove(k)
        elif number in now:
            belief.tracks[k] = replace(now[number])
    n, unit = len(belief.bias), walks.unit
    for track in present.tracks:
        if belief.index(track.number) < 0:
            belief.add(replace(track), 0.3 * unit, (0.5 * max(track.peak, unit)) ** 2)
            belief.covariance[:n, :n] += noise.signature_error(track.pipe, track.peak)
    return belief
