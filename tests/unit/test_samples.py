"""Runs of samples, held against a list that is walked from end to end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulation.small_twin import CATALOGUE, T0, rows
from twin import samples
from twin.identities import sample_time
from twin.samples import Columns, Samples

UIDS = [s.uid for s in CATALOGUE.signals]
ROWS = np.arange(len(UIDS))
item = st.tuples(st.sampled_from([*UIDS, 77]), st.integers(-90 * 86_400, 90 * 86_400) | st.integers(0, 9), st.integers(0, 2))
batches = st.lists(st.lists(item, min_size=1, max_size=8), max_size=12)


def columns(batch: list[tuple[int, int, int]]) -> Columns:
    r = rows(*((uid, t, float(7 * t + sequence), sequence) for uid, t, sequence in batch))
    return {
        "signal": r.signal, "time": sample_time(r), "sequence": r.sequence, "value": r.value, "source": r.source_time_us,
        "validity": r.validity, "flags": r.flags,
    }  # fmt: skip


def told(store: Samples, second: int) -> dict[int, float]:
    run, place = store.last_at(ROWS, T0 + second * 1_000_000)
    s = store.take(run[run >= 0], place[run >= 0])
    return dict(zip(s["signal"].tolist(), s["value"].tolist(), strict=True))


def expected(all_items: list[tuple[int, int, int]], second: int) -> dict[int, float]:
    best: dict[int, tuple[int, int]] = {}
    for uid, t, sequence in all_items:
        if t <= second and uid != 77:
            best[uid] = max(best.get(uid, (t, sequence)), (t, sequence))
    return {uid: float(7 * t + sequence) for uid, (t, sequence) in sorted(best.items())}


@pytest.fixture(autouse=True)
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "_LONGEST_RUN", 20)


@given(batches, st.integers(-95 * 86_400, 95 * 86_400) | st.integers(0, 9), st.integers(0, 9))
@settings(max_examples=150, deadline=None)
def test_the_newest_at_an_instant_is_the_newest_of_all(
    given_batches: list[list[tuple[int, int, int]]], second: int, horizon: int
) -> None:
    store, so_far = Samples(CATALOGUE), list[tuple[int, int, int]]()
    for batch in given_batches:
        store.add(columns(batch))
        so_far += batch
        assert told(store, second) == expected(so_far, second)
    every = store.take(*store.all_of(ROWS, T0 + second * 1_000_000))
    wanted = sorted((uid, t, q) for uid, t, q in so_far if t <= second and uid != 77)
    assert list(zip(every["signal"].tolist(), every["value"].tolist(), strict=True)) == [
        (uid, float(7 * t + q)) for uid, t, q in wanted
    ]
    before = T0 + horizon * 1_000_000
    run, place = store.last_at(ROWS, before - 1)
    there = run >= 0
    store.keep(before, run[there], place[there], store.take(run[there], place[there])["source"])
    assert told(store, horizon + 3) == expected(so_far, horizon + 3)
    assert len(store) == len([i for i in so_far if i[0] != 77 and i[1] >= horizon]) + _repeated_last(so_far, horizon)


def _repeated_last(so_far: list[tuple[int, int, int]], horizon: int) -> int:
    return len(expected(so_far, horizon - 1))


def test_a_twin_that_runs_for_years_finds_its_newest_samples() -> None:
    store = Samples(CATALOGUE)
    day = 86_400
    for d in range(0, 1500, 10):
        store.add(columns([(1, d * day, 0), (2, d * day + 5, 1)]))
        assert told(store, d * day + 5) == expected([(1, d * day, 0), (2, d * day + 5, 1)], d * day + 5)
        run, place = store.last_at(ROWS, T0 + (d * day + 2) * 1_000_000)
        there = run >= 0
        store.keep(T0 + (d * day + 3) * 1_000_000, run[there], place[there], store.take(run[there], place[there])["source"])
        assert len(store) <= 3
