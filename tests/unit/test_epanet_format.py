"""Reading and writing .inp files: every unit, every fault named, nothing lost on the way out."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from grid_models import formats
from grid_models.errors import InvalidInput
from grid_models.formats.epanet import read_inp, read_text
from grid_models.formats.epanet_export import inp_text, write_inp
from grid_models.formats.epanet_project import opened
from grid_models.formats.epanet_text import InpText
from grid_models.library.water import looped_town, pumped_tank
from grid_models.scenario import Patch, apply
from grid_models.tables import Table
from grid_models.water.network import WaterNetwork
from grid_models.water.units import FLOW_UNITS_PER_CFS, PRESSURE_UNITS, Units

WNTR = Path(str(files("wntr"))) / "library" / "networks"
WNTR_TESTS = Path(str(files("wntr"))) / "tests" / "networks_for_testing"
EPYT = Path(str(files("epyt"))) / "networks"
GOOD = [WNTR / f"{name}.inp" for name in ("Net1", "Net2", "Net3", "ky4", "ky10")] + [
    EPYT / "L-TOWN.inp",
    EPYT / "asce-tf-wdst" / "BWSN_Network_1.inp",
    WNTR_TESTS / "io.inp",
    WNTR_TESTS / "latin1.inp",
]

FULL = """
[JUNCTIONS]
 J 0.123456789 0
 K 1 0.123456789
 A 2 0
 B 3 0
[RESERVOIRS]
 R 250
[TANKS]
 T 10 1.23456789 0 5 10.123456789 0
[PIPES]
 P R J 10.123456789 300.123456789 130.123456789 0.123456789
 Q R A 10 300 130 0 CV
 S A T 10 300 130 0 Closed
[PUMPS]
 U J A POWER 10.123456789
 W J A HEAD C SPEED 1.123456789 PATTERN a
[VALVES]
 V A B 300 PRV 20.123456789 0
 Y J K 300 FCV 1.123456789 0
 G J K 300 GPV loss 0
[STATUS]
 V CLOSED
 Y OPEN
 U CLOSED
[PATTERNS]
 a 1.123456789 2.123456789e-5
[CURVES]
 C 1.123456789 2.123456789
 loss 0 0
 loss 10 2.5
[DEMANDS]
 K 0.123456789 a ;homes
 K 0.2
[EMITTERS]
 A 0.123456789
[LEAKAGE]
 P 100 10
[CONTROLS]
 LINK P OPEN IF NODE T BELOW 1.123456789
 LINK V 1.123456789 AT TIME 1.123456789
 LINK V OPEN AT CLOCKTIME 3:12 pm
 LINK W 1.123456789 IF NODE K ABOVE 8
 LINK Y CLOSED AT TIME 8:00:01
[RULES]
RULE 1
IF TANK T LEVEL > 1.123456789
OR JUNCTION K PRESSURE <= 7.5
OR TANK T FILLTIME > 1.123456789
AND SYSTEM CLOCKTIME > 3:12:01 PM
AND LINK V STATUS IS ACTIVE
THEN PUMP W SETTING IS 1.123456789
AND VALVE Y SETTING IS 2
ELSE PIPE P STATUS IS CLOSED
PRIORITY 3
[QUALITY]
 J 0.5
[SOURCES]
 J MASS 2
[REACTIONS]
 BULK P -0.5
[ENERGY]
 GLOBAL PRICE 0.123456789
[TIMES]
 DURATION 24:00:07
 PATTERN TIMESTEP 0:05
 QUALITY TIMESTEP 0:01
[OPTIONS]
 UNITS LPS
 QUALITY Chlorine mg/L
 PRESSURE KPA
 DEMAND MULTIPLIER 1.123456789
 DEMAND MODEL PDA
 REQUIRED PRESSURE 200
 VISCOSITY 1.123456789
[TAGS]
 LINK P old
[COORDINATES]
 J 1.5 2.5
[VERTICES]
 P 1 1
