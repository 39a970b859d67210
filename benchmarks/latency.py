"""From the last batch that an instant waits for to its state at a watcher."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import grpc
import numpy as np

from benchmarks.service_city import City, city
from benchmarks.service_load import MEANWHILE, Caller, Source, cores, percentiles, ready, served
from twin import wire
from twin.api.v1 import state_pb2
from twin.chain import digest
from twin.estimators import Given
from twin.leak_watch import LeakWatch

TITLE = "From a batch to the state that it completes"
TEXT = """A service of a city on one core (10,001 buses and 12,525 nodes, estimated each 1 s and 2 s from 10,000 signals;
alarms and the leak watch run); its load on another, over the loopback: four publishers send 50,000 values/s in messages of
1,000 rows, in every tenth second a fifth sends 1,000 messages of five rows beside them, and a caller asks GetTwin every 10 ms.
An instant is estimated when 200 ms have passed since it (rows may be so late), by the next batch that comes; from that batch's
sending to the last byte of the whole state at a watcher the time is counted, so both ways over gRPC are in it. The steps alone
are the processor's time of one thread without a service."""
HEAD = ("job", "measured", "target", "states")
_WATCH = "/twin.api.v1.StateService/WatchStates"
_SETTLE_S = 0.2  # twin.engine waits so long for rows of an instant
_STORM_S, _STORM_EVERY_S = 1.0, 10
_STORM_SIGNALS = 1_000
_CYCLES_S = {"power": 1.0, "water": 2.0}


def run(quick: bool) -> Iterator[tuple[str, ...]]:
    """A steady flow with storms in it, then the steps alone."""
    service, load = cores()
    os.sched_setaffinity(0, load)
    seconds = 20 if quick else 60
    town = city()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        networks = {"power": (town.power, _CYCLES_S["power"]), "water": (town.water, _CYCLES_S["water"])}
        with served(folder, networks, town.signals, service, lateness_s="10") as (address, _):
            yield from _live(town, address, folder, seconds)
    for part, (took, target) in _alone(town, 3 if quick else 20).items():
        yield f"a step alone: {part}", f"{np.median(took) * 1e3:.1f} ms, worst {max(took) * 1e3:.1f} ms", target, str(len(took))
    yield MEANWHILE, ready(service | load), "2: the service and its load", ""


def _live(town: City, address: str, folder: Path, seconds: int) -> Iterator[tuple[str, ...]]:
    steady, stormy = slice(_STORM_SIGNALS, None), slice(0, _STORM_SIGNALS)
    share = (len(town.signals) - _STORM_SIGNALS) // 4
    signals, values = town.signals[steady], town.values[steady]
    sources = []
    for k in range(4):
        part = slice(k * share, (k + 1) * share)
        sources.append(Source(address, f"p{k}", folder, signals[part], values[part]))
        sources[-1].prepare(round(seconds / 0.08), 1_000, 0.01)
    storms = []
    for k in range(seconds // _STORM_EVERY_S):
        storms.append(Source(address, f"storm{k}", folder, town.signals[stormy], town.values[stormy]))
        storms[-1].prepare(1_000, 5, 0.0)
    begun = time.perf_counter()

    def storm() -> None:
        for k, source in enumerate(storms):
            time.sleep(max(0.0, begun + (k + 0.5) * _STORM_EVERY_S - time.perf_counter()))
            source.play(_STORM_S / 1_000)

    threads = [threading.Thread(target=s.play, args=(0.08,)) for s in sources] + [threading.Thread(target=storm)]
    with Watcher(address, "power") as power, Watcher(address, "water") as water, Caller(address) as caller:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    sent = np.sort(np.concatenate([list(s.sent_s.values()) for s in [*sources, *storms]]))
    blows = np.sort(np.concatenate([list(s.sent_s.values()) for s in storms]))
    for watcher, target in ((power, "p99 <= 150 ms"), (water, "p99 <= 150 ms")):
        due = np.array([d for d in watcher.arrived_s if sent[0] < d < sent[-1]])
        trigger = sent[np.searchsorted(sent, due)]
        took = np.array([watcher.arrived_s[d] for d in due]) - trigger
        windy = np.array([bool(((blows > d - 1.5) & (blows < d)).any()) for d in due])
        yield f"{watcher.network}: batch sent -> whole state at a watcher", percentiles(took), target, str(len(took))
        if windy.any():
            yield f"{watcher.network}: the same during a storm", percentiles(took[windy]), target, str(windy.sum())
    waits = [x for s in sources for x in s.latencies_s()]
    yield "batch sent -> DURABLE", percentiles(waits), "p99 <= 40 ms", str(len(waits))
    yield "GetTwin beside it", percentiles(caller.took_s), "p99 <= 10 ms", str(len(caller.took_s))


def _alone(town: City, turns: int) -> dict[str, tuple[list[float], str]]:
    power, water = town.estimators()
    watch = LeakWatch(water)
    grid, pipes, memory = None, None, watch.empty()
    parts: dict[str, tuple[list[float], str]] = {
        "estimate of power": ([], "<= 40 ms"),
        "estimate of water": ([], "<= 60 ms"),
        "leak watch": ([], ""),
        "digest": ([], ""),
    }
    for k in range(turns + 2):
        measured = town.measured(k)
        clock = [time.thread_time()]
        grid = power.step(Given(measured, grid, {}))
        clock.append(time.thread_time())
        pipes = water.step(Given(measured, pipes, {}))
        clock.append(time.thread_time())
        memory = watch.step(memory, pipes, {})[0]
        clock.append(time.thread_time())
        digest(grid)
        clock.append(time.thread_time())
        if k >= 2:  # plans are made, kernels are loaded
            for (times, _), took in zip(parts.values(), np.diff(clock), strict=True):
                times.append(float(took))
    return parts


class Watcher:
    """Reads a network's whole states on a thread of its own.

    Attributes:
        arrived_s: when each state's last byte was there, by when its instant was due.
    """

    def __init__(self, address: str, network: str) -> None:
        self.network = network
        self.arrived_s: dict[float, float] = {}
        request = state_pb2.WatchStatesRequest(network=f"twins/-/networks/{network}").SerializeToString()
        self._call = grpc.insecure_channel(address).unary_stream(_WATCH)(request)
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._call.cancel()
        self._thread.join()

    def _read(self) -> None:
        offset_s = time.time() - time.perf_counter()
        try:
            for body in self._call:
                now = time.perf_counter()
                frame = state_pb2.WatchStatesResponse.FromString(body).frame
                if frame.last_part and not frame.correction:
                    due = wire.micros(frame.valid_time) / 1e6 + _SETTLE_S - offset_s
                    self.arrived_s.setdefault(due, now)
        except grpc.RpcError:
            return
