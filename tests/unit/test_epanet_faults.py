"""Every fault of an .inp file is told with its section and line."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from grid_models.errors import InvalidInput
from grid_models.formats.epanet import read_inp
from tests.unit.inp_files import FULL, lines_of, read

WNTR = Path(str(files("wntr"))) / "library" / "networks"
WNTR_TESTS = Path(str(files("wntr"))) / "tests" / "networks_for_testing"
EPYT = Path(str(files("epyt"))) / "networks"


@pytest.mark.parametrize(
    ("old", "new", "section", "message"),
    [
        (" R 250", " R nan", "[RESERVOIRS]", "not a finite"),
        (" J 0.123456789 0", " J inf 0", "[JUNCTIONS]", "not a finite"),
        ("10 300 130 0 CV", "10 1e400 130 0 CV", "[PIPES]", "not a finite"),
        ("POWER 10.123456789", "POWER infinity", "[PUMPS]", "not a finite"),
        ("PRV 20.123456789", "PRV NaN", "[VALVES]", "not a finite"),
        (" a 1.123456789 2.123456789e-5", " a 1 -inf", "[PATTERNS]", "not a finite"),
        (" C 1.123456789", " C 0x10", "[CURVES]", "not a finite"),
        ("DEMAND MULTIPLIER 1.123456789", "DEMAND MULTIPLIER nan", "[OPTIONS]", "not a finite"),
        ("BELOW 1.123456789", "BELOW nan", "[CONTROLS]", "not a finite"),
        ("SETTING IS 1.123456789", "SETTING IS inf", "[RULES]", "not a finite"),
        (" R 250", " R 2\x0050", "[RESERVOIRS]", "NUL"),
        (" T 10 1.23456789 0 5 10.123456789 0", " T 10 1", "[TANKS]", "ends early"),
        (" J 0.123456789 0", " J", "[JUNCTIONS]", "ends early"),
        (" J MASS 2", " J MASS", "[SOURCES]", "ends early"),
        ("DURATION 24:00:07", "DURATION 0:00:00:07", "[TIMES]", "is not a time"),
        (" P R J 10.12", " P R nowhere 10.12", "[PIPES]", "undefined node"),
        (" Q R A 10 300", " P R A 10 300", "[PIPES]", "duplicate ID"),
        (" Q R A 10 300", " Q R A -10 300", "[PIPES]", "EPANET error"),
        ("[EMITTERS]", "[EMITTER]", "[EMITTER]", "unknown section"),
        ("IF TANK T LEVEL", "IF TANK X LEVEL", "[RULES]", "undefined node"),
        (" T 10 1.23456789 0 5", " T 10 6 0 5", "[TANKS]", "must lie between"),
        (" V A B 300 PRV", " V A T 300 PRV", "[VALVES]", "tank"),
    ],
)
def test_a_fault_is_named_with_section_and_line(old: str, new: str, section: str, message: str) -> None:
    assert FULL.count(old) == 1
    broken = FULL.replace(old, new)
    with pytest.raises(InvalidInput, match=message) as failure:
        read(broken)
    line = broken[: broken.index(new)].count("\n") + 1
    assert (section, line) in lines_of(failure)


def test_a_file_that_stops_in_the_middle_of_a_line_is_refused() -> None:
    with pytest.raises(InvalidInput, match="middle of this line"):
        read(FULL[: FULL.index(" 130.123456789")])


def test_all_faults_are_told_at_once() -> None:
    broken = FULL.replace(" R 250", " R nan").replace("POWER 10.123456789", "POWER inf")
    with pytest.raises(InvalidInput) as failure:
        read(broken)
    assert [component for component, _ in lines_of(failure)] == ["[RESERVOIRS]", "[PUMPS]"]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (WNTR_TESTS / "bad_syntax.inp", ("[FOO]", 330)),
        (WNTR_TESTS / "bad_times.inp", ("[TIMES]", 324)),
        (WNTR_TESTS / "bad_values.inp", ("[PIPES]", 56)),
        (EPYT / "asce-tf-wdst" / "Net1broken.inp", ("[TANKS]", 28)),
    ],
    ids=lambda p: getattr(p, "stem", ""),
)
def test_files_known_to_be_bad_are_refused_with_their_line(path: Path, place: tuple[str, int]) -> None:
    with pytest.raises(InvalidInput) as failure:
        read_inp(path)
    assert place in lines_of(failure)


@pytest.mark.parametrize("text", ["", "\n\n", "[END]", "garbage", "\x00" * 40, "[JUNCTIONS]\n[PIPES]\n"])
def test_a_file_without_a_network_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as failure:
        read(text)
    assert all(issue.line is not None for issue in failure.value.issues)
