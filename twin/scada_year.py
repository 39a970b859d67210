"""A folder with a year of readings: pressures, flows, levels and smart meters as parquet, what was repaired as CSV.

    pressures_cm_*.parquet          cm of water, a column a node
    flows_level_x100_*.parquet      m3/h x 100 a column a link; level in cm a column a tank
    demands_Lh_*.parquet            L/h, a column a node
    repairs_*.csv                   pipe,repaired
    leaks_*.csv, leak_flow_*.parquet    where the truth is known: pipe,start,end,...; m3/h, a column a pipe

Each parquet has a column `time`, UTC or with its own zone, in steps of a whole part of an hour; rows may be missing.

What counts as an hour's reading: `twin.hearing`. A meter that the history never heard is left out.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grid_models.errors import InvalidInput, Issue
from grid_models.water.network import WaterNetwork
from solvers.water.leak_search.readings import Hours, Sensors
from twin.hearing import MOST_HOURS_STILL, Usual, hourly_mean, hours_of, still

Floats = NDArray[np.float64]
_HOUR_NS = 3_600_000_000_000
_LEAST_HEARD = 0.1  # of the history's hours; a meter heard less teaches nothing
_FIRST_HOURS = 24 * 7
_KINDS = ("pressure", "flow", "level", "drawn")


@dataclass(frozen=True, eq=False)
class Truth:
    """Leaks that are known of a year.

    Args:
        pipe: (n,) ids.
        start: (n,) datetime64, when each began.
        flow_m3_per_h: (n_hour, n) hourly means.
    """

    pipe: tuple[str, ...]
    start: NDArray[np.datetime64]
    flow_m3_per_h: Floats


@dataclass(frozen=True, eq=False)
class ScadaYear:
    """A year of readings.

    Args:
        sensors: what was measured.
        hours: hourly means.
        truth: where the folder has it.
        repairs: (pipe, instant) of what an operator was told.
        step_s: of the readings.
    """

    sensors: Sensors
    hours: Hours
    truth: Truth | None
    repairs: tuple[tuple[str, np.datetime64], ...]
    step_s: float


def in_common(past: ScadaYear, year: ScadaYear) -> tuple[ScadaYear, ScadaYear]:
    """Both years with the sensors that both have, in one order, the second as it is heard after the first.

    Raises:
        InvalidInput: they have no pressure meter in common, or the first week's pressures cannot be in the history's unit.
    """
    past = only_shared(past, year.sensors)
    year = _only(year, past.sensors)
    return past, _plausible(past, year)


def only_shared(past: ScadaYear, sensors: Sensors) -> ScadaYear:
    """A history of the sensors that are still there, in its order.

    Raises:
        InvalidInput: no pressure meter is.
    """
    shared = {k: tuple(i for i in _heard(past, k) if i in set(getattr(sensors, k))) for k in _KINDS}
    if not shared["pressure"]:
        raise InvalidInput([Issue("", "pressure", (), "history and readings have no pressure meter in common")])
    return _only(past, Sensors(**shared))


def _heard(past: ScadaYear, kind: str) -> tuple[str, ...]:
    """Meters that have spoken often enough to be learnt from."""
    values = {
        "pressure": past.hours.pressure_m,
        "flow": past.hours.flow_m3_per_h,
        "level": past.hours.level_m,
        "drawn": past.hours.drawn_m3_per_h,
    }[kind]
    share = np.isfinite(values).mean(axis=0)
    return tuple(i for i, there in zip(getattr(past.sensors, kind), share, strict=True) if there >= _LEAST_HEARD)


def _plausible(past: ScadaYear, year: ScadaYear) -> ScadaYear:
    """A year without what cannot be a reading, where that is not most of its first week."""
    read, heard = year.hours.pressure_m, Usual.of(past.hours).hear_all(year.hours)
    first = slice(0, _FIRST_HOURS)
    lost = np.asarray(np.isfinite(read[first]).any(axis=0) & ~np.isfinite(heard.pressure_m[first]).any(axis=0))
    if 2 * lost.sum() > len(lost):
        names = tuple(np.array(year.sensors.pressure)[lost].tolist())
        raise InvalidInput([Issue("", "pressure", names, "are far from the history's: not in cm of water?")])
    return replace(year, hours=heard)


def _only(year: ScadaYear, sensors: Sensors) -> ScadaYear:
    at = {k: [getattr(year.sensors, k).index(i) for i in getattr(sensors, k)] for k in _KINDS}
    h = year.hours
    hours = Hours(
        h.start_s, h.pressure_m[:, at["pressure"]], h.flow_m3_per_h[:, at["flow"]], h.level_m[:, at["level"]],
        h.level_gain_m[:, at["level"]], h.drawn_m3_per_h[:, at["drawn"]],
        flow_spread_m3_per_h=np.asarray(h.flow_spread_m3_per_h)[:, at["flow"]],
    )  # fmt: skip
    return replace(year, sensors=sensors, hours=hours)


def read_year(folder: Path, network: WaterNetwork) -> ScadaYear:
    """Read a year folder.

    Args:
        folder: as described above.
        network: says which column is a link and which a tank.

    Raises:
        InvalidInput: a file is missing or cannot be read, its times are not regular, or a column is no element.
    """
    pressure_ids, time, pressure = _parquet(folder, "pressures_cm_*.parquet")
    flow_ids, flow_time, flow = _parquet(folder, "flows_level_x100_*.parquet")
    drawn_ids, drawn_time, drawn = _parquet(folder, "demands_Lh_*.parquet")
    per_hour, time, pressure = _regular(time, pressure, folder)
    flow, drawn = _at(time, flow_time, flow, folder), _at(time, drawn_time, drawn, folder)
    skip = int(-time[0].astype("datetime64[ns]").astype(np.int64) % _HOUR_NS // (_HOUR_NS // per_hour))
    n = (len(time) - skip) // per_hour

    def by_hour(values: Floats) -> Floats:
        return values[skip : skip + n * per_hour].reshape(n, per_hour, -1)

    links = {str(i) for i in network.link_ids}
    is_link = np.array([i in links for i in flow_ids])
    level = flow[:, ~is_link] / 100.0
    at_begin = level[skip : skip + n * per_hour : per_hour]
    at_end = np.concatenate([at_begin[1:], level[min(skip + n * per_hour, len(level) - 1)][None]])
    sensors = Sensors(
        pressure_ids,
        tuple(i for i, link in zip(flow_ids, is_link, strict=True) if link),
        tuple(i for i, link in zip(flow_ids, is_link, strict=True) if not link),
        drawn_ids,
    )
    start = time[skip : skip + n * per_hour : per_hour]
    hours = hours_of(
        start.astype("datetime64[s]").astype(np.int64).astype(np.float64), by_hour(pressure / 100.0),
        by_hour(flow[:, is_link] / 100.0), by_hour(level), by_hour(drawn / 1000.0), at_end,
    )  # fmt: skip
    hours = replace(hours, pressure_m=np.where(still(hours.pressure_m) >= MOST_HOURS_STILL, np.nan, hours.pressure_m))
    return ScadaYear(sensors, hours, _truth(folder, time, start, per_hour, skip), _repairs(folder), 3600.0 / per_hour)


def _regular(time: NDArray[np.datetime64], values: Floats, folder: Path) -> tuple[int, NDArray[np.datetime64], Floats]:
    """Steps an hour, and all instants from the first to the last with their values, nan in missing rows."""
    ns = time.astype("datetime64[ns]").astype(np.int64)
    step = np.diff(ns)
    least = int(step.min()) if len(step) else 0
    if least <= 0 or _HOUR_NS % least or (step % least).any():
        raise InvalidInput([Issue("", "time", (), "is not in equal steps that divide an hour", file=str(folder))])
    whole = np.arange(ns[0], ns[-1] + 1, least).astype("datetime64[ns]")
    return _HOUR_NS // least, whole, _at(whole, time, values, folder)


def _at(whole: NDArray[np.datetime64], time: NDArray[np.datetime64], values: Floats, folder: Path) -> Floats:
    """Values at given instants, nan where there are none."""
    time = time.astype("datetime64[ns]")
    if len(time) == len(whole) and (time == whole).all():
        return values
    place = np.searchsorted(whole, time)
    fits = (place < len(whole)) & (whole[np.minimum(place, len(whole) - 1)] == time)
    if not fits.any():
        raise InvalidInput([Issue("", "time", (), "the files have no instant in common", file=str(folder))])
    out = np.full((len(whole), values.shape[1]), np.nan)
    out[place[fits]] = values[fits]
    return out


def _one(folder: Path, pattern: str) -> Path | None:
    found = sorted(folder.glob(pattern))
    if len(found) > 1:
        raise InvalidInput([Issue("", "", tuple(p.name for p in found), f"more than one {pattern}", file=str(folder))])
    return found[0] if found else None


def _parquet(folder: Path, pattern: str) -> tuple[tuple[str, ...], NDArray[np.datetime64], Floats]:
    path = _one(folder, pattern)
    if path is None:
        raise InvalidInput([Issue("", "", (), f"no {pattern} in this folder", file=str(folder))])
    import duckdb

    try:
        # One file of our own naming; its path is the only thing that is put into the text.
        found = duckdb.connect().execute("select * from read_parquet($1)", [str(path)]).fetchnumpy()
    except duckdb.Error as error:
        raise InvalidInput([Issue("", "", (), f"cannot be read as parquet: {error}", file=str(path))]) from None
    if "time" not in found:
        raise InvalidInput([Issue("", "time", (), "the file has no such column", file=str(path))])
    ids = tuple(name for name in found if name != "time")
    time = np.asarray(found["time"])
    return ids, time, np.array([_floats(found[name]) for name in ids]).reshape(len(ids), len(time)).T


def _floats(values: NDArray[np.generic]) -> Floats:
    found = np.ma.filled(np.ma.asarray(values).astype(np.float64), np.nan)
    return np.where(np.isfinite(found), found, np.nan)


def _truth(
    folder: Path, instants: NDArray[np.datetime64], start: NDArray[np.datetime64], per_hour: int, skip: int
) -> Truth | None:
    listed, flows = _one(folder, "leaks_*.csv"), _one(folder, "leak_flow_*.parquet")
    if listed is None or flows is None:
        return None
    ids, time, flow = _parquet(folder, "leak_flow_*.parquet")
    flow = _at(instants, time, flow, folder)
    began = {row["pipe"]: _instant(row["start"], listed) for row in _rows(listed, ("pipe", "start"))}
    if unknown := tuple(i for i in ids if i not in began):
        raise InvalidInput([Issue("", "pipe", unknown, "have a flow but are not listed", file=str(listed))])
    n = len(start)
    hourly = hourly_mean(flow[skip : skip + n * per_hour].reshape(n, per_hour, -1))
    return Truth(ids, np.array([began[i] for i in ids], dtype="datetime64[s]"), np.nan_to_num(hourly))


def _repairs(folder: Path) -> tuple[tuple[str, np.datetime64], ...]:
    path = _one(folder, "repairs_*.csv")
    if path is None:
        return ()
    return tuple((row["pipe"], _instant(row["repaired"], path)) for row in _rows(path, ("pipe", "repaired")))


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    missing = [c for c in columns if rows and c not in rows[0]]
    if missing:
        raise InvalidInput([Issue("", c, (), "the file has no such column", file=str(path)) for c in missing])
    return rows


def _instant(text: str, path: Path) -> np.datetime64:
    try:
        return np.datetime64(text.strip())
    except ValueError:
        raise InvalidInput([Issue("", "time", (text,), "is no instant", file=str(path))]) from None
