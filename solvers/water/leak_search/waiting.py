"""Evidence that has no place yet: when is it worth another question?

A leak must show in two hours unless it is large. Where no place is found for what shows, it is asked the less often the
longer that lasts, until it has grown by a third: then there may be another leak, and it is asked at once.
"""

from __future__ import annotations

from dataclasses import dataclass

_GROWN = 1.3  # times its z: evidence that is worth another question
_FORGOTTEN_H = 8  # without evidence, and what waited waits no more


@dataclass
class Waiting:
    """Since when there is evidence, when last, and until when it is of no use to ask unless it grows."""

    since: int = -1
    last: int = -99
    grown: int = -1
    until: int = -1
    z: float = 0.0

    def see(self, h: int, z: float) -> None:
        """Evidence in hour h."""
        if self.since < 0 or h - self.last > _FORGOTTEN_H:
            self.since, self.z = h, 0.0
        self.last = h
        if z > _GROWN * self.z:
            self.grown, self.until, self.z = h, -1, z

    def put_off(self, h: int) -> None:
        """No place was found: ask later."""
        age = h - self.grown
        self.until = h + (0 if age < 6 else 3 if age < 24 else 6 if age < 72 else 12)
