"""Whose change is it? The followed leak that explains a change nearly as well as any pipe does.

Each is asked as if it explained nothing yet: the variance that its flow was granted is taken out of R before its z is held
against the largest over all pipes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.water.leak_search.bias_filter import Walks
from solvers.water.leak_search.memory import Belief
from solvers.water.leak_search.ratio_tests import Window, by_itself

_MARGIN, _OF_BEST = 12.0, 0.1  # by which z^2 may be less than the best, and share of it
_FALL_SHARE = 0.4  # of a drop's z^2 that a followed leak's end must explain
_LEAST = 0.4  # units: a flow that can fall


def who_has_grown(
    w: Window, h: int, hours: int, belief: Belief, walks: Walks, allowed: NDArray[np.bool_]
) -> tuple[int, float] | None:  # fmt: skip
    """The track that has grown, and by how much [m3/h]; one that has settled does not, and none doubles in an hour.

    Args:
        w: the evidence.
        h: now.
        hours: of the window that shows the change.
        belief: present.
        walks: of flows.
        allowed: (n_pipe,) pipes that can leak.
    """
    found: tuple[int, float, float] | None = None
    for k, track in enumerate(belief.tracks):
        if walks.is_settled(track, h):
            continue
        best, own, size = by_itself(w, k, track.pipe, allowed)
        if walks.has_broken_open(track, h, hours, size, float(belief.flow[k])):
            continue
        near = best**2 - own**2 < _MARGIN + _OF_BEST * best**2
        if own > 0 and near and size > 0 and (found is None or own > found[1]):
            found = (k, own, size)
    return None if found is None else (found[0], found[2])


def who_has_fallen(w: Window, belief: Belief, walks: Walks, allowed: NDArray[np.bool_]) -> tuple[int, float] | None:
    """The track whose end explains much of a drop and that had as much to lose, and the drop [m3/h].

    Args:
        w: the evidence.
        belief: present.
        walks: of flows.
        allowed: (n_pipe,) pipes that can leak.
    """
    found: tuple[int, float, float] | None = None
    for k, track in enumerate(belief.tracks):
        flow = float(belief.flow[k])
        worst, own, size = by_itself(w, k, track.pipe, allowed, -1.0)
        if flow <= _LEAST * walks.unit or own >= 0:
            continue
        share = own**2 / worst**2 - max(-size - flow, 0.0) / (flow + walks.unit)
        if share > _FALL_SHARE and (found is None or share > found[1]):
            found = (k, share, size)
    return None if found is None else (found[0], found[2])