[END]
"""


def read(text: str) -> WaterNetwork:
    return read_text(InpText(text, "net.inp"), "net")


def lines_of(failure: pytest.ExceptionInfo[InvalidInput]) -> list[tuple[str, int | None]]:
    return [(issue.component, issue.line) for issue in failure.value.issues]


def assert_same(a: WaterNetwork, b: WaterNetwork, rtol: float) -> None:
    """Same ids, text and options; floats to `rtol`."""
    for name, table in a.tables.items():
        other = b.tables[name]
        assert table.index.tolist() == other.index.tolist(), name
        for column, values in table.items():
            if values.dtype.kind == "f":
                np.testing.assert_allclose(other[column], values, rtol=rtol, atol=0, err_msg=f"{name} {column}")
            elif len(values) and isinstance(values[0], np.ndarray):
                for mine, theirs in zip(values, other[column], strict=True):
                    np.testing.assert_allclose(theirs, mine, rtol=rtol, atol=0, err_msg=f"{name} {column}")
            else:
                assert values.tolist() == other[column].tolist(), f"{name} {column}"
    assert [(c.link, c.status, c.condition, c.node, c.enabled) for c in a.controls] == [
        (c.link, c.status, c.condition, c.node, c.enabled) for c in b.controls
    ]
    np.testing.assert_allclose([c.value for c in b.controls], [c.value for c in a.controls], rtol=rtol)
    assert len(a.rules) == len(b.rules)
    for mine, theirs in zip(a.rules, b.rules, strict=True):
        assert [replace(p, value=None) for p in mine.premises] == [replace(p, value=None) for p in theirs.premises]
        values = [p.value or 0.0 for p in mine.premises]
        np.testing.assert_allclose([p.value or 0.0 for p in theirs.premises], values, rtol=rtol)
        assert [(x.link, x.status) for x in mine.then] == [(x.link, x.status) for x in theirs.then]


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_a_network_that_was_only_read_goes_out_as_it_came(path: Path) -> None:
    network = read_inp(path)
    assert inp_text(network) == network.source


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_every_section_can_be_written_anew_without_loss(path: Path) -> None:
    network = read_inp(path)
    again = read(inp_text(replace(network, source="")))
    # 15 digits are written, and the noise of EPANET's feet is taken off on reading: not a bit may differ.
    assert again.revision == network.revision


@pytest.mark.parametrize("name", ["Net1", "Net3", "ky4", "ky10"])
def test_values_agree_with_an_independent_reader(name: str) -> None:
    import wntr

    ours = read_inp(WNTR / f"{name}.inp")
    theirs = wntr.network.WaterNetworkModel(str(WNTR / f"{name}.inp"))
    pipe = ours.tables["pipe"]
    # EPANET rounds a cubic foot to 28.317 L and a gallon to 1/448.831 of it: 7e-6 away from the exact factors.
    for i, label in enumerate(pipe.index.tolist()):
        link = theirs.get_link(label)
        assert pipe["length_m"][i] == pytest.approx(link.length, rel=1e-9)
        assert pipe["diameter_m"][i] == pytest.approx(link.diameter, rel=1e-9)
        assert pipe["roughness"][i] == pytest.approx(link.roughness, rel=1e-9)
    demand = ours.tables["demand"]
    total = dict.fromkeys(theirs.junction_name_list, 0.0)
    for node, base in zip(demand["node"].tolist(), demand["base_m3_per_s"].tolist(), strict=True):
        total[node] += base
    for label, base in total.items():
        wanted = sum(d.base_value for d in theirs.get_node(label).demand_timeseries_list)
        assert base == pytest.approx(wanted, rel=3e-5, abs=1e-12)
    tank = ours.tables["tank"]
    for i, label in enumerate(tank.index.tolist()):
        node = theirs.get_node(label)
        assert tank["maximum_level_m"][i] == pytest.approx(node.max_level, rel=1e-9)
        assert tank["diameter_m"][i] == pytest.approx(node.diameter, rel=1e-9)
    for i, label in enumerate(ours.tables["pump"].index.tolist()):
        pump = theirs.get_link(label)
        if pump.pump_type == "POWER":
            assert ours.tables["pump"]["power_w"][i] == pytest.approx(pump.power, rel=1e-4)  # hp = 745.7 W


def test_a_pump_s_power_is_in_kilowatts_in_metric_files() -> None:
    assert read(FULL).tables["pump"]["power_w"][0] == pytest.approx(10123.456789, rel=1e-12)


def test_a_head_curve_is_in_si_though_nothing_was_solved() -> None:
    curve = read(FULL).tables["curve"]
    assert curve["kind"].tolist() == ["head", "headloss"]
    assert curve["x"][0][0] == pytest.approx(1.123456789e-3, rel=1e-12)
    assert curve["y"][1].tolist() == [0, 2.5]


def test_a_demand_without_a_pattern_follows_the_default_pattern() -> None:
    demand = read_inp(WNTR / "Net1.inp").tables["demand"]
    assert set(demand["pattern"].tolist()) == {"1"}


def test_controls_and_rules_arrive_in_si() -> None:
    network = read(FULL)
    kpa = Units.of("LPS", "KPA", 1.0).pressure_m
    by_level, by_time, by_clock, by_pressure, exact = network.controls
    assert (by_level.status, by_level.setting, by_level.value) == ("open", None, pytest.approx(1.123456789))
    assert (by_time.status, by_time.setting) == ("active", pytest.approx(1.123456789 * kpa))
    assert (by_clock.condition, by_clock.value) == ("clock_time", 15 * 3600 + 12 * 60)
    assert by_pressure.value == pytest.approx(8 * kpa)
    assert exact.value in (28800, 28801)  # 8:00:01 is 28800.999... to EPANET, which cuts it
    (rule,) = network.rules
    assert [p.logic for p in rule.premises] == ["and", "or", "or", "and", "and"]
    assert rule.premises[1].value == pytest.approx(7.5 * kpa)
    assert rule.premises[2].value == pytest.approx(1.123456789 * 3600)
    assert rule.premises[3].value == 15 * 3600 + 12 * 60 + 1
    assert (rule.premises[4].status, rule.premises[4].value) == ("active", None)
    assert rule.then[1].setting == pytest.approx(2e-3)
    assert (rule.otherwise[0].status, rule.priority) == ("closed", 3.0)


@pytest.mark.parametrize("flow_unit", sorted(FLOW_UNITS_PER_CFS))
@pytest.mark.parametrize("pressure_unit", PRESSURE_UNITS)
def test_units_mean_what_epanet_s_own_solver_takes_them_for(flow_unit: str, pressure_unit: str) -> None:
    """An emitter and a pressure reducing valve, solved by EPANET, against our coefficients in SI."""
    from epanet import toolkit as en

    us = flow_unit in ("CFS", "GPM", "MGD", "IMGD", "AFD")
    u = Units.of(flow_unit, pressure_unit, 0.9)
    text = f"""
