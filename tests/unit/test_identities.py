"""What came before is known, whatever the order: held against a dictionary."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_models.measurements import Rows, TimeQuality
from tests.simulation.small_twin import SECOND, T0, rows
from twin.identities import Seen

items = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 40), st.integers(0, 2).map(float), st.integers(0, 1)), max_size=30)


@given(st.lists(st.tuples(items, st.booleans()), max_size=5))
@settings(max_examples=60, deadline=None)
def test_it_agrees_with_a_dictionary(batches: list[tuple[list[tuple[int, int, float, int]], bool]]) -> None:
    seen, known = Seen(), dict[tuple[int, int, int], float]()
    for batch, late in batches:
        got = seen.judge(rows(*batch), np.full(len(batch), late)).tolist()
        expected = []
        for uid, t, value, sequence in batch:
            before = known.get((uid, t, sequence))
            expected.append(Seen.NEW if before is None else Seen.DUPLICATE if before == value else Seen.CONFLICT)
            if before is None and not late:
                known[uid, t, sequence] = value
        assert got == expected
        again = Seen()
        again.recall(seen.saved())
        seen = again
    assert len(seen) == len(known)


def many(n: int, start: int = 0) -> Rows:
    some = rows((1, 0, 1.0)).take(np.zeros(n, dtype=np.int64))
    some.source_time_us[:] = T0 + np.arange(start, start + n) * (SECOND // 100)
    some.value[:] = np.arange(n)
    return some


def test_it_grows_with_what_it_knows_and_forgets_whole_stretches_of_time() -> None:
    seen = Seen()
    n = 20_000  # 200 s
    assert not seen.judge(many(n), np.zeros(n, bool)).any()
    assert (seen.judge(many(n), np.zeros(n, bool)) == Seen.DUPLICATE).all()
    seen.forget(T0 + 100 * SECOND)
    verdict = seen.judge(many(n), np.zeros(n, bool))
    assert (verdict[10_000:] == Seen.DUPLICATE).all()
    assert not verdict[:8_000].any()
    size = len(seen.saved()["key"])
    assert size == n


def test_a_row_without_time_is_known_again_whenever_it_comes() -> None:
    seen = Seen()
    first, later = (rows((1, 0, 1.0), quality=TimeQuality.NONE) for _ in range(2))
    first.receive_time_us[:], later.receive_time_us[:] = T0, T0 + 500 * SECOND
    assert seen.judge(first, np.zeros(1, bool)).tolist() == [Seen.NEW]
    assert seen.judge(later, np.zeros(1, bool)).tolist() == [Seen.DUPLICATE]


def test_signals_that_share_their_place_side_by_side_are_told_apart() -> None:
    """All uids a multiple of eight, at one time: of the places side by side they begin at one."""
    n = 3_000
    some = many(n)
    some.source_time_us[:], some.signal[:] = T0, 8 * np.arange(n)
    seen = Seen()
    assert not seen.judge(some, np.zeros(n, bool)).any()
    some.value[::2] += 1
    assert seen.judge(some, np.zeros(n, bool)).tolist() == [Seen.CONFLICT, Seen.DUPLICATE] * (n // 2)


def test_rows_of_many_odd_times_take_little_room() -> None:
    """A clock that runs wild names another stretch of time with each row; late rows are not remembered at all."""
    n = 2_000
    some = many(n)
    some.source_time_us[:] = T0 + np.arange(n) * 100 * SECOND
    seen = Seen()
    assert not seen.judge(some, np.ones(n, bool)).any()
    assert (len(seen), len(seen._tables)) == (0, 0)
    assert not seen.judge(some, np.zeros(n, bool)).any()
    assert sum(t._slots.nbytes for t in seen._tables.values()) < n * 1024
    seen.forget(T0 + n * 50 * SECOND)
    assert len(seen) == n // 2
