"""Whatever stands in a pandapower network: every result column is pandapower's, wherever it finds a solution in reason."""

from typing import Any

import numpy as np
import pandapower as pp
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from grid_models.formats.pandapower import from_pandapower
from solvers.power.load_flow import load_flow
from solvers.power.results import results
from tests.properties.any_network import any_network

# A voltage is promised to 1e-8 pu; powers and currents follow it through admittances of up to some hundred pu.
VOLTAGE_PU, ANGLE_DEGREE, OTHERS = 1e-8, 1e-6, 2e-6


def solved_by_pandapower(net: Any, distributed_slack: bool) -> None:
    """Run it from a DC start, to a mismatch of 1e-10 pu; what it refuses, or solves far from any sense, is no example.

    It refuses by several exceptions, and once its Newton has run away it goes on dividing by nan, which numpy warns of and
    this suite makes a RuntimeWarning. None of our code runs in there.
    """
    try:
        # A base of 100 MVA is large for 400 V: a mismatch of 1e-10 pu is a hundred times that of the next smaller base.
        pp.runpp(
            net, tolerance_mva=1e-10, max_iteration=60, init="dc", lightsim2grid=False, distributed_slack=distributed_slack
        )
    except (pp.LoadflowNotConverged, UserWarning, RuntimeWarning, IndexError, ValueError, NotImplementedError):
        assume(False)
    # Islands that nothing feeds, and second solutions; without any branch it leaves out the slack's angle.
    assume(net.res_bus.vm_pu.min() > 0.5 and net.res_bus.p_mw.abs().max() < 300.0)
    assume("branch" in net._ppc["internal"])


def follows_the_voltage(net: Any) -> bool:
    return bool(net.load[[column for column in net.load if column.startswith("const_")]].to_numpy(float).any())


def told_alike(net: Any, key: str) -> bool:
    """Columns that pandapower means as this project does."""
    # From a DC start pandapower shares between slacks at one bus only the losses by weight. Beside such it also gives a whole
    # share to an extended ward of weight 0, and its bus no longer balances with its branches (network 25368).
    slacks = [*net.ext_grid.bus[net.ext_grid.in_service], *net.gen.bus[net.gen.in_service & net.gen.slack]]
    nodes = net._pd2ppc_lookups["bus"][np.array(slacks, dtype=np.int64)]
    if key in ("ext_grid_p_mw", "gen_p_mw", "xward_p_mw", "bus_p_mw") and len(set(nodes.tolist())) < len(slacks):
        return False
    # pandapower gives all consumption at a bus the mean shares of its loads, and sums the loads up each with its own.
    summed = key.startswith(("bus", "ext_grid", "gen", "dcline")) and "_m" in key and "vm" not in key
    return not (summed and follows_the_voltage(net))


def check(seed: int) -> None:
    net, shared = any_network(seed), seed % 3 == 0
    first = from_pandapower(net)
    flow = load_flow(first)
    if len(net.load) and follows_the_voltage(net) and flow.status.usable:
        # pandapower's loads that follow the voltage of a dead bus are nan, and so are the sums with them.
        energised = results(first, flow.value.model, flow.value.v)["load_energised"]
        net.load = net.load[energised]
    solved_by_pandapower(net, distributed_slack=shared)
    ours = from_pandapower(net)
    flow = load_flow(ours, distributed_slack=shared)
    assert flow.status.usable, flow.detail
    found = results(ours, flow.value.model, flow.value.v)
    for table in [name for name in net if name.startswith("res_") and name[4:] in net and len(net[name[4:]])]:
        for column in net[table].columns:
            key = f"{table[4:]}_{column}"
            if not told_alike(net, key):
                continue
            expected, value = net[table][column].to_numpy(float), found[key]
            if "degree" in column:  # the same angle may be said as 180 or -180
                value = expected + (value - expected + 180.0) % 360.0 - 180.0
            if table == "res_switch" and column[0] in "pq":  # pandapower has nan in some dead switches, 0 in others
                expected = np.where(np.isnan(expected) & (value == 0.0), 0.0, expected)
            tolerance = VOLTAGE_PU if column.startswith("vm") else ANGLE_DEGREE if "degree" in column else OTHERS
            relative = 0.0 if column.startswith("vm") else 1e-6
            np.testing.assert_allclose(value, expected, rtol=relative, atol=tolerance, err_msg=f"{key} of network {seed}")


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32 - 1))
def test_every_column_is_pandapowers(seed: int) -> None:
    check(seed)


@pytest.mark.heavy
@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32 - 1))
def test_every_column_of_many_more_is_pandapowers(seed: int) -> None:
    check(seed)
