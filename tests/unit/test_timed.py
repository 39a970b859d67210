"""Changes at their own time: as if a control of the file had made them; power networks once after each."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

import twin
from grid_models.errors import InvalidInput
from grid_models.formats import read
from grid_models.scenario import Patch, apply
from grid_models.water.network import SimpleControl, WaterNetwork
from solvers.solution import Status
from solvers.solve import solve

HOUR = 3600.0


def change(body: str, when: str = "") -> str:
    return f"[[change]]\n{when}\n{body}\n"


CLOSE = 'set = { element = "pipe 21", column = "status", value = "closed" }'
STOP = 'set = { element = "pump 9", column = "status", value = "closed" }'


def controlled(network: WaterNetwork, link: str, hour: float) -> WaterNetwork:
    """The network with EPANET's `LINK ... CLOSED AT TIME ...` before its own controls."""
    shut = SimpleControl(link=link, status="closed", setting=None, condition="time", node="", value=hour * HOUR)
    return replace(network, controls=(shut, *network.controls))


@pytest.mark.parametrize(("body", "link"), [(CLOSE, "21"), (STOP, "9")])
def test_a_change_on_the_way_is_what_a_control_at_that_time_does(body: str, link: str) -> None:
    network = read("wntr:Net1")
    assert isinstance(network, WaterNetwork)
    patched = solve(network, duration_s=8 * HOUR, changes=Patch.from_toml(change(body, 'after = "150m"'))).unwrap()
    expected = solve(controlled(network, link, 2.5), duration_s=8 * HOUR).unwrap()
    untouched = solve(network, duration_s=8 * HOUR).unwrap()
    for name in ("node_head_m", "link_flow_m3_per_s", "tank_level_m"):
        assert np.array_equal(patched[name].sel(time=slice(0, 2 * HOUR)), untouched[name].sel(time=slice(0, 2 * HOUR)))
        np.testing.assert_allclose(patched[name], expected[name], atol=1e-6, rtol=0)
    assert float(np.abs(patched["node_head_m"] - untouched["node_head_m"]).max()) > 0.01


def test_a_change_at_a_report_time_is_seen_there_and_only_once() -> None:
    network = read("wntr:Net1")
    data = solve(network, duration_s=4 * HOUR, changes=Patch.from_toml(change(CLOSE, 'after = "2h"'))).unwrap()
    assert data["time"].values.tolist() == [0.0, HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR]
    assert data["link_status"].sel(link="21").values.tolist() == [1, 1, 0, 0, 0]


def test_a_power_network_is_solved_after_each_change() -> None:
    network = read("pandapower:case9")
    late = change('set = { element = "line 2", column = "in_service", value = false }', 'at = "19:00"')
    later = change('scale = { element = "load *", column = "p_mw", factor = 0.9 }', 'after = "3h"')
    at_once = change('scale = { element = "load *", column = "q_mvar", factor = 1.1 }')
    start = datetime(2026, 3, 9, 18, tzinfo=UTC)
    data = solve(network, duration_s=4 * HOUR, start=start, changes=Patch.from_toml(later + late + at_once)).unwrap()
    assert [str(t)[11:16] for t in data["time"].values] == ["18:00", "19:00", "21:00"]
    made = ""
    for k, part in enumerate((at_once, late, later)):
        made += part
        expected = solve(apply(network, Patch.from_toml(made))).unwrap()
        np.testing.assert_allclose(data["bus_vm_pu"][k], expected["bus_vm_pu"], atol=1e-12)
        np.testing.assert_allclose(data["line_loading_percent"][k], expected["line_loading_percent"], atol=1e-9)


def test_what_if_stands_beside_the_base_at_every_instant() -> None:
    run = twin.open("pandapower:case9").edit("line 2", in_service=False, after="1h").run(2 * HOUR)
    rows = run.compare().rows
    assert not rows.empty
    assert set(rows["time"]) == {"3600.0"}


def test_in_a_run_without_duration_all_changes_hold() -> None:
    network = read("pandapower:case9")
    patch = Patch.from_toml(change('set = { element = "line 2", column = "in_service", value = false }', 'after = "1h"'))
    assert np.array_equal(
        solve(network, changes=patch).unwrap()["bus_vm_pu"], solve(apply(network, patch)).unwrap()["bus_vm_pu"]
    )


def test_changes_that_cannot_come_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"is due 10800 s after the start, the run ends after 7200 s"):
        twin.open("wntr:Net1").edit("pipe 21", status="closed", after="3h").run(2 * HOUR)
    with pytest.raises(InvalidInput, match="come and go at the start alone"):
        twin.open("wntr:Net1").remove("pipe 21", after="1h").run(2 * HOUR)


class Patience:
    """Lets a run look up some times, and then wants it to stop."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_cancelled_hydraulic_run_has_what_was_found_so_far() -> None:
    network, week = read("wntr:Net1"), 7 * 24 * HOUR
    patch = Patch.from_toml(change(CLOSE, 'after = "2h"') + change(STOP, 'after = "100h"'))
    whole = solve(network, duration_s=week, changes=patch).unwrap()
    stopped = solve(network, duration_s=week, changes=patch, cancelled=Patience(2))
    assert (stopped.status, stopped.status.usable) == (Status.CANCELLED, False)
    known = stopped.value["time"].values
    assert 2 * HOUR < known[-1] < 100 * HOUR
    assert np.array_equal(stopped.value["node_head_m"], whole["node_head_m"].sel(time=known))


def test_a_cancelled_run_of_load_flows_ends_after_the_one_that_it_is_at() -> None:
    scales = [change('scale = { element = "load *", column = "p_mw", factor = 1.01 }', f'after = "{k}m"') for k in range(1, 9)]
    patch = Patch.from_toml("".join(scales))
    stopped = solve(read("pandapower:case9"), duration_s=HOUR, changes=patch, cancelled=Patience(3))
    assert (stopped.status, stopped.value.sizes["time"]) == (Status.CANCELLED, 4)
