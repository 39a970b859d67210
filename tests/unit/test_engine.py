"""The engine driven by hand: what it computes again, what it publishes, and in which order."""

from __future__ import annotations

import pytest

from tests.simulation.small_twin import (
    POWER,
    SECOND,
    T0,
    Driver,
    driver,
    estimate,
    levels,
    rows,
    setup,
)  # fmt: skip
from twin.engine import Engine
from twin.errors import NotFound
from twin.journal import EntryKind
from twin.port import AckLevel, EventKind


def test_a_state_is_the_measurement_in_force_and_half_the_state_before() -> None:
    twin = driver().open()
    twin.send(rows((1, 0, 8.0), (2, 0, 1.0)))
    twin.send(rows((1, 2, 4.0)))
    assert [twin.x("power", t) for t in (0, 1, 2)] == [[8, 1, 0], [12, 1.5, 0], [10, 1.75, 0]]


def test_a_coupled_network_waits_for_the_states_it_looks_at() -> None:
    twin = driver().open()
    twin.lag = 1
    twin.send(rows((1, 0, 10.0), (11, 0, 1.0)))
    assert [r.network for r in twin.computing] == ["power"]
    twin.settle()
    assert twin.x("water", 0) == [2.0, 1.0]  # 1 + 10 % of 10, 0 + 10 % of 10


