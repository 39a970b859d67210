"""Measurements out again: from the archive over gRPC into xarray, beside the archive's own rate."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.service_load import MEANWHILE, cores, point_list, ready, served
from grid_models.formats import read
from grid_models.measurements import Rows
from grid_models.state import Position
from twin.archive import Archive
from twin.client import TwinClient

TITLE = "History"
TEXT = """1,000 signals, a value a minute, noise to the last bit, in an archive of so many days. The store alone is
`twin.archive.Archive.window`, which gives the rows as arrays, in this process; beside it the same rows asked of a service on
another core through the Python client, as an xarray Dataset. Median of five, wall time, by turns, answers compared. Memory is
what this process's resident memory was at most beyond what it had before it asked."""
HEAD = ("question", "rows", "store alone", "over gRPC into xarray", "share of the store's rate", "target")
_NETWORK = "pandapower:case1354pegase"
_SIGNALS = 1_000
_MINUTE_US, _DAY_US = 60_000_000, 86_400_000_000
_FIRST_US = 1_767_225_600_000_000  # 2026-01-01
_ROUNDS = 5


def run(quick: bool) -> Iterator[tuple[str, ...]]:
    """Fill an archive, then ask."""
    service, load = cores()
    days = 7 if quick else 60
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive, begun = Archive(folder / "store" / "archive"), time.perf_counter()
        for day in range(days):
            archive.seal([(Position(0, day + 1), _day(day))], Position(0, day + 1))
        took, rows = time.perf_counter() - begun, days * _SIGNALS * 1440
        archive.close()
        size = sum(f.stat().st_size for f in (folder / "store" / "archive").glob("*.duckdb"))
        yield f"filling {days} days", f"{rows:,}", f"{rows / took / 1e6:.1f} M/s, {size / rows:.1f} bytes a row", "", "", ""
        signals = point_list(_NETWORK, _SIGNALS)
        os.sched_setaffinity(0, load)
        with served(folder, {"power": (read(_NETWORK), 1.0)}, signals, service) as (address, _), TwinClient(address) as client:
            for what, uids, first, count in (
                ("one signal, all days", [500], 0, days),
                ("ten signals, a week", list(range(100, 110)), days - 7, 7),
                ("all signals, a day", list(range(1, _SIGNALS + 1)), days // 2, 1),
            ):
                yield _asked(archive, client, what, uids, (first, first + count))
        archive.close()
    yield MEANWHILE, "", ready(service | load), "", "", "2: the service and its client"


def _day(day: int) -> Rows:
    n = _SIGNALS * 1440
    times = _FIRST_US + day * _DAY_US + np.repeat(np.arange(1440), _SIGNALS) * _MINUTE_US
    value, byte = np.random.default_rng(day).standard_normal(n), np.ones(n, np.uint8)
    uids = np.tile(np.arange(1, _SIGNALS + 1, dtype=np.uint32), 1440)
    return Rows(uids, value, times, times + 50_000, byte, byte, np.zeros(n, np.uint8), np.zeros(n, np.uint64))


def _asked(archive: Archive, client: TwinClient, what: str, uids: list[int], days: tuple[int, int]) -> tuple[str, ...]:
    start, end = (_FIRST_US + d * _DAY_US for d in days)
    alone, ours = [], []
    found: Any = None
    grown_mib, rows = 0.0, Rows.empty()
    for _ in range(_ROUNDS):
        before = _resident_mib(reset=True)
        begun = time.perf_counter()
        found = client.history(uids, np.datetime64(start, "us"), np.datetime64(end, "us"))
        ours.append(time.perf_counter() - begun)
        grown_mib = max(grown_mib, _resident_mib() - before)
        begun = time.perf_counter()
        rows = archive.window(uids, start, end)
        alone.append(time.perf_counter() - begun)
    if not (np.array_equal(found["value"], rows.value) and np.array_equal(found["signal"], rows.signal)):
        raise AssertionError(f"{what}: the service gives other rows than the store")
    store_s, ours_s = float(np.median(alone)), float(np.median(ours))
    return (
        what, f"{len(rows):,}", f"{store_s * 1e3:.0f} ms, {len(rows) / store_s / 1e6:.2f} M/s",
        f"{ours_s * 1e3:.0f} ms, {len(rows) / ours_s / 1e6:.2f} M/s, {grown_mib:.0f} MiB", f"{store_s / ours_s:.0%}",
        ">= 50 %, <= 1 GiB",
    )  # fmt: skip


def _resident_mib(*, reset: bool = False) -> float:
    """This process's resident memory at most, since it was last reset [MiB]."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5", "utf-8")
    line = next(s for s in Path("/proc/self/status").read_text("utf-8").splitlines() if s.startswith("VmHWM"))
    return int(line.split()[1]) / 2**10
