"""Pictures of networks, results and comparisons: maps where the file has places, sorted curves where it has none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from grid_models.errors import InvalidInput, Issue
from grid_models.network import Network
from grid_models.power.network import BRANCH_BUSES, PowerNetwork
from grid_models.water.network import WaterNetwork
from twin.limits import LIMITS

_FIRST = ("line_loading_percent", "node_pressure_m", "bus_vm_pu", "link_flow_m3_per_s")
_GREY = "0.75"
_BARS = 15


def draw_network(network: Network | None, title: str, ax: Any = None) -> Any:
    """The map of a network: branches as lines, sources marked.

    Raises:
        InvalidInput: a living twin's network is not here, or the file has no places.
    """
    place = _places(network)
    if network is None or place is None:
        raise InvalidInput([Issue("", "", (title,), "has no places to draw a map with")])
    ax = _axes(ax)
    _branches(ax, place, np.concatenate(list(_ends(network).values())), color=_GREY)
    ax.plot(*place.T, ".", ms=2, color="0.4")
    sources = _sources(network)
    ax.plot(*place[sources].T, "s", ms=7, color="tab:red", label="source")
    ax.legend(loc="best", frameon=False)
    _finish_map(ax, network, title)
    return ax


def draw_result(network: Network | None, data: xr.Dataset, column: str = "", ax: Any = None) -> Any:
    """One column of a result.

    Args:
        network: whose map is drawn; None for a sorted curve.
        data: a result; of a run over time its last instant is drawn.
        column: of the result; the first of loading, pressure, voltage, flow unless told.
        ax: matplotlib axes; new ones unless told.

    Raises:
        InvalidInput: there is no such column, or it holds no numbers.
    """
    numbers = [str(n) for n, v in data.data_vars.items() if v.dtype.kind in "fi" and v.size]
    column = column or next((name for name in _FIRST if name in numbers), "")
    if column not in numbers:
        raise InvalidInput([Issue("result", column, (), f"is no column of numbers; there are {', '.join(numbers)}")])
    values = data[column].isel(time=-1) if "time" in data[column].dims else data[column]
    element, label = str(values.dims[-1]), f"{column} [{values.attrs.get('units', '1')}]"
    place = _places(network)
    ax = _axes(ax)
    if network is None or place is None or element not in (*_ends(network), "bus", "node"):
        return _sorted_curve(ax, values, label)
    everything = _ends(network)
    _branches(ax, place, np.concatenate(list(everything.values())), color=_GREY, linewidths=0.6)
    if element in everything:
        drawn = _branches(ax, place, everything[element], array=values.values, linewidths=2.0, cmap="viridis")
    else:
        drawn = ax.scatter(*place.T, c=values.values, s=14, cmap="viridis", zorder=3)
    ax.figure.colorbar(drawn, ax=ax, label=label)
    _finish_map(ax, network, str(data.attrs.get("title", "")))
    return ax


def draw_differences(differences: pd.DataFrame, broken: int, mended: int, ax: Any = None) -> Any:
    """The most notable differences as bars, in notable changes of their unit.

    Args:
        differences: as `Comparison.rows`.
        broken: how many limits.
        mended: how many limits.
        ax: matplotlib axes; None = new ones.
    """
    ax = _axes(ax)
    rows = differences[np.isfinite(differences["difference"])].head(_BARS).iloc[::-1]
    names = [f"{r.column} {r.element}" + (f" at {r.time}" if r.time else "") for r in rows.itertuples()]
    sizes = np.sign(rows["difference"]) * rows["rank"]
    ax.barh(names, sizes, color=np.where(sizes < 0, "tab:blue", "tab:orange"))
    for y, row in enumerate(rows.itertuples()):
        ax.annotate(f" {row.difference:+.3g} {row.unit} ", (0, y), va="center", ha="right" if row.difference > 0 else "left")
    ax.axvline(0, color="0.3", lw=0.8)
    ax.set_xlabel("difference, in notable changes (0.01 pu, 1 m, 10 % of loading, ...)")
    ax.set_title(f"{len(differences)} differences; limits: {broken} broken, {mended} mended", loc="left")
    return ax


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=(8, 6), layout="constrained")[1]


def _places(network: Network | None) -> NDArray[np.float64] | None:
    """(n, 2) of buses or nodes; None without a map."""
    if isinstance(network, PowerNetwork):
        place = network.bus_place
    elif isinstance(network, WaterNetwork):
        place = network.node_place
    else:
        return None
    return None if np.isnan(place).all() else place


def _ends(network: Network) -> dict[str, NDArray[np.int64]]:
    """Dimension of a result -> (n, 2) the places that each of its branches joins."""
    if isinstance(network, WaterNetwork):
        return {"link": np.stack([network.link_from, network.link_to], axis=1)}
    assert isinstance(network, PowerNetwork)
    out = {}
    for element, sides in BRANCH_BUSES.items():
        table = network.tables.get(element)
        if table is not None and table.size:
            out[element] = np.stack([network.node_of(table[side]) for side in sides[:2]], axis=1)
    return out


def _sources(network: Network) -> NDArray[np.int64]:
    if isinstance(network, WaterNetwork):
        return np.concatenate([network.reservoir_node, network.tank_node])
    assert isinstance(network, PowerNetwork)
    return network.node_of(network.tables["ext_grid"]["bus"])


def _branches(ax: Any, place: NDArray[np.float64], ends: NDArray[np.int64], **style: Any) -> Any:
    from matplotlib.collections import LineCollection

    lines = LineCollection(list(place[ends]), **style)
    ax.add_collection(lines)
    ax.autoscale_view()
    return lines


def _sorted_curve(ax: Any, values: xr.DataArray, label: str) -> Any:
    """Values from the least to the greatest, with the band that they must keep."""
    numbers = np.sort(values.values.astype(float))
    ax.plot(np.arange(1, len(numbers) + 1), numbers, ".-", ms=3)
    for limit in LIMITS:
        if limit.column == values.name:
            for bound in (limit.lower, limit.upper):
                if numbers.min() * 0.8 < bound < numbers.max() * 1.2:
                    ax.axhline(bound, color="tab:red", lw=0.8, ls="--")
    ax.set_xlabel(f"{values.dims[-1]}, sorted")
    ax.set_ylabel(label)
    return ax


def _finish_map(ax: Any, network: Network, title: str) -> None:
    ax.set_aspect("equal" if isinstance(network, WaterNetwork) else 1.5)  # a degree of latitude over one of longitude at 48 N
    ax.set_title(title, loc="left")
    ax.set_xticks([])
    ax.set_yticks([])
