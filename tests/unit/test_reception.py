"""Publishers and their rows, through the engine: who may send, what counts, what is answered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grid_models.measurements import TimeQuality
from tests.simulation.small_twin import (
    POWER,
    SECOND,
    T0,
    WATER,
    claim,
    driver,
    levels,
    restored,
    rows,
)  # fmt: skip
from twin.errors import PreconditionFailed
from twin.journal import EntryKind
from twin.packing import unpacked
from twin.port import AckLevel, Batch, ClaimedSignal, RowFault, Snapshot, Transition


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
