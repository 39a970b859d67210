"""CatalogService: networks, columns, signals."""

# ruff: noqa: N802, ARG002 - names and signatures of the methods are gRPC's.

from __future__ import annotations

import grpc

from grid_models.measurements import Signal
from twin import wire
from twin.api.v1 import catalog_pb2 as pb
from twin.api.v1 import common_pb2
from twin.edge.errors import bad
from twin.edge.requests import child_of, network_of, newest, page, twin_of
from twin.errors import NotFound
from twin.port import NetworkInfo, Twin

_MOST_ISSUES = 1000
_MOST_UID = 2**32 - 1


class CatalogService:
    """Translates the catalogue."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    async def GetTwin(self, request: pb.GetTwinRequest, context: grpc.aio.ServicerContext) -> pb.Twin:
        """The twin and its present troubles."""
        twin_of(self._twin, request.name, "name")
        name = self._twin.name
        answer = pb.Twin(name=f"twins/{name}", catalog_revision=self._twin.catalogue.revision)
        answer.networks.extend(wire.network_name(name, info.name) for info in self._twin.networks())
        for issue in self._twin.check()[:_MOST_ISSUES]:
            answer.issues.add(
                component=issue.component, field=issue.field, ids=[str(i) for i in issue.ids], message=issue.message
            )
        return answer

    async def ListNetworks(self, request: pb.ListNetworksRequest, context: grpc.aio.ServicerContext) -> pb.ListNetworksResponse:
        """All networks, without element ids."""
        twin_of(self._twin, request.parent, "parent")
        size, start = page(request.page_size, request.page_token, default=100, largest=1000)
        infos = self._twin.networks()
        answer = pb.ListNetworksResponse(next_page_token=str(start + size) if start + size < len(infos) else "")
        answer.networks.extend(self._network(info, ids=False) for info in infos[start : start + size])
        return answer

    async def GetNetwork(self, request: pb.GetNetworkRequest, context: grpc.aio.ServicerContext) -> pb.Network:
        """One network with its columns and element ids."""
        return self._network(network_of(self._twin, request.name, "name"), ids=True)

    async def ListSignals(self, request: pb.ListSignalsRequest, context: grpc.aio.ServicerContext) -> pb.ListSignalsResponse:
        """Signals in the order of their uid."""
        twin_of(self._twin, request.parent, "parent")
        size, after = page(request.page_size, request.page_token, default=1000, largest=10_000)
        network = network_of(self._twin, request.network).name if request.network else ""
        catalogue = self._twin.catalogue
        # A token is the first uid of its page.
        rest = [s for s in catalogue.signals if s.uid >= after and network in ("", s.network)]
        answer = pb.ListSignalsResponse(catalog_revision=catalogue.revision)
        answer.signals.extend(self._signal(s) for s in rest[:size])
        if len(rest) > size:
            answer.next_page_token = str(rest[size].uid)
        return answer

    async def GetSignal(self, request: pb.GetSignalRequest, context: grpc.aio.ServicerContext) -> pb.Signal:
        """One signal."""
        uid = child_of(self._twin, request.name, "signals", "name")
        if not (uid.isascii() and uid.isdigit() and len(uid) <= 10 and int(uid) <= _MOST_UID):
            raise bad("name", f"must end in a uid, 0 to {_MOST_UID}, ends in {uid!r}")
        for signal in self._twin.catalogue.signals:
            if signal.uid == int(uid):
                return self._signal(signal)
        raise NotFound(f"no signal {uid}")

    def _network(self, info: NetworkInfo, *, ids: bool) -> pb.Network:
        answer = pb.Network(
            name=wire.network_name(self._twin.name, info.name),
            kind=info.kind,
            model_revision=info.model_revision,
            cycle=wire.duration(info.cycle_s),
            ready=info.ready,
        )
        for dimension, labels in info.dims.items():
            answer.dimensions.add(name=dimension, ids=labels if ids else (), size=len(labels))
        for column, (dimension, unit, text) in info.columns.items():
            answer.columns.add(name=column, dimension=dimension, unit=unit, text=text)
        published = newest(self._twin, info.name)
        if published is not None:
            answer.position.CopyFrom(common_pb2.Position(epoch=published.epoch, revision=published.revision))
        return answer

    def _signal(self, signal: Signal) -> pb.Signal:
        return pb.Signal(
            name=f"twins/{self._twin.name}/signals/{signal.uid}",
            uid=signal.uid,
            display_name=signal.name,
            network=wire.network_name(self._twin.name, signal.network),
            kind=pb.SignalKind.Name(signal.kind),
            table=signal.table,
            element=signal.element,
            quantity=signal.quantity,
            side=signal.side,
            unit=signal.unit,
            sign=signal.sign,
            sigma=signal.sigma,
            lower=signal.lower,
            upper=signal.upper,
            update=pb.Update.Name(signal.update),
            ttl=wire.duration(signal.ttl_s),
            hold=wire.duration(signal.hold_s),
        )
