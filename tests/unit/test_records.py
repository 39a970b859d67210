"""The past that was cut off the journal: it reads back as it was, and knows what it can answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from grid_models.state import Position
from twin.checkpoint import START, Mark
from twin.journal import Entry, EntryKind
from twin.records import Past

ENTRIES = [Entry(Position(1, n), EntryKind.ROWS, bytes([n % 251]) * (n * 37 % 5000)) for n in range(1, 400)]


def test_a_stretch_reads_back_as_it_was(tmp_path: Path) -> None:
    past = Past(tmp_path)
    past.keep(START, iter(ENTRIES))
    assert list(past.read(START)) == ENTRIES
    assert past.marks() == [START]


def test_a_stretch_that_was_not_finished_is_not_there(tmp_path: Path) -> None:
    past = Past(tmp_path)

    def torn() -> Iterator[Entry]:
        yield ENTRIES[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        past.keep(START, torn())
    assert past.marks() == []
    past.keep(START, iter(ENTRIES[:3]))
    assert list(past.read(START)) == ENTRIES[:3]


def test_only_what_no_kept_instant_needs_is_dropped(tmp_path: Path) -> None:
    past = Past(tmp_path)
    marks = [START, *(Mark(Position(1, n), 100 * n, 100 * n) for n in (1, 2, 3))]
    for mark in marks:
        past.keep(mark, ENTRIES[:1])
    past.drop(199)
    assert past.marks() == marks[1:]
    past.drop(200)
    assert past.marks() == marks[2:]
    past.drop(1000)
    assert past.marks() == marks[3:]


@pytest.mark.parametrize(
    ("valid", "known", "serves"), [(100, None, True), (99, None, False), (500, 120, True), (500, 119, False)]
)
def test_a_mark_serves_what_lies_behind_it_on_both_axes(valid: int, known: int | None, serves: bool) -> None:
    assert Mark(Position(1, 1), 100, 120).serves(valid, known) is serves
