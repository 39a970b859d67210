"""The simulator of labelled years: its weeks follow the calendar, its pressures are metres whatever the network's units, its
meters are nowhere far."""

import numpy as np
import pytest

from benchmarks.leak_years import _sensors, _simulate, _total
from grid_models.formats import read
from grid_models.water.network import WaterNetwork
from grid_models.water.zones import pipe_distance_m

_TRUTH = 1


def _two_days(source: str, first: str, sensors: dict[str, list[str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hourly instants, pressures [m] and smart meters [m3/h]."""
    network = read(source)
    assert isinstance(network, WaterNetwork)
    time = np.datetime64(first) + np.arange(48) * np.timedelta64(3600, "s")
    pressure, _, _, drawn, _ = _simulate(network, _TRUTH, time, [], {"flow": [], "level": [], **sensors})
    return time, pressure, drawn


@pytest.mark.filterwarnings("ignore")
def test_a_year_that_begins_on_a_tuesday_begins_with_a_tuesdays_profile() -> None:
    sensors = {"pressure": [], "drawn": ["n100"]}
    monday, _, from_monday = _two_days("epyt:L-TOWN", "2018-01-01", sensors)
    tuesday, _, from_tuesday = _two_days("epyt:L-TOWN", "2019-01-01", sensors)
    profile_monday = from_monday / _total(_TRUTH, monday)[:, None]
    profile_tuesday = from_tuesday / _total(_TRUTH, tuesday)[:, None]
    np.testing.assert_allclose(profile_tuesday[:24], profile_monday[24:], rtol=1e-6)
    assert np.abs(profile_tuesday[:24] / profile_monday[:24] - 1.0).max() > 1e-3  # the two days do differ


@pytest.mark.filterwarnings("ignore")
def test_pressures_of_a_network_in_us_units_are_metres() -> None:
    _, pressure, _ = _two_days("wntr:Net1", "2018-01-01", {"pressure": ["11", "22"], "drawn": []})
    # Net1 serves some 120 psi, which are 84 m.
    assert ((pressure > 75.0) & (pressure < 92.0)).all()


def test_meters_chosen_by_rule_leave_no_junction_far_from_all() -> None:
    network = read("epyt:KL")
    assert isinstance(network, WaterNetwork)
    way = pipe_distance_m(network, np.arange(len(network.node_ids)))[:, : network.n_junction]
    sources = np.flatnonzero(network.node_table != 0)
    chosen = network.nodes(_sensors(network, None)["pressure"])
    assert len(set(chosen.tolist())) == len(chosen) == 39  # L-Town has 33 at 782 junctions, this town 935
    farthest = way[np.concatenate([sources, chosen])].min(axis=0).max()
    evenly = way[np.concatenate([sources, np.arange(network.n_junction)[::24]])].min(axis=0).max()
    assert farthest < 0.85 * evenly
