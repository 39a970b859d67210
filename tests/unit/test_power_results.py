"""Every result column against pandapower's own load flow, as the oracle, on its networks and on awkward ones."""

from copy import deepcopy
from functools import lru_cache
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pandas as pd
import pytest

from grid_models.errors import InvalidInput
from grid_models.formats.pandapower import from_pandapower
from solvers.power.load_flow import load_flow
from solvers.power.results import results
from solvers.solution import Status

NETWORKS = (
    *("case4gs", "case6ww", "case9", "case14", "case24_ieee_rts", "case30", "case33bw", "case39", "case57"),
    *("case118", "case145", "case300", "case2869pegase", "case6495rte", "iceland"),
    *("GBreducednetwork", "mv_oberrhein", "lv_schutterwald", "create_cigre_network_hv", "create_cigre_network_mv"),
    *("create_cigre_network_lv", "example_simple", "example_multivoltage", "panda_four_load_branch"),
    *("four_loads_with_branches_out", "simple_four_bus_system", "simple_mv_open_ring_net"),
    *("create_kerber_vorstadtnetz_kabel_1", "kb_extrem_landnetz_freileitung", "ieee_european_lv_asymmetric"),
)
# Voltages are the promise: 1e-8 pu. A power of 1e-5 MW is what 1e-8 pu of voltage is worth on a line of 1,000 pu.
TOLERANCE = {"vm": 1e-8, "va": 1e-6, "lo": 1e-5}
POWER_TOLERANCE = 1e-5


@lru_cache
def packaged(name: str) -> Any:
    net = getattr(pn, name)()
    return net[0] if isinstance(net, tuple) else net


def network(name: str) -> Any:
    return deepcopy(packaged(name))


def assert_equals_pandapower(net: Any, status: Status = Status.SOLVED, tolerance_mva: float = 1e-9, init: str = "auto") -> None:
    ours = from_pandapower(net)
    solution = load_flow(ours)
    assert solution.status is status
    found = results(ours, solution.value.model, solution.value.v)
    pp.runpp(net, tolerance_mva=tolerance_mva, max_iteration=50, init=init)
    for table in [name for name in net if name.startswith("res_") and name[4:] in net and len(net[name])]:
        for column in net[table].columns:
            key = f"{table[4:]}_{column}"
            expected, value = net[table][column].to_numpy(float), found[key]
            if "degree" in column:  # the same angle may be said as 180 or -180
                value = expected + (value - expected + 180.0) % 360.0 - 180.0
            tolerance = TOLERANCE.get(column[:2], POWER_TOLERANCE)
            np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance, err_msg=key)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_column_of_every_table(name: str) -> None:
    # A low-voltage network on 100 MVA: 1e-9 MVA would leave pandapower 1e-7 pu off, where the dense oracle is not.
    tolerance_mva = {"ieee_european_lv_asymmetric": 1e-10, "case6495rte": 1e-7}.get(name, 1e-9)
    assert_equals_pandapower(network(name), tolerance_mva=tolerance_mva)


@pytest.mark.parametrize("name", ["example_multivoltage", "mv_oberrhein", "case30", "create_cigre_network_mv"])
@pytest.mark.parametrize("seed", range(3))
def test_outages_open_switches_and_dead_islands(name: str, seed: int) -> None:
    net, rng = network(name), np.random.default_rng(seed)
    for table in ("line", "trafo", "trafo3w", "bus", "load", "sgen", "gen", "shunt", "impedance", "xward", "switch"):
        frame = net[table]
        column = "closed" if table == "switch" else "in_service"
        hit = frame.index[rng.random(len(frame)) < 0.06]
        frame.loc[hit, column] = ~frame.loc[hit, column].astype(bool)
    net.ext_grid["in_service"] = True
    net.bus.loc[net.ext_grid.bus, "in_service"] = True
    dead = load_flow(from_pandapower(net)).status
    assert dead in (Status.SOLVED, Status.DEAD_ISLANDS)
    assert_equals_pandapower(net, dead)


def small() -> Any:
    """Four 110 kV buses in a ring behind a grid connection."""
    net = pp.create_empty_network(sn_mva=100.0)
    buses = [pp.create_bus(net, 110.0) for _ in range(4)]
    pp.create_ext_grid(net, buses[0], vm_pu=1.02, va_degree=10.0)
    for a, b in ((0, 1), (1, 2), (2, 3), (3, 0)):
        pp.create_line(net, buses[a], buses[b], 20.0, "243-AL1/39-ST1A 110.0")
    pp.create_load(net, buses[2], 30.0, 10.0)
    return net


