"""`twin report`: what the field says of leaks, to a living twin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from grid_models.errors import Issue
    from twin.bases import LiveBase
    from twin.client import TwinClient
    from twin.field_report import FieldReport

command = typer.Typer(help="What the field says of leaks.", no_args_is_help=True)
_BASE = Annotated[str, typer.Argument(help="grpc://host:port/network")]
_AUTHOR = Annotated[str, typer.Option(help="who enters it")]


@command.callback()
def _group() -> None:
    """What the field says of leaks."""


@command.command("add")
def add(
    base: _BASE,
    kind: Annotated[str, typer.Argument(help="citizen, logger, dispatched, confirmed, rejected or repaired")],
    author: _AUTHOR,
    text: Annotated[str, typer.Option(help="in their words")],
    alarm: Annotated[str, typer.Option(help="id of the alarm that the operator's word is on")] = "",
    source: Annotated[str, typer.Option(help="who saw it, or which logger")] = "",
    pipe: Annotated[list[str] | None, typer.Option(help="where; may be given several times")] = None,
    node: Annotated[str, typer.Option(help="where, instead of pipes")] = "",
    point: Annotated[str, typer.Option(help="X,Y,RADIUS on the network's map, instead of pipes")] = "",
    level: Annotated[str, typer.Option(help="LEVEL,BACKGROUND,DEVIATION of a logger [dB]")] = "",
    at: Annotated[str, typer.Option(help="when, such as 2026-11-21T18:00; without it now")] = "",
    check: Annotated[bool, typer.Option("--check", help="only say whether it would be taken")] = False,
) -> int:
    """Enter one report, or the operator's word on an alarm."""
    from grid_models.errors import InvalidInput, Issue
    from twin.bases import parse_instant
    from twin.cli.console import console
    from twin.client import TwinClient
    from twin.field_report import FieldReport, Level, Point, ReportKind

    live = _live(base)
    if kind.upper() not in ReportKind.__members__:
        known = ", ".join(k.name.lower() for k in ReportKind)
        raise InvalidInput([Issue("report", "kind", (kind,), f"is none; there are {known}")])
    said = ReportKind[kind.upper()]
    draft = FieldReport(
        said, "" if said.of_alarm else live.network, author, text, source, alarm, tuple(pipe or ()), node,
        Point(*_three(point, "point")) if point else None, Level(*_three(level, "level")) if level else None,
        round(parse_instant(at).timestamp() * 1e6) if at else 0,
    )  # fmt: skip
    with TwinClient(live.address) as client:
        console.print(_told(client.report(draft, validate_only=check)) + (" (checked only)" if check else ""))
    return 0


@command.command("import")
def import_(
    base: _BASE,
    file: Annotated[Path, typer.Argument(help="CSV: id,time,text and x,y,radius or pipe or node")],
    author: _AUTHOR,
    check: Annotated[bool, typer.Option("--check", help="only say whether they would be taken")] = False,
) -> int:
    """Enter citizens' reports from a CSV: all of them, or none where a line is at fault."""
    from grid_models.errors import InvalidInput
    from twin.cli.console import console
    from twin.client import TwinClient
    from twin.reports_csv import read_reports

    live = _live(base)
    drafts = read_reports(file, live.network, author)
    with TwinClient(live.address) as client:
        issues = [issue for line, draft in drafts for issue in _faults(client, draft, str(file), line)]
        if issues:
            raise InvalidInput(issues)
        entered = [] if check else [client.report(draft) for _, draft in drafts]
    console.print(f"{file}: {len(drafts)} reports, {len(entered)} entered")
    return 0


@command.command("list")
def list_(base: _BASE) -> int:
    """Show the reports that are kept."""
    from twin.cli.console import console
    from twin.client import TwinClient

    live = _live(base)
    with TwinClient(live.address) as client:
        for report in client.reports():
            if report.network == live.network:
                console.print(_told(report))
    return 0


def _faults(client: TwinClient, draft: FieldReport, file: str, line: int) -> list[Issue]:
    """What the service finds wrong with a report."""
    from grid_models.errors import Issue
    from twin.client import ClientError

    try:
        client.report(draft, validate_only=True)
    except ClientError as error:
        if error.exit_status != 2:
            raise
        return [Issue("report", "", (draft.source,), str(error), file, line)]
    return []


def _live(base: str) -> LiveBase:
    from grid_models.errors import InvalidInput, Issue
    from twin.bases import live_base

    live = live_base(base)
    if live is None or live.at is not None:
        raise InvalidInput([Issue("base", "", (base,), "must be grpc://host:port/network: a report goes to a living twin")])
    return live


def _three(text: str, field: str) -> tuple[float, float, float]:
    from grid_models.errors import InvalidInput, Issue

    try:
        a, b, c = (float(x) for x in text.split(","))
    except ValueError:
        raise InvalidInput([Issue("report", field, (text,), "must be three numbers with commas between them")]) from None
    return a, b, c


def _told(report: FieldReport) -> str:
    from numpy import datetime64

    on = f" on {report.alarm_id}" if report.alarm_id else ""
    return f"{report.report_id} {datetime64(report.happened_us // 1_000_000, 's')}{on}: {report.line}"
