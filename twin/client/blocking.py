"""The blocking client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
from twin.client.blocking_publication import Publication
from twin.client.channel import OPTIONS, Patience
from twin.client.errors import ClientError, translated
from twin.client.frames import Assembler, Described, Frame
from twin.client.publication import Ledger, chosen
from twin.client.requests import Base, Elements, Instant
from twin.field_report import FieldReport
from twin.port import Ack, AckLevel, ManualEntry, NetworkInfo, TwinEvent


class TwinClient:
    """Talks to a twin's service, blocking; may be used from several threads.

    Args:
        address: `host:port`.
        twin: its id; `-` = the one served there.
        credentials: for TLS; None = plain text.
        reconnect_s: how long streams try to come back after the service was lost [s].
        timeout_s: for calls that answer once [s].

    Example:
        with TwinClient("localhost:50051") as client:
            for frame in client.watch("mv", columns=["bus_vm_pu"]):
                print(frame.valid_time, frame.values["bus_vm_pu"].min())
    """

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
            self._channel = grpc.insecure_channel(address, options=OPTIONS)
        else:
            self._channel = grpc.secure_channel(address, credentials, options=OPTIONS)
        self._catalog = catalog_pb2_grpc.CatalogServiceStub(self._channel)
        self._states = state_pb2_grpc.StateServiceStub(self._channel)
        self._events = event_pb2_grpc.EventServiceStub(self._channel)
        self._history = history_pb2_grpc.HistoryServiceStub(self._channel)
        self._manual = manual_pb2_grpc.ManualServiceStub(self._channel)
        self._reports = report_pb2_grpc.ReportServiceStub(self._channel)
        self._scenarios = scenario_pb2_grpc.ScenarioServiceStub(self._channel)
        self._ingest = ingest_pb2_grpc.IngestServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        self._channel.close()

    def networks(self) -> tuple[NetworkInfo, ...]:
        """All networks; their `dims` are empty here, `network(name)` has them."""
        request = catalog_pb2.ListNetworksRequest(parent=f"twins/{self._twin}", page_size=1000)
        return tuple(results.network(n) for n in self._call(self._catalog.ListNetworks, request).networks)

    def network(self, network: str) -> NetworkInfo:
        """One network with its columns and element ids."""
        return results.network(self._call(self._catalog.GetNetwork, catalog_pb2.GetNetworkRequest(name=self._name(network))))

    def issues(self) -> tuple[str, ...]:
        """What is wrong with the twin right now, in words."""
        answer = self._call(self._catalog.GetTwin, catalog_pb2.GetTwinRequest(name=f"twins/{self._twin}"))
        return tuple(f"{i.component} {', '.join(i.ids)}: {i.field}: {i.message}" for i in answer.issues)

    def signals(self, network: str = "") -> tuple[Signal, ...]:
        """All signals, or those of one network, by uid."""
        return self._signals(network)[1]

    def _signals(self, network: str = "") -> tuple[int, tuple[Signal, ...]]:
        found: list[Signal] = []
        token = ""
        while True:
            request = catalog_pb2.ListSignalsRequest(
                parent=f"twins/{self._twin}",
                page_size=10_000,
                page_token=token,
                network=self._name(network) if network else "",
            )
            page = self._call(self._catalog.ListSignals, request)
            found += [results.signal(s) for s in page.signals]
            token = page.next_page_token
            if not token:
                return page.catalog_revision, tuple(found)

    @contextmanager
    def publish(
        self,
        publisher: str,
        signals: Iterable[Signal | int | str] | None = None,
        *,
        epoch: int | None = None,
        priority: int = 0,
        ack: AckLevel = AckLevel.DURABLE,
        lease_s: float = 0.0,
        on_ack: Callable[[Ack], None] | None = None,
    ) -> Iterator[Publication]:
        """Open an ingest stream; leaving the block waits until all is as safe as `ack` asks (DURABLE at most).

        Args:
            publisher: stable name.
            signals: what will be sent: Signal objects, uids or names; None = every signal.
            epoch: grows with each restart of the publisher; None = the time in milliseconds.
            priority: of two living publishers of a signal the higher counts.
            ack: the highest level to hear of.
            lease_s: silence after which the service counts this publisher as gone and a lower one takes over; the stream
                gives signs of life by itself. 0 = only the stream's end tells.
            on_ack: called for every ack, on the stream's own thread.

        Raises:
            ClientError: the claim was refused, or the stream was lost for longer than `reconnect_s`.
        """
        revision, catalogue = self._signals()
        epoch = time.time_ns() // 1_000_000 if epoch is None else epoch
        ledger = Ledger(self._twin, publisher, epoch, priority, revision, chosen(catalogue, signals), ack, lease_s)
        publication = Publication(self._ingest, ledger, self._reconnect_s, on_ack)
        try:
            yield publication
        except BaseException:
            publication.abandon()
            raise
        publication.close()

    def frame(
        self,
        network: str,
        at: Base = None,
        columns: Iterable[str] = (),
        elements: Elements | None = None,
        **parts: bool,
    ) -> Frame:
        """One state as arrays.

        Args:
            network: its name.
            at: None = the newest; a Position; an instant; or AsOf(valid, known).
            columns: names; none = all.
            elements: dimension -> ids; dimensions not named come whole.
            parts: `single`, `sigma`, `origin`, `residuals`.
        """
        wanted = requests.selection(columns, elements, **parts)
        request = state_pb2.GetStateRequest(network=self._name(network), selection=wanted, at=requests.at(at))
        assembler = Assembler(self._described(network))
        frames = [assembler.feed(r) for r in self._stream(self._states.GetState, request)]
        frame = frames[-1] if frames else None
        if frame is None:
            raise ClientError("DATA_LOSS", "the state ended before its last part")
        return frame

    def state(
        self,
        network: str,
        at: Base = None,
        columns: Iterable[str] = (),
        elements: Elements | None = None,
        **parts: bool,
    ) -> xr.Dataset:
        """One state, labelled; arguments as `frame`."""
        return self.frame(network, at, columns, elements, **parts).dataset()

    def states(
        self,
        network: str,
        start: Instant,
        end: Instant,
        columns: Iterable[str] = (),
        elements: Elements | None = None,
        *,
        known: Instant | None = None,
        **parts: bool,
    ) -> Iterator[Frame]:
        """Every kept state with start <= valid time < end, in order."""
        wanted = requests.selection(columns, elements, **parts)
        request = requests.read_states(self._name(network), wanted, start, end, known)
        assembler = Assembler(self._described(network))
        for response in self._stream(self._states.ReadStates, request):
            frame = assembler.feed(response)
            if frame is not None:
                yield frame

    def watch(
        self,
        network: str,
        columns: Iterable[str] = (),
        elements: Elements | None = None,
        *,
        resume_after: Position | None = None,
        min_interval_s: float = 0.0,
        **parts: bool,
    ) -> Iterator[Frame]:
        """The newest state and every later one; after a broken connection it goes on behind the last frame.

        A slow reader misses states; `Frame.merged` tells how many.
        """
        wanted = requests.selection(columns, elements, **parts)
        described = self._described(network)
        patience = Patience(self._reconnect_s)
        while True:
            request = requests.watch(self._name(network), wanted, resume_after, min_interval_s)
            assembler = Assembler(described)
            try:
                for response in self._stream(self._states.WatchStates, request):
                    patience.progress()
                    frame = assembler.feed(response)
                    if frame is not None:
                        resume_after = frame.position
                        yield frame
            except ClientError as error:
                time.sleep(patience.pause_s(error))

    def events(self, after: int | None = 0) -> Iterator[TwinEvent]:
        """Every event behind a sequence number, then live ones, without a gap; None = live ones only."""
        patience = Patience(self._reconnect_s)
        while True:
            try:
                for response in self._stream(self._events.WatchEvents, requests.watch_events(self._twin, after)):
                    patience.progress()
                    if response.HasField("event"):
                        after = response.event.sequence
                        yield results.event(response.event)
                    elif after is None:
                        after = max(response.sync.sequence, response.heartbeat.sequence)
            except ClientError as error:
                time.sleep(patience.pause_s(error))

    def acknowledge(self, alarm_id: str, author: str, comment: str = "") -> TwinEvent:
        """Tell that an operator has seen an alarm."""
        request = requests.acknowledge(self._twin, alarm_id, author, comment)
        return results.event(self._call(self._events.AcknowledgeEvent, request))

    def enter(
        self,
        signal: Signal | int | str,
        value: float,
        author: str,
        reason: str,
        start: Instant | None = None,
        expire: Instant | None = None,
    ) -> ManualEntry:
        """Enter a value by hand; it counts in place of what publishers send until it expires or is withdrawn.

        Args:
            signal: object, uid or name.
            value: in its unit and direction; for switches of SwitchPosition.
            author: who.
            reason: why.
            start: first instant that it holds for; None = from now on.
            expire: first instant that it no longer holds for; None = until `withdraw`.

        Raises:
            ClientError: an impossible value, an unknown signal, or times the wrong way round.
        """
        (one,) = chosen(self.signals(), [signal])
        request = requests.manual_entry(self._twin, one.uid, value, author, reason, start, expire)
        return results.manual_entry(self._call(self._manual.CreateManualEntry, request))

    def manual_entries(self) -> tuple[ManualEntry, ...]:
        """Entries by hand in force or still to come."""
        request = manual_pb2.ListManualEntriesRequest(parent=f"twins/{self._twin}")
        return tuple(results.manual_entry(e) for e in (self._call(self._manual.ListManualEntries, request)).entries)

    def withdraw(self, entry_id: str, author: str, reason: str = "") -> ManualEntry:
        """End an entry by hand: what publishers send counts again."""
        request = requests.withdrawal(self._twin, entry_id, author, reason)
        return results.manual_entry(self._call(self._manual.DeleteManualEntry, request))

    def report(self, draft: FieldReport, *, validate_only: bool = False) -> FieldReport:
        """Enter what the field says of a leak; it counts from the first instant that no watch has judged yet.

        Args:
            draft: what is said; without a request id it gets one, so that a repeated call is no second report.
            validate_only: only say whether it would be taken.

        Raises:
            ClientError: no such alarm, network, pipe or node; an alarm that is over; no place where one is needed.
        """
        request = requests.report(self._twin, draft, validate_only=validate_only)
        return results.report(self._call(self._reports.CreateReport, request))

    def reports(self) -> tuple[FieldReport, ...]:
        """Reports of the last 30 days, and those on alarms that stand."""
        found: list[FieldReport] = []
        token = ""
        while True:
            request = report_pb2.ListReportsRequest(parent=f"twins/{self._twin}", page_size=1000, page_token=token)
            page = self._call(self._reports.ListReports, request)
            found += [results.report(r) for r in page.reports]
            token = page.next_page_token
            if not token:
                return tuple(found)

    def history(
        self, signals: Iterable[Signal | int | str], start: Instant, end: Instant, known: Instant | None = None
    ) -> xr.Dataset:
        """Admitted rows with start <= source time < end along `row`: signal, time, value and quality."""
        wanted = list(signals)
        named = any(isinstance(s, str) for s in wanted)
        uids = [s.uid for s in chosen(self.signals(), wanted)] if named else [_uid(s) for s in wanted]
        request = requests.history(self._twin, uids, start, end, known)
        return results.history(self._stream(self._history.ReadMeasurements, request))

    def what_if(self, network: str, patch: str = "", at: Base = None, duration_s: float = 0.0) -> results.WhatIf:
        """Fork a state, patch it (TOML), solve both; nothing live changes."""
        request = requests.what_if(self._name(network), patch, at, duration_s)
        return results.what_if(self._stream(self._scenarios.RunWhatIf, request), self._described(network))

    def export(self, network: str, out: str | Path, patch: str = "", at: Base = None) -> Path:
        """Write the forked and patched network as a file; a folder gets the service's own file name."""
        scenario = requests.scenario(self._name(network), patch, at)
        request = scenario_pb2.ExportNetworkRequest(scenario=scenario)
        return results.saved(list(self._stream(self._scenarios.ExportNetwork, request)), Path(out))

    def _name(self, network: str) -> str:
        return requests.network_name(self._twin, network)

    def _described(self, network: str) -> Described:
        wanted = network.rsplit("networks/", 1)[-1]
        for info in self.networks():
            if info.name == wanted:
                return info.columns
        raise ClientError("NOT_FOUND", f"no network {wanted!r}")

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise translated(error) from error

    def _stream(self, method: Any, request: Any) -> Iterator[Any]:
        call = method(request)
        try:
            yield from call
        except grpc.RpcError as error:
            raise translated(error) from error
        finally:
            call.cancel()


def _uid(signal: Signal | int | str) -> int:
    return signal.uid if isinstance(signal, Signal) else int(signal)
