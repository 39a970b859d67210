"""Fill-reducing ordering of a symmetric sparse pattern by minimum degree.

Eliminating an unknown joins its neighbours pairwise; the rule is to eliminate next the one with the fewest
neighbours left. On power and water networks, which are nearly planar and full of radial parts, this gives little
fill, and none on a tree.

Reference: A. George and J. W. H. Liu, "The evolution of the minimum degree ordering algorithm", SIAM Review 31 (1989).
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

from solvers.accelerate import kernel


def order(indptr: NDArray[np.integer], indices: NDArray[np.integer]) -> NDArray[np.int64]:
    """Minimum-degree elimination order of a symmetric pattern; ties go to the lower index.

    Args:
        indptr: (n + 1,) row pointers of the pattern in compressed rows.
        indices: (nnz,) column indices; both triangles, the diagonal may be there or not.

    Returns:
        (n,) the unknown that is eliminated k-th.

    >>> star = order(np.array([0, 3, 4, 5, 6]), np.array([1, 2, 3, 0, 0, 0]))
    >>> star.tolist()  # the leaves go before the hub
    [1, 2, 0, 3]
    """
    n = len(indptr) - 1
    rows = np.repeat(np.arange(n, dtype=np.int64), np.diff(indptr))
    columns = np.asarray(indices, dtype=np.int64)
    apart = rows != columns
    keys = np.unique(rows[apart] * n + columns[apart])
    begin = np.searchsorted(keys, np.arange(n + 1, dtype=np.int64) * n)
    return _minimum_degree(begin, keys % max(n, 1))


@kernel
def _minimum_degree(begin: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """A node's neighbours stand in a stretch of `pool`, which moves to the end of the pool when it outgrows its room."""
    n = len(begin) - 1
    at, room = begin[:-1].copy(), np.diff(begin)
    degree = room.copy()
    pool = np.empty(2 * len(columns) + 16, dtype=np.int64)
    pool[: len(columns)] = columns
    end = len(columns)
    queue = [degree[i] * n + i for i in range(n)]
    heapify(queue)
    gone = np.zeros(n, dtype=np.bool_)
    mark = np.full(n, -1, dtype=np.int64)
    perm = np.empty(n, dtype=np.int64)
    step = 0
    while len(queue) > 0:
        entry = heappop(queue)
        i = entry % n
        if gone[i] or entry // n != degree[i]:
            continue  # an outdated entry: i was queued again when its degree changed
        gone[i] = True
        perm[step] = i
        near = pool[at[i] : at[i] + degree[i]].copy()
        for j in near:
            # i leaves the neighbours of j, and those of i join them.
            first, before = at[j], degree[j]
            mark[j] = j
            size = 0
            for x in range(first, first + before):
                k = pool[x]
                if k != i:
                    pool[first + size] = k
                    size += 1
                    mark[k] = j
            fresh = 0
            for k in near:
                if mark[k] != j:
                    fresh += 1
            if size + fresh > room[j]:
                need = 2 * (size + fresh)
                if end + need > len(pool):
                    larger = np.empty(2 * len(pool) + need, dtype=np.int64)
                    larger[:end] = pool[:end]
                    pool = larger
                pool[end : end + size] = pool[first : first + size]
                at[j], room[j] = end, need
                end += need
            for k in near:
                if mark[k] != j:
                    pool[at[j] + size] = k
                    size += 1
            degree[j] = size
            if size != before:
                heappush(queue, size * n + j)
        step += 1
    return perm
