"""What the other services answer, as values: networks, signals, events, history, what-if."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from grid_models.measurements import Rows, Signal, SignalKind, TimeQuality, Update
from grid_models.state import Position
from grid_models.tables import Array
from twin import wire
from twin.api.v1 import catalog_pb2, common_pb2, event_pb2, history_pb2, manual_pb2, report_pb2, scenario_pb2
from twin.client.frames import Described, ids_of, joined, labelled
from twin.field_report import FieldReport, Level, Point, ReportKind
from twin.port import FOREVER_US, Candidate, EventKind, Evidence, ManualEntry, NetworkInfo, Transition, TwinEvent


@dataclass(frozen=True, eq=False)
class WhatIf:
    """A what-if run.

    Args:
        base: the fork, solved; `time` leads where the run had a duration.
        patched: the same after the patch.
        status: how the patched solve ended.
        advice: what to try, empty where nothing is wrong.
        culprits: elements the status speaks of.
        violated: limits that the patch breaks, in words.
        relieved: limits that it mends.
    """

    base: xr.Dataset
    patched: xr.Dataset
    status: str
    advice: str
    culprits: tuple[str, ...]
    violated: tuple[str, ...]
    relieved: tuple[str, ...]


def network(message: catalog_pb2.Network) -> NetworkInfo:
    """A network; without ids where the message is of a list."""
    return NetworkInfo(
        name=wire.last_segment(message.name),
        kind=message.kind,
        model_revision=message.model_revision,
        cycle_s=wire.seconds(message.cycle),
        dims={d.name: tuple(d.ids) for d in message.dimensions},
        columns={c.name: (c.dimension, c.unit, c.text) for c in message.columns},
        ready=message.ready,
    )


def signal(message: catalog_pb2.Signal) -> Signal:
    """A signal."""
    return Signal(
        uid=message.uid,
        name=message.display_name,
        network=wire.last_segment(message.network),
        kind=SignalKind(message.kind),
        table=message.table,
        element=message.element,
        quantity=message.quantity,
        side=message.side,
        unit=message.unit,
        sign=message.sign,
        sigma=message.sigma,
        lower=message.lower,
        upper=message.upper,
        update=Update(message.update),
        ttl_s=wire.seconds(message.ttl),
        hold_s=wire.seconds(message.hold),
    )


def event(message: event_pb2.Event) -> TwinEvent:
    """An event; alarms and networks by their own ids."""
    return TwinEvent(
        sequence=message.sequence,
        position=Position(message.position.epoch, message.position.revision),
        valid_time_us=wire.micros(message.valid_time),
        known_time_us=wire.micros(message.known_time),
        kind=EventKind(message.kind),
        transition=Transition(message.transition),
        alarm_id=wire.last_segment(message.alarm),
        code=message.code,
        network=wire.last_segment(message.network),
        elements=tuple(message.elements),
        message=message.message,
        cause=wire.last_segment(message.cause),
        candidates=tuple(Candidate(c.element, c.probability, c.flow_m3_per_h, c.distance_m) for c in message.candidates),
        figures=dict(message.figures),
        evidence=tuple(
            Evidence(e.signal, wire.last_segment(e.report), e.sigma, e.unit, tuple(e.trace), e.text) for e in message.evidence
        ),
    )


def manual_entry(message: manual_pb2.ManualEntry) -> ManualEntry:
    """An entry by hand, its value in the signal's direction."""
    return ManualEntry(
        entry_id=wire.last_segment(message.name),
        signal=message.signal,
        value=message.value,
        author=message.author,
        reason=message.reason,
        start_us=wire.micros(message.start_time),
        until_us=wire.micros(message.expire_time) if message.HasField("expire_time") else FOREVER_US,
        created_us=wire.micros(message.create_time),
    )


