"""A power network as frozen pandapower tables, with the pi equivalents that pandapower made of its branches.

Nodes are the buses in the order of the bus table, then inner points that have no bus of their own: the star point of a
three-winding transformer, the node behind the impedance of an extended ward or of a static compensator.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from grid_models.import_report import ImportReport
from grid_models.network import Network
from grid_models.tables import Array

# element -> the columns that name its buses, in the order of the sides
BRANCH_BUSES: Mapping[str, tuple[str, ...]] = {
    "line": ("from_bus", "to_bus"),
    "trafo": ("hv_bus", "lv_bus"),
    "trafo3w": ("hv_bus", "mv_bus", "lv_bus"),
    "impedance": ("from_bus", "to_bus"),
    "dcline": ("from_bus", "to_bus"),
    "tcsc": ("from_bus", "to_bus"),
}
BUS_ELEMENTS = (
    "ext_grid", "gen", "load", "sgen", "storage", "motor", "shunt", "ward", "xward",
    "asymmetric_load", "asymmetric_sgen", "svc", "ssc",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Equivalents:
    """Two-terminal equivalents per unit on `sn_mva`, as if every element were in service and every switch closed.

    Args:
        element: (n,) element table: `line`, `trafo`, `trafo3w`, `impedance`, `xward`, `switch`, `tcsc`, `ssc`.
        row: (n,) row in that table.
        part: (n,) 0, or of a trafo3w its winding: 0 hv, 1 mv, 2 lv.
        from_node: (n,) node.
        to_node: (n,) node.
        y_ff, y_ft, y_tf, y_tt: (n,) [pu]; currents into the branch are I_f = y_ff V_f + y_ft V_t, and likewise I_t.
        shift_rad: (n,) angle of V_f over V_t at no load [rad].
        node_vn_kv: (n_node,) nominal voltage [kV].
    """

    element: Array
    row: NDArray[np.int64]
    part: NDArray[np.int8]
    from_node: NDArray[np.int64]
    to_node: NDArray[np.int64]
    y_ff: NDArray[np.complex128]
    y_ft: NDArray[np.complex128]
    y_tf: NDArray[np.complex128]
    y_tt: NDArray[np.complex128]
    shift_rad: NDArray[np.float64]
    node_vn_kv: NDArray[np.float64]

    @cached_property
    def digest(self) -> bytes:
        """Content hash."""
        h = sha256()
        for f in fields(self):
            column = getattr(self, f.name)
            h.update(repr(column.tolist()).encode() if column.dtype == object else column.tobytes())
        return h.digest()

    def rows_of(self, element: str) -> NDArray[np.int64]:
        """Rows of the equivalents of one element table, in its order (trafo3w: all hv, then all mv, then all lv)."""
        return np.flatnonzero(self.element == element)


@dataclass(frozen=True, eq=False, repr=False)
class PowerNetwork(Network):
    """Tables with pandapower's own names, columns and indices.

    Args:
        sn_mva: base power of the per-unit system [MVA].
        frequency_hz: nominal frequency.
        equivalents: of all branches.
        source: the pandapower JSON it was read from, so that an export loses nothing.
        report: what became of each object of the file.
    """

    sn_mva: float
    frequency_hz: float
    equivalents: Equivalents
    source: str = field(default="", repr=False)
    report: ImportReport = field(default=ImportReport(), repr=False)

    @cached_property
    def revision(self) -> str:
        """Content hash of tables, equivalents and base."""
        h = sha256(f"{self.sn_mva!r} {self.frequency_hz!r}".encode())
        for name, table in sorted(self.tables.items()):
            h.update(name.encode())
            h.update(table.digest)
        h.update(self.equivalents.digest)
        return h.hexdigest()

    @property
    def n_node(self) -> int:
        """Buses and inner points."""
        return len(self.equivalents.node_vn_kv)

    @cached_property
    def _bus_order(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        index = self.tables["bus"].index
        order = np.argsort(index, kind="stable")
        return index[order], order

    def node_of(self, bus: Array) -> NDArray[np.int64]:
        """(n,) node of each bus id, -1 where there is no such bus."""
        ids, order = self._bus_order
        wanted = np.asarray(bus, dtype=np.int64)
        at = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
        return np.where(ids[at] == wanted, order[at], -1)

    @cached_property
    def bus_place(self) -> NDArray[np.float64]:
        """(n_bus, 2) longitude and latitude of pandapower's GeoJSON points, nan where there is none."""
        place = np.full((self.tables["bus"].size, 2), np.nan)
        for row, point in enumerate(self.tables["bus"].column("geo", None).tolist()):
            if isinstance(point, str) and point:
                place[row] = json.loads(point)["coordinates"][:2]
        place.setflags(write=False)
        return place

    def in_service(self, element: str) -> NDArray[np.bool_]:
        """(n,) the element's own status; tables without such a column are in service."""
        return self.tables[element].column("in_service", True).astype(bool)
