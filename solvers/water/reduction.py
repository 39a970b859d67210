"""A network without its trees and series: what is left to iterate on, and how the rest follows.

Flows in a tree follow from its demands alone. Pipes in series between two nodes carry one unknown flow q: with the demands
d_1, d_2, ... of the nodes in between, pipe m carries q - s_m, s_m = d_1 + ... + d_m-1, and the series acts as one link

    h(q) = sum_m h_m(q - s_m),   h'(q) = sum_m h'_m(q - s_m)

What is left is a network of the same form (`Laws`, a link having several pipes in its lanes), so `balance` solves it as any
other; then heads and flows of the removed nodes and pipes are filled in (folding.py). Kept are nodes of fixed head, nodes with
openings, and the ends of links that are no open pipes or that controls and rules switch. Where a removed pipe is told to be
shut, and where demands depend on pressure, the whole network is solved.

Reference: O. Giustolisi, D. Laucelli, "Water distribution network pressure-driven analysis using the enhanced global gradient
algorithm (EGGA)", J. Water Resour. Plann. Manage. 137 (2011), for pipes in series with demands along them; J. Deuerlein,
S. Elhay, A. Simpson, "Fast graph matrix partitioning algorithm for solving the water distribution network equations",
J. Water Resour. Plann. Manage. 142 (2016).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solvers.accelerate import kernel

Index = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Skeleton(NamedTuple):
    """What of a graph is left without its trees and series, and where the rest belongs.

    Args:
        node: (n_core,) node of each node that stays.
        owner: (n_node,) node of the core with whose part each node lives.
        start, end: (n_core_link,) nodes of the core.
        first: (n_core_link + 1,) where each link's pipes begin, from its start to its end.
        pipe: links of the whole graph.
        turn: 1.0, or -1.0 for a pipe that points from the end to the start.
        inner: the node before each pipe.
        tree_pipe, tree_leaf, tree_parent: (n_tree,) from the leaves inward.
        tree_turn: (n_tree,) 1.0 where the pipe points from parent to leaf, else -1.0.
        removed: links that are in a series or a tree.
    """

    node: Index
    owner: Index
    start: Index
    end: Index
    first: Index
    pipe: Index
    turn: Floats
    inner: Index
    tree_pipe: Index
    tree_leaf: Index
    tree_parent: Index
    tree_turn: Floats
    removed: Index


def skeleton(start: Index, end: Index, keep: Flags) -> Skeleton:
    """Remove trees and series.

    Args:
        start: (n_link,) node.
        end: (n_link,) node.
        keep: (n_node,) nodes that must stay.
    """
    n_node, n_link = len(keep), len(start)
    ends = np.r_[start, end]
    at = np.argsort(ends, kind="stable")
    begin = np.searchsorted(ends[at], np.arange(n_node + 1))
    tree, leaf, parent, degree, alive = _strip(start, end, begin, at % n_link, keep)
    is_core, chain, pipe, turn, inner = _chain(start, end, begin, at % n_link, keep, degree, alive)
    node = np.flatnonzero(is_core)
    place = np.full(n_node, -1, dtype=np.int64)
    place[node] = np.arange(len(node))
    # Short series first, so that loops over pipes within loops over links turn foreseeably; those of one length in the order of
    # each one's least link, so that links that stay keep theirs.
    least = np.full(chain.max(initial=-1) + 1, n_link)
    np.minimum.at(least, chain, pipe)
    rank = np.argsort(np.lexsort((least, np.bincount(chain, minlength=len(least)))))
    order = np.argsort(rank[chain], kind="stable")
    pipe, turn, inner = pipe[order], turn[order], inner[order]
    first = np.r_[0, np.cumsum(np.bincount(rank[chain], minlength=len(least)))]
    alone = first[:-1][np.diff(first) == 1]  # a link by itself keeps its own direction
    turn[alone], inner[alone] = 1.0, start[pipe[alone]]
    last = first[1:] - 1
    beyond = np.where(turn[last] > 0, end[pipe[last]], start[pipe[last]])
    core_start, size = place[inner[first[:-1]]], np.diff(first)
    owner, hidden = place.copy(), np.setdiff1d(np.arange(len(pipe)), first[:-1])
    owner[inner[hidden]] = np.repeat(core_start, size)[hidden]
    for i, j in zip(leaf[::-1].tolist(), parent[::-1].tolist(), strict=True):
        owner[i] = owner[j]
    return Skeleton(
        node, owner, core_start, place[beyond], first, pipe, turn, inner, tree, leaf, parent,
        np.where(end[tree] == leaf, 1.0, -1.0), np.r_[tree, pipe[np.repeat(size > 1, size)]],
    )  # fmt: skip


@kernel
def _strip(start: Index, end: Index, begin: Index, link: Index, keep: Flags) -> tuple[Index, Index, Index, Index, Flags]:
    """Take leaf after leaf away: pipes, leaves and parents in that order; degrees and links that are left."""
    n = len(keep)
    degree, alive = np.diff(begin), np.ones(len(start), dtype=np.bool_)
    tree, leaf, parent = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    waiting, top, count = np.empty(n, dtype=np.int64), 0, 0
    for i in range(n):
        if degree[i] == 1 and not keep[i]:
            waiting[top] = i
            top += 1
    while top > 0:
        top -= 1
        i = waiting[top]
        if degree[i] != 1:
            continue
        for x in range(begin[i], begin[i + 1]):
            k = link[x]
            if alive[k]:
                j = end[k] if start[k] == i else start[k]
                tree[count], leaf[count], parent[count] = k, i, j
                count += 1
                alive[k] = False
                degree[i] = -1
                degree[j] -= 1
                if degree[j] == 1 and not keep[j]:
                    waiting[top] = j
                    top += 1
                break
    return tree[:count].copy(), leaf[:count].copy(), parent[:count].copy(), degree, alive


@kernel
def _chain(
    start: Index, end: Index, begin: Index, link: Index, keep: Flags, degree: Index, alive: Flags
) -> tuple[Flags, Index, Index, Floats, Index]:
    """Walk from each node that stays along each link to the next one.

    Returns:
        (n_node,) nodes that stay; then for each link that is left its series, itself, its turn, and the node before it.
    """
    n, m = len(keep), len(start)
    core = np.zeros(n, dtype=np.bool_)
    waiting, top = np.empty(2 * n, dtype=np.int64), 0
    for i in range(n):
        core[i] = degree[i] >= 0 and (keep[i] or degree[i] != 2)
        if core[i]:
            waiting[top] = i
            top += 1
    chain, pipe, inner = np.empty(m, dtype=np.int64), np.empty(m, dtype=np.int64), np.full(m, -1)
    turn = np.empty(m)
    series, count, next_link = 0, 0, 0
    while True:
        if top == 0:  # cycles without a node that stays
            while next_link < m and not alive[next_link]:
                next_link += 1
            if next_link == m:
                break
            core[start[next_link]] = True
            waiting[top] = start[next_link]
            top += 1
        top -= 1
        i = waiting[top]
        for x in range(begin[i], begin[i + 1]):
            k, at = link[x], i
            if not alive[k]:
                continue
            while True:
                alive[k] = False
                chain[count], pipe[count], inner[count] = series, k, at
                turn[count] = 1.0 if start[k] == at else -1.0
                count += 1
                at = end[k] if start[k] == at else start[k]
                if not core[at]:
                    follow = -1
                    for y in range(begin[at], begin[at + 1]):
                        if alive[link[y]]:
                            follow = link[y]
                    ahead = end[follow] if start[follow] == at else start[follow]
                    if ahead == i:  # a series that would end where it began: its last inner node stays
                        core[at] = True
                        waiting[top] = at
                        top += 1
                    else:
                        k = follow
                        continue
                break
            series += 1
    return core, chain[:count].copy(), pipe[:count].copy(), turn[:count].copy(), inner[:count].copy()
