"""Symbolic factorisation: where the entries of a factor will stand, found once for a pattern and used many times.

A symmetric pattern is ordered, its elimination tree is numbered in postorder, and the fill is counted out. What
remains of the numerical work is loops over flat lists: no search, no allocation. The same `Symbolic` serves the
scalar LDL^T (`solvers.linalg.ldl`) and the 2x2-block LU (`solvers.linalg.lu`), whose pattern is symmetric too.

A value array holds its entries in *slots*: the n diagonal entries in elimination order, then the `n_upper` entries
above the diagonal row by row, then (LU only) their mirror images below it. To fill one, look the slots up once::

    slot = symbolic.position(row, column)         # once, in the caller's own numbering
    values[:] = 0.0
    np.add.at(values, slot, contributions)        # or a loop in a kernel: values[slot[q]] += ...

For a symmetric matrix give each entry once, whichever triangle; (i, j) and (j, i) have the same slot.

Reference: T. A. Davis, "Direct Methods for Sparse Linear Systems", SIAM (2006), chapter 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grid_models.tables import frozen
from solvers.accelerate import kernel
from solvers.linalg.ordering import order

IntArray = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Symbolic:
    """The pattern of a factor, in elimination order.

    Args:
        perm: (n,) int64, the caller's unknown that is eliminated k-th.
        inverse: (n,) int64, the step at which the caller's unknown i is eliminated.
        parent: (n,) int32, elimination tree; -1 at a root. Parents follow their children.
        up: (n + 1,) int32, where each row of the upper factor starts in `uj`.
        uj: (n_upper,) int32, columns right of the diagonal, ascending in each row (= rows of L below the diagonal).
        target: (n_pairs,) int32, for each row k and each pair x < y of its entries, in that order: the index in `uj`
            of the entry (uj[x], uj[y]) that elimination of k updates.
    """

    perm: NDArray[np.int64]
    inverse: NDArray[np.int64]
    parent: IntArray
    up: IntArray
    uj: IntArray
    target: IntArray

    @property
    def n(self) -> int:
        """The number of unknowns."""
        return len(self.perm)

    @property
    def n_upper(self) -> int:
        """The number of entries above the diagonal, fill included."""
        return len(self.uj)

    @cached_property
    def _keys(self) -> NDArray[np.int64]:
        rows = np.repeat(np.arange(self.n, dtype=np.int64), np.diff(self.up))
        return rows * self.n + self.uj

    def position(self, i: ArrayLike, j: ArrayLike) -> NDArray[np.int64]:
        """Slots of the entries (i, j) of a symmetric matrix, in the caller's numbering.

        Args:
            i: (m,) row numbers.
            j: (m,) column numbers.

        Returns:
            (m,) slots in [0, n + n_upper).

        Raises:
            KeyError: an entry outside the pattern (fill counts as inside).
        """
        a, b = self.inverse[np.asarray(i, dtype=np.int64)], self.inverse[np.asarray(j, dtype=np.int64)]
        low, high = np.minimum(a, b), np.maximum(a, b)
        wanted = low * self.n + high
        found = np.searchsorted(self._keys, wanted)
        off_diagonal = low != high
        inside = np.append(self._keys, -1)[found] == wanted
        if not np.all(inside | ~off_diagonal):
            raise KeyError("an entry outside the pattern was asked for")
        return np.where(off_diagonal, self.n + found, low)

    def position_lu(self, i: ArrayLike, j: ArrayLike) -> NDArray[np.int64]:
        """Slots of the entries (i, j) of an unsymmetric matrix with symmetric pattern: in [0, n + 2 n_upper)."""
        below = self.inverse[np.asarray(i, dtype=np.int64)] > self.inverse[np.asarray(j, dtype=np.int64)]
        return self.position(i, j) + np.where(below, self.n_upper, 0)


def symbolic(indptr: NDArray[np.integer], indices: NDArray[np.integer], perm: NDArray[np.int64] | None = None) -> Symbolic:
    """Analyse a symmetric pattern.

    Args:
        indptr: (n + 1,) row pointers of the pattern in compressed rows.
        indices: (nnz,) column indices; both triangles, the diagonal may be there or not.
        perm: (n,) an elimination order to use instead of minimum degree; it is renumbered in postorder.

    Returns:
        The pattern of the factor.

    >>> chain = symbolic(np.array([0, 1, 3, 4]), np.array([1, 0, 2, 1]))
    >>> chain.n_upper, chain.position([0, 1], [1, 2]).tolist()
    (2, [3, 4])
    """
    first = order(indptr, indices) if perm is None else np.asarray(perm, dtype=np.int64)
    parent = _elimination_tree(*_earlier_neighbours(indptr, indices, first))
    final = first[_postorder(parent)]
    begin, earlier = _earlier_neighbours(indptr, indices, final)
    parent = _elimination_tree(begin, earlier)
    up, uj = _fill(begin, earlier, parent)
    inverse = np.empty(len(final), dtype=np.int64)
    inverse[final] = np.arange(len(final))
    target = np.empty(_pairs(up), dtype=np.int32)
    _find_targets(up, uj, target)
    return Symbolic(
        perm=frozen(final),
        inverse=frozen(inverse),
        parent=frozen(parent),
        up=frozen(up),
        uj=frozen(uj),
        target=frozen(target),
    )


def _earlier_neighbours(
    indptr: NDArray[np.integer], indices: NDArray[np.integer], perm: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each step the neighbours that are eliminated before it, ascending, in compressed rows."""
    n = len(perm)
    inverse = np.empty(n, dtype=np.int64)
    inverse[perm] = np.arange(n)
    rows = inverse[np.repeat(np.arange(n), np.diff(indptr))]
    columns = inverse[indices]
    earlier = columns < rows
    keys = np.unique(rows[earlier] * n + columns[earlier])
    return np.searchsorted(keys, np.arange(n + 1, dtype=np.int64) * n), keys % max(n, 1)


