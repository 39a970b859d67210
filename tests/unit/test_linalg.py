"""The sparse factorisations against dense algebra, on random patterns and on the shapes networks have."""

import time

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.linalg.ldl import ldl_factor, ldl_solve
from solvers.linalg.ldl_block import ldl_solve_block
from solvers.linalg.ldl_pairs import pair_factor, pair_selected_inverse, pair_solve
from solvers.linalg.lu import lu_factor, lu_solve
from solvers.linalg.ordering import order
from solvers.linalg.symbolic import Symbolic, symbolic


def laplacian(n: int, edges: list[tuple[int, int]], weights: np.ndarray) -> sp.csr_array:
    i, j = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    off = sp.coo_array((np.r_[-weights, -weights], (np.r_[i, j], np.r_[j, i])), shape=(n, n)).tocsr()
    return sp.csr_array(off - sp.diags_array(np.asarray(off.sum(axis=1)).ravel()))


def filled(sym: Symbolic, matrix: sp.csr_array) -> np.ndarray:
    upper = sp.triu(matrix).tocoo()
    values = np.zeros(sym.n + sym.n_upper)
    np.add.at(values, sym.position(upper.row, upper.col), upper.data)
    return values


@st.composite
def graphs(draw: st.DrawFn) -> sp.csr_array:
    n = draw(st.integers(1, 25))
    edges = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=3 * n))
    edges = [(i, j) for i, j in edges if i != j]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return laplacian(n, edges, rng.uniform(0.1, 10.0, len(edges))) + sp.diags_array(rng.uniform(0.1, 1.0, n))


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_solves_and_inverts_like_dense_algebra(matrix: sp.csr_array) -> None:
    matrix = sp.csr_array(matrix)
    sym = symbolic(matrix.indptr, matrix.indices)
    a = filled(sym, matrix)
    assert ldl_factor(sym.up, sym.uj, sym.target, a, np.empty(sym.n), 1e-13) == 0
    dense = matrix.toarray()
    rhs = np.arange(1.0, sym.n + 1)
    b = rhs[sym.perm]
    many = np.column_stack([b, -2.0 * b, 0.0 * b])
    ldl_solve(sym.up, sym.uj, a, b)
    ldl_solve_block(sym.up, sym.uj, a, many)
    np.testing.assert_allclose(many, np.column_stack([b, -2.0 * b, 0.0 * b]), rtol=1e-12)
    x = np.empty(sym.n)
    x[sym.perm] = b
    # Condition numbers stay below 1e4 here, so 1e-10 leaves two digits over rounding.
    np.testing.assert_allclose(dense @ x, rhs, rtol=1e-10)


@settings(deadline=None, max_examples=60)
@given(graphs(), st.integers(0, 2**32 - 1))
def test_pairs_of_unknowns_are_solved_and_inverted_like_dense_algebra(matrix: sp.csr_array, seed: int) -> None:
    rows, columns = sp.csr_array(matrix).tocoo().coords
    sym = symbolic(sp.csr_array(matrix).indptr, sp.csr_array(matrix).indices)
    n, rng = sym.n, np.random.default_rng(seed)
    dense = np.zeros((2 * n, 2 * n))
    for i, j in zip(rows, columns, strict=True):  # squares on each edge; the diagonal makes it definite
        h = np.zeros((2, 2 * n))
        h[:, [2 * i, 2 * i + 1, 2 * j, 2 * j + 1]] = rng.normal(size=(2, 4))
        dense += h.T @ h
    dense += np.diag(rng.uniform(0.5, 1.0, 2 * n))
    a, blocks = np.zeros(4 * (n + sym.n_upper)), dense.reshape(n, 2, n, 2).transpose(0, 2, 1, 3)
    early = sym.inverse[rows] <= sym.inverse[columns]
    slots = 4 * sym.position(rows[early], columns[early])[:, None] + np.arange(4)
    a[slots] = blocks[rows[early], columns[early]].reshape(-1, 4)
    assert pair_factor(sym.up, sym.uj, sym.target, a, np.empty(2 * n), 1e-13) == 0
    rhs = rng.normal(size=(n, 2))
    b = rhs[sym.perm].ravel()
    pair_solve(sym.up, sym.uj, a, b)
    x = np.empty((n, 2))
    x[sym.perm] = b.reshape(n, 2)
    # Condition numbers stay below 1e3 here.
    np.testing.assert_allclose(dense @ x.ravel(), rhs.ravel(), atol=1e-10)
    z = np.empty_like(a)
    pair_selected_inverse(sym.up, sym.uj, sym.target, a, z)
    inverse = np.linalg.inv(dense).reshape(n, 2, n, 2).transpose(0, 2, 1, 3)
    np.testing.assert_allclose(z[slots], inverse[rows[early], columns[early]].reshape(-1, 4), atol=1e-10)