[JUNCTIONS]
 J 0
 A 0
 B 0
[RESERVOIRS]
 R {80 / u.length_m}
[PIPES]
 P R J 10 {12 if us else 300} 130 0
 Q R A 10 {12 if us else 300} 130 0
[VALVES]
 V A B {12 if us else 300} PRV {30 / u.pressure_m} 0
[DEMANDS]
 B {1e-3 / u.flow_m3_per_s}
[EMITTERS]
 J {1e-3 / u.flow_m3_per_s}
[OPTIONS]
 UNITS {flow_unit}
 PRESSURE {pressure_unit}
 SPECIFIC GRAVITY 0.9
 EMITTER EXPONENT 0.6
 ACCURACY 1e-5
[END]
"""
    network = read(text)
    with opened(InpText(text)) as project:
        en.openH(project)
        en.initH(project, 0)
        en.runH(project)
        head = en.getnodevalue(project, 1, en.HEAD) * u.length_m
        emitted = en.getnodevalue(project, 1, en.EMITTERFLOW) * u.flow_m3_per_s
        reduced = en.getnodevalue(project, 3, en.HEAD) * u.length_m
        en.closeH(project)
    # EPANET stops at a relative flow change of 1e-5.
    assert network.tables["junction"]["emitter_coefficient"][0] * head**0.6 == pytest.approx(emitted, rel=1e-4)
    assert network.tables["valve"]["setting"][0] == pytest.approx(reduced, abs=1e-4)


@pytest.mark.parametrize("flow_unit", ["LPS", "GPM"])
def test_leaks_mean_what_epanet_s_own_solver_takes_them_for(flow_unit: str) -> None:
    from epanet import toolkit as en

    u = Units.of(flow_unit, "METERS", 1.0)
    text = f"""
[JUNCTIONS]
 J 0
[RESERVOIRS]
 R {50 / u.length_m}
[PIPES]
 P R J 1000 {300e-3 / u.diameter_m} 130 0
[LEAKAGE]
 P 100 10
[OPTIONS]
 UNITS {flow_unit}
