"""Frames of their own for switches that moved: instants between those of a network's grid.

    moves c1 <= c2 <= ... of switches in one cell (g, G] of the grid, those of entries by hand among them
    a frame at t = min(last + 200 ms, first + 600 ms), the moves up to t joined; the next move begins anew
    none where t >= G: the frame of the grid shows these moves as soon

So t is a function of the moves, as a state is of what is in force. Such a frame hangs beside the chain: it is made from
the state of the grid instant before it, and no other state is made from it. What has been shown once is computed again
whenever late rows change it, even where they have moved t elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from grid_models.measurements import Catalogue, SignalKind
from twin.chain import Chain
from twin.chains import Chains
from twin.manual import ManualBook
from twin.window import Window

QUIET_US = 200_000
LONGEST_US = 600_000  # a frame is computed 200 ms after its instant, and is to be out within a second


def frames(moves: Iterable[int], end_us: int) -> tuple[int, ...]:
    """Instants of frames between those of the grid.

    Args:
        moves: of switches in one cell of the grid, ascending, Unix us.
        end_us: the grid instant at its end.
    """
    found: list[int] = []
    first: int | None = None
    frame = 0
    for move in moves:
        if first is None or move > frame:
            found.append(0)
            first = move
        frame = found[-1] = min(move + QUIET_US, first + LONGEST_US)
    return tuple(t for t in found if t < end_us)


class Settling:
    """Plans such frames.

    Args:
        catalogue: the signals.
        window: of measurements.
        book: of entries by hand.
        chains: told which frames there are.
    """

    def __init__(self, catalogue: Catalogue, window: Window, book: ManualBook, chains: Chains) -> None:
        self._catalogue, self._window, self._book, self._chains = catalogue, window, book, chains
        self._switch = np.append(catalogue.kind == SignalKind.SWITCH, False)  # the last one for no signal

    def noticed(self, uids: NDArray[np.uint32], times: NDArray[np.int64]) -> None:
        """Samples of these signals were taken, or what is said of them by hand begins or ends at these times."""
        mine = self._switch[self._catalogue.find(uids)]
        for chain, theirs in self._chains.of_each(uids[mine]) if mine.any() else ():
            moved, at = uids[mine][theirs], times[mine][theirs]
            # What a switch is told to have been before tells whether it moved with its next sample.
            self._plan(chain, np.concatenate([at, self._window.followed(moved, at)]))

    def recall(self) -> None:
        """Plan anew what a checkpoint's window and book tell."""
        for chain in self._chains.values():
            if chain.sealed_us is not None:
                self._plan(chain, self._moves(chain, chain.sealed_us, np.iinfo(np.int64).max))

    def _plan(self, chain: Chain, times: NDArray[np.int64]) -> None:
        for end in (np.unique(-(-times // chain.cycle_us)) * chain.cycle_us).tolist():
            if chain.sealed_us is None or end > chain.sealed_us:
                chain.plan(end, frames(self._moves(chain, end - chain.cycle_us, end).tolist(), end))

    def _moves(self, chain: Chain, after_us: int, through_us: int) -> NDArray[np.int64]:
        found = (source.moves(chain.network, after_us, through_us) for source in (self._window, self._book))
        return np.sort(np.concatenate([*found]))
