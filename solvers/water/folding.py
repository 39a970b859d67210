"""Into the reduced network and back: demands of its nodes before it is solved, heads and flows of all others after.

Letters as in reduction.py. A part without source gets only a share of its demand (supply.py), so do its series and trees.
"""

from __future__ import annotations

from numpy import uint64

from solvers.accelerate import part
from solvers.water.laws import pipe_lanes
from solvers.water.plan import CLOSED, OPEN, Floats, Index, Reduction


@part
def fold(r: Reduction, demand: Floats, gathered: Floats, core_demand: Floats, shift: Floats) -> None:
    """Demands of the core, and what the nodes of a series have taken before each of its pipes.

    Args:
        r: the reduction.
        demand: (n_node,) [m3/s].
        gathered: (n_node,) receives demands with those of the trees that hang on a node.
        core_demand: (n_core,) receives the core's.
        shift: (n_row, 8) receives s_m, in the order of the lanes.
    """
    gathered[:] = demand
    for t in range(len(r.graph.tree_leaf)):
        gathered[uint64(r.graph.tree_parent[t])] += gathered[uint64(r.graph.tree_leaf[t])]
    for i in range(len(r.graph.node)):
        core_demand[i] = gathered[uint64(r.graph.node[i])]
    net, flat = r.core, shift.ravel()
    for c in range(len(net.lane_link)):
        k = net.lane_link[c]
        taken, x = 0.0, uint64(net.lane_first[c])
        flat[x] = 0.0
        for m in range(uint64(r.graph.first[k] + 1), uint64(r.graph.first[k + 1])):
            taken += gathered[uint64(r.graph.inner[m])]
            x += uint64(1)
            flat[x] = taken
        core_demand[uint64(net.end[k])] += taken


@part
def unfold(
    r: Reduction, core_head: Floats, core_flow: Floats, core_status: Index, scale: Floats, gathered: Floats, shift: Floats,
    loss: Floats, tree_q: Floats, tree_h: Floats, tree_g: Floats, head: Floats, flow: Floats, status: Index,
) -> None:  # fmt: skip
    """Heads, flows and statuses of the whole network.

    Args:
        r: the reduction.
        core_head: (n_core,) [m].
        core_flow: (n_core_link,) [m3/s].
        core_status: (n_core_link,).
        scale: (n_core,) share of the demand that is served.
        gathered: from `fold`.
        shift: from `fold`.
        loss: (n_row, 8) h of each pipe in its series' direction [m].
        tree_q: (n_row, 8) scratch for the trees' pipes.
        tree_h: likewise.
        tree_g: likewise.
        head: (n_node,) receives heads [m].
        flow: (n_link,) receives flows [m3/s].
        status: (n_link,) receives statuses.
    """
    net, s, h = r.core, shift.ravel(), loss.ravel()
    for i in range(len(r.graph.node)):
        head[uint64(r.graph.node[i])] = core_head[i]
    for k in net.single:
        flow[r.graph.pipe[r.graph.first[k]]] = core_flow[k]
        status[r.graph.pipe[r.graph.first[k]]] = core_status[k]
    for c in range(len(net.lane_link)):
        k, x, whole = uint64(net.lane_link[c]), uint64(net.lane_first[c]), core_flow[net.lane_link[c]]
        first = uint64(r.graph.first[k])
        at, start = uint64(r.graph.pipe[first]), uint64(net.start[k])
        status[at], flow[at] = core_status[k], r.graph.turn[first] * whole
        level, share = core_head[start], scale[start]
        for m in range(first + uint64(1), uint64(r.graph.first[k + uint64(1)])):
            level -= h[x]
            x += uint64(1)
            at = uint64(r.graph.pipe[m])
            head[uint64(r.graph.inner[m])] = level
            status[at], flow[at] = OPEN, r.graph.turn[m] * (whole - share * s[x])
    q, h = tree_q.ravel(), tree_h.ravel()
    for t in range(len(r.graph.tree_leaf)):
        leaf = uint64(r.graph.tree_leaf[t])
        q[t] = gathered[leaf] * scale[uint64(r.graph.owner[leaf])]
    if len(tree_q) > 0:
        pipe_lanes(tree_q, r.tree_r, r.tree_m, net.exponent, tree_h, tree_g)
    for t in range(len(r.graph.tree_leaf) - 1, -1, -1):
        at = uint64(r.graph.tree_pipe[t])
        head[uint64(r.graph.tree_leaf[t])] = head[uint64(r.graph.tree_parent[t])] - h[t]
        status[at], flow[at] = OPEN, r.graph.tree_turn[t] * q[t]


@part
def fits(r: Reduction, status: Index) -> bool:
    """Whether all that was removed is open."""
    shut, removed = 0, r.graph.removed
    for x in range(len(removed)):
        shut += status[uint64(removed[x])] <= CLOSED
    return shut == 0
