"""The demo's two networks live, and answer what-if, while every solver of pandapower, EPANET and WNTR raises.

They make the truth and are witnesses in tests; what the twin says at run time comes from its own solvers alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandapower as pp
import pytest
import wntr
import xarray as xr
from epanet import toolkit
from pandapower.estimation import StateEstimation
from pandapower.pypower.newtonpf import newtonpf

from twin.assembly import assemble
from twin.cli import solve
from twin.client import AckLevel, AsyncTwinClient
from twin.config import read_config
from twin.edge.server import EdgeServer
from twin.journal import Journal
from twin.lease import Lease
from twin.service import TwinService

pytest.importorskip("epyt")

from twin.demo import city
from twin.demo.power_truth import PowerTruth
from twin.demo.run import prepare
from twin.demo.scada import MIDNIGHT_US
from twin.demo.water_truth import WaterTruth

PATCH = "[[change]]\nset = { element = '%s', column = '%s', value = %s }\n"
OPEN_LINE = PATCH % ("line 7", "in_service", "false")
STOP_PUMP = PATCH % ("pump PUMP_1", "status", "'closed'")


def refuse(*_arguments: Any, **_options: Any) -> NoReturn:
    raise AssertionError("not our own solver")


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every peer's solver raises, under whatever name it was imported."""
    solvers: list[Callable[..., Any]] = [pp.runpp, pp.rundcpp, pp.powerflow._powerflow, newtonpf, StateEstimation.estimate]
    solvers += [wntr.sim.EpanetSimulator.run_sim, wntr.sim.WNTRSimulator.run_sim]
    solvers += [getattr(toolkit, name) for name in ("openH", "initH", "runH", "nextH", "solveH", "solveQ")]
    for solver in solvers:
        monkeypatch.setattr(solver, "__code__", refuse.__code__)


def readings() -> list[tuple[np.ndarray, np.ndarray]]:
    """(uids, values) of both networks each minute from midnight on."""
    points = city.signals()
    power, water = PowerTruth(1, points, ()), WaterTruth(1, points, ())
    found = []
    for minute in range(6):
        uids, values = power.step(60.0 * minute)
        if minute % 5 == 0:
            more = water.step(60.0 * minute, pump_supplied=True)
            uids, values = np.concatenate([uids, more[0]]), np.concatenate([values, more[1]])
        found.append((uids, values))
    water.close()
    return found


async def test_the_demos_networks_live_without_any_peers_solver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = readings()
    config = read_config(prepare(tmp_path)[0])
    forbid(monkeypatch)
    for solver, project in ((pp.runpp, city.power_net), (toolkit.runH, toolkit.createproject)):
        with pytest.raises(AssertionError, match="not our own"):
            solver(project)
    service = TwinService("city", assemble(config), Lease(config.store), Journal(config.store))
    await service.start()
    edge = EdgeServer(service, "localhost:0")
    await edge.start()
    try:
        async with (
            AsyncTwinClient(f"localhost:{edge.port}") as client,
            client.publish("scada", ack=AckLevel.ESTIMATED) as stream,
        ):
            for minute, (uids, values) in enumerate(read):
                at = np.datetime64(MIDNIGHT_US + minute * 60_000_000, "us")
                batch = await stream.send(uids, values, at)
            await asyncio.wait_for(stream.wait(batch, AckLevel.ESTIMATED), 60)
            for network, patch, column, status in (
                ("power", OPEN_LINE, "line_loading_percent", "DEAD_ISLANDS"),  # its feeder is radial
                ("water", STOP_PUMP, "link_flow_m3_per_s", "SOLVED"),
            ):
                frame = await client.frame(network)
                assert (frame.status, frame.freshness.name) == ("SOLVED", "FRESH")
                run = await client.what_if(network, patch)
                assert run.status == status
                assert np.nanmax(np.abs(run.patched[column] - run.base[column])) > 1e-3
    finally:
        await edge.stop(0.0)
        await service.stop()
    for network in ("power", "water"):
        assert solve.command(str(tmp_path / f"{network}.twin"), tmp_path / f"{network}.nc", duration="1h") == 0
        with xr.open_dataset(tmp_path / f"{network}.nc", engine="h5netcdf") as data:
            assert data.attrs["status"] == "SOLVED"
