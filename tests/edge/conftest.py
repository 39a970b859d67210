from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest

from tests.edge.memory_twin import MemoryTwin
from twin.edge.server import EdgeServer


@pytest.fixture
async def core() -> MemoryTwin:
    return MemoryTwin()


@pytest.fixture
async def server(core: MemoryTwin) -> AsyncIterator[EdgeServer]:
    edge = EdgeServer(core, "localhost:0", heartbeat_s=0.2)
    await edge.start()
    yield edge
    await edge.stop(grace_s=0.0)


@pytest.fixture
async def channel(server: EdgeServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"localhost:{server.port}") as opened:
        yield opened
