"""EventService: alarms, leaks, corrections, gap-free."""

# ruff: noqa: N802, ARG002 - names and signatures of the methods are gRPC's.

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc

from twin import wire
from twin.api.v1 import event_pb2 as pb
from twin.edge.errors import bad
from twin.edge.frames import place
from twin.edge.requests import child_of, network_of, page, twin_of
from twin.edge.silence import HEARTBEAT_S, with_beats
from twin.port import Twin, TwinEvent

_MOST_AUTHOR = 200
_MOST_COMMENT = 2000


class EventService:
    """Translates events."""

    def __init__(self, twin: Twin, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._twin = twin
        self._heartbeat_s = heartbeat_s

    async def WatchEvents(
        self, request: pb.WatchEventsRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchEventsResponse]:
        """Past events, Sync, then live ones."""
        twin_of(self._twin, request.twin, "twin")
        if request.live_only and request.after_sequence:
            raise bad("live_only", "excludes after_sequence")
        newest = self._twin.event_sequence
        after = newest if request.live_only else request.after_sequence
        if after > newest:
            raise bad("after_sequence", f"is {after}; the newest event is {newest}")
        async with aclosing(with_beats(self._twin.watch_events(after), self._heartbeat_s)) as events:
            synced = after == newest
            if synced:
                yield _sync(newest)
            async for event in events:
                if event is None:
                    yield _heartbeat(self._twin.event_sequence)
                    continue
                yield pb.WatchEventsResponse(event=self._event(event))
                if not synced and event.sequence >= newest:
                    synced = True
                    yield _sync(event.sequence)

    async def ListEvents(self, request: pb.ListEventsRequest, context: grpc.aio.ServicerContext) -> pb.ListEventsResponse:
        """Past events in order."""
        twin_of(self._twin, request.parent, "parent")
        size, after = page(request.page_size, request.page_token, default=100, largest=1000)
        network = network_of(self._twin, request.network).name if request.network else ""
        newest = self._twin.event_sequence
        answer = pb.ListEventsResponse()
        if after >= newest:
            return answer
        async with aclosing(self._twin.watch_events(after)) as events:  # type: ignore[type-var]  # generators close
            async for event in events:
                if network in ("", event.network):
                    answer.events.append(self._event(event))
                if event.sequence >= newest:
                    break
                if len(answer.events) == size:
                    answer.next_page_token = str(event.sequence)
                    break
        return answer

    async def AcknowledgeEvent(self, request: pb.AcknowledgeEventRequest, context: grpc.aio.ServicerContext) -> pb.Event:
        """An operator has seen the alarm."""
        alarm = child_of(self._twin, request.alarm, "alarms", "alarm")
        if not 0 < len(request.author) <= _MOST_AUTHOR:
            raise bad("author", f"must have 1 to {_MOST_AUTHOR} characters")
        if len(request.comment) > _MOST_COMMENT:
            raise bad("comment", f"must have at most {_MOST_COMMENT} characters")
        return self._event(await self._twin.acknowledge(alarm, request.author, request.comment))

    def _event(self, event: TwinEvent) -> pb.Event:
        twin = self._twin.name
        answer = pb.Event(
            name=f"twins/{twin}/events/{event.sequence}",
            sequence=event.sequence,
            position=place(event.position),
            valid_time=wire.timestamp(event.valid_time_us),
            known_time=wire.timestamp(event.known_time_us),
            kind=pb.EventKind.Name(event.kind),
            transition=pb.Transition.Name(event.transition),
            alarm=f"twins/{twin}/alarms/{event.alarm_id}" if event.alarm_id else "",
            code=event.code,
            network=wire.network_name(twin, event.network) if event.network else "",
            elements=event.elements,
            message=event.message,
            cause=f"twins/{twin}/alarms/{event.cause}" if event.cause else "",
            figures=event.figures,
        )
        for c in event.candidates:
            answer.candidates.add(
                element=c.element, probability=c.probability, flow_m3_per_h=c.flow_m3_per_h, distance_m=c.distance_m
            )
        for e in event.evidence:
            report = f"twins/{twin}/reports/{e.report}" if e.report else ""
            answer.evidence.add(signal=e.signal, report=report, sigma=e.sigma, unit=e.unit, trace=e.trace, text=e.text)
        return answer


def _sync(sequence: int) -> pb.WatchEventsResponse:
    return pb.WatchEventsResponse(sync=pb.WatchEventsResponse.Sync(sequence=sequence))


def _heartbeat(sequence: int) -> pb.WatchEventsResponse:
    now = wire.timestamp(time.time_ns() // 1000)
    return pb.WatchEventsResponse(heartbeat=pb.WatchEventsResponse.Heartbeat(sequence=sequence, server_time=now))
