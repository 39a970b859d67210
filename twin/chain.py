"""One network's chain of states on its grid of instants: what is computed, what is to be computed next.

Beside the grid there may be frames between two of its instants (`twin.settling`). They are computed in their turn, from the
state of the grid instant before them, and no other state is made from them.
"""

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
        shown: as in `Chain`, after `sealed_us`.
    """

    first_us: int
    sealed_us: int | None
    links: Mapping[int, Link]
    late_memory: Mapping[str, Any]
    said: Mapping[int, bytes]
    found: Mapping[int, Found | None] = field(default_factory=dict)
    shown: Mapping[int, bytes] = field(default_factory=dict)


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
        planned: grid instant -> the frames before it that there are to be.
        shown: frame between grid instants that has been computed -> digest of its state.
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
    planned: dict[int, tuple[int, ...]] = field(default_factory=dict)
    shown: dict[int, bytes] = field(default_factory=dict)

    # Its instants

    @property
    def rests(self) -> bool:
        """Whether nothing is being computed."""
        return self.busy_us is None and self.learning_us is None

    def grid_at_or_after(self, time_us: int) -> int:
        """The first instant of the grid at or after a time."""
        return -(-time_us // self.cycle_us) * self.cycle_us

    def grid_before(self, instant: int) -> int:
        """The last instant of the grid before another instant: what that one's state is made from."""
        return self.grid_at_or_after(instant) - self.cycle_us

    def on_grid(self, instant: int) -> bool:
        """Whether an instant is one of the grid; else it is a frame between two of them."""
        return instant % self.cycle_us == 0

    def after(self, instant: int) -> int:
        """The next instant, of the grid or between."""
        return self._at_or_after(instant + 1)

    def count(self, first: int, last: int) -> int:
        """How many instants there are from one to another, both of them counted."""
        grid = (last - self.grid_at_or_after(first)) // self.cycle_us + 1
        return grid + sum(first <= t <= last for t in self._between())

    def _at_or_after(self, time_us: int) -> int:
        return min([self.grid_at_or_after(time_us), *(t for t in self._between() if t >= time_us)])

    def _between(self) -> set[int]:
        return {*self.shown, *(t for frames in self.planned.values() for t in frames)}

    def plan(self, end_us: int, frames: tuple[int, ...]) -> None:
        """There are to be these frames between the grid instant `end_us` and the one before it.

        One that has been shown stays; one that is only now to be, and lies behind what was computed, is a correction.
        """
        known = self._between()
        self.planned[end_us] = frames
        if not frames:
            del self.planned[end_us]
        if self.first_us is None or self.todo_us is None:
            return
        if self.busy_us is not None and not self.on_grid(self.busy_us):
            self.shown.setdefault(self.busy_us, b"")
        self.todo_us = self._at_or_after(self.todo_us)
        self.pending_us = None if self.pending_us is None else self._at_or_after(self.pending_us)
        done = max([self.grid_before(self.todo_us), *(t for t in self.shown if t < self.todo_us)])
        for frame in (t for t in frames if t not in known and t > max(self.first_us, self.sealed_us or 0)):
            if self.busy_us is None and done <= frame < self.todo_us:
                self.todo_us = frame
            else:
                self._dirty(frame)

    # What is to be computed

    def touch(self, time_us: int) -> None:
        """A measurement of this time came: mark what must be computed, or computed again."""
        instant = self.grid_at_or_after(time_us)
        self.first_us = instant if self.first_us is None else min(self.first_us, instant)
        self._dirty(time_us)

    def retouch(self, time_us: int) -> None:
        """Something other than a measurement changed at this time; like `touch`, but no chain begins with it."""
        if self.first_us is not None:
            self._dirty(time_us)

    def _dirty(self, time_us: int) -> None:
        assert self.first_us is not None
        sealed_us = self.first_us - 1 if self.sealed_us is None else self.sealed_us
        instant = self._at_or_after(max(time_us, self.first_us, sealed_us + 1))
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

        By the time the grid instant before has been computed, everything older than the lateness window before that one is
        sealed. Only this is looked at, so that it is the same whenever the instant is computed.
        """
        limit = self.grid_before(instant) - self.lateness_us
        best = max((t for t in self.found if t < limit), default=None)
        return None if best is None else self.found[best]

    def newest(self, at_or_before_us: int) -> PublishedState | None:
        """The newest computed state at or before an instant, as far as the chain is valid."""
        best = max((t for t in self.links if t <= at_or_before_us), default=None)
        return None if best is None else self.links[best].published

    def trim(self, needed_us: int) -> None:
        """Drop links before the newest one at or before `needed_us`, and frames that are sealed."""
        if self.sealed_us is not None:
            self.planned = {t: frames for t, frames in self.planned.items() if t > self.sealed_us}
            self.shown = {t: digest for t, digest in self.shown.items() if t > self.sealed_us}
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
        if not self.on_grid(instant):
            self.shown[instant] = digest
        self.ever_us = max(self.ever_us, instant)

    def saved(self) -> ChainMemory | None:
        """What a checkpoint holds of it, None before its first measurement."""
        if self.first_us is None:
            return None
        sealed = -1 if self.sealed_us is None else self.sealed_us
        links = {t: link for t, link in self.links.items() if t <= sealed}
        shown = {t: digest for t, digest in self.shown.items() if t > sealed}
        said = {t: digest for t, digest in self.said.items() if t > sealed} | shown
        said |= {t: link.digest for t, link in self.links.items() if t > sealed}
        return ChainMemory(self.first_us, self.sealed_us, links, dict(self.late_memory), said, dict(self.found), shown)

    def recall(self, memory: ChainMemory, model_revision: str | None) -> None:
        """Go on from a checkpoint; states of another model than `model_revision` tell where to begin, and no more."""
        self.first_us, self.sealed_us = memory.first_us, memory.sealed_us
        same = all(model_revision in (None, k.published.state.model_revision) for k in memory.links.values())
        self.links = dict(memory.links) if same else {}
        self.late_memory |= memory.late_memory if same else {}
        self.found = dict(memory.found) if same else {}
        self.planned, self.shown = {}, dict(memory.shown)
        self.todo_us = memory.first_us if memory.sealed_us is None else self.after(memory.sealed_us)
        self.pending_us = self.busy_us = self.learning_us = self.begun_us = None
        self.said = dict(memory.said)
        self.ever_us = max([-1 if memory.sealed_us is None else memory.sealed_us, *memory.said])
