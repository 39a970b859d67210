"""Who has no certificate of the right authority gets no answer."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from grid_models.errors import InvalidInput
from tests.edge.memory_twin import MemoryTwin
from twin.client import AsyncTwinClient, ClientError
from twin.edge.server import EdgeServer, tls

PEM = Path(__file__).parent / "certificates"  # made for these tests; their authority's key is thrown away
CA = (PEM / "ca.pem").read_bytes()
OURS = grpc.ssl_channel_credentials(CA, (PEM / "client.key").read_bytes(), (PEM / "client.pem").read_bytes())
NOBODY = grpc.ssl_channel_credentials(CA)


async def asked(port: int, credentials: grpc.ChannelCredentials | None) -> tuple[str, ...]:
    async with AsyncTwinClient(f"localhost:{port}", credentials=credentials, timeout_s=5.0) as client:
        return tuple(n.name for n in await client.networks())


@pytest.mark.parametrize("mutual", [False, True])
async def test_only_whom_the_authority_knows_is_answered(mutual: bool) -> None:
    credentials = tls(PEM / "server.pem", PEM / "server.key", PEM / "ca.pem" if mutual else None)
    edge = EdgeServer(MemoryTwin(), "localhost:0", credentials)
    await edge.start()
    try:
        assert await asked(edge.port, OURS) == ("mv",)
        with pytest.raises(ClientError):
            await asked(edge.port, None)  # plain text
        if mutual:
            with pytest.raises(ClientError):
                await asked(edge.port, NOBODY)
        else:
            assert await asked(edge.port, NOBODY) == ("mv",)
    finally:
        await edge.stop(0.0)


def test_files_that_are_not_there_are_named_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        tls(tmp_path / "a.pem", tmp_path / "b.key", None)
    assert [i.file for i in caught.value.issues] == [str(tmp_path / "a.pem"), str(tmp_path / "b.key")]
