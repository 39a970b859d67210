"""What a search has to say, and about which leak."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from solvers.water.leak_search.location import Place
from solvers.water.leak_search.memory import Track

_SHOWN = 10


class Kind(Enum):
    """What an event tells."""

    ISSUED = "issued"
    TRACKED = "tracked"
    MOVED = "moved"
    ENDED = "ended"
    METER = "meter"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class Event:
    """Something that the search has to say.

    Args:
        hour: it is known at the end of this hour.
        kind: what.
        number: of the leak, 0 where there is none.
        pipe: row of the pipe, -1 where there is none.
        onset: hour at which it began.
        flow_m3_per_h: of the leak.
        radius_m: of the credible zone.
        near: probability within a crew's reach.
        z: of the evidence.
        text: for the log.
        until: hour from which on a meter is heard again.
        likely: (pipe, probability, flow if it were there [m3/h]) of the likeliest pipes, the reported one first.
    """

    hour: int
    kind: Kind
    number: int = 0
    pipe: int = -1
    onset: int = 0
    flow_m3_per_h: float = 0.0
    radius_m: float = 0.0
    near: float = 0.0
    z: float = 0.0
    text: str = ""
    until: int = 0
    likely: tuple[tuple[int, float, float], ...] = ()


def about(h: int, kind: Kind, track: Track, place: Place, flow: float, z: float) -> Event:
    """An event about a followed leak and where it seems to be."""
    order = np.argsort(-place.probability, kind="stable")[:_SHOWN]
    pipes = [place.pipe, *(int(i) for i in order if i != place.pipe)][:_SHOWN]
    likely = tuple((i, float(place.probability[i]), float(place.flow[i])) for i in pipes)
    return Event(
        h, kind, track.number, place.pipe, track.onset, flow, place.radius_m, place.near, z, likely=likely
    )  # fmt: skip
