"""A what-if writes nothing live: a twin that is asked many and one that is asked none live the same life, bit for bit.

Both lives take the same batches, each once the states of the one before are out, and the wall's clock stands, so that
whatever differs was made by asking.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grid_models.formats import read
from grid_models.library.water import pumped_tank
from grid_models.scenario import Patch, apply
from solvers.solve import solve
from tests.simulation.small_city import MINUTE_US, NETWORKS, NOON_US, played, settings, started
from twin.chain import digest
from twin.client import AsyncTwinClient
from twin.compare import compare
from twin.edge.server import EdgeServer
from twin.packing import packed
from twin.port import AsOf
from twin.records import read_records
from twin.service import TwinService

MINUTES = 90
CHANGE = '[[change]]\nset = { element = "%s", column = "%s", value = %s }\n'
OPEN_LINE, STOP_PUMP = CHANGE % ("line 2", "in_service", "false"), CHANGE % ("pump lift", "status", '"closed"')


async def ask(client: AsyncTwinClient, minute: int) -> None:
    """Every kind of question to a fork, about now and about a past hour; each must change what it speaks of."""
    past = np.datetime64(NOON_US + (minute - 60) * MINUTE_US, "us")
    for at in (None, past):
        opened = await client.what_if("power", OPEN_LINE, at)
        assert abs(opened.patched["line_loading_percent"][2]) < 1e-9 < abs(opened.base["line_loading_percent"][2])
        stopped = await client.what_if("water", STOP_PUMP, at)
        assert stopped.patched["link_flow_m3_per_s"].sel(link="lift") == 0
    await client.what_if("water", STOP_PUMP, past, 3600.0)


async def seen(service: TwinService, minute: int) -> list[Any]:
    """The newest states and older ones, as a client sees them."""
    asked = [AsOf(NOON_US + t * MINUTE_US) for t in (5, minute)]
    found = [await service.get_state(n, at) for n in NETWORKS for at in asked]
    return [(p.position, digest(p.state)) for p in found]


async def life(folder: Path, monkeypatch: pytest.MonkeyPatch, *, asked: bool) -> dict[str, Any]:
    """Live through the minutes; gives all that was published, written and remembered."""
    monkeypatch.setattr("twin.service.time_ns", lambda: NOON_US * 1000)
    service = await started(settings(folder))
    edge = EdgeServer(service, "localhost:0")
    await edge.start()
    try:
        async with AsyncTwinClient(f"localhost:{edge.port}") as client:
            async for minute in played(service, MINUTES):
                if asked and minute in (70, 85):
                    before = await seen(service, minute)
                    await ask(client, minute)
                    assert await seen(service, minute) == before
        engine = service._engine
        found = {
            "published": [
                (n, p.position, p.known_time_us, p.correction, digest(p.state), packed(p.state.memory))
                for n in NETWORKS
                for p in service._states.publishers[n].kept
            ],
            "events": [packed(e) for e in service._events.events],
            "position": engine._ledger.position,
            "window": packed(engine._window.saved()),
            "chains": packed({c.network: c.saved() for c in engine._chains.values()}),
        }
    finally:
        await edge.stop(0.0)
        await service.stop()
    return found | {"journal": list(read_records(folder / "store"))}


async def test_a_twin_that_is_asked_lives_as_one_that_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = await life(tmp_path / "quiet", monkeypatch, asked=False)
    asked = await life(tmp_path / "asked", monkeypatch, asked=True)
    assert len(quiet["published"]) == MINUTES + MINUTES // 5
    for what, seen in quiet.items():
        assert asked[what] == seen, what


@pytest.mark.parametrize("network", [read("pandapower:case9"), pumped_tank()], ids=NETWORKS)
def test_a_result_does_not_differ_from_itself(network: Any) -> None:
    found = solve(network).unwrap()
    same = compare(found, solve(network).unwrap())
    assert same.empty
    assert (same.violated, same.relieved) == ((), ())
    patch = Patch.from_toml(OPEN_LINE if "bus" in network.tables else STOP_PUMP)
    assert not compare(found, solve(apply(network, patch)).unwrap()).empty
