"""Where reports lie, and a city's CSV of them: places become pipes, and what is none is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grid_models.errors import InvalidInput
from grid_models.library.water import looped_town
from grid_models.water.network import NODE_TABLES
from twin.errors import BadRequest, NotFound, PreconditionFailed
from twin.field_report import FieldReport, Point, ReportKind
from twin.places import placed
from twin.reports_csv import read_reports

TOWN = looped_town()  # nodes every 200 m: J000 at (0, 0), J001 at (200, 0), J100 at (0, 200)


def at(kind: ReportKind = ReportKind.CITIZEN, **place: Any) -> FieldReport:
    return FieldReport(kind, "water", "me", "wet", **place)


def test_a_node_means_the_pipes_that_end_there_and_a_point_those_within_its_radius() -> None:
    assert set(placed(at(node="J000"), TOWN).pipes) == {"E000", "N000", "source"}
    assert placed(at(point=Point(100.0, 15.0, 20.0)), TOWN).pipes == ("E000",)
    assert set(placed(at(point=Point(15.0, 15.0, 20.0)), TOWN).pipes) == {"E000", "N000"}
    assert placed(at(pipes=("E101", "N000")), TOWN).pipes == ("E101", "N000")
    assert placed(at(ReportKind.REPAIRED), TOWN).pipes == ()


@pytest.mark.parametrize(
    ("draft", "error", "message"),
    [
        (at(), BadRequest, "report.pipes: CITIZEN needs a place"),
        (at(ReportKind.CONFIRMED), BadRequest, "report.pipes: CONFIRMED needs a place"),
        (at(pipes=("E101",), node="J000"), BadRequest, "report.pipes: excludes node and point"),
        (at(pipes=("E999", "E101", "E998")), NotFound, "water has no pipe 'E998', 'E999'"),
        (at(node="J999"), NotFound, "water has no node 'J999'"),
        (at(point=Point(100.0, 90.0, 20.0)), BadRequest, r"within 20 of \(100, 90\); the nearest, pipe E000, is 90 away"),
        (at(pipes=("E101",) * 201), BadRequest, "are 201; a report names at most 200"),
    ],
)
def test_a_place_that_is_none_is_named(draft: FieldReport, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        placed(draft, TOWN)


def test_a_network_without_a_map_or_without_pipes_says_so() -> None:
    nowhere = {name: TOWN.tables[name].replace("x", slice(None), float("nan")) for name in NODE_TABLES}
    with pytest.raises(PreconditionFailed, match="has no coordinates; name pipes or a node"):
        placed(at(point=Point(0.0, 0.0, 20.0)), replace(TOWN, tables={**TOWN.tables, **nowhere}))
    with pytest.raises(BadRequest, match="water has no pipes"):
        placed(at(pipes=("1",)), object())


def test_a_citys_csv_is_read_and_every_fault_of_it_named_by_line(tmp_path: Path) -> None:
    file = tmp_path / "reports.csv"
    lines = ('17;2026-03-02T05:00+01:00;"wet;\nand loud";10;20.5;30', "18;2026-03-02T05:10;wet;1;2;3")
    file.write_text("\ufeff" + "\n".join(("id;time;text;x;y;radius", *lines)))
    (first, report), (second, other) = read_reports(file, "water", "desk")
    assert (first, second) == (2, 4)
    assert (report.source, report.text, report.point) == ("17", "wet;\nand loud", Point(10.0, 20.5, 30.0))
    assert report.happened_us == 1_772_424_000_000_000
    assert (report.author, report.kind, report.request_id) == ("desk", ReportKind.CITIZEN, "csv 17")
    assert other.request_id != report.request_id

    file.write_text(
        "id,time,text,pipe,node\n1,noon,wet,E101,\n2,2026-03-02,,E101,J000\n3,2026-03-02,wet,,J000\n3,2026-03-02,wet,,J000\n"
    )
    with pytest.raises(InvalidInput) as caught:
        read_reports(file, "water", "desk")
    assert [(i.line, i.field, i.ids) for i in caught.value.issues] == [
        (2, "time", ("1",)), (3, "text", ("2",)), (3, "", ("2",)), (4, "id", ("3",)), (5, "id", ("3",)),
    ]  # fmt: skip
    file.write_text("id,time\n1,2026-03-02\n")
    with pytest.raises(InvalidInput, match=r":1: report: text: column is missing\n.*a place is missing"):
        read_reports(file, "water", "desk")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        read_reports(file, "water", "desk")
