"""StateService: states now, live, and past."""

# ruff: noqa: N802, ARG002 - names and signatures of the methods are gRPC's.

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc

from grid_models.state import Position
from twin import wire
from twin.api.v1 import state_pb2 as pb
from twin.edge.frames import Frames, place
from twin.edge.requests import at, interval, network_of, newest, optional_instant, position, span
from twin.edge.selection import Selected, selected, topology
from twin.edge.silence import HEARTBEAT_S, with_beats
from twin.port import NetworkInfo, PublishedState, Twin

_LONGEST_INTERVAL_S = 3600.0


class _View:
    """One reader's selection of one network, and the model revision whose ids it has been told."""

    def __init__(self, twin: Twin, name: str, selection: pb.Selection, frames: Frames) -> None:
        self._twin = twin
        self._frames = frames
        self._told = ""
        self.info: NetworkInfo = network_of(twin, name)
        self.selected: Selected = frames.shared(selected(selection, self.info))

    def newest(self) -> Position | None:
        """The newest published position, None before the first."""
        return newest(self._twin, self.info.name)

    def topology(self, published: PublishedState) -> bytes | None:
        """The ids as a response whose field 2 is a Topology, where the reader does not have them yet."""
        revision = published.state.model_revision
        if revision == self._told:
            return None
        if revision != self.info.model_revision:
            self.info = next(i for i in self._twin.networks() if i.name == self.info.name)
        self._told = revision
        return wire.delimited(2, (topology(revision, self.selected.dims(self.info)).SerializeToString(),))

    def messages(self, published: PublishedState, previous: Position | None = None, merged: int = 0) -> list[bytes]:
        """Topology where needed, then the parts of the frame."""
        ids = self.topology(published)
        parts = self._frames.messages(self._twin.name, self.info, published, self.selected, previous, merged)
        return [*([ids] if ids is not None else []), *parts]


class StateService:
    """Translates states. Responses are bytes already: see `twin.edge.frames`."""

    def __init__(self, twin: Twin, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._twin = twin
        self._heartbeat_s = heartbeat_s
        self.frames = Frames()

    async def GetState(self, request: pb.GetStateRequest, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        """Topology, then the parts of one frame."""
        view = _View(self._twin, request.network, request.selection, self.frames)
        published = await self._twin.get_state(view.info.name, at(request.at))
        for message in view.messages(published):
            yield message

    async def WatchStates(self, request: pb.WatchStatesRequest, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        """The newest state if there is one, Sync, then every later one; the core merges what a slow reader misses."""
        view = _View(self._twin, request.network, request.selection, self.frames)
        shortest_s = span(request, "min_interval", _LONGEST_INTERVAL_S)
        resume = position(request.resume_after) if request.HasField("resume_after") else None
        newest = view.newest()
        synced = newest is None or resume == newest
        deliveries = self._twin.watch_states(view.info.name, resume, shortest_s)
        async with aclosing(with_beats(deliveries, self._heartbeat_s)) as coming:
            if synced:
                yield _sync(newest)
            async for delivery in coming:
                if delivery is None:
                    yield _heartbeat(view.newest())
                    continue
                for message in view.messages(delivery.published, delivery.previous, delivery.merged):
                    yield message
                if not synced:
                    synced = True
                    yield _sync(delivery.published.position)

    async def ReadStates(self, request: pb.ReadStatesRequest, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        """Every kept state of a span of valid time."""
        view = _View(self._twin, request.network, request.selection, self.frames)
        start, end = interval(request)
        known = optional_instant(request, "known_time")
        previous: Position | None = None
        async for published in self._twin.read_states(view.info.name, start, end, known):
            for message in view.messages(published, previous):
                yield message
            previous = published.position


def _sync(at_position: Position | None) -> bytes:
    sync = pb.WatchStatesResponse.Sync(position=place(at_position))
    return bytes(pb.WatchStatesResponse(sync=sync).SerializeToString())


def _heartbeat(newest: Position | None) -> bytes:
    beat = pb.WatchStatesResponse.Heartbeat(position=place(newest), server_time=wire.timestamp(time.time_ns() // 1000))
    return bytes(pb.WatchStatesResponse(heartbeat=beat).SerializeToString())