def test_machines_at_one_bus_share_as_in_pandapower() -> None:
    net = small()
    pp.create_gen(net, 0, 7.0, vm_pu=1.02, min_q_mvar=-5.0, max_q_mvar=20.0)  # beside the grid connection
    pp.create_gen(net, 2, 8.0, vm_pu=1.01, min_q_mvar=-10.0, max_q_mvar=40.0)
    pp.create_gen(net, 2, 9.0, vm_pu=1.01, min_q_mvar=-20.0, max_q_mvar=20.0, scaling=0.5)
    pp.create_gen(net, 3, 5.0, vm_pu=1.0)  # two without limits
    pp.create_gen(net, 3, 6.0, vm_pu=1.0)
    assert_equals_pandapower(net)


def test_slacks_share_by_weight() -> None:
    net = small()
    pp.create_ext_grid(net, 0, vm_pu=1.02, va_degree=10.0, slack_weight=3.0)
    pp.create_gen(net, 0, 7.0, vm_pu=1.02, slack=True, slack_weight=1.0)
    # From its default DC start pandapower shares only the losses by weight and the rest equally.
    assert_equals_pandapower(net, init="flat")


def test_beside_a_slack_a_machine_keeps_its_reactive_range_where_limits_hold() -> None:
    net = small()
    pp.create_gen(net, 0, 7.0, vm_pu=1.02, min_q_mvar=-1.0, max_q_mvar=0.5)
    ours = from_pandapower(net)
    flow = load_flow(ours, enforce_q_limits=True).unwrap()
    found = results(ours, flow.model, flow.v)
    pp.runpp(net, enforce_q_lims=True)
    assert net.res_gen.q_mvar[0] in (-1.0, 0.5)
    np.testing.assert_allclose(found["gen_q_mvar"], net.res_gen.q_mvar, atol=1e-9)
    np.testing.assert_allclose(found["ext_grid_q_mvar"], net.res_ext_grid.q_mvar, atol=POWER_TOLERANCE)


def test_extended_wards_share_the_slack_at_their_bus() -> None:
    net = small()
    pp.create_xward(net, 2, 1.0, 0.5, 2.0, 1.0, 0.5, 2.0, 1.0, slack_weight=2.0)
    ours = from_pandapower(net)
    flow = load_flow(ours, distributed_slack=True).unwrap()
    found = results(ours, flow.model, flow.v)
    pp.runpp(net, distributed_slack=True, tolerance_mva=1e-9, lightsim2grid=False)
    for column in ("p_mw", "q_mvar", "vm_pu"):
        np.testing.assert_allclose(found[f"xward_{column}"], net.res_xward[column], atol=POWER_TOLERANCE)
    np.testing.assert_allclose(found["ext_grid_p_mw"], net.res_ext_grid.p_mw, atol=POWER_TOLERANCE)


def test_machines_that_want_different_voltages_at_one_bus_are_told() -> None:
    net = small()
    assert load_flow(from_pandapower(net)).detail == ""
    tied = pp.create_bus(net, 110.0)
    pp.create_gen(net, 2, 5.0, vm_pu=1.01)
    pp.create_gen(net, tied, 5.0, vm_pu=1.0)
    pp.create_switch(net, 2, tied, et="b", closed=True)
    solution = load_flow(from_pandapower(net))
    assert solution.status is Status.SOLVED
    assert "different voltages" in solution.detail
    assert "bus 2" in solution.detail
    assert abs(solution.value.v[solution.value.model.node_bus[2]]) == pytest.approx(1.01)


def test_a_generator_can_be_the_only_slack() -> None:
    net = small()
    net.ext_grid["in_service"] = False
    pp.create_gen(net, 1, 7.0, vm_pu=1.03, slack=True)
    assert_equals_pandapower(net)


