"""Measurements in: how many, and how soon they are on disk."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.service_load import Caller, Source, cores, percentiles, point_list, served, truth, used_s
from grid_models.measurements import Signal

TITLE = "Measurements in"
TEXT = """A service with its estimator running each second (`pandapower:case1354pegase`, up to 10,000 signals) on one core; four
publishers and a caller of GetTwin on another, over the loopback. Every batch is parsed, checked row by row, deduplicated, put
into the live window, written to the journal and synced; 1 % of the rows are NaN. Rows count from the first message sent to the
last DURABLE; seconds of processor are the service's own on all its threads, estimator included. A call's time is that of
GetTwin, asked every 10 ms meanwhile. Times by the clock hold for the machine as it was, its load told below; seconds of
processor hardly depend on it.

What limits a burst is Python on the one event loop: of a message of 1,000 rows some 65 us are grpc's and protobuf's, 60 us the
columns, 100 to 150 us the door and the identities (memory, above all), the rest acks, packing, and the window. Messages of
10,000 rows share that among more rows. 5 M values/s would need the door in a process of its own beside the loop."""
HEAD = ("job", "rows per message", "measured", "target", "beside it, GetTwin p50 / p99 / worst")
_NETWORK = "pandapower:case1354pegase"
_PUBLISHERS = 4
_EVERY_S = 0.08  # of a publisher's batches in the steady flow: 50,000 values/s in all


def run(quick: bool) -> Iterator[tuple[str, ...]]:
    """Bursts of several batch sizes, then a steady flow."""
    service, load = cores()
    os.sched_setaffinity(0, load)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        signals = point_list(_NETWORK, 10_000)
        values = truth(_NETWORK, signals)
        with served(folder, _NETWORK, signals, service) as (address, process):
            for rows, batches in ((1_000, 200 if quick else 1_000), (10_000, 20 if quick else 100)):
                sources = _sources(address, folder, signals, values, batches, rows)
                begun, used = time.perf_counter(), used_s(process)
                with Caller(address) as caller:
                    _together(sources)
                admitted, used = sum(s.admitted for s in sources), used_s(process) - used
                rate = admitted / (time.perf_counter() - begun)
                yield (
                    "burst, all DURABLE",
                    f"{rows:,}",
                    f"{rate / 1e6:.2f} M/s; {admitted / used / 1e6:.2f} M per second of processor",
                    ">= 5 M/s in, >= 1 M/s DURABLE",
                    percentiles(caller.took_s),
                )
            seconds = 5 if quick else 30
            sources = _sources(address, folder, signals, values, seconds * 25 // 2, 1_000)
            with Caller(address) as caller:
                _together(sources, _EVERY_S)
            waits = [x for s in sources for x in s.latencies_s()]
            yield (
                "50,000 values/s, batch sent -> DURABLE",
                "1,000",
                percentiles(waits),
                "p99 <= 40 ms; call p99 <= 10 ms",
                percentiles(caller.took_s),
            )
    ready = f"{os.getloadavg()[0]:.0f} processes ready to run on {len(service | load)} processors"
    yield "the machine meanwhile, the last minute's mean", "", ready, "2: the service and its load", ""


def _sources(address: str, folder: Path, signals: list[Signal], values: np.ndarray, batches: int, rows: int) -> list[Source]:
    share = len(signals) // _PUBLISHERS
    parts = [slice(k * share, (k + 1) * share) for k in range(_PUBLISHERS)]
    made = [Source(address, f"p{part.start}-{rows}-{batches}", folder, signals[part], values[part]) for part in parts]
    for source in made:
        source.prepare(batches, rows, 0.01)
    return made


def _together(sources: list[Source], every_s: float = 0.0, late_s: float = 0.0) -> None:
    threads = [threading.Thread(target=s.play, args=(every_s, late_s)) for s in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
