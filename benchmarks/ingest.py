"""Measurements in: how many, and how soon they are on disk."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.service_load import MEANWHILE, Caller, Source, cores, percentiles, point_list, ready, served, truth, used_s
from grid_models.formats import read
from grid_models.measurements import Catalogue, Rows, Signal
from twin import wire
from twin.api.v1 import ingest_pb2
from twin.edge.rows import rows_of
from twin.intake import admit
from twin.packing import packed
from twin.warm import take_once
from twin.window import Window

TITLE = "Measurements in"
TEXT = """A service with its estimator running each second (`pandapower:case1354pegase`, up to 10,000 signals) on one core; four
publishers and a caller of GetTwin on another, over the loopback. Every batch is parsed, checked row by row, deduplicated, put
into the live window, written to the journal, synced and sealed into the archive; 1 % of the rows are NaN. Rows bear the time of
their sending, or one before it: then the states of that time are computed again. Rows count from the first message sent to the
last DURABLE; the processor's time is the service's own on all its threads: event loop, estimator, journal, sealer, gRPC. A call
is GetTwin, asked every 10 ms meanwhile.

What limits a burst is the one core. The event loop takes a good half of it, and of that the door and the window are the smaller
part: a message in, and its share of an ack out, cost gRPC and asyncio some 250 us whatever is in them. 5 M values/s would
leave 200 us for 1,000 rows and everything done with them; the steps alone, below, take more than that. Messages of 10,000 rows
share what a message costs among more rows."""
HEAD = ("job", "rows per message", "measured", "target", "beside it, GetTwin p50 / p99 / worst")
_NETWORK = "pandapower:case1354pegase"
_PUBLISHERS = 4
_LATE_S = 5.0
_TOGETHER = 3  # messages that go through the door at once, about as many as in a burst
_EVERY_S = 0.08  # of a publisher's batches in the steady flow: 50,000 values/s in all


def run(quick: bool) -> Iterator[tuple[str, ...]]:
    """A steady flow, then bursts, whose rows the archive is still taking in when they are over."""
    service, load = cores()
    os.sched_setaffinity(0, load)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        signals = point_list(_NETWORK, 10_000)
        values = truth(_NETWORK, signals)
        with served(folder, {"power": (read(_NETWORK), 1.0)}, signals, service) as (address, process):
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
            few, many = (200, 20) if quick else (1_000, 100)
            for rows, batches, late_s in ((1_000, few, 0.0), (10_000, many, 0.0), (1_000, few, _LATE_S)):
                sources = _sources(address, folder, signals, values, batches, rows)
                begun, used, loop = time.perf_counter(), used_s(process), used_s(process, process)
                with Caller(address) as caller:
                    _together(sources, late_s=late_s)
                admitted = sum(s.admitted for s in sources)
                rate = admitted / (time.perf_counter() - begun)
                used, loop = ((b - a) / admitted * 1e9 for a, b in ((used, used_s(process)), (loop, used_s(process, process))))
                yield (
                    f"burst, all DURABLE{f', rows {late_s:g} s late' if late_s else ''}",
                    f"{rows:,}",
                    f"{rate / 1e6:.2f} M/s; {used:.0f} us of processor for 1,000 rows, {loop:.0f} of them the loop's",
                    ">= 5 M/s in, >= 1 M/s DURABLE",
                    percentiles(caller.took_s),
                )
    for part, us in _parts(signals, values, 50 if quick else 400).items():
        yield f"a step alone: {part}", "1,000", f"{us:.0f} us of processor for 1,000 rows", "", ""
    yield MEANWHILE, "", ready(service | load), "2: the service and its load", ""


def _parts(signals: list[Signal], values: np.ndarray, turns: int) -> dict[str, float]:
    """Processor time of the steps that rows take on the event loop, without gRPC, asyncio and other threads [us per 1,000]."""
    take_once()
    catalogue = Catalogue(1, tuple(signals))
    window, everybody, nobody = Window(catalogue), np.ones(len(signals) + 1, bool), np.zeros(len(signals) + 1, bool)
    used: dict[str, float] = dict.fromkeys(("parse", "columns", "door and window", "journal entry"), 0.0)
    for k in range(turns):
        now = time.time_ns() // 1000
        bodies = [_body(signals, values, _TOGETHER * k + n, now) for n in range(_TOGETHER)]
        clock = [time.thread_time()]
        messages = [ingest_pb2.IngestRequest.FromString(body) for body in bodies]
        clock.append(time.thread_time())
        rows = Rows.concatenate(rows_of(message.batch.rows) for message in messages)
        clock.append(time.thread_time())
        admission = admit(
            rows, catalogue, everybody, window, receive_us=now, now_us=now, oldest_us=now - 600_000_000, outranked=nobody
        )
        clock.append(time.thread_time())
        packed({"publisher": "p", "epoch": 1, "batch": k, "rows": admission.history, "now": now, "oldest": now})
        clock.append(time.thread_time())
        for step, passed in zip(used, np.diff(clock), strict=True):
            used[step] += passed
    return {step: total / (_TOGETHER * turns) * 1e6 for step, total in used.items()}


def _body(signals: list[Signal], values: np.ndarray, k: int, now_us: int) -> bytes:
    at, chance, message = (
        np.arange(k * 1_000, (k + 1) * 1_000) % len(signals),
        np.random.default_rng(k),
        ingest_pb2.IngestRequest(),
    )
    value = np.where(chance.random(1_000) < 0.01, np.nan, values[at] + 1e-3 * chance.standard_normal(1_000))
    uids = np.array([s.uid for s in signals], np.uint32)[at]
    for name, column in (("signal", uids), ("value", value), ("source_time_us", np.full(1_000, now_us))):
        wire.fill(message.batch.rows, name, column)
    body: bytes = message.SerializeToString()
    return body


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
