"""Pictures of large leaks: bent where head losses are, and each with its own error."""

import numpy as np

from grid_models.library.water import looped_town
from solvers.water.leak_search.bending import bends, references
from solvers.water.leak_search.memory import Belief, Memory
from solvers.water.leak_search.noise import distances_m
from solvers.water.leak_search.pictures import judge
from solvers.water.leak_search.ratio_tests import Window
from solvers.water.leak_search.readings import Hours, Sensors
from solvers.water.leak_search.town import Town

N = 6


def window(e: np.ndarray) -> Window:
    return Window(0, 3, e, np.zeros((N, 0)), np.eye(N), np.zeros(0))


def test_a_picture_that_is_less_known_explains_more_loosely_and_pays_for_it() -> None:
    rng = np.random.default_rng(0)
    s, other = 10.0 * rng.standard_normal(N), 10.0 * rng.standard_normal(N)
    error = np.array([0.5 * np.eye(N), 0.5 * np.eye(N), 50.0 * np.eye(N)])
    e = 2.0 * s
    found = judge(window(e), np.column_stack([s, other, s]), error, np.full(3, 2.0))
    R = np.eye(N) * (1.0 + 4.0 * 0.5)
    assert abs(found.flow[0] - 2.0) < 1e-6
    assert abs(found.z[0] - np.sqrt(e @ np.linalg.inv(R) @ e)) < 1e-6
    assert abs(found.evidence[0] + np.linalg.slogdet(R)[1]) < 1e-6  # nothing is left but the price of its freedom
    assert found.evidence[0] > found.evidence[2]  # explains as much, but would have explained anything
    assert found.evidence[2] > found.evidence[1]


def test_a_bend_is_what_the_linear_picture_misses_and_neighbours_tell_of_it() -> None:
    town = Town(looped_town(4, 5), Sensors(("J001", "J202", "J303"), ("source",), ("tank",), ()))
    one, none = np.ones((1, 1)), np.zeros((1, 0))
    hours = Hours(np.zeros(1), np.full((1, 3), 40.0), 120.0 * one, 2.0 * one, 0.0 * one, none)
    view = town.view(hours[0], np.zeros(len(town.pipe)))
    memory = Memory(town.n_output, len(town.pipe), 24)
    belief = Belief(np.zeros(town.n_output), np.zeros(0), np.eye(town.n_output))
    signature = town.signatures(view)
    memory.take(0, hours[0])
    memory.keep(0, np.zeros(town.n_output), signature, np.ones(len(town.pipe)), 1.0, 0, belief)
    pipes, at = np.arange(len(town.pipe)), {0: np.zeros(len(town.pipe))}
    small, large = (bends(town, memory, at, pipes, np.full(len(pipes), q)) for q in (1.0, 30.0))
    assert np.abs(large).max() > 10.0 * np.abs(small).max()
    leak = at[0].copy()
    leak[7] = 30.0
    change = town.view(hours[0], leak).reading - town.view(hours[0], at[0]).reading
    np.testing.assert_allclose(30.0 * (signature[:, 7] + large[:, 7]), change, atol=1e-4)
    known = references(distances_m(town), np.ones(len(pipes), dtype=bool))
    like, wrong = known.bends(large[:, known.pipes])
    assert np.array_equal(like[:, known.pipes], large[:, known.pipes])
    assert np.abs(like - large).mean() < np.abs(large).mean()
    assert np.linalg.eigvalsh(wrong).min() > -1e-12
