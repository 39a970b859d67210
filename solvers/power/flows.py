"""Voltages, powers and currents at every branch end of a solved network.

S_f = V_f conj(y_ff V_f + y_ft V_t) and S_t = V_t conj(y_tf V_f + y_tt V_t), positive into the branch;
I = |S| / (sqrt(3) |V|). A branch that carries nothing has zero power; where its end is dead, voltage and current there
are nan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid_models.power.bus_branch import BusBranch
from grid_models.power.network import PowerNetwork
from grid_models.tables import Array

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Flows:
    """Voltages and branch powers of a solved network, by node and by row of its equivalents.

    Args:
        network: the element tables.
        model: its bus-branch form.
        v: (n_node,) complex [pu]; nan where dead.
        live: (n_row,) whether the branch is under voltage.
        v_from: (n_row,) complex [pu], at the from end, an open end included; nan where dead.
        v_to: (n_row,) likewise.
        s_from: (n_row,) complex [MVA] into the branch; 0 where dead.
        s_to: (n_row,) likewise.
        i_from_ka: (n_row,) [kA]; nan where dead.
        i_to_ka: (n_row,) likewise.
        linear: whether reactive power is left out and consumers draw what they draw at 1 pu (dc_flow.py).
    """

    network: PowerNetwork
    model: BusBranch
    v: ComplexArray
    live: NDArray[np.bool_]
    v_from: ComplexArray
    v_to: ComplexArray
    s_from: ComplexArray
    s_to: ComplexArray
    i_from_ka: FloatArray
    i_to_ka: FloatArray
    linear: bool = False

    def node(self, bus: Array) -> IntArray:
        """Nodes of bus ids."""
        return self.network.node_of(bus)

    def active(self, element: str, bus: str = "bus") -> NDArray[np.bool_]:
        """Elements of a table that are in service at a live bus."""
        node = self.network.node_of(self.network.tables[element][bus])
        return self.network.in_service(element) & (self.model.node_bus[node] >= 0)

    def rows(self, element: str, part: int = 0) -> IntArray:
        """Rows of the equivalents of one element table, in the table's order."""
        equivalents = self.network.equivalents
        found = np.flatnonzero((equivalents.element == element) & (equivalents.part == part))
        return found[np.argsort(equivalents.row[found], kind="stable")]


def positions(index: IntArray, ids: Array) -> IntArray:
    """Rows of ids in an index without order."""
    order = np.argsort(index, kind="stable")
    return np.asarray(order[np.searchsorted(index, np.asarray(ids, dtype=np.int64), sorter=order)], dtype=np.int64)


def branch_flows(network: PowerNetwork, model: BusBranch, v: ComplexArray, p_from: FloatArray | None = None) -> Flows:
    """Powers and currents at both ends of every equivalent.

    Args:
        network: the element tables.
        model: its bus-branch form.
        v: (n_bus,) complex [pu].
        p_from: (n_branch,) active power into each branch [pu], which leaves it undiminished; from the voltages if not given.
    """
    equivalents = network.equivalents
    node_v = np.full(len(model.node_bus), np.nan + 1j * np.nan)
    alive = model.node_bus >= 0
    node_v[alive] = v[model.node_bus[alive]]

    v_from, v_to = node_v[equivalents.from_node], node_v[equivalents.to_node]
    for side, ends in (("from", v_from), ("to", v_to)):
        ends[_open_ends(network, side)] = np.nan + 1j * np.nan
    row = model.branch_row
    v_from[row], v_to[row] = v[model.branch_from], v[model.branch_to]
    live = np.zeros(len(v_from), dtype=bool)
    live[row] = True

    s_from, s_to = np.zeros_like(v_from), np.zeros_like(v_to)
    if p_from is None:
        s_from[row] = model.sn_mva * v_from[row] * np.conj(model.y_ff * v_from[row] + model.y_ft * v_to[row])
        s_to[row] = model.sn_mva * v_to[row] * np.conj(model.y_tf * v_from[row] + model.y_tt * v_to[row])
    else:
        s_from[row], s_to[row] = model.sn_mva * p_from, -model.sn_mva * p_from
    vn_from, vn_to = equivalents.node_vn_kv[equivalents.from_node], equivalents.node_vn_kv[equivalents.to_node]
    return Flows(
        network=network,
        model=model,
        v=node_v,
        live=live,
        v_from=v_from,
        v_to=v_to,
        s_from=s_from,
        s_to=s_to,
        i_from_ka=np.abs(s_from) / (np.abs(v_from) * vn_from * np.sqrt(3)),
        i_to_ka=np.abs(s_to) / (np.abs(v_to) * vn_to * np.sqrt(3)),
        linear=p_from is not None,
    )


def _open_ends(network: PowerNetwork, side: str) -> IntArray:
    """Equivalents whose end on one side is cut off by an open switch."""
    switch = network.tables.get("switch")
    if switch is None or not switch.size:
        return np.zeros(0, dtype=np.int64)
    equivalents = network.equivalents
    node = equivalents.from_node if side == "from" else equivalents.to_node
    cut = np.zeros(len(node), dtype=bool)
    for kind, element in (("l", "line"), ("t", "trafo"), ("t3", "trafo3w")):
        mine = (switch["et"] == kind) & ~switch["closed"].astype(bool)
        if mine.any():
            row = positions(network.tables[element].index, switch["element"][mine])
            at = network.node_of(switch["bus"][mine])
            key = equivalents.row * network.n_node + node
            cut |= (equivalents.element == element) & np.isin(key, row * network.n_node + at)
    return np.flatnonzero(cut)
