"""The engine driven by hand: what it publishes, what it says, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grid_models.measurements import TimeQuality
from tests.simulation.small_twin import (
    POWER,
    SECOND,
    T0,
    WATER,
    Driver,
    claim,
    driver,
    estimate,
    levels,
    restored,
    rows,
    setup,
)  # fmt: skip
from twin.engine import Engine
from twin.errors import NotFound, PreconditionFailed
from twin.journal import EntryKind
from twin.packing import unpacked
from twin.port import AckLevel, Batch, ClaimedSignal, EventKind, RowFault, Snapshot, Transition


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


def test_rows_sent_twice_count_once_and_another_value_is_a_conflict() -> None:
    twin = driver().open()
    twin.send(rows((1, 0, 1.0)))
    chain = twin.chain()
    ack = twin.send(rows((1, 0, 1.0), (1, 0, 2.0), (2, 0, 3.0)))
    assert (ack.admitted, ack.duplicate) == (1, 1)
    assert [(e.row, e.fault) for e in ack.errors] == [(1, RowFault.CONFLICT)]
    twin.send(rows((2, 0, 3.0)))
    assert len(twin.chain()) == len(chain)


def test_a_batch_sent_twice_is_answered_and_changes_nothing() -> None:
    twin = driver().open()
    twin.send(rows((1, 0, 1.0)))
    entries = len(twin.journal)
    twin.perform(twin.engine.receive("scada", [Batch(1, rows((1, 0, 99.0)))], T0))
    assert len(twin.journal) == entries
    assert twin.acks[-1][1].level is AckLevel.DURABLE


def test_batch_ids_are_consecutive() -> None:
    twin = driver().open()
    with pytest.raises(PreconditionFailed, match="batch 3 came after 0"):
        twin.engine.receive("scada", [Batch(3, rows((1, 0, 1.0)))], T0)


def test_a_row_later_than_the_window_goes_to_history_and_not_into_states() -> None:
    twin = driver().open()
    for t in range(30):
        twin.send(rows((1, t, 1.0)))
    chain = twin.chain()
    ack = twin.send(rows((1, 5, 100.0, 1), (1, 19, 1.0, 1)))
    assert [e.fault for e in ack.errors] == [RowFault.TOO_LATE]
    assert ack.admitted == 2
    assert twin.chain() == chain | {k: v for k, v in twin.chain().items() if k[1] >= T0 + 19 * SECOND}
    body = unpacked(next(e.payload for e in reversed(twin.journal) if e.kind is EntryKind.ROWS))
    assert body["rows"].value.tolist() == [100.0, 1.0]


def test_a_row_at_the_horizon_itself_still_counts() -> None:
    """What is admitted must be able to change its instant: nothing is sealed that a row may still reach."""
    ordered, late = driver().open(), driver().open()
    for t in range(25):
        ordered.send(rows((1, t, t)) if t != 14 else rows((1, t, t), (2, 14, 7.0)))
        late.send(rows((1, t, t)))
    late.send(rows((2, 14, 7.0)))
    assert ordered.chain() == late.chain()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (ClaimedSignal(2, "kW", 1), "signal s2: unit: is MW, the claim says kW"),
        (ClaimedSignal(2, "MW", -1), "the claim says -1"),
        (ClaimedSignal(77, "MW", 1), "signal 77: is not in the catalogue"),
    ],
)
def test_a_claim_that_contradicts_the_catalogue_is_refused_naming_the_signal(changed: ClaimedSignal, message: str) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        driver().open(replace(claim(uids=(1,)), signals=(ClaimedSignal(1, "MW", 1), changed)))
    assert len(caught.value.issues) == 1
    assert message in str(caught.value)
    assert message in str(caught.value.issues[0])


def test_a_claim_against_another_catalogue_is_refused() -> None:
    with pytest.raises(PreconditionFailed, match="revision 9"):
        driver().open(replace(claim(), catalogue_revision=9))


def test_signals_of_an_ended_stream_are_not_topical_from_the_next_instant_on() -> None:
    twin = driver().open().open(claim("clock", (3,)))
    twin.send(rows((1, 0, 1.0), (2, 0, 1.0)))
    twin.perform(twin.engine.close("scada"))
    assert twin.state("power", 0).stale_inputs == 0
    twin.send(rows((3, 1, 1.0)), "clock")
    assert twin.state("power", 1).stale_inputs == 2
    twin.open(claim(epoch=2)).send(rows((1, 2, 1.0)))
    assert twin.state("power", 2).stale_inputs == 1


def test_the_higher_publisher_counts_and_the_lower_takes_over_when_it_ends() -> None:
    twin = driver().open(claim("main", (1, 2), priority=2)).open(claim("backup", (1, 2), priority=1))
    twin.send(rows((1, 0, 1.0)), "main")
    refused = twin.send(rows((1, 0.5, 9.0)), "backup")
    assert [e.fault for e in refused.errors] == [RowFault.OUTRANKED]
    twin.perform(twin.engine.close("main"))
    assert "main has ended; 2 of its signals" in twin.acks[-1][1].notice
    assert twin.send(rows((1, 1, 9.0)), "backup").admitted == 1
    assert twin.x("power", 1)[0] == 9.5
    assert twin.state("power", 1).stale_inputs == 0


def test_a_snapshot_turns_what_it_leaves_out_not_topical_and_confirms_what_it_repeats() -> None:
    twin = driver().open(claim(uids=POWER)).open(claim("clock", WATER))
    twin.send(rows((1, 0, 1.0), (2, 0, 1.0), (3, 0, 1.0)))
    twin.perform(twin.engine.close("scada"))
    twin.open(claim(uids=POWER, epoch=2))
    twin.send(rows((1, 0, 1.0)), snapshot=Snapshot.BEGIN)  # a repetition, with its old time
    twin.send(rows((2, 0, 1.0)), snapshot=Snapshot.END)
    twin.send(rows((11, 2, 0.0)), "clock")
    assert twin.state("power", 2).stale_inputs == 1


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


def test_estimated_is_acknowledged_when_the_correction_is_out_and_not_before() -> None:
    twin = driver().open()
    for t in range(5):
        twin.send(rows((1, t, 1.0)))
    assert levels(twin.acks)[AckLevel.ESTIMATED] == 5
    twin.lag = 1
    twin.send(rows((1, 2, 5.0, 1)))
    assert levels(twin.acks)[AckLevel.ESTIMATED] == 5
    twin.settle()
    assert levels(twin.acks)[AckLevel.ESTIMATED] == 6


def test_a_state_made_before_a_row_does_not_acknowledge_it() -> None:
    twin = driver().open()
    twin.send(rows((1, 0, 1.0)))
    twin.hold = True
    twin.send(rows((1, 1, 1.0)))
    twin.lag = 1
    twin.send(rows((1, 1, 5.0, 1)))
    twin.flush()  # publishes the state of instant 1 that does not know of the third batch
    assert levels(twin.acks)[AckLevel.ESTIMATED] == 2
    twin.settle()
    assert levels(twin.acks)[AckLevel.ESTIMATED] == 3


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


def test_after_a_restart_nobody_stands_for_a_signal_until_it_comes_again() -> None:
    twin = driver().open()
    for t in range(3):
        twin.send(rows((1, t, 1.0), (2, t, 1.0)))
    again = restored(twin.journal, 2).open(claim(epoch=2))
    again.send(rows((1, 3, 1.0)))
    assert again.state("power", 3).stale_inputs == 1
    assert all(p.position.epoch == 2 for p in again.published)


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


def test_a_changed_model_begins_anew_where_the_key_frame_stands() -> None:
    """Its arrays may have other lengths: nothing of the old model's state reaches the new one."""
    twin = driver().open()
    for t in range(40):
        twin.send(rows((1, t, 1.0), (11, t, 1.0)))
    again = driver(2)
    again.engine.restore(twin.journal, {"power": "another", "water": "model"})
    again.engine.begin()
    again.perform(again.engine.resume())
    first = min(p.state.valid_time_us for p in again.published if p.state.network == "power")
    second = (first - T0) // SECOND
    assert second > 10
    assert again.x("power", second) == [1, 0, 0]  # without the half of a state before
    assert again.x("water", second + second % 2) != twin.x("water", second + second % 2)


