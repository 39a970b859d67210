"""The utility's point list: read whole or refused with every fault; a uid stays with its name for ever."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from grid_models.errors import InvalidInput
from grid_models.measurements import Signal, SignalKind, Update
from tests.simulation.small_twin import CATALOGUE, signal
from twin.point_list import read_point_list, write_point_list


def listed(folder: Path, *signals: Signal) -> Path:
    write_point_list(signals, folder / "points.csv")
    return folder / "points.csv"


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    odd = signal(77, "water", name='Ventil "Süd", 3', kind=SignalKind.SWITCH, update=Update.CYCLIC, sign=-1, sigma=0.125)
    again = read_point_list(listed(tmp_path, *CATALOGUE.signals, odd))
    assert again.signals == (*CATALOGUE.signals, odd)


def test_the_same_list_has_the_same_revision_and_another_binding_another(tmp_path: Path) -> None:
    one = read_point_list(listed(tmp_path, *CATALOGUE.signals)).revision
    assert read_point_list(listed(tmp_path, *reversed(CATALOGUE.signals))).revision == one
    changed = (replace(CATALOGUE.signals[0], element="99"), *CATALOGUE.signals[1:])
    assert read_point_list(listed(tmp_path, *changed)).revision != one


def test_a_uid_is_never_reused(tmp_path: Path) -> None:
    store = tmp_path / "store"
    plain = [replace(signal(0, "power"), name=n) for n in ("a", "b", "c")]
    first = {s.name: s.uid for s in read_point_list(listed(tmp_path, *plain), store).signals}
    assert sorted(first.values()) == [1, 2, 3]
    without_b = read_point_list(listed(tmp_path, plain[0], plain[2]), store)
    assert {s.name: s.uid for s in without_b.signals} == {"a": first["a"], "c": first["c"]}
    fourth = replace(plain[0], name="d")
    later = {s.name: s.uid for s in read_point_list(listed(tmp_path, fourth, *plain), store).signals}
    assert later == first | {"d": 4}


def test_a_wanted_uid_that_another_signal_has_is_not_given_twice(tmp_path: Path) -> None:
    clash = [replace(signal(5, "power"), name=n) for n in ("a", "b")]
    uids = [s.uid for s in read_point_list(listed(tmp_path, *clash)).signals]
    assert uids == [5, 6]


def test_every_fault_is_told_with_its_line(tmp_path: Path) -> None:
    path = listed(tmp_path, *CATALOGUE.signals)
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace("MW", "kW")
    lines[2] = lines[2].replace("p_mw", "horsepower")
    lines[3] = lines[3].replace(",1.0,-1000.0", ",one,-1000.0")
    lines[4] = lines[4].replace("ANALOG", "DIGITAL")
    path.write_text("\n".join(lines))
    with pytest.raises(InvalidInput) as caught:
        read_point_list(path)
    told = [str(i) for i in caught.value.issues]
    assert [i.line for i in caught.value.issues] == [2, 3, 4, 5]
    assert "nothing is converted silently" in told[0]
    assert "horsepower" in told[1]
    assert "sigma must be a number, is 'one'" in told[2]
    assert "DIGITAL" in told[3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma": 0.0}, "sigma"),
        ({"sigma": float("nan")}, "sigma"),
        ({"lower": 5.0, "upper": 4.0}, "lower"),
        ({"ttl_s": -1.0}, "ttl_s"),
        ({"hold_s": float("nan")}, "hold_s"),
    ],
)
def test_numbers_without_sense_are_refused(tmp_path: Path, changes: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_point_list(listed(tmp_path, signal(1, "power", **changes)))


def test_a_name_twice_and_a_missing_column_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"s1.*appears more than once"):
        read_point_list(listed(tmp_path, signal(1, "power"), signal(1, "power")))
    path = tmp_path / "short.csv"
    path.write_text("name,network\na,b\n")
    with pytest.raises(InvalidInput, match="column is missing"):
        read_point_list(path)


def test_a_row_that_is_too_short_and_a_file_that_is_no_text_are_told(tmp_path: Path) -> None:
    path = listed(tmp_path, *CATALOGUE.signals)
    path.write_text(path.read_text() + "only,two\n")
    with pytest.raises(InvalidInput, match="only"):
        read_point_list(path)
    path.write_bytes(b"\xff\xfe\x00\x80" * 10)
    with pytest.raises(InvalidInput, match=r"points\.csv"):
        read_point_list(path)
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_point_list(tmp_path / "none.csv")
