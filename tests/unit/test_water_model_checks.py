"""Tables, numbers and checks of the water network; facts of its graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from grid_models.columns import inputs
from grid_models.library.water import looped_town, pumped_tank, reduced_zone, two_reservoirs
from grid_models.tables import Table
from grid_models.water.controls import Action, Premise, Rule, SimpleControl
from grid_models.water.network import LinkKind, WaterNetwork
from grid_models.water.validation import validate
from grid_models.water.zones import open_links, pipe_distance_m, pressure_zones, supplied


def edited(network: WaterNetwork, table: str, column: str, row: int, value: Any) -> WaterNetwork:
    tables = {**network.tables, table: network.tables[table].replace(column, [row], value)}
    return replace(network, tables=tables)


def faults(network: WaterNetwork) -> set[tuple[str, str]]:
    return {(issue.component, issue.field) for issue in validate(network)}


def test_nodes_are_numbered_junctions_first_and_links_as_in_the_file() -> None:
    network = pumped_tank()
    assert network.node_ids.tolist() == ["station", "street", "well", "tower"]
    assert network.link_ids.tolist() == ["rising", "main", "lift"]
    assert network.n_junction == 2
    assert network.reservoir_node.tolist() == [2]
    assert network.tank_node.tolist() == [3]
    assert network.link_kind.tolist() == [LinkKind.PIPE, LinkKind.PIPE, LinkKind.PUMP]
    assert network.link_from.tolist() == [0, 3, 2]
    assert network.link_to.tolist() == [3, 1, 0]
    assert network.node_elevation_m.tolist() == [12, 15, 10, 55]


def test_unknown_ids_are_numbered_minus_one() -> None:
    assert two_reservoirs().nodes(["middle", "nowhere"]).tolist() == [0, -1]


def test_an_added_node_comes_last_of_its_kind() -> None:
    network = pumped_tank()
    junction = network.tables["junction"]
    columns = {name: np.append(column, column[:1]) for name, column in junction.items() if name != "position"}
    tables = {**network.tables, "junction": Table(np.append(junction.index, "new"), columns)}
    assert replace(network, tables=tables).node_ids.tolist()[:3] == ["station", "street", "new"]


def test_the_revision_follows_the_content_and_not_the_comments() -> None:
    network = looped_town()
    assert looped_town().revision == network.revision
    assert replace(network, source="; other text").revision == network.revision
    assert edited(network, "pipe", "diameter_m", 0, 0.251).revision != network.revision
    assert replace(network, options=replace(network.options, demand_multiplier=1.1)).revision != network.revision
    assert replace(network, controls=pumped_tank().controls).revision != network.revision


def test_a_small_change_in_a_long_pattern_changes_the_revision() -> None:
    network = looped_town()
    cells = np.empty(1, dtype=object)
    cells[0] = np.linspace(0, 1, 5000)
    long = replace(network, tables={**network.tables, "pattern": Table(np.array(["day"]), {"multipliers": cells})})
    other = np.empty(1, dtype=object)
    other[0] = cells[0].copy()
    other[0][2500] += 1e-12
    nudged = replace(network, tables={**network.tables, "pattern": Table(np.array(["day"]), {"multipliers": other})})
    assert long.revision != nudged.revision


@pytest.mark.parametrize("network", [two_reservoirs(), pumped_tank(), reduced_zone(), looped_town()], ids=lambda n: n.name)
def test_the_library_is_without_fault_and_supplied(network: WaterNetwork) -> None:
    assert validate(network) == ()
    assert supplied(network).all()


@pytest.mark.parametrize(
    ("network", "table", "column", "value"),
    [
        (two_reservoirs(), "pipe", "length_m", 0.0),
        (two_reservoirs(), "pipe", "diameter_m", -0.1),
        (two_reservoirs(), "pipe", "roughness", 0.0),
        (two_reservoirs(), "pipe", "minor_loss", -1.0),
        (two_reservoirs(), "pipe", "length_m", np.inf),
        (two_reservoirs(), "pipe", "to_node", "nowhere"),
        (two_reservoirs(), "pipe", "to_node", "upper"),
        (two_reservoirs(), "pipe", "status", "ajar"),
        (two_reservoirs(), "junction", "elevation_m", np.nan),
        (two_reservoirs(), "demand", "node", "upper"),
        (two_reservoirs(), "demand", "pattern", "nowhere"),
        (two_reservoirs(), "reservoir", "pattern", "nowhere"),
        (pumped_tank(), "tank", "initial_level_m", 6.5),
        (pumped_tank(), "tank", "diameter_m", 0.0),
        (pumped_tank(), "tank", "volume_curve", "lift"),
        (pumped_tank(), "pump", "head_curve", ""),
        (pumped_tank(), "pump", "head_curve", "nowhere"),
        (pumped_tank(), "pump", "speed", -0.5),
        (reduced_zone(), "valve", "kind", "TAP"),
        (reduced_zone(), "valve", "setting", np.nan),
        (reduced_zone(), "valve", "from_node", "hill"),
    ],
)
def test_a_fault_is_named_by_table_and_column(network: WaterNetwork, table: str, column: str, value: Any) -> None:
    assert (table, column) in faults(edited(network, table, column, 0, value))


def test_all_faults_are_told_at_once() -> None:
    network = edited(pumped_tank(), "pipe", "length_m", 0, -1.0)
    network = edited(network, "tank", "initial_level_m", 0, 9.0)
    network = replace(network, options=replace(network.options, pattern_step_s=0))
    assert {("pipe", "length_m"), ("tank", "initial_level_m"), ("options", "pattern_step_s")} <= faults(network)


def test_rows_with_the_same_fault_share_one_issue() -> None:
    pipe = looped_town().tables["pipe"].replace("length_m", slice(None), 0.0)
    network = looped_town()
    (issue,) = validate(replace(network, tables={**network.tables, "pipe": pipe}))
    assert len(issue.ids) == pipe.size


@pytest.mark.parametrize(
    ("flow", "head"),
    [
        ([0.0], [10.0]),
        ([0.0, 0.1, 0.2], [10.0, 10.0, 5.0]),
        ([0.1, 0.2], [5.0, 6.0]),
        ([0.0, 0.1, 0.2], [10, 9.9999999, 0]),
    ],
)
def test_head_curves_no_pump_can_have(flow: list[float], head: list[float]) -> None:
    network = pumped_tank()
    x, y = np.empty(1, dtype=object), np.empty(1, dtype=object)
    x[0], y[0] = np.array(flow), np.array(head, dtype=float)
    curve = Table(network.tables["curve"].index, {**network.tables["curve"], "x": x, "y": y})
    assert ("pump", "head_curve") in faults(replace(network, tables={**network.tables, "curve": curve}))


def test_a_volume_curve_must_reach_over_all_levels() -> None:
    network = pumped_tank()
    x, y, kind = (np.empty(2, dtype=object) for _ in range(3))
    x[0], y[0], kind[0] = network.tables["curve"]["x"][0], network.tables["curve"]["y"][0], "head"
    x[1], y[1], kind[1] = np.array([0.0, 5.0]), np.array([0.0, 500.0]), "volume"
    curve = Table(np.array(["lift", "shape"]), {"kind": kind, "x": x, "y": y})
    network = replace(network, tables={**network.tables, "curve": curve})
    assert ("tank", "volume_curve") in faults(edited(network, "tank", "volume_curve", 0, "shape"))


@pytest.mark.parametrize(
    "control",
    [
        SimpleControl("nowhere", "closed", None, "time", 3600.0),
        SimpleControl("lift", "closed", None, "below", 1.0, node="nowhere"),
    ],
)
def test_controls_must_name_what_exists(control: SimpleControl) -> None:
    assert "control" in {component for component, _ in faults(replace(pumped_tank(), controls=(control,)))}


def test_a_check_valve_cannot_be_switched() -> None:
    network = edited(pumped_tank(), "pipe", "status", 0, "check_valve")
    control = SimpleControl("rising", "closed", None, "time", 3600.0)
    assert ("control", "link") in faults(replace(network, controls=(control,)))


def test_rules_must_name_what_exists() -> None:
    premise = Premise("and", "node", "nowhere", "level", "<", 2.0)
    rule = Rule("r", (premise,), (Action("gone", "open", None),))
    assert faults(replace(pumped_tank(), rules=(rule,))) == {("rule", "node"), ("rule", "link")}


def test_valves_that_command_the_same_node_are_refused() -> None:
    network = reduced_zone()
    valve = network.tables["valve"]
    columns = {name: np.append(column, column[:1]) for name, column in valve.items()}
    tables = {**network.tables, "valve": Table(np.append(valve.index, "second"), columns)}
    assert ("valve", "to_node") in faults(replace(network, tables=tables))


def test_a_closed_feed_leaves_the_street_without_supply() -> None:
    network = edited(reduced_zone(), "pipe", "status", 0, "closed")
    assert dict(zip(network.node_ids.tolist(), supplied(network).tolist(), strict=True)) == {
        "gate": False, "inlet": False, "low": False, "valley": False, "hill": True,
    }  # fmt: skip


def test_water_does_not_run_back_through_a_pump_or_a_check_valve() -> None:
    network = pumped_tank()
    only_tower = edited(network, "pump", "from_node", 0, "station")
    only_tower = edited(only_tower, "pump", "to_node", 0, "well")
    is_open = open_links(only_tower)
    is_open[only_tower.links(["rising"])] = False
    assert not supplied(only_tower, is_open)[0]


def test_a_reducing_valve_parts_the_pressure_zones() -> None:
    network = reduced_zone()
    zone = dict(zip(network.node_ids.tolist(), pressure_zones(network).tolist(), strict=True))
    assert zone == {"gate": 0, "hill": 0, "inlet": 1, "low": 1, "valley": 1}


def test_distances_along_a_chequerboard_are_manhattan_distances() -> None:
    rows, columns = 4, 5
    network = looped_town(rows, columns)
    numbers = network.nodes([f"J{r}{c:02d}" for r in range(rows) for c in range(columns)])
    distance = pipe_distance_m(network, numbers)[:, numbers]
    r, c = np.divmod(np.arange(rows * columns), columns)
    manhattan = 200.0 * (np.abs(r[:, None] - r) + np.abs(c[:, None] - c))
    np.testing.assert_allclose(distance, manhattan, atol=1e-9)


def test_of_parallel_pipes_the_shorter_one_counts() -> None:
    network = two_reservoirs()
    pipe = network.tables["pipe"].replace("from_node", [1], "upper").replace("to_node", [1], "middle")
    parallel = replace(network, tables={**network.tables, "pipe": pipe})
    assert pipe_distance_m(parallel, np.array([0]))[0].tolist() == [0.0, 1000.0, np.inf]


@pytest.mark.parametrize("table", list(pumped_tank().tables))
def test_every_column_is_declared_and_every_declared_column_is_there(table: str) -> None:
    assert set(pumped_tank().tables[table]) == set(inputs(table))
