"""The service is killed with -9 while it takes measurements: what was acknowledged is there, and life goes on."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from grid_models.measurements import Signal, SignalKind, Update
from twin.client import AckLevel, TwinClient
from twin.point_list import write_point_list

ROOT = Path(__file__).parents[2]
START = np.datetime64("2026-03-09T00:00", "us")


def point(uid: int, bus: int) -> Signal:
    return Signal(
        uid, f"bus.{bus}.vm", "power", SignalKind.ANALOG, "bus", str(bus), "vm_pu", "", "pu", 1, 0.002, 0.8, 1.2,
        Update.CYCLIC, 300.0, 3600.0,
    )  # fmt: skip


def settings(folder: Path) -> Path:
    write_point_list([point(i + 1, i) for i in range(9)], folder / "signals.csv")
    (folder / "twin.toml").write_text(
        'listen = "127.0.0.1:0"\nsignals = "signals.csv"\nclock = "stream"\nlateness_s = 120\n'
        '[[networks]]\nname = "power"\nmodel = "pandapower:case9"\ncycle_s = 60\n'
    )
    return folder / "twin.toml"


def serve(config: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "twin", "serve", "--config", str(config)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    with process.stdout as said:
        line = said.readline()
    assert "serves power" in line, line
    return process, line.split(" on ")[1].split()[0]


def sockets(process: int) -> set[tuple[str, bool]]:
    """Local port in hex and whether it listens, of every TCP socket of a process."""
    mine = {str(link.readlink()) for link in Path(f"/proc/{process}/fd").iterdir() if link.is_symlink()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if f"socket:[{fields[9]}]" in mine:
                found.add((fields[1].rsplit(":", 1)[1], fields[3] == "0A"))
    return found


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="needs Linux")
def test_the_service_opens_no_connection_to_anybody(tmp_path: Path) -> None:
    """It reads and never commands: whoever wants something of it comes to its one port."""
    process, address = serve(settings(tmp_path))
    try:
        with TwinClient(address) as client, client.publish("scada", epoch=1, ack=AckLevel.ESTIMATED) as stream:
            batch = stream.send(np.arange(1, 10), np.ones(9), START)
            assert stream.wait(batch, AckLevel.ESTIMATED, timeout_s=20)
            client.what_if("power", "")
            port = f"{int(address.rsplit(':', 1)[1]):04X}"
            assert sockets(process.pid) == {(port, True), (port, False)}
    finally:
        process.kill()
        process.wait()


def test_kill_nine(tmp_path: Path) -> None:
    config = settings(tmp_path)
    process, address = serve(config)
    uids, acknowledged = np.arange(1, 10), 0
    try:
        with TwinClient(address, reconnect_s=0.1) as client:
            context = client.publish("scada", epoch=1)
            stream = context.__enter__()
            for minute in range(40):
                batch = stream.send(uids, np.full(9, 1.0 + minute / 1000), START + np.timedelta64(minute, "m"))
                if minute < 30:
                    assert stream.wait(batch, AckLevel.DURABLE, timeout_s=20)
                    acknowledged = minute + 1
            first = client.frame("power")
            os.kill(process.pid, signal.SIGKILL)  # with batches on their way
            process.wait()
            stream.abandon()
        process, address = serve(config)
        with TwinClient(address) as client:
            rows = client.history(uids.tolist(), START, START + np.timedelta64(1, "D"))
            for minute in range(acknowledged):
                at = rows.time.values.astype("datetime64[us]") == START + np.timedelta64(minute, "m")
                assert at.sum() == 9, f"minute {minute} was acknowledged and is lost"
                assert np.allclose(rows.value.values[at], 1.0 + minute / 1000)
            until = time.monotonic() + 20
            while client.networks()[0].ready == "LIVE" and time.monotonic() < until:
                time.sleep(0.1)
            second = client.frame("power")
            assert second.position.epoch == first.position.epoch + 1
            with client.publish("scada", epoch=2, ack=AckLevel.ESTIMATED) as stream:
                batch = stream.send(uids, np.full(9, 1.05), START + np.timedelta64(45, "m"))
                assert stream.wait(batch, AckLevel.ESTIMATED, timeout_s=20)
            assert client.frame("power").valid_time == START + np.timedelta64(45, "m")
    finally:
        process.kill()
        process.wait()


STARTER = """
import sys, time
from pathlib import Path
from twin.demo.run import Service, _scada
folder, port = Path(sys.argv[1]), sys.argv[2]
service = Service(folder / "twin.toml", f"127.0.0.1:{port}")
scada = _scada(f"127.0.0.1:{port}", 600.0, 1, "none", folder / "truth.json")
service.wait()
print(service._process.pid, scada.pid, flush=True)
time.sleep(600)
"""


def test_a_demo_that_is_killed_takes_its_service_and_its_scada_along(tmp_path: Path) -> None:
    pytest.importorskip("epyt")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings(tmp_path)
    text = (tmp_path / "twin.toml").read_text()
    (tmp_path / "twin.toml").write_text(text.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    demo = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path), str(port)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert demo.stdout is not None
    with demo.stdout as said:
        children = [int(pid) for pid in said.readline().split()]
    assert len(children) == 2
    demo.kill()
    demo.wait()
    until = time.monotonic() + 30
    while (left := [pid for pid in children if alive(pid)]) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == []


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
