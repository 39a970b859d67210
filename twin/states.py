"""Published states to whoever asks: the newest, one revision, as of two times, all of a stretch of time, each as it comes.

Kept ones are looked up; older ones are computed again from the record.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import numpy as np

from grid_models.state import Freshness, Position
from solvers.solution import Cancelled
from twin.asides import Asides
from twin.assembly import Parts
from twin.errors import NotFound, TooOld
from twin.port import AsOf, Delivery, PublishedState
from twin.publisher import Publisher
from twin.records import Records
from twin.replay import recompute


class States:
    """The states of every network.

    Args:
        parts: of the twin.
        records: where older states are computed again from.
        asides: where that is done.
        lived_until: network -> the newest instant ever computed, before a restart too; -1 where there is none.

    Attributes:
        publishers: by network.
    """

    def __init__(self, parts: Parts, records: Records, asides: Asides, lived_until: Callable[[str], int]) -> None:
        self._parts, self._records, self._asides, self._lived_until = parts, records, asides, lived_until
        self._cycle_us = {n.name: n.cycle_us for n in parts.networks}
        self.publishers = {network: Publisher() for network in parts.estimators}

    def resume(self) -> None:
        """What was published before the restart is not kept."""
        for network, publisher in self.publishers.items():
            publisher.dropped = self._lived_until(network) >= 0

    def publish(self, published: PublishedState) -> None:
        """Keep a state and hand it to whoever watches."""
        self.publishers[published.state.network].publish(published)

    def watch(self, network: str, resume_after: Position | None, min_interval_s: float) -> AsyncIterator[Delivery]:
        """The newest state, then each next one; latest wins."""
        return self._publisher(network).watch(resume_after, min_interval_s)

    def newest(self, network: str) -> PublishedState | None:
        """The last published state."""
        return self._publisher(network).newest

    def readiness(self, network: str) -> str:
        """LIVE, READY (it has a state), FRESH (and the state is good)."""
        newest = self.newest(network)
        if newest is None:
            return "LIVE"
        return "FRESH" if newest.state.freshness is Freshness.FRESH else "READY"

    async def get(self, network: str, at: Position | AsOf | None) -> PublishedState:
        """The newest state, one revision, or as of two times.

        Raises:
            NotFound: nothing has been published yet, or no such position.
            TooOld: before the first measurement.
        """
        publisher = self._publisher(network)
        if at is None:
            if publisher.newest is None:
                raise NotFound(f"{network} has no state yet; it waits for its first measurements")
            return publisher.newest
        if isinstance(at, Position):
            found = next((p for p in publisher.kept if p.position == at), None)
            if found is None:
                raise NotFound(f"{network} keeps no state at position {tuple(at)}; the oldest is {self._oldest(network)}")
            return found
        kept = [
            p
            for p in publisher.kept
            if p.state.valid_time_us <= at.valid_time_us and (at.known_time_us is None or p.known_time_us <= at.known_time_us)
        ]
        if kept:
            best = max(kept, key=lambda p: (p.state.valid_time_us, p.position))
            caught_up = best.state.valid_time_us >= self._lived_until(network)
            cycle_us = self._cycle_us[network]  # no instant of its grid lies between:
            near = at.valid_time_us // cycle_us == best.state.valid_time_us // cycle_us
            if near or (best is publisher.newest and caught_up):
                return best
        return await self._recomputed(network, at)

    async def read(self, network: str, start_us: int, end_us: int, known_us: int | None) -> AsyncIterator[PublishedState]:
        """Every kept revision in [start, end), in order, none merged.

        Raises:
            TooOld: it begins before what is kept.
        """
        publisher = self._publisher(network)
        kept = list(publisher.kept)
        if kept and start_us < kept[0].state.valid_time_us and publisher.dropped:
            raise TooOld(f"{network} keeps states from {self._oldest(network)} on; use history for older ones")
        for published in kept:
            known = known_us is None or published.known_time_us <= known_us
            if start_us <= published.state.valid_time_us < end_us and known:
                yield published

    async def _recomputed(self, network: str, at: AsOf) -> PublishedState:
        def search(cancelled: Cancelled) -> PublishedState | None:
            best = None
            entries = self._records.serving(at.valid_time_us, at.known_time_us)
            for published in recompute(self._parts, entries or (), at.known_time_us, at.valid_time_us):
                if cancelled():
                    break
                if published.state.network == network and published.state.valid_time_us <= at.valid_time_us:
                    best = published
            return best

        found = await self._asides.stoppable(search)
        if found is None:
            raise TooOld(f"{network} has no state at or before this time; the oldest kept is {self._oldest(network)}")
        return found

    def _publisher(self, network: str) -> Publisher:
        if network not in self.publishers:
            raise NotFound(f"no network {network}; there are {', '.join(self.publishers)}")
        return self.publishers[network]

    def _oldest(self, network: str) -> str:
        kept = self._publisher(network).kept
        if not kept:
            return "none"
        return str(np.datetime64(kept[0].state.valid_time_us, "us"))
