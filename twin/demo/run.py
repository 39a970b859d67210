"""Runs the demo: writes the city's files, starts the service and the SCADA, shows the twin, sums up the day."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.table import Table

from grid_models.formats import read, write
from grid_models.formats.pandapower import from_pandapower
from twin.client import ClientError, TwinClient
from twin.demo import city
from twin.demo.judge import Verdict, judge
from twin.demo.scada import MIDNIGHT_US
from twin.demo.view import Screen, clock
from twin.errors import Unavailable
from twin.point_list import write_point_list
from twin.port import TwinEvent

_CONFIG = """\
# The demo's twin; a replayed day carries its own time.
name = "demo-city"
listen = "127.0.0.1:{port}"
store = "store"
signals = "signals.csv"
lateness_s = 300
clock = "stream"

[[networks]]
name = "power"
model = "power.twin"
cycle_s = 60

[[networks]]
name = "water"
model = "water.twin"
cycle_s = 300

[[pumps]]
water = "water"
pump = "PUMP_1"
power = "power"
bus = {bus}
"""
_UP_S = 120.0


def run(folder: Path, seconds: float, seed: int, events: str, console: Console) -> int:
    """Play one day and sum it up.

    Args:
        folder: for settings, models, store; an older demo's store in it is removed.
        seconds: wall time of the day.
        seed: moves place, size and hour of every event.
        events: `all`, `none` or `closure`.
        console: to draw on.

    Returns:
        0 where every event was found, else 1.
    """
    with console.status("preparing the city"):
        config, address = prepare(folder)
    console.print(f"settings in {config}; ask it yourself: twin what-if grpc://{address}/power --patch P.toml --out F.nc")
    # A demo that is told to end takes its service with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    service = Service(config, address)
    screen = Screen()
    scada = None
    try:
        with console.status("starting the service"):
            service.wait()
        readers = [threading.Thread(target=f, args=(screen, address), daemon=True) for f in (_read_power, _read_water)]
        told: list[TwinEvent] = []
        readers.append(threading.Thread(target=_read_events, args=(screen, told, address), daemon=True))
        for reader in readers:
            reader.start()
        log = folder / "truth.json"
        scada = _scada(address, seconds, seed, events, log)
        threading.Thread(target=_read_scada, args=(screen, scada), daemon=True).start()
        _show(screen, scada, service, console)
        if scada.returncode:
            raise Unavailable(f"the simulated SCADA ended with {scada.returncode}; its words are above")
        _settle(screen)
        summed = judge(json.loads(log.read_text()), told)
    finally:
        if scada is not None:
            scada.terminate()
        service.stop()
    summarise(summed, console)
    console.print(f"{screen.scada.get('rows', 0):,.0f} measurements, {screen.frames} states read, epoch {screen.epoch}")
    return 1 if summed.missed else 0


def prepare(folder: Path) -> tuple[Path, str]:
    """Write the city's settings, models and point list; returns the settings' path and the service's address."""
    folder.mkdir(parents=True, exist_ok=True)
    store = folder / "store"
    if store.exists():
        for file in store.iterdir():
            if file.is_file():
                file.unlink()
    write(from_pandapower(city.power_net()), folder / "power.twin")
    write(read(str(city.water_inp())), folder / "water.twin")
    write_point_list(city.signals(), folder / "signals.csv")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "twin.toml"
    config.write_text(_CONFIG.format(port=port, bus=city.PUMP_BUS))
    return config, f"127.0.0.1:{port}"


class Service:
    """The service's process, started again when it dies.

    Args:
        config: its settings.
        address: where it answers.
    """

    def __init__(self, config: Path, address: str) -> None:
        self._config, self._address = config, address
        self._process = self._start()

    def wait(self) -> None:
        """Until it answers.

        Raises:
            Unavailable: it ended, or does not answer in time.
        """
        until = time.monotonic() + _UP_S
        with TwinClient(self._address, reconnect_s=1.0, timeout_s=2.0) as client:
            while time.monotonic() < until:
                if self._process.poll() is not None:
                    said = (self._config.parent / "service.log").read_text().splitlines()[-1:]
                    raise Unavailable(f"the service ended with {self._process.returncode}: {' '.join(said)}")
                try:
                    client.networks()
                except ClientError:
                    time.sleep(0.2)
                else:
                    return
        raise Unavailable(f"the service does not answer on {self._address}")

    def revive(self) -> bool:
        """Start it again if it has died; whether it had."""
        if self._process.poll() is None:
            return False
        self._process = self._start()
        return True

    def stop(self) -> None:
        """Ask it to end, and see that it does."""
        self._process.terminate()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "twin", "serve", "--until-eof", "--config", str(self._config)]
        log = (self._config.parent / "service.log").open("ab")
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)


def _scada(address: str, seconds: float, seed: int, events: str, log: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "twin.demo.scada", address, "--seconds", str(seconds), "--seed", str(seed)]
    command += ["--events", events, "--log", str(log)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _show(screen: Screen, scada: subprocess.Popen[str], service: Service, console: Console) -> None:
    with Live(screen, console=console, refresh_per_second=4, transient=False):
        while scada.poll() is None:
            service.revive()
            time.sleep(0.2)


def _settle(screen: Screen) -> None:
    """Until the newest states have been read: none for two seconds."""
    before = -1
    while screen.frames != before:
        before = screen.frames
        time.sleep(2.0)


def _read_power(screen: Screen, address: str) -> None:
    with TwinClient(address, reconnect_s=60.0) as client:
        for frame in client.watch("power"):
            screen.power = frame
            screen.epoch = frame.position.epoch
            screen.frames += 1
            screen.latency_ms = _behind_ms(screen)


def _read_water(screen: Screen, address: str) -> None:
    with TwinClient(address, reconnect_s=60.0) as client:
        for frame in client.watch("water"):
            screen.water = frame
            screen.frames += 1


def _behind_ms(screen: Screen) -> float:
    """Wall time between the batch that made a state due and its arrival here, as far as both are known."""
    sent = screen.scada.get("sent_s")
    return (time.time() - sent) * 1000.0 if sent else float("nan")


def _read_events(screen: Screen, told: list[TwinEvent], address: str) -> None:
    with TwinClient(address, reconnect_s=60.0) as client:
        for event in client.events(after=0):
            told.append(event)
            if event.alarm_id:
                screen.events.append(event)


def _read_scada(screen: Screen, scada: subprocess.Popen[str]) -> None:
    assert scada.stdout is not None
    for line in scada.stdout:
        screen.scada = json.loads(line)


def summarise(verdict: Verdict, console: Console) -> None:
    """What was injected where and when, what was found, after how long, how many false alarms."""
    table = Table(title="the day in sum", title_justify="left")
    for name in ("injected", "what", "at", "found", "after", "the twin said"):
        table.add_column(name, overflow="fold")  # ids are told whole
    for f in verdict.findings:
        after = "" if np.isnan(f.after_s) else f"{f.after_s / 60:.0f} min"
        at = clock(MIDNIGHT_US + int(f.start_s * 1e6))
        table.add_row(f.code, f.what, at, "yes" if f.found else "NO", after, f.remark, style="" if f.found else "bold red")
    console.print(table if verdict.findings else "a quiet day: nothing was injected")
    if verdict.false_alarms:
        console.print(f"{len(verdict.false_alarms)} false alarms:", style="red")
        for event in verdict.false_alarms:
            console.print(f"  {clock(event.valid_time_us)} {event.code}: {event.message}")
    else:
        console.print("no false alarm", style="green")
