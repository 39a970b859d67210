"""A drinking-water network as frozen tables in SI, with the ids and the order of its .inp file.

Nodes are numbered as EPANET numbers them: junctions first, then reservoirs and tanks. Links follow the file. What an
edit adds comes last. A positive flow runs from `from_node` to `to_node`; a positive demand leaves the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from grid_models.network import Network
from grid_models.tables import Table, frozen
from grid_models.water.controls import Rule, SimpleControl
from grid_models.water.units import VISCOSITY_M2_PER_S

Index = NDArray[np.int64]

NODE_TABLES = ("junction", "reservoir", "tank")
LINK_TABLES = ("pipe", "pump", "valve")
ADDED_LAST = np.iinfo(np.int64).max  # the `position` of what the file did not have


class LinkKind(IntEnum):
    """What a link is, with EPANET's own numbers."""

    CHECK_VALVE = 0  # a pipe that lets water flow from from_node to to_node only
    PIPE = 1
    PUMP = 2
    PRV = 3  # pressure reducing: head at to_node at most elevation + setting
    PSV = 4  # pressure sustaining: head at from_node at least elevation + setting
    PBV = 5  # pressure breaker: head falls by the setting
    FCV = 6  # flow control: flow at most the setting
    TCV = 7  # throttle: minor-loss coefficient is the setting
    GPV = 8  # general purpose: head loss is a curve of flow
    PCV = 9  # positional: opening in percent, loss by curve


@dataclass(frozen=True, slots=True)
class Options:
    """How the network is to be solved; [OPTIONS], [TIMES] and [ENERGY] of the file, in SI.

    Args:
        headloss: Hazen-Williams, Darcy-Weisbach or Chezy-Manning; it decides what a pipe's `roughness` means.
        pattern_start_s: the time in the patterns at which the simulation begins.
        start_clocktime_s: the time of day at which the simulation begins.
        unbalanced_trials: further trials once `trials` are used up; -1 stops the simulation instead.
        demand_model: DDA serves every demand; PDA serves (p - p_min)/(p_required - p_min) to the exponent.
        emitter_exponent: n of q = coefficient * pressure^n.
        viscosity_m2_per_s: kinematic.
        default_pattern: pattern of demands that name none; already entered in the demand table.
        flow_unit, pressure_unit: the file's own, so that an export speaks its author's language.
    """

    headloss: Literal["H-W", "D-W", "C-M"] = "H-W"
    duration_s: int = 0
    hydraulic_step_s: int = 3600
    pattern_step_s: int = 3600
    pattern_start_s: int = 0
    report_step_s: int = 3600
    report_start_s: int = 0
    rule_step_s: int = 360
    start_clocktime_s: int = 0
    statistic: Literal["none", "averaged", "minimum", "maximum", "range"] = "none"
    trials: int = 200
    accuracy: float = 0.001
    head_error_m: float = 0.0
    flow_change_m3_per_s: float = 0.0
    check_frequency: int = 2
    max_check: int = 10
    damp_limit: float = 0.0
    unbalanced_trials: int = -1
    demand_multiplier: float = 1.0
    demand_model: Literal["DDA", "PDA"] = "DDA"
    minimum_pressure_m: float = 0.0
    required_pressure_m: float = 0.1
    pressure_exponent: float = 0.5
    emitter_exponent: float = 0.5
    emitter_backflow: bool = True
    specific_gravity: float = 1.0
    viscosity_m2_per_s: float = VISCOSITY_M2_PER_S
    pump_efficiency_percent: float = 75.0
    energy_price: float = 0.0
    energy_price_pattern: str = ""
    demand_charge: float = 0.0
    default_pattern: str = ""
    flow_unit: str = "LPS"
    pressure_unit: str = "METERS"


