"""What `folding.py` does, for eight states at once: demands of trees and series before a balance, heads and flows after.

All lanes are folded and unfolded together, those that move as well: what they asked for is the same as before.
"""

from __future__ import annotations

from solvers.accelerate import part
from solvers.linalg.vector import f64x8, larger, load, magnitude, pick, store
from solvers.water.lanes import DRAWN, ITERATION, LACKING, MODE, MOVING, OTHER, Lanes, look_anew
from solvers.water.laws import pipe_lanes
from solvers.water.plan import LANES, Floats, Laws, Reduction


@part
def resist(r: Reduction, g: Lanes, resistance: Floats, w: int) -> None:
    """Give lane w resistances: (n_link,) of the whole network."""
    net, graph = r.core, r.graph
    for c in range(len(net.lane_link)):
        m = graph.first[net.lane_link[c]]
        for x in range(net.lane_first[c], net.lane_first[c + 1]):
            g.resistance[x, w] = resistance[graph.pipe[m]]
            m += 1
    for x in range(len(graph.tree_pipe)):
        g.tree_r[x, w] = resistance[graph.tree_pipe[x]]


@part
def fold_lanes(r: Reduction, g: Lanes) -> None:
    """Demands of the network without its trees and series, and what each series has lost before a pipe, from `g.asked`."""
    zero = f64x8(0.0)
    net, graph = r.core, r.graph
    for i in range(len(g.asked)):
        store(g.gathered, i, load(zero, g.asked, i))
    for x in range(len(graph.tree_leaf)):
        i = graph.tree_parent[x]
        store(g.gathered, i, load(zero, g.gathered, i) + load(zero, g.gathered, graph.tree_leaf[x]))
    for i in range(len(graph.node)):
        store(g.demand, i, load(zero, g.gathered, graph.node[i]))
    for c in range(len(net.lane_link)):
        k, x, taken = net.lane_link[c], net.lane_first[c], zero
        for m in range(graph.first[k] + 1, graph.first[k + 1]):
            x += 1
            taken = taken + load(zero, g.gathered, graph.inner[m])
            store(g.shift, x, taken)
        if x > net.lane_first[c]:
            i = net.end[k]
            store(g.demand, i, load(zero, g.demand, i) + taken)
    drawn = zero
    for i in range(len(g.demand)):
        drawn = drawn + magnitude(load(zero, g.demand, i))
    store(g.tally, DRAWN, drawn)
    if g.powered:
        _weigh_signs(g)


@part
def _weigh_signs(g: Lanes) -> None:
    """Find parts again in lanes that begin where other nodes draw than before, or some give: powered pumps run by that."""
    zero, one = f64x8(0.0), f64x8(1.0)
    other = zero
    for i in range(len(g.demand)):
        demand = load(zero, g.demand, i)
        sign = pick(zero, demand, one, zero) - pick(demand, zero, one, zero)
        other = larger(other, magnitude(sign - load(zero, g.sign, i)) - pick(sign, zero, sign, zero))
    store(g.tally, OTHER, other)
    for w in range(LANES):
        if g.mark[MODE, w] == MOVING and g.mark[ITERATION, w] == 0 and g.tally[OTHER, w] > 0.0:
            look_anew(g, w)


@part
def unfold_lanes(whole: Laws, r: Reduction, g: Lanes) -> None:
    """Heads and flows of the whole network, in the lanes that rest."""
    zero = f64x8(0.0)
    net, graph = r.core, r.graph
    for i in range(len(graph.node)):
        store(g.whole_head, graph.node[i], load(zero, g.head, i))
    for k in net.single:
        store(g.whole_flow, graph.pipe[graph.first[k]], load(zero, g.flow, k))
    for c in range(len(net.lane_link)):
        k, x = net.lane_link[c], net.lane_first[c]
        m = graph.first[k]
        q, head = load(zero, g.flow, k), load(zero, g.head, net.start[k])
        store(g.whole_flow, graph.pipe[m], f64x8(graph.turn[m]) * q)
        for m in range(graph.first[k] + 1, graph.first[k + 1]):
            head = head - load(zero, g.loss, x)
            x += 1
            store(g.whole_head, graph.inner[m], head)
            store(g.whole_flow, graph.pipe[m], f64x8(graph.turn[m]) * (q - load(zero, g.shift, x)))
    for x in range(len(graph.tree_leaf)):
        store(g.tree_q, x, load(zero, g.gathered, graph.tree_leaf[x]))
    pipe_lanes(g.tree_q, g.tree_r, g.tree_m, net.exponent, g.tree_h, g.tree_g)
    for x in range(len(graph.tree_leaf) - 1, -1, -1):
        store(g.whole_head, graph.tree_leaf[x], load(zero, g.whole_head, graph.tree_parent[x]) - load(zero, g.tree_h, x))
        store(g.whole_flow, graph.tree_pipe[x], f64x8(graph.tree_turn[x]) * load(zero, g.tree_q, x))
    lacking = zero
    for i in range(len(whole.row)):
        if whole.row[i] >= 0:
            below = f64x8(whole.elevation[i]) - load(zero, g.whole_head, i)
            lacking = larger(lacking, pick(zero, load(zero, g.asked, i), below, zero))
    store(g.tally, LACKING, lacking)
