"""Laws that hold on any small power network, whatever its switches and islands."""

from dataclasses import replace

import numpy as np
import pandapower as pp
from hypothesis import HealthCheck, assume, given, settings

from grid_models.formats.pandapower import from_pandapower
from grid_models.power.bus_branch import bus_branch
from grid_models.power.network import PowerNetwork
from grid_models.power.validation import validate
from grid_models.tables import Table, frozen
from grid_models.testing import pandapower_nets, power_networks
from solvers.power.load_flow import load_flow
from solvers.power.results import results

quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(pandapower_nets())
def test_it_solves_what_pandapower_solves(net) -> None:
    try:
        pp.runpp(net, tolerance_mva=1e-9, lightsim2grid=False, numba=False)
    except pp.LoadflowNotConverged:
        assume(False)
    model = from_pandapower(net)
    flow = load_flow(model)
    assert flow.status.usable
    found = results(model, flow.value.model, flow.value.v)
    assert np.allclose(found["bus_vm_pu"], net.res_bus.vm_pu.to_numpy(), atol=1e-8, rtol=0, equal_nan=True)
    # Powers follow voltages through admittances of a few hundred per unit.
    assert np.allclose(found["line_p_from_mw"], net.res_line.p_from_mw.to_numpy(), atol=1e-5, rtol=0, equal_nan=True)


@quick
@given(power_networks())
def test_power_balances_at_every_bus(network: PowerNetwork) -> None:
    flow = load_flow(network)
    assume(flow.status.usable)
    assert np.abs(flow.value.mismatch).max(initial=0.0) < 1e-8


@quick
@given(power_networks())
def test_the_base_power_does_not_matter(network: PowerNetwork) -> None:
    """Per-unit values scale; voltages do not."""
    factor = 7.0
    eq = network.equivalents
    scaled = {y: getattr(eq, y) / factor for y in ("y_ff", "y_ft", "y_tf", "y_tt")}
    other = replace(network, sn_mva=network.sn_mva * factor, equivalents=replace(eq, **scaled))
    a, b = load_flow(network), load_flow(other)
    assume(a.status.usable)
    assert np.allclose(a.value.v, b.value.v, atol=1e-8, rtol=0)


@quick
@given(power_networks())
def test_the_order_of_buses_does_not_matter(network: PowerNetwork) -> None:
    order = np.arange(network.tables["load"].size)[::-1] if "load" in network.tables else None
    assume(order is not None)
    table = network.tables["load"]
    turned = Table(frozen(table.index[order]), {n: frozen(c[order]) for n, c in table.items()})
    other = replace(network, tables={**network.tables, "load": turned})
    a, b = load_flow(network), load_flow(other)
    assume(a.status.usable)
    assert np.allclose(a.value.v, b.value.v, atol=1e-10, rtol=0)


@quick
@given(power_networks())
def test_valid_networks_have_no_issue_and_one_topology(network: PowerNetwork) -> None:
    assert validate(network) == ()
    assert bus_branch(network).topology_version == bus_branch(network).topology_version