[END]
"""
    pipe = read(text).tables["pipe"]
    with opened(InpText(text)) as project:
        en.openH(project)
        en.initH(project, 0)
        en.runH(project)
        head = en.getnodevalue(project, 1, en.HEAD) * u.length_m
        leaked = en.getlinkvalue(project, 1, en.LINK_LEAKAGE) * u.flow_m3_per_s
        en.closeH(project)
    area = pipe["leak_area_m2_per_m"][0] + pipe["leak_expansion_m2_per_m2"][0] * head
    ours = 0.6 * np.sqrt(2 * 9.81) * pipe["length_m"][0] * area * np.sqrt(head)
    assert ours == pytest.approx(leaked, rel=1e-3)  # EPANET's g is 32.2 ft/s2, its leak coefficient has 8 digits


def edited(network: WaterNetwork, table: str, column: str, label: str, value: object) -> WaterNetwork:
    t = network.tables[table]
    return replace(network, tables={**network.tables, table: t.replace(column, t.rows([label]), value)})


@pytest.mark.parametrize(
    ("table", "column", "label", "value"),
    [
        ("pipe", "status", "S", "open"),
        ("pipe", "roughness", "P", 90.25),
        ("pump", "status", "U", "open"),
        ("pump", "speed", "W", 0.75),
        ("valve", "status", "V", "active"),
        ("valve", "setting", "V", 12.3456789012),
        ("tank", "initial_level_m", "T", 2.00001),
        ("junction", "elevation_m", "J", 7.125),
        ("junction", "emitter_coefficient", "A", 0.0),
        ("reservoir", "pattern", "R", "a"),
    ],
)
def test_one_edit_comes_back_and_nothing_else_changes(table: str, column: str, label: str, value: object) -> None:
    network = edited(read(FULL), table, column, label, value)
    text = inp_text(network)
    assert_same(network, read(text), rtol=1e-12)
    assert " BULK P -0.5" in text
    assert " J MASS 2" in text
    assert "QUALITY Chlorine mg/L" in text


def test_patterns_keep_their_digits() -> None:
    network = read(FULL)
    pattern = network.tables["pattern"]
    values = np.array([1.23456789012345e-7, 2.0])
    cells = np.empty(1, dtype=object)
    cells[0] = values
    tables = {**network.tables, "pattern": Table(pattern.index, {"multipliers": cells})}
    again = read(inp_text(replace(network, tables=tables)))
    np.testing.assert_allclose(again.tables["pattern"]["multipliers"][0], values, rtol=1e-14)


def test_a_demand_edit_replaces_the_demand_in_the_junction_line_too() -> None:
    network = read(FULL)
    demand = network.tables["demand"]
    tables = {**network.tables, "demand": demand.replace("base_m3_per_s", slice(None), 0.005)}
    again = read(inp_text(replace(network, tables=tables)))
    np.testing.assert_allclose(again.tables["demand"]["base_m3_per_s"], 0.005, rtol=1e-12)
    assert again.tables["demand"]["category"].tolist() == demand["category"].tolist()


def test_options_are_replaced_and_what_is_not_ours_stays() -> None:
    network = read(FULL)
    options = replace(network.options, duration_s=7200, demand_multiplier=0.5, minimum_pressure_m=1.0)
    text = inp_text(replace(network, options=options))
    again = read(text)
    assert (again.options.duration_s, again.options.demand_multiplier) == (7200, 0.5)
    assert again.options.minimum_pressure_m == pytest.approx(1.0)
    assert "QUALITY TIMESTEP 0:01" in text
    assert text.count("DURATION") == 1


def test_a_removed_pipe_takes_its_lines_in_other_sections_along() -> None:
    network = read(FULL)
    pipe = network.tables["pipe"]
    keep = pipe.index != "P"
    without = Table(pipe.index[keep], {name: column[keep] for name, column in pipe.items()})
    tables = {**network.tables, "pipe": without}
    gone = replace(network, tables=tables, controls=network.controls[1:], rules=())
    text = inp_text(gone)
    assert read(text).tables["pipe"].index.tolist() == ["Q", "S"]
    for line in (" BULK P -0.5", " LINK P old", " P 1 1", " P 100 10"):
        assert line not in text


def test_an_added_pipe_comes_last() -> None:
    network = looped_town(2, 2)
    pipe = network.tables["pipe"]
    new = {name: np.append(column, column[:1]) for name, column in pipe.items()}
    new["position"][-1] = np.iinfo(np.int64).max
    tables = {**network.tables, "pipe": Table(np.append(pipe.index, "bypass"), new)}
    again = read(inp_text(replace(network, tables=tables)))
    assert again.link_ids[-1] == "bypass"


def test_what_an_inp_cannot_say_is_refused() -> None:
    network = pumped_tank()
    options = replace(network.options, default_pattern="day")
    demand = network.tables["demand"].replace("pattern", [1], "")
    with pytest.raises(InvalidInput, match="default pattern day"):
        inp_text(replace(network, options=options, tables={**network.tables, "demand": demand}))


def test_a_file_is_written_in_utf_8(tmp_path: Path) -> None:
    network = replace(looped_town(2, 2), name="Straße")
    write_inp(replace(network, source=""), tmp_path / "out.inp")
    assert "Straße" in (tmp_path / "out.inp").read_text(encoding="utf-8")
    assert_same(network, read_inp(tmp_path / "out.inp"), rtol=1e-12)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path: Path, encoding: str, newline: str) -> None:
    text = "[TITLE]\nMünster\n[JUNCTIONS]\nBrücke 1 2\n[RESERVOIRS]\nR 9\n[PIPES]\nP R Brücke 10 100 100\n[END]\n"
    path = tmp_path / "net.inp"
    path.write_bytes(text.replace("\n", newline).encode(encoding))
    assert read_inp(path).node_ids.tolist() == ["Brücke", "R"]


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


def test_what_the_source_had_no_section_for_is_put_where_epanet_finds_it() -> None:
    tank = pumped_tank().tables["tank"]
    network = read("[JUNCTIONS]\n J 1 1\n[RESERVOIRS]\n R 50\n[PIPES]\n P R J 10 100 100\n[OPTIONS]\n UNITS LPS\n[END]\n")
    pipe = network.tables["pipe"]
    longer = {name: np.append(column, column) for name, column in pipe.items()}
    longer["from_node"][1] = "tower"
    tables = {**network.tables, "tank": tank, "pipe": Table(np.append(pipe.index, "Q"), longer)}
    text = inp_text(replace(network, tables=tables))
    assert read(text).tables["tank"].index.tolist() == ["tower"]
    assert text.index("[TANKS]") < text.index("[PIPES]")


def test_networks_of_installed_packages_are_read_by_name() -> None:
    assert formats.read("wntr:Net1").n_junction == formats.read("epyt:Net1").n_junction == 9
    with pytest.raises(InvalidInput, match="L-TOWN"):
        formats.read("epyt:no-such-town")


def test_the_suffix_finds_reader_and_writer(tmp_path: Path) -> None:
    network = looped_town()
    formats.write(network, tmp_path / "town.inp")
    assert formats.read(tmp_path / "town.inp").revision == network.revision


PATCHES = {
    "close a pipe": 'set = { element = "pipe 10", column = "status", value = "closed" }',
    "stop a pump": 'set = { element = "pump 9", column = "status", value = "closed" }',
    "all demands up": 'scale = { element = "demand *", column = "base_m3_per_s", factor = 1.25 }',
    "one demand": 'set = { element = "demand 12", column = "base_m3_per_s", value = 0.02 }',
    "another day": 'set = { element = "pattern 1", column = "multipliers", value = [1.0, 0.25, 1.5] }',
    "lower the tank": 'set = { element = "tank 2", column = "initial_level_m", value = 31.5 }',
    "cut a pipe out": 'remove = { element = "pipe 110" }',
    "lay a pipe": 'create = { table = "pipe", id = "new", fields = { from_node = "10", to_node = "13", '
    "length_m = 100.0, diameter_m = 0.3, roughness = 110.0 } }",
}


@pytest.mark.parametrize("change", PATCHES.values(), ids=PATCHES.keys())
def test_a_patched_network_is_exported_and_read_back(change: str) -> None:
    patch = Patch.from_toml(f"[[change]]\n{change}")
    network = apply(formats.read("wntr:Net1"), patch)
    again = read(inp_text(network))
    assert Patch.from_toml(patch.to_toml()) == patch
    assert set(again.link_ids.tolist()) == set(network.link_ids.tolist())
    for name in ("junction", "demand", "tank", "pipe", "pump", "pattern"):
        mine, theirs = network.tables[name], again.tables[name]
        rows = theirs.rows(mine.index.tolist())
        for column in set(mine) - {"position"}:
            if mine[column].dtype.kind == "f":
                # The patch speaks metres, the file feet, with 15 digits.
                np.testing.assert_allclose(theirs[column][rows], mine[column], rtol=1e-14, err_msg=column)
            else:
                assert repr(theirs[column][rows].tolist()) == repr(mine[column].tolist()), column
