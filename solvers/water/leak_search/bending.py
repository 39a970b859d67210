"""How the picture of a large leak bends: head losses grow with the square of flows, so that it is none per m3/h.

    bend_j(q) = (reading with q more at pipe j - reading without) / q - s_j

by solving the hours anew. For all pipes that is dear. Reference pipes spread over the town tell what any pipe's bend is
like: that of the nearest reference, and how wrong this may be from what references tell of each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.water.leak_search.memory import Memory
from solvers.water.leak_search.town import Town
from solvers.water.plan import Floats, Index

_MOST_REFERENCES = 24


@dataclass(frozen=True, eq=False)
class References:
    """Pipes that stand for the others.

    Args:
        pipes: (n,) which.
        nearest: (n_pipe,) row in `pipes` of the one that stands for each.
        neighbour: (n,) row in `pipes` of each one's own nearest.
    """

    pipes: Index
    nearest: Index
    neighbour: Index

    def bends(self, of_references: Floats) -> tuple[Floats, Floats]:
        """(n_output, n_pipe) what bends are like, and (n_output, n_output) covariance of how wrong that is.

        Args:
            of_references: (n_output, n).
        """
        wrong = of_references - of_references[:, self.neighbour]
        return of_references[:, self.nearest], wrong @ wrong.T / len(self.pipes)


def references(distance: Floats, allowed: NDArray[np.bool_]) -> References:
    """Pipes as far from each other as can be.

    Args:
        distance: (n_pipe, n_pipe) [m].
        allowed: (n_pipe,) pipes that can leak.
    """
    chosen = [int(np.flatnonzero(allowed)[0])]
    gap = np.where(allowed, distance[chosen[0]], 0.0)
    while len(chosen) < _MOST_REFERENCES and gap.max() > 0.0:
        chosen.append(int(gap.argmax()))
        gap = np.minimum(gap, distance[chosen[-1]])
    between = distance[np.ix_(chosen, chosen)] + np.diag(np.full(len(chosen), np.inf))
    return References(np.array(chosen), distance[chosen].argmin(axis=0), between.argmin(axis=0))


def bends(town: Town, memory: Memory, at: Mapping[int, Floats], pipes: Index, amounts: Floats) -> Floats:
    """(n_output, n) mean bend of leaks at some pipes.

    Args:
        town: the model.
        memory: of past hours.
        at: hours that are solved anew, and the (n_pipe,) leaks that flow in each [m3/h at usual pressure].
        pipes: (n,) which.
        amounts: (n,) flow at each [m3/h at usual pressure].
    """
    out = np.zeros((town.n_output, len(pipes)))
    for h, leaks in at.items():
        hour, outflow = memory.hour(h), memory.outflow(h)
        before = town.view(hour, leaks * outflow).reading
        after = town.readings_with(hour, leaks * outflow, pipes, amounts * outflow[pipes])
        out += np.nan_to_num((after - before[:, None]) / amounts - memory.signature(h)[:, pipes]) / len(at)
    return out
