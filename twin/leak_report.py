"""A year's search for leaks, from readings to rows: calibrate on the history, carry its leaks over, search, report."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np

from grid_models.errors import InvalidInput, Issue
from grid_models.water.network import WaterNetwork
from solvers.water.leak_search.calibration import Calibration, calibrate
from solvers.water.leak_search.events import Event, Kind
from solvers.water.leak_search.memory import Known
from solvers.water.leak_search.noise import Noise, learn_noise
from solvers.water.leak_search.readings import Hours
from solvers.water.leak_search.search import LeakSearch
from solvers.water.leak_search.town import Town
from solvers.water.plan import Floats
from twin.scada_year import ScadaYear

Told = Callable[[str, float], None]
MOST_ALARMS = 40  # a year; more than crews could follow
_WORTH_CARRYING_M3_PER_H = 1.0


@dataclass(frozen=True)
class Alarm:
    """One row of the answer.

    Args:
        pipe: where to send the crew.
        start: when it began, as estimated.
        issued: when it was told.
        alarm_id: of this search.
        flow_m3_per_h: when it was told.
        radius_m: of the credible zone around the pipe.
        state: `carried over` from the history, or `new`.
    """

    pipe: str
    start: np.datetime64
    issued: np.datetime64
    alarm_id: str
    flow_m3_per_h: float
    radius_m: float
    state: str


@dataclass(frozen=True, eq=False)
class YearSearch:
    """What a search found.

    Args:
        alarms: as first issued, in order of time.
        events: everything that was seen.
        meters: outputs that changed by themselves.
        pipe_ids: of the network.
        hours: that were searched.
        town: calibrated.
        leaked_m3_per_h: (n, n_zone) flows of the followed leaks.
        pressure_m: (n, n_zone) mean pressures.
    """

    alarms: tuple[Alarm, ...]
    events: tuple[Event, ...]
    meters: tuple[str, ...]
    pipe_ids: tuple[str, ...]
    hours: Hours
    town: Town
    leaked_m3_per_h: Floats
    pressure_m: Floats


def search_year(
    network: WaterNetwork, past: ScadaYear, year: ScadaYear, told: Told, learnt: tuple[Calibration, Noise] | None = None
) -> YearSearch:
    """Learn from one year and search another.

    Args:
        network: the nominal model.
        past: the history, with known leaks or repairs.
        year: the readings to search, of the same sensors.
        told: is told the stage and the share of it that is done.
        learnt: what `learn` made of the history, where several years are searched after one.
    """
    calibration, noise = learnt or learn(network, past, told)
    follows = year.hours.start_s[0] > past.hours.start_s[-1]
    known, starts = _carried(calibration, noise, past, told) if follows else ((), ())
    if not follows:
        noise = replace(noise, last_bias=np.zeros_like(noise.last_bias))
    town = calibration.town
    at_once = _instant(year.hours, 0, year.step_s)
    alarms = [
        Alarm(town.pipe_ids[leak.pipe], start, at_once, f"carried-{i + 1}", leak.flow_m3_per_h, 0.0, "carried over")
        for i, (leak, start) in enumerate(zip(known, starts, strict=True))
        if leak.flow_m3_per_h >= _WORTH_CARRYING_M3_PER_H
    ]
    search = LeakSearch(town, noise, known)
    events: list[Event] = []
    n, shares = len(year.hours), _zone_shares(town)
    leaked, pressure = np.empty((n, len(shares))), np.empty((n, len(shares)))
    for h in range(n):
        events += search.step(year.hours[h])
        leaked[h] = (shares > 0) @ search.leaks_m3_per_h
        pressure[h] = shares @ search.pressure_m
        if h % 24 == 0:
            told(f"searching, {str(_instant(year.hours, h))[:10]}", h / n)
    told("searching", 1.0)
    issued = [event for event in events if event.kind is Kind.ISSUED][: MOST_ALARMS - len(alarms)]
    alarms += [
        Alarm(
            town.pipe_ids[e.pipe], _instant(year.hours, max(e.onset, 0)), _instant(year.hours, e.hour, 3600.0),
            f"leak-{e.number}", e.flow_m3_per_h, e.radius_m, "new",
        )
        for e in issued
    ]  # fmt: skip
    meters = tuple(dict.fromkeys(e.text.split(" ")[0] for e in events if e.kind is Kind.METER))
    return YearSearch(tuple(alarms), tuple(events), meters, town.pipe_ids, year.hours, town, leaked, pressure)


def learn(network: WaterNetwork, past: ScadaYear, told: Told) -> tuple[Calibration, Noise]:
    """Calibrate a network on a history.

    Args:
        network: the nominal model.
        past: the history; the flows of its leaks are taken from the truth where it is known, else found from the repairs.
        told: is told the stage and the share of it that is done.
    """
    town = Town(network, past.sensors)
    if not town.zones.balanced[np.unique(town.zone_of_pipe[town.zone_of_pipe >= 0])].any():
        text = "no part of the network has flow meters at all its borders, tanks included: its consumption is unknown"
        raise InvalidInput([Issue("", "flow", past.sensors.flow, text)])
    row = {pipe: i for i, pipe in enumerate(town.pipe_ids)}
    leaks = np.zeros((len(past.hours), len(town.pipe)))
    repaired: list[tuple[int, int]] = []
    listed = past.truth.pipe if past.truth is not None else tuple(pipe for pipe, _ in past.repairs)
    if unknown := tuple(pipe for pipe in listed if pipe not in row):
        raise InvalidInput([Issue("pipe", "id", unknown, "the history's leaks are on pipes that the network does not have")])
    if past.truth is not None:
        for i, pipe in enumerate(past.truth.pipe):
            leaks[:, row[pipe]] += past.truth.flow_m3_per_h[:, i]
    else:
        first = past.hours.start_s[0]
        for pipe, instant in past.repairs:
            hour = int((instant.astype("datetime64[s]").astype(np.int64) - first) // 3600)
            if 0 < hour <= len(past.hours):
                repaired.append((row[pipe], hour))
    stages = count(1)
    calibration = calibrate(town, past.hours, leaks, repaired, told=lambda text: told(text, min(next(stages), 5) / 6))
    told("learning the noise", 0.9)
    return calibration, learn_noise(calibration, past.hours)


def _carried(
    calibration: Calibration, noise: Noise, past: ScadaYear, told: Told
) -> tuple[tuple[Known, ...], tuple[np.datetime64, ...]]:
    """Leaks that still ran at the history's end, from its truth, else from searching it."""
    pipe_ids = calibration.town.pipe_ids
    if past.truth is not None:
        last = past.truth.flow_m3_per_h[-1]
        running = [i for i in range(len(last)) if last[i] > 0]
        known = tuple(Known(pipe_ids.index(past.truth.pipe[i]), float(last[i])) for i in running)
        return known, tuple(past.truth.start[i] for i in running)
    search = LeakSearch(calibration.town, replace(noise, last_bias=np.zeros_like(noise.last_bias)))
    n = len(past.hours)
    for h in range(n):
        search.step(past.hours[h])
        if h % 24 == 0:
            told("searching the history", h / n)
    belief = search.belief
    running = [k for k, track in enumerate(belief.tracks) if belief.flow[k] >= _WORTH_CARRYING_M3_PER_H * search.walks.unit]
    known = tuple(Known(belief.tracks[k].pipe, float(belief.flow[k])) for k in running)
    return known, tuple(_instant(past.hours, max(belief.tracks[k].onset, 0)) for k in running)


