"""What every simulation may start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.simulation.live import Start


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    starter = Start(tmp_path)
    yield starter
    await starter.stop()
