"""SVC, SSC and TCSC: in control and fixed, column by column as pandapower has them."""

from typing import Any

import numpy as np
import pandapower as pp
import pytest

from grid_models.formats.pandapower import from_pandapower
from solvers.power.dc_flow import dc_load_flow
from solvers.power.load_flow import load_flow
from solvers.power.outage_choice import chosen_outages
from solvers.power.results import results
from solvers.power.screening import screen
from solvers.solution import Status


def ring() -> Any:
    """A ring of four buses at 110 kV and a fifth behind it."""
    net = pp.create_empty_network()
    buses = [pp.create_bus(net, 110.0) for _ in range(5)]
    pp.create_ext_grid(net, buses[0], vm_pu=1.02)
    for a, b in ((0, 1), (1, 2), (2, 3), (0, 3), (3, 4)):
        pp.create_line_from_parameters(net, a, b, 30.0, 0.06, 0.4, 9.0, 0.6)
    for bus, p_mw, q_mvar in ((2, 40.0, 15.0), (3, 20.0, 5.0), (4, 10.0, 2.0)):
        pp.create_load(net, bus, p_mw, q_mvar)
    return net


def assert_equals_pandapower(net: Any, left_out: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    ours = from_pandapower(net)
    flow = load_flow(ours).unwrap()
    found = results(ours, flow.model, flow.v)
    pp.runpp(net, tolerance_mva=1e-9, max_iteration=50)
    for table in [name for name in net if name.startswith("res_") and name[4:] in net and len(net[name[4:]])]:
        for column in net[table].columns:
            key = f"{table[4:]}_{column}"
            if key not in left_out:
                # Set-points are met to 1e-9 pu; a reactance of kilo-ohms near the pole of 1 / b follows 1e5 times as much.
                np.testing.assert_allclose(found[key], net[table][column].to_numpy(float), rtol=1e-5, atol=1e-6, err_msg=key)
    return found


@pytest.mark.parametrize("controllable", [True, False])
def test_an_svc_holds_its_bus_or_stands_at_its_angle(controllable: bool) -> None:
    net = ring()
    pp.create_svc(net, 2, 1.0, -10.0, 1.0, 143.9, controllable=controllable)
    found = assert_equals_pandapower(net)
    assert (abs(found["bus_vm_pu"][2] - 1.0) < 1e-12) == controllable


@pytest.mark.parametrize("controllable", [True, False])
def test_a_linear_flow_has_no_reactive_power_of_an_svc(controllable: bool) -> None:
    net = ring()
    pp.create_svc(net, 2, 1.0, -10.0, 1.0, 143.9, controllable=controllable)
    network = from_pandapower(net)
    flow = dc_load_flow(network).unwrap()
    found = results(network, flow.model, flow.v, flow.p_from)
    assert not found["svc_q_mvar"].any()
    assert not found["bus_q_mvar"].any()
    assert np.isnan(found["svc_x_ohm"]).all()


@pytest.mark.parametrize("controllable", [True, False])
@pytest.mark.parametrize("r_ohm", [0.0, 1.0])
def test_an_ssc_holds_its_bus_through_its_impedance(r_ohm: float, controllable: bool) -> None:
    net = ring()
    pp.create_ssc(net, 2, r_ohm, 6.0, 1.0, vm_internal_pu=1.01, controllable=controllable)
    # pandapower leaves what the resistance burns out of the sum at the bus, and out of what the grid connection gives.
    found = assert_equals_pandapower(net, ("bus_p_mw", "ext_grid_p_mw") if r_ohm else ())
    assert found["ext_grid_p_mw"][0] == pytest.approx(found["line_p_from_mw"][[0, 3]].sum(), abs=1e-9)
    assert (abs(found["bus_vm_pu"][2] - 1.0) < 1e-8) == controllable


@pytest.mark.parametrize(("p_to_mw", "controllable"), [(-5.0, True), (10.0, True), (0.0, False)])
def test_a_tcsc_carries_its_power_or_stands_at_its_angle(p_to_mw: float, controllable: bool) -> None:
    net = ring()
    net.line.loc[1, "in_service"] = False
    pp.create_tcsc(net, 1, 2, 1.6, -10.0, p_to_mw, 130.0, controllable=controllable)
    found = assert_equals_pandapower(net)
    assert (abs(found["tcsc_p_to_mw"][0] - p_to_mw) < 1e-7) == controllable


def test_all_of_them_regulate_together_and_out_of_service_do_nothing() -> None:
    net = ring()
    pp.create_tcsc(net, 1, 2, 1.6, -10.0, -15.0, 140.0)
    pp.create_svc(net, 2, 1.0, -10.0, 1.0, 90.0)
    pp.create_ssc(net, 4, 0.5, 6.0, 1.0)
    ours = from_pandapower(net)
    solution = load_flow(ours)
    assert solution.status is Status.SOLVED
    found = results(ours, solution.value.model, solution.value.v)
    assert found["tcsc_p_to_mw"][0] == pytest.approx(-15.0, abs=1e-7)
    np.testing.assert_allclose(found["bus_vm_pu"][[2, 4]], 1.0, atol=1e-8)
    assert np.abs(solution.value.mismatch).max() < 1e-8
    for table in ("tcsc", "svc", "ssc"):
        net[table]["in_service"] = False
    assert_equals_pandapower(net, ("tcsc_x_ohm",))  # that of its angle here, 0 there


def test_a_set_point_out_of_reach_names_the_device() -> None:
    net = ring()
    net.line.loc[1, "in_service"] = False
    pp.create_tcsc(net, 1, 2, 1.6, -10.0, -2000.0, 140.0)
    solution = load_flow(from_pandapower(net))
    assert solution.status is Status.NOT_CONVERGED
    assert solution.culprits == ("tcsc 0",)
    assert "set-points" in solution.detail


def test_outages_are_regulated_too() -> None:
    net = ring()
    pp.create_tcsc(net, 1, 2, 1.6, -10.0, -5.0, 130.0)
    network = from_pandapower(net)
    found = screen(network, chosen_outages(network, ["line 3"])).unwrap()
    net.line.loc[3, "in_service"] = False
    flow = load_flow(from_pandapower(net)).unwrap()
    assert found.min_vm_pu[0] == pytest.approx(np.abs(flow.v).min(), abs=1e-8)


@pytest.mark.parametrize("controllable", [True, False])
def test_a_voltage_inside_a_compensator_violates_nothing(controllable: bool) -> None:
    net = ring()
    pp.create_ssc(net, 4, 0.0, 60.0, 1.02, vm_internal_pu=1.2, controllable=controllable)
    network = from_pandapower(net)
    found = screen(network, chosen_outages(network, ["line 0", "line 1", "line 4"])).unwrap()
    assert not len(found.violation_outage)
    for i, line in enumerate((0, 1, 4)):
        net.line.loc[line, "in_service"] = False
        pp.runpp(net, tolerance_mva=1e-9, max_iteration=50)
        net.line.loc[line, "in_service"] = True
        assert found.max_vm_pu[i] == pytest.approx(net.res_bus.vm_pu.max(), abs=1e-8)


def test_a_device_out_of_reach_does_not_hold_up_the_others() -> None:
    net = ring()
    net.line.loc[1, "in_service"] = False
    pp.create_tcsc(net, 1, 2, 1.6, -10.0, -5.0, 130.0)
    pp.create_ssc(net, 4, 0.0, 6.0, 1.0)
    pp.create_gen(net, 4, 1.0, vm_pu=1.01)  # holds the bus against the compensator
    network = from_pandapower(net)
    solution = load_flow(network)
    assert (solution.status, solution.culprits) == (Status.NOT_CONVERGED, ("ssc 0",))
    found = results(network, solution.value.model, solution.value.v)
    assert found["tcsc_p_to_mw"][0] == pytest.approx(-5.0, abs=1e-7)
