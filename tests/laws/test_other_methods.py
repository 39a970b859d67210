"""Fast decoupled and linear load flow: against Newton's method and against pandapower."""

from functools import partial
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
from hypothesis import given, settings

from grid_models.formats.pandapower import from_pandapower
from grid_models.power.bus_branch import BusBranch
from solvers.power.admittance import Injections, factor, prepare
from solvers.power.dc_flow import dc_load_flow
from solvers.power.fast_decoupled import Scheme, solve_decoupled
from solvers.power.load_flow import load_flow
from solvers.power.results import results
from solvers.solution import Status
from tests.laws.test_power_laws import networks, solved

COMPARED = (
    *(("line", column) for column in ("p_from_mw", "i_ka", "loading_percent")),
    *(("trafo", column) for column in ("p_hv_mw", "loading_percent")),
    *(("trafo3w", "p_mv_mw"), ("ext_grid", "p_mw"), ("gen", "p_mw")),
)
BOTH = pytest.mark.parametrize("scheme", list(Scheme))


def packaged(name: str) -> Any:
    made = getattr(pn, name)()
    return made[0] if isinstance(made, tuple) else made


@BOTH
@settings(deadline=None, max_examples=25)
@given(networks)
def test_on_random_networks_it_ends_where_newton_does(scheme: Scheme, model: BusBranch) -> None:
    plan = prepare(model)
    injections = Injections(model.s_power, model.s_current)
    solution = solve_decoupled(plan, factor(plan, model), injections, model.v_start, scheme=scheme)
    # Half of the random branches have more resistance than reactance, which XB is not made for.
    if scheme is Scheme.BX or solution.status.usable:
        assert solution.status is Status.SOLVED
        np.testing.assert_allclose(solution.value.v, solved(model).value.v, atol=1e-8)


@BOTH
@pytest.mark.parametrize(
    "name", ["case14", "case118", "case145", "case300", "case1354pegase", "mv_oberrhein", "GBreducednetwork"]
)
def test_on_packaged_networks_it_ends_where_newton_does(scheme: Scheme, name: str) -> None:
    network = from_pandapower(packaged(name))
    solution = load_flow(network, method=partial(solve_decoupled, scheme=scheme))
    assert solution.status is Status.SOLVED
    assert 5 < solution.stats.iterations < 60  # it converges linearly, but it converges
    np.testing.assert_allclose(solution.value.v, load_flow(network).value.v, atol=1e-8)


def test_reactive_limits_hold_with_it_too() -> None:
    network = from_pandapower(pn.case118())
    fast = load_flow(network, method=solve_decoupled, enforce_q_limits=True)
    assert fast.status is Status.SOLVED
    np.testing.assert_allclose(fast.value.v, load_flow(network, enforce_q_limits=True).value.v, atol=1e-7)


def test_where_it_fails_and_newton_does_not_it_says_so() -> None:
    """A cable network at low voltage: BX runs away, as pandapower's does."""
    solution = load_flow(from_pandapower(pn.create_cigre_network_lv()), method=solve_decoupled)
    assert solution.status is Status.NOT_CONVERGED
    assert "Newton's method finds a solution" in solution.detail
    assert solution.culprits


def test_too_much_load_is_a_collapse_with_it_too() -> None:
    net = pn.case9()
    net.load["scaling"] = 10.0
    assert load_flow(from_pandapower(net), method=solve_decoupled).status is Status.VOLTAGE_COLLAPSE


@pytest.mark.parametrize(
    "name",
    ["case9", "case14", "case118", "case145", "case300", "case1354pegase", "case2869pegase", "GBnetwork", "mv_oberrhein",
     "example_simple", "example_multivoltage", "create_cigre_network_mv", "create_cigre_network_lv"],
)  # fmt: skip
def test_the_linear_flow_is_pandapowers(name: str) -> None:
    net = packaged(name)
    network = from_pandapower(net)
    flow = dc_load_flow(network).unwrap()
    ours = results(network, flow.model, flow.v, flow.p_from)
    pp.rundcpp(net)
    angle = ours["bus_va_degree"] - net.res_bus.va_degree.to_numpy()
    np.testing.assert_allclose((angle + 180.0) % 360.0 - 180.0, 0.0, atol=1e-7)
    for key, column in COMPARED:
        if len(net[key]):
            expected = net[f"res_{key}"][column].to_numpy(float)
            # A megawatt-scale answer of a linear system with condition up to 1e9.
            np.testing.assert_allclose(ours[f"{key}_{column}"], expected, rtol=1e-6, atol=1e-5, err_msg=key)


def test_the_linear_flow_balances_and_has_no_losses() -> None:
    network = from_pandapower(pn.example_multivoltage())
    flow = dc_load_flow(network).unwrap()
    found = results(network, flow.model, flow.v, flow.p_from)
    assert np.abs(found["line_pl_mw"]).max() == 0.0
    assert found["bus_p_mw"].sum() == pytest.approx(0.0, abs=1e-6)
    assert np.abs(found["bus_q_mvar"]).max() == 0.0


def test_dead_islands_and_no_slack_are_told_by_the_linear_flow() -> None:
    net = pn.case9()
    lonely = pp.create_bus(net, 345.0)
    solution = dc_load_flow(from_pandapower(net))
    assert (solution.status, solution.culprits) == (Status.DEAD_ISLANDS, (f"bus {lonely}",))
    net.ext_grid["in_service"] = False
    assert dc_load_flow(from_pandapower(net)).status is Status.NO_SLACK
