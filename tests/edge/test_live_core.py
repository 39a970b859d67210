"""The edge on the real core: what a utility sends comes back as an estimated state, over the wire."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from grid_models.formats import read
from grid_models.measurements import Signal, SignalKind, Update
from solvers.power.load_flow import load_flow
from solvers.solve import solve
from tests.edge.test_hostile_bodies import METHODS, allowed, answer, fuzzed
from twin import what_if
from twin.api.v1 import scenario_pb2_grpc
from twin.assembly import assemble
from twin.client import AckLevel, AsyncTwinClient, ClientError, requests
from twin.config import Config, NetworkConfig
from twin.edge.server import EdgeServer
from twin.journal import Journal
from twin.lease import Lease
from twin.point_list import write_point_list
from twin.service import TwinService

START = np.datetime64("2026-11-21T12:00:00", "us")
SECOND = np.timedelta64(1_000_000, "us")


def points() -> list[Signal]:
    """Voltage at each bus of case9, and what its three loads draw."""

    def point(uid: int, table: str, element: int, quantity: str, unit: str, sigma: float) -> Signal:
        return Signal(
            uid, f"{table} {element} {quantity}", "mv", SignalKind.ANALOG, table, str(element), quantity, "", unit, 1,
            sigma, -1e6, 1e6, Update.CYCLIC, 30.0, 900.0,
        )  # fmt: skip

    signals = [point(1 + k, "bus", k, "vm_pu", "pu", 0.002) for k in range(9)]
    for k in range(3):
        signals += [point(20 + k, "load", k, "p_mw", "MW", 1.0), point(30 + k, "load", k, "q_mvar", "Mvar", 1.0)]
    return signals


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[TwinService]:
    write_point_list(points(), tmp_path / "points.csv")
    config = Config(
        signals=tmp_path / "points.csv",
        store=tmp_path / "store",
        clock="stream",
        lateness_s=0.0,
        networks=(NetworkConfig(name="mv", model="pandapower:case9"),),
    )
    twin = TwinService("city", assemble(config), Lease(config.store), Journal(config.store))
    await twin.start()
    yield twin
    await twin.stop()


@pytest.fixture
async def edge(service: TwinService) -> AsyncIterator[EdgeServer]:
    server = EdgeServer(service, "localhost:0")
    await server.start()
    yield server
    await server.stop(0.0)


@pytest.fixture
async def client(edge: EdgeServer) -> AsyncIterator[AsyncTwinClient]:
    async with AsyncTwinClient(f"localhost:{edge.port}") as connected:
        yield connected


def readings() -> tuple[np.ndarray, np.ndarray]:
    """Signals, and what case9's load flow gives for them, voltages first."""
    network = read("pandapower:case9")
    truth = load_flow(network).unwrap()
    vm = np.abs(truth.v)[truth.model.node_bus[:9]]
    loads = network.tables["load"]
    value = np.concatenate([vm, np.stack([loads["p_mw"], loads["q_mvar"]], axis=1).ravel()])
    return np.array([s.uid for s in points()]), value


async def test_measurements_become_a_state_that_agrees_with_them(client: AsyncTwinClient, tmp_path: Path) -> None:
    signal, value = readings()
    vm = value[:9]
    frames = client.watch("mv", sigma=True, residuals=True)
    async with client.publish("scada", ack=AckLevel.ESTIMATED) as stream:
        with pytest.raises(ClientError) as caught:
            await client.state("mv")
        assert caught.value.code == "NOT_FOUND"
        for k in range(4):
            await stream.send(signal, value, START + k * SECOND)
        await asyncio.wait_for(stream.wait(1, AckLevel.ESTIMATED), 30)
        frame = await asyncio.wait_for(anext(frames), 30)
        assert stream.errors == []
    np.testing.assert_allclose(frame.values["bus_vm_pu"], vm, atol=1e-3)  # half a sigma of the meters
    assert frame.residuals is not None
    assert set(frame.residuals.signal.tolist()) <= set(signal.tolist())
    history = await client.history([1], START, START + 4 * SECOND)
    assert history["value"].values.tolist() == [vm[0]] * 4
    again = await client.frame("mv", frame.position)
    np.testing.assert_array_equal(again.values["bus_vm_pu"], frame.values["bus_vm_pu"])
    await frames.aclose()
    # A what-if equals the load flow of the exported, patched file, and nothing live has changed.
    patch = "[[change]]\nscale = { element = 'load *', column = 'p_mw', factor = 1.1 }"
    run = await client.what_if("mv", patch)
    solved = load_flow(read(await client.export("mv", tmp_path, patch))).unwrap()
    assert run.status == "SOLVED"
    np.testing.assert_allclose(run.patched["bus_vm_pu"], np.abs(solved.v)[solved.model.node_bus[:9]], atol=1e-8)
    assert np.abs(run.patched["line_loading_percent"] - run.base["line_loading_percent"]).max() > 1.0
    # The newest state may be of a later second than the watched one: same measurements, another starting point.
    live = await client.frame("mv")
    np.testing.assert_allclose(live.values["bus_vm_pu"], frame.values["bus_vm_pu"], atol=1e-9)


