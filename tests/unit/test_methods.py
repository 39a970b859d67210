"""The methods by their names: which options each takes, what it writes, and short circuits through the same seam."""

from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
import xarray as xr
from pandapower.shortcircuit import calc_sc

from grid_models.errors import InvalidInput
from grid_models.formats.pandapower import from_pandapower
from solvers.power.methods import METHODS, Choice
from solvers.power.short_circuit import short_circuit
from solvers.solution import Status
from solvers.solve import solve
from tests.cli.test_exit_status import told, twin


def with_fault_data() -> Any:
    net = pn.example_simple()
    net.line["endtemp_degree"] = 80.0
    for column, value in (("s_sc_max_mva", 1000.0), ("rx_max", 0.1), ("s_sc_min_mva", 500.0), ("rx_min", 0.1)):
        net.ext_grid[column] = value
    for column, value in (("vn_kv", 10.5), ("xdss_pu", 0.2), ("cos_phi", 0.8), ("sn_mva", 10.0), ("rdss_ohm", 0.005)):
        net.gen[column] = value
    net.sgen["in_service"] = False
    return net


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_reached_by_its_name(method: str) -> None:
    data = solve(from_pandapower(with_fault_data()), power=Choice(method)).unwrap()
    assert data.attrs["method"] in (method, "newton-raphson") or data.attrs["method"].startswith("iec-60909, pandapower")
    value = data["bus_ikss_ka"] if method == "short-circuit" else data["bus_vm_pu"]
    assert np.isfinite(value.values[data["bus_energised"].values]).all()
    assert all("units" in data[name].attrs and "long_name" in data[name].attrs for name in data.data_vars)


def test_unknown_methods_and_options_that_do_not_fit_are_refused() -> None:
    network = from_pandapower(pn.case9())
    with pytest.raises(InvalidInput, match=r"gauss-seidel.*there are newton, "):
        solve(network, power=Choice("gauss-seidel"))
    with pytest.raises(InvalidInput, match=r"(?s)enforce_q_limits.*tap_control.*has no such option"):
        solve(network, power=Choice("dc", enforce_q_limits=True, tap_control=True))


@pytest.mark.parametrize("near", [False, True])
@pytest.mark.parametrize(("fault", "case"), [("3ph", "max"), ("2ph", "max"), ("3ph", "min")])
def test_short_circuits_are_pandapowers(near: bool, fault: str, case: str) -> None:
    net = with_fault_data()
    net.gen["in_service"] = net.gen.in_service & near
    found = short_circuit(from_pandapower(net), fault, case).unwrap().columns
    with np.errstate(all="ignore"):
        calc_sc(net, fault=fault, case=case, ip=not near, ith=not near)
    assert ("bus_ip_ka" in found) == (not near)
    for column in net.res_bus_sc.columns:
        np.testing.assert_allclose(found[f"bus_{column}"], net.res_bus_sc[column], rtol=1e-12)


def test_missing_short_circuit_data_are_named_by_element_and_column() -> None:
    net = pn.mv_oberrhein()
    with pytest.raises(InvalidInput, match=r"(?s)ext_grid.*s_sc_max_mva.*ext_grid.*rx_max"):
        short_circuit(from_pandapower(net))
    with pytest.raises(InvalidInput, match="must be 3ph or 2ph or 1ph, is '4ph'"):
        short_circuit(from_pandapower(net), "4ph")


def test_dead_buses_have_no_short_circuit_current() -> None:
    net = with_fault_data()
    lonely = pp.create_bus(net, 20.0)
    solution = short_circuit(from_pandapower(net))
    assert solution.status is Status.DEAD_ISLANDS
    assert f"bus {lonely}" in solution.culprits
    assert np.isnan(solution.value.columns["bus_ikss_ka"][-1])


def test_twin_solve_takes_the_method(tmp_path: Path) -> None:
    out = tmp_path / "dc.nc"
    told(twin("solve", "pandapower:case9", "--method", "dc", "--out", out), 0)
    with xr.open_dataset(out) as data:
        assert data.attrs["method"] == "dc"
        assert float(np.abs(data["line_pl_mw"]).max()) == 0.0
    told(twin("solve", "pandapower:case9", "--method", "runpp", "--out", out), 2, "runpp", "fast-decoupled-bx")
    told(twin("solve", "pandapower:case9", "--method", "short-circuit", "--out", out), 2, "ext_grid", "s_sc_max_mva")
