"""What the detector's memory becomes when it hears of a known leak: moved, or over with what was closed meanwhile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from solvers.water.field_reports import searched
from solvers.water.leak_memory import Closure, Heard, Leak, Memory, Settings
from solvers.water.leaks import hear

OUTPUTS, PIPES = 4, 3
SCALE = np.ones(OUTPUTS)
KNOWN = np.full((OUTPUTS, 3), 0.1), np.tile(0.01 * np.eye(3), (OUTPUTS, 1, 1))
SIGNATURE = -np.outer([1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 10.0])
LEAK = Leak(
    1, 30, 33, 0, 0.01, 0.01, np.array([0.6, 0.3, 0.1]), np.array([0.01, 0.02, 0.01]), 9.0, 0, KNOWN,
    (10, np.zeros(OUTPUTS), np.zeros(3), 10 * SIGNATURE), deviation=np.full(PIPES, 1e-3),
)  # fmt: skip


def memory() -> Memory:
    before, none = Memory.empty(OUTPUTS, SCALE, Settings()), np.zeros(0)
    shut = [
        Closure(n, onset, onset + 2, 1, np.array([1]), np.ones(1), 15.0, 6.0, (none, none)) for n, onset in ((2, 20), (3, 40))
    ]
    return replace(before, step=50, leaks=(LEAK,), closed=tuple(shut), issued=3)


def test_a_rejection_moves_the_leak_and_the_new_place_may_be_as_wrong_as_it_moves_the_prediction() -> None:
    after, over, opened = hear(memory(), {1: Heard(searched(np.array([[True, False, False]])), ("1-1",))}, SCALE)
    (leak,) = after.leaks
    assert (leak.pipe, leak.flow, leak.reports, over, opened) == (1, 0.02, ("1-1",), (), ())
    assert len(after.closed) == 2
    assert (after.coefficients == KNOWN[0]).all()
    moved = SIGNATURE[:, 1] * 0.02 - SIGNATURE[:, 0] * 0.01
    grown = (after.covariance - KNOWN[1])[:, 0, 0]
    assert np.allclose(grown - grown.min(), moved**2 - (moved**2).min())
    assert grown.min() > (moved**2).min()  # and 20 steps have gone by


def test_a_repair_ends_the_leak_and_what_was_closed_since_its_onset() -> None:
    after, (leak,), opened = hear(memory(), {1: Heard(np.zeros(PIPES), ("1-1",), repaired=True)}, SCALE)
    assert (after.leaks, after.past, leak.flow) == ((), (), 0.0)
    assert [c.number for c in opened] == [3]
    assert [c.number for c in after.closed] == [2]


def test_a_word_that_moves_nothing_leaves_what_has_been_learnt() -> None:
    before = memory()
    after, over, _ = hear(before, {1: Heard(np.zeros(PIPES), ("1-1",))}, SCALE)
    assert after.leaks[0].reports == ("1-1",)
    assert (after.leaks[0].place == LEAK.probability).all()
    assert (after.covariance is before.covariance, over) == (True, ())
