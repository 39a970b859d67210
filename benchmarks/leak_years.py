"""A simulator of labelled years: `python -m benchmarks.leak_years NETWORK.inp --out DIR --year 2019 --truth 1 --leaks 7`.

The hidden truth is the nominal network with roughness, diameter and base demands changed by up to ten percent, its
weekly profiles bent, and a few pipes closed; `--truth` is its seed, so that a history and the years after it share it.
`--leaks` is the seed of the leaks: bursts and slow ones, some repaired, some running into the next year. The year is made
by EPANET, leaks as emitters at both ends of their pipe, demands in a yearly, weekly and daily rhythm with noise (a profile's
week begins on Monday, whatever day the year begins on); meters have noise, gaps, and two of them faults where asked for. The
folder has the format that `twin leaks` reads.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from epanet import toolkit
from numpy.typing import NDArray

from grid_models.formats import read
from grid_models.formats.epanet_export import write_inp
from grid_models.water.network import WaterNetwork
from grid_models.water.zones import pipe_distance_m
from twin.scada_year import read_year

READ_S = 300  # what `--noise-cm` is stated for
DAY_S = 24 * 3600
_METRES = 2  # EPANET's code for the unit of pressures, which a network in US units would have in psi
MONDAY = np.datetime64("2018-01-01")  # on which a week's profile begins
LEAKS_A_YEAR = 20
_METERS, _JUNCTIONS = 33, 782  # of pressure, in L-Town
_NO_WAY_M = 1e6
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Leak:
    """One leak of a year; instants in steps since its begin."""

    pipe: str
    start: int
    end: int
    peak: int
    m3_per_h: float  # at its peak, at 40 m
    is_burst: bool


def main() -> int:
    """Make one year."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leak_years", description=__doc__.split("\n", 1)[0])
    parser.add_argument("network")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--year", type=int, default=2019)
    parser.add_argument("--truth", type=int, default=1, help="seed of the hidden network")
    parser.add_argument("--leaks", type=int, default=1, help="seed of the leaks, 0 for none")
    parser.add_argument("--like", type=Path, help="a year folder whose sensors are taken; else some are chosen")
    parser.add_argument("--noise-cm", type=float, default=2.0, help="of a pressure read each five minutes")
    parser.add_argument("--step-minutes", type=int, default=5, help="longer steps hold the means of five-minute readings")
    parser.add_argument("--faults", action="store_true", help="gaps in the data, and two pressure meters that drift or stick")
    parser.add_argument("--carried", type=Path, help="the year folder before: its last leaks go on")
    a = parser.parse_args()
    make(
        a.network, a.out, a.year, a.truth, a.leaks, a.like, a.noise_cm,
        step_s=60 * a.step_minutes, faults=a.faults, carried=a.carried,
    )  # fmt: skip
    return 0


