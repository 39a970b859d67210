"""Rings of samples, held against a dictionary and against a list that is walked from end to end."""

from __future__ import annotations

import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from grid_models.measurements import Catalogue, Flag, Rows, TimeQuality
from tests.simulation.small_twin import CATALOGUE, SECOND, T0, rows, signal
from twin.samples import CONFLICT, DUPLICATE, NEW, Samples

UIDS = [s.uid for s in CATALOGUE.signals]
ROWS = np.arange(len(UIDS))
UNKNOWN = 77

Item = tuple[int, int, int, bool, bool]  # uid, second, sequence, whether it is a test, whether it tells no time
item = st.tuples(
    st.sampled_from([*UIDS[:3], UNKNOWN]), st.integers(-90 * 86_400, 90 * 86_400) | st.integers(0, 9), st.integers(0, 2),
    st.booleans(), st.booleans(),
)  # fmt: skip
batches = st.lists(st.tuples(st.lists(item, min_size=1, max_size=8), st.booleans()), max_size=12)


def one(uid: int, second: int, sequence: int, test: bool, timeless: bool, value: float) -> Rows:
    quality = TimeQuality.NONE if timeless else TimeQuality.SYNCED
    made = rows((uid, second, value, sequence), flags=Flag.TEST if test else 0, quality=quality)
    made.receive_time_us[:] = T0 + second * SECOND
    if timeless:
        made.source_time_us[:] = 0
    return made


def newest(store: Samples, second: int) -> dict[int, float]:
    place = store.last_at(ROWS, T0 + second * SECOND)
    s = store.take(ROWS[place >= 0], place[place >= 0])
    return dict(zip(s["signal"].tolist(), s["value"].tolist(), strict=True))


