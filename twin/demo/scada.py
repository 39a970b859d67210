"""The simulated SCADA: a process of its own that plays the hidden truth's day to the twin over gRPC.

    python -m twin.demo.scada ADDRESS --seconds 120 --seed 1 --log truth.json

It tells its progress as JSON lines on stdout. What really happened goes to the log, for the summary after the day.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from grid_models.formats import read
from twin.client import AckLevel, TwinClient
from twin.demo import city
from twin.demo.power_truth import PowerTruth
from twin.demo.schedule import DAY_S, Disturbance, closure, schedule
from twin.demo.water_truth import STEP_S, WaterTruth, felt_closures
from twin.end_of_input import at_end_of_input

POWER_STEP_S = 60
_FELT_SIGMAS = 5.0  # of some pressure sensor, from which on a closed pipe has to be named
MIDNIGHT_US = 1_773_014_400_000_000  # Monday 2026-03-09 00:00 UTC: the networks' weekly patterns begin on Monday


def main() -> None:
    """Play one day."""
    parser = argparse.ArgumentParser(description="play the demo city's day to a twin")
    parser.add_argument("address")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--events", choices=("all", "none", "closure"), default="all")
    parser.add_argument("--log", type=Path, required=True)
    options = parser.parse_args()
    at_end_of_input(lambda: os._exit(1))  # the demo has ended, or was killed
    warnings.simplefilter("ignore")  # pandapower's advice is for its users, not for the demo's
    signals = city.signals()
    pipes = read(str(city.water_inp())).tables["pipe"]
    events: tuple[Disturbance, ...] = ()
    if options.events == "all":
        events = schedule(options.seed, signals, tuple(pipes.index), pipes["length_m"])
    elif options.events == "closure":
        events = (closure(options.seed, felt_closures(signals, _FELT_SIGMAS)),)
    Day(options.address, options.seconds, options.seed, events, options.log).play()


class Day:
    """One day of the city.

    Args:
        address: of the twin.
        seconds: of wall time that the day may take; it takes longer where the machine cannot keep up.
        seed: of all disturbances.
        events: what goes wrong.
        log: where the truth is written.
    """

    def __init__(self, address: str, seconds: float, seed: int, events: tuple[Disturbance, ...], log: Path) -> None:
        signals = city.signals()
        self._address, self._seconds, self._events, self._log = address, seconds, events, log
        self._power = PowerTruth(seed, signals, events)
        self._water = WaterTruth(seed, signals, events)
        self._overloaded: dict[str, list[tuple[int, float]]] = {}
        self._switch = {s.uid for s in signals if s.kind.name == "SWITCH"}
        self._last: dict[int, float] = {}

    def play(self) -> None:
        """Publish every instant of the day, then write down what really happened."""
        begun, rows, slowest = time.monotonic(), 0, 0.0
        with TwinClient(self._address, reconnect_s=60.0) as client, client.publish("scada", ack=AckLevel.DURABLE) as stream:
            for t_s in range(0, DAY_S + 1, POWER_STEP_S):
                uids, values = self._measure(t_s)
                sent = time.monotonic()
                batch = stream.send(uids, values, np.datetime64(MIDNIGHT_US + t_s * 1_000_000, "us"))
                rows += len(uids)
                if t_s % 600 == 0:
                    stream.wait(batch, AckLevel.DURABLE)
                    slowest = time.monotonic() - sent
                    self._tell(t_s, rows, rows / (time.monotonic() - begun), slowest)
                due = begun + self._seconds * t_s / DAY_S
                time.sleep(max(0.0, due - time.monotonic()))
            stream.wait(None, AckLevel.DURABLE)
            # The estimates of the last instants are still under way when everything is durable.
            time.sleep(1.0)
        self._water.close()
        self._write()

    def _measure(self, t_s: int) -> tuple[np.ndarray, np.ndarray]:
        self._power.pump_running = self._water.pump_running if t_s else True
        uids, values = self._power.step(t_s)
        for element, loading in self._power.overloaded().items():
            self._overloaded.setdefault(element, []).append((t_s, loading))
        if t_s % STEP_S == 0:
            more = self._water.step(t_s, self._power.pump_supplied)
            uids, values = np.concatenate([uids, more[0]]), np.concatenate([values, more[1]])
        # Switches report by exception: at the beginning, and when they move.
        news = np.array([u not in self._switch or self._last.get(u) != v for u, v in zip(uids, values, strict=True)])
        self._last.update((int(u), float(v)) for u, v in zip(uids, values, strict=True))
        return uids[news], values[news]

    def _tell(self, t_s: int, rows: int, rate: float, durable_s: float) -> None:
        line = {"t_s": t_s, "rows": rows, "rows_per_s": round(rate), "durable_ms": round(durable_s * 1000, 1)}
        line["sent_s"] = time.time()
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    def _write(self) -> None:
        events = [
            {"code": e.code, "element": e.element, "start_s": e.start_s, "end_s": e.end_s, "size": e.size} for e in self._events
        ]
        self._log.write_text(json.dumps({"events": events, "overloaded": self._overloaded}))


if __name__ == "__main__":
    main()
