"""Tap changers in the loop, against pandapower's own controllers."""

from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
from pandapower.control import ContinuousTapControl, DiscreteTapControl

from grid_models.errors import InvalidInput
from grid_models.formats.compiled import read_compiled, write_compiled
from grid_models.formats.pandapower import from_pandapower, rederived, to_pandapower
from grid_models.power.network import PowerNetwork
from grid_models.power.taps import positions, retap
from grid_models.scenario import Patch, apply
from solvers.power.load_flow import load_flow
from solvers.power.methods import Choice
from solvers.power.newton import LoadFlow
from solvers.power.tap_control import with_tap_control
from solvers.solution import Solution, Status
from solvers.solve import solve


def regulated(net: Any) -> tuple[Solution[LoadFlow], PowerNetwork]:
    return with_tap_control(
        from_pandapower(net), lambda network, before: load_flow(network, start=before.v if before else None)
    )


def assert_equals_pandapower(net: Any, status: Status = Status.SOLVED) -> PowerNetwork:
    """Taps and voltages as pandapower's controllers leave them."""
    solution, network = regulated(net)
    assert solution.status is status, solution.culprits
    pp.runpp(net, run_control=True, tolerance_mva=1e-9, max_iter=100)
    for element in ("trafo", "trafo3w"):
        if len(net[element]):
            ours = positions(network.tables[element], np.arange(len(net[element])))
            theirs = net[element].tap_pos.where(net[element].tap_pos.notna(), net[element].tap_neutral).to_numpy(float)
            # Continuous taps: a voltage held within 1e-8 pu leaves the tap within 1e-8 / a step of a percent or so.
            np.testing.assert_allclose(ours, theirs, atol=2e-5, err_msg=element)
    bus = solution.value.model.node_bus[: len(net.bus)]
    vm = np.where(bus >= 0, np.abs(np.append(solution.value.v, np.nan)[bus]), np.nan)
    np.testing.assert_allclose(vm, net.res_bus.vm_pu.to_numpy(), atol=1e-7)
    return network


