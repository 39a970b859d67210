"""A batch of scenarios is the loop over them: whatever the grouping and the threads, and as if each were run alone."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_models.errors import InvalidInput
from grid_models.formats.epanet import read_text
from grid_models.formats.epanet_text import InpText
from grid_models.library.water import pumped_tank, reduced_zone
from grid_models.water.network import WaterNetwork
from grid_models.water.testing import water_networks
from solvers.water import batch
from solvers.water.batch import run_batch
from solvers.water.extended import simulate
from solvers.water.plan import prepare
from tests.laws.test_water_devices_against_epanet import CASES, PLAIN, TOWN, town

DAY_S = 86400


def scenarios(network: WaterNetwork, n: int) -> xr.Dataset:
    rng = np.random.default_rng(7)
    leak = np.zeros((n, len(network.node_ids)))
    leak[:, 0] = rng.uniform(0.0, 1e-3, n)
    is_open = np.ones((n, len(network.link_ids)))
    is_open[0, network.links(["lift"])] = 0
    return xr.Dataset({
        "node_demand_factor": (("scenario", "node"), np.repeat(rng.uniform(0.7, 1.3, (n, 1)), leak.shape[1], axis=1)),
        "node_leak_m3_per_s": (("scenario", "node"), leak),
        "link_open": (("scenario", "link"), is_open),
        "link_resistance_factor": (("scenario", "link"), rng.uniform(0.5, 2.0, is_open.shape)),
        "tank_level_m": (("scenario", "tank"), rng.uniform(2.0, 4.0, (n, 1))),
    })  # fmt: skip


@pytest.mark.parametrize("told", ["pipes as ever", "pipes of their own"])
def test_no_bit_depends_on_grouping_chunks_or_threads(told: str) -> None:
    network, n = pumped_tank(), 40
    cases, others, plan = scenarios(network, n), scenarios(network, 11), prepare(network)
    if told == "pipes as ever":  # then runs take their first step from the base case together
        cases = cases.drop_vars("link_resistance_factor")
    else:
        others = others.drop_vars("link_resistance_factor")
    [at_once] = run_batch(network, cases, DAY_S)
    next(run_batch(network, others, 0.0, plan=plan))  # leaves its lanes and its first step to the next batch of the plan
    with ThreadPoolExecutor(3) as pool:
        shared = xr.concat(list(run_batch(network, cases, DAY_S, pool, chunk_bytes=150_000, plan=plan)), "scenario")
    assert shared.sizes == at_once.sizes
    for name in at_once.data_vars:
        assert at_once[name].values.tobytes() == shared[name].values.tobytes() or name == "scenario_status", name
    alone = xr.concat([next(run_batch(network, cases.isel(scenario=[k]), DAY_S)) for k in range(3)], "scenario")
    assert alone["node_head_m"].values.tobytes() == at_once["node_head_m"].values[:3].tobytes()


def test_no_bit_depends_on_what_a_worker_has_seen_where_nodes_have_no_source() -> None:
    dry = PLAIN | {"junctions": " K 8 0\n L 8 0\n M 8 0", "pipes": " P6 K L 90 90 90\n P7 L M 90 90 90\n P8 M K 90 90 90"}
    network = read_text(InpText(TOWN.format(**dry)), "dry")
    plan, factor = prepare(network), np.random.default_rng(1).uniform(0.5, 1.5, (9, len(network.node_ids)))
    cases = xr.Dataset({"node_demand_factor": (("scenario", "node"), factor)})
    [first], [second] = (list(run_batch(network, cases, 0.0, plan=plan)) for _ in range(2))
    assert set(first["scenario_status"].values.tolist()) == {"NO_SUPPLY"}
    assert first["node_head_m"].values.tobytes() == second["node_head_m"].values.tobytes()
    assert first.attrs["iterations"] == second.attrs["iterations"]


def test_memory_of_a_chunk_serves_a_later_one_once_nobody_has_it() -> None:
    network = pumped_tank()
    chunks = run_batch(network, scenarios(network, 40), 0.0, chunk_bytes=1)
    kept = next(chunks)["node_head_m"].values[0]  # a part of it is enough to have it
    before, second = kept.copy(), next(chunks)
    place = second["link_flow_m3_per_s"].values.ctypes.data
    del second
    third, fourth = next(chunks), next(chunks)
    assert third["link_flow_m3_per_s"].values.ctypes.data == place
    assert fourth["link_flow_m3_per_s"].values.ctypes.data != place
    assert kept.tobytes() == before.tobytes()


def hold_lanes_to_the_loop(network: WaterNetwork, cases: xr.Dataset, duration_s: float) -> None:
    """Eight at once and one by one, each from the base case."""
    [at_once] = run_batch(network, cases, duration_s)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "fit_lanes", lambda _: False)
        [alone] = run_batch(network, cases, duration_s)
    np.testing.assert_array_equal(at_once["scenario_status"].values, alone["scenario_status"].values)
    np.testing.assert_array_equal(at_once["node_supplied"].values, alone["node_supplied"].values)
    # Both end where each link's law holds to 1e-7 m and the mass to 1e-9 of the flows.
    np.testing.assert_allclose(at_once["node_head_m"].values, alone["node_head_m"].values, atol=1e-6)
    np.testing.assert_allclose(at_once["link_flow_m3_per_s"].values, alone["link_flow_m3_per_s"].values, atol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_lanes_are_the_loop_over_them(case: str) -> None:
    network = read_text(InpText(town(case)), case)
    factor = np.random.default_rng(1).uniform(0.3, 1.6, (11, len(network.node_ids)))
    hold_lanes_to_the_loop(network, xr.Dataset({"node_demand_factor": (("scenario", "node"), factor)}), DAY_S / 2)


@settings(max_examples=25, deadline=None)
@given(water_networks(), st.integers(0, 2**32 - 1))
def test_lanes_are_the_loop_on_any_network(network: WaterNetwork, seed: int) -> None:
    rng, n, links = np.random.default_rng(seed), 9, len(network.link_ids)
    cases = xr.Dataset({
        "node_demand_factor": (("scenario", "node"), rng.uniform(0.0, 2.0, (n, len(network.node_ids)))),
        "link_open": (("scenario", "link"), rng.uniform(size=(n, links)) > 0.1),
        "link_resistance_factor": (("scenario", "link"), rng.uniform(0.5, 2.0, (n, links))),
    })  # fmt: skip
    hold_lanes_to_the_loop(network, cases, 0.0)


def test_what_lanes_cannot_have_is_solved_alone() -> None:
    network, n = reduced_zone(), 9
    is_open = np.ones((n, len(network.link_ids)))
    is_open[4, 0] = 0.0  # the only way from the reservoir
    [found] = run_batch(network, xr.Dataset({"link_open": (("scenario", "link"), is_open)}), 0.0)
    names = found["scenario_status"].values.tolist()
    assert names[4] == "NO_SUPPLY"
    assert set(names[:4] + names[5:]) == {"SOLVED"}
    assert np.isnan(found["node_head_m"].values[4, 0]).any()
    assert found["node_head_m"].values[3].tobytes() == found["node_head_m"].values[5].tobytes()


def test_a_scenario_is_the_run_of_a_network_edited_so() -> None:
    network = pumped_tank()
    cases = scenarios(network, 3).isel(scenario=[0, 2]).drop_vars(["node_leak_m3_per_s", "link_resistance_factor"])
    [batch] = run_batch(network, cases, DAY_S)
    for k in range(2):
        tables = dict(network.tables)
        base = tables["demand"]["base_m3_per_s"] * float(cases["node_demand_factor"][k, 0])
        tables["demand"] = tables["demand"].replace("base_m3_per_s", slice(None), base)
        tables["tank"] = tables["tank"].replace("initial_level_m", slice(None), cases["tank_level_m"].values[k])
        status = np.array(["open" if cases["link_open"].values[k, network.links(["lift"])[0]] else "closed"], dtype=object)
        tables["pump"] = tables["pump"].replace("status", slice(None), status)
        alone = simulate(replace(network, tables=tables), DAY_S).value.values
        # Each begins from another state and stops at 1e-7 m; a control's second may move a tank by its inflow of one.
        np.testing.assert_allclose(batch["node_head_m"].values[k], alone["node_head_m"], atol=1e-3)


def test_what_does_not_fit_is_named() -> None:
    network = pumped_tank()
    wrong = xr.Dataset({"node_demand_factor": (("scenario", "node"), np.ones((2, 3))), "wind": (("scenario",), np.ones(2))})
    with pytest.raises(InvalidInput) as error:
        next(run_batch(network, wrong))
    assert "node_demand_factor" in str(error.value)
    assert "wind" in str(error.value)
