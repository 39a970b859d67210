"""The chains of all networks of a twin: what a sample concerns, what is due, what may be sealed and forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from grid_models.measurements import Catalogue
from grid_models.state import NetworkState
from twin.chain import Chain, ChainMemory


class Chains(Mapping[str, Chain]):
    """One chain for each network, by its name.

    Args:
        chains: in the order in which they are looked after.
        catalogue: the signals; each belongs to one network.
    """

    def __init__(self, chains: Sequence[Chain], catalogue: Catalogue) -> None:
        self._chains = {chain.network: chain for chain in chains}
        self._catalogue = catalogue
        number = {name: k for k, name in enumerate(self._chains)}
        self._network_of = np.array([*(number.get(s.network, -1) for s in catalogue.signals), -1])

    def __getitem__(self, network: str) -> Chain:
        return self._chains[network]

    def __iter__(self) -> Iterator[str]:
        return iter(self._chains)

    def __len__(self) -> int:
        return len(self._chains)

    # What a sample concerns

    def of_each(self, uids: NDArray[np.uint32]) -> Iterator[tuple[Chain, NDArray[np.bool_]]]:
        """Each network that these signals belong to, and which of them do."""
        networks = self._network_of[self._catalogue.find(uids)]
        for k, chain in enumerate(self.values()):
            mine = networks == k
            if mine.any():
                yield chain, mine

    def instants(self, uids: NDArray[np.uint32], times: NDArray[np.int64]) -> dict[str, int]:
        """The instant of each network whose state covers these samples."""
        return {c.network: c.grid_at_or_after(int(times[mine].max())) for c, mine in self.of_each(uids)}

    def touch(self, uids: NDArray[np.uint32], times: NDArray[np.int64]) -> None:
        """Mark what samples change."""
        for chain, mine in self.of_each(uids):
            begun = chain.todo_us
            chain.touch(int(times[mine].min()))
            if begun is None and chain.todo_us is not None:
                self._retouch_followers(chain, chain.todo_us)

    def _retouch_followers(self, chain: Chain, instant: int) -> None:
        for other in self.values():
            if chain.network in other.waits_for:
                other.retouch(instant)

    # What is due

    def corrections(self, edge_us: int, now_us: int) -> Iterator[tuple[Chain, int]]:
        """Take up pending corrections whose chain has reached the live edge: the chain, and the first instant of each."""
        for chain in self.values():
            first = chain.take_up(edge_us, now_us)
            if first is not None:
                self._retouch_followers(chain, first)
                yield chain, first

    def due(self, edge_us: int) -> Iterator[tuple[Chain, int]]:
        """Each chain's next instant that has come, and whose inputs are there."""
        for chain in self.values():
            instant = chain.todo_us
            if not chain.rests or instant is None or instant > edge_us:
                continue
            if not any(s.todo_us is not None and s.todo_us <= instant for s in self._sources(chain)):
                yield chain, instant

    def coupled(self, chain: Chain, instant: int) -> dict[str, NetworkState]:
        """States of the networks that a chain waits for: only these are the same whenever it is asked."""
        return {s.network: p.state for s in self._sources(chain) if (p := s.newest(instant)) is not None}

    def _sources(self, chain: Chain) -> list[Chain]:
        return [self[name] for name in chain.waits_for]

    # What no measurement can change any more

    def begun(self) -> list[Chain]:
        """Those that have had a measurement."""
        return [c for c in self.values() if c.first_us is not None]

    def concluded(self, edge_us: int) -> bool:
        """Whether every state up to an instant has been computed and sealed, and none is to be corrected."""
        return all(
            c.rests
            and c.pending_us is None
            and c.todo_us is not None
            and c.todo_us > edge_us
            and ((c.first_us or 0) > edge_us or c.sealed_us == c.grid_before(edge_us + 1))
            for c in self.begun()
        )

    def sealable(self, chain: Chain, horizon_us: int) -> int | None:
        """The next instant of a chain that may be sealed, None where it is not before a horizon or not final."""
        instant = chain.first_us if chain.sealed_us is None else chain.sealed_us + chain.cycle_us
        assert instant is not None  # something has been computed
        dirty = any(c.todo_us is not None and not c.is_final(instant) for c in (chain, *self._sources(chain)))
        return None if instant >= horizon_us or dirty else instant  # a row of the horizon itself is not late

    def sealed(self) -> list[int]:
        """The last sealed instant of each chain that has begun, empty as long as one of them has none."""
        sealed = [c.sealed_us for c in self.begun()]
        return [t for t in sealed if t is not None] if None not in sealed else []

    def trim(self) -> None:
        """Drop the links that nobody asks for any more."""
        begun = self.begun()
        for chain in begun:
            askers = [c for c in begun if c is chain or chain.network in c.waits_for]
            # An unsealed network may still begin anywhere after the horizon, which lies after what is sealed elsewhere.
            needed = [c.sealed_us if c.sealed_us is not None else c.first_us for c in askers]
            chain.trim(min(t for t in needed if t is not None))

    # Checkpoints

    def saved(self) -> dict[str, ChainMemory]:
        """What a checkpoint holds of them."""
        return {c.network: memory for c in self.values() if (memory := c.saved()) is not None}

    def recall(self, memories: Mapping[str, ChainMemory], models: Mapping[str, str]) -> None:
        """Go on from a checkpoint; `models` as in `Engine.restore`."""
        for name, memory in memories.items():
            if name in self:
                self[name].recall(memory, models.get(name))