def make(
    source: str, out: Path, year: int, truth: int, leak_seed: int, like: Path | None, noise_cm: float = 2.0,
    *, step_s: int = READ_S, faults: bool = False, carried: Path | None = None,
) -> None:  # fmt: skip
    """Make one year and write its folder."""
    network = read(source)
    assert isinstance(network, WaterNetwork)
    sensors = _sensors(network, like)
    n = (np.datetime64(f"{year + 1}-01-01") - np.datetime64(f"{year}-01-01")).astype(int) * (DAY_S // step_s)
    time = np.datetime64(f"{year}-01-01") + np.arange(n) * np.timedelta64(step_s, "s")
    leaks = _leaks(network, n, DAY_S // step_s, leak_seed, carried)
    pressure, flow, level, drawn, leaked = _simulate(network, truth, time, leaks, sensors)
    rng = np.random.default_rng([truth, leak_seed, year])
    pressure = np.round(100.0 * pressure + rng.normal(0.0, noise_cm / np.sqrt(step_s / READ_S), pressure.shape))
    if faults:
        _spoil(pressure, DAY_S // step_s, rng)
    out.mkdir(parents=True, exist_ok=True)
    _write(out / f"pressures_cm_{year}.parquet", sensors["pressure"], time, pressure)
    both = np.column_stack([np.round(100.0 * flow), np.round(100.0 * level)])
    _write(out / f"flows_level_x100_{year}.parquet", [*sensors["flow"], *sensors["level"]], time, both)
    _write(out / f"demands_Lh_{year}.parquet", sensors["drawn"], time, np.round(1000.0 * drawn))
    _write(out / f"leak_flow_{year}.parquet", [leak.pipe for leak in leaks], time, leaked)
    with (out / f"leaks_{year}.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["pipe", "start", "end", "diameter_m", "type", "peak"])
        for leak in leaks:
            area = leak.m3_per_h / 3600.0 / (0.75 * np.sqrt(2 * 9.81 * 40.0))
            kind = "abrupt" if leak.is_burst else "incipient"
            start, end, peak = (_minute(time[min(i, n - 1)]) for i in (leak.start, leak.end, leak.peak))
            rows.writerow([leak.pipe, start, end, f"{np.sqrt(4 * area / np.pi):.5f}", kind, peak])
    with (out / f"repairs_{year}.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["pipe", "repaired"])
        rows.writerows([leak.pipe, _minute(time[leak.end])] for leak in leaks if leak.end < n)


def _minute(instant: np.datetime64) -> str:
    return str(instant.astype("datetime64[m]")).replace("T", " ")


def _sensors(network: WaterNetwork, like: Path | None) -> dict[str, list[str]]:
    """Those of another folder; else a meter at every source, tank and pump, and pressures where none is far from all."""
    if like is not None:
        s = read_year(like, network).sensors
        return {"pressure": [*s.pressure], "flow": [*s.flow], "level": [*s.level], "drawn": [*s.drawn]}
    held = np.flatnonzero(network.node_table != 0)
    at_source = [
        str(i) for i, a, b in zip(network.link_ids, network.link_from, network.link_to, strict=True) if a in held or b in held
    ]
    pumps = [str(i) for i in network.link_ids[network.pump_link]]
    return {
        "pressure": [str(network.node_ids[i]) for i in _spread(network)],
        "flow": list(dict.fromkeys([*at_source, *pumps])),
        "level": [str(i) for i in network.tables["tank"].index],
        "drawn": [],
    }


def _spread(network: WaterNetwork) -> list[int]:
    """As many junctions as L-Town has meters, in larger towns as many to a node: each is the one farthest along pipes from
    all sources, tanks and meters before it (T. F. Gonzalez, Theor. Comput. Sci. 38, 1985)."""
    n = network.n_junction
    way = np.minimum(pipe_distance_m(network, np.arange(len(network.node_ids))), _NO_WAY_M)
    gap = way[network.node_table != 0].min(axis=0)[:n]
    chosen: list[int] = []
    while len(chosen) < min(n, max(_METERS, round(n * _METERS / _JUNCTIONS))):
        chosen.append(int(gap.argmax()))
        gap = np.minimum(gap, way[chosen[-1], :n])
    return chosen


def _leaks(network: WaterNetwork, n: int, day: int, seed: int, carried: Path | None) -> list[Leak]:
    leaks = []
    if carried is not None:
        before = read_year(carried, network).truth
        assert before is not None
        last = before.flow_m3_per_h[-1]
        leaks = [Leak(p, 0, n + 1, 0, float(q), is_burst=True) for p, q in zip(before.pipe, last, strict=True) if q > 0]
    if seed == 0:
        return leaks
    rng = np.random.default_rng([77, seed])
    pipes = network.tables["pipe"]
    long_enough = np.flatnonzero(pipes["length_m"] > 20)
    chosen = rng.choice(long_enough, LEAKS_A_YEAR, replace=False)
    taken = {leak.pipe for leak in leaks}
    spare = iter(np.random.default_rng([78, seed]).permutation(np.setdiff1d(long_enough, chosen)))
    chosen = np.array(
        [next(i for i in spare if str(pipes.index[i]) not in taken) if str(pipes.index[p]) in taken else p for p in chosen]
    )
    consumption = float(network.tables["demand"]["base_m3_per_s"].sum()) * 3600.0
    unit = consumption / 180.0
    for k, pipe in enumerate(chosen.tolist()):
        is_burst = k % 20 < 9
        start = int(rng.uniform(0.01, 0.93) * n)
        size = unit * (rng.uniform(10, 35) if is_burst else rng.choice([rng.uniform(5, 8), rng.uniform(15, 35)]))
        grows = 0 if is_burst else int(rng.uniform(5, 110) * day)
        stays = int(rng.uniform(5, 30) * day)
        never = size < 9 * unit
        end = n + 1 if never else start + max(int(0.8 * grows), 0) + stays
        leaks.append(Leak(str(pipes.index[pipe]), start, end, start + grows, size, is_burst))
    return sorted(leaks, key=lambda leak: leak.start)


def _flow(leak: Leak, n: int) -> Floats:
    """(n,) m3/h at 40 m of pressure: full at once, or growing with the square of time."""
    step = np.arange(n)
    grown = np.ones(n) if leak.is_burst else np.clip((step - leak.start) / max(leak.peak - leak.start, 1), 0, 1) ** 2
    return np.where((step >= leak.start) & (step < leak.end), leak.m3_per_h * grown, 0.0)


def _simulate(
    network: WaterNetwork, truth: int, time: NDArray[np.datetime64], leaks: list[Leak], sensors: dict[str, list[str]]
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Pressures [m], flows [m3/h], levels [m], consumption at smart meters [m3/h], leaks [m3/h], a row a step."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "truth.inp"
        write_inp(network, file)
        ph = toolkit.createproject()
        toolkit.open(ph, str(file), str(file.with_suffix(".rpt")), str(file.with_suffix(".out")))
        try:
            return _run(ph, network, truth, time, leaks, sensors)
        finally:
            toolkit.close(ph)
            toolkit.deleteproject(ph)


def _run(
    ph: object,
    network: WaterNetwork,
    truth: int,
    time: NDArray[np.datetime64],
    leaks: list[Leak],
    sensors: dict[str, list[str]],
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    n, step_s = len(time), int((time[1] - time[0]) / np.timedelta64(1, "s"))
    toolkit.setflowunits(ph, toolkit.CMH)
    toolkit.setoption(ph, toolkit.PRESS_UNITS, _METRES)
    _disturb(ph, network, truth)
    total = _total(truth, time)
    pressure_at = [toolkit.getnodeindex(ph, i) for i in sensors["pressure"]]
    flow_at = [toolkit.getlinkindex(ph, i) for i in sensors["flow"]]
    level_at = [toolkit.getnodeindex(ph, i) for i in sensors["level"]]
    drawn_at = [toolkit.getnodeindex(ph, i) for i in sensors["drawn"]]
    ends = [toolkit.getlinknodes(ph, toolkit.getlinkindex(ph, leak.pipe)) for leak in leaks]
    nominal = np.array([_flow(leak, n) for leak in leaks]).reshape(len(leaks), n)
    per_root_m = 0.5 / np.sqrt(40.0)  # half of a leak at each end; an emitter's flow is c sqrt(p)
    toolkit.setoption(ph, toolkit.EMITEXPON, 0.5)
    toolkit.settimeparam(ph, toolkit.DURATION, int(n) * step_s)
    toolkit.settimeparam(ph, toolkit.HYDSTEP, step_s)
    toolkit.settimeparam(ph, toolkit.REPORTSTEP, step_s)
    weekday = int((time[0] - MONDAY) / np.timedelta64(1, "D")) % 7
    toolkit.settimeparam(ph, toolkit.PATTERNSTART, int(network.options.pattern_start_s) + weekday * DAY_S)
    out = [np.zeros((n, len(i))) for i in (pressure_at, flow_at, level_at, drawn_at, leaks)]
    toolkit.openH(ph)
    toolkit.initH(ph, 0)
    k = 0
    changed = {i for pair in ends for i in pair}
    shown = -1
    while k < n:
        toolkit.setoption(ph, toolkit.DEMANDMULT, float(total[k]))
        emitter = dict.fromkeys(changed, 0.0)
        for (a, b), q in zip(ends, nominal[:, k].tolist(), strict=True):
            emitter[a] += per_root_m * q
            emitter[b] += per_root_m * q
        for node, value in emitter.items():
            if toolkit.getnodetype(ph, node) == toolkit.JUNCTION:
                toolkit.setnodevalue(ph, node, toolkit.EMITTER, value)
        now = toolkit.runH(ph)
        if now == k * step_s:
            root = {i: np.sqrt(max(toolkit.getnodevalue(ph, i, toolkit.PRESSURE), 0.0)) for i in changed}
            out[0][k] = [toolkit.getnodevalue(ph, i, toolkit.PRESSURE) for i in pressure_at]
            out[1][k] = [toolkit.getlinkvalue(ph, i, toolkit.FLOW) for i in flow_at]
            out[2][k] = [toolkit.getnodevalue(ph, i, toolkit.PRESSURE) for i in level_at]
            # DEMAND keeps an emitter's first guess of 1 cubic foot a second at nodes whose emitter is off.
            out[3][k] = [toolkit.getnodevalue(ph, i, toolkit.FULLDEMAND) for i in drawn_at]
            halves = zip(ends, nominal[:, k].tolist(), strict=True)
            out[4][k] = [per_root_m * q * (root[a] + root[b]) for (a, b), q in halves]
            k += 1
            if sys.stderr.isatty() and 100 * k // n != shown:
                shown = 100 * k // n
                sys.stderr.write(f"\r{str(time[k - 1])[:10]} {shown} %")
        if toolkit.nextH(ph) == 0:
            break
    toolkit.closeH(ph)
    return out[0], out[1], out[2], out[3], out[4]


def _disturb(ph: object, network: WaterNetwork, truth: int) -> None:
    """The hidden network: all that a utility does not know exactly."""
    rng = np.random.default_rng([99, truth])
    for link in network.pipe_link.tolist():
        for what in (toolkit.ROUGHNESS, toolkit.DIAMETER):
            value = toolkit.getlinkvalue(ph, link + 1, what)
            toolkit.setlinkvalue(ph, link + 1, what, value * rng.uniform(0.9, 1.1))
    for node in range(1, network.n_junction + 1):
        factor = rng.uniform(0.9, 1.1)
        for category in range(1, toolkit.getnumdemands(ph, node) + 1):
            toolkit.setbasedemand(ph, node, category, toolkit.getbasedemand(ph, node, category) * factor)
    for pattern in range(1, toolkit.getcount(ph, toolkit.PATCOUNT) + 1):
        length = toolkit.getpatternlen(ph, pattern)
        if length > 1:
            phase, size = rng.uniform(0, 2 * np.pi, 3), rng.uniform(-0.04, 0.04, 3)
            at = np.arange(length) / length * 2 * np.pi * max(length * toolkit.gettimeparam(ph, toolkit.PATTERNSTEP) / 86400, 1)
            bent = 1 + sum(s * np.cos((i + 1) * at + f) for i, (s, f) in enumerate(zip(size, phase, strict=True)))
            for i in range(length):
                toolkit.setpatternvalue(ph, pattern, i + 1, toolkit.getpatternvalue(ph, pattern, i + 1) * float(bent[i]))
    for link in _loops(network, rng)[:3]:
        toolkit.setlinkvalue(ph, link + 1, toolkit.INITSTATUS, toolkit.CLOSED)


def _loops(network: WaterNetwork, rng: np.random.Generator) -> list[int]:
    """Small pipes that can be closed without cutting anybody off, in random order."""
    import networkx as nx

    graph = nx.MultiGraph(zip(network.link_from.tolist(), network.link_to.tolist(), strict=True))
    bridges = {frozenset(edge) for edge in nx.bridges(nx.Graph(graph))}
    small = np.median(network.tables["pipe"]["diameter_m"])
    pipes = zip(network.pipe_link.tolist(), network.tables["pipe"]["diameter_m"].tolist(), strict=True)
    found = [
        link
        for link, diameter in pipes
        if diameter <= small and frozenset((int(network.link_from[link]), int(network.link_to[link]))) not in bridges
    ]
    return [int(i) for i in rng.permutation(found)]


def _total(truth: int, time: NDArray[np.datetime64]) -> Floats:
    """(n,) factor on all demands: season, weather that lasts for days, noise that lasts for an hour."""
    n = len(time)
    rng = np.random.default_rng([55, truth, int(str(time[0])[:4])])
    season = 1 + 0.08 * np.cos(2 * np.pi * (np.arange(n) / n - 0.55))
    day = int(np.timedelta64(1, "D") / (time[1] - time[0]))
    days = n // day + 2
    weather = np.zeros(days)
    for d in range(1, days):
        weather[d] = 0.7 * weather[d - 1] + 0.015 * rng.standard_normal()
    hours = np.zeros(24 * n // day + 2)
    for h in range(1, len(hours)):
        hours[h] = 0.6 * hours[h - 1] + 0.02 * rng.standard_normal()
    step = np.arange(n)
    slow = np.interp(step / day, np.arange(days), weather)
    fast = np.interp(24 * step / day, np.arange(len(hours)), hours)
    return np.maximum(season * (1 + slow + fast + 0.01 * rng.standard_normal(n)), 0.2)


def _spoil(pressure: Floats, day: int, rng: np.random.Generator) -> None:
    """Gaps everywhere, one meter that drifts by centimetres a week, one that sticks for a month."""
    n, k = pressure.shape
    for _ in range(60):
        begin, sensor = int(rng.uniform(0, n)), int(rng.integers(k))
        pressure[begin : begin + int(rng.uniform(1, 48) * day / 24), sensor] = np.nan
    drifting, stuck = rng.choice(k, 2, replace=False)
    begin = int(rng.uniform(0.1, 0.8) * n)
    pressure[begin:, drifting] += np.round(np.arange(n - begin) / (7 * day) * 3.0)
    begin = int(rng.uniform(0.1, 0.8) * n)
    pressure[begin : begin + 30 * day, stuck] = pressure[begin, stuck]


def _write(path: Path, ids: list[str], time: NDArray[np.datetime64], values: Floats) -> None:
    import pandas as pd

    frame = pd.DataFrame(values, columns=ids)
    frame.insert(0, "time", time.astype("datetime64[us]"))
    connection = duckdb.connect()
    connection.register("frame", frame)
    connection.execute(f"copy frame to '{path}' (format parquet, compression zstd)")


if __name__ == "__main__":
    sys.exit(main())