def _zone_shares(town: Town) -> Floats:
    """(n_zone, n_pipe) each pipe's share of its zone's length."""
    length = np.asarray(town.network.tables["pipe"]["length_m"], dtype=np.float64)
    mine = (town.zone_of_pipe[None] == np.arange(len(town.zones.balanced))[:, None]) * length
    return np.asarray(mine / np.maximum(mine.sum(axis=1, keepdims=True), 1e-9))


def _instant(hours: Hours, h: int, later_s: float = 0.0) -> np.datetime64:
    return np.datetime64(int(hours.start_s[h] + later_s), "s")


def write_alarms(found: YearSearch, path: Path) -> None:
    """Write `pipe,start,issued,alarm_id,m3_per_h,radius_m,state`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["pipe", "start", "issued", "alarm_id", "m3_per_h", "radius_m", "state"])
        for a in found.alarms:
            row = [
                a.pipe,
                _minute(a.start),
                _minute(a.issued),
                a.alarm_id,
                f"{a.flow_m3_per_h:.2f}",
                f"{a.radius_m:.0f}",
                a.state,
            ]
            writer.writerow(row)


def write_events(found: YearSearch, path: Path) -> None:
    """Write everything that was seen, later locations included."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "event", "alarm_id", "pipe", "start", "m3_per_h", "radius_m", "near", "z", "text"])
        for e in found.events:
            pipe = found.pipe_ids[e.pipe] if e.pipe >= 0 else ""
            alarm = f"leak-{e.number}" if e.number else ""
            start = _minute(_instant(found.hours, max(e.onset, 0))) if e.number else ""
            figures: tuple[float, ...] = (e.flow_m3_per_h, e.radius_m, e.near, e.z)
            time = _minute(_instant(found.hours, e.hour, 3600.0))
            writer.writerow([time, e.kind.value, alarm, pipe, start, *(f"{x:.3g}" for x in figures), e.text])


def _minute(instant: np.datetime64) -> str:
    return str(instant.astype("datetime64[m]")).replace("T", " ")
