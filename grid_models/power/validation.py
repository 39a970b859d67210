"""What can be wrong with power tables; every fault is found, none stops the search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from grid_models.errors import Issue
from grid_models.power.injections import shunt_steps
from grid_models.power.network import BRANCH_BUSES, BUS_ELEMENTS, PowerNetwork
from grid_models.power.required import shapes
from grid_models.tables import Array, Table

# table, column, least allowed, whether the least itself is allowed
_BOUNDS = (
    ("bus", "vn_kv", 0.0, False),
    ("line", "length_km", 0.0, False),
    ("line", "parallel", 1.0, True),
    ("trafo", "sn_mva", 0.0, False),
    ("trafo", "vn_hv_kv", 0.0, False),
    ("trafo", "vn_lv_kv", 0.0, False),
    ("trafo3w", "vn_hv_kv", 0.0, False),
    ("ext_grid", "vm_pu", 0.0, False),
    ("gen", "vm_pu", 0.0, False),
)
_SWITCH_ELEMENTS = {"b": "bus", "l": "line", "t": "trafo", "t3": "trafo3w"}


def validate(network: PowerNetwork) -> tuple[Issue, ...]:
    """Every problem of a network: of its tables, and that it has a source at all."""
    issues = [*validate_tables(network.tables)]
    gens = network.tables.get("gen")
    has_slack = "ext_grid" in network.tables and bool(network.in_service("ext_grid").any())
    if gens is not None and "slack" in gens:
        has_slack = has_slack or bool((gens["slack"].astype(bool) & network.in_service("gen")).any())
    if not has_slack:
        issues.append(Issue("ext_grid", "", (), "no source holds the voltage; add one, or a gen with slack=True"))
    return tuple(issues)


def validate_tables(tables: Mapping[str, Table]) -> tuple[Issue, ...]:
    """Problems of the tables themselves: dangling references, impossible values, missing numbers.

    >>> validate_tables({})[0].message
    'a network needs at least one bus'
    """
    if "bus" not in tables:
        return (Issue("bus", "", (), "a network needs at least one bus"),)
    misshapen = tuple(shapes(tables))
    # What stands in a table of the wrong shape cannot be read further; the others still can.
    sound = {name: table for name, table in tables.items() if name not in {issue.component for issue in misshapen}}
    others = (*_references(sound, tables), *_switches(sound, tables), *_values(sound), *_tap_controls(sound, tables))
    return (*misshapen, *_duplicates(tables), *others)


def _ids(table: Table, where: Array) -> tuple[int | str, ...]:
    return tuple(table.index[where].tolist())


def _duplicates(tables: Mapping[str, Table]) -> Iterator[Issue]:
    for name, table in tables.items():
        if table.index.dtype.kind not in "iuf":
            continue  # said already: the index must be whole numbers
        values, counts = np.unique(table.index, return_counts=True)
        if (counts > 1).any():
            yield Issue(name, "index", tuple(values[counts > 1].tolist()), "appears more than once")


def _references(sound: Mapping[str, Table], tables: Mapping[str, Table]) -> Iterator[Issue]:
    buses = tables["bus"].index
    columns = [(name, ("bus",)) for name in BUS_ELEMENTS] + list(BRANCH_BUSES.items())
    for name, ends in columns:
        if name not in sound:
            continue
        table = sound[name]
        for column in ends:
            missing = ~np.isin(table[column].astype(np.int64), buses)
            if missing.any():
                wrong = sorted({int(b) for b in table[column][missing]})
                yield Issue(name, column, _ids(table, missing), f"no such bus: {', '.join(map(str, wrong[:5]))}")


def _switches(sound: Mapping[str, Table], tables: Mapping[str, Table]) -> Iterator[Issue]:
    if "switch" not in sound:
        return
    table = sound["switch"]
    missing = ~np.isin(table["bus"], tables["bus"].index)
    if missing.any():
        yield Issue("switch", "bus", _ids(table, missing), "no such bus")
    unknown = ~np.isin(table["et"].astype(str), list(_SWITCH_ELEMENTS))
    if unknown.any():
        yield Issue("switch", "et", _ids(table, unknown), "must be b, l, t or t3")
    for kind, element in _SWITCH_ELEMENTS.items():
        mine = table["et"] == kind
        there = tables[element].index if element in tables else np.zeros(0, dtype=np.int64)
        dangling = mine & ~np.isin(table["element"].astype(np.int64), there)
        if dangling.any():
            yield Issue("switch", "element", _ids(table, dangling), f"no such {element}")


def _values(tables: Mapping[str, Table]) -> Iterator[Issue]:
    for name, column, least, inclusive in _BOUNDS:
        if name in tables and column in tables[name]:
            values = tables[name][column].astype(float)
            wrong = ~(values >= least if inclusive else values > least)
            if wrong.any():
                shown = f"must be {'at least' if inclusive else 'greater than'} {least:g}, is {values[wrong][0]:g}"
                yield Issue(name, column, _ids(tables[name], wrong), shown)
    yield from _impedances(tables)
    if "shunt" in tables:
        by_table, row = shunt_steps(tables)
        if (row < 0).any():
            ids = tuple(tables["shunt"].index[by_table][row < 0].tolist())
            yield Issue("shunt", "step", ids, "shunt_characteristic_table has no such step of its id_characteristic_table")


def _impedances(tables: Mapping[str, Table]) -> Iterator[Issue]:
    """Branches without any impedance, and transformers whose resistance exceeds it."""
    if "line" in tables:
        table = tables["line"]
        none = (table["r_ohm_per_km"] == 0) & (table["x_ohm_per_km"] == 0)
        if none.any():
            yield Issue("line", "x_ohm_per_km", _ids(table, none), "has no impedance; a closed switch joins buses")
    if "trafo" in tables:
        table = tables["trafo"]
        none = table["vk_percent"] == 0
        if none.any():
            yield Issue("trafo", "vk_percent", _ids(table, none), "must not be zero")
        over = np.abs(table["vkr_percent"]) > np.abs(table["vk_percent"])
        if (over & ~none).any():
            yield Issue("trafo", "vkr_percent", _ids(table, over & ~none), "must not exceed vk_percent")
    for name, column in (("svc", "x_l_ohm"), ("svc", "x_cvar_ohm"), ("tcsc", "x_l_ohm"), ("tcsc", "x_cvar_ohm")):
        none = tables[name][column] == 0 if name in tables else np.zeros(0, dtype=bool)
        if none.any():
            yield Issue(name, column, _ids(tables[name], none), "must not be zero")
    if "ssc" in tables:
        table = tables["ssc"]
        none = (table["r_ohm"] == 0) & (table["x_ohm"] == 0)
        if none.any():
            yield Issue("ssc", "x_ohm", _ids(table, none), "has no impedance; it holds no voltage behind one")
    for name in {"trafo", "trafo3w"} & tables.keys():
        table = tables[name]
        steps = [np.nan_to_num(table.column(f"tap_step_{unit}", 0.0).astype(float)) for unit in ("percent", "degree")]
        both = (table.column("tap_changer_type", "").astype(str) == "Ideal") & (steps[0] != 0) & (steps[1] != 0)
        both &= ~table.marked("tap_dependency_table")
        if both.any():
            yield Issue(
                name, "tap_step_degree", _ids(table, both), "an ideal phase shifter has one step, in degrees or in percent"
            )


def _tap_controls(sound: Mapping[str, Table], tables: Mapping[str, Table]) -> Iterator[Issue]:
    """What a regulated transformer must have; faults bear the number of its controller."""
    if "tap_control" not in sound:
        return
    table = sound["tap_control"]
    wrong = np.isfinite(table["vm_lower_pu"]) & ~(table["vm_lower_pu"] < table["vm_upper_pu"])
    wrong |= table["continuous"] & ~(table["vm_set_pu"] > 0)
    if wrong.any():
        ids = tuple(table["controller"][wrong].tolist())
        yield Issue("controller", "vm_pu", ids, "needs a lower bound below the upper one, or a voltage to hold")
    for element in ("trafo", "trafo3w"):
        mine = table["element"] == element
        there = tables[element].index if element in tables else np.zeros(0, dtype=np.int64)
        dangling = mine & ~np.isin(table["element_index"], there)
        if dangling.any():
            ids = tuple(table["controller"][dangling].tolist())
            yield Issue("controller", "element_index", ids, f"no such {element}")
