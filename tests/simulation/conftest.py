"""What every simulation may start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.simulation.live import Start
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