@dataclass(frozen=True, eq=False, repr=False)
class WaterNetwork(Network):
    """Tables `junction demand reservoir tank pipe pump valve pattern curve`, controls, rules and options.

    Columns and their units stand in `grid_models.water.columns`. Every table is always there, if without rows.

    Args:
        options: how to solve it.
        controls: simple controls in the file's order.
        rules: rule-based controls in the file's order.
        source: the text of the .inp it was read from; an export edits this text. Empty for networks made in code.
    """

    options: Options = field(default_factory=Options)
    controls: tuple[SimpleControl, ...] = ()
    rules: tuple[Rule, ...] = ()
    source: str = field(default="", repr=False)

    @cached_property
    def revision(self) -> str:
        """Content hash of everything that can change a result; comments and layout of the file are no part of it."""
        h = sha256()
        for name, table in sorted(self.tables.items()):
            if table.size:
                h.update(name.encode())
                h.update(table.digest)
        options = [(f.name, getattr(self.options, f.name)) for f in fields(Options)]
        h.update(repr((options, self.controls, self.rules)).encode())
        return h.hexdigest()

    # Ids and numbers of nodes.

    @cached_property
    def _nodes(self) -> tuple[NDArray[np.str_], Index, Index]:
        return _ordered([self.tables[name] for name in NODE_TABLES], first_table_first=True)

    @property
    def node_ids(self) -> NDArray[np.str_]:
        """(n_node,) ids: junctions, then reservoirs and tanks in the file's order."""
        return self._nodes[0]

    @property
    def node_table(self) -> Index:
        """(n_node,) position in NODE_TABLES: 0 junction, 1 reservoir, 2 tank."""
        return self._nodes[1]

    @property
    def node_row(self) -> Index:
        """(n_node,) row in the node's own table."""
        return self._nodes[2]

    @property
    def n_junction(self) -> int:
        """The number of junctions: nodes below it have unknown heads, nodes from it on are fixed."""
        return self.tables["junction"].size

    @cached_property
    def junction_node(self) -> Index:
        """(n_junction,) node of each row of the junction table."""
        return self._positions(0, self.node_table, self.node_row)

    @cached_property
    def reservoir_node(self) -> Index:
        """(n_reservoir,) node of each row of the reservoir table."""
        return self._positions(1, self.node_table, self.node_row)

    @cached_property
    def tank_node(self) -> Index:
        """(n_tank,) node of each row of the tank table."""
        return self._positions(2, self.node_table, self.node_row)

    @cached_property
    def node_elevation_m(self) -> NDArray[np.float64]:
        """(n_node,) elevation [m]; of a reservoir its base head, as EPANET counts its pressure from there."""
        out = np.empty(len(self.node_ids))
        out[self.junction_node] = self.tables["junction"]["elevation_m"]
        out[self.reservoir_node] = self.tables["reservoir"]["head_m"]
        out[self.tank_node] = self.tables["tank"]["elevation_m"]
        return _read_only(out)

    @cached_property
    def node_place(self) -> NDArray[np.float64]:
        """(n_node, 2) x and y of the file's own map, nan where it has none."""
        out = np.empty((len(self.node_ids), 2))
        for name, nodes in zip(NODE_TABLES, (self.junction_node, self.reservoir_node, self.tank_node), strict=True):
            out[nodes, 0], out[nodes, 1] = self.tables[name]["x"], self.tables[name]["y"]
        return _read_only(out)

    @cached_property
    def demand_node(self) -> Index:
        """(n_demand,) node of each row of the demand table, -1 where the id is unknown."""
        return self.nodes(self.tables["demand"]["node"])

    # Ids and numbers of links.

    @cached_property
    def _links(self) -> tuple[NDArray[np.str_], Index, Index]:
        return _ordered([self.tables[name] for name in LINK_TABLES], first_table_first=False)

    @property
    def link_ids(self) -> NDArray[np.str_]:
        """(n_link,) ids in the file's order."""
        return self._links[0]

    @property
    def link_table(self) -> Index:
        """(n_link,) position in LINK_TABLES: 0 pipe, 1 pump, 2 valve."""
        return self._links[1]

    @property
    def link_row(self) -> Index:
        """(n_link,) row in the link's own table."""
        return self._links[2]

    @cached_property
    def pipe_link(self) -> Index:
        """(n_pipe,) link of each row of the pipe table."""
        return self._positions(0, self.link_table, self.link_row)

    @cached_property
    def pump_link(self) -> Index:
        """(n_pump,) link of each row of the pump table."""
        return self._positions(1, self.link_table, self.link_row)

    @cached_property
    def valve_link(self) -> Index:
        """(n_valve,) link of each row of the valve table."""
        return self._positions(2, self.link_table, self.link_row)

    @cached_property
    def link_kind(self) -> NDArray[np.int8]:
        """(n_link,) `LinkKind`."""
        kind = np.empty(len(self.link_ids), dtype=np.int8)
        check_valve = self.tables["pipe"]["status"] == "check_valve"
        kind[self.pipe_link] = np.where(check_valve, LinkKind.CHECK_VALVE, LinkKind.PIPE)
        kind[self.pump_link] = LinkKind.PUMP
        kind[self.valve_link] = [LinkKind[name] for name in self.tables["valve"]["kind"]]
        kind.setflags(write=False)
        return kind

    @cached_property
    def link_from(self) -> Index:
        """(n_link,) node at which a positive flow enters, -1 where the id is unknown."""
        return self._ends("from_node")

    @cached_property
    def link_to(self) -> Index:
        """(n_link,) node at which a positive flow leaves, -1 where the id is unknown."""
        return self._ends("to_node")

    @cached_property
    def link_status(self) -> NDArray[np.object_]:
        """(n_link,) initial status: open, closed or active; a check valve is open."""
        status: NDArray[np.object_] = np.empty(len(self.link_ids), dtype=object)
        for name, links in zip(LINK_TABLES, (self.pipe_link, self.pump_link, self.valve_link), strict=True):
            status[links] = self.tables[name]["status"]
        status[status == "check_valve"] = "open"
        status.setflags(write=False)
        return status

    # From ids to numbers.

    def nodes(self, ids: Sequence[str] | NDArray[Any]) -> Index:
        """(n,) numbers of the given node ids, -1 where there is no such node."""
        return _look_up(self._node_number, ids)

    def links(self, ids: Sequence[str] | NDArray[Any]) -> Index:
        """(n,) numbers of the given link ids, -1 where there is no such link."""
        return _look_up(self._link_number, ids)

    @cached_property
    def _node_number(self) -> dict[str, int]:
        return {label: i for i, label in enumerate(self.node_ids.tolist())}

    @cached_property
    def _link_number(self) -> dict[str, int]:
        return {label: i for i, label in enumerate(self.link_ids.tolist())}

    def _ends(self, column: str) -> Index:
        out = np.empty(len(self.link_ids), dtype=np.int64)
        for name, links in zip(LINK_TABLES, (self.pipe_link, self.pump_link, self.valve_link), strict=True):
            out[links] = self.nodes(self.tables[name][column])
        return _read_only(out)

    @staticmethod
    def _positions(table: int, tables: Index, rows: Index) -> Index:
        mine = np.flatnonzero(tables == table)
        out = np.empty(len(mine), dtype=np.int64)
        out[rows[mine]] = mine
        return _read_only(out)


def _ordered(tables: Sequence[Table], *, first_table_first: bool) -> tuple[NDArray[np.str_], Index, Index]:
    """Ids, table numbers and rows of several tables in the file's order."""
    ids = np.concatenate([np.asarray(t.index, dtype=np.str_) for t in tables])
    table = np.repeat(np.arange(len(tables)), [t.size for t in tables])
    row = np.concatenate([np.arange(t.size) for t in tables])
    position = np.concatenate([t.column("position", ADDED_LAST) for t in tables])
    group = (table > 0) if first_table_first else np.zeros_like(table)
    order = np.lexsort((row, table, position, group))
    return frozen(ids[order]), _read_only(table[order]), _read_only(row[order])


def _look_up(numbers: dict[str, int], ids: Sequence[str] | NDArray[Any]) -> Index:
    return np.array([numbers.get(label, -1) for label in np.asarray(ids).tolist()], dtype=np.int64)


def _read_only(values: NDArray[Any]) -> NDArray[Any]:
    values.setflags(write=False)
    return values
