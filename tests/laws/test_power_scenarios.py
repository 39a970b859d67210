"""Scenarios labelled in and out are load flows of the edited networks, and say what does not fit."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from grid_models.errors import InvalidInput
from grid_models.formats import read
from grid_models.power.network import PowerNetwork
from solvers.power.load_flow import load_flow
from solvers.power.results import results
from solvers.power.scenarios import run_scenarios


def network_of(name: str) -> PowerNetwork:
    network = read(f"pandapower:{name}")
    assert isinstance(network, PowerNetwork)
    return network


def test_each_scenario_is_the_load_flow_of_the_edited_network_whatever_the_chunks() -> None:
    network = network_of("mv_oberrhein")
    rng = np.random.default_rng(0)
    given = {
        f"{element}_p_mw": ((("scenario", element)), table["p_mw"] * rng.uniform(0.5, 1.2, (5, table.size)))
        for element, table in ((e, network.tables[e]) for e in ("load", "sgen"))
    }
    scenarios = xr.Dataset(given, {"scenario": ["a", "b", "c", "d", "e"]})
    columns = ["bus_vm_pu", "bus_va_degree", "line_loading_percent", "trafo_p_hv_mw"]
    [whole] = run_scenarios(network, scenarios, columns=columns)
    parts = xr.concat(run_scenarios(network, scenarios, columns=columns, chunk_bytes=1), "scenario")
    xr.testing.assert_equal(whole, parts)
    assert whole["scenario"].values.tolist() == ["a", "b", "c", "d", "e"]
    assert set(whole["scenario_status"].values) == {"SOLVED"}
    for k in range(5):
        tables = {**network.tables}
        for element in ("load", "sgen"):
            tables[element] = tables[element].replace("p_mw", slice(None), scenarios[f"{element}_p_mw"].values[k])
        edited = replace(network, tables=tables)
        flow = load_flow(edited).unwrap()
        own = results(edited, flow.model, flow.v)
        for name in columns:
            # Both balance to 1e-8 pu; flows and loadings are some hundred times that.
            np.testing.assert_allclose(whole[name].values[k], own[name], atol=1e-5, err_msg=name)


def test_a_scenario_without_solution_is_nan_and_named() -> None:
    network = network_of("case9")
    p = network.tables["load"]["p_mw"]
    [found] = run_scenarios(network, xr.Dataset({"load_p_mw": (("scenario", "load"), np.stack([p, 40.0 * p]))}))
    assert found["scenario_status"].values.tolist() == ["SOLVED", "NOT_CONVERGED"]
    assert found["bus_vm_pu"].notnull().all("bus").values.tolist() == [True, False]
    assert found.attrs["status"] == "NOT_CONVERGED"


def test_what_does_not_fit_is_named_all_at_once() -> None:
    network = network_of("case9")
    wrong = xr.Dataset(
        {
            "load_p_mw": (("load", "scenario"), np.ones((3, 2))),
            "load_q_mvar": (("scenario", "load"), np.full((2, 3), np.nan)),
            "wind_p_mw": ("scenario", [1.0, 2.0]),
            "sgen_p_mw": ("scenario", [1.0, 2.0]),
        }
    )
    with pytest.raises(InvalidInput) as caught:
        next(run_scenarios(network, wrong))
    assert [issue.field for issue in caught.value.issues] == ["load_p_mw", "load_q_mvar", "wind_p_mw", "sgen_p_mw"]
    one = xr.Dataset({"load_p_mw": (("scenario", "load"), np.ones((1, 3)))})
    with pytest.raises(InvalidInput, match="is no column"):
        next(run_scenarios(network, one, columns=["bus_colour"]))
    load = network.tables["load"]
    follows = load.replace("const_i_p_percent", slice(0, 1), np.array([50.0]))
    with pytest.raises(InvalidInput, match="follow the voltage"):
        next(run_scenarios(replace(network, tables={**network.tables, "load": follows}), one))
