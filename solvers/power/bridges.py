"""Which branches split a network, and what loses every source with them.

All slacks are one root: what hangs between two of them is fed from both sides. A branch of the depth-first tree is a bridge
where nothing below it leads back above it; what it cuts off is a contiguous piece of the preorder.

Reference: R. E. Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Comput. 1 (1972).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from grid_models.power.bus_branch import SLACK, BusBranch
from solvers.accelerate import kernel


def splits(model: BusBranch) -> dict[int, NDArray[np.int64]]:
    """Branches whose outage cuts buses off from every slack, and those buses."""
    n, m = model.n_bus, len(model.branch_from)
    slack = np.flatnonzero(model.bus_kind == SLACK)
    a = np.concatenate([model.branch_from, np.full(len(slack), n)])
    b = np.concatenate([model.branch_to, slack])
    number = np.arange(len(a))
    incidence = coo_array(
        (np.concatenate([number, number]) + 1, (np.concatenate([a, b]), np.arange(2 * len(a)))), shape=(n + 1, 2 * len(a))
    ).tocsr()
    far = np.concatenate([b, a])[incidence.indices]
    order, low, entered, parent_edge, size = _depth_first(incidence.indptr, far, incidence.data - 1, n + 1, n)
    out = {}
    for bus in order[1:].tolist():
        edge = parent_edge[bus]
        if low[bus] == entered[bus] and edge < m:
            out[int(edge)] = np.asarray(order[entered[bus] : entered[bus] + size[bus]])
    return out


@kernel
def _depth_first(
    pointer: NDArray[np.int32], far: NDArray[np.int64], edge: NDArray[np.int64], n: int, root: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Preorder from the root, low link, place in it, edge to the parent, and size of each node's subtree (Tarjan)."""
    order, entered = np.empty(n, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    low, parent = np.zeros(n, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    parent_edge, size = np.full(n, -1, dtype=np.int64), np.ones(n, dtype=np.int64)
    at, stack = pointer[:-1].copy(), np.empty(n, dtype=np.int64)
    depth, count = 0, 0
    stack[0] = root
    entered[root] = 0
    order[0] = root
    count = 1
    while depth >= 0:
        i = stack[depth]
        if at[i] < pointer[i + 1]:
            q = at[i]
            at[i] += 1
            k = far[q]
            if edge[q] == parent_edge[i]:
                continue
            if entered[k] < 0:
                entered[k] = count
                low[k] = count
                order[count] = k
                count += 1
                parent[k] = i
                parent_edge[k] = edge[q]
                depth += 1
                stack[depth] = k
            else:
                low[i] = min(low[i], entered[k])
        else:
            depth -= 1
            if parent[i] >= 0:
                low[parent[i]] = min(low[parent[i]], low[i])
                size[parent[i]] += size[i]
    return order[:count], low, entered, parent_edge, size


def parts(model: BusBranch, dead: NDArray[np.int64]) -> int:
    """Connected parts that newly dead nodes make up."""
    bus = np.unique(model.node_bus[dead])
    bus = bus[bus >= 0]
    if not len(bus):
        return 0
    inner = np.isin(model.branch_from, bus) & np.isin(model.branch_to, bus)
    graph = coo_array(
        (np.ones(int(inner.sum()), dtype=np.int8), (model.branch_from[inner], model.branch_to[inner])),
        shape=(model.n_bus, model.n_bus),
    ).tocsr()
    _, label = connected_components(graph, directed=False)
    return len(np.unique(label[bus]))
