"""Citizens' reports as a CSV, as a city's fault reporting (Mängelmelder) exports them.

Columns: `id,time,text` and a place: `x,y,radius`, or `pipe`, or `node`; others are left alone. Between them stand commas or
semicolons. The id is the report's source: two lines are two voices, and a line that is imported again is no second report.
"""

from __future__ import annotations

import csv
from collections import Counter
from io import StringIO
from math import isfinite
from pathlib import Path

from grid_models.errors import InvalidInput, Issue
from twin.bases import parse_instant
from twin.field_report import FieldReport, Point, ReportKind

_COLUMNS = ("id", "time", "text")
_PLACES = ("pipe", "node", "x")


def read_reports(path: Path, network: str, author: str) -> list[tuple[int, FieldReport]]:
    """Read reports.

    Args:
        path: the CSV, UTF-8.
        network: that they concern.
        author: who enters them.

    Returns:
        Each with the line that it begins at.

    Raises:
        InvalidInput: columns that are missing, or lines that are none, by line; all of them at once.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInput([Issue("", "", (), f"cannot be read: {error.strerror}", file=str(path))]) from None
    except UnicodeDecodeError:
        raise InvalidInput([Issue("", "", (), "is not UTF-8 text", file=str(path))]) from None
    head = text.partition("\n")[0]
    reader = csv.DictReader(StringIO(text, newline=""), delimiter=";" if head.count(";") > head.count(",") else ",")
    missing = [c for c in _COLUMNS if c not in (reader.fieldnames or ())]
    issues = [Issue("report", c, (), "column is missing", file=str(path), line=1) for c in missing]
    if not set(_PLACES) & set(reader.fieldnames or ()):
        issues.append(Issue("report", "", (), "a place is missing: columns x, y and radius, or pipe, or node", str(path), 1))
    if issues:
        raise InvalidInput(issues)
    found: list[tuple[int, FieldReport]] = []
    line = 2
    try:
        for row in reader:
            said = {k: (v or "").strip() for k, v in row.items() if isinstance(k, str) and not isinstance(v, list)}
            try:
                found.append((line, _report(said, network, author)))
            except InvalidInput as error:
                issues += [Issue("report", i.field, i.ids, i.message, str(path), line) for i in error.issues]
            line = reader.line_num + 1
    except csv.Error as error:
        issues.append(Issue("", "", (), f"is no CSV: {error}", str(path), line))
    often = Counter(r.source for _, r in found)
    issues += [
        Issue("report", "id", (r.source,), "appears more than once", str(path), n) for n, r in found if often[r.source] > 1
    ]
    if issues:
        raise InvalidInput(issues)
    return found


def _report(said: dict[str, str], network: str, author: str) -> FieldReport:
    ids = (said["id"],) if said["id"] else ()
    issues = [Issue("report", c, ids, "is empty") for c in _COLUMNS if not said[c]]
    given = [c for c in _PLACES if said.get(c)]
    if len(given) != 1:
        issues.append(Issue("report", "", ids, "needs one place: x, y and radius, or pipe, or node"))
    happened = 0
    try:
        happened = round(parse_instant(said["time"]).timestamp() * 1e6) if said["time"] else 0
    except InvalidInput as error:
        issues += [Issue("report", "time", ids, f"{said['time']!r} {i.message}") for i in error.issues]
    numbers = [_number(said.get(c, "")) for c in ("x", "y", "radius")] if given == ["x"] else []
    if not all(isfinite(n) for n in numbers) or (numbers and numbers[2] <= 0.0):
        issues.append(Issue("report", "x, y, radius", ids, "must be numbers, the radius above 0"))
    if issues:
        raise InvalidInput(issues)
    return FieldReport(
        ReportKind.CITIZEN, network, author, said["text"], said["id"],
        pipes=(said["pipe"],) if said.get("pipe") else (),
        node=said.get("node", ""),
        point=Point(*numbers) if numbers else None,
        happened_us=happened,
        request_id=f"csv {said['id']}",
    )  # fmt: skip


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
