"""A service in a process and on a core of its own, and publishers that cost little: for the benchmarks of the service."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, Self

import grpc
import numpy as np

from grid_models.formats import read, write
from grid_models.measurements import Signal, SignalKind, Update
from solvers.solve import solve
from twin import wire
from twin.api.v1 import catalog_pb2, catalog_pb2_grpc, ingest_pb2
from twin.point_list import read_point_list, write_point_list

ROOT = Path(__file__).parents[1]
_MARK = 0x0123456789ABCDEF  # in place of a batch's number
MEANWHILE = "the machine meanwhile, the last minute's mean"
INGEST = "/twin.api.v1.IngestService/Ingest"
_QUANTITIES = {"p_mw": ("MW", 1.0), "q_mvar": ("Mvar", 1.0)}


def cores() -> tuple[set[int], set[int]]:
    """One core for the service, one for the load."""
    there = sorted(os.sched_getaffinity(0))
    return {there[0]}, {there[-1]}


def point_list(network: str, most: int) -> list[Signal]:
    """Voltages at all buses, then flows at both ends of all lines, up to `most` signals, all plausible."""
    model = read(network)
    wanted = [("bus", i, "vm_pu", "", "pu", 0.01) for i in model.tables["bus"].index]
    for side in ("from", "to"):
        for quantity, (unit, sigma) in _QUANTITIES.items():
            wanted += [("line", i, quantity, side, unit, sigma) for i in model.tables["line"].index]
    return [
        Signal(
            k, f"{table}.{i}.{quantity}.{side}", "power", SignalKind.ANALOG, table, str(i), quantity, side, unit, 1, sigma,
            -1e5, 1e5, Update.SPONTANEOUS, 60.0, 3600.0,
        )
        for k, (table, i, quantity, side, unit, sigma) in enumerate(wanted[:most], start=1)
    ]  # fmt: skip


def truth(network: str, signals: list[Signal]) -> np.ndarray:
    """(n,) what a load flow gives for each signal, so that an estimator which runs beside has an honest day's work."""
    found = solve(read(network)).unwrap()
    columns = {"vm_pu": "bus_vm_pu", "p_mw": "line_p_{}_mw", "q_mvar": "line_q_{}_mvar"}
    series = {(s.quantity, s.side): found[columns[s.quantity].format(s.side)].to_series() for s in signals}
    return np.array([series[s.quantity, s.side][int(s.element)] for s in signals])


