"""The strongest change of an hour: the largest ratio over all windows that end now, and over all pipes.

A long window is asked seldom: what shows over a day or more can wait for some hours. A rise counts where no drop is
stronger.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.water.leak_search.ratio_tests import Window, ratios

WINDOWS_H = (1, 2, 4, 8, 24, 72, 168, 336, 672)
THRESHOLD = 6.0  # z of a change
_LEAST_FLOW = 0.8
_UNEXPLAINED = 3.0  # beyond the threshold: a drop that no leak's end explains


@dataclass(frozen=True)
class Change:
    """A change that some window shows.

    Args:
        z: its ratio, negative for a drop.
        window: length [h].
        pipe: where, by linear signatures.
        flow: its size [m3/h].
        is_drop: whether water has come back.
    """

    z: float
    window: int
    pipe: int
    flow: float
    is_drop: bool


def due(h: int) -> list[int]:
    """Lengths of the windows that are asked at hour h [h]."""
    lengths = []
    for length in WINDOWS_H:
        first = h - length + 1
        coarse = (length > 24 and h % 6 != 5) or (length >= 168 and h % 24 != 23)
        if not coarse and first >= 24 and (length < 168 or first >= 72):
            lengths.append(length)
    return lengths


def strongest(
    lengths: list[int], evidence: Callable[[int], tuple[Window, NDArray[np.bool_]]], unit: float
) -> Change | None:  # fmt: skip
    """The strongest change in any window.

    Args:
        lengths: of the windows [h].
        evidence: of a window of such a length, and the (n_pipe,) pipes that it may speak of.
        unit: what one m3/h of a typical town is here [m3/h].
    """
    rise: Change | None = None
    drop: Change | None = None
    for length in lengths:
        w, allowed = evidence(length)
        f, z = ratios(w, w.R, allowed)
        lowest = float(np.where(f < -_LEAST_FLOW * unit, z, 0.0).min())
        if lowest < -THRESHOLD - _UNEXPLAINED and (drop is None or lowest < drop.z):
            j = int(np.where(f < -_LEAST_FLOW * unit, z, 0.0).argmin())
            drop = Change(lowest, length, j, float(f[j]), is_drop=True)
        large = np.where(f > _LEAST_FLOW * unit, z, 0.0)
        j = int(large.argmax())
        if large[j] > THRESHOLD and large[j] > -lowest and (rise is None or large[j] > rise.z):
            rise = Change(float(large[j]), length, j, float(f[j]), is_drop=False)
    if drop is not None and (rise is None or -drop.z > rise.z):
        return drop
    return rise
