"""Which value is in force at an instant, and what is known of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_models.measurements import Catalogue, Flag, Rows, SignalKind, SwitchPosition, TimeQuality, Update
from tests.simulation.small_twin import SECOND, T0, rows, signal
from twin.estimators import InForce
from twin.window import Window

CATALOGUE = Catalogue(
    1,
    (
        signal(1, "power"),
        signal(2, "power", update=Update.CYCLIC, ttl_s=5.0),
        signal(3, "power", hold_s=60.0),
        signal(4, "power", kind=SignalKind.SWITCH),
        signal(9, "water"),
    ),
)
INTERMEDIATE, OPEN, CLOSED, FAULTY = map(float, SwitchPosition)


def at(window: Window, second: float, network: str = "power") -> InForce:
    return window.in_force(T0 + round(second * SECOND), network)


def window(*batches: Rows) -> Window:
    out = Window(CATALOGUE)
    for batch in batches:
        out.enter(batch)
    return out


def timeless(second: float, value: float, uid: int = 1, sequence: int = 0) -> Rows:
    one = rows((uid, 0, value, sequence), quality=TimeQuality.NONE)
    one.receive_time_us[:] = T0 + round(second * SECOND)
    return one


def test_the_newest_value_at_or_before_the_instant_counts() -> None:
    w = window(rows((1, 3, 3.0), (1, 1, 1.0), (1, 2, 2.0), (9, 0, 7.0)))
    assert at(w, 0).value.tolist() == []
    assert [at(w, t).value.tolist() for t in (1, 1.9, 2, 99)] == [[1], [1], [2], [3]]
    assert at(w, 5, "water").signal.tolist() == [9]


def test_of_one_time_the_highest_sequence_counts() -> None:
    assert at(window(rows((1, 1, 5.0, 1)), rows((1, 1, 4.0, 0))), 1).value.tolist() == [5]


def test_a_cyclic_signal_is_stale_after_its_time_to_live_and_a_spontaneous_one_is_not() -> None:
    w = window(rows((1, 0, 1.0), (2, 0, 1.0)))
    assert at(w, 5).stale.tolist() == [False, False]
    stale = at(w, 5.1)
    assert stale.stale.tolist() == [False, True]
    assert stale.sigma.tolist() == [1.0, 10.0]


def test_a_value_older_than_its_hold_time_is_gone() -> None:
    w = window(rows((3, 0, 1.0)))
    assert at(w, 60).signal.tolist() == [3]
    assert at(w, 60.1).signal.tolist() == []


def test_a_mark_makes_a_signal_stale_until_a_newer_value_or_somebody_stands_for_it_again() -> None:
    w = window(rows((1, 0, 1.0)))
    w.mark(np.array([1], np.uint32), T0 + 2 * SECOND)
    assert [at(w, t).stale.tolist() for t in (1, 2, 50)] == [[False], [True], [True]]
    w.enter(rows((1, 4, 2.0)))
    assert [at(w, t).stale.tolist() for t in (3, 4)] == [[True], [False]]
    w.mark(np.array([1], np.uint32), T0 + 6 * SECOND)
    w.mark(np.array([1], np.uint32), T0 + 8 * SECOND, topical=True)
    assert [at(w, t).stale.tolist() for t in (7, 8)] == [[True], [False]]


def test_a_repetition_without_time_confirms_and_does_not_move_the_source_time() -> None:
    w = window(rows((2, 0, 1.0)), timeless(4, 1.0, uid=2), timeless(8, 1.0, uid=2, sequence=1))
    confirmed = at(w, 12)
    assert confirmed.source_time_us.tolist() == [T0]
    assert confirmed.stale.tolist() == [False]
    w.enter(timeless(13, 2.0, uid=2, sequence=2))
    assert at(w, 13).source_time_us.tolist() == [0]


def test_a_late_value_in_between_takes_back_a_confirmation() -> None:
    w = window(rows((1, 0, 1.0)), timeless(4, 1.0))
    assert at(w, 5).source_time_us.tolist() == [T0]
    w.enter(rows((1, 2, 9.0)))
    assert at(w, 5).source_time_us.tolist() == [0]


def test_a_confirmation_survives_a_mark_and_forgetting() -> None:
    w = window(rows((1, 0, 1.0)), timeless(4, 1.0))
    w.mark(np.array([1], np.uint32), T0 + 2 * SECOND)
    w.forget(T0 + 10 * SECOND)
    kept = at(w, 20)
    assert (kept.source_time_us.tolist(), kept.stale.tolist()) == ([T0], [False])


@pytest.mark.parametrize("forget", [False, True])
def test_a_switch_in_travel_keeps_its_position_for_its_travel_time_and_is_then_unknown(forget: bool) -> None:
    w = window(rows((4, 0, CLOSED), (4, 10, INTERMEDIATE), (4, 12, INTERMEDIATE)))
    assert at(w, 9).value.tolist() == [CLOSED]
    if forget:
        w.forget(T0 + 13 * SECOND)
    assert at(w, 15).value.tolist() == [CLOSED]
    assert np.isnan(at(w, 15.1).value).all()
    w.enter(rows((4, 16, OPEN)))
    assert at(w, 16).value.tolist() == [OPEN]


def test_a_faulty_switch_and_one_that_never_had_a_position_are_unknown_at_once_never_open() -> None:
    assert np.isnan(at(window(rows((4, 0, CLOSED), (4, 1, FAULTY))), 1).value).all()
    assert np.isnan(at(window(rows((4, 0, INTERMEDIATE))), 0).value).all()
    assert np.isnan(at(window(rows((4, 0, CLOSED), (4, 1, FAULTY), (4, 2, INTERMEDIATE))), 2).value).all()


def test_quality_weighs_as_its_table_says() -> None:
    w = window(rows((1, 0, 1.0), flags=Flag.SUBSTITUTED), rows((2, 0, 1.0), validity=3), rows((3, 0, 1.0), validity=2))
    assert at(w, 0).sigma.tolist() == [3.0, np.inf, 5.0]


def columns(found: InForce) -> list[Any]:
    return [
        np.nan_to_num(c, nan=-1.0).tolist()
        for c in (found.signal, found.value, found.sigma, found.source_time_us, found.stale, found.manual)
    ]


values = st.tuples(st.sampled_from((1, 2, 3, 4)), st.integers(0, 20), st.integers(0, 3).map(float), st.integers(0, 1))
histories = st.lists(values, max_size=20, unique_by=lambda v: (v[0], v[1], v[3]))


@given(histories, st.randoms(use_true_random=False), st.integers(0, 20), st.integers(0, 12))
def test_order_of_arrival_and_forgetting_change_nothing(
    history: list[tuple[int, int, float, int]], random: Any, horizon: int, later: int
) -> None:
    straight = window(*(rows(v) for v in history))
    mixed = list(history)
    random.shuffle(mixed)
    other = Window(CATALOGUE)
    for w in (straight, other):
        w.mark(np.array([1, 4], np.uint32), T0 + 7 * SECOND)
    for v in mixed:
        other.enter(rows(v))
    other.forget(T0 + horizon * SECOND)
    assert columns(at(straight, horizon + later)) == columns(at(other, horizon + later))
