"""The archive: what the journal held is found again by two times, once each, whatever crashed in between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pytest

from grid_models.measurements import Rows, TimeQuality
from grid_models.state import Position
from tests.simulation.small_twin import SECOND, T0, rows
from twin.archive import Archive
from twin.errors import Unavailable

DAY = 86_400  # T0 is 2023-11-14 22:13:20


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    opened = Archive(tmp_path)
    yield opened
    opened.close()


def received(batch: Rows, second: float) -> Rows:
    batch.receive_time_us[:] = T0 + round(second * SECOND)
    return batch


def at(second: float) -> int:
    return T0 + round(second * SECOND)


def test_rows_come_back_with_every_column_in_order_of_time(archive: Archive) -> None:
    some = Rows.concatenate(
        [rows((2, 5, 2.0, 3), flags=9, validity=2), rows((1, 1, -1.5)), rows((3, 9, 3.0), quality=TimeQuality.UNSYNCED)]
    )
    archive.seal([(Position(1, 1), some)], Position(1, 1))
    back = archive.window([1, 2, 3], at(0), at(10))
    expected = some.take(np.array([1, 0, 2]))
    for name, column in vars(expected).items():
        assert getattr(back, name).dtype == column.dtype
        assert getattr(back, name).tolist() == column.tolist()


def test_a_window_is_half_open_and_holds_only_what_was_asked_for(archive: Archive) -> None:
    archive.seal([(Position(1, 1), rows(*((u, t, float(t)) for t in range(10) for u in (1, 2))))], Position(1, 1))
    assert archive.window([2], at(3), at(6)).value.tolist() == [3, 4, 5]
    assert len(archive.window([7], at(0), at(99))) == 0
    assert len(archive.window([], at(0), at(99))) == 0


def test_days_have_files_of_their_own_and_a_window_spans_them(archive: Archive, tmp_path: Path) -> None:
    archive.seal([(Position(1, 1), rows((1, 0, 0.0), (1, DAY, 1.0), (1, 2 * DAY, 2.0)))], Position(1, 1))
    assert sorted(p.name for p in tmp_path.glob("*.duckdb")) == [f"2023-11-{d}.duckdb" for d in (14, 15, 16)]
    assert archive.window([1], at(0), at(3 * DAY)).value.tolist() == [0, 1, 2]
    archive.seal([(Position(1, 2), rows((1, 60, 0.5)))], Position(1, 2))  # late, for a finished day
    assert archive.window([1], at(0), at(3 * DAY)).value.tolist() == [0, 0.5, 1, 2]
    with duckdb.connect(tmp_path / "2023-11-14.duckdb", read_only=True) as elsewhere:
        assert elsewhere.execute("SELECT count(*) FROM measurement").fetchone() == (2,)


def test_a_row_without_time_lies_where_it_was_received(archive: Archive) -> None:
    archive.seal([(Position(1, 1), received(rows((1, 0, 4.0), quality=TimeQuality.NONE), DAY))], Position(1, 1))
    assert archive.window([1], at(DAY), at(DAY + 1)).source_time_us.tolist() == [0]


def test_what_is_sealed_twice_counts_once(archive: Archive) -> None:
    first, second = (Position(1, 1), rows((1, 0, 1.0))), (Position(1, 2), rows((1, 1, 2.0), (1, DAY, 3.0)))
    archive.seal([first], first[0])
    archive.seal([first, second], second[0])
    archive.seal([first, second], second[0])
    assert archive.window([1], at(0), at(2 * DAY)).value.tolist() == [1, 2, 3]
    assert archive.sealed == Position(1, 2)


def test_a_crash_between_the_days_of_one_seal_is_mended_by_sealing_again(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = [(Position(1, n), rows((1, n, float(n)), (1, DAY + n, 10.0 + n))) for n in (1, 2)]
    archive.seal(batch[:1], Position(1, 1))
    write = Archive._write

    def crash(self: Archive, day: date, *rest: object) -> None:
        if day == date(2023, 11, 15):
            raise KeyboardInterrupt
        write(self, day, *rest)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(Archive, "_write", crash)
    with pytest.raises(KeyboardInterrupt):
        archive.seal(batch[1:], Position(1, 2))
    monkeypatch.undo()
    assert archive.sealed == Position(1, 1)
    third = (Position(1, 3), rows((1, 3, 3.0)))
    archive.seal([batch[1], third], Position(1, 3))
    assert archive.window([1], at(0), at(2 * DAY)).value.tolist() == [1, 2, 3, 11, 12]


def test_the_position_outlives_the_process(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    assert archive.sealed == Position(0, 0)
    archive.seal([(Position(2, 7), rows((1, 0, 1.0)))], Position(2, 9))
    archive.close()
    again = Archive(tmp_path)
    assert again.sealed == Position(2, 9)
    assert again.window([1], at(0), at(1)).value.tolist() == [1]
    again.close()


def test_both_times_are_honoured(archive: Archive) -> None:
    batches = [
        received(rows((1, 0, 1.0), (2, 0, 5.0)), 1),
        received(rows((1, 10, 2.0)), 11),
        received(rows((1, 5, 9.0)), 20),  # late
        received(rows((1, 10, 3.0, 1)), 30),  # a correction of the second
    ]
    archive.seal([(Position(1, n), b) for n, b in enumerate(batches, 1)], Position(1, 4))
    assert archive.window([1], at(0), at(99), known_us=at(15)).value.tolist() == [1, 2]

    def latest(valid: float, known: float | None, hold: float = 60) -> list[float]:
        known_us = None if known is None else at(known)
        return archive.latest([2, 1], at(valid), known_us, round(hold * SECOND)).value.tolist()

    assert latest(7, 15) == [1, 5]
    assert latest(7, 25) == [9, 5]
    assert latest(12, 15) == [2, 5]
    assert latest(12, None) == [3, 5]
    assert latest(12, None, hold=5) == [3]


def test_the_latest_value_is_looked_for_on_earlier_days_no_further_than_its_hold_time(archive: Archive) -> None:
    archive.seal([(Position(1, 1), rows((1, 0, 1.0), (2, 2 * DAY, 2.0)))], Position(1, 1))
    assert archive.latest([1, 2], at(2 * DAY + 9), None, 3 * DAY * SECOND).value.tolist() == [1, 2]
    assert archive.latest([1, 2], at(2 * DAY + 9), None, DAY * SECOND).value.tolist() == [2]


def test_reading_through_a_position_leaves_out_what_was_sealed_since(archive: Archive) -> None:
    archive.seal([(Position(1, n), rows((1, n, float(n)))) for n in (1, 2, 3)], Position(1, 3))
    assert archive.window([1], at(0), at(9), through=Position(1, 2)).value.tolist() == [1, 2]
    assert archive.window([1], at(0), at(9), through=Position(0, 99)).value.tolist() == []


def test_dropping_deletes_whole_days_and_leaves_the_others(archive: Archive, tmp_path: Path) -> None:
    archive.seal([(Position(1, 1), rows((1, 0, 0.0), (1, DAY, 1.0), (1, 2 * DAY, 2.0)))], Position(1, 1))
    assert archive.drop(date(2023, 11, 16)) == (date(2023, 11, 14), date(2023, 11, 15))
    assert archive.window([1], at(0), at(3 * DAY)).value.tolist() == [2]
    assert [p.name for p in tmp_path.glob("*.duckdb")] == ["2023-11-16.duckdb"]
    assert archive.drop(date(2024, 1, 1)) == (date(2023, 11, 16),)
    assert len(archive.window([1], at(0), at(3 * DAY))) == 0


def test_a_day_that_cannot_be_opened_is_named(archive: Archive, tmp_path: Path) -> None:
    archive.seal([(Position(1, 1), rows((1, 0, 0.0), (1, DAY, 1.0)))], Position(1, 1))
    (tmp_path / "2023-11-14.duckdb").write_bytes(b"nothing of the kind" * 1000)
    with pytest.raises(Unavailable, match="archive of 2023-11-14"):
        archive.window([1], at(0), at(2 * DAY))
    assert archive.window([1], at(DAY), at(2 * DAY)).value.tolist() == [1]
