"""The client, blocking and asynchronous, against the real servicers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grid_models.state import Position
from tests.edge.memory_twin import BUSES, START_US, MemoryTwin
from tests.waiting import until
from twin.client import AckLevel, AsyncTwinClient, ClientError, Snapshot, TwinClient
from twin.edge.server import EdgeServer

NOW = np.datetime64(START_US, "us")


@pytest.fixture
def blocking(server: EdgeServer) -> TwinClient:
    return TwinClient(f"localhost:{server.port}", reconnect_s=5.0)


def test_importing_the_client_needs_the_base_install_only() -> None:
    heavy = "numba scipy pandapower epanet duckdb typer rich solvers twin.edge"
    code = f"import sys, twin.client; sys.exit(' '.join(m for m in '{heavy}'.split() if m in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


async def test_networks_and_signals_come_back_as_the_core_has_them(core: MemoryTwin, blocking: TwinClient) -> None:
    core.publish()
    with blocking as client:
        assert await asyncio.to_thread(client.network, "mv") == core.networks()[0]
        assert await asyncio.to_thread(client.signals) == core.catalogue.signals
        assert (await asyncio.to_thread(client.issues))[0].startswith("signal 101")


async def test_published_arrays_come_back_from_history(core: MemoryTwin, blocking: TwinClient) -> None:
    def play() -> None:
        with blocking.publish("scada", ["U bus 0", 101]) as stream:
            stream.send([100, 101], [1.0, 1.1], NOW, snapshot=Snapshot.BEGIN)
            second = stream.send([100], [1.01], NOW + 1_000_000, validity=2, flags=4, snapshot=Snapshot.END)
            assert stream.wait(second, AckLevel.DURABLE, timeout_s=5)
            stream.send([999, 100], [1.0, np.inf], NOW)
        assert [(e.signal, e.fault.name) for e in stream.errors] == [(999, "UNKNOWN_SIGNAL"), (100, "NOT_FINITE")]
        assert stream.reached(AckLevel.DURABLE) == 3
        data = blocking.history(["U bus 0"], NOW, NOW + 2_000_000)
        assert data["value"].values.tolist() == [1.0, 1.01]
        assert data["time"].values.tolist() == [t.astype("datetime64[ns]").astype(int) for t in (NOW, NOW + 1_000_000)]
        assert (data["validity"].values.tolist(), data["flags"].values.tolist()) == ([1, 2], [0, 4])

    await asyncio.to_thread(play)
    assert [int(s) for s in core.snapshots] == [1, 2, 0]
    assert core.closed == ["scada"]


async def test_the_window_holds_a_fast_sender_and_loses_nothing(core: MemoryTwin, blocking: TwinClient) -> None:
    def play() -> None:
        with blocking.publish("scada") as stream:
            for k in range(200):
                stream.send([100 + k % 5], [1.0], NOW + k)

    await asyncio.to_thread(play)
    assert core.batches[("scada", next(iter(core.batches))[1])] == 200
    assert sum(len(r) for r in core.kept) == 200


async def test_a_refused_claim_is_an_error_with_code_and_exit_status(core: MemoryTwin, blocking: TwinClient) -> None:
    wrong = core.catalogue.signals[1]
    claim = [replace(wrong, unit="kV")]

    def play() -> None:
        with blocking.publish("scada", claim):
            pass

    with pytest.raises(ClientError, match="signal 101 is not in kV") as caught:
        await asyncio.to_thread(play)
    assert (caught.value.code, caught.value.exit_status) == ("FAILED_PRECONDITION", 2)
    with pytest.raises(ClientError) as caught:
        await asyncio.to_thread(blocking.network, "gas")
    assert (caught.value.code, caught.value.reason) == ("NOT_FOUND", "NotFound")


async def test_nobody_there_is_exit_status_4() -> None:
    client = TwinClient("localhost:1", timeout_s=2.0)
    with pytest.raises(ClientError) as caught:
        await asyncio.to_thread(client.networks)
    assert (caught.value.code, caught.value.exit_status) == ("UNAVAILABLE", 4)


async def test_a_state_is_a_labelled_dataset(core: MemoryTwin, blocking: TwinClient) -> None:
    published = core.publish()
    core.publish()
    data = await asyncio.to_thread(blocking.state, "mv", Position(1, 1), sigma=True, origin=True, residuals=True)
    assert data["bus_vm_pu"].attrs["units"] == "pu"
    assert data["bus"].values.tolist() == [int(b) for b in BUSES]
    np.testing.assert_array_equal(data["bus_vm_pu"], published.state.values["bus_vm_pu"])
    assert data["bus_vm_sigma_pu"].values.tolist() == pytest.approx([0.002] * 5)
    assert data["measurement_suspect"].values.tolist() == [False, True]
    assert data["bus_energised"].dtype == bool
    assert data.attrs["position"] == "1-1"
    part = await asyncio.to_thread(blocking.state, "mv", NOW, ["bus_vm_pu"], {"bus": [4, 0]})
    assert part["bus_vm_pu"].values.tolist() == pytest.approx([1.04, 1.0])
    frames = await asyncio.to_thread(lambda: list(blocking.states("mv", NOW, NOW + 2_000_000)))
    assert [f.position.revision for f in frames] == [1, 2]


async def test_a_watcher_survives_a_restart_of_the_service(core: MemoryTwin, server: EdgeServer) -> None:
    core.publish()
    core.tell()
    async with AsyncTwinClient(f"localhost:{server.port}", reconnect_s=20.0) as client:
        frames, events = client.watch("mv"), client.events()
        assert (await anext(frames)).position == Position(1, 1)
        assert (await anext(events)).sequence == 1
        await server.stop(0.0)
        core.publish()
        core.tell()
        again = EdgeServer(core, f"localhost:{server.port}", heartbeat_s=0.2)
        await again.start()
        try:
            frame = await asyncio.wait_for(anext(frames), 15)
            assert (frame.position, frame.previous) == (Position(1, 2), Position(1, 1))
            assert (await asyncio.wait_for(anext(events), 15)).sequence == 2
        finally:
            await frames.aclose()
            await events.aclose()
            await again.stop(0.0)


async def test_a_publisher_survives_a_restart_of_the_service(core: MemoryTwin, server: EdgeServer) -> None:
    client = AsyncTwinClient(f"localhost:{server.port}", reconnect_s=20.0)
    async with client, client.publish("scada", [100]) as stream:
        await stream.send([100], [1.0], NOW)
        await stream.wait()
        await server.stop(0.0)
        again = EdgeServer(core, f"localhost:{server.port}")
        await again.start()
        for k in range(1, 10):
            await stream.send([100], [1.0], NOW + k)
    assert [r.source_time_us.tolist() for r in core.kept] == [[START_US + k] for k in range(10)]
    await again.stop(0.0)


async def test_a_slow_reader_is_told_what_it_missed(core: MemoryTwin, server: EdgeServer) -> None:
    core.publish()
    async with AsyncTwinClient(f"localhost:{server.port}") as client:
        frames = client.watch("mv", min_interval_s=0.0)
        first = await anext(frames)
        for _ in range(50):
            core.publish()
        seen, last = 0, first.position.revision
        while last < 51:
            frame = await anext(frames)
            assert frame.previous is not None
            assert frame.position.revision - frame.previous.revision == frame.merged + 1
            seen, last = seen + 1, frame.position.revision
        assert seen < 50
        await frames.aclose()


async def test_what_if_and_export(core: MemoryTwin, blocking: TwinClient, tmp_path: Path) -> None:
    core.publish()
    run = await asyncio.to_thread(blocking.what_if, "mv", "[[change]]\nremove = { element = 'line 12' }")
    assert run.status == "SOLVED"
    assert run.violated == ("bus 0: VOLTAGE_BAND",)
    assert run.patched["line"].values.tolist() == [10, 11]
    np.testing.assert_allclose(run.patched["bus_vm_pu"], run.base["bus_vm_pu"] * 0.9)
    patch = "[[change]]\nset = { element = 'load 0', column = 'p_mw', value = 12.5 }"
    path = await asyncio.to_thread(blocking.export, "mv", tmp_path, patch)
    from grid_models.formats import read

    assert path.name == "mv.json"
    assert read(path).tables["load"]["p_mw"][0] == 12.5
    with pytest.raises(ClientError, match="no such load"):
        await asyncio.to_thread(blocking.export, "mv", tmp_path, patch.replace("load 0", "load 99"))


async def test_a_stream_with_a_lease_gives_signs_of_life_by_itself(core: MemoryTwin, server: EdgeServer) -> None:
    def play() -> None:
        with TwinClient(f"localhost:{server.port}") as client, client.publish("slow", lease_s=0.1) as stream:
            stream.wait(stream.send([100], [1.0], NOW))
            until = time.monotonic() + 10
            while core.beats < 3 and time.monotonic() < until:
                time.sleep(0.01)

    await asyncio.to_thread(play)
    heard = core.beats
    assert heard >= 3

    async def beaten() -> bool:
        return core.beats >= heard + 3

    async with AsyncTwinClient(f"localhost:{server.port}") as client, client.publish("slow", lease_s=0.1) as stream:
        await stream.wait(await stream.send([100], [1.0], NOW))
        await until(beaten, 10.0)
    with pytest.raises(ClientError, match="open.lease"):
        async with AsyncTwinClient(f"localhost:{server.port}") as client, client.publish("slow", lease_s=0.01):
            pass


async def test_an_entry_by_hand_comes_back_is_listed_and_withdrawn(
    core: MemoryTwin, server: EdgeServer, blocking: TwinClient
) -> None:
    def play() -> None:
        entry = blocking.enter("U bus 0", 1.02, "operator 7", "read on site", expire=NOW + 3_600_000_000)
        assert (entry.signal, entry.value, entry.author, entry.reason) == (100, 1.02, "operator 7", "read on site")
        assert (entry.start_us, entry.until_us) == (START_US, START_US + 3_600_000_000)
        assert blocking.manual_entries() == (entry,)
        assert blocking.withdraw(entry.entry_id, "operator 8").entry_id == entry.entry_id
        with pytest.raises(ClientError, match="is in force"):
            blocking.withdraw(entry.entry_id, "operator 8")
        for value, author, reason in ((9.0, "a", "b"), (float("nan"), "a", "b"), (1.0, " ", "b"), (1.0, "a", "")):
            with pytest.raises(ClientError) as caught:
                blocking.enter(100, value, author, reason)
            assert caught.value.code == "INVALID_ARGUMENT"

    await asyncio.to_thread(play)
    assert core.manual == []
    async with AsyncTwinClient(f"localhost:{server.port}") as client:
        entry = await client.enter(101, 1.0, "operator 7", "meter is out")
        assert await client.manual_entries() == (entry,)
        assert core.manual[0].request_id
        await client.withdraw(entry.entry_id, "operator 7", "meter is back")
    assert core.manual == []
