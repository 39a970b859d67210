"""The asynchronous client: the methods of `TwinClient`, awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import xarray as xr

from grid_models.measurements import Signal
from grid_models.state import Position
from twin.api.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    event_pb2_grpc,
    history_pb2_grpc,
    ingest_pb2_grpc,
    manual_pb2,
    manual_pb2_grpc,
    report_pb2,
    report_pb2_grpc,
    scenario_pb2,
    scenario_pb2_grpc,
    state_pb2,
    state_pb2_grpc,
)
from twin.client import requests, results
from twin.client.aio_publication import AsyncPublication
from twin.client.channel import OPTIONS, Patience
from twin.client.errors import ClientError, translated
from twin.client.frames import Assembler, Described, Frame
from twin.client.publication import Ledger, chosen
from twin.client.requests import Base, Elements, Instant
from twin.field_report import FieldReport
from twin.port import Ack, AckLevel, ManualEntry, NetworkInfo, TwinEvent


class AsyncTwinClient:
    """Talks to a twin's service from an event loop; arguments and methods as `TwinClient`."""

    def __init__(
        self,
        address: str = "localhost:50051",
        *,
        twin: str = "-",
        credentials: grpc.ChannelCredentials | None = None,
        reconnect_s: float = 60.0,
        timeout_s: float = 30.0,
    ) -> None:
        self._twin = twin
        self._reconnect_s = reconnect_s
        self._timeout_s = timeout_s
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(address, credentials, options=OPTIONS)
        self._catalog = catalog_pb2_grpc.CatalogServiceStub(self._channel)
        self._states = state_pb2_grpc.StateServiceStub(self._channel)
        self._events = event_pb2_grpc.EventServiceStub(self._channel)
        self._history = history_pb2_grpc.HistoryServiceStub(self._channel)
        self._manual = manual_pb2_grpc.ManualServiceStub(self._channel)
        self._reports = report_pb2_grpc.ReportServiceStub(self._channel)
        self._scenarios = scenario_pb2_grpc.ScenarioServiceStub(self._channel)
        self._ingest = ingest_pb2_grpc.IngestServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connection back."""
        await self._channel.close()

    async def networks(self) -> tuple[NetworkInfo, ...]:
        """All networks, without ids."""
        request = catalog_pb2.ListNetworksRequest(parent=f"twins/{self._twin}", page_size=1000)
        return tuple(results.network(n) for n in (await self._call(self._catalog.ListNetworks, request)).networks)

    async def network(self, network: str) -> NetworkInfo:
        """One network with its columns and element ids."""
        request = catalog_pb2.GetNetworkRequest(name=self._name(network))
        return results.network(await self._call(self._catalog.GetNetwork, request))

    async def issues(self) -> tuple[str, ...]:
        """What is wrong with the twin right now, in words."""
        answer = await self._call(self._catalog.GetTwin, catalog_pb2.GetTwinRequest(name=f"twins/{self._twin}"))
        return tuple(f"{i.component} {', '.join(i.ids)}: {i.field}: {i.message}" for i in answer.issues)

    async def signals(self, network: str = "") -> tuple[Signal, ...]:
        """All signals, or those of one network, by uid."""
        return (await self._signals(network))[1]

    async def _signals(self, network: str = "") -> tuple[int, tuple[Signal, ...]]:
        found: list[Signal] = []
        token = ""
        while True:
            request = catalog_pb2.ListSignalsRequest(
                parent=f"twins/{self._twin}",
                page_size=10_000,
                page_token=token,
                network=self._name(network) if network else "",
            )
            page = await self._call(self._catalog.ListSignals, request)
            found += [results.signal(s) for s in page.signals]
            token = page.next_page_token
            if not token:
                return page.catalog_revision, tuple(found)

    @asynccontextmanager
    async def publish(
        self,
        publisher: str,
        signals: Iterable[Signal | int | str] | None = None,
        *,
        epoch: int | None = None,
        priority: int = 0,
        ack: AckLevel = AckLevel.DURABLE,
        lease_s: float = 0.0,
        on_ack: Callable[[Ack], None] | None = None,
    ) -> AsyncIterator[AsyncPublication]:
        """Open an ingest stream; see `TwinClient.publish`."""
        revision, catalogue = await self._signals()
        epoch = time.time_ns() // 1_000_000 if epoch is None else epoch
        ledger = Ledger(self._twin, publisher, epoch, priority, revision, chosen(catalogue, signals), ack, lease_s)
        publication = AsyncPublication(self._ingest, ledger, self._reconnect_s, on_ack)
        try:
            await publication.open()
            yield publication
            await publication.close()
        finally:
            await publication.abandon()

    async def frame(
        self,
        network: str,
        at: Base = None,
        columns: Iterable[str] = (),
        elements: Elements | None = None,
        **parts: bool,
    ) -> Frame:
        """One state as arrays; see `TwinClient.frame`."""
        wanted = requests.selection(columns, elements, **parts)
        request = state_pb2.GetStateRequest(network=self._name(network), selection=wanted, at=requests.at(at))
        assembler = Assembler(await self._described(network))
        frame = None
        async with aclosing(self._stream(self._states.GetState, request)) as responses:
            async for response in responses:
                frame = assembler.feed(response)
        if frame is None:
            raise ClientError("DATA_LOSS", "the state ended before its last part")
        return frame

    async def state(
        self,
        network: str,
        at: Base = None,
        columns: Iterable[str] = (),
        elements: Elements | None = None,
        **parts: bool,
    ) -> xr.Dataset:
        """One state, labelled; arguments as `frame`."""
        return (await self.frame(network, at, columns, elements, **parts)).dataset()

    async def states(
        self,
        network: str,
        start: Instant,
        end: Instant,
        columns: Iterable[str] = (),
        elements: Elements | None = None,
        *,
        known: Instant | None = None,
        **parts: bool,
    ) -> AsyncGenerator[Frame, None]:
        """Every kept state with start <= valid time < end, in order."""
        wanted = requests.selection(columns, elements, **parts)
        request = requests.read_states(self._name(network), wanted, start, end, known)
        assembler = Assembler(await self._described(network))
        async with aclosing(self._stream(self._states.ReadStates, request)) as responses:
            async for response in responses:
                frame = assembler.feed(response)
                if frame is not None:
                    yield frame

    async def watch(
        self,
        network: str,
        columns: Iterable[str] = (),
        elements: Elements | None = None,
        *,
        resume_after: Position | None = None,
        min_interval_s: float = 0.0,
        **parts: bool,
    ) -> AsyncGenerator[Frame, None]:
        """The newest state and every later one; see `TwinClient.watch`."""
        wanted = requests.selection(columns, elements, **parts)
        described = await self._described(network)
        patience = Patience(self._reconnect_s)
        while True:
            request = requests.watch(self._name(network), wanted, resume_after, min_interval_s)
            assembler = Assembler(described)
            try:
                async with aclosing(self._stream(self._states.WatchStates, request)) as responses:
                    async for response in responses:
                        patience.progress()
                        frame = assembler.feed(response)
                        if frame is not None:
                            resume_after = frame.position
                            yield frame
            except ClientError as error:
                await asyncio.sleep(patience.pause_s(error))

    async def events(self, after: int | None = 0) -> AsyncGenerator[TwinEvent, None]:
        """Every event behind a sequence number, then live ones, without a gap; None = live ones only."""
        patience = Patience(self._reconnect_s)
        while True:
            request = requests.watch_events(self._twin, after)
            try:
                async with aclosing(self._stream(self._events.WatchEvents, request)) as responses:
                    async for response in responses:
                        patience.progress()
                        if response.HasField("event"):
                            after = response.event.sequence
                            yield results.event(response.event)
                        elif after is None:
                            after = max(response.sync.sequence, response.heartbeat.sequence)
            except ClientError as error:
                await asyncio.sleep(patience.pause_s(error))

    async def acknowledge(self, alarm_id: str, author: str, comment: str = "") -> TwinEvent:
        """Tell that an operator has seen an alarm."""
        request = requests.acknowledge(self._twin, alarm_id, author, comment)
        return results.event(await self._call(self._events.AcknowledgeEvent, request))

    async def enter(
        self,
        signal: Signal | int | str,
        value: float,
        author: str,
        reason: str,
        start: Instant | None = None,
        expire: Instant | None = None,
    ) -> ManualEntry:
        """Enter a value by hand; it counts in place of what publishers send until it expires or is withdrawn.

        Raises:
            ClientError: an impossible value, an unknown signal, or times the wrong way round.
        """
        (one,) = chosen(await self.signals(), [signal])
        request = requests.manual_entry(self._twin, one.uid, value, author, reason, start, expire)
        return results.manual_entry(await self._call(self._manual.CreateManualEntry, request))

    async def manual_entries(self) -> tuple[ManualEntry, ...]:
        """Entries by hand in force or still to come."""
        request = manual_pb2.ListManualEntriesRequest(parent=f"twins/{self._twin}")
        return tuple(results.manual_entry(e) for e in (await self._call(self._manual.ListManualEntries, request)).entries)

    async def withdraw(self, entry_id: str, author: str, reason: str = "") -> ManualEntry:
        """End an entry by hand: what publishers send counts again."""
        request = requests.withdrawal(self._twin, entry_id, author, reason)
        return results.manual_entry(await self._call(self._manual.DeleteManualEntry, request))

    async def report(self, draft: FieldReport, *, validate_only: bool = False) -> FieldReport:
        """Enter what the field says of a leak; it counts from the first instant that no watch has judged yet.

        Args:
            draft: what is said; without a request id it gets one, so that a repeated call is no second report.
            validate_only: only say whether it would be taken.

        Raises:
            ClientError: no such alarm, network, pipe or node; an alarm that is over; no place where one is needed.
        """
        request = requests.report(self._twin, draft, validate_only=validate_only)
        return results.report(await self._call(self._reports.CreateReport, request))

    async def reports(self) -> tuple[FieldReport, ...]:
        """Reports of the last 30 days, and those on alarms that stand."""
        found: list[FieldReport] = []
        token = ""
        while True:
            request = report_pb2.ListReportsRequest(parent=f"twins/{self._twin}", page_size=1000, page_token=token)
            page = await self._call(self._reports.ListReports, request)
            found += [results.report(r) for r in page.reports]
            token = page.next_page_token
            if not token:
                return tuple(found)

    async def history(
        self, signals: Iterable[Signal | int | str], start: Instant, end: Instant, known: Instant | None = None
    ) -> xr.Dataset:
        """Admitted rows with start <= source time < end; see `TwinClient.history`."""
        uids = [s.uid for s in chosen(await self.signals(), signals)]
        request = requests.history(self._twin, uids, start, end, known)
        return results.history([r async for r in self._stream(self._history.ReadMeasurements, request)])

    async def what_if(self, network: str, patch: str = "", at: Base = None, duration_s: float = 0.0) -> results.WhatIf:
        """Fork a state, patch it (TOML), solve both; nothing live changes."""
        request = requests.what_if(self._name(network), patch, at, duration_s)
        responses = [r async for r in self._stream(self._scenarios.RunWhatIf, request)]
        return results.what_if(responses, await self._described(network))

    async def export(self, network: str, out: str | Path, patch: str = "", at: Base = None) -> Path:
        """Write the forked and patched network as a file; a folder gets the service's own file name."""
        scenario = requests.scenario(self._name(network), patch, at)
        request = scenario_pb2.ExportNetworkRequest(scenario=scenario)
        chunks = [r async for r in self._stream(self._scenarios.ExportNetwork, request)]
        return await asyncio.to_thread(results.saved, chunks, Path(out))

    def _name(self, network: str) -> str:
        return requests.network_name(self._twin, network)

    async def _described(self, network: str) -> Described:
        wanted = network.rsplit("networks/", 1)[-1]
        for info in await self.networks():
            if info.name == wanted:
                return info.columns
        raise ClientError("NOT_FOUND", f"no network {wanted!r}")

    async def _call(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise translated(error) from error

    async def _stream(self, method: Any, request: Any) -> AsyncGenerator[Any, None]:
        call = method(request)
        try:
            async for response in call:
                yield response
        except grpc.RpcError as error:
            raise translated(error) from error
        finally:
            call.cancel()
