"""States out to many readers: how many frames, how soon, and what readers that stand still cost the others."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from benchmarks.service_city import city
from benchmarks.service_load import MEANWHILE, Source, cores, percentiles, point_list, ready, served, truth, used_s
from grid_models.formats import read
from twin import wire
from twin.api.v1 import state_pb2

TITLE = "States out to many readers"
TEXT = """A service on one core, one process of readers on another, over the loopback. The many watch 1,000 voltages with their
standard deviations (12 KB a frame) of `pandapower:case1354pegase`, estimated ten times a second from 1,000 values that all
change; the few watch the whole of a city, 10,001 buses and 12,525 nodes, once a second. A frame's time runs from the batch that
its instant waited for to the last byte at a reader, so the estimate is in it. Latest wins: a reader that cannot follow gets
fewer frames, each with the number of those it has missed. Readers that stand still open their stream, read the first frame
and no more. Memory is the service's resident memory beyond what it was before they came."""
HEAD = ("job", "wanted", "delivered", "time to a reader", "processor", "target")
_MANY = "pandapower:case1354pegase"
_WATCH = "/twin.api.v1.StateService/WatchStates"
_CHANNELS = 20
_CYCLE_S = 0.1
_PATIENCE_S = 40.0  # until the last of all readers has its first frame


def run(quick: bool) -> Iterator[tuple[str, ...]]:
    """Many small readers, the same with some that stand still, then a few large ones."""
    service, load = cores()
    os.sched_setaffinity(0, load)
    seconds = 5.0 if quick else 20.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        signals = point_list(_MANY, 1_000)
        values = truth(_MANY, signals)
        selection = state_pb2.Selection(columns=["bus_vm_pu"], sigma=True)
        selection.elements.add(dimension="bus", ids=[s.element for s in signals])
        request = state_pb2.WatchStatesRequest(network="twins/-/networks/power", selection=selection)
        with served(folder, {"power": (read(_MANY), _CYCLE_S)}, signals, service, lateness_s="5") as (address, process):
            for count, still in ((100, 0), (1_000, 0), (800, 200)):
                source = Source(address, f"p{count}", folder, signals, values)
                source.prepare(round((seconds + _PATIENCE_S) / _CYCLE_S), 1_000, 0.0)
                readers = Readers([request], count, still)
                source_thread = threading.Thread(target=source.play, args=(_CYCLE_S,))
                source_thread.start()
                before_b = _resident_b(process)
                asyncio.run(readers.read(address, seconds, process))
                grown_b = _resident_b(process) - before_b
                source.over.set()
                source_thread.join()
                job = f"{count:,} readers, 12 KB ten times a second" + (f", beside {still} that stand still" if still else "")
                target = "others' p99 <= 2x, < 50 MiB" if still else "all of it; p99 46 ms"
                memory = f"; {grown_b / 2**20:.0f} MiB more" if still else ""
                yield readers.row(job, count / _CYCLE_S, f"{readers.processor()}{memory}", target)
    yield from _whole(service, seconds)
    yield MEANWHILE, "", ready(service | load), "", "", "2: the service and its load"


def _whole(service: set[int], seconds: float) -> Iterator[tuple[str, ...]]:
    town = city()
    requests = [state_pb2.WatchStatesRequest(network=f"twins/-/networks/{n}") for n in ("power", "water")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        networks = {"power": (town.power, 1.0), "water": (town.water, 1.0)}
        with served(folder, networks, town.signals, service, lateness_s="5") as (address, process):
            source = Source(address, "p", folder, town.signals, town.values)
            source.prepare(round((seconds + _PATIENCE_S) / 0.5), 10_000, 0.0)
            thread = threading.Thread(target=source.play, args=(0.5,))
            thread.start()
            time.sleep(3.0)  # plans are made
            readers = Readers(requests, 20, 0)
            asyncio.run(readers.read(address, seconds, process))
            source.over.set()
            thread.join()
    job = "20 readers, both networks whole once a second"
    yield readers.row(job, 40.0, readers.processor(), "all of it")


@dataclass
class Readers:
    """Readers of states in one process.

    Args:
        requests: what each of them watches, a stream for each.
        count: how many read.
        still: how many more read one frame and no more.

    Attributes:
        delays_s: from a frame's batch to its last byte here.
        merged: frames that were left out.
        bytes: of frames.
        took_s: how long was counted.
        used_s: processor time of the service meanwhile.
    """

    requests: list[state_pb2.WatchStatesRequest]
    count: int
    still: int
    delays_s: list[float] = field(default_factory=list)
    merged: int = 0
    bytes: int = 0
    took_s: float = 0.0
    used_s: float = 0.0

    async def read(self, address: str, seconds: float, process: int) -> None:
        """Open all streams, and count what comes in so many seconds after the last one has begun."""
        own = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.aio.insecure_channel(address, options=own) for _ in range(_CHANNELS)]
        bodies = [request.SerializeToString() for request in self.requests]
        wanted = [(k, body) for k in range(self.count + self.still) for body in bodies]
        calls = [(k, channels[k % _CHANNELS].unary_stream(_WATCH)(body)) for k, body in wanted]
        counting, waiting = asyncio.Event(), len(calls)

        async def each(k: int, call: grpc.aio.UnaryStreamCall) -> None:
            nonlocal waiting
            begun = False
            async for body in call:
                now = time.time()
                frame = state_pb2.WatchStatesResponse.FromString(body).frame
                if not begun and frame.last_part:
                    begun, waiting = True, waiting - 1
                    if not waiting:
                        counting.set()
                    if k >= self.count:
                        await asyncio.sleep(3600)
                elif counting.is_set():
                    self.bytes += len(body)
                    if frame.last_part:
                        self.merged += frame.merged
                        self.delays_s.append(now - wire.micros(frame.known_time) / 1e6)

        tasks = [asyncio.create_task(each(k, call)) for k, call in calls]
        with suppress(TimeoutError):
            await asyncio.wait_for(counting.wait(), _PATIENCE_S)
        counting.set()
        begun_s, used = time.perf_counter(), used_s(process)
        await asyncio.sleep(seconds)
        self.took_s, self.used_s = time.perf_counter() - begun_s, used_s(process) - used
        counting.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(channel.close() for channel in channels))

    def processor(self) -> str:
        """What the service used meanwhile, estimates included."""
        each = self.used_s / max(1, len(self.delays_s))
        return f"{self.used_s / self.took_s:.0%} of a core, {each * 1e6:.0f} us a frame"

    def row(self, job: str, wanted: float, processor: str, target: str) -> tuple[str, ...]:
        """A line of the table."""
        rate, flow = len(self.delays_s) / self.took_s, self.bytes / self.took_s / 1e6
        skipped = self.merged / max(1, self.merged + len(self.delays_s))
        delivered = f"{rate:,.0f} frames/s, {flow:.0f} MB/s; {skipped:.0%} merged"
        return job, f"{wanted:,.0f} frames/s", delivered, percentiles(self.delays_s), processor, target


def _resident_b(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text("utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