def test_a_pair_of_which_one_is_undetermined_keeps_the_other() -> None:
    sym = symbolic(np.array([0, 0]), np.zeros(0, dtype=int))
    for a, inverse in (([0.0, 0.0, 0.0, 4.0], [0, 0, 0, 0.25]), ([4.0, 2.0, 2.0, 1.0], [0.25, 0, 0, 0])):
        block = np.array(a)
        assert pair_factor(sym.up, sym.uj, sym.target, block, np.empty(2), 1e-12) == 1
        np.testing.assert_array_equal(block, inverse)


@settings(deadline=None, max_examples=40)
@given(graphs(), st.integers(0, 2**32 - 1))
def test_block_lu_solves_unsymmetric_blocks_on_a_symmetric_pattern(matrix: sp.csr_array, seed: int) -> None:
    matrix = sp.csr_array(matrix)
    sym = symbolic(matrix.indptr, matrix.indices)
    rng = np.random.default_rng(seed)
    rows, columns = matrix.tocoo().coords
    blocks = rng.normal(size=(len(rows), 4))
    blocks[rows == columns] += 50.0 * np.array([1.0, 0.3, -0.2, 1.0])  # block-dominant: no pivoting is needed
    a = np.zeros((sym.n + 2 * sym.n_upper, 4))
    a[sym.position_lu(rows, columns)] = blocks
    dense = np.zeros((2 * sym.n, 2 * sym.n))
    for i, j, block in zip(rows, columns, blocks, strict=True):
        dense[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = block.reshape(2, 2)
    rhs = rng.normal(size=(sym.n, 2))
    lu_factor(sym.up, sym.uj, sym.target, a)
    b = rhs[sym.perm]
    lu_solve(sym.up, sym.uj, a, b)
    x = np.empty_like(b)
    x[sym.perm] = b
    np.testing.assert_allclose(dense @ x.ravel(), rhs.ravel(), atol=1e-10)


@settings(deadline=None)
@given(graphs())
def test_elimination_tree_is_in_postorder_and_rows_ascend(matrix: sp.csr_array) -> None:
    matrix = sp.csr_array(matrix)
    sym = symbolic(matrix.indptr, matrix.indices)
    assert sorted(sym.perm.tolist()) == list(range(sym.n))
    assert np.array_equal(sym.perm[sym.inverse], np.arange(sym.n))
    descendants = np.ones(sym.n, dtype=int)
    for k, parent in enumerate(sym.parent):
        row = sym.uj[sym.up[k] : sym.up[k + 1]]
        assert np.all(np.diff(row) > 0)
        assert parent == (row[0] if len(row) else -1)
        if parent >= 0:
            descendants[parent] += descendants[k]
    for k, parent in enumerate(sym.parent):  # postorder: a subtree is a contiguous range ending at its root
        if parent >= 0:
            assert parent - descendants[parent] + 1 <= k - descendants[k] + 1


def test_a_tree_has_no_fill() -> None:
    rng = np.random.default_rng(3)
    edges = [(int(rng.integers(0, k)), k) for k in range(1, 500)]
    matrix = laplacian(500, edges, np.ones(499))
    assert symbolic(matrix.indptr, matrix.indices).n_upper == 499


def test_zero_pivots_name_what_is_undetermined() -> None:
    matrix = laplacian(5, [(0, 1), (1, 2), (3, 4)], np.array([1.0, 2.0, 3.0]))  # two islands, no reference in either
    sym = symbolic(matrix.indptr, matrix.indices)
    a = filled(sym, matrix)
    assert ldl_factor(sym.up, sym.uj, sym.target, a, np.empty(5), 1e-13) == 2
    missing = set(sym.perm[a[:5] == 0].tolist())
    assert len(missing & {0, 1, 2}) == 1
    assert len(missing & {3, 4}) == 1
    rhs = np.array([1.0, 0.0, -1.0, 2.0, -2.0])  # consistent: each island sums to zero
    b = rhs[sym.perm]
    ldl_solve(sym.up, sym.uj, a, b)
    x = np.empty(5)
    x[sym.perm] = b
    np.testing.assert_allclose(matrix.toarray() @ x, rhs, atol=1e-12)


def test_an_entry_outside_the_pattern_is_refused() -> None:
    matrix = laplacian(4, [(0, 1), (1, 2), (2, 3)], np.ones(3))
    with pytest.raises(KeyError):
        symbolic(matrix.indptr, matrix.indices).position([0], [3])


def test_ten_thousand_nodes_are_ordered_quickly() -> None:
    side = 100  # a square mesh: harder than any public power or water network of that size
    grid = np.arange(side * side).reshape(side, side)
    edges = np.r_[np.c_[grid[:, :-1].ravel(), grid[:, 1:].ravel()], np.c_[grid[:-1].ravel(), grid[1:].ravel()]]
    matrix = laplacian(side * side, [(int(i), int(j)) for i, j in edges], np.ones(len(edges)))
    begin = time.thread_time()
    perm = order(matrix.indptr, matrix.indices)
    assert time.thread_time() - begin < 2.0  # 0.4 s on a quiet core; the margin is for a shared one
    sym = symbolic(matrix.indptr, matrix.indices, perm)
    assert sym.n_upper < 400_000  # nested dissection's bound, 31/4 n log2 n, is 1.03 M; natural order gives 1 M
