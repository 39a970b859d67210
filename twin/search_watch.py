"""The search for leaks, live: settled states' readings -> hours -> the search of `twin leaks`, whose events become alarms.

    readings of each instant -> the hour under way -> `Usual.hear` -> `LeakSearch.step` at each hour's end

It finds what the watch for bursts cannot: slow leaks, and those that ran before the first measurement. What the state carries
already has been told by that other watch and is not told twice.

What the watch remembers is small: the readings of the hour under way, the hours since a *base*, and what has been told. The
search itself (100 MB on L-Town) is no part of it but follows from it: it is kept between hours, and where it is not, as after a
restart, it is made from the base, a file beside the store under the hash of all hours before, and from the hours since. A new
base is made each week. No state is made from what is found here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_models.state import NetworkState
from solvers.water.leak_search.events import Event, Kind
from solvers.water.leak_search.location import CREW_M
from solvers.water.leak_search.readings import Hours
from solvers.water.leak_search.saving import recall, saved
from solvers.water.leak_search.search import LeakSearch
from solvers.water.plan import Floats
from twin.estimators.water import WaterEstimator
from twin.field_report import FieldReport, ReportKind
from twin.hearing import Heard, hours_of
from twin.learnt import WORTH_CARRYING_M3_PER_H, Learnt, write_whole
from twin.packing import Unreadable, packed, unpacked
from twin.port import Candidate, EventKind, Transition
from twin.watches import Finding

log = logging.getLogger(__name__)

SAME_M = 300.0  # from a leak that the state carries: it is that leak
_HOUR_US = 3_600_000_000
_BASE_H = 24 * 7
_BASES = 2  # kept: the newest checkpoint may be older than the newest base
_GONE_H = 24  # after its repair was told, or states have carried it no more, a leak that flows still is told after all
_STILL = 0.5  # of the most that it flowed: it flows still
_NONE = ""
_LENGTH = Struct("<Q")


@dataclass(frozen=True, eq=False)
class Log:
    """What the watch remembers.

    Args:
        hour_us: begin of the hour under way; -1 before the first whole one.
        rows: (n_column,) readings of that hour, by instant.
        heard: what hours before it say.
        count: hours that have been searched.
        base: hash of the hours in the base; empty where there is none.
        hours: since then.
        digest: hash of all hours so far.
        first_us: begin of the first hour.
        told: (number, when) of leaks under alarm.
        hushed: (number, hours since its end was told) of each leak that the search follows under no alarm: the other watch has
            told it, or it was told as repaired.
        silent: (meter, hour from which on it is heard again).
    """

    hour_us: int
    rows: tuple[Floats, ...]
    heard: Heard
    count: int = 0
    base: str = _NONE
    hours: tuple[Hours, ...] = ()
    digest: str = _NONE
    first_us: int = -1
    told: tuple[tuple[int, int], ...] = ()
    hushed: tuple[tuple[int, int], ...] = ()
    silent: tuple[tuple[str, int], ...] = ()


class SearchWatch:
    """Implements `twin.watches.Watch`.

    Args:
        estimator: of the network.
        learnt: what a history has taught of it.
        cycle_us: distance of the network's instants, a whole part of an hour.
        folder: of bases.
    """

    late = True

    def __init__(self, estimator: WaterEstimator, learnt: Learnt, cycle_us: int, folder: Path) -> None:
        self.network = estimator.network
        self.name = f"search-{self.network}-{learnt.revision}"
        self._model, self._learnt, self._cycle_us, self._folder = estimator.model, learnt, cycle_us, folder
        self._estimator = estimator
        self._column, self._unit, self._parts = _columns(estimator, learnt)
        self._searched: tuple[str, LeakSearch] | None = None  # the search after the hours of a hash
        self._pipe_ids = tuple(str(i) for i in self._model.link_ids[self._model.pipe_link])
        self._ends = self._model.link_from[self._model.pipe_link], self._model.link_to[self._model.pipe_link]

    def empty(self) -> Log:
        """Nothing read yet."""
        return Log(-1, (), Heard.nothing(len(self._learnt.sensors.pressure)))

    def again(self) -> SearchWatch:
        """The same watch without what it keeps between hours, as after a restart."""
        return SearchWatch(self._estimator, self._learnt, self._cycle_us, self._folder)

    def told_anew(self, memory: Log) -> Log:
        """Its memory where its alarms have ended with the point list: what flows is told again at the next hour's end."""
        return replace(memory, told=(), hushed=(*memory.hushed, *((n, _GONE_H) for n, _ in memory.told)), silent=())

    def found(self, memory: Log) -> None:
        """Nothing that states are made from."""
        del memory

    def step(
        self, memory: Log, state: NetworkState, coupled: Mapping[str, NetworkState], reports: tuple[FieldReport, ...] = ()
    ) -> tuple[Log, tuple[Finding, ...]]:
        """Take in a settled state's readings, and search the hour that they complete."""
        del coupled
        instant, row = state.valid_time_us, self._row(state)
        memory, findings = self._repaired(memory, reports)
        if memory.hour_us < 0:
            if instant % _HOUR_US:
                return memory, tuple(findings)
            carried = self._carried_over(instant)
            memory = replace(memory, hour_us=instant, first_us=instant, told=tuple((n, instant) for n in carried))
            findings += carried.values()
        while 0 <= memory.hour_us <= instant - _HOUR_US:
            after = row if instant == memory.hour_us + _HOUR_US else np.full(len(row), np.nan)
            hour = self._hour(memory, after)
            memory, told = self._search(memory, hour, state)
            findings += told
        if memory.hour_us < 0:
            return memory, tuple(findings)
        rows = self._padded(memory.rows, (instant - memory.hour_us) // self._cycle_us)
        return replace(memory, rows=(*rows, row)), tuple(findings)

    # -- from rows to hours --------------------------------------------------------------------------------------------

    def _row(self, state: NetworkState) -> Floats:
        """(n_column,) readings of a state in m and m3/h, by the learnt sensors."""
        read = state.memory.get("read")
        if read is None:
            return np.full(len(self._column), np.nan)
        return np.append(read, np.nan)[self._column] * self._unit

    def _padded(self, rows: tuple[Floats, ...], n: int) -> tuple[Floats, ...]:
        """Rows up to the n-th instant of an hour, nan where there was no state."""
        return (*rows, *(np.full(len(self._column), np.nan) for _ in range(n - len(rows))))

    def _hour(self, memory: Log, after: Floats) -> Hours:
        """The hour under way, complete with its first instant after it."""
        values = np.array(self._padded(memory.rows, _HOUR_US // self._cycle_us))[None]
        pressure, flow, level, drawn = np.split(values, self._parts, axis=2)
        level_after = np.split(after[None], self._parts, axis=1)[2]
        return hours_of(np.array([memory.hour_us / 1e6]), pressure, flow, level, drawn, level_after)[0]

    # -- the search ----------------------------------------------------------------------------------------------------

    def _search(self, memory: Log, hour: Hours, state: NetworkState) -> tuple[Log, list[Finding]]:
        """Search an hour, and tell what there is."""
        search = self._taken_up(memory)
        if search is None:
            return self._begun_anew(memory)
        heard, hour = self._learnt.usual.hear(memory.heard, hour)
        try:
            events = search.step(hour)
        except Exception:  # a fault of ours must not come back every hour
            log.exception("search failed network=%s hour=%d", self.network, memory.count)
            return self._begun_anew(memory)
        digest = sha256(memory.digest.encode() + packed(hour)).hexdigest()[:16]
        memory = replace(
            memory, hour_us=memory.hour_us + _HOUR_US, rows=(), heard=heard, count=memory.count + 1, digest=digest,
            hours=(*memory.hours, hour),
        )  # fmt: skip
        if memory.count % _BASE_H == 0:
            self._keep(memory, search)
            memory = replace(memory, base=digest, hours=())
        self._searched = digest, search
        return _Telling(self, search, state, memory).tell(events)

    def _taken_up(self, memory: Log) -> LeakSearch | None:
        """The search after the hours so far; None where its base is lost."""
        kept, self._searched = self._searched, None  # it is about to go on
        if kept is not None and kept[0] == memory.digest:
            return kept[1]
        search = self._learnt.search(self._model, memory.first_us / 1e6)
        if memory.base:
            try:
                recall(search, _pieces(self._path(memory.base)))
            except (OSError, Unreadable) as error:
                log.warning("search lost its base network=%s base=%s error=%s", self.network, memory.base, error)
                return None
        for hour in memory.hours:
            search.step(hour)
        return search

    def _begun_anew(self, memory: Log) -> tuple[Log, list[Finding]]:
        """Without its base the search begins anew; what it has told ends with it."""
        text = "the search for leaks begins anew: what it knew is lost"
        over = [self.finding(n, Transition.CLEARED, (), text) for n, _ in memory.told]
        over += [self.meter(name, Transition.CLEARED, text) for name, _ in memory.silent]
        return self.empty(), over

    def _keep(self, memory: Log, search: LeakSearch) -> None:
        """Make a base; older ones than the one before it are no longer asked for."""
        before = sorted(self._folder.glob(f"{self.network}-*.search"), key=lambda path: path.stat().st_mtime)
        write_whole(self._path(memory.digest), (_LENGTH.pack(len(p)) + p for p in map(packed, saved(search))))
        for path in before[: -(_BASES - 1)]:
            path.unlink()

    def _path(self, digest: str) -> Path:
        return self._folder / f"{self.network}-{digest}.search"

    # -- what is told --------------------------------------------------------------------------------------------------

    def _repaired(self, memory: Log, reports: Iterable[FieldReport]) -> tuple[Log, list[Finding]]:
        """End the alarms whose leaks have been told as repaired; the search itself sees their water come back."""
        said = {r.alarm_key: r for r in reports if r.kind is ReportKind.REPAIRED}
        over = {n: said[key] for n, us in memory.told if (key := self.key(n)) in said and said[key].counts_us > us}
        if not over:
            return memory, []
        told, hushed = tuple(x for x in memory.told if x[0] not in over), (*memory.hushed, *((n, 0) for n in over))
        findings = [self.finding(n, Transition.CLEARED, (), report.line) for n, report in over.items()]
        return replace(memory, told=told, hushed=hushed), findings

    def _carried_over(self, instant: int) -> dict[int, Finding]:
        """Leaks of the history that run still, by their number in the search."""
        findings = {}
        for i, (leak, since_s) in enumerate(self._learnt.carried_into(instant / 1e6)):
            if leak.flow_m3_per_h >= WORTH_CARRYING_M3_PER_H:
                pipe = self._pipe_ids[leak.pipe]
                text = f"leak of {leak.flow_m3_per_h:.1f} m3/h near pipe {pipe}, carried over from the history"
                figures = {"flow_m3_per_h": leak.flow_m3_per_h, "began_s": float(since_s)}
                findings[i + 1] = self.finding(i + 1, Transition.RAISED, (f"pipe {pipe}",), text, figures=figures)
        return findings

    def finding(
        self, number: int, transition: Transition, elements: tuple[str, ...], text: str,
        candidates: tuple[Candidate, ...] = (), figures: Mapping[str, float] | None = None,
    ) -> Finding:  # fmt: skip
        """About a leak, by its number in the search."""
        message = f"{text} (search over months, parameters {self._learnt.revision})"
        return Finding(
            self.key(number), transition, EventKind.LEAK, "LEAK", elements, message, "", candidates, figures or {}
        )  # fmt: skip

    def key(self, number: int) -> str:
        """Of a leak's alarm."""
        return f"LEAK/{self.network}/{self.name}/{number}"

    def meter(self, name: str, transition: Transition, text: str) -> Finding:
        """About a meter that has changed by itself."""
        key = f"METER_CHANGED/{self.network}/{self.name}/{name}"
        return Finding(key, transition, EventKind.ALARM, "METER_CHANGED", (name,), text)

    def pipe(self, row: int) -> str:
        """A pipe's name in findings."""
        return f"pipe {self._pipe_ids[row]}"

    def is_carried(self, state: NetworkState, pipe: int) -> bool:
        """Whether a state carries a leak so near that it is the same."""
        losing = np.asarray(state.memory.get("lost", np.zeros(0))) > 0
        if not losing.any():
            return False
        at = losing[self._ends[0]] & losing[self._ends[1]]
        return bool((self._learnt.noise.distance_m[pipe][at] <= SAME_M).any())


class _Telling:
    """One hour's events as findings.

    Args:
        watch: names things.
        search: after the hour.
        state: in which it is told.
        memory: after the hour, but for what is told.
    """

    def __init__(self, watch: SearchWatch, search: LeakSearch, state: NetworkState, memory: Log) -> None:
        self._watch, self._search, self._state, self._memory = watch, search, state, memory
        self._told, self._hushed, self._silent = dict(memory.told), dict(memory.hushed), dict(memory.silent)

    def tell(self, events: Iterable[Event]) -> tuple[Log, list[Finding]]:
        """What there is to tell, and the memory after it."""
        performed: Mapping[Kind, Callable[[Event], list[Finding]]] = {
            Kind.ISSUED: self._issued, Kind.MOVED: self._moved, Kind.ENDED: self._ended, Kind.METER: self._changed,
        }  # fmt: skip
        findings = [f for event in events if event.kind in performed for f in performed[event.kind](event)]
        findings += self._told_after_all() + self._heard_again()
        told, hushed, silent = tuple(self._told.items()), tuple(self._hushed.items()), tuple(self._silent.items())
        return replace(self._memory, told=told, hushed=hushed, silent=silent), findings

    def _issued(self, event: Event) -> list[Finding]:
        if self._watch.is_carried(self._state, event.pipe):
            self._hushed[event.number] = 0
            return []
        self._told[event.number] = self._state.valid_time_us
        return [self._about(event, Transition.RAISED)]

    def _moved(self, event: Event) -> list[Finding]:
        return [self._about(event, Transition.UPDATED)] if event.number in self._told else []

    def _ended(self, event: Event) -> list[Finding]:
        self._hushed.pop(event.number, None)
        if self._told.pop(event.number, None) is None:
            return []
        pipe = self._watch.pipe(event.pipe)
        return [self._watch.finding(event.number, Transition.CLEARED, (pipe,), f"the leak near {pipe} flows no more")]

    def _changed(self, event: Event) -> list[Finding]:
        name = event.text.split(" ", 1)[0]
        transition = Transition.UPDATED if name in self._silent else Transition.RAISED
        self._silent[name] = event.until
        return [self._watch.meter(name, transition, f"{event.text}; the search for leaks relies on it no more for a while")]

    def _heard_again(self) -> list[Finding]:
        over = [name for name, until in self._silent.items() if self._memory.count >= until]
        for name in over:
            del self._silent[name]
        return [self._watch.meter(name, Transition.CLEARED, f"{name} is relied on again, from a new zero on") for name in over]

    def _told_after_all(self) -> list[Finding]:
        """Leaks that flow though their end was told a day ago."""
        findings, belief = [], self._search.belief
        for number in list(self._hushed):
            k = belief.index(number)
            if k < 0:
                continue
            track, flow = belief.tracks[k], float(belief.flow[k])
            self._hushed[number] = 0 if self._watch.is_carried(self._state, track.pipe) else self._hushed[number] + 1
            if self._hushed[number] >= _GONE_H and flow >= _STILL * track.peak:
                del self._hushed[number]
                self._told[number] = self._state.valid_time_us
                event = Event(self._memory.count - 1, Kind.ISSUED, number, track.pipe, track.onset, flow)
                findings.append(self._about(event, Transition.RAISED))
        return findings

    def _about(self, event: Event, transition: Transition) -> Finding:
        watch, flow = self._watch, event.flow_m3_per_h
        began_s = self._memory.first_us / 1e6 + 3600.0 * max(event.onset, 0)
        since = str(np.datetime64(int(began_s), "s"))[:16].replace("T", " ")
        away = self._search.noise.distance_m[event.pipe]
        candidates = tuple(Candidate(watch.pipe(i), share, q, float(away[i])) for i, share, q in event.likely)
        elements = tuple(c.element for c in candidates) or (watch.pipe(event.pipe),)
        text = f"leak of {flow:.1f} m3/h near {elements[0]} since {since}"
        if event.near:
            text += f": {event.near:.0%} of the probability within {CREW_M:.0f} m"
        figures = {"flow_m3_per_h": flow, "radius_m": event.radius_m, "z": event.z, "began_s": began_s}
        return watch.finding(event.number, transition, elements, text, candidates, figures)


def _pieces(path: Path) -> Iterator[dict[str, Any]]:
    """The pieces of a base.

    Raises:
        OSError: it cannot be read.
        Unreadable: it is none.
    """
    with path.open("rb") as file:
        while head := file.read(_LENGTH.size):
            if len(head) < _LENGTH.size:
                raise Unreadable("cut off")
            yield unpacked(file.read(*_LENGTH.unpack(head)))


def _columns(estimator: WaterEstimator, learnt: Learnt) -> tuple[NDArray[np.int64], Floats, list[int]]:
    """Where a state's readings have those of the learnt sensors (one beyond: nowhere), their unit, and where kinds part."""
    there, wanted = estimator.sensors(), learnt.sensors
    units = {"pressure": 1.0, "flow": 3600.0, "level": 1.0, "drawn": 3600.0}
    n = sum(len(getattr(there, kind)) for kind in units)
    column: list[int] = []
    unit: list[float] = []
    parts: list[int] = []
    first = 0
    for kind, factor in units.items():
        at = {i: first + k for k, i in reversed(list(enumerate(getattr(there, kind))))}
        column += [at.get(i, n) for i in getattr(wanted, kind)]
        unit += [factor] * len(getattr(wanted, kind))
        parts.append(len(column))
        first += len(getattr(there, kind))
    return np.array(column, dtype=np.int64), np.array(unit), parts[:-1]
