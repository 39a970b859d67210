"""Every outage as a full load flow of the edited network has it, and as pandapower has it."""

import warnings
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from grid_models.errors import InvalidInput
from grid_models.formats import read
from grid_models.formats.pandapower import from_pandapower
from grid_models.power.network import PowerNetwork
from solvers.power.limits import limits
from solvers.power.load_flow import load_flow
from solvers.power.outage_choice import chosen_outages, every_outage
from solvers.power.screening import screen, screen_series
from solvers.power.screening_sheet import Screening
from solvers.solution import Status
from twin.cli.screen import command

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pandapower as pp
    import pandapower.networks as pn


@cache
def screened(name: str) -> tuple[PowerNetwork, Screening]:
    network = read(f"pandapower:{name}")
    assert isinstance(network, PowerNetwork)
    return network, screen(network).unwrap()


def without(network: PowerNetwork, label: str) -> PowerNetwork:
    tables = dict(network.tables)
    for word in label.split(" + "):
        table, index = word.split()
        row = tables[table].rows([int(index)])
        tables[table] = tables[table].replace("in_service", row, np.zeros(1, dtype=bool))
    return replace(network, tables=tables)


@pytest.mark.parametrize("name", ["case9", "case39", "case118", "mv_oberrhein"])
def test_each_outage_equals_a_full_load_flow(name: str) -> None:
    network, found = screened(name)
    chosen = range(0, len(found.labels), max(len(found.labels) // 40, 1))
    for i in chosen:
        answer = load_flow(without(network, found.labels[i]))
        assert found.status[i].usable == answer.status.usable, found.labels[i]
        if not answer.status.usable:
            continue
        m, v = answer.value.model, answer.value.v
        bounds = limits(without(network, found.labels[i]), m, 100.0)
        near = np.abs(m.y_ff * v[m.branch_from] + m.y_ft * v[m.branch_to]) * bounds.per_limit[:, 0]
        far = np.abs(m.y_tf * v[m.branch_from] + m.y_tt * v[m.branch_to]) * bounds.per_limit[:, 1]
        loading, vm = np.maximum(near, far), np.abs(v)
        # Both solve to 1e-8 pu of mismatch; a weak bus answers with some times that.
        assert found.max_loading_percent[i] == pytest.approx(100.0 * loading.max(initial=0.0), abs=1e-4)
        assert found.min_vm_pu[i] == pytest.approx(vm.min(), abs=3e-8)
        assert found.max_vm_pu[i] == pytest.approx(vm.max(), abs=3e-8)
        violated = (loading > 1).sum() + ((vm < bounds.band[:, 0]) | (vm > bounds.band[:, 1])).sum()
        assert (found.violation_outage == i).sum() == violated


def test_agrees_with_pandapower_where_the_network_splits() -> None:
    _, found = screened("mv_oberrhein")
    net = pn.mv_oberrhein()
    pp.runpp(net, tolerance_mva=1e-9)
    for i in range(0, len(found.labels), 12):
        table, index = found.labels[i].split()
        net[table].loc[int(index), "in_service"] = False
        pp.runpp(net, tolerance_mva=1e-9)
        net[table].loc[int(index), "in_service"] = True
        dead = net.res_bus.vm_pu.isna() & net.bus.in_service
        lost = (net.load.p_mw * net.load.scaling)[net.load.in_service & net.load.bus.map(dead)].sum()
        assert found.lost_load_mw[i] == pytest.approx(lost, abs=1e-9)
        assert (found.islands[i] > 0) == dead.any()
        assert found.min_vm_pu[i] == pytest.approx(net.res_bus.vm_pu.min(), abs=1e-7)
        assert found.max_loading_percent[i] == pytest.approx(
            max(net.res_line.loading_percent.max(), net.res_trafo.loading_percent.max()), abs=1e-3
        )


def test_the_order_and_the_company_of_outages_change_no_bit() -> None:
    network, found = screened("case118")
    todo = every_outage(network, ("line", "trafo"))
    order = np.random.default_rng(3).permutation(len(todo))[:50]
    some = screen(network, [todo[i] for i in order]).unwrap()
    row = {label: i for i, label in enumerate(found.labels)}
    same = [row[label] for label in some.labels]
    np.testing.assert_array_equal(some.max_loading_percent, found.max_loading_percent[same])
    np.testing.assert_array_equal(some.min_vm_pu, found.min_vm_pu[same])


def test_groups_and_words() -> None:
    network, _ = screened("case9")
    two = chosen_outages(network, ["line 0 + line 1", "line 4"])
    found = screen(network, two).unwrap()
    assert found.labels.tolist() == ["line 0 + line 1", "line 4"]
    assert [s.usable for s in found.status] == [load_flow(without(network, label)).status.usable for label in found.labels]
    assert len(chosen_outages(network, ["line *"])) == 9
    with pytest.raises(InvalidInput) as caught:
        chosen_outages(network, ["line 99", "cable 1", "line"])
    assert len(caught.value.issues) == 3


def test_a_base_case_without_solution_is_said() -> None:
    network, _ = screened("case9")
    heavy = replace(network, tables={**network.tables, "load": network.tables["load"].replace(
        "p_mw", slice(None), 50.0 * network.tables["load"]["p_mw"])})  # fmt: skip
    assert screen(heavy).status is Status.VOLTAGE_COLLAPSE


def test_only_what_violates_is_kept_on_request() -> None:
    _, found = screened("case118")
    kept = found.violating()
    bad = sorted(set(found.violation_outage.tolist()) | {i for i, s in enumerate(found.status) if not s.usable})
    assert kept.labels.tolist() == found.labels[bad].tolist()
    assert kept.labels[kept.violation_outage].tolist() == found.labels[found.violation_outage].tolist()
    np.testing.assert_array_equal(kept.violation_value, found.violation_value)


def test_a_series_is_a_screening_of_each_instants_network() -> None:
    network, _ = screened("case118")
    p = network.tables["load"]["p_mw"]
    series = xr.Dataset({"load_p_mw": (("scenario", "load"), np.stack([p, 0.8 * p, 40.0 * p, 1.05 * p]))})
    todo = chosen_outages(network, ["line *", "gen 3", "line 5 + line 7"])
    found = list(screen_series(network, series, todo))
    assert [solution.status.usable for solution in found] == [True, True, False, True]
    for k in (1, 3):
        load = network.tables["load"].replace("p_mw", slice(None), series["load_p_mw"].values[k])
        alone = screen(replace(network, tables={**network.tables, "load": load}), todo).unwrap()
        one = found[k].unwrap()
        assert one.labels.tolist() == alone.labels.tolist()
        assert one.status.tolist() == alone.status.tolist()
        # The base cases begin at other voltages, and both balance to 1e-8 pu; a weak bus answers with some times that.
        np.testing.assert_allclose(one.max_loading_percent, alone.max_loading_percent, atol=1e-4)
        np.testing.assert_allclose(one.min_vm_pu, alone.min_vm_pu, atol=3e-8)
        assert one.violation_element.tolist() == alone.violation_element.tolist()
    assert found[0].unwrap().max_loading_percent.max() > found[1].unwrap().max_loading_percent.max()


def test_what_an_outage_leaves_over_is_shared_by_weight_on_request() -> None:
    net = pn.case39()
    net.gen["slack_weight"], net.ext_grid["slack_weight"] = np.linspace(0.5, 2.0, len(net.gen)), 1.0
    network = from_pandapower(net)
    found = screen(network, chosen_outages(network, ["gen 3", "line 5", "line 0 + gen 5"]), distributed_slack=True).unwrap()
    for i, out in enumerate(([("gen", 3)], [("line", 5)], [("line", 0), ("gen", 5)])):
        edited = deepcopy(net)
        for table, index in out:
            edited[table].loc[index, "in_service"] = False
        pp.runpp(edited, distributed_slack=True, tolerance_mva=1e-7, lightsim2grid=False)
        assert found.status[i] is Status.SOLVED
        # Shares are closed to 1e-8 pu of power.
        np.testing.assert_allclose(found.min_vm_pu[i], edited.res_bus.vm_pu.min(), atol=1e-8)
        np.testing.assert_allclose(found.max_loading_percent[i], edited.res_line.loading_percent.max(), atol=1e-4)


def test_the_command_takes_outages_and_a_series_from_files(tmp_path: Path) -> None:
    (tmp_path / "outages.txt").write_text("# of the district\nline *\n\nline 3 + line 5  # both\n")
    p = pn.case14().load.p_mw.to_numpy()
    hours = np.array(["2026-01-01T00", "2026-01-01T01"], dtype="datetime64[ns]")
    series = xr.Dataset({"load_p_mw": (("time", "load"), np.stack([p, 1.2 * p]))}, {"time": hours})
    series.to_netcdf(tmp_path / "series.nc", engine="h5netcdf")
    out, words = tmp_path / "out.nc", {"outages": tmp_path / "outages.txt", "series": tmp_path / "series.nc"}
    assert command("pandapower:case14", out, **words) == 0
    network = from_pandapower(pn.case14())
    each = list(screen_series(network, series.rename(time="scenario"), chosen_outages(network, ["line *", "line 3 + line 5"])))
    with xr.open_dataset(out, engine="h5netcdf") as data:
        assert data["time"].values.tolist() == hours.tolist()
        assert data["base_status"].values.tolist() == ["SOLVED", "SOLVED"]
        for k, solution in enumerate(each):
            one = solution.unwrap()
            np.testing.assert_array_equal(data["max_loading_percent"].values[k], one.max_loading_percent)
            mine = data["violation_time"].values == hours[k]
            assert data["violation_element"].values[mine].tolist() == one.violation_element.tolist()
    (tmp_path / "outages.txt").write_text("line 3\nline 999\nloin 3\n")
    with pytest.raises(InvalidInput, match=r"outages\.txt:2: outage line 999(.|\n)*outages\.txt:3: outage loin 3"):
        command("pandapower:case14", out, outages=tmp_path / "outages.txt")
