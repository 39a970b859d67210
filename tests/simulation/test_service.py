"""The service on a real store: what is acknowledged is there, and what is asked is answered."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from grid_models.measurements import TimeQuality
from grid_models.state import Freshness
from tests.simulation.live import Start, history, play, reached
from tests.simulation.small_twin import SECOND, T0, claim, parts, rows
from twin.errors import NotFound
from twin.port import AckLevel, AsOf, Batch, EventKind


async def test_a_row_is_read_right_after_it_is_durable_and_once_after_it_is_sealed(start: Start) -> None:
    twin = await start()
    stream = await twin.open_publisher(claim())
    await stream.submit(Batch(1, rows((1, 0, 5.0), (1, 1, 6.0))))
    await reached(stream, AckLevel.DURABLE, 1)
    assert await history(twin) == [5, 6]
    twin._history.seal()
    assert twin._history.archive.sealed.revision > 0
    assert await history(twin) == [5, 6]
    await stream.submit(Batch(2, rows((1, 2, 7.0))))
    await reached(stream, AckLevel.DURABLE, 2)
    assert await history(twin) == [5, 6, 7]
    timeless = rows((1, 0, 8.0), quality=TimeQuality.NONE)
    await stream.submit(Batch(3, timeless))
    await reached(stream, AckLevel.DURABLE, 3)
    assert await history(twin) == [5, 6, 7, 8]


async def test_a_late_row_is_announced_and_known_time_tells_the_states_apart(start: Start) -> None:
    twin = await start()
    stream = await play(twin, 0, 10)
    old = await twin.get_state("power", AsOf(T0 + 5 * SECOND))
    await stream.submit(Batch(11, rows((2, 5, 7.0))))
    await reached(stream, AckLevel.ESTIMATED, 11)
    new = await twin.get_state("power", AsOf(T0 + 5 * SECOND))
    assert (old.state.values["x"][1], new.state.values["x"][1]) == (0, 7)
    assert new.correction
    assert (await twin.get_state("power", old.position)).state is old.state
    event = await asyncio.wait_for(anext(twin.watch_events(0)), 5)
    assert (event.kind, event.network) == (EventKind.CORRECTION, "power")


async def test_an_estimator_that_raises_gives_a_stale_state_and_the_others_go_on(start: Start) -> None:
    broken = parts()
    power, water = broken.estimators["power"], broken.estimators["water"]
    power.broken_at |= {T0 + 3 * SECOND}  # type: ignore[attr-defined]
    water.broken_at |= {T0}  # type: ignore[attr-defined]
    twin = await start(broken)
    await play(twin, 0, 8)
    stale = await twin.get_state("power", AsOf(T0 + 3 * SECOND))
    assert stale.state.freshness is Freshness.STALE
    assert stale.state.values["x"][0] == (await twin.get_state("power", AsOf(T0 + 2 * SECOND))).state.values["x"][0]
    assert (await twin.get_state("power", None)).state.freshness is Freshness.FRESH
    assert twin.position("water").revision > 0


async def test_nothing_yet_is_said_by_name(start: Start) -> None:
    twin = await start()
    with pytest.raises(NotFound, match="waits for its first measurements"):
        await twin.get_state("power", None)
    with pytest.raises(NotFound, match="no network gas"):
        await twin.get_state("gas", None)
    assert np.all([n.ready == "LIVE" for n in twin.networks()])