@kernel
def _elimination_tree(begin: NDArray[np.int64], earlier: NDArray[np.int64]) -> IntArray:
    """Liu's algorithm: the parent of k is the first later step that k's elimination reaches."""
    n = len(begin) - 1
    parent, ancestor = np.full(n, -1, dtype=np.int32), np.full(n, -1, dtype=np.int32)
    for k in range(n):
        for x in range(begin[k], begin[k + 1]):
            i = earlier[x]
            while i not in (-1, k):
                following = ancestor[i]
                ancestor[i] = k  # path compression
                if following == -1:
                    parent[i] = k
                i = following
    return parent


@kernel
def _postorder(parent: IntArray) -> NDArray[np.int64]:
    """Number each subtree contiguously, children before parents, so that related rows stand close in memory."""
    n = len(parent)
    first, following = np.full(n + 1, -1, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    for k in range(n - 1, -1, -1):  # children of each node, ascending; the roots are those of node n
        p = parent[k] if parent[k] >= 0 else n
        following[k], first[p] = first[p], k
    out = np.empty(n, dtype=np.int64)
    stack = np.empty(n + 1, dtype=np.int64)
    depth, count = 0, 0
    stack[0] = n
    while depth >= 0:
        k = stack[depth]
        child = first[k]
        if child >= 0:
            first[k] = following[child]
            depth += 1
            stack[depth] = child
        else:
            if k < n:
                out[count] = k
                count += 1
            depth -= 1
    return out


@kernel
def _fill(begin: NDArray[np.int64], earlier: NDArray[np.int64], parent: IntArray) -> tuple[IntArray, IntArray]:
    """Rows of the upper factor. Column i holds what lies on the tree's paths from i's earlier neighbours up to i."""
    n = len(parent)
    up = np.zeros(n + 1, dtype=np.int32)
    uj = np.empty(0, dtype=np.int32)
    size = np.zeros(n, dtype=np.int32)
    for counted in range(2):
        mark = np.full(n, -1, dtype=np.int64)
        for i in range(n):
            mark[i] = i
            for x in range(begin[i], begin[i + 1]):
                k = earlier[x]
                while mark[k] != i:
                    mark[k] = i
                    if counted:
                        uj[up[k] + size[k]] = i
                    size[k] += 1
                    k = parent[k]
        if not counted:
            for k in range(n):
                up[k + 1] = up[k] + size[k]
            uj = np.empty(up[n], dtype=np.int32)
            size[:] = 0
    return up, uj


def _pairs(up: IntArray) -> int:
    width = np.diff(up).astype(np.int64)
    return int(np.sum(width * (width - 1)) // 2)


@kernel
def _find_targets(up: IntArray, uj: IntArray, target: IntArray) -> None:
    """Row k without its first entries is part of row uj[x], both ascending: one merge finds every position."""
    t = 0
    for k in range(len(up) - 1):
        for x in range(up[k], up[k + 1]):
            q = up[uj[x]]
            for y in range(x + 1, up[k + 1]):
                while uj[q] != uj[y]:
                    q += 1
                target[t] = q
                t += 1
