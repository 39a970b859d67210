"""Reactive limits and distributed slack, as pandapower has them."""

import warnings
from typing import Any

import numpy as np
import pytest

from grid_models.formats.pandapower import from_pandapower
from solvers.power.load_flow import load_flow
from solvers.power.results import results

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pandapower as pp
    import pandapower.networks as pn


def compared(net: Any, **options: bool) -> dict[str, float]:
    """Largest differences to pandapower's result tables, which must have been filled."""
    network = from_pandapower(net)
    flow = load_flow(network, **options).unwrap()
    ours = results(network, flow.model, flow.v)
    return {
        "vm": np.nanmax(np.abs(ours["bus_vm_pu"] - net.res_bus.vm_pu.values)),
        "va": np.nanmax(np.abs(ours["bus_va_degree"] - net.res_bus.va_degree.values)),
        "gen_p": np.abs(ours["gen_p_mw"] - net.res_gen.p_mw.values).max(),
        "gen_q": np.abs(ours["gen_q_mvar"] - net.res_gen.q_mvar.values).max(),
        "ext_p": np.abs(ours["ext_grid_p_mw"] - net.res_ext_grid.p_mw.values).max(),
    }


@pytest.mark.parametrize("name", ["case14", "case30", "case57", "case118", "case145"])
def test_generators_hold_their_voltage_only_within_their_range(name: str) -> None:
    net = getattr(pn, name)()
    pp.runpp(net, enforce_q_lims=True, tolerance_mva=1e-8, max_iteration=50)
    differences = compared(net, enforce_q_limits=True)
    assert differences["vm"] < 1e-8
    assert max(differences.values()) < 1e-4  # MW, Mvar and degrees of networks of thousands of MW
    free = compared(net)
    held = (np.abs(net.res_gen.q_mvar - net.gen.max_q_mvar) < 1e-6) | (np.abs(net.res_gen.q_mvar - net.gen.min_q_mvar) < 1e-6)
    assert held.any() == (free["vm"] > 1e-6)


def test_a_generator_gets_its_voltage_back_when_it_can_hold_it() -> None:
    """Released too late, it would stay at its limit above its set-point; every machine ends inside or truly at a limit."""
    net = pn.case118()
    net.gen["min_q_mvar"] = -0.3 * net.gen.max_q_mvar.abs() - 5.0
    network = from_pandapower(net)
    flow = load_flow(network, enforce_q_limits=True).unwrap()
    ours = results(network, flow.model, flow.v)
    q, vm = ours["gen_q_mvar"], ours["gen_vm_pu"]
    low, high, wanted = (net.gen[c].to_numpy() for c in ("min_q_mvar", "max_q_mvar", "vm_pu"))
    slack = net.gen.slack.to_numpy()
    assert (((low - 1e-6 <= q) & (q <= high + 1e-6)) | slack).all()
    assert (vm[(q > high - 1e-6) & ~slack] <= wanted[(q > high - 1e-6) & ~slack] + 1e-8).all()
    assert (vm[(q < low + 1e-6) & ~slack] >= wanted[(q < low + 1e-6) & ~slack] - 1e-8).all()


@pytest.mark.parametrize("name", ["case9", "case39", "case118"])
def test_machines_share_the_slack_by_weight(name: str) -> None:
    net = getattr(pn, name)()
    net.gen["slack_weight"], net.gen["slack"] = np.linspace(0.5, 2.0, len(net.gen)), True
    net.ext_grid["slack_weight"] = 1.0
    pp.runpp(net, distributed_slack=True, tolerance_mva=1e-8)
    differences = compared(net, distributed_slack=True)
    assert differences["vm"] < 1e-8
    assert max(differences.values()) < 1e-4


def test_both_together_keep_the_power_balance_and_the_ranges() -> None:
    net = pn.case118()
    net.gen["slack_weight"] = 1.0
    network = from_pandapower(net)
    flow = load_flow(network, enforce_q_limits=True, distributed_slack=True).unwrap()
    ours = results(network, flow.model, flow.v)
    scheduled = (net.gen.p_mw * net.gen.scaling).to_numpy()
    extra = ours["gen_p_mw"] - scheduled
    np.testing.assert_allclose(extra, extra[0], atol=1e-4)  # equal weights, equal shares
    assert (ours["gen_q_mvar"] <= net.gen.max_q_mvar.to_numpy() + 1e-5).all()
    assert np.abs(flow.mismatch).max() < 1e-8
