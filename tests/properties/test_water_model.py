"""Laws of the water model over random networks and random damage to their files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_models.errors import InvalidInput, Issue
from grid_models.formats.epanet import read_text
from grid_models.formats.epanet_export import inp_text
from grid_models.formats.epanet_text import InpText
from grid_models.water.network import WaterNetwork
from grid_models.water.testing import inp_texts, water_networks
from grid_models.water.units import FLOW_UNITS_PER_CFS
from grid_models.water.validation import validate
from grid_models.water.zones import pipe_distance_m, pressure_zones, supplied


@settings(max_examples=60, deadline=None)
@given(water_networks())
def test_random_networks_are_valid_and_supplied(network: WaterNetwork) -> None:
    assert validate(network) == ()
    assert supplied(network).all()


@settings(max_examples=40, deadline=None)
@given(water_networks())
def test_what_is_written_is_what_is_read(network: WaterNetwork) -> None:
    again = read_text(InpText(inp_text(replace(network, source=""))), network.name)
    assert again.revision == network.revision


@settings(max_examples=40, deadline=None)
@given(inp_texts(), st.sampled_from(sorted(FLOW_UNITS_PER_CFS)))
def test_an_export_in_other_units_is_the_same_network(text: str, flow_unit: str) -> None:
    network = read_text(InpText(text), "net")
    moved = replace(network, options=replace(network.options, flow_unit=flow_unit))
    again = read_text(InpText(inp_text(moved)), "net")
    assert again.options.flow_unit == flow_unit
    for name in ("junction", "demand", "reservoir", "tank", "pipe", "pump", "valve"):
        for column, values in network.tables[name].items():
            if values.dtype.kind == "f":
                other = again.tables[name][column]
                np.testing.assert_allclose(other, values, rtol=1e-12, atol=0, err_msg=f"{name} {column}")


@settings(max_examples=60, deadline=None)
@given(water_networks(), st.data())
def test_distance_is_a_metric_and_closing_pipes_only_parts_zones(network: WaterNetwork, data: st.DataObject) -> None:
    n = len(network.node_ids)
    distance = pipe_distance_m(network, np.arange(n))
    np.testing.assert_array_equal(np.diag(distance), 0)
    np.testing.assert_allclose(distance, distance.T)
    assert np.all(distance[:, :, None] + distance[None, :, :] >= distance[:, None, :] - 1e-9)
    is_open = np.array(data.draw(st.lists(st.booleans(), min_size=len(network.link_ids), max_size=len(network.link_ids))))
    whole, parted = pressure_zones(network, np.ones_like(is_open)), pressure_zones(network, is_open)
    # Nodes that share a zone with some pipes closed share one with all of them open.
    same = parted[:, None] == parted
    assert np.all((whole[:, None] == whole)[same])
    assert np.all(supplied(network, is_open) <= supplied(network, np.ones_like(is_open)))


_DAMAGE = st.sampled_from(
    ["nan", "inf", "-1", "1e400", "1e308", "", ";", "[", "[END]", "CV", "CLOSED", '"', "\0", "0:0:0:0", "x" * 40, "é"]
)


@settings(max_examples=200, deadline=None)
@given(inp_texts(), st.lists(st.tuples(st.floats(0, 1, exclude_max=True), _DAMAGE), min_size=1, max_size=3))
def test_a_damaged_file_is_read_or_refused_with_a_place(text: str, damage: list[tuple[float, str]]) -> None:
    for place, word in damage:
        at = int(place * len(text))
        end = at + len(text[at:].split(maxsplit=1)[0]) if text[at:].split() else at
        text = text[:at] + word + text[end:]
    for issue in refused(text):
        assert issue.component.startswith("[")
        assert issue.line is not None
        assert issue.message


def refused(text: str) -> tuple[Issue, ...]:
    try:
        network = read_text(InpText(text, "net.inp"), "net")
    except InvalidInput as refusal:
        return refusal.issues
    return validate(network)
