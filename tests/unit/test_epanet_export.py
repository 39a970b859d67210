"""Writing .inp files: an edit comes back, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grid_models import formats
from grid_models.errors import InvalidInput
from grid_models.formats.epanet_export import inp_text
from grid_models.library.water import looped_town, pumped_tank
from grid_models.scenario import Patch, apply
from grid_models.tables import Table
from grid_models.water.network import WaterNetwork
from tests.unit.inp_files import FULL, assert_same, read


def edited(network: WaterNetwork, table: str, column: str, label: str, value: object) -> WaterNetwork:
    t = network.tables[table]
    return replace(network, tables={**network.tables, table: t.replace(column, t.rows([label]), value)})


@pytest.mark.parametrize(
    ("table", "column", "label", "value"),
    [
        ("pipe", "status", "S", "open"),
        ("pipe", "roughness", "P", 90.25),
        ("pump", "status", "U", "open"),
        ("pump", "speed", "W", 0.75),
        ("valve", "status", "V", "active"),
        ("valve", "setting", "V", 12.3456789012),
        ("tank", "initial_level_m", "T", 2.00001),
        ("junction", "elevation_m", "J", 7.125),
        ("junction", "emitter_coefficient", "A", 0.0),
        ("reservoir", "pattern", "R", "a"),
    ],
)
def test_one_edit_comes_back_and_nothing_else_changes(table: str, column: str, label: str, value: object) -> None:
    network = edited(read(FULL), table, column, label, value)
    text = inp_text(network)
    assert_same(network, read(text), rtol=1e-12)
    assert " BULK P -0.5" in text
    assert " J MASS 2" in text
    assert "QUALITY Chlorine mg/L" in text


def test_patterns_keep_their_digits() -> None:
    network = read(FULL)
    pattern = network.tables["pattern"]
    values = np.array([1.23456789012345e-7, 2.0])
    cells = np.empty(1, dtype=object)
    cells[0] = values
    tables = {**network.tables, "pattern": Table(pattern.index, {"multipliers": cells})}
    again = read(inp_text(replace(network, tables=tables)))
    np.testing.assert_allclose(again.tables["pattern"]["multipliers"][0], values, rtol=1e-14)


def test_a_demand_edit_replaces_the_demand_in_the_junction_line_too() -> None:
    network = read(FULL)
    demand = network.tables["demand"]
    tables = {**network.tables, "demand": demand.replace("base_m3_per_s", slice(None), 0.005)}
    again = read(inp_text(replace(network, tables=tables)))
    np.testing.assert_allclose(again.tables["demand"]["base_m3_per_s"], 0.005, rtol=1e-12)
    assert again.tables["demand"]["category"].tolist() == demand["category"].tolist()


def test_options_are_replaced_and_what_is_not_ours_stays() -> None:
    network = read(FULL)
    options = replace(network.options, duration_s=7200, demand_multiplier=0.5, minimum_pressure_m=1.0)
    text = inp_text(replace(network, options=options))
    again = read(text)
    assert (again.options.duration_s, again.options.demand_multiplier) == (7200, 0.5)
    assert again.options.minimum_pressure_m == pytest.approx(1.0)
    assert "QUALITY TIMESTEP 0:01" in text
    assert text.count("DURATION") == 1


def test_a_removed_pipe_takes_its_lines_in_other_sections_along() -> None:
    network = read(FULL)
    pipe = network.tables["pipe"]
    keep = pipe.index != "P"
    without = Table(pipe.index[keep], {name: column[keep] for name, column in pipe.items()})
    tables = {**network.tables, "pipe": without}
    gone = replace(network, tables=tables, controls=network.controls[1:], rules=())
    text = inp_text(gone)
    assert read(text).tables["pipe"].index.tolist() == ["Q", "S"]
    for line in (" BULK P -0.5", " LINK P old", " P 1 1", " P 100 10"):
        assert line not in text


def test_an_added_pipe_comes_last() -> None:
    network = looped_town(2, 2)
    pipe = network.tables["pipe"]
    new = {name: np.append(column, column[:1]) for name, column in pipe.items()}
    new["position"][-1] = np.iinfo(np.int64).max
    tables = {**network.tables, "pipe": Table(np.append(pipe.index, "bypass"), new)}
    again = read(inp_text(replace(network, tables=tables)))
    assert again.link_ids[-1] == "bypass"


def test_what_an_inp_cannot_say_is_refused() -> None:
    network = pumped_tank()
    options = replace(network.options, default_pattern="day")
    demand = network.tables["demand"].replace("pattern", [1], "")
    with pytest.raises(InvalidInput, match="default pattern day"):
        inp_text(replace(network, options=options, tables={**network.tables, "demand": demand}))


def test_what_the_source_had_no_section_for_is_put_where_epanet_finds_it() -> None:
    tank = pumped_tank().tables["tank"]
    network = read("[JUNCTIONS]\n J 1 1\n[RESERVOIRS]\n R 50\n[PIPES]\n P R J 10 100 100\n[OPTIONS]\n UNITS LPS\n[END]\n")
    pipe = network.tables["pipe"]
    longer = {name: np.append(column, column) for name, column in pipe.items()}
    longer["from_node"][1] = "tower"
    tables = {**network.tables, "tank": tank, "pipe": Table(np.append(pipe.index, "Q"), longer)}
    text = inp_text(replace(network, tables=tables))
    assert read(text).tables["tank"].index.tolist() == ["tower"]
    assert text.index("[TANKS]") < text.index("[PIPES]")


PATCHES = {
    "close a pipe": 'set = { element = "pipe 10", column = "status", value = "closed" }',
    "stop a pump": 'set = { element = "pump 9", column = "status", value = "closed" }',
    "all demands up": 'scale = { element = "demand *", column = "base_m3_per_s", factor = 1.25 }',
    "one demand": 'set = { element = "demand 12", column = "base_m3_per_s", value = 0.02 }',
    "another day": 'set = { element = "pattern 1", column = "multipliers", value = [1.0, 0.25, 1.5] }',
    "lower the tank": 'set = { element = "tank 2", column = "initial_level_m", value = 31.5 }',
    "cut a pipe out": 'remove = { element = "pipe 110" }',
    "lay a pipe": 'create = { table = "pipe", id = "new", fields = { from_node = "10", to_node = "13", '
    "length_m = 100.0, diameter_m = 0.3, roughness = 110.0 } }",
}


@pytest.mark.parametrize("change", PATCHES.values(), ids=PATCHES.keys())
def test_a_patched_network_is_exported_and_read_back(change: str) -> None:
    patch = Patch.from_toml(f"[[change]]\n{change}")
    network = apply(formats.read("wntr:Net1"), patch)
    again = read(inp_text(network))
    assert Patch.from_toml(patch.to_toml()) == patch
    assert set(again.link_ids.tolist()) == set(network.link_ids.tolist())
    for name in ("junction", "demand", "tank", "pipe", "pump", "pattern"):
        mine, theirs = network.tables[name], again.tables[name]
        rows = theirs.rows(mine.index.tolist())
        for column in set(mine) - {"position"}:
            if mine[column].dtype.kind == "f":
                # The patch speaks metres, the file feet, with 15 digits.
                np.testing.assert_allclose(theirs[column][rows], mine[column], rtol=1e-14, err_msg=column)
            else:
                assert repr(theirs[column][rows].tolist()) == repr(mine[column].tolist()), column
