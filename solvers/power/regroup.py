"""Lanes that need more iterations than their neighbours are packed into groups of their own.

A group of sixteen lanes costs as much with one lane moving as with all. So a kernel leaves a group in which only a few
still move; what is left of a chunk's groups is packed side by side and goes on from its own voltages, until nothing
is left. A lane's numbers do not depend on where it stands. It pays for outages, of which some need three times as many
iterations as others; load scenarios differ by one or two, and moving their lanes would cost more than it saves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from solvers.accelerate import kernel
from solvers.linalg.vector import aligned

LANES = 16
# A group with no more lanes than this moving is left.
FEW = 5
# In `iterations`: not finished yet; given up.
UNFINISHED, GIVEN_UP = -2, -1

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.int64]


def run_to_end(
    solve: Callable[[IndexArray, FloatArray, int, bool], None],
    which: IndexArray,
    v: FloatArray,
    iterations: NDArray[np.int32],
) -> None:
    """Solve a chunk of lanes and what its groups leave, in ever fewer groups.

    Args:
        solve: `solve(which, v, few, resumed)` works on lanes of the scenarios `which`, standing in this order in `v`,
            until no more than `few` of a group move; it sets their `iterations`.
        which: (n_lane,) scenarios.
        v: (n_group, n_row, 16) receives their voltages.
        iterations: (n_scenario,) UNFINISHED before; GIVEN_UP or a number after.
    """
    solve(which, v, FEW if len(which) > LANES else 0, False)
    while True:
        lanes = np.flatnonzero(iterations[which] == UNFINISHED)
        if not len(lanes):
            return
        packed = aligned((-(-len(lanes) // LANES), v.shape[1], LANES))
        own = np.arange(len(lanes))
        move_lanes(v, lanes, packed, own)
        fill_up(packed, len(lanes))
        solve(which[lanes], packed, FEW if len(lanes) > LANES else 0, True)
        move_lanes(packed, own, v, lanes)


@kernel
def move_lanes(source: FloatArray, origin: IndexArray, target: FloatArray, place: IndexArray) -> None:
    """Copy lanes, sixteen at a time so that the rows of one side are touched once.

    Args:
        source: (n_group, n_row, 16).
        origin: (m,) lanes there.
        target: (n_group, n_row, 16).
        place: (m,) lanes there.
    """
    for begin in range(0, len(origin), LANES):
        width = min(LANES, len(origin) - begin)
        for r in range(source.shape[1]):
            for w in range(width):
                s, t = origin[begin + w], place[begin + w]
                target[t // LANES, r, t % LANES] = source[s // LANES, r, s % LANES]


@kernel
def fill_up(v: FloatArray, n: int) -> None:
    """Lanes from the n-th on become copies of the last real one."""
    last = (n - 1) % LANES
    for w in range(last + 1, LANES):
        for r in range(v.shape[1]):
            v[-1, r, w] = v[-1, r, last]
