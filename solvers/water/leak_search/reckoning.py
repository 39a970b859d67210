"""Once a day, all followed leaks are fitted at once (joint_fit.py); what is believed by the hour gives way where it must.

It must where the fit has found other places, or where the bias has gone beyond reason: then bias and flows begin again from
the fit, and no window reaches back beyond it. A leak that the fit has left where it was, and sharp, for days, is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from solvers.water.leak_search.events import Event, Kind, about
from solvers.water.leak_search.joint_fit import Fit, Leaks, day_of, exchanged, place_of, solved
from solvers.water.leak_search.location import Place, Scene
from solvers.water.leak_search.memory import Belief, Track
from solvers.water.plan import Floats

_HOURS, _BACK_H = 3, 12  # that speak for the day, and how long ago at most
_FIRST_H = 72
_GAIN = 20.0  # of evidence, for which places are changed
_STRAINED = 12.0  # rms of the bias in its deviations, beyond reason
_SAME_M = 300.0
_STEADY_DAYS, _LARGE = 2, 4.0  # for which a leak must have stood to be told; one day where it is so many units
_SHARP, _Z = 0.85, 10.0
_OVER = 0.2  # units: what a fit leaves of a leak that is over


@dataclass
class Reckoning:
    """The daily fit.

    Args:
        scene: the town and its past.
        carried: flows of the leaks that ran through the history, numbered from 1 [m3/h].
        last: number given to a track.
    """

    scene: Scene
    carried: tuple[float, ...] = ()
    last: int = 0

    def reckon(self, h: int, belief: Belief, over: int) -> Reckoned:
        """What a day's fit makes of a belief.

        Args:
            h: the day's last hour.
            belief: after it.
            over: last hour in which a leak has ended; what was read before it tells of another town, as before a jump.
        """
        scene, unit = self.scene, self.scene.walks.unit
        since = max([over, h - _BACK_H - 1, *(max(track.onset, track.changed) for track in belief.tracks)]) + 1
        if h < _FIRST_H or since > h:
            return Reckoned(belief)
        hours = tuple(np.unique(np.linspace(since, h, _HOURS).astype(int)).tolist())
        day = day_of(scene, hours, scene.noise.last_bias)
        fit = solved(scene, day, self._leaks(belief))
        found = exchanged(scene, day, fit)
        others = found.evidence >= fit.evidence + _GAIN
        found = found if others else fit
        places = {
            k: place_of(scene, day, found, k)
            for k in np.flatnonzero((found.leaks.known == 0) & (found.leaks.flow > unit)).tolist()
        }
        heads = slice(0, scene.town.n_head)
        strain = float(np.sqrt(np.mean((belief.bias / scene.noise.bias)[heads] ** 2))) if scene.town.n_head else 0.0
        if others or strain > _STRAINED:
            return self._anew(h, belief, found, places)
        for k, track in enumerate(belief.tracks):
            track.steady = track.steady + 1 if k in places and _is_sharp(places[k]) else 0
        told = {
            belief.tracks[k].number: place
            for k, place in places.items()
            if self._has_stood(belief.tracks[k], float(belief.flow[k]))
        }
        return Reckoned(belief, told=told)

    def _leaks(self, belief: Belief) -> Leaks:
        """What is followed."""
        unit, flow = self.scene.walks.unit, belief.flow.copy()
        known = np.array([track.number <= len(self.carried) for track in belief.tracks], dtype=np.int64)
        prior = flow.copy()
        prior[known == 1] = [self.carried[track.number - 1] for track in belief.tracks if track.number <= len(self.carried)]
        doubt = np.where(known == 1, 0.05 * prior + 0.1 * unit, 0.5 * flow + 3.0 * unit)
        return Leaks(belief.pipes, np.array([t.number for t in belief.tracks], dtype=np.int64), flow, prior, doubt, known)

    def _anew(self, h: int, belief: Belief, fit: Fit, places: dict[int, Place]) -> Reckoned:
        """A belief that begins from a fit."""
        n, k, leaks = len(belief.bias), len(fit.leaks.pipe), fit.leaks
        bias, P = _posterior(fit, self.scene.noise.last_bias)
        out = Belief(bias, np.zeros(0), P[:n, :n])
        old = {track.number: track for track in belief.tracks}
        kept, events, told = list(range(n)), [], {}
        for q in range(k):
            pipe, flow, was = int(leaks.pipe[q]), float(leaks.flow[q]), old.get(int(leaks.number[q]))
            if flow < _OVER * self.scene.walks.unit and not leaks.known[q]:
                continue
            track, kind = self._track(h, was, pipe, flow)
            if kind is not None and q in places:
                events.append(about(h, kind, track, places[q], flow, float(places[q].z[places[q].pipe])))
            near = was is not None and float(self.scene.noise.distance_m[was.pipe, pipe]) <= _SAME_M
            track.steady = track.steady + 1 if near and q in places and _is_sharp(places[q]) else 0
            if q in places and self._has_stood(track, flow):
                told[track.number] = places[q]
            out.add(track, flow, 0.0)
            kept.append(n + q)
        out.covariance = P[np.ix_(kept, kept)]
        gone = frozenset(old) - {track.number for track in out.tracks}
        events += [Event(h, Kind.ENDED, old[i].number, old[i].pipe, old[i].onset) for i in sorted(gone)]
        return Reckoned(out, True, tuple(events), told, gone)

    def _has_stood(self, track: Track, flow: float) -> bool:
        return track.steady >= (1 if flow > _LARGE * self.scene.walks.unit else _STEADY_DAYS)

    def _track(self, h: int, was: Track | None, pipe: int, flow: float) -> tuple[Track, Kind | None]:
        """A track where the fit has put it: far from where it was, it is another one."""
        if was is None or float(self.scene.noise.distance_m[was.pipe, pipe]) > _SAME_M:
            self.last += 1
            return Track(self.last, pipe, h - 23, h, window=24, peak=flow, charged=flow, changed=h), Kind.TRACKED
        here = replace(was, pipe=pipe, peak=flow, charged=flow, changed=h)
        return here, None if was.pipe == pipe else Kind.MOVED


@dataclass(frozen=True, eq=False)
class Reckoned:
    """What a day's fit made of a belief.

    Args:
        belief: the same, or one that begins from the fit.
        anew: whether it does.
        events: leaks that were found or moved.
        told: places of leaks that have been sharp for days, by their number.
        gone: numbers of tracks that the fit has left nothing of.
    """

    belief: Belief
    anew: bool = False
    events: tuple[Event, ...] = ()
    told: dict[int, Place] = field(default_factory=dict)
    gone: frozenset[int] = frozenset()


def _is_sharp(place: Place) -> bool:
    return place.near > _SHARP and place.is_shared and float(place.z[place.pipe]) > _Z


def _posterior(fit: Fit, last_bias: Floats) -> tuple[Floats, Floats]:
    """(n_output,) bias and (n_output + n, ..) covariance of it and the flows, after the day."""
    n, k = len(last_bias), len(fit.leaks.pipe)
    P = np.zeros((n + k, n + k))
    P[:n, :n] = fit.bias
    P[n:, n:] = np.diag(fit.leaks.doubt**2)
    H = np.concatenate([np.eye(n), fit.flowing], axis=1)
    gain = np.linalg.solve(H @ P @ H.T + fit.noise, H @ P).T
    bias = last_bias + fit.bias @ np.linalg.solve(fit.bias + fit.noise, fit.left)
    P = P - gain @ H @ P
    return bias, 0.5 * (P + P.T) + 1e-12 * np.eye(n + k)
