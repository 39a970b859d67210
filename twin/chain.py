"""One network's chain of states on its grid of instants: what is computed, what is to be computed next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from grid_models.state import NetworkState
from twin.estimators import Found
from twin.packing import packed
from twin.port import PublishedState

_REST = 3  # times as long as a correction took, until the next one


def digest(state: NetworkState) -> bytes:
    """Hash of all that subscribers see of a state; equal bits, equal digest."""
    seen = replace(state, memory={})
    return sha256(packed(seen)).digest()


@dataclass(eq=False)
class Link:
    """One instant: its state and what the live watches remember after it."""

    published: PublishedState
    memory: dict[str, Any]
    digest: bytes = b""


@dataclass(frozen=True, eq=False)
class ChainMemory:
    """What a chain needs to go on.

    Args:
        first_us: as in `Chain`.
        sealed_us: as in `Chain`.
        links: those at or before `sealed_us`.
        late_memory: as in `Chain`.
        said: instant -> digest of the state published last, for instants after `sealed_us`.
        found: as in `Chain`.
    """

    first_us: int
    sealed_us: int | None
    links: Mapping[int, Link]
    late_memory: Mapping[str, Any]
    said: Mapping[int, bytes]
    found: Mapping[int, Found | None] = field(default_factory=dict)


@dataclass(eq=False)
class Chain:
    """The engine's book-keeping for one network.

    Args:
        network: its name.
        cycle_us: distance of instants.
        waits_for: networks whose states up to an instant must be there first.
        lateness_us: how late a row may come and still change states.

    Attributes:
        first_us: the instant of the first measurement, where the chain begins; None before it.
        todo_us: the earliest instant to compute, None before the first measurement.
        busy_us: the instant being computed, None when none is.
        pending_us: the earliest instant to correct; taken up when the live edge has been reached, so that late rows,
            however many, hold it up only once each round.
        begun_us: the twin's now when the correction that is being computed was taken up, None where none is.
        rested_us: the twin's now from which on the next one may be: corrections that follow each other take a quarter of the
            time, so that a flood of late rows leaves the processor to the rows.
        learning_us: the instant that the late watches look at, None when there is none; nothing is computed meanwhile, so that
            what they find is known to the same instants whenever these are computed.
        sealed_us: the last instant that has left the lateness window and been seen by the late watches.
        links: instant -> Link, as far back as this network or one that waits for it may ask.
        late_memory: what the late watches remember after `sealed_us`.
        ever_us: the newest instant computed, before a restart too.
        said: instant -> digest of the state published before the restart, as long as it has not been computed again.
        found: sealed instant -> what the late watches had found after it, as far back as an estimate may ask.
    """

    network: str
    cycle_us: int
    waits_for: tuple[str, ...]
    lateness_us: int = 0
    first_us: int | None = None
    todo_us: int | None = None
    busy_us: int | None = None
    learning_us: int | None = None
    pending_us: int | None = None
    begun_us: int | None = None
    rested_us: int = 0
    sealed_us: int | None = None
    links: dict[int, Link] = field(default_factory=dict)
    late_memory: dict[str, Any] = field(default_factory=dict)
    ever_us: int = -1
    said: dict[int, bytes] = field(default_factory=dict)
    found: dict[int, Found | None] = field(default_factory=dict)

    @property
    def rests(self) -> bool:
        """Whether nothing is being computed."""
        return self.busy_us is None and self.learning_us is None

    def grid_at_or_after(self, time_us: int) -> int:
        """The first instant at or after a time."""
        return -(-time_us // self.cycle_us) * self.cycle_us

    def touch(self, time_us: int) -> None:
        """A measurement of this time came: mark what must be computed, or computed again."""
        instant = self.grid_at_or_after(time_us)
        self.first_us = instant if self.first_us is None else min(self.first_us, instant)
        self._dirty(instant)

    def retouch(self, time_us: int) -> None:
        """Something other than a measurement changed at this time; like `touch`, but no chain begins with it."""
        if self.first_us is not None:
            self._dirty(max(self.grid_at_or_after(time_us), self.first_us))

    def _dirty(self, instant: int) -> None:
        if self.sealed_us is not None:
            instant = max(instant, self.sealed_us + self.cycle_us)
        if self.todo_us is None:
            self.todo_us = instant
        elif instant < self.todo_us or instant == self.busy_us:
            self.pending_us = instant if self.pending_us is None else min(instant, self.pending_us)

    def take_up(self, edge_us: int, now_us: int) -> int | None:
        """Begin the pending correction once nothing else is due; returns its first instant, None where there is none."""
        if self.todo_us is None or not self.rests or self.todo_us <= edge_us:
            return None
        if self.begun_us is not None:
            self.rested_us = now_us + _REST * (now_us - self.begun_us)
            self.begun_us = None
        first = self.pending_us
        if first is None or now_us < self.rested_us:
            return None
        self.todo_us, self.pending_us, self.begun_us = min(first, self.todo_us), None, now_us
        return first

    def is_final(self, instant: int) -> bool:
        """Whether an instant has been computed and, as far as is known, need not be computed again."""
        due = [t for t in (self.todo_us, self.pending_us) if t is not None]
        return bool(due) and min(due) > instant

    def note(self, found: Found | None) -> None:
        """Keep what the late watches have found up to the instant that is sealed now; drop what nobody asks for any more."""
        assert self.sealed_us is not None
        self.found[self.sealed_us] = found
        oldest = max((t for t in self.found if t < self.sealed_us - self.lateness_us), default=0)
        for instant in [t for t in self.found if t < oldest]:
            del self.found[instant]

    def known(self, instant: int) -> Found | None:
        """What an instant is estimated with of what the late watches have found.

        By the time the instant before has been computed, everything older than the lateness window before that one is
        sealed. Only this is looked at, so that it is the same whenever the instant is computed.
        """
        limit = instant - self.cycle_us - self.lateness_us
        best = max((t for t in self.found if t < limit), default=None)
        return None if best is None else self.found[best]

    def newest(self, at_or_before_us: int) -> PublishedState | None:
        """The newest computed state at or before an instant, as far as the chain is valid."""
        best = max((t for t in self.links if t <= at_or_before_us), default=None)
        return None if best is None else self.links[best].published

    def trim(self, needed_us: int) -> None:
        """Drop links before the newest one at or before `needed_us`."""
        best = max((t for t in self.links if t <= needed_us), default=None)
        if best is not None:
            for instant in [t for t in self.links if t < best]:
                del self.links[instant]

    def straighten(self) -> None:
        """Nothing has been computed yet: there is nothing to correct, only a first instant to begin with."""
        if self.todo_us is not None and self.pending_us is not None:
            self.todo_us, self.pending_us = min(self.todo_us, self.pending_us), None

    def published(self, instant: int, digest: bytes) -> None:
        """Note what was published before the restart."""
        self.said[instant] = digest
        self.ever_us = max(self.ever_us, instant)

    def saved(self) -> ChainMemory | None:
        """What a checkpoint holds of it, None before its first measurement."""
        if self.first_us is None:
            return None
        sealed = -1 if self.sealed_us is None else self.sealed_us
        links = {t: link for t, link in self.links.items() if t <= sealed}
        said = self.said | {t: link.digest for t, link in self.links.items() if t > sealed}
        return ChainMemory(self.first_us, self.sealed_us, links, dict(self.late_memory), said, dict(self.found))

    def recall(self, memory: ChainMemory, model_revision: str | None) -> None:
        """Go on from a checkpoint; states of another model than `model_revision` tell where to begin, and no more."""
        self.first_us, self.sealed_us = memory.first_us, memory.sealed_us
        same = all(model_revision in (None, k.published.state.model_revision) for k in memory.links.values())
        self.links = dict(memory.links) if same else {}
        self.late_memory |= memory.late_memory if same else {}
        self.found = dict(memory.found) if same else {}
        self.todo_us = memory.first_us if memory.sealed_us is None else memory.sealed_us + self.cycle_us
        self.pending_us = self.busy_us = self.learning_us = self.begun_us = None
        self.said = dict(memory.said)
        self.ever_us = max([-1 if memory.sealed_us is None else memory.sealed_us, *memory.said])
