"""Datasets carry names, units and provenance, and survive netCDF."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
import xarray as xr

from grid_models.errors import InvalidInput
from grid_models.formats.pandapower import from_pandapower
from grid_models.library import water
from solvers.labelled import Provenance, power_dataset, water_dataset, write_netcdf
from solvers.power.load_flow import load_flow
from solvers.power.results import results
from solvers.solution import Solution, Stats, Status

PROVENANCE = Provenance("newton-raphson", {"tolerance_pu": 1e-8}, "ab12")


def test_a_power_dataset_is_pandapowers_columns_with_units(tmp_path: Path) -> None:
    net = pn.mv_oberrhein()
    net.switch.loc[net.switch.index[:40], "closed"] = False
    network = from_pandapower(net)
    solution = load_flow(network)
    found = results(network, solution.value.model, solution.value.v)
    dataset = power_dataset(network, found, solution, PROVENANCE)
    assert dataset["line_loading_percent"].dims == ("line",)
    assert dataset["bus"].values.tolist() == net.bus.index.tolist()
    assert dataset["bus_vm_pu"].attrs["units"] == "pu"
    assert all(v.attrs["units"] and v.attrs["long_name"] for v in dataset.data_vars.values())
    assert dataset["bus_name"].values.tolist() == net.bus.name.tolist()
    assert 7.0 < float(dataset["bus_lon"].mean()) < 9.0
    assert 47.0 < float(dataset["bus_lat"].mean()) < 50.0
    assert dataset.attrs["status"] == solution.status.name
    assert json.loads(dataset.attrs["options"]) == {"tolerance_pu": 1e-8}
    assert dataset.attrs["model_revision"] == network.revision

    write_netcdf(dataset, tmp_path / "out.nc")
    with xr.open_dataset(tmp_path / "out.nc", engine="h5netcdf") as back:
        xr.testing.assert_identical(back.load(), dataset)
        assert back["bus_energised"].dtype == bool


def test_every_result_of_every_element_is_in_the_registry() -> None:
    net = pn.example_multivoltage()
    for create in (pp.create_asymmetric_load, pp.create_asymmetric_sgen):
        create(net, 38, p_a_mw=0.001)
    pp.create_storage(net, 38, 0.1, 1.0)
    pp.create_motor(net, 38, 0.1, 0.9)
    pp.create_ward(net, 39, 0.1, 0.1, 0.1, 0.1)
    a, b = pp.create_bus(net, 110.0), pp.create_bus(net, 110.0)
    for bus in (a, b):
        pp.create_line(net, 32, bus, 1.0, "490-AL1/64-ST1A 110.0")
    pp.create_dcline(net, a, b, 1.0, 1.0, 0.1, 1.01, 1.01)
    network = from_pandapower(net)
    solution = load_flow(network)
    found = results(network, solution.value.model, solution.value.v)
    dataset = power_dataset(network, found, solution, PROVENANCE)  # a name without declaration raises KeyError
    assert {"motor", "dcline", "trafo3w", "asymmetric_sgen", "switch", "xward"} <= set(dataset.dims)


def test_leading_dimensions_come_first() -> None:
    network = from_pandapower(pn.case4gs())
    many = {"bus_vm_pu": np.ones((3, 2, 4))}
    leading = {"scenario": ["a", "b", "c"], "time": [0.0, 60.0]}
    dataset = power_dataset(network, many, Solution(None, Status.SOLVED), PROVENANCE, leading)
    assert dataset["bus_vm_pu"].dims == ("scenario", "time", "bus")
    assert dataset["scenario"].values.tolist() == ["a", "b", "c"]


def test_a_water_dataset_has_time_and_the_inp_ids(tmp_path: Path) -> None:
    network = water.pumped_tank()
    n_node, n_link = len(network.node_ids), len(network.link_ids)
    found = {
        "node_pressure_m": np.arange(2.0 * n_node).reshape(2, n_node),
        "link_flow_m3_per_s": np.zeros((2, n_link)),
        "node_supplied": np.ones((2, n_node), dtype=bool),
        "tank_level_m": np.ones((2, network.tables["tank"].size)),
    }
    solution = Solution(None, Status.SOLVED, Stats(iterations=7))
    dataset = water_dataset(network, found, solution, PROVENANCE, time_s=[0, 300])
    assert dataset["node_pressure_m"].dims == ("time", "node")
    assert dataset["node"].values.tolist() == network.node_ids.tolist()
    assert dataset["time"].attrs["time_reference"] == "start of the simulation"
    assert dataset.attrs["iterations"] == 7
    xr.testing.assert_identical(dataset, xr.Dataset(dataset.variables, attrs=dataset.attrs))  # as if xarray had put it together
    assert dict(dataset.sizes) == {"time": 2, "node": n_node, "link": n_link, "tank": 1}
    dataset["node"].attrs["mine"] = 1  # belongs to this one alone
    assert "mine" not in water_dataset(network, found, solution, PROVENANCE, time_s=[0, 300])["node"].attrs
    write_netcdf(dataset, tmp_path / "out.nc")
    with xr.open_dataset(tmp_path / "out.nc", engine="h5netcdf") as back:
        assert back["time"].values.tolist() == [0.0, 300.0]
        np.testing.assert_array_equal(back["node_pressure_m"], found["node_pressure_m"])

    begin = datetime(2026, 3, 1, 6, tzinfo=UTC)
    known = water_dataset(network, found, solution, PROVENANCE, time_s=[0, 300], start=begin)
    assert known["time"].values[1] == np.datetime64("2026-03-01T06:05")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nowhere/x\.nc.*there is no such folder"):
        write_netcdf(xr.Dataset(), tmp_path / "nowhere" / "x.nc")
