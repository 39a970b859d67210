"""What an engine is told once: its networks, its signals, how late a row may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from grid_models.measurements import Catalogue
from twin.watches import Watch


@dataclass(frozen=True)
class NetworkSetup:
    """How one network is kept.

    Args:
        name: of the network.
        cycle_us: distance of its instants.
        waits_for: networks whose states this one's estimator looks at.
    """

    name: str
    cycle_us: int
    waits_for: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setup:
    """Everything the engine is told once.

    Args:
        epoch: from the lease.
        catalogue: the signals.
        networks: in any order.
        lateness_us: how late a row may come and still change states.
        stream_clock: whether time is what the data say, instead of the wall's.
        keyframe_us: how often a checkpoint goes to the journal.
        watches: alarms, leaks.
        lasting: of the late watches whose memory outlives another point list, by name, what makes it fit the new one: their
            alarms end with the old list, and what lasts is to be told again.
    """

    epoch: int
    catalogue: Catalogue
    networks: tuple[NetworkSetup, ...]
    lateness_us: int
    stream_clock: bool
    keyframe_us: int = 900_000_000
    watches: tuple[Watch, ...] = ()
    lasting: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
