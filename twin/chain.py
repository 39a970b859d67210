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
        todo_us: the earliest instant to compute, None before the first measurement.
        busy_us: the instant being computed, None when none is.
        outdated: whether the one being computed has been overtaken by a late row.
        sealed_us: the last instant that has left the lateness window and been seen by the late watches.
        links: instant -> Link, from the last sealed instant on.
        late_memory: what the late watches remember after `sealed_us`.
        published_us: the newest instant handed to subscribers.
        ever_us: the newest instant computed.
    """

    network: str
    cycle_us: int
    waits_for: tuple[str, ...]
    todo_us: int | None = None
    busy_us: int | None = None
    outdated: bool = False
    sealed_us: int | None = None
    links: dict[int, Link] = field(default_factory=dict)
    late_memory: dict[str, Any] = field(default_factory=dict)
    published_us: int = -1
    ever_us: int = -1

    def grid_at_or_after(self, time_us: int) -> int:
        """The first instant at or after a time."""
        return -(-time_us // self.cycle_us) * self.cycle_us

    def touch(self, time_us: int) -> int | None:
        """A measurement of this time came: mark what must be computed again.

        Returns:
            The first already computed instant that is now dirty, None where there is none.
        """
        instant = self.grid_at_or_after(time_us)
        if self.sealed_us is not None:
            instant = max(instant, self.sealed_us + self.cycle_us)
        if self.todo_us is None:
            self.todo_us = instant
            return None
        if self.busy_us is not None and instant <= self.busy_us:
            self.outdated = True
        if instant >= self.todo_us:
            return None
        if not self.links:  # nothing is there to correct: the chain simply begins earlier
            self.todo_us = instant
            return None
        self.todo_us = instant
        return instant

    def newest(self, at_or_before_us: int) -> PublishedState | None:
        """The newest computed state at or before an instant, as far as the chain is valid."""
        best = max((t for t in self.links if t <= at_or_before_us), default=None)
        return None if best is None else self.links[best].published