def report(message: report_pb2.Report) -> FieldReport:
    """A report from the field."""
    point, level = message.point, message.level
    return FieldReport(
        kind=ReportKind(message.kind),
        network=wire.last_segment(message.network),
        author=message.author,
        text=message.text,
        source=message.source,
        alarm_id=wire.last_segment(message.alarm),
        pipes=tuple(message.pipes),
        node=message.node,
        point=Point(point.x, point.y, point.radius) if message.HasField("point") else None,
        level=Level(level.level_db, level.background_db, level.deviation_db) if message.HasField("level") else None,
        happened_us=wire.micros(message.happen_time),
        counts_us=wire.micros(message.count_time),
        created_us=wire.micros(message.create_time),
        report_id=wire.last_segment(message.name),
    )


def rows(message: common_pb2.MeasurementBatch) -> Rows:
    """Rows of a history chunk, every column in full."""
    return Rows(
        signal=np.array(message.signal, dtype=np.uint32),
        value=np.array(message.value, dtype=np.float64),
        source_time_us=np.array(message.source_time_us, dtype=np.int64),
        receive_time_us=np.array(message.receive_time_us, dtype=np.int64),
        validity=np.frombuffer(message.validity, dtype=np.uint8),
        time_quality=np.frombuffer(message.time_quality, dtype=np.uint8),
        flags=np.frombuffer(message.flags, dtype=np.uint8),
        sequence=np.array(message.sequence, dtype=np.uint64),
    )


def history(chunks: Iterable[history_pb2.ReadMeasurementsResponse]) -> xr.Dataset:
    """Rows along `row`: signal, time, value and quality; `time` is NaT where the source told none."""
    all_rows = Rows.concatenate(rows(chunk.rows) for chunk in chunks)
    timeless = all_rows.time_quality == TimeQuality.NONE
    times = all_rows.source_time_us.astype("datetime64[us]").astype("datetime64[ns]")
    received = all_rows.receive_time_us.astype("datetime64[us]").astype("datetime64[ns]")
    return xr.Dataset(
        {
            "value": ("row", all_rows.value, {"long_name": "in the signal's unit and direction"}),
            "receive_time": ("row", received),
            "validity": ("row", all_rows.validity),
            "time_quality": ("row", all_rows.time_quality),
            "flags": ("row", all_rows.flags),
            "sequence": ("row", all_rows.sequence),
        },
        {
            "signal": ("row", all_rows.signal),
            "time": ("row", np.where(timeless, np.datetime64("NaT", "ns"), times)),
        },
    )


def what_if(responses: Iterable[scenario_pb2.RunWhatIfResponse], described: Described) -> WhatIf:
    """Join the parts of a run."""
    summary = scenario_pb2.RunSummary()
    base: list[common_pb2.Column] = []
    patched: list[common_pb2.Column] = []
    for response in responses:
        if response.WhichOneof("kind") == "summary":
            summary = response.summary
        base += response.part.base
        patched += response.part.patched
    times = np.array(summary.time_us, dtype=np.int64)
    return WhatIf(
        base=_run(base, summary.base, times, described),
        patched=_run(patched, summary.patched, times, described),
        status=summary.solver_status.name,
        advice=summary.solver_status.advice,
        culprits=tuple(summary.solver_status.culprits),
        violated=tuple(summary.violated),
        relieved=tuple(summary.relieved),
    )


def saved(chunks: list[scenario_pb2.ExportNetworkResponse], out: Path) -> Path:
    """Write an exported network; a folder gets the service's own file name."""
    path = out / Path(chunks[0].file_name).name if out.is_dir() else out
    path.write_bytes(b"".join(c.data for c in chunks))
    return path


def _run(columns: list[common_pb2.Column], topology: common_pb2.Topology, times: Array, described: Described) -> xr.Dataset:
    dimension = {c.name: c.dimension for c in columns}
    known = {name: described.get(name, (d, "", name)) for name, d in dimension.items()}
    values = joined(columns)
    if not len(times):
        return labelled(values, ids_of(topology), known)
    steps = [
        labelled({n: v.reshape(len(times), -1)[k] for n, v in values.items()}, ids_of(topology), known)
        for k in range(len(times))
    ]
    stamps = times.astype("datetime64[us]").astype("datetime64[ns]")
    return xr.concat(steps, dim="time").assign_coords(time=stamps)
