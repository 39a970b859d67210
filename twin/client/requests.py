"""Messages from what a caller writes: names, instants, selections, patches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TypeAlias
from uuid import uuid4

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from grid_models.state import Position
from twin import wire
from twin.api.v1 import common_pb2, event_pb2, history_pb2, manual_pb2, report_pb2, scenario_pb2, state_pb2
from twin.field_report import FieldReport
from twin.port import AsOf

Instant: TypeAlias = str | int | datetime | np.datetime64
"""ISO text (UTC unless it says otherwise), Unix microseconds, datetime (naive = UTC), or datetime64."""
Base: TypeAlias = Instant | Position | AsOf | None
"""None = the newest state; an instant = as of then, with all that is known now."""
Elements: TypeAlias = Mapping[str, Iterable[str | int]]


def unix_us(instant: Instant) -> int:
    """Unix time [us].

    >>> unix_us("2026-11-21T18:00:00Z") == unix_us("2026-11-21T19:00+01:00")
    True
    """
    if isinstance(instant, str):
        instant = datetime.fromisoformat(instant)
    if isinstance(instant, datetime):
        aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
        instant = np.datetime64(aware.astimezone(UTC).replace(tzinfo=None), "us")
    if isinstance(instant, np.datetime64):
        return int(instant.astype("datetime64[us]").astype(np.int64))
    return int(instant)


def timestamp(instant: Instant | None) -> Timestamp | None:
    """The Timestamp of an instant, None for None."""
    return None if instant is None else wire.timestamp(unix_us(instant))


def network_name(twin: str, network: str) -> str:
    """The resource name of a network given by name or by resource name."""
    return network if network.startswith("twins/") else wire.network_name(twin, network)


def position(value: Position | None) -> common_pb2.Position | None:
    """A Position message."""
    return None if value is None else common_pb2.Position(epoch=value.epoch, revision=value.revision)


def at(base: Base) -> common_pb2.At | None:
    """Which state is meant."""
    if base is None:
        return None
    if isinstance(base, Position):
        return common_pb2.At(position=position(base))
    as_of = base if isinstance(base, AsOf) else AsOf(unix_us(base))
    known = None if as_of.known_time_us is None else wire.timestamp(as_of.known_time_us)
    return common_pb2.At(as_of=common_pb2.AsOf(valid_time=wire.timestamp(as_of.valid_time_us), known_time=known))


def selection(
    columns: Iterable[str] = (),
    elements: Elements | None = None,
    *,
    single: bool = False,
    sigma: bool = False,
    origin: bool = False,
    residuals: bool = False,
) -> state_pb2.Selection:
    """Which part of a state is wanted; nothing named = all."""
    return state_pb2.Selection(
        columns=columns,
        elements=[
            state_pb2.ElementSelection(dimension=name, ids=[str(i) for i in ids]) for name, ids in (elements or {}).items()
        ],
        single_precision=single,
        sigma=sigma,
        origin=origin,
        residuals=residuals,
    )


def watch(
    name: str, wanted: state_pb2.Selection, resume_after: Position | None, min_interval_s: float
) -> state_pb2.WatchStatesRequest:
    """To watch a network's states."""
    return state_pb2.WatchStatesRequest(
        network=name,
        selection=wanted,
        resume_after=position(resume_after),
        min_interval=wire.duration(min_interval_s) if min_interval_s else None,
    )


def read_states(
    name: str, wanted: state_pb2.Selection, start: Instant, end: Instant, known: Instant | None
) -> state_pb2.ReadStatesRequest:
    """To read every kept state of a span."""
    return state_pb2.ReadStatesRequest(
        network=name,
        selection=wanted,
        start_time=timestamp(start),
        end_time=timestamp(end),
        known_time=timestamp(known),
    )


def watch_events(twin: str, after: int | None) -> event_pb2.WatchEventsRequest:
    """To watch events after a sequence number; None = live ones only."""
    return event_pb2.WatchEventsRequest(twin=f"twins/{twin}", after_sequence=after or 0, live_only=after is None)


def acknowledge(twin: str, alarm: str, author: str, comment: str) -> event_pb2.AcknowledgeEventRequest:
    """To acknowledge an alarm."""
    return event_pb2.AcknowledgeEventRequest(alarm=f"twins/{twin}/alarms/{alarm}", author=author, comment=comment)


def manual_entry(
    twin: str, signal: int, value: float, author: str, reason: str, start: Instant | None, expire: Instant | None
) -> manual_pb2.CreateManualEntryRequest:
    """To enter a value by hand."""
    entry = manual_pb2.ManualEntry(
        signal=signal,
        value=value,
        author=author,
        reason=reason,
        start_time=timestamp(start),
        expire_time=timestamp(expire),
    )
    return manual_pb2.CreateManualEntryRequest(parent=f"twins/{twin}", entry=entry, request_id=uuid4().hex)


def withdrawal(twin: str, entry_id: str, author: str, reason: str) -> manual_pb2.DeleteManualEntryRequest:
    """To withdraw an entry by hand."""
    name = f"twins/{twin}/manualEntries/{entry_id}"
    return manual_pb2.DeleteManualEntryRequest(name=name, author=author, reason=reason)


def report(twin: str, draft: FieldReport, *, validate_only: bool) -> report_pb2.CreateReportRequest:
    """To enter a report from the field."""
    point, level = draft.point, draft.level
    message = report_pb2.Report(
        kind=report_pb2.ReportKind.Name(draft.kind),
        network=network_name(twin, draft.network) if draft.network else "",
        alarm=f"twins/{twin}/alarms/{draft.alarm_id}" if draft.alarm_id else "",
        author=draft.author,
        source=draft.source,
        text=draft.text,
        happen_time=timestamp(draft.happened_us or None),
        pipes=draft.pipes,
        node=draft.node,
        point=None if point is None else report_pb2.Report.Point(**asdict(point)),
        level=None if level is None else report_pb2.Report.Level(**asdict(level)),
    )
    return report_pb2.CreateReportRequest(
        parent=f"twins/{twin}", report=message, request_id=draft.request_id or uuid4().hex, validate_only=validate_only
    )


def history(
    twin: str, signals: Iterable[int], start: Instant, end: Instant, known: Instant | None
) -> history_pb2.ReadMeasurementsRequest:
    """To read measurements."""
    return history_pb2.ReadMeasurementsRequest(
        twin=f"twins/{twin}",
        signal=signals,
        start_time=timestamp(start),
        end_time=timestamp(end),
        known_time=timestamp(known),
    )


def scenario(name: str, patch_toml: str, base: Base) -> scenario_pb2.Scenario:
    """A patch on a base."""
    return scenario_pb2.Scenario(network=name, at=at(base), patch_toml=patch_toml)


def what_if(name: str, patch_toml: str, base: Base, duration_s: float) -> scenario_pb2.RunWhatIfRequest:
    """To run a what-if."""
    return scenario_pb2.RunWhatIfRequest(
        scenario=scenario(name, patch_toml, base), duration=wire.duration(duration_s) if duration_s else None
    )