async def test_hostile_bodies_get_listed_codes_from_the_real_core(edge: EdgeServer) -> None:
    chance = random.Random(2)
    async with grpc.aio.insecure_channel(f"localhost:{edge.port}") as channel:
        for method in METHODS:
            for _ in range(8):
                bodies = [fuzzed(method.input_type, chance).SerializeToString() for _ in range(2)]
                assert await answer(channel, method, bodies, patience_s=0.05) in allowed(method), method.full_name


async def test_a_publisher_of_nonsense_is_answered_row_by_row(client: AsyncTwinClient) -> None:
    async with client.publish("chaos") as stream:
        await stream.send([1, 77, 2, 3], [np.nan, 1.0, 1e9, 1.0], START, validity=[1, 1, 1, 0], flags=[0, 0, 0, 255])
        await stream.send([], [])
        await stream.send([1, 2, 3], [1.0, 1.0])
        last = await stream.send([1, 2], [1.0, 1.0], START, sequence=[5, 6, 7])
        await stream.wait(last)
    assert {(e.row, e.fault.name) for e in stream.errors if e.row < 4} >= {
        (0, "NOT_FINITE"), (1, "UNKNOWN_SIGNAL"), (3, "BAD_QUALITY"),
    }  # fmt: skip
    assert [batch for batch, _ in stream.refusals] == [last - 1, last]
    history = await client.history([2], START, START + SECOND)
    assert (history["value"].values.tolist(), history["validity"].values.tolist()) == ([1e9], [2])


async def test_a_what_if_that_nobody_waits_for_stops_computing(
    client: AsyncTwinClient, service: TwinService, edge: EdgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By cancelling the call or by its deadline: the run ends CANCELLED with load flows not done."""
    begun, ended = asyncio.Event(), list[tuple[str, int]]()
    loop, changes = asyncio.get_running_loop(), 3_000  # a second is too short for them on any machine

    def watched(*arguments: Any, **options: Any) -> Any:
        loop.call_soon_threadsafe(begun.set)
        solution = solve(*arguments, **options)
        ended.append((solution.status.name, solution.value.sizes.get("time", 1)))
        return solution

    monkeypatch.setattr(what_if, "solve", watched)
    async with client.publish("scada", ack=AckLevel.ESTIMATED) as stream:
        signal, value = readings()
        # Nothing was estimated yet: there is nothing to fork, which is no fault of ours.
        first = await stream.send(signal, np.where(signal < 20, value, 1e5), START)
        await stream.wait(first, AckLevel.ESTIMATED)
        with pytest.raises(ClientError) as caught:
            await client.what_if("mv", "")
        assert caught.value.code == "FAILED_PRECONDITION"
        await stream.wait(await stream.send(signal, value, START + SECOND), AckLevel.ESTIMATED)
    long = "".join(
        f"[[change]]\nafter = '{k}s'\nscale = {{ element = 'load *', column = 'p_mw', factor = 1.0001 }}\n"
        for k in range(1, changes)
    )
    asking = asyncio.create_task(client.what_if("mv", long, duration_s=3600.0))
    await asyncio.wait_for(begun.wait(), 30)
    asking.cancel()
    async with grpc.aio.insecure_channel(f"localhost:{edge.port}") as channel:
        stub, request = (
            scenario_pb2_grpc.ScenarioServiceStub(channel),
            requests.what_if("twins/-/networks/mv", long, None, 3600.0),
        )
        with pytest.raises(grpc.aio.AioRpcError) as late:
            async for _ in stub.RunWhatIf(request, timeout=1.0):
                pass
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    short = await client.what_if("mv", "")  # there is one worker: the others are out of its way
    assert short.status == "SOLVED"
    assert [status for status, _ in ended] == ["CANCELLED", "CANCELLED", "SOLVED", "SOLVED"][-len(ended) :]
    assert len(ended) >= 3  # the second one may have waited for the worker until its deadline
    assert max(instants for status, instants in ended if status == "CANCELLED") < changes
