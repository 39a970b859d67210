"""Which meter of the point list looks at what: signals resolved once against the power model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid_models.errors import InvalidInput, Issue
from grid_models.measurements import Catalogue, Signal
from grid_models.power.network import PowerNetwork
from solvers.power.measurement_functions import Kind

Index = NDArray[np.int64]
Floats = NDArray[np.float64]

ADJUSTED = ("load", "sgen", "storage")  # elements whose power the estimate may move
_KIND = {"vm_pu": Kind.V, "p_mw": Kind.P, "q_mvar": Kind.Q, "i_ka": Kind.I}
# side -> (winding of a trafo3w, whether it is the equivalent's to end)
_ENDS = {"from": (0, False), "to": (0, True), "hv": (0, False), "mv": (1, True), "lv": (2, True)}


@dataclass(frozen=True, eq=False)
class Points:
    """Signals by what they look at; every array is per signal of its group.

    Args:
        bus_uid, bus_node: voltage meters.
        flow_uid, flow_kind, flow_row, flow_to, flow_base: meters at branch ends: equivalent row, whether at its to end,
            and the base that turns the signal's unit into pu.
        element_uid, element_table, element_row, element_reactive: power meters of loads, sgens, storages: positions in
            ADJUSTED, and rows.
        switch_uid, switch_row: switch positions.
    """

    bus_uid: NDArray[np.uint32]
    bus_node: Index
    flow_uid: NDArray[np.uint32]
    flow_kind: Index
    flow_row: Index
    flow_to: NDArray[np.bool_]
    flow_base: Floats
    element_uid: NDArray[np.uint32]
    element_table: Index
    element_row: Index
    element_reactive: NDArray[np.bool_]
    switch_uid: NDArray[np.uint32]
    switch_row: Index


def resolve(model: PowerNetwork, catalogue: Catalogue, network: str) -> Points:
    """Bind the signals of one network to its model.

    Raises:
        InvalidInput: signals that name an element, quantity or side that the model does not have; all at once.
    """
    groups: dict[str, list[tuple[float, ...]]] = {"bus": [], "flow": [], "element": [], "switch": []}
    issues: list[Issue] = []
    for signal in catalogue.of(network):
        try:
            group, entry = _bind(model, signal)
        except (KeyError, ValueError) as error:
            reason = f"the model has no {signal.table} {signal.element}" if isinstance(error, KeyError) else str(error)
            issues.append(Issue("signal", signal.quantity, (signal.name,), reason))
            continue
        groups[group].append((float(signal.uid), *entry))
    if issues:
        raise InvalidInput(issues)

    def uid(group: str) -> NDArray[np.uint32]:
        return np.array([entry[0] for entry in groups[group]], dtype=np.uint32)

    def index(group: str, i: int) -> Index:
        return np.array([entry[i] for entry in groups[group]], dtype=np.int64)

    def truth(group: str, i: int) -> NDArray[np.bool_]:
        return np.array([entry[i] for entry in groups[group]], dtype=np.bool_)

    return Points(
        uid("bus"), index("bus", 1),
        uid("flow"), index("flow", 1), index("flow", 2), truth("flow", 3),
        np.array([entry[4] for entry in groups["flow"]], dtype=np.float64),
        uid("element"), index("element", 1), index("element", 2), truth("element", 3),
        uid("switch"), index("switch", 1),
    )  # fmt: skip


def _bind(model: PowerNetwork, signal: Signal) -> tuple[str, tuple[float, ...]]:
    if signal.table not in model.tables:
        raise KeyError(signal.table)
    table = model.tables[signal.table]
    row = int(table.rows([int(signal.element)])[0])
    if signal.table == "switch":
        return "switch", (row,)
    if signal.quantity not in _KIND:
        raise ValueError(f"a power network does not measure {signal.quantity}")
    kind = _KIND[signal.quantity]
    reactive = float(kind is Kind.Q)
    if signal.table == "bus" and kind is Kind.V:
        return "bus", (row,)
    if signal.table in ADJUSTED and kind in (Kind.P, Kind.Q):
        return "element", (ADJUSTED.index(signal.table), row, reactive)
    if signal.table in ("line", "trafo", "trafo3w", "impedance") and kind is not Kind.V:
        if signal.side not in _ENDS:
            raise ValueError(f"needs a side (from, to, hv, mv, lv), has {signal.side!r}")
        part, at_to = _ENDS[signal.side]
        rows = model.equivalents.rows_of(signal.table)
        at = rows[row + part * table.size]
        node = (model.equivalents.to_node if at_to else model.equivalents.from_node)[at]
        base = model.sn_mva
        if kind is Kind.I:
            base = model.sn_mva / (3**0.5 * float(model.equivalents.node_vn_kv[node]))
        return "flow", (float(kind), float(at), float(at_to), base)
    raise ValueError(f"{signal.table} has no meter for {signal.quantity}")
