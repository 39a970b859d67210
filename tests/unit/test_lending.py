"""Tuples that kernels take by reference: the caller's own arrays, read as in plain Python."""

import sys
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from solvers.accelerate import kernel
from solvers.lending import borrowed, lend


class Leaf(NamedTuple):
    weights: NDArray[np.float64]
    power: int
    share: float
    doubled: bool


class Nest(NamedTuple):
    table: NDArray[np.float64]
    leaf: Leaf
    marks: NDArray[np.int64]


def nest() -> Nest:
    return Nest(np.arange(6.0).reshape(2, 3), Leaf(np.ones(4), -3, 0.5, True), np.zeros(3, dtype=np.int64))


def weigh(leaf: Leaf) -> float:
    return leaf.weights.sum() * leaf.power * leaf.share * (2.0 if leaf.doubled else 1.0)


weigh_compiled = kernel(weigh)


def of_rows(n: Nest) -> tuple[float, float, int, float]:
    """What comes by reference, and tuples made of its rows, one in each turn of a loop."""
    total = 0.0
    for row in range(len(n.table)):
        mine = borrowed(Leaf(n.table[row], n.leaf.power + row, n.leaf.share, n.leaf.doubled))
        mine.weights[0] += 1.0
        n.marks[row] += 7
        total += weigh_compiled(mine)
    return total, weigh_compiled(n.leaf), n.table.shape[1], n.table.ravel()[5]


def test_a_kernel_reads_and_writes_what_is_lent_as_python_does() -> None:
    plain, given = nest(), nest()
    lent = lend(given)
    held = sys.getrefcount(given.table)
    expected, found = of_rows(plain), kernel(of_rows)(lent)
    after = sys.getrefcount(given.table)  # not within an assertion, which holds what it compares
    assert found == expected
    assert after == held
    for mine, theirs in ((plain.table, given.table), (plain.marks, lent.marks), (plain.leaf.weights, lent.leaf.weights)):
        assert mine.tobytes() == theirs.tobytes()


def test_tuples_of_one_kind_share_their_machine_code() -> None:
    count: Any = kernel(of_rows)  # numba's dispatcher, which knows what it was compiled for
    for _ in range(2):
        count(lend(nest()))
    assert len(count.signatures) == 1


@pytest.mark.parametrize("wrong", [np.arange(6.0).reshape(2, 3).T, np.arange(8.0)[::2].reshape(2, 2)[:, :1]])
def test_what_does_not_lie_in_order_is_refused(wrong: NDArray[np.float64]) -> None:
    with pytest.raises(TypeError, match="cannot lend"):
        lend(nest()._replace(table=wrong))