def test_direct_current_lines_wards_and_odd_loads() -> None:
    net = small()
    for table in range(2):
        pp.create_dcline(net, 1, 3, (5.0, -4.0)[table], 2.0, 0.1, 1.01, 1.0, max_q_from_mvar=40.0, min_q_from_mvar=-20.0)
    pp.create_ward(net, 2, 1.0, 0.5, 2.0, 1.0)
    pp.create_xward(net, 2, 1.0, 0.5, 2.0, 1.0, 0.5, 2.0, 1.0)
    pp.create_motor(net, 2, 2.0, 0.9, efficiency_percent=95.0, loading_percent=80.0, cos_phi_n=0.9, efficiency_n_percent=95)
    pp.create_storage(net, 2, -3.0, 10.0, q_mvar=0.5)
    pp.create_sgen(net, 2, 4.0, -1.0, scaling=0.7)
    pp.create_asymmetric_load(net, 2, 0.1, 0.2, 0.3, 0.01, 0.02, 0.03)
    pp.create_asymmetric_sgen(net, 2, 0.3, 0.2, 0.1, 0.01, 0.02, 0.03)
    pp.create_shunt(net, 2, q_mvar=-5.0, p_mw=0.2, step=2, vn_kv=115.0)
    pp.create_impedance(net, 2, 3, 0.01, 0.05, 100.0)
    assert_equals_pandapower(net)


def with_stepped_shunts() -> Any:
    """Two shunts whose steps a table tells, one of them reversed, and one of equal steps."""
    net = small()
    net.shunt_characteristic_table = pd.DataFrame(
        {
            "id_characteristic": [0, 0, 0, 4, 4],
            "step": [1, 2, 3, 1, 2],
            "q_mvar": [-1.0, -2.2, -3.9, 1.5, 2.5],
            "p_mw": [0.1, 0.2, 0.2, 0.0, 0.05],
        }
    )
    for bus, step, characteristic in ((2, 3, 0), (1, 2, 4)):
        pp.create_shunt(
            net, bus, q_mvar=-1.0, step=step, max_step=3, step_dependency_table=True, id_characteristic_table=characteristic
        )
    pp.create_shunt(net, 3, q_mvar=-0.5, step=2, max_step=3, vn_kv=115.0)
    return net


def test_shunts_whose_steps_a_table_tells() -> None:
    assert_equals_pandapower(with_stepped_shunts())


def test_a_step_that_the_table_does_not_know_names_the_shunt() -> None:
    net = with_stepped_shunts()
    net.shunt.loc[1, "step"] = 3
    with pytest.raises(InvalidInput, match="shunt_characteristic_table has no such step") as caught:
        from_pandapower(net)
    assert caught.value.issues[0].ids == (1,)
    net.shunt_characteristic_table = net.shunt_characteristic_table.drop(columns="p_mw")
    with pytest.raises(InvalidInput, match="this column is missing"):
        from_pandapower(net)


def test_loads_that_depend_on_voltage() -> None:
    net = small()
    pp.create_load(net, 1, 20.0, 8.0, const_z_p_percent=30, const_i_p_percent=20, const_z_q_percent=10, const_i_q_percent=60)
    assert_equals_pandapower(net)


def test_a_switch_with_an_impedance_is_a_branch() -> None:
    net = small()
    other = pp.create_bus(net, 110.0)
    pp.create_switch(net, 2, other, et="b", z_ohm=0.5, in_ka=0.4)
    pp.create_switch(net, 1, 1, et="l", in_ka=0.6)
    pp.create_load(net, other, 10.0, 3.0)
    assert_equals_pandapower(net)


def test_dead_elements_say_so() -> None:
    net = small()
    lonely = pp.create_bus(net, 110.0)
    pp.create_load(net, lonely, 5.0, 1.0, const_z_p_percent=50)
    pp.create_sgen(net, lonely, 1.0)
    ours = from_pandapower(net)
    solution = load_flow(ours)
    assert solution.status is Status.DEAD_ISLANDS
    assert solution.culprits == (f"bus {lonely}",)
    found = results(ours, solution.value.model, solution.value.v)
    assert found["bus_energised"].tolist() == [True] * 4 + [False]
    assert np.isnan(found["bus_vm_pu"][lonely])
    assert found["load_energised"].tolist() == [True, False]
    assert found["load_p_mw"][1] == 0.0
    assert not found["sgen_energised"][0]
    assert not np.isnan(found["bus_p_mw"][:4]).any()  # pandapower's would be


def test_no_source_at_all_is_named() -> None:
    net = small()
    net.ext_grid["in_service"] = False
    ours = from_pandapower(net)
    solution = load_flow(ours)
    assert solution.status is Status.NO_SLACK
    assert solution.culprits == ("bus 0", "bus 1", "bus 2", "bus 3")
    assert np.isnan(results(ours, solution.value.model, solution.value.v)["bus_vm_pu"]).all()


def test_too_much_load_names_the_bus() -> None:
    net = small()
    net.load.loc[0, "p_mw"] = 3000.0
    solution = load_flow(from_pandapower(net))
    assert solution.status is Status.VOLTAGE_COLLAPSE
    assert "bus 2" in solution.culprits
