"""A forecast is what its futures' networks give when they are written as files and solved one by one."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from grid_models.formats import read, write
from grid_models.library.water import pumped_tank
from solvers.forecast.seasonal import fit
from solvers.solve import solve
from twin.forecast_jobs import QUANTILES, Inputs, Rhythms, forecast, power_future, water_future

HOURS, FUTURES = 24, 12
START = np.datetime64("2026-03-09T06:00:00", "us")


def _inputs(seed: int) -> Inputs:
    hours = np.arange(48) * 3600.0
    day = 1.0 + 0.3 * np.sin(2 * np.pi * hours / 86400.0)
    rhythms = Rhythms(fit(hours, day), fit(hours, np.maximum(0.05, day - 0.7)), fit(hours, 0.8 * day))
    return Inputs.draw(rhythms, 6 * 3600.0, HOURS, FUTURES, seed)


@pytest.fixture(scope="module")
def found() -> xr.Dataset:
    return forecast(read("pandapower:mv_oberrhein"), pumped_tank(), _inputs(7), START, lambda: None)


def test_a_future_is_the_solution_of_its_files(found: xr.Dataset, tmp_path: Path) -> None:
    inputs, k = _inputs(7), 5
    for name in ("load", "sun", "water"):
        assert np.array_equal(found[f"{name}_share"], getattr(inputs, name))
    write(water_future(pumped_tank(), inputs.water[k]), tmp_path / "future.inp")
    water = solve(read(str(tmp_path / "future.inp"))).unwrap()
    assert np.abs(found["node_pressure_m"][k].values - water["node_pressure_m"].values).max() <= 1e-3
    assert np.abs(found["tank_level_m"][k].values - water["tank_level_m"].values).max() <= 1e-3
    for hour in (0, HOURS - 1):
        network = power_future(read("pandapower:mv_oberrhein"), inputs.load[k, hour], inputs.sun[k, hour])
        write(network, tmp_path / "future.json")
        power = solve(read(str(tmp_path / "future.json"))).unwrap()
        assert np.nanmax(np.abs(found["bus_vm_pu"][k, hour].values - power["bus_vm_pu"].values)) <= 1e-8


def test_quantiles_are_ordered_and_are_those_of_the_futures(found: xr.Dataset) -> None:
    for name in ("bus_vm_pu", "line_loading_percent", "node_pressure_m", "tank_level_m"):
        quantiles = found[f"{name}_quantile"]
        assert quantiles.dims[:2] == ("quantile", "time")
        assert (np.diff(quantiles.values, axis=0) >= 0).all()
        median = quantiles.values[QUANTILES.index(0.5)]
        assert np.allclose(median, np.median(found[name].values, axis=0))
    assert np.ptp(found["line_loading_percent"].values, axis=0).max() > 1.0  # the futures do differ
    assert set(found["status"].values.tolist()) == {"SOLVED"}


def test_the_same_seed_gives_the_same_futures() -> None:
    assert np.array_equal(_inputs(7).load, _inputs(7).load)
    assert not np.array_equal(_inputs(7).load, _inputs(8).load)