class Plain:
    """The slow, obvious twin: identities in a dictionary, samples in a list."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, int | None, int], float] = {}
        self.samples: list[tuple[int, int, int, bool, bool, float]] = []

    def enter(self, given_item: Item, value: float, late: bool) -> int:
        uid, second, sequence, test, timeless = given_item
        if uid == UNKNOWN:
            return NEW
        identity = (uid, None if timeless else second, sequence)
        if identity in self.known:
            return DUPLICATE if self.known[identity] == value else CONFLICT
        if not late:
            self.known[identity] = value
            self.samples.append((uid, second, sequence, timeless, test, value))
        return NEW

    def newest(self, second: int) -> dict[int, float]:
        """Of rows of one time and sequence, the one that tells its time stands before the other."""
        ordered = sorted(s for s in self.samples if s[1] <= second and not s[4])
        return {s[0]: s[5] for s in sorted(ordered, key=lambda s: (s[0], s[1], s[2], s[3]))}


@given(batches, st.integers(-95 * 86_400, 95 * 86_400) | st.integers(0, 9), st.integers(0, 9))
@settings(max_examples=150, deadline=None)
def test_it_agrees_with_a_dictionary_and_a_list(
    given_batches: list[tuple[list[Item], bool]], second: int, horizon: int
) -> None:
    store, plain = Samples(CATALOGUE), Plain()
    for n, (batch, late) in enumerate(given_batches):
        made = Rows.concatenate(one(*i, value=float((k + n) % 3)) for k, i in enumerate(batch))
        expected = [plain.enter(i, float((k + n) % 3), late) for k, i in enumerate(batch)]
        assert store.enter(made, np.full(len(batch), late)).tolist() == expected
        assert newest(store, second) == plain.newest(second)
        again = Samples(CATALOGUE)
        again.recall(store.saved())
        store = again
    place, row = store.all_of(ROWS, T0 + second * SECOND)
    every = store.take(row, place)
    wanted = sorted((s for s in plain.samples if s[1] <= second and not s[4]), key=lambda s: (s[0], s[1], s[2], s[3]))
    assert list(zip(every["signal"].tolist(), every["value"].tolist(), strict=True)) == [(s[0], s[5]) for s in wanted]
    place, row = store.all_of(ROWS, T0 + second * SECOND, T0 + horizon * SECOND)
    since = store.take(row, place)
    before = {s[0]: n for n, s in enumerate(wanted) if s[1] <= horizon}  # of each signal the newest
    behind = [(s[0], s[5]) for n, s in enumerate(wanted) if s[1] > horizon or before[s[0]] == n]
    assert list(zip(since["signal"].tolist(), since["value"].tolist(), strict=True)) == behind
    drop(store, horizon)
    assert newest(store, horizon + 3) == plain.newest(horizon + 3)
    assert len(store) == len([s for s in plain.samples if s[1] >= horizon]) + len(plain.newest(horizon - 1))


def drop(store: Samples, second: int) -> None:
    before = T0 + second * SECOND
    place = store.last_at(ROWS, before - 1)
    there = place >= 0
    store.keep(before, ROWS[there], place[there], store.take(ROWS[there], place[there])["source"])


def test_what_is_forgotten_may_come_again() -> None:
    store = Samples(CATALOGUE)
    batch = Rows.concatenate(one(UIDS[0], k, k, False, k % 2 == 1, 1.0) for k in range(8))
    never = np.zeros(8, bool)
    assert store.enter(batch, never).tolist() == [NEW] * 8
    assert store.enter(batch, never).tolist() == [DUPLICATE] * 8
    drop(store, 6)
    # The newest before the time stays.
    assert store.enter(batch, ~never).tolist() == [NEW] * 5 + [DUPLICATE] * 3


def test_a_twin_that_runs_for_years_keeps_little_and_stays_small() -> None:
    store = Samples(CATALOGUE)
    day = 86_400
    for d in range(0, 1500, 10):
        store.enter(Rows.concatenate([one(1, d * day, 0, False, False, 1.0), one(2, d * day + 5, 1, False, False, 2.0)]), two())
        assert newest(store, d * day + 5) == {1: 1.0, 2: 2.0}
        drop(store, d * day + 3)
        assert len(store) <= 3
    assert store._store.state.max() < 20


def two() -> NDArray[np.bool_]:
    return np.zeros(2, dtype=bool)


def test_samples_in_any_order_of_arrival_lie_in_order_of_time() -> None:
    """Forwards, backwards, and both at once: none of them takes a walk over what is there."""
    m, n = 100, 3_000
    many = Catalogue(1, tuple(signal(k, "power") for k in range(1, m + 1)))
    for order in (np.arange(n), np.arange(n)[::-1], np.argsort(np.abs(np.arange(n) - n // 2), kind="stable")):
        store = Samples(many)
        for t in np.array_split(order, 10):
            batch = rows((1, 0, 0.0)).take(np.zeros(m * len(t), dtype=np.int64))
            batch.signal[:], batch.source_time_us[:] = np.tile(np.arange(1, m + 1), len(t)), T0 + np.repeat(t, m)
            batch.value[:] = np.repeat(t, m)
            assert not store.enter(batch, np.zeros(m * len(t), dtype=bool)).any()
        place, row = store.all_of(np.arange(m), T0 + n)
        assert store.take(row, place)["value"].tolist() == np.tile(np.arange(n), m).tolist()
        assert set(newest(store, 0)) == set(range(1, len(ROWS) + 1)) & set(many.uid.tolist())


def test_late_rows_lie_in_order_whatever_came_between() -> None:
    """Two late streams, newer rows and forgetting by turns: gaps open, move, fill and are let go of, over many blocks."""
    chance, store = np.random.default_rng(3), Samples(CATALOGUE)
    held: list[int] = []
    now, streams = 2_000, [0, 900]
    for turn in range(60):
        new = [*range(now, now + 40)]
        now += 40
        for k, at in enumerate(streams):
            streams[k] = at + int(chance.integers(1, 60))
            new += range(at, streams[k])
        new += chance.integers(0, now, 5).tolist()
        new = [t for t in dict.fromkeys(new) if t not in held]
        if chance.random() < 0.3:
            chance.shuffle(new)
        batch = Rows.concatenate(one(UIDS[0], t, 0, False, False, float(t)) for t in new)
        assert store.enter(batch, np.zeros(len(new), dtype=bool)).tolist() == [NEW] * len(new)
        held = sorted([*held, *new])
        place, row = store.all_of(ROWS[:1], T0 + now * SECOND)
        assert store.take(row, place)["value"].tolist() == held
        if turn % 10 == 9:
            horizon = int(chance.integers(0, min(streams)))
            drop(store, horizon)
            before = [t for t in held if t < horizon]
            held = [*before[-1:], *(t for t in held if t >= horizon)]
            assert len(store) == len(held)


def test_a_flood_of_late_rows_seldom_moves_what_lies_behind() -> None:
    """Behind a hundred times as many newer rows it does not cost twenty times as much: once in a block's worth of rows."""

    def took(newer: int) -> float:
        store, n = Samples(CATALOGUE), 20_000
        batch = rows((UIDS[0], 0, 0.0)).take(np.zeros(n, dtype=np.int64))
        never = np.zeros(n, dtype=bool)
        batch.source_time_us[:] = T0 + n + np.arange(n)
        store.enter(batch.take(np.arange(newer)), never[:newer])
        batch.source_time_us[:] = T0 + np.arange(n)
        begun = time.thread_time()
        store.enter(batch, never)
        return time.thread_time() - begun

    took(100)
    assert min(took(10_000) for _ in range(3)) < 20 * min(took(100) for _ in range(3))