def test_a_late_row_corrects_its_instant_and_all_later_ones_also_in_the_coupled_network() -> None:
    twin = driver().open()
    for t in range(5):
        twin.send(rows((1, t, 1.0), (11, t, 1.0)))
    before = twin.x("water", 4)
    count = len(twin.published)
    ack = twin.send(rows((1, 1, 5.0, 1)))
    assert ack.admitted == 1
    again = twin.published[count:]
    assert [(p.state.network, (p.state.valid_time_us - T0) // SECOND) for p in again if p.state.network == "power"] == [
        ("power", t) for t in (1, 2, 3, 4)
    ]
    assert {p.state.valid_time_us for p in again if p.state.network == "water"} == {T0 + 2 * SECOND, T0 + 4 * SECOND}
    assert all(p.correction for p in again)
    assert twin.x("power", 4)[0] == 1 + 0.5 * (1 + 0.5 * (1 + 0.5 * (5 + 0.5)))
    assert twin.x("water", 4) != before
    told = [e for e in twin.events if e.kind is EventKind.CORRECTION]
    assert [(e.network, e.valid_time_us) for e in told] == [("power", T0 + SECOND), ("water", T0 + 2 * SECOND)]


def test_a_first_measurement_of_a_source_computes_the_coupled_states_again() -> None:
    twin = driver().open()
    for t in range(0, 6, 2):
        twin.send(rows((11, t, 1.0)))
    assert twin.x("water", 2) == [1.5, 0]
    twin.send(rows((1, 2, 10.0)))
    assert twin.x("water", 2) == [2.5, 1.0]


def test_a_late_row_of_the_source_does_not_begin_the_coupled_chain_earlier() -> None:
    twin = driver().open()
    twin.send(rows((1, 4, 1.0), (11, 4, 1.0)))
    twin.send(rows((1, 0, 1.0)))
    first = min(p.state.valid_time_us for p in twin.published if p.state.network == "water")
    assert first == T0 + 4 * SECOND


def test_a_source_that_runs_ahead_keeps_what_its_slow_follower_still_asks_for() -> None:
    even, ahead = driver().open(), driver().open()
    ahead.first = "power"
    items = [(u, t, float(t)) for t in range(0, 60, 2) for u in (1, 11)]
    for twin in (even, ahead):
        twin.send(rows((1, 0, 0.0), (11, 0, 0.0)))
        twin.lag = 1
        for item in items[2:]:
            twin.send(rows(item))
        twin.settle()
    assert ahead.chain() == even.chain()
    assert ahead.x("water", 20)[1] != 0  # power's share is in it


def test_a_state_is_published_only_after_the_journal_holds_its_inputs() -> None:
    twin = driver().open()
    twin.hold = True
    twin.send(rows((1, 0, 1.0)))
    assert twin.published == []
    assert levels(twin.acks) == {AckLevel.RECEIVED: 1}
    kinds = [e.kind for e in twin.waiting]
    assert kinds.index(EntryKind.ROWS) < kinds.index(EntryKind.STATE)
    twin.flush()
    assert twin.x("power", 0) == [1, 0, 0]
    assert levels(twin.acks) == {AckLevel.RECEIVED: 1, AckLevel.DURABLE: 1, AckLevel.ESTIMATED: 1}


def test_what_is_overtaken_while_it_is_computed_is_computed_again() -> None:
    late, whole = driver().open(), driver().open()
    late.lag = 1
    late.send(rows((1, 1, 1.0)))
    late.send(rows((2, 0.5, 2.0)))
    late.settle()
    whole.send(rows((1, 1, 1.0), (2, 0.5, 2.0)))
    assert late.chain() == whole.chain()


def test_rows_that_are_always_late_do_not_keep_the_live_edge_from_being_reached() -> None:
    twin = driver().open()
    for t in range(60):
        twin.lag = 1
        twin.send(rows((1, t, 1.0), (2, t - 9, float(t))))
        for _ in range(2):  # as fast as the solver is
            if twin.computing:
                request = twin.computing.popleft()
                twin.perform(twin.engine.estimated(request.network, estimate(request.network, POWER, request.given)))
    on_time = [p for p in twin.published if p.known_time_us == p.state.valid_time_us > T0 + 10 * SECOND]
    assert len(on_time) >= 2  # a round goes 9 s back and gains 1 s a second
    twin.settle()
    straight = driver().open()
    for t in range(-9, 60):
        late = ((2, t, t + 9.0),) if t < 51 else ()
        straight.send(rows(*(((1, t, 1.0),) if t >= 0 else ()), *late))
    assert twin.chain() == straight.chain()


def test_an_instant_without_any_state_is_left_out_and_the_chain_goes_on() -> None:
    twin = driver().open()
    twin.lag = 1
    twin.send(rows((1, 0, 1.0)))
    twin.computing.clear()
    twin.perform(twin.engine.failed("power"))
    twin.settle()
    for t in range(1, 30):
        twin.send(rows((1, t, 1.0)))
        twin.settle()
    assert twin.x("power", 1) == [1, 0, 0]
    assert any(e.kind is EntryKind.CHECKPOINT for e in twin.journal)  # sealing went past the hole


def test_positions_in_the_journal_grow() -> None:
    twin = driver().open()
    for t in range(40):
        twin.send(rows((1, t, 1.0), (11, t, 1.0)))
    positions = [e.position for e in twin.journal]
    assert positions == sorted(set(positions))


def test_acknowledging_an_unknown_alarm_names_the_open_ones() -> None:
    with pytest.raises(NotFound, match="open are none"):
        Engine(setup()).acknowledge("line 3#1", "a", "b")


def test_time_of_the_system_clock_moves_with_the_batches_too() -> None:
    twin = driver(stream_clock=False).open()
    ack = twin.send(rows((1, 0, 1.0)), at=T0 + SECOND)
    assert ack.notice == ""
    ahead = twin.send(rows((1, 60, 1.0)), at=T0 + SECOND)
    assert "59.0 s ahead" in ahead.notice
    assert levels(twin.acks)[AckLevel.RECEIVED] == 2
    twin.perform(twin.engine.tick(T0 + 3 * SECOND + SECOND // 4))
    assert [twin.x("power", t)[0] for t in range(4)] == [1, 1.5, 1.75, 1.875]


def test_corrections_that_follow_each_other_leave_time_to_the_rows() -> None:
    """One took two seconds: the next one waits for six, and is then the same as if it had not waited."""

    def corrected(twin: Driver) -> int:
        return sum(p.correction for p in twin.published)

    twin = driver(stream_clock=False).open()
    twin.send(rows((1, 0, 1.0), (1, 4, 4.0)), at=T0 + 4 * SECOND)
    twin.perform(twin.engine.tick(T0 + 5 * SECOND))
    twin.lag = 1
    twin.send(rows((1, 1, 7.0)), at=T0 + 5 * SECOND)
    twin.perform(twin.engine.tick(T0 + 7 * SECOND))
    twin.settle()
    first = corrected(twin)
    assert first > 0
    twin.lag = 0
    twin.send(rows((1, 2, 9.0)), at=T0 + 7 * SECOND)
    twin.perform(twin.engine.tick(T0 + 13 * SECOND - 1))
    assert corrected(twin) == first
    twin.perform(twin.engine.tick(T0 + 13 * SECOND))
    assert corrected(twin) > first
    straight = driver(stream_clock=False).open()
    straight.send(rows((1, 0, 1.0), (1, 1, 7.0), (1, 2, 9.0), (1, 4, 4.0)), at=T0 + 4 * SECOND)
    straight.perform(straight.engine.tick(T0 + 13 * SECOND))
    assert twin.chain() == straight.chain()


def test_memory_stays_bounded_while_time_goes_on() -> None:
    twin: Driver = driver().open()
    for t in range(200):
        twin.send(rows((1, t, 1.0), (11, t, 1.0)))
    engine = twin.engine
    assert max(len(c.links) for c in engine._chains.values()) < 20
    assert len(engine._window) < 80