@contextmanager
def served(
    folder: Path, networks: Mapping[str, tuple[Any, float]], signals: list[Signal], core: set[int], **settings: str
) -> Iterator[tuple[str, int]]:
    """A service of some networks, by name each with its model and its cycle [s]; gives its address and process."""
    write_point_list(signals, folder / "signals.csv")
    given = {"listen": '"127.0.0.1:0"', "signals": '"signals.csv"', "lateness_s": "600"} | settings
    lines = [f"{k} = {v}" for k, v in given.items()]
    for name, (model, cycle_s) in networks.items():
        write(model, folder / f"{name}.twin")
        lines += ["[[networks]]", f'name = "{name}"', f'model = "{name}.twin"', f"cycle_s = {cycle_s}"]
    (folder / "twin.toml").write_text("\n".join(lines) + "\n", "utf-8")
    command = [sys.executable, "-m", "twin", "serve", "--config", str(folder / "twin.toml")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    os.sched_setaffinity(process.pid, core)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield line.split(" on ")[1].split()[0], process.pid
    finally:
        process.terminate()
        process.wait(30)


def used_s(process: int, thread: int | None = None) -> float:
    """Processor time that a process has used so far, on all its threads or on one; its first one bears its number."""
    fields = (
        Path(f"/proc/{process}/stat" if thread is None else f"/proc/{process}/task/{thread}/stat")
        .read_text("utf-8")
        .rsplit(")", 1)[1]
        .split()
    )
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Source:
    """One publisher whose messages are ready before it begins."""

    def __init__(self, address: str, name: str, folder: Path, signals: list[Signal], values: np.ndarray) -> None:
        self._channel = grpc.insecure_channel(address)
        self._call = self._channel.stream_stream(INGEST)
        claimed = [ingest_pb2.IngestRequest.ClaimedSignal(uid=s.uid, unit=s.unit, sign=s.sign) for s in signals]
        revision = read_point_list(folder / "signals.csv", folder / "store").revision
        opening = ingest_pb2.IngestRequest.Open(
            twin="twins/-", publisher=name, publisher_epoch=time.time_ns(), catalog_revision=revision, signals=claimed,
            ack=ingest_pb2.ACK_LEVEL_DURABLE,
        )  # fmt: skip
        self._opening = ingest_pb2.IngestRequest(open=opening).SerializeToString()
        self._uids = np.array([s.uid for s in signals], dtype=np.uint32)
        self._values, self._sigma = values, np.array([s.sigma for s in signals])
        self._messages: list[bytearray] = []
        self._ahead_us = np.zeros(0, dtype=np.int64)
        self._times_at = self._id_at = 0  # where the source times and the batch's number stand in each message
        self.sent_s: dict[int, float] = {}
        self.durable_s: dict[int, float] = {}
        self.admitted = 0
        self.over = threading.Event()  # set from outside, it sends no more

    def prepare(self, batches: int, rows: int, bad_share: float) -> None:
        """Make the messages, but for their times: true values with their meters' noise, `bad_share` of them NaN."""
        chance = np.random.default_rng(len(self._uids))
        self._ahead_us = np.arange(rows) // len(self._uids)  # a signal that comes twice has two times
        for k in range(batches):
            batch = ingest_pb2.IngestRequest.Batch(batch_id=_MARK)
            at = np.arange(k * rows, (k + 1) * rows) % len(self._uids)
            value = self._values[at] + self._sigma[at] * chance.standard_normal(rows)
            value[chance.random(rows) < bad_share] = np.nan
            wire.fill(batch.rows, "signal", self._uids[at])
            wire.fill(batch.rows, "value", value)
            wire.fill(batch.rows, "source_time_us", self._ahead_us)
            self._messages.append(bytearray(ingest_pb2.IngestRequest(batch=batch).SerializeToString()))
            self._times_at = self._messages[-1].rindex(self._ahead_us.tobytes())
            self._id_at = self._messages[-1].index(_MARK.to_bytes(8, "little"))

    def play(self, every_s: float = 0.0, late_s: float = 0.0, seconds: float = 0.0) -> None:
        """Send everything and hear the acks until the service has answered all.

        Args:
            every_s: between two batches; 0 = as fast as the service takes them.
            late_s: how far rows' source times lie before their sending.
            seconds: how long to send, again and again; 0 = everything once.
        """
        begun = time.perf_counter()

        def requests() -> Iterator[bytes]:
            yield self._opening
            for k, message in enumerate(cycle(self._messages) if seconds else self._messages, start=1):
                if self.over.is_set() or (seconds and time.perf_counter() - begun > seconds):
                    return
                if every_s and (wait := begun + k * every_s - time.perf_counter()) > 0:
                    time.sleep(wait)
                self.sent_s[k] = time.perf_counter()
                times = time.time_ns() // 1000 - round(late_s * 1e6) + self._ahead_us
                message[self._id_at : self._id_at + 8] = k.to_bytes(8, "little")
                message[self._times_at : self._times_at + 8 * len(times)] = times.tobytes()
                yield bytes(message)

        for body in self._call(requests()):
            now = time.perf_counter()
            ack = ingest_pb2.IngestResponse.FromString(body).ack
            if ack.level == ingest_pb2.ACK_LEVEL_DURABLE:
                self.admitted += ack.admitted
                self.durable_s[ack.through_batch_id] = now

    def latencies_s(self) -> np.ndarray:
        """(n,) from each batch's sending to the ack that covers it."""
        through = np.array(sorted(self.durable_s))
        at = np.searchsorted(through, list(self.sent_s))
        return np.array([self.durable_s[int(through[a])] - s for a, s in zip(at, self.sent_s.values(), strict=True)])


class Caller:
    """Asks GetTwin again and again beside everything else."""

    def __init__(self, address: str, every_s: float = 0.01) -> None:
        self._stub = catalog_pb2_grpc.CatalogServiceStub(grpc.insecure_channel(address))
        self._every_s = every_s
        self._over = threading.Event()
        self.took_s: list[float] = []
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(self._every_s):
            begun = time.perf_counter()
            self._stub.GetTwin(catalog_pb2.GetTwinRequest(name="twins/-"))
            self.took_s.append(time.perf_counter() - begun)


def ready(processors: set[int]) -> str:
    """How many processes wanted a processor in the last minute: on a machine that others use, figures say less."""
    return f"{os.getloadavg()[0]:.0f} processes ready to run on {len(processors)} processors"


def percentiles(values_s: np.ndarray | list[float]) -> str:
    """p50 / p99 / worst in milliseconds."""
    p50, p99, worst = np.percentile(np.asarray(values_s), [50, 99, 100]) * 1e3
    return f"{p50:.1f} / {p99:.1f} / {worst:.1f} ms"
