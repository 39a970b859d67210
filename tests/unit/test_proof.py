"""A proof writes down what it did, and that it failed where it did."""

from pathlib import Path

import pytest

from tests.proof import proof


def test_each_proof_has_one_row_that_tells_how_it_ended_last(tmp_path: Path) -> None:
    page = tmp_path / "proofs.md"
    with proof("kills", "nothing is lost", "kills", "tests/kills.py", page) as tally:
        tally.count = 1_200
    with pytest.raises(ZeroDivisionError), proof("bodies", "a|b", "bodies", "tests/bodies.py", page) as tally:
        tally.count = 1 // 0
    rows = [line.split(" | ") for line in page.read_text().splitlines() if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == ["| bodies", "| kills"]
    assert [row[2] for row in rows] == ["0 bodies", "1,200 kills"]
    assert [row[4] for row in rows] == ["FAILED: ZeroDivisionError integer division or modulo by zero", "held"]
    with proof("bodies", "a|b", "bodies", "tests/bodies.py", page) as tally:
        tally.count = 3
    rows = [line.split(" | ") for line in page.read_text().splitlines() if line.startswith("| ")][1:]
    assert [row[2:5:2] for row in rows] == [["3 bodies", "held"], ["1,200 kills", "held"]]