@pytest.mark.parametrize("name", ["mv_oberrhein", "example_multivoltage", "case118", "case300"])
def test_an_equivalent_follows_its_tap_as_pandapower_makes_it(name: str) -> None:
    made = getattr(pn, name)()
    network = from_pandapower(made[0] if isinstance(made, tuple) else made)
    for element in ("trafo", "trafo3w"):
        if element not in network.tables:
            continue
        table = network.tables[element]
        rows = np.flatnonzero(np.isin(table["tap_side"].astype(str), ("hv", "mv", "lv")))
        moved = retap(network, element, rows, positions(table, rows) + np.arange(len(rows)) % 5 - 2)
        expected = rederived(moved).equivalents
        for column in ("y_ff", "y_ft", "y_tf", "y_tt", "shift_rad"):
            np.testing.assert_allclose(getattr(moved.equivalents, column), getattr(expected, column), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("tap_side", ["hv", "lv"])
@pytest.mark.parametrize(("degree", "kind"), [(0.0, "Ratio"), (60.0, "Ratio"), (150.0, "Symmetrical"), (2.0, "Ideal")])
def test_changers_at_an_angle(tap_side: str, degree: float, kind: str) -> None:
    net = pn.mv_oberrhein()
    net.trafo["tap_side"], net.trafo["tap_step_degree"], net.trafo["tap_changer_type"] = tap_side, degree, kind
    if kind == "Ideal":
        net.trafo["tap_step_percent"] = np.nan
    network = from_pandapower(net)
    moved = retap(network, "trafo", np.arange(2), np.array([3.0, -1.0]))
    expected = rederived(moved).equivalents
    for column in ("y_ff", "y_ft", "y_tf", "y_tt", "shift_rad"):
        np.testing.assert_allclose(getattr(moved.equivalents, column), getattr(expected, column), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("side", ["hv", "mv", "lv"])
@pytest.mark.parametrize("star", [False, True])
def test_three_windings_with_the_changer_anywhere(side: str, star: bool) -> None:
    net = pn.example_multivoltage()
    net.trafo3w["tap_side"], net.trafo3w["tap_at_star_point"] = side, star
    net.trafo3w["tap_step_percent"], net.trafo3w["tap_step_degree"] = 1.3, 0.0
    network = from_pandapower(net)
    moved = retap(network, "trafo3w", np.array([0]), np.array([4.0]))
    expected = rederived(moved).equivalents
    for column in ("y_ff", "y_ft", "y_tf", "y_tt", "shift_rad"):
        np.testing.assert_allclose(getattr(moved.equivalents, column), getattr(expected, column), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("tap_side", ["hv", "lv"])
@pytest.mark.parametrize("step", [1.5, -1.5])
@pytest.mark.parametrize("band", [(0.96, 0.99), (1.02, 1.05)])
def test_steps_end_where_pandapowers_do(tap_side: str, step: float, band: tuple[float, float]) -> None:
    net = pn.mv_oberrhein()
    net.trafo["tap_side"], net.trafo["tap_step_percent"] = tap_side, step
    for trafo in net.trafo.index:
        DiscreteTapControl(net, trafo, *band)
    assert_equals_pandapower(net)


def two_sources() -> Any:
    """A transformer between a grid at the lv side and a load at the hv side."""
    net = pp.create_empty_network()
    high, low = pp.create_bus(net, 110.0), pp.create_bus(net, 20.0)
    pp.create_ext_grid(net, low, 1.0)
    pp.create_transformer(net, high, low, "25 MVA 110/20 kV")
    pp.create_load(net, high, 8.0, 4.0)
    return net


@pytest.mark.parametrize("tap_side", ["hv", "lv"])
@pytest.mark.parametrize("continuous", [False, True])
def test_the_voltage_of_the_high_side_is_held_too(tap_side: str, continuous: bool) -> None:
    net = two_sources()
    net.trafo["tap_side"] = tap_side
    if continuous:
        ContinuousTapControl(net, 0, 1.03, side="hv", tol=1e-10)
    else:
        DiscreteTapControl(net, 0, 1.02, 1.04, side="hv")
    assert_equals_pandapower(net)


@pytest.mark.parametrize("side", ["mv", "lv"])
@pytest.mark.parametrize("continuous", [False, True])
def test_three_windings_hold_a_voltage(side: str, continuous: bool) -> None:
    net = pn.example_multivoltage()
    if continuous:
        ContinuousTapControl(net, 0, 1.01, side=side, element="trafo3w", tol=1e-10)
    else:
        DiscreteTapControl(net, 0, 0.99, 1.02, side=side, element="trafo3w")
    assert_equals_pandapower(net)


def test_continuous_changers_hold_their_set_points() -> None:
    net = pn.mv_oberrhein()
    ContinuousTapControl(net, 114, 1.017, tol=1e-10)
    ContinuousTapControl(net, 142, 0.991, tol=1e-10)
    solution, _ = regulated(net)
    node = [net.bus.index.get_loc(bus) for bus in net.trafo.lv_bus]
    vm = np.abs(solution.value.v[solution.value.model.node_bus[node]])
    np.testing.assert_allclose(vm, [1.017, 0.991], atol=1e-8)
    assert_equals_pandapower(net)


def test_levels_regulate_one_after_the_other_and_several_in_one_controller() -> None:
    net = pn.mv_oberrhein()
    DiscreteTapControl(net, np.array([114, 142]), 1.01, 1.03, level=0)
    ContinuousTapControl(net, 142, 1.005, level=1, tol=1e-10)
    assert_equals_pandapower(net)


def test_the_dataset_tells_where_the_taps_are() -> None:
    net = pn.mv_oberrhein()
    DiscreteTapControl(net, 114, 1.02, 1.05)
    data = solve(from_pandapower(net), power=Choice(tap_control=True)).unwrap()
    pp.runpp(net, run_control=True)
    assert data["trafo_tap_pos"].values.tolist() == net.trafo.tap_pos.tolist()
    np.testing.assert_allclose(data["trafo_q_hv_mvar"], net.res_trafo.q_hv_mvar, atol=1e-5)


def test_a_range_that_ends_too_early_is_named() -> None:
    net = pn.mv_oberrhein()
    DiscreteTapControl(net, 114, 1.20, 1.25)
    network = assert_equals_pandapower(net, Status.TAP_LIMITED)
    assert network.tables["trafo"]["tap_pos"][0] in (net.trafo.tap_min.iloc[0], net.trafo.tap_max.iloc[0])
    assert regulated(net)[0].culprits == ("trafo 114",)


def test_a_band_narrower_than_a_step_is_named() -> None:
    net = pn.mv_oberrhein()
    pp.runpp(net)
    vm = float(net.res_bus.vm_pu.at[net.trafo.lv_bus.at[114]])
    DiscreteTapControl(net, 114, vm + 0.004, vm + 0.006)  # a step is 1.5 %
    solution, _ = regulated(net)
    assert solution.status is Status.TAPS_HUNT
    assert solution.culprits == ("trafo 114",)


def test_what_cannot_regulate_is_told_at_once() -> None:
    net = pn.mv_oberrhein()
    with pytest.raises(InvalidInput, match="no tap changer regulates"):
        regulated(net)
    DiscreteTapControl(net, 114, 1.0, 1.02)
    DiscreteTapControl(net, 142, 1.0, 1.02)
    net.trafo.loc[114, "tap_changer_type"] = "Ideal"
    net.trafo["tap_min"] = net.trafo.tap_min.astype(float)
    net.trafo.loc[142, "tap_min"] = np.nan
    with pytest.raises(InvalidInput, match=r"(?s)trafo 114: tap_changer_type.*trafo 142: tap_min"):
        regulated(net)


def test_controllers_survive_compiling_editing_and_export(tmp_path: Path) -> None:
    net = pn.mv_oberrhein()
    DiscreteTapControl(net, 114, 1.0, 1.02)
    ContinuousTapControl(net, 142, 1.01, tol=1e-10)
    network = from_pandapower(net)
    assert network.report.unaccounted == {}
    write_compiled(network, tmp_path / "net.twin")
    patch = Patch.from_toml('[[change]]\nset = { element = "tap_control 1", column = "vm_set_pu", value = 0.985 }\n')
    edited = apply(read_compiled(tmp_path / "net.twin"), patch)
    again = to_pandapower(edited)
    assert again.controller.object.at[1].vm_set_pu == 0.985
    assert again.controller.object.at[0].vm_lower_pu == 1.0
    assert_equals_pandapower(again)
