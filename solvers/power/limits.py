"""Current limits and voltage bands of a network, by branch and bus of its bus-branch form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid_models.power.bus_branch import BusBranch
from grid_models.power.network import PowerNetwork
from solvers.power.admittance import FloatArray

_DEFAULT_BAND = (0.9, 1.1)


@dataclass(frozen=True, eq=False)
class Limits:
    """What is judged, by branch and bus of the bus-branch form.

    Args:
        per_limit: (n_branch, 2) one over the current at which each end is loaded in full [1/pu]; 0 without a limit.
        band: (n_bus, 2) least and greatest voltage [pu]; 0 and inf at points inside an element, which are not judged.
    """

    per_limit: FloatArray
    band: FloatArray


def limits(network: PowerNetwork, model: BusBranch, loading_limit_percent: float) -> Limits:
    """Current limits of lines and transformers, and voltage bands, from the tables' own columns."""
    eq = network.equivalents
    per_limit = np.zeros((len(eq.row), 2))
    for table, limit_ka in (("line", _line_limit), ("trafo", _trafo_limit), ("trafo3w", _trafo3w_limit)):
        if table in network.tables and network.tables[table].size:
            rows = eq.rows_of(table)
            own = network.tables[table].column("max_loading_percent", np.nan).astype(float)
            share = np.where(np.isfinite(own), own, loading_limit_percent) / 100.0
            ka = limit_ka(network, rows) * share[eq.row[rows]][:, None]
            vn = np.stack([eq.node_vn_kv[eq.from_node[rows]], eq.node_vn_kv[eq.to_node[rows]]], axis=1)
            with np.errstate(divide="ignore"):
                per = network.sn_mva / (np.sqrt(3.0) * vn) / ka
            per_limit[rows] = np.where(np.isfinite(per), per, 0.0)
    bus = network.tables["bus"]
    low, high = (bus.column(name, np.nan).astype(float) for name in ("min_vm_pu", "max_vm_pu"))
    band = np.empty((model.n_bus, 2))
    band[:] = _DEFAULT_BAND
    band[model.bus_node >= bus.size] = 0.0, np.inf
    for node in np.flatnonzero(model.node_bus[: bus.size] >= 0).tolist():
        b = model.node_bus[node]
        if low[node] > 0:
            band[b, 0] = max(low[node], band[b, 0]) if band[b, 0] != _DEFAULT_BAND[0] else low[node]
        if high[node] > 0:
            band[b, 1] = min(high[node], band[b, 1]) if band[b, 1] != _DEFAULT_BAND[1] else high[node]
    return Limits(per_limit[model.branch_row], band)


def _line_limit(network: PowerNetwork, rows: NDArray[np.int64]) -> FloatArray:
    table = network.tables["line"]
    ka = table["max_i_ka"] * table.column("df", 1.0) * table.column("parallel", 1)
    return np.repeat(np.asarray(ka, dtype=np.float64)[network.equivalents.row[rows]][:, None], 2, axis=1)


def _trafo_limit(network: PowerNetwork, rows: NDArray[np.int64]) -> FloatArray:
    table = network.tables["trafo"]
    rated = table["sn_mva"] * table.column("parallel", 1) * table.column("df", 1.0) / np.sqrt(3.0)
    ka = np.stack([rated / table["vn_hv_kv"], rated / table["vn_lv_kv"]], axis=1)
    return np.asarray(ka[network.equivalents.row[rows]], dtype=np.float64)


def _trafo3w_limit(network: PowerNetwork, rows: NDArray[np.int64]) -> FloatArray:
    """Each winding is judged at its own end; the star point has no limit."""
    table, eq = network.tables["trafo3w"], network.equivalents
    out = np.full((len(rows), 2), np.inf)
    for part, (side, end) in enumerate((("hv", 0), ("mv", 1), ("lv", 1))):
        mine = eq.part[rows] == part
        ka = table[f"sn_{side}_mva"] / table[f"vn_{side}_kv"] / np.sqrt(3.0)
        out[mine, end] = ka[eq.row[rows[mine]]]
    return out
