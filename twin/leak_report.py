"""A year's search for leaks, from readings to rows: learn from the history, carry its leaks over, search, report."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from grid_models.water.network import WaterNetwork
from solvers.water.leak_search.events import Event, Kind
from solvers.water.leak_search.readings import Hours
from solvers.water.leak_search.town import Town
from solvers.water.plan import Floats
from twin.learnt import WORTH_CARRYING_M3_PER_H, Learnt, Told, begin_s, learn
from twin.scada_year import ScadaYear

MOST_ALARMS = 40  # a year; more than crews could follow


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
    network: WaterNetwork, past: ScadaYear, year: ScadaYear, told: Told, learnt: Learnt | None = None
) -> YearSearch:  # fmt: skip
    """Learn from one year and search another.

    Args:
        network: the nominal model.
        past: the history, with known leaks or repairs.
        year: the readings to search, of the same sensors.
        told: is told the stage and the share of it that is done.
        learnt: what `learn` made of the history, where several years are searched after one.
    """
    learnt = learnt or learn(network, past, told)
    first_s = float(year.hours.start_s[0])
    search = learnt.search(network, first_s)
    town = search.town
    at_once = _instant(first_s + year.step_s)
    alarms = [
        Alarm(town.pipe_ids[leak.pipe], _instant(since_s), at_once, f"carried-{i + 1}", leak.flow_m3_per_h, 0.0, "carried over")
        for i, (leak, since_s) in enumerate(learnt.carried_into(first_s))
        if leak.flow_m3_per_h >= WORTH_CARRYING_M3_PER_H
    ]
    events: list[Event] = []
    n, shares = len(year.hours), _zone_shares(town)
    leaked, pressure = np.empty((n, len(shares))), np.empty((n, len(shares)))
    for h in range(n):
        events += search.step(year.hours[h])
        leaked[h] = (shares > 0) @ search.leaks_m3_per_h
        pressure[h] = shares @ search.pressure_m
        if h % 24 == 0:
            told(f"searching, {str(_instant(year.hours.start_s[h]))[:10]}", h / n)
    told("searching", 1.0)
    issued = [event for event in events if event.kind is Kind.ISSUED][: MOST_ALARMS - len(alarms)]
    alarms += [
        Alarm(
            town.pipe_ids[e.pipe], _instant(begin_s(year.hours, e.onset)), _instant(year.hours.start_s[e.hour] + 3600.0),
            f"leak-{e.number}", e.flow_m3_per_h, e.radius_m, "new",
        )
        for e in issued
    ]  # fmt: skip
    meters = tuple(dict.fromkeys(e.text.split(" ")[0] for e in events if e.kind is Kind.METER))
    return YearSearch(tuple(alarms), tuple(events), meters, town.pipe_ids, year.hours, town, leaked, pressure)


def _zone_shares(town: Town) -> Floats:
    """(n_zone, n_pipe) each pipe's share of its zone's length."""
    length = np.asarray(town.network.tables["pipe"]["length_m"], dtype=np.float64)
    mine = (town.zone_of_pipe[None] == np.arange(len(town.zones.balanced))[:, None]) * length
    return np.asarray(mine / np.maximum(mine.sum(axis=1, keepdims=True), 1e-9))


def _instant(time_s: float) -> np.datetime64:
    return np.datetime64(int(time_s), "s")


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
            start = _minute(_instant(begin_s(found.hours, e.onset))) if e.number else ""
            figures: tuple[float, ...] = (e.flow_m3_per_h, e.radius_m, e.near, e.z)
            time = _minute(_instant(found.hours.start_s[e.hour] + 3600.0))
            writer.writerow([time, e.kind.value, alarm, pipe, start, *(f"{x:.3g}" for x in figures), e.text])


def _minute(instant: np.datetime64) -> str:
    return str(instant.astype("datetime64[m]")).replace("T", " ")
