"""ReportService: what the field says of leaks."""

# ruff: noqa: N802, ARG002 - names and signatures of the methods are gRPC's.

from __future__ import annotations

import time
from dataclasses import asdict
from math import isfinite

import grpc

from twin import wire
from twin.api.v1 import report_pb2 as pb
from twin.edge.errors import bad
from twin.edge.requests import child_of, network_of, optional_instant, page, said, twin_of
from twin.field_report import FieldReport, Level, Point, ReportKind
from twin.port import Twin

_MOST_AUTHOR = 200
_MOST_TEXT = 2000
_MOST_REQUEST_ID = 100


class ReportService:
    """Translates reports from the field."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    async def CreateReport(self, request: pb.CreateReportRequest, context: grpc.aio.ServicerContext) -> pb.Report:
        """Enter a report."""
        twin_of(self._twin, request.parent, "parent")
        said(request.request_id, "request_id", _MOST_REQUEST_ID, needed=False)
        draft = self._draft(request.report, request.request_id)
        return self._message(await self._twin.report(draft, validate_only=request.validate_only))

    async def ListReports(self, request: pb.ListReportsRequest, context: grpc.aio.ServicerContext) -> pb.ListReportsResponse:
        """Reports that are kept, page by page."""
        twin_of(self._twin, request.parent, "parent")
        size, after = page(request.page_size, request.page_token, default=100, largest=1000)
        behind = [r for r in self._twin.reports() if _number(r) > after]
        token = str(_number(behind[size - 1])) if len(behind) > size else ""
        return pb.ListReportsResponse(reports=[self._message(r) for r in behind[:size]], next_page_token=token)

    def _draft(self, report: pb.Report, request_id: str) -> FieldReport:
        if report.kind not in pb.ReportKind.values() or not report.kind:
            raise bad("report.kind", f"is required: one of {', '.join(k.name for k in ReportKind)}")
        kind = ReportKind(report.kind)
        said(report.author, "report.author", _MOST_AUTHOR, needed=True)
        said(report.source, "report.source", _MOST_AUTHOR, needed=False)
        said(report.text, "report.text", _MOST_TEXT, needed=True)
        if kind.of_alarm:
            network, alarm = "", child_of(self._twin, report.alarm, "alarms", "report.alarm")
        elif report.alarm:
            raise bad("report.alarm", f"is for the operator's word; a {kind.name} report is on no alarm")
        else:
            network, alarm = network_of(self._twin, report.network, "report.network").name, ""
        if report.HasField("level") != (kind is ReportKind.LOGGER):
            raise bad("report.level", "is what a LOGGER report needs, and no other has")
        return FieldReport(
            kind, network, report.author, report.text, report.source, alarm, tuple(report.pipes), report.node,
            _point(report), _level(report), optional_instant(report, "happen_time") or 0, 0, time.time_ns() // 1000,
            request_id,
        )  # fmt: skip

    def _message(self, report: FieldReport) -> pb.Report:
        twin, point, level = self._twin.name, report.point, report.level
        return pb.Report(
            name=f"twins/{twin}/reports/{report.report_id}",
            kind=pb.ReportKind.Name(report.kind),
            network=wire.network_name(twin, report.network),
            alarm=f"twins/{twin}/alarms/{report.alarm_id}" if report.alarm_id else "",
            author=report.author,
            source=report.source,
            text=report.text,
            happen_time=wire.timestamp(report.happened_us),
            pipes=report.pipes,
            node=report.node,
            point=None if point is None else pb.Report.Point(**asdict(point)),
            level=None if level is None else pb.Report.Level(**asdict(level)),
            count_time=wire.timestamp(report.counts_us),
            create_time=wire.timestamp(report.created_us),
        )


def _number(report: FieldReport) -> int:
    """Its place in the order of reports."""
    epoch, _, revision = report.report_id.partition("-")
    return (int(epoch) << 40) + int(revision)


def _point(report: pb.Report) -> Point | None:
    if not report.HasField("point"):
        return None
    point = Point(report.point.x, report.point.y, report.point.radius)
    if not (isfinite(point.x) and isfinite(point.y) and isfinite(point.radius) and point.radius > 0.0):
        raise bad("report.point", f"must be finite, its radius above 0, is {point.x:g}, {point.y:g}, {point.radius:g}")
    return point


def _level(report: pb.Report) -> Level | None:
    if not report.HasField("level"):
        return None
    level = Level(report.level.level_db, report.level.background_db, report.level.deviation_db)
    finite = all(abs(v) <= 1000.0 for v in (level.level_db, level.background_db, level.deviation_db))
    if not finite or level.deviation_db <= 0.0:
        raise bad("report.level", "must lie within 1000 dB, its deviation above 0")
    return level
