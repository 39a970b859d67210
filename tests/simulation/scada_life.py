"""A year folder to be lived through: its readings as their meters send them, and what a search is to tell of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from grid_models.measurements import Catalogue, Rows, Signal, SignalKind, Update
from solvers.water.leak_search.readings import Sensors
from tests.simulation.life import Life
from twin.leak_report import YearSearch
from twin.port import Transition

# quantity, table, unit, sigma, and what one unit of a year folder is in it
_KINDS = {
    "pressure": ("pressure_m", "junction", "m", 0.02, 0.01),
    "flow": ("flow_m3_per_s", "pipe", "m3/s", 1e-4, 1 / 360_000),
    "level": ("level_m", "tank", "m", 0.01, 0.01),
    "drawn": ("demand_m3_per_s", "junction", "m3/s", 1e-5, 1 / 3_600_000),
}


def points(sensors: Sensors, step_s: float) -> Catalogue:
    """A point list of what a folder measures; what has not come again a step later is stale."""
    signals = [
        Signal(
            100 * k + n, f"{element} {quantity}", "water", SignalKind.ANALOG, table, element, quantity, "", unit, 1, sigma,
            -1e3, 1e3, Update.CYCLIC, 0.8 * step_s, 7200.0,
        )
        for k, (kind, (quantity, table, unit, sigma, _)) in enumerate(_KINDS.items(), start=1)
        for n, element in enumerate(getattr(sensors, kind))
    ]  # fmt: skip
    return Catalogue(1, tuple(signals))


def batches(scada: Path, sensors: Sensors, until: str = "2100") -> Iterator[Rows]:
    """A folder's readings, instant by instant."""
    tables = [_table(scada, name) for name in ("flows_level_x100", "pressures_cm", "demands_Lh")]
    frame = pd.concat(tables, axis=1, keys=("flow", "pressure", "drawn"))
    columns = [
        (("flow" if kind == "level" else kind), element, 100 * k + n, factor)
        for k, (kind, (*_, factor)) in enumerate(_KINDS.items(), start=1)
        for n, element in enumerate(getattr(sensors, kind))
    ]
    values = np.column_stack([frame[kind][element].to_numpy() * factor for kind, element, _, factor in columns])
    uid = np.array([c[2] for c in columns], dtype=np.uint32)
    for time, row in zip(frame.index, values, strict=True):
        if time >= pd.Timestamp(until):
            return
        there = np.isfinite(row)
        n, at_us = int(there.sum()), int(time.timestamp()) * 1_000_000
        yield Rows(
            uid[there], row[there], np.full(n, at_us), np.zeros(n, np.int64), np.full(n, 1, np.uint8),
            np.full(n, 1, np.uint8), np.zeros(n, np.uint8), np.zeros(n, np.uint64),
        )  # fmt: skip


def _table(folder: Path, name: str) -> pd.DataFrame:
    (path,) = folder.glob(f"{name}_*.parquet")
    return duckdb.connect().execute(f"select * from read_parquet('{path}')").df().set_index("time")


def told_alike(life: Life, found: YearSearch) -> None:
    """Assert that a life's search has told the leaks that `twin leaks` tells: pipe, when, since when, and how much.

    Flows differ by the rounding of units on the way, which the solver's tolerance makes larger.
    """
    raised = [e for e in life.leaks if e.transition is Transition.RAISED]
    first_us = life.states[0].valid_time_us
    live = [(e.elements[0].removeprefix("pipe "), e.valid_time_us, e.figures["began_s"]) for e in raised]
    offline = [(a.pipe, first_us if a.state == "carried over" else _us(a.issued), _us(a.start) / 1e6) for a in found.alarms]
    assert live == offline
    flows = [a.flow_m3_per_h for a in found.alarms]
    np.testing.assert_allclose([e.figures["flow_m3_per_h"] for e in raised], flows, rtol=1e-4)


def _us(instant: np.datetime64) -> int:
    return int(instant.astype("datetime64[us]").astype(np.int64))
