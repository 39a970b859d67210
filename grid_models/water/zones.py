"""What the graph alone tells: who is supplied, which areas share one pressure, how far apart two nodes are along pipes.

No hydraulics here: a link conducts or it does not. Check valves and pumps conduct one way; pressure-holding valves
conduct from `from_node` to `to_node`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, dijkstra

from grid_models.water.network import LinkKind, WaterNetwork

_ONE_WAY = (LinkKind.CHECK_VALVE, LinkKind.PUMP, LinkKind.PRV, LinkKind.PSV)
_PRESSURE_BORDER = (LinkKind.PUMP, LinkKind.PRV, LinkKind.PSV, LinkKind.PBV, LinkKind.FCV, LinkKind.TCV, LinkKind.GPV,
                    LinkKind.PCV)  # fmt: skip


def open_links(network: WaterNetwork) -> NDArray[np.bool_]:
    """(n_link,) which links are not closed at the start."""
    return np.asarray(network.link_status != "closed", dtype=bool)


def supplied(network: WaterNetwork, is_open: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Which nodes water can reach from a reservoir or tank.

    Args:
        network: the network.
        is_open: (n_link,) which links conduct; by default those not closed at the start.

    Returns:
        (n_node,) True for reservoirs, tanks and everything behind them.
    """
    n = len(network.node_ids)
    use = open_links(network) if is_open is None else is_open
    start, end = network.link_from[use], network.link_to[use]
    back = ~np.isin(network.link_kind[use], _ONE_WAY)
    source = np.arange(network.n_junction, n)
    rows = np.concatenate([start, end[back], np.full(len(source), n)])
    columns = np.concatenate([end, start[back], source])
    graph = _graph(rows, columns, n + 1)  # node n feeds every reservoir and tank, so that one search suffices
    reached = breadth_first_order(graph, n, directed=True, return_predecessors=False)
    out = np.zeros(n + 1, dtype=bool)
    out[reached] = True
    return out[:n]


def pressure_zones(network: WaterNetwork, is_open: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Areas joined by open pipes alone; pumps and valves are their borders.

    Args:
        network: the network.
        is_open: (n_link,) which links conduct; by default those not closed at the start.

    Returns:
        (n_node,) number of each node's zone, counted from 0 in the order of the zones' first nodes.
    """
    use = open_links(network) if is_open is None else is_open
    pipes = use & ~np.isin(network.link_kind, _PRESSURE_BORDER)
    n = len(network.node_ids)
    _, label = connected_components(_graph(network.link_from[pipes], network.link_to[pipes], n), directed=False)
    first = np.unique(label, return_index=True)[1]
    number = np.empty(len(first), dtype=np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return np.asarray(number[label], dtype=np.int64)


def pipe_distance_m(network: WaterNetwork, nodes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shortest way along the pipes, whatever their status; pumps and valves count as 0 m.

    Args:
        network: the network.
        nodes: (k,) node numbers to start from.

    Returns:
        (k, n_node) distances [m], inf where no way leads.
    """
    n = len(network.node_ids)
    length = np.zeros(len(network.link_ids))
    length[network.pipe_link] = network.tables["pipe"]["length_m"]
    order = np.argsort(-length, kind="stable")  # of parallel links the shortest is entered last and stays
    low = np.minimum(network.link_from, network.link_to)[order]
    high = np.maximum(network.link_from, network.link_to)[order]
    _, last = np.unique((low * n + high)[::-1], return_index=True)
    keep = len(order) - 1 - last
    # csgraph takes an explicit 0 for "no edge"; a micrometre stands for a valve's length.
    weight = np.maximum(length[order][keep], 1e-6)
    graph = csr_array((weight, (low[keep], high[keep])), shape=(n, n))
    return np.asarray(dijkstra(graph, directed=False, indices=np.asarray(nodes)), dtype=np.float64)


def _graph(rows: NDArray[np.int64], columns: NDArray[np.int64], n: int) -> csr_array:
    return csr_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(n, n))
