"""The gRPC server: all services, health, reflection, behind one door."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from grid_models.errors import InvalidInput, Issue
from twin import wire
from twin.api.v1 import (
    catalog_pb2_grpc,
    event_pb2_grpc,
    history_pb2_grpc,
    ingest_pb2_grpc,
    manual_pb2_grpc,
    report_pb2_grpc,
    scenario_pb2_grpc,
    state_pb2_grpc,
)
from twin.edge.catalog import CatalogService
from twin.edge.dispatch import Door
from twin.edge.event import EventService
from twin.edge.history import HistoryService
from twin.edge.ingest import IngestService
from twin.edge.manual import ManualService
from twin.edge.report import ReportService
from twin.edge.scenario import ScenarioService
from twin.edge.silence import HEARTBEAT_S
from twin.edge.state import StateService
from twin.errors import Unavailable
from twin.port import Twin

MESSAGE_BYTES = 4 << 20
SERVICES = tuple(
    f"twin.api.v1.{name}Service" for name in ("Catalog", "Ingest", "State", "Event", "History", "Manual", "Report", "Scenario")
)
_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # a second server on the port fails at once instead of taking half the calls
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)
_HEALTH_EVERY_S = 1.0
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def tls(certificate: Path, key: Path, client_ca: Path | None) -> grpc.ServerCredentials:
    """Credentials from PEM files; with `client_ca` callers must show a certificate of one of its authorities.

    Raises:
        InvalidInput: a file cannot be read; all of them at once.
    """
    read: dict[Path, bytes] = {}
    issues = []
    for path in filter(None, (certificate, key, client_ca)):
        try:
            read[path] = path.read_bytes()
        except OSError as error:
            issues.append(Issue("setting", "tls", (), f"cannot be read: {error.strerror}", file=str(path)))
    if issues:
        raise InvalidInput(issues)
    authorities = None if client_ca is None else read[client_ca]
    return grpc.ssl_server_credentials([(read[key], read[certificate])], authorities, authorities is not None)


class EdgeServer:
    """Serves a twin.

    Args:
        twin: the core.
        address: `host:port`; port 0 takes a free one, see `port`.
        credentials: for TLS; None = plain text, for the loopback and for tests.
        heartbeat_s: silence after which watchers are told that the stream lives.

    Raises:
        Unavailable: the address cannot be bound.
    """

    def __init__(
        self,
        twin: Twin,
        address: str = "localhost:50051",
        credentials: grpc.ServerCredentials | None = None,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._twin = twin
        self._server = grpc.aio.server(interceptors=(Door(),), options=_OPTIONS)
        self._health = health_aio.HealthServicer()
        self._watch: asyncio.Task[None] | None = None
        self.states = StateService(twin, heartbeat_s)
        catalog_pb2_grpc.add_CatalogServiceServicer_to_server(CatalogService(twin), self._server)
        ingest_pb2_grpc.add_IngestServiceServicer_to_server(IngestService(twin), self._server)
        state_pb2_grpc.add_StateServiceServicer_to_server(self.states, self._server)
        event_pb2_grpc.add_EventServiceServicer_to_server(EventService(twin, heartbeat_s), self._server)
        history_pb2_grpc.add_HistoryServiceServicer_to_server(HistoryService(twin), self._server)
        manual_pb2_grpc.add_ManualServiceServicer_to_server(ManualService(twin), self._server)
        report_pb2_grpc.add_ReportServiceServicer_to_server(ReportService(twin), self._server)
        scenario_pb2_grpc.add_ScenarioServiceServicer_to_server(ScenarioService(twin), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        try:
            if credentials is None:
                self.port = int(self._server.add_insecure_port(address))
            else:
                self.port = int(self._server.add_secure_port(address, credentials))
        except RuntimeError as error:
            raise Unavailable(f"cannot listen on {address}: {error}") from error

    async def start(self) -> None:
        """Begin to answer."""
        await self._server.start()
        await self._tell_health()
        self._watch = asyncio.create_task(self._keep_telling())

    async def stop(self, grace_s: float = 2.0) -> None:
        """Take no new call, give running ones `grace_s` seconds, then end them."""
        if self._watch is not None:
            self._watch.cancel()
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)

    async def wait(self) -> None:
        """Until stopped."""
        await self._server.wait_for_termination()

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(_HEALTH_EVERY_S)
            await self._tell_health()

    async def _tell_health(self) -> None:
        """The services live while the process does; a network serves once it has a state."""
        for name in ("", *SERVICES):
            await self._health.set(name, _SERVING)
        for info in self._twin.networks():
            ready = not info.ready.upper().startswith("LIVE")
            name = wire.network_name(self._twin.name, info.name)
            await self._health.set(name, _SERVING if ready else _NOT_SERVING)
