"""Jumps of the last days: a small change beside a large jump may be its shadow, what the jump's picture has missed."""

from __future__ import annotations

from dataclasses import dataclass, field

from solvers.water.leak_search.strongest import THRESHOLD, Change
from solvers.water.plan import Index

SHADOW = 0.35  # of the jump: what is smaller may be its shadow
_FADES_H, _FADING_H, _FORGOTTEN_H = 96, 48.0, 240
_MOST = 60  # jumps that are looked at
_LARGER, _ALONE_Z, _ALONE_H = 2.5, 2.5 * THRESHOLD, 48


@dataclass(frozen=True)
class Jump:
    """A jump."""

    hour: int
    size: float
    pipe: int


@dataclass
class Shadows:
    """What has jumped.

    Args:
        zone: (n_pipe,) zone of each pipe.
        jumps: in order of time.
    """

    zone: Index
    jumps: list[Jump] = field(default_factory=list)

    def see(self, h: int, size: float, pipe: int) -> None:
        """A jump by some m3/h in hour h."""
        self.jumps.append(Jump(h, size, pipe))

    def largest_near(self, h: int, pipe: int) -> float:
        """Largest recent jump in the pipe's zone, fading after four days [m3/h]."""
        sizes = [
            jump.size / (1.0 + max(0, h - jump.hour - _FADES_H) / _FADING_H)
            for jump in self.jumps[-_MOST:]
            if h - jump.hour < _FORGOTTEN_H and self.zone[jump.pipe] == self.zone[pipe]
        ]
        return max(sizes, default=0.0)

    def leaves(self, h: int, change: Change) -> bool:
        """Whether a change is none's shadow: strong evidence, and no much larger jump in the last two days."""
        larger = max((jump.hour for jump in self.jumps[-_MOST:] if jump.size >= _LARGER * change.flow), default=-99)
        return change.z > _ALONE_Z and h - larger > _ALONE_H
