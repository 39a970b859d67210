"""When is a followed leak told, and as whose?

At once where it is large and sharp; a little later where the first hours have made it so; anything else only after it has
lasted for days, flows still, and is explained by no other place. After a large jump, small ones nearby wait twice as
long: they may be its shadow. What is nearly the same as an earlier alarm is not told again, unless that leak's flow had
settled, or this one came at once and is larger: then it is another one beside it, or it has broken open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from solvers.water.leak_search.events import Event, Kind, about
from solvers.water.leak_search.location import Place, Scene, locate_again
from solvers.water.leak_search.memory import Belief, Track

AT_ONCE = 14.0  # z
SURE = 0.9  # probability within a crew's reach
_TENTATIVE_H = 72
_SHARPER_H = (1, 2, 4)  # after it was found
_SAME_M, _SAME_DAYS = 200.0, 120.0  # no second alarm so near, while the first one's leak has not settled
_ECHO_DAYS = 14.0  # nor so soon
_APART_M = 300.0  # between where it is followed and where it seems to be now: not the time to tell


@dataclass(frozen=True)
class Told:
    """An alarm."""

    pipe: int
    hour: int
    number: int


@dataclass
class Telling:
    """The alarms of a search so far.

    Args:
        scene: the town and its past.
        told: in order of time.
    """

    scene: Scene
    told: list[Told] = field(default_factory=list)

    def tell(self, h: int, belief: Belief, track: Track, place: Place, z: float) -> Iterator[Event]:
        """The alarm about a leak, unless nothing is left of it, or nearly the same has been told."""
        k = belief.index(track.number)
        flow = float(belief.flow[k]) if k >= 0 else track.peak
        if flow < self.scene.walks.unit:
            return  # the hours since its onset, gone through again with it, have given its water to others
        track.issued = True
        distance = self.scene.noise.distance_m[place.pipe]
        same = [told for told in self.told if distance[told.pipe] < _SAME_M and self._goes_on(told, h, belief)]
        before = max((float(belief.flow[i]) for t in same if (i := belief.index(t.number)) >= 0), default=0.0)
        if not same or (track.window > 0 and self.scene.walks.is_burst(track.window, flow, before)):
            self.told.append(Told(place.pipe, h, track.number))
            yield about(h, Kind.ISSUED, track, place, flow, z)

    def young(self, h: int, belief: Belief) -> Iterator[Event]:
        """Alarms about what was not sharp enough when it was found, and is now."""
        unit = self.scene.walks.unit
        for k, track in enumerate(belief.tracks):
            is_young = not track.issued and h - track.found in _SHARPER_H and 0 < track.window <= 8
            if is_young and belief.flow[k] > max(4.0 * unit, 0.5 * track.rival):
                place = locate_again(self.scene, h, belief, k)
                sharp = place is not None and place.near > SURE and place.is_shared and place.is_whole
                if place is not None and sharp and place.z[place.pipe] > AT_ONCE:
                    yield from self.tell(h, belief, track, place, float(place.z[place.pipe]))

    def lasting(self, h: int, belief: Belief) -> Iterator[Event]:
        """Alarms about leaks that have lasted."""
        n, unit = len(belief.bias), self.scene.walks.unit
        for k, track in enumerate(belief.tracks):
            age, flow = h - track.found, float(belief.flow[k])
            certain = flow > max(unit, 5 * float(np.sqrt(belief.covariance[n + k, n + k])))
            moving = age < 240 and h - track.moved < 24
            seldom = age > 240 and h % 24 >= 6
            if track.issued or seldom or not certain or moving or not _has_lasted(track, age, flow, unit):
                continue
            place = locate_again(self.scene, h, belief, k)
            if place is None or min(place.z[track.pipe], place.z[place.pipe]) <= 10:
                continue
            apart = float(self.scene.noise.distance_m[track.pipe, place.pipe]) > _APART_M
            if place.near > (0.85 if age < 240 else 0.7) and place.is_shared and not apart:
                yield from self.tell(h, belief, track, place, float(place.z[place.pipe]))

    def _goes_on(self, told: Told, h: int, belief: Belief) -> bool:
        """Whether an alarm still stands for a leak that may move and grow."""
        k, age = belief.index(told.number), h - told.hour
        return age < 24 * _ECHO_DAYS or (k >= 0 and not belief.tracks[k].has_settled and age < 24 * _SAME_DAYS)


def _has_lasted(track: Track, age: int, flow: float, unit: float) -> bool:
    """Whether a leak is old enough to be told; a large one sooner, where the daily fit has left it in its place."""
    if flow > 4 * unit and track.steady > 0 and flow > 0.5 * track.rival:
        return True
    return age >= _TENTATIVE_H * (1 if track.rival < 1.5 * unit else 2)
