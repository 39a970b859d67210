"""Reading .inp files: every unit means what EPANET takes it for, and what was only read goes out as it came."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from grid_models import formats
from grid_models.errors import InvalidInput
from grid_models.formats.epanet import read_inp
from grid_models.formats.epanet_export import inp_text, write_inp
from grid_models.formats.epanet_project import opened
from grid_models.formats.epanet_text import InpText
from grid_models.library.water import looped_town
from grid_models.water.units import FLOW_UNITS_PER_CFS, PRESSURE_UNITS, Units
from tests.unit.inp_files import FULL, assert_same, read

WNTR = Path(str(files("wntr"))) / "library" / "networks"
WNTR_TESTS = Path(str(files("wntr"))) / "tests" / "networks_for_testing"
EPYT = Path(str(files("epyt"))) / "networks"
GOOD = [WNTR / f"{name}.inp" for name in ("Net1", "Net2", "Net3", "ky4", "ky10")] + [
    EPYT / "L-TOWN.inp",
    EPYT / "asce-tf-wdst" / "BWSN_Network_1.inp",
    WNTR_TESTS / "io.inp",
    WNTR_TESTS / "latin1.inp",
]


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


def test_networks_of_installed_packages_are_read_by_name() -> None:
    assert formats.read("wntr:Net1").n_junction == formats.read("epyt:Net1").n_junction == 9
    with pytest.raises(InvalidInput, match="L-TOWN"):
        formats.read("epyt:no-such-town")


def test_the_suffix_finds_reader_and_writer(tmp_path: Path) -> None:
    network = looped_town()
    formats.write(network, tmp_path / "town.inp")
    assert formats.read(tmp_path / "town.inp").revision == network.revision
