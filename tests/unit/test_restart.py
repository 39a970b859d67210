"""An engine that takes up where an earlier one ended."""

from __future__ import annotations

from tests.simulation.small_twin import SECOND, T0, claim, driver, parts, restored, rows
from twin.chain import digest
from twin.journal import EntryKind
from twin.packing import unpacked
from twin.replay import recompute


def test_after_a_restart_nobody_stands_for_a_signal_until_it_comes_again() -> None:
    twin = driver().open()
    for t in range(3):
        twin.send(rows((1, t, 1.0), (2, t, 1.0)))
    again = restored(twin.journal, 2).open(claim(epoch=2))
    again.send(rows((1, 3, 1.0)))
    assert again.state("power", 3).stale_inputs == 1
    assert all(p.position.epoch == 2 for p in again.published)


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


def test_a_replay_from_a_checkpoint_tells_every_state_behind_it() -> None:
    """Those too that had been published before the checkpoint and could still change."""
    twin = driver().open()
    for t in range(60):
        twin.send(rows((1, t, float(t)), (2, t - 5, 1.0, 1), (11, t, 1.0)))
    at = [k for k, e in enumerate(twin.journal) if e.kind is EntryKind.CHECKPOINT]
    for k in at:
        found = {(p.state.network, p.state.valid_time_us): digest(p.state) for p in recompute(parts(), twin.journal[k:])}
        sealed = min(memory.sealed_us for memory in unpacked(twin.journal[k].payload).chains.values())
        assert found.items() >= {key: seen for key, seen in twin.chain().items() if key[1] > sealed}.items()
    assert len(at) == 4


def test_a_checkpoint_knows_the_last_batch_of_every_publisher() -> None:
    twin = driver().open(claim("a", (1, 11))).open(claim("b", (2,)))
    twin.send(rows((2, 0, 1.0)), "b")
    for t in range(40):
        twin.send(rows((1, t, 1.0), (11, t, 1.0)), "a")
    at = next(k for k, e in enumerate(reversed(twin.journal)) if e.kind is EntryKind.CHECKPOINT)
    again = restored(twin.journal[-1 - at :], 2)
    opened, _ = again.engine.open(claim("b", (2,)))
    assert opened.last_durable_batch_id == 1
