"""A changed point list without a restart: what is bound anew, and what of a twin's memory outlives it.

    all states up to now become final, the late watches look at them
    publishers of signals that are bound anew are refused; they read the catalogue and open again
    a checkpoint at which the new list begins: without samples of what was bound anew, and without the states of its networks
    the engine goes on from it, live as in a replay

So a state is made under one list alone, and the past is computed again under the list of its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_models.measurements import Catalogue, Signal
from twin.chain import ChainMemory
from twin.checkpoint import Checkpoint
from twin.port import EventKind, Transition, TwinEvent
from twin.watches import Finding, ended

CODE = "CATALOGUE_CHANGED"
_NAMED = 20  # signals of the event; its message counts all


@dataclass(frozen=True, eq=False)
class Change:
    """One point list after another.

    Args:
        before: in force until now.
        after: from now on.
    """

    before: Catalogue
    after: Catalogue

    @property
    def gone(self) -> list[Signal]:
        """Signals whose uid means another thing now, or nothing."""
        later = {s.uid: s for s in self.after.signals}
        return [s for s in self.before.signals if s.uid not in later or _binding(later[s.uid]) != _binding(s)]

    @property
    def networks(self) -> set[str]:
        """Networks whose signals are not what they were."""
        return {s.network for s in set(self.before.signals) ^ set(self.after.signals)}

    def finding(self) -> Finding:
        """What there is to tell."""
        known, kept = {s.uid for s in self.before.signals}, {s.uid for s in self.after.signals}
        gone = self.gone
        new = [s for s in self.after.signals if s.uid not in known]
        anew = sum(s.uid in kept for s in gone)
        message = (
            f"the point list changed to revision {self.after.revision}: {len(new)} signals added, "
            f"{len(gone) - anew} taken out, {anew} bound anew; read the catalogue again"
        )
        names = tuple(s.name for s in [*gone, *new][:_NAMED])
        return Finding("", Transition.RAISED, EventKind.CATALOGUE, CODE, names, message)

    def refused(self, claims: Mapping[str, set[int]]) -> dict[str, list[str]]:
        """Publisher -> names of signals that it claims and that are gone; those who claim none are left out."""
        gone = {s.uid: s.name for s in self.gone}
        found = {publisher: [gone[uid] for uid in sorted(uids & gone.keys())] for publisher, uids in claims.items()}
        return {publisher: names for publisher, names in found.items() if names}

    def over(self, standing: Iterable[TwinEvent]) -> Iterator[tuple[str, Finding]]:
        """Alarms that end, with their networks: of networks that begin anew, and entries by hand for signals that are gone.

        What lasts is told again.
        """
        networks, gone = self.networks, {s.name for s in self.gone}
        for event in standing:
            if event.network in networks and (event.kind is not EventKind.MANUAL or event.elements[0] in gone):
                yield event.network, ended(event, "over: the point list changed")

    def outlived(
        self, memory: Checkpoint, begins_us: int, lasting: Mapping[str, Callable[[Any], Any]] = MappingProxyType({})
    ) -> Checkpoint:
        """What of a twin's memory outlives it, all of its states being final.

        Samples, marks and entries by hand of signals that are gone are left out. A network whose signals changed begins anew
        behind its last state, as with a changed model: its estimator and its watches may have arrays of other lengths, but for
        those whose memory is of no list.

        Args:
            memory: of the twin.
            begins_us: from this instant on every network's states are made under the new list.
            lasting: as in `Setup`.
        """
        gone, networks = np.array([s.uid for s in self.gone], dtype=np.uint32), self.networks
        return replace(
            memory,
            mark=memory.mark._replace(sealed_us=begins_us),
            window=_without(memory.window, gone),
            chains={n: _anew(chain, lasting) if n in networks else chain for n, chain in memory.chains.items()},
            manual=tuple(e for e in memory.manual if e.signal not in gone),
            catalogue=self.after.revision,
        )


def _binding(signal: Signal) -> tuple[Any, ...]:
    """How a value is read."""
    return signal.network, signal.kind, signal.table, signal.element, signal.quantity, signal.side, signal.unit, signal.sign


def _without(window: Mapping[str, NDArray[Any]], uids: NDArray[np.uint32]) -> dict[str, NDArray[Any]]:
    stays = {mark: ~np.isin(window["mark_signal" if mark else "signal"], uids) for mark in (True, False)}
    return {name: column[stays[name.startswith("mark_")]] for name, column in window.items()}


def _anew(chain: ChainMemory, lasting: Mapping[str, Callable[[Any], Any]]) -> ChainMemory:
    late = {name: fit(chain.late_memory[name]) for name, fit in lasting.items() if name in chain.late_memory}
    return ChainMemory(chain.first_us, chain.sealed_us, {}, late, {})