def test_a_clock_ahead_is_one_alarm_per_publisher_until_it_has_been_right_for_a_minute() -> None:
    twin = driver(stream_clock=False).open(claim("east", (1,))).open(claim("west", (2,)))
    for t in (0, 1):
        twin.send(rows((1, t + 30.0, 1.0)), "east", at=T0 + t * SECOND)
        twin.send(rows((2, float(t), 1.0)), "west", at=T0 + t * SECOND)
    told = [(e.code, e.transition, e.elements) for e in twin.events]
    assert told == [("CLOCK_AHEAD", Transition.RAISED, ("east",))]
    assert twin.events[0].figures["ahead_s"] == 30
    assert "30.0 s ahead" in twin.events[0].message
    twin.send(rows((1, 2.0, 1.0)), "east", at=T0 + 2 * SECOND)  # one right row may be of another device behind it
    assert len(twin.events) == 1
    again = restored(twin.journal, 2, stream_clock=False).open(claim("east", (1,), epoch=2))
    again.send(rows((1, 100.0, 1.0)), "east", at=T0 + 70 * SECOND)
    assert again.events == []  # it stands already
    again.send(rows((1, 131.0, 1.0)), "east", at=T0 + 131 * SECOND)
    assert [(e.transition, e.alarm_id) for e in again.events] == [(Transition.CLEARED, twin.events[0].alarm_id)]


