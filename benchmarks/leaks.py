"""Leaks found in simulated years that nothing was fitted to: `twin leaks` on years of `benchmarks.leak_years`."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, pstdev
from time import perf_counter

import numpy as np

from benchmarks.leak_years import make
from grid_models.formats import read
from grid_models.water.network import WaterNetwork
from solvers.water.leak_search.noise import distances_m
from solvers.water.leak_search.town import Sensors, Town
from twin.scada_year import read_year

TITLE = "Leaks found in simulated years"
TEXT = (
    "L-Town of `epyt` with the meters of ../shared/battledim where that is there, else with some chosen by rule. Each row is "
    "another hidden network (roughness, diameters and demands up to 10 % off, three pipes closed) with a history of a year and "
    "a year to search, both with 20 leaks of their own. Found: within 300 m along pipes while the leak runs. `new` leaves out "
    "what was carried over from the history. Burst delay: median over all bursts, missed ones infinite. Euros: 0.80 per m3 "
    "saved, less 500 per 300 m of distance and per false alarm."
)
HEAD = ("truth", "found", "new found", "false", "repeated", "euros", "distance", "burst delay", "rows", "search time")
CACHE = Path("runs/leak_years")
LIKE = Path("../shared/battledim/dev_2018")
RADIUS_M, EURO_PER_M3, CREW_EURO = 300.0, 0.80, 500.0


@dataclass(frozen=True)
class Score:
    """How well one year was searched."""

    leaks: int
    found: int
    new: int
    new_found: int
    false: int
    repeated: int
    euros: float
    possible: float
    distance_m: float
    burst_delay_h: float
    rows: int


def run(quick: bool) -> Iterator[tuple[str, ...]]:
    """A row a year, and their mean."""
    network = read("epyt:L-TOWN")
    assert isinstance(network, WaterNetwork)
    scores = []
    for truth in range(1, 2 if quick else 21):
        history, year = CACHE / f"truth{truth}_2018", CACHE / f"truth{truth}_2019"
        if not year.exists():
            like = LIKE if LIKE.exists() else None
            make("epyt:L-TOWN", history, 2018, truth, 10 * truth + 1, like)
            make("epyt:L-TOWN", year, 2019, truth, 10 * truth + 2, like, carried=history)
        found = CACHE / f"truth{truth}.csv"
        begun = perf_counter()
        command = [sys.executable, "-m", "twin", "leaks", "epyt:L-TOWN", "--history", str(history), "--scada", str(year)]
        subprocess.run([*command, "--out", str(found)], check=True, capture_output=True)
        score = judge(network, found, year)
        scores.append(score)
        yield _row(str(truth), score, perf_counter() - begun)
    yield (
        "mean (spread)", _spread([s.found / s.leaks for s in scores], "{:.0%}"),
        _spread([s.new_found / max(s.new, 1) for s in scores], "{:.0%}"), _spread([s.false for s in scores], "{:.1f}"),
        _spread([s.repeated for s in scores], "{:.1f}"), _spread([s.euros / s.possible for s in scores], "{:.0%}"),
        _spread([s.distance_m for s in scores], "{:.0f} m"), f"{median(s.burst_delay_h for s in scores):.1f} h", "", "",
    )  # fmt: skip


def _row(name: str, s: Score, seconds: float) -> tuple[str, ...]:
    share = s.euros / s.possible
    return (
        name, f"{s.found} of {s.leaks}", f"{s.new_found} of {s.new}", str(s.false), str(s.repeated), f"{share:.0%}",
        f"{s.distance_m:.0f} m", f"{s.burst_delay_h:.1f} h", str(s.rows), f"{seconds:.0f} s",
    )  # fmt: skip


def _spread(values: list[float], form: str) -> str:
    return f"{form.format(mean(values))} ({form.format(pstdev(values))})"


def judge(network: WaterNetwork, found: Path, year: Path) -> Score:
    """Score a CSV of `twin leaks` against a year's own list, after the rules of BattLeDIM 2020."""
    data = read_year(year, network)
    assert data.truth is not None
    town = Town(network, Sensors(data.sensors.pressure, data.sensors.flow, data.sensors.level, data.sensors.drawn))
    distance, row = distances_m(town), {pipe: i for i, pipe in enumerate(town.pipe_ids)}
    with next(year.glob("leaks_*.csv")).open() as file:
        leaks = [(r["pipe"], np.datetime64(r["start"]), np.datetime64(r["end"]), r["type"]) for r in csv.DictReader(file)]
    begin = np.datetime64(int(data.hours.start_s[0]), "s")
    column = {pipe: i for i, pipe in enumerate(data.truth.pipe)}

    def volume(leak: int, instant: np.datetime64) -> float:
        hour = max(int((instant - begin) / np.timedelta64(1, "h")), 0)
        return float(data.truth.flow_m3_per_h[hour:, column[leaks[leak][0]]].sum()) if data.truth else 0.0

    with found.open() as file:
        alarms = [(max(np.datetime64(r["start"]), np.datetime64(r["issued"])), r["pipe"]) for r in csv.DictReader(file)]
    hits: dict[int, tuple[np.datetime64, float, float]] = {}
    false = repeated = 0
    for instant, pipe in sorted(alarms):
        near = [
            (i, float(distance[row[pipe], row[leak[0]]]))
            for i, leak in enumerate(leaks)
            if leak[1] <= instant <= leak[2] and distance[row[pipe], row[leak[0]]] <= RADIUS_M
        ]
        fresh = [(x, i) for i, x in near if i not in hits]
        if fresh:
            x, i = min(fresh)
            hits[i] = (instant, x, EURO_PER_M3 * volume(i, instant) - CREW_EURO * x / RADIUS_M)
        elif near:
            repeated += 1
        else:
            false += 1
    carried = {i for i, leak in enumerate(leaks) if leak[1] <= begin}
    bursts = [i for i, leak in enumerate(leaks) if leak[3] == "abrupt" and i not in carried]
    delays = [float((hits[i][0] - leaks[i][1]) / np.timedelta64(1, "h")) if i in hits else float("inf") for i in bursts]
    possible = EURO_PER_M3 * sum(volume(i, leaks[i][1]) for i in range(len(leaks)))
    return Score(
        len(leaks), len(hits), len(leaks) - len(carried), len(set(hits) - carried), false, repeated,
        sum(h[2] for h in hits.values()) - CREW_EURO * false, possible,
        mean(h[1] for h in hits.values()) if hits else float("nan"), median(delays) if delays else float("nan"), len(alarms),
    )  # fmt: skip
