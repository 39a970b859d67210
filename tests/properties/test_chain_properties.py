"""The law of the chain: whatever the order and the batching of the rows, it ends in the same bits."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grid_models.measurements import Catalogue, Rows, SignalKind
from tests.simulation.small_twin import CATALOGUE, POWER, SECOND, T0, WATER, Driver, driver, restored, rows
from twin.journal import Entry, EntryKind
from twin.packing import unpacked

SPAN_S = 9  # shorter than the lateness window, so that no order makes a row too late
SWITCHED = Catalogue(1, tuple(replace(s, kind=SignalKind.SWITCH) if s.uid in (2, 3, 12) else s for s in CATALOGUE.signals))
Item = tuple[int, float, float, int]

items = st.lists(
    st.tuples(
        st.sampled_from(POWER + WATER),
        st.integers(0, SPAN_S * 4).map(lambda q: q / 4),
        st.integers(-9, 9).map(float),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=24,
    unique_by=lambda i: (i[0], i[1], i[3]),
)  # fmt: skip


@st.composite
def orders(draw: st.DrawFn) -> tuple[list[Item], list[list[Item]]]:
    """Rows, and the same rows in another order, cut into batches, some sent twice."""
    given_rows = draw(items)
    shuffled = draw(st.permutations(given_rows))
    cuts = sorted(draw(st.sets(st.integers(1, len(shuffled)), max_size=6)) | {0, len(shuffled)})
    batches = [shuffled[a:b] for a, b in pairwise(cuts)]
    again = draw(st.lists(st.sampled_from(batches), max_size=2))
    return given_rows, [*batches, *again]


def played(batches: list[list[Item]], lag: bool = False, **changes: Any) -> Driver:
    twin = driver(**changes).open()
    twin.first = "power" if lag else ""
    for batch in batches:
        twin.lag = int(lag)
        twin.send(rows(*batch))
        if lag and len(twin.computing) > 1:
            twin.settle()
    twin.settle()
    twin.lag = 0
    twin.send(rows((POWER[0], SPAN_S + 1, 0.0)))
    return twin


@given(orders())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_order_and_batching_ends_in_the_same_bits(case: tuple[list[Item], list[list[Item]]]) -> None:
    straight, batches = case
    expected = played([sorted(straight, key=lambda i: i[1])]).chain()
    assert played(batches).chain() == expected
    assert played(batches, lag=True).chain() == expected


@given(orders())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_frames_of_switches_have_the_same_bits_in_every_order(case: tuple[list[Item], list[list[Item]]]) -> None:
    """A frame that late changes have moved elsewhere stays beside the others; nothing else depends on the order."""
    straight, batches = case
    whole = played([sorted(straight, key=lambda i: i[1])], catalogue=SWITCHED).chain()
    for other in (played(batches, catalogue=SWITCHED).chain(), played(batches, lag=True, catalogue=SWITCHED).chain()):
        assert whole.items() <= other.items()
        assert all(instant % SECOND for _, instant in other.keys() - whole.keys())


@given(orders(), st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_twin_killed_at_any_entry_goes_on_to_the_same_chain(
    case: tuple[list[Item], list[list[Item]]], data: st.DataObject
) -> None:
    """Rows come in time order over several windows, so that states are sealed and key frames written."""
    straight, _ = case
    batches: list[Rows] = []
    for turn in range(5):
        batches += [rows((i[0], i[1] + 10 * turn, i[2] + turn, i[3])) for i in sorted(straight, key=lambda i: i[1])]
    batches.append(rows((POWER[0], 60, 0.0)))
    whole = driver().open()
    for batch in batches:
        whole.send(batch)
    cut = data.draw(st.integers(1, len(whole.journal)))
    survived = whole.journal[:cut]
    again = restored(survived, 2).open()
    for batch in batches[again.ids["scada"] :]:
        again.send(batch)
    kept = rows_in(again.journal)
    assert sum(map(len, kept)) == sum(map(len, batches))
    expected, got = whole.chain(), again.chain()
    for network, instant in got:
        second = (instant - T0) / SECOND
        assert again.x(network, second) == whole.x(network, second)
        # Nobody stood for the signals between the crash and their next rows; all else is equal in every bit.
        same = got[network, instant] == expected[network, instant]
        assert same or again.state(network, second).stale_inputs > 0
    assert set(expected) == set(got) | published_before(survived)


def rows_in(entries: list[Entry]) -> list[Rows]:
    return [unpacked(e.payload)["rows"] for e in entries if e.kind is EntryKind.ROWS]


def published_before(entries: list[Entry]) -> set[tuple[str, int]]:
    bodies = [unpacked(e.payload) for e in entries if e.kind is EntryKind.STATE]
    return {(b["network"], b["instant"]) for b in bodies}