def test_a_row_of_the_far_future_holds_no_ack_back() -> None:
    twin = driver().open()
    twin.send(rows((1, 0, 1.0)))
    twin.send(rows((1, 3600, 1.0), quality=TimeQuality.UNSYNCED))
    assert levels(twin.acks)[AckLevel.ESTIMATED] == 1
    twin.send(rows((1, 1, 1.0)))
    assert levels(twin.acks)[AckLevel.ESTIMATED] == 3


def test_a_row_a_little_ahead_is_waited_for() -> None:
    twin = driver().open()
    twin.send(rows((1, 0, 1.0)))
    twin.send(rows((1, 2, 1.0), quality=TimeQuality.UNSYNCED))
    twin.send(rows((1, 1, 1.0)))
    assert levels(twin.acks)[AckLevel.ESTIMATED] == 1
    twin.send(rows((1, 2, 1.0, 1)))
    assert levels(twin.acks)[AckLevel.ESTIMATED] == 4


def test_a_twin_that_begins_at_a_checkpoint_goes_on_with_the_same_bits() -> None:
    whole = driver().open()
    for t in range(60):
        whole.send(rows((1, t, float(t)), (2, t - 5, 1.0, 1), (11, t, 1.0)))
    checkpoints = [k for k, e in enumerate(whole.journal) if e.kind is EntryKind.CHECKPOINT]
    assert len(checkpoints) == 4
    late = restored(whole.journal[checkpoints[-1] :], 2).open(claim(epoch=2))
    early = restored(whole.journal, 2).open(claim(epoch=2))
    for twin in (late, early):
        assert {p.state.valid_time_us for p in twin.published} == {T0 + 59 * SECOND, T0 + 58 * SECOND}
        for t in range(60, 70):
            twin.send(rows((1, t, float(t)), (2, t - 5, 1.0, 1), (11, t, 1.0)))
    assert late.chain() == early.chain()
    assert late.acks == early.acks
    ack = late.send(rows((1, 59, 59.0)))
    assert ack.duplicate == 1  # what stood in the window is still known


def test_a_checkpoint_knows_the_last_batch_of_every_publisher() -> None:
    twin = driver().open(claim("a", (1, 11))).open(claim("b", (2,)))
    twin.send(rows((2, 0, 1.0)), "b")
    for t in range(40):
        twin.send(rows((1, t, 1.0), (11, t, 1.0)), "a")
    at = next(k for k, e in enumerate(reversed(twin.journal)) if e.kind is EntryKind.CHECKPOINT)
    again = restored(twin.journal[-1 - at :], 2)
    opened, _ = again.engine.open(claim("b", (2,)))
    assert opened.last_durable_batch_id == 1
