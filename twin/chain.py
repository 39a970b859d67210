"""One network's chain of states on its grid of instants: what is computed, what is to be computed next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from twin.port import PublishedState


@dataclass(eq=False)
class Link:
    """One instant: its state and what the live watches remember after it."""

    published: PublishedState
    memory: dict[str, Any]


@dataclass(eq=False)
class Chain:
    """The engine's book-keeping for one network.

    Args:
        network: its name.
        cycle_us: distance of instants.
        waits_for: networks whose states up to an instant must be there first.

    Attributes:
        first_us: the instant of the first measurement, where the chain begins; None before it.
        todo_us: the earliest instant to compute, None before the first measurement.
        busy_us: the instant being computed, None when none is.
        outdated: whether the one being computed has been overtaken by a late row.
        sealed_us: the last instant that has left the lateness window and been seen by the late watches.
        links: instant -> Link, as far back as this network or one that waits for it may ask.
        late_memory: what the late watches remember after `sealed_us`.
        ever_us: the newest instant computed.
    """

    network: str
    cycle_us: int
    waits_for: tuple[str, ...]
    first_us: int | None = None
    todo_us: int | None = None
    busy_us: int | None = None
    outdated: bool = False
    sealed_us: int | None = None
    links: dict[int, Link] = field(default_factory=dict)
    late_memory: dict[str, Any] = field(default_factory=dict)
    ever_us: int = -1

    def grid_at_or_after(self, time_us: int) -> int:
        """The first instant at or after a time."""
        return -(-time_us // self.cycle_us) * self.cycle_us

    def touch(self, time_us: int) -> int | None:
        """A measurement of this time came: mark what must be computed, or computed again.

        Returns:
            The first instant that was not due before and is now, None where nothing changes.
        """
        instant = self.grid_at_or_after(time_us)
        self.first_us = instant if self.first_us is None else min(self.first_us, instant)
        return self._dirty(instant)

    def retouch(self, time_us: int) -> int | None:
        """Something other than a measurement changed at this time; like `touch`, but no chain begins with it."""
        if self.first_us is None:
            return None
        return self._dirty(max(self.grid_at_or_after(time_us), self.first_us))

    def _dirty(self, instant: int) -> int | None:
        if self.sealed_us is not None:
            instant = max(instant, self.sealed_us + self.cycle_us)
        if self.busy_us is not None and instant <= self.busy_us:
            self.outdated = True
        if self.todo_us is not None and instant >= self.todo_us:
            return None
        self.todo_us = instant
        return instant

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

    def is_keyframe(self, instant: int, every_us: int) -> bool:
        """Whether an instant is the last one at or before a multiple of `every_us`."""
        return -(-instant // every_us) * every_us < instant + self.cycle_us
