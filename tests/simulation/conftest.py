"""What every simulation may start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.simulation.life import Life
from tests.simulation.live import Start
from tests.simulation.scada_life import batches
from tests.simulation.searched_town import World, town, world_in
from twin.warm import take_once


@pytest.fixture(scope="session", autouse=True)
def rehearsed() -> None:
    """As a service does before it answers: waits in these tests are for its work, not for a compiler."""
    take_once()


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    starter = Start(tmp_path)
    yield starter
    await starter.stop()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A small town with leaks, what its history teaches, and what `twin leaks` finds in it."""
    return world_in(tmp_path_factory.mktemp("search"))


@pytest.fixture(scope="session")
def lived(world: World) -> Life:
    """A twin that searched, live, the weeks of that town."""
    return Life(town(world, "live")).through(batches(world.scada, world.learnt.sensors))
