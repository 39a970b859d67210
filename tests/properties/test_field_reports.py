"""What the field says of a leak, whatever is said: one voice moves nothing, order does not matter, a rejection never raises."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from solvers.water.field_reports import citizen, found, logger, placed, searched, voices
from solvers.water.plan import Floats

N = 30
LENGTH = np.linspace(20.0, 180.0, N)
MIDDLE = np.cumsum(LENGTH) - 0.5 * LENGTH  # a street of pipes, one behind the other
seeds = st.integers(0, 10_000)
pipes = st.integers(0, N - 1)
rises = st.floats(-20.0, 40.0)


def away(pipe: int) -> Floats:
    return np.abs(MIDDLE - MIDDLE[pipe])


def before(seed: int) -> Floats:
    weight = np.exp(np.random.default_rng(seed).normal(0.0, 4.0, N))
    return weight / weight.sum()


def ranked(probability: Floats) -> list[int]:
    return np.argsort(-probability, kind="stable")[:10].tolist()


@given(seeds, pipes, rises, st.booleans())
def test_one_report_alone_leaves_the_ranking_as_it_was(seed: int, pipe: int, rise: float, heard: bool) -> None:
    said = voices([], [logger(away(pipe), rise, 1.0)], LENGTH) if heard else voices([citizen(away(pipe), LENGTH)], [], LENGTH)
    after = placed(before(seed), said)
    assert ranked(after) == ranked(before(seed))
    assert np.array_equal(after, before(seed))


@given(seeds, st.lists(pipes, min_size=2, max_size=6), st.lists(st.tuples(pipes, rises), max_size=4), st.randoms())
def test_reports_commute_and_probability_stays_one(
    seed: int, seen: list[int], heard: list[tuple[int, float]], random: np.random.RandomState
) -> None:
    def place() -> Floats:
        citizens = [citizen(away(p), LENGTH) for p in seen]
        return placed(before(seed), voices(citizens, [logger(away(p), rise, 2.0) for p, rise in heard], LENGTH))

    first = place()
    assert abs(first.sum() - 1.0) < 1e-12
    assert (first >= 0.0).all()
    random.shuffle(seen)
    random.shuffle(heard)
    assert np.allclose(place(), first, rtol=1e-9, atol=1e-15)


@given(seeds, pipes)
def test_two_that_agree_move_the_place_towards_them_and_an_instrument_is_a_second_voice(seed: int, pipe: int) -> None:
    near, prior = away(pipe) < 60.0, before(seed)
    saw, heard = citizen(away(pipe), LENGTH), logger(away(pipe), 20.0, 1.0)
    two = placed(prior, voices([saw, saw], [], LENGTH))
    assert two[near].sum() > prior[near].sum()
    assert placed(prior, voices([saw], [heard], LENGTH))[near].sum() > prior[near].sum()
    assert placed(prior, voices([saw, saw, saw], [], LENGTH))[near].sum() > two[near].sum()


@given(seeds, pipes, pipes)
def test_a_false_report_beside_two_true_ones_gains_only_what_these_say_of_its_street(seed: int, pipe: int, other: int) -> None:
    saw, far = citizen(away(pipe), LENGTH), away(other) < 60.0
    if away(pipe)[other] < 800.0:
        return
    two, prior = voices([saw, saw], [], LENGTH), before(seed)
    three = voices([saw, saw, citizen(away(other), LENGTH)], [], LENGTH)
    # The loudest voice left out: int (1 - w + w r)^2 dw there, r of the others, and at least int (1 - w)^2 dw elsewhere.
    r = saw[far].max()
    assert placed(prior, three)[far].sum() <= prior[far].sum() * (1.0 + r + r**2)
    assert placed(prior, two)[far].sum() <= prior[far].sum() * (1.0 + r)


@given(seeds, st.lists(st.sets(pipes, min_size=1), min_size=1, max_size=4))
def test_a_rejection_lowers_what_was_searched_and_leaves_a_chance(seed: int, crews: list[set[int]]) -> None:
    where = np.array([[p in crew for p in range(N)] for crew in crews])
    prior = before(seed)
    after = placed(prior, searched(where))
    once = where.any(axis=0)
    assert after[once].sum() <= prior[once].sum() * (1 + 1e-12)
    assert (after[once] > 0.0).all()
    most = where.sum(axis=0) == where.sum(axis=0).max()
    assert (after[most] <= prior[most] * (1 + 1e-12)).all()


@given(seeds, st.sets(pipes, min_size=1, max_size=3), st.sets(pipes, max_size=N))
def test_a_confirmation_fixes_the_place_whatever_was_rejected(seed: int, there: set[int], crew: set[int]) -> None:
    where = np.array([p in there for p in range(N)])
    after = placed(before(seed), found(where) + searched(np.array([[p in crew for p in range(N)]])))
    assert abs(after[where].sum() - 1.0) < 1e-12
    assert (after[~where] == 0.0).all()


def test_a_quiet_logger_agrees_with_a_second_one_that_the_leak_is_not_there() -> None:
    quiet = logger(away(5), 0.0, 1.0)
    place = placed(np.full(N, 1.0 / N), voices([], [quiet, quiet], LENGTH))
    assert place[5] < 0.5 / N
    assert place[-1] > 1.0 / N
