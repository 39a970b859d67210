"""Broken pandapower files: each fault is named by element and column, none reaches a solver or ends in a traceback."""

from pathlib import Path
from typing import Any

import pandapower as pp
import pandapower.networks as pn
import pytest

from grid_models.errors import InvalidInput
from grid_models.formats import read
from grid_models.formats.pandapower import from_pandapower


def spoiled(table: str, column: str, value: Any) -> Any:
    net = pn.mv_oberrhein()
    net[table][column] = net[table][column].astype(object)
    net[table].loc[net[table].index[0], column] = value
    return net


@pytest.mark.parametrize(
    ("table", "column", "value", "message"),
    [
        ("load", "p_mw", "many", r"load \d+: p_mw: must be a finite number, is many"),
        ("load", "bus", None, r"load \d+: bus: must be the number of an element"),
        ("load", "bus", 1.5, r"load \d+: bus: must be the number of an element, is 1.5"),
        ("line", "length_km", float("nan"), r"line \d+: length_km: must be a finite number, is nan"),
        ("line", "in_service", "perhaps", r"line \d+: in_service: must be true or false, is perhaps"),
        ("trafo", "vk_percent", None, r"trafo 114: vk_percent: must be a finite number"),
        ("trafo", "vk_percent", 0.0, r"trafo 114: vk_percent: must not be zero"),
        ("trafo", "vkr_percent", 50.0, r"trafo 114: vkr_percent: must not exceed vk_percent"),
        ("trafo", "hv_bus", 9999, r"trafo 114: hv_bus: no such bus: 9999"),
        ("line", "max_i_ka", "much", r"line \d+: max_i_ka: must be a number, is much"),
        ("trafo", "parallel", "two", r"trafo 114: parallel: must be a number, is two"),
        ("trafo", "tap_pos", "up", r"trafo 114: tap_pos: must be a number, is up"),
        ("switch", "closed", "ajar", r"switch \d+: closed: must be true or false, is ajar"),
        ("ext_grid", "vm_pu", -1.0, r"ext_grid \d+: vm_pu: must be greater than 0"),
    ],
)
def test_a_spoiled_cell_is_named(table: str, column: str, value: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        from_pandapower(spoiled(table, column, value))


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), "hundred"])
def test_a_base_power_that_is_none_is_named(value: Any) -> None:
    net = pn.case9()
    net["sn_mva"] = value
    with pytest.raises(InvalidInput, match=r"network: sn_mva: must be a positive number"):
        from_pandapower(net)


def test_lines_without_impedance_and_missing_columns_are_named() -> None:
    net = pn.case9()
    net.line["r_ohm_per_km"], net.line["x_ohm_per_km"] = 0.0, 0.0
    with pytest.raises(InvalidInput, match=r"line 0, 1, .* has no impedance"):
        from_pandapower(net)
    del net.line["r_ohm_per_km"]
    with pytest.raises(InvalidInput, match=r"line: r_ohm_per_km: this column is missing"):
        from_pandapower(net)


def test_thyristors_and_compensators_without_reactance_are_named() -> None:
    net = pn.case9()
    pp.create_svc(net, 4, 0.0, -10.0, 1.0, 140.0)
    pp.create_tcsc(net, 4, 5, 1.0, 0.0, -5.0, 140.0)
    pp.create_ssc(net, 6, 0.0, 0.0, 1.0)
    with pytest.raises(InvalidInput) as refused:
        from_pandapower(net)
    named = {(issue.component, issue.field) for issue in refused.value.issues}
    assert named == {("svc", "x_l_ohm"), ("tcsc", "x_cvar_ohm"), ("ssc", "x_ohm")}


def test_tables_that_are_none_and_indices_that_count_nothing_are_named() -> None:
    net = pn.case9()
    net["load"] = 0.5
    with pytest.raises(InvalidInput, match=r"load: must be a table, is 0\.5"):
        from_pandapower(net)
    net = pn.case9()
    net.line.index = ["a", *net.line.index[1:]]
    with pytest.raises(InvalidInput, match=r"line a: index: must be whole numbers"):
        from_pandapower(net)


def test_an_ideal_phase_shifter_with_two_kinds_of_step_is_named() -> None:
    net = pn.mv_oberrhein()
    net.trafo.loc[114, ["tap_changer_type", "tap_step_percent", "tap_step_degree"]] = "Ideal", 1.5, 2.0
    with pytest.raises(InvalidInput, match=r"trafo 114: tap_step_degree: an ideal phase shifter has one step"):
        from_pandapower(net)


def test_files_that_are_no_networks_say_so(tmp_path: Path) -> None:
    pp.to_json(pn.case9(), str(tmp_path / "whole.json"))
    whole = (tmp_path / "whole.json").read_text()
    for name, text, message in (
        ("cut", whole[: len(whole) // 2], r"cut.json:\d+: is not JSON"),
        ("empty", "", "is not JSON"),
        ("list", "[1, 2]", "not a pandapower network"),
        ("deep", "[" * 100_000, "nested too deeply"),
    ):
        (tmp_path / f"{name}.json").write_text(text)
        with pytest.raises(InvalidInput, match=message):
            read(tmp_path / f"{name}.json")
