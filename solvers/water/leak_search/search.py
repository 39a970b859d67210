"""The search: hour by hour, is there something new, whose is it, and when is it told?

1. Predict the hour with all followed leaks flowing; remember residual and signatures.
2. Test windows from an hour to four weeks (strongest.py, ratio_tests.py). If nothing is new, the filter takes the hour in.
3. Otherwise: a meter alone? A known leak that grows or ends? Something that cannot be a leak (an unknown drop)? Or a new
   leak: unless it is large, it must show in two hours; then it is located and followed from its onset on, tentatively:
   what it takes away from the residuals at once cannot raise a second alarm.
4. Told (telling.py) is what is large and sharp at once; anything else only after it has lasted.

Followed leaks are located again as evidence grows; moving one replays the hours since its onset. Strictly causal: an
alarm issued at an hour's end uses nothing after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from solvers.water.leak_search.attribution import who_has_fallen, who_has_grown
from solvers.water.leak_search.bias_filter import Walks, advance
from solvers.water.leak_search.endings import Endings
from solvers.water.leak_search.events import Event, Kind, about
from solvers.water.leak_search.location import Scene, locate, locate_again
from solvers.water.leak_search.memory import Belief, Known, Memory, Track
from solvers.water.leak_search.muting import Muting
from solvers.water.leak_search.noise import Noise
from solvers.water.leak_search.ratio_tests import Past, Window, alone, window
from solvers.water.leak_search.readings import Hours
from solvers.water.leak_search.reckoning import Reckoning
from solvers.water.leak_search.restoring import restored
from solvers.water.leak_search.shadows import SHADOW, Shadows
from solvers.water.leak_search.strongest import WINDOWS_H, Change, due, strongest
from solvers.water.leak_search.telling import AT_ONCE, SURE, Telling
from solvers.water.leak_search.town import Town
from solvers.water.leak_search.waiting import Waiting
from solvers.water.plan import Floats

TYPICAL_M3_PER_H = 180.0  # consumption of the town that the flows below are stated for; they scale with the consumption
_METER_ALONE = 60.0  # by which a meter's z^2 must beat the best leak's
_METER_ROSE = 15.0  # the same for a rise that the end of no followed leak explains
_END_SHARE = 0.5  # of a settled leak's flow: less is no end
_REPAIR_H = 2  # in which an end becomes whole
_METER_FALLS = 4.0  # times the best leak's z^2, where the reading has fallen
_METER_LEFT = 4.0  # per output: chi-square that a meter's own change may leave open
_MISLED_H = 24  # before a meter's change was seen, it may have made a leak
_BENT = 3.0  # deviations by which a picture bends, from where on part of an hour would place it elsewhere
_RELOCATE_H = 12  # older leaks are moved by the daily fit
_QUIET_Z = 20.0  # a jump that is not overheard, whatever has just been
_TOLD_UNITS = 0.2  # to which an hour tells a flow on L-Town
_FOLLOWED_H = 2  # what has shown for hours is followed even where its place is not sharp: left alone, others take it in


@dataclass
class LeakSearch:
    """Searches one town; fed hour by hour.

    Args:
        town: calibrated.
        noise: of the history.
        known: leaks that run already.
    """

    town: Town
    noise: Noise
    known: tuple[Known, ...] = ()
    belief: Belief = field(init=False)
    _memory: Memory = field(init=False)
    _events: list[Event] = field(default_factory=list)
    _past: list[Past] = field(default_factory=list)
    _dropped: set[int] = field(default_factory=set)
    _muting: Muting = field(default_factory=Muting)
    _waiting: Waiting = field(default_factory=Waiting)
    _next: int = 0
    _quiet_until: int = 0
    _ending: int = -99
    _barrier: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A worker of its own: a town remembers its last solution, and the answer must not depend on who used it before.
        self.town = self.town.with_parameters(self.town.parameters)
        noise, n = self.noise, self.town.n_output
        unit = noise.reference_m3_per_h / TYPICAL_M3_PER_H
        self.walks = Walks(unit, min(1.0, noise.told_m3_per_h / (_TOLD_UNITS * unit)))
        self.belief = Belief(noise.last_bias.copy(), np.zeros(0), np.diag(noise.bias**2))
        for number, leak in enumerate(self.known, 1):
            track = Track(number, leak.pipe, 0, -9999, peak=leak.flow_m3_per_h, charged=leak.flow_m3_per_h, changed=0)
            track.carried = track.issued = True
            self.belief.add(track, leak.flow_m3_per_h, (0.1 * leak.flow_m3_per_h + 0.2 * self.walks.unit) ** 2)
            self.belief.covariance[:n, :n] += noise.signature_error(leak.pipe, leak.flow_m3_per_h)
        self._memory = Memory(n, len(self.town.pipe), max(WINDOWS_H))
        self._outflow = np.ones(len(self.town.pipe))
        zone = self.town.zone_of_pipe
        self._zone = zone
        self._shadows = Shadows(zone)
        self._scene = Scene(self.town, self._memory, noise, self.walks, zone >= 0)
        self._telling = Telling(self._scene)
        self._endings = Endings(self._scene)
        self._reckoning = Reckoning(self._scene, tuple(leak.flow_m3_per_h for leak in self.known), len(self.known))

    def step(self, hour: Hours) -> list[Event]:
        """Take in the readings of the hour after the last; events count hours from 0."""
        h, self._events = self._next, []
        self._next += 1
        self._memory.take(h, hour)
        self._look(h)
        change = self._change(h)
        if change is None:
            self._advance(h)
            self._events += self._telling.young(h, self.belief)
            if h % 6 == 0:
                self._events += self._telling.lasting(h, self.belief)
                self._end_tracks(h)
                self._relocate(h)
        else:
            self._explain(h, change)
        if h % 24 == 23:
            self._reckon(h)
        return self._events

    @property
    def leaks_m3_per_h(self) -> Floats:
        """(n_pipe,) flows of the followed leaks at the last hour's pressure."""
        return self.belief.leaks(len(self._zone)) * self._outflow

    @property
    def pressure_m(self) -> Floats:
        """(n_pipe,) in the last hour."""
        return self.noise.pressure_m * self._outflow**2

    # -- one hour ------------------------------------------------------------------------------------------------------

    def _look(self, h: int) -> None:
        """Predict the hour with the followed leaks flowing, and remember what was different."""
        belief = self.belief
        known = h in self._memory.before
        outflow = self._memory.outflow(h) if known else self._outflow
        hour = self._memory.hour(h)
        view = self.town.view(hour, belief.leaks(len(self._zone)) * outflow)
        # A leak is a hole: it flows with the root of the pressure. The hour's own pressure is known after its solve.
        self._outflow = np.sqrt(self.town.pipe_pressure(view) / self.noise.pressure_m)
        residual = self.town.measured(hour) - view.reading - self.noise.rhythm[hour.hour_of_week]
        residual = self._muting.heard(h, residual, belief.bias)
        weight = self.noise.reference_m3_per_h / max(view.inflow_m3_per_h, 0.05 * self.noise.reference_m3_per_h)
        signature = np.nan_to_num(self.town.signatures(view)) * self._outflow
        bin_ = self.noise.bin_of(view.inflow_m3_per_h, bool(hour.is_unsteady(self.noise.usual_flow_m3_per_h)))
        weight *= self.noise.worth[bin_]
        self._memory.keep(h, residual, signature, self._outflow, weight, bin_, belief)

    def _advance(self, h: int) -> None:
        memory = self._memory
        jumps = advance(self.belief, h, memory.residual(h), memory.signature(h), memory.bin_of(h), self.noise, self.walks)
        for jump in jumps:
            self._shadows.see(h, jump.size, jump.pipe)

    def _replay(self, first: int, last: int) -> None:
        for h in range(first, last + 1):
            self.belief = self._endings.ended(self.belief, h)
            self._look(h)
            if h not in self._endings.cut:
                self._advance(h)

    def _window(self, h: int, length: int) -> Window:
        first = h - length + 1
        w = window(self._memory, self.belief, self.noise, self.walks, first, h, self._past)
        for output in self._muting.since(first):
            w.R[output, output] += 1e6 * self.noise.bias[output] ** 2
        return w

    def _change(self, h: int) -> Change | None:
        """The strongest change in any window that ends now."""
        quiet = h < self._quiet_until  # but for a jump, which does not wait
        asked = [length for length in due(h) if h - length + 1 in self._memory.before and (length == 1 or not quiet)]
        found = strongest(asked, lambda length: (self._window(h, length), self._open_to(h - length + 1)), self.walks.unit)
        return found if not quiet or (found is not None and abs(found.z) >= _QUIET_Z) else None

    def _open_to(self, first: int) -> NDArray[np.bool_]:
        """(n_pipe,) pipes whose zone no barrier closes to a window that begins so early."""
        closed = [zone for zone, barrier in self._barrier.items() if first < barrier]
        return self._scene.allowed & ~np.isin(self._zone, closed)

    # -- whose change is it? -------------------------------------------------------------------------------------------

    def _explain(self, h: int, change: Change) -> None:
        w = self._window(h, change.window)
        if self._is_meter(h, w, change, _METER_ALONE):
            return
        doubted = replace(w, R=w.R + self.noise.signature_error(change.pipe, abs(change.flow)))
        if change.is_drop:
            if not self._is_over(h) and not self._has_fallen(h, doubted) and not self._is_meter(h, w, change, _METER_ROSE):
                self._loosen(h, change)
            return
        if self._has_grown(h, doubted, change):
            return
        shadow = self._shadows.largest_near(h, change.pipe)
        if change.flow < SHADOW * shadow and not self._shadows.leaves(h, change):
            self._advance(h)
            self._quiet_until = h + 3
            return
        waiting = self._waiting
        waiting.see(h, change.z)
        if (h == waiting.since and change.z < AT_ONCE) or h < waiting.until:
            self._advance(h)
            return
        self._track(h, change, shadow)

    def _is_meter(self, h: int, w: Window, change: Change, margin: float) -> bool:
        """A pressure meter that has changed by itself: it explains more than any leak, and leaves nothing open."""
        squares, total = alone(w)
        heads = squares[: self.town.n_head]
        i = int(heads.argmax()) if len(heads) else -1
        if i < 0 or total - heads[i] > _METER_LEFT * len(squares):
            return False
        # A pressure that falls may be a leak beside the meter, whose picture bends; one that rises cannot.
        against = change.z**2 if w.e[i] > 0 else _METER_FALLS * change.z**2
        if heads[i] < against + margin:
            return False
        until = self._silence(h, i, h - change.window + 1, float(abs(w.e[i])))
        text = f"{self.town.output_names[i]} has changed by itself, by {w.e[i]:+.3g}"
        self._say(Event(h, Kind.METER, until=until, z=float(heads[i]) ** 0.5, text=text))
        return True

    def _silence(self, h: int, output: int, first: int, size: float) -> int:
        """Hear a meter no more since its change, and until when; what it has made believe meanwhile is forgotten."""
        until = self._muting.mute(output, first)
        zone = self.town.zone_of_output[output]
        for k in range(len(self.belief.tracks) - 1, -1, -1):
            track = self.belief.tracks[k]
            if not track.issued and track.found >= first - _MISLED_H and self._zone[track.pipe] == zone:
                self._dropped.add(track.number)
                self.belief.remove(k)
        self._restore(first)
        self.belief.covariance[output, output] += size**2
        self._replay(first, h)
        return until

    def _has_grown(self, h: int, w: Window, change: Change) -> bool:
        """A followed leak that explains the growth nearly as well as any pipe.

        One that has settled grows no more, and one that is known does not double in an hour: something has broken open.
        """
        found = who_has_grown(w, h, change.window, self.belief, self.walks, self._scene.allowed)
        if found is None:
            return False
        k, size = found
        track = self.belief.tracks[k]
        first = max(h - change.window + 1, track.onset + 1, h - 72)
        track.walk, track.walk_until = max(0.12 * self.walks.unit, 0.7 * size / change.window**0.5), h + 48
        self._restore(first)
        now = self.belief.index(track.number)
        if now >= 0:
            at = self.town.n_output + now
            self.belief.covariance[at, at] += size**2
        self._replay(first, h)
        self._quiet_until = h + 3
        return True

    def _is_over(self, h: int) -> bool:
        """A large leak that has ended, or that may have within this hour, which is not taken in."""
        k = self._endings.find(h, self.belief)
        if k is not None and k >= 0:
            track = self.belief.tracks[k]
            self._past.append(Past(track.pipe, track.peak, h))
            self._say(Event(h, Kind.ENDED, track.number, track.pipe, track.onset, float(self.belief.flow[k])))
            self._replay(h, h)
        return k is not None

    def _has_fallen(self, h: int, w: Window) -> bool:
        """A followed leak whose end, or part of it, explains much of the drop, and that had as much to lose.

        A settled leak ends as a whole. What looks like part of its end may be an hour in which it was repaired: that is
        waited for, once a day.
        """
        n = self.town.n_output
        found = who_has_fallen(w, self.belief, self.walks, self._scene.allowed)
        if found is None:
            return False
        k, size = found
        track = self.belief.tracks[k]
        if self.walks.is_settled(track, h) and -size < _END_SHARE * self.belief.flow[k]:
            if h - self._ending > 24:
                self._ending = h
            if h - self._ending > _REPAIR_H:
                return False
            self._advance(h)
            return True
        track.changed = h
        self.belief.covariance[n + k, n + k] += size**2
        self.belief.covariance[:n, :n] += self.noise.signature_error(track.pipe, abs(size))
        self._advance(h)
        self._quiet_until = h + 2
        return True

    def _loosen(self, h: int, change: Change) -> None:
        """Nothing explains it: the bias of its zone may be elsewhere, and no window may reach back beyond now there."""
        belief, n = self.belief, self.town.n_output
        zone = int(self._zone[change.pipe])
        mine = np.flatnonzero(self.town.zone_of_output == zone)
        belief.covariance[mine, mine] += (2.0 * self.noise.bias[mine]) ** 2
        for q, track in enumerate(belief.tracks):
            if self._zone[track.pipe] == zone and not self.walks.is_settled(track, h):
                belief.covariance[n + q, n + q] += max(0.3 * self.walks.unit, 0.1 * belief.flow[q]) ** 2
        self._barrier[zone] = h + 1
        self._shadows.see(h, min(abs(change.flow), 30.0 * self.walks.unit), change.pipe)
        self._say(Event(h, Kind.UNEXPLAINED, pipe=change.pipe, z=change.z, flow_m3_per_h=change.flow))
        self._advance(h)

    # -- following a new leak ------------------------------------------------------------------------------------------

    def _track(self, h: int, change: Change, shadow: float) -> None:
        age = h - self._waiting.since
        length = 1 if change.z > 18 and age == 1 else change.window
        place = locate(self._scene, self._window(h, length), change.pipe, change.flow)
        flow = float(place.flow[place.pipe])
        if flow < SHADOW * shadow:
            self._advance(h)
            self._quiet_until = h + 3
            return
        needed = SURE if age < _FOLLOWED_H else 0.6 if age < 6 else 0.5 if age < 336 else 0.45
        cut = age == 0 and place.bend > _BENT  # a burst within the hour: the mean of its picture is not that of its mean
        if place.near < needed or not place.is_shared or cut:
            self._advance(h)
            self._waiting.put_off(h)
            return
        onset = h - change.window + 1
        at_once = (
            change.z > AT_ONCE and flow > max(2.0 * self.walks.unit, 0.5 * shadow) and place.near > SURE and place.is_whole
        )
        self._waiting = Waiting()
        self._restore(onset)
        best = int(place.probability.argmax())
        pipe = best if place.probability[best] > 0.3 else place.pipe
        self._reckoning.last += 1
        track = Track(
            self._reckoning.last, pipe, onset, h, window=change.window, peak=flow, charged=flow, rival=shadow
        )  # fmt: skip
        self._endings.before[track.number] = self.belief.copy()
        self.belief.add(track, max(flow, 0.3 * self.walks.unit), (0.5 * max(flow, self.walks.unit)) ** 2)
        self._shadows.see(h, flow, place.pipe)
        n = self.town.n_output
        self.belief.covariance[:n, :n] += self.noise.signature_error(pipe, flow)
        self._replay(onset, h)
        self._say(about(h, Kind.TRACKED, track, place, flow, change.z))
        if at_once:
            self._events += self._telling.tell(h, self.belief, track, place, change.z)
        self._quiet_until = h + 3

    def _end_tracks(self, h: int) -> None:
        """Leaks that flow no more are followed no more; their shadow is remembered."""
        unit = self.walks.unit
        for k in range(len(self.belief.tracks) - 1, -1, -1):
            track, flow, age = self.belief.tracks[k], float(self.belief.flow[k]), h - self.belief.tracks[k].onset
            over = (flow < max(0.25 * unit, 0.06 * track.peak) and age > 48) or (age > 240 and flow < 0.2 * unit)
            if over:
                if track.peak < 2.5 * unit and not track.issued:
                    self._dropped.add(track.number)
                self.belief.remove(k)
                self._past.append(Past(track.pipe, track.peak, h))
                self._say(Event(h, Kind.ENDED, track.number, track.pipe, track.onset, flow))

    def _relocate(self, h: int) -> None:
        """Look again at a young leak; move one that is clearly elsewhere and replay since its onset."""
        for k, track in enumerate(self.belief.tracks):
            if track.carried or (h - track.onset) // 6 != _RELOCATE_H // 6 or self.belief.flow[k] <= 4 * self.walks.unit:
                continue
            place = locate_again(self._scene, h, self.belief, k)
            if place is None or place.pipe == track.pipe or place.z[place.pipe] <= 8:
                continue
            gain = float(place.evidence[place.pipe] - place.evidence[track.pipe])
            way = float(self.noise.distance_m[track.pipe, place.pipe])
            if way < 1500 and gain > 12.0:
                if way > 150:
                    track.moved = h
                track.pipe = place.pipe
                self._say(about(h, Kind.MOVED, track, place, float(self.belief.flow[k]), float(place.z[place.pipe])))
                first = max(track.onset + 1, h - self._memory.ring + 6)
                self._restore(first)
                self._replay(first, h)
                return

    def _reckon(self, h: int) -> None:
        """Fit all followed leaks to the day at once."""
        found = self._reckoning.reckon(h, self.belief, self._endings.last)
        self.belief = found.belief
        self._dropped |= found.gone
        self._events += found.events
        if found.anew:
            self._barrier = dict.fromkeys(range(len(self.town.zones.balanced)), h + 1)
        for track in self.belief.tracks:
            if track.number in found.told and not track.issued:
                place = found.told[track.number]
                self._events += self._telling.tell(h, self.belief, track, place, float(place.z[place.pipe]))

    def _restore(self, first: int) -> None:
        """Go back to what was believed before an hour, with the leaks as they are known now."""
        self.belief = restored(self._memory.before[first], self.belief, self._dropped, self.noise, self.walks)

    def _say(self, event: Event) -> None:
        self._events.append(event)
