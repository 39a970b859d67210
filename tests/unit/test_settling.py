"""A switch that moves is shown by a frame of its own, and the chain of the grid stays as it is without."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from grid_models.measurements import Catalogue, SignalKind, SwitchPosition
from tests.simulation.small_twin import CATALOGUE, NETWORKS, SECOND, T0, Driver, driver, parts, restored, rows
from twin.journal import EntryKind
from twin.packing import unpacked
from twin.port import FOREVER_US, EventKind, ManualEntry
from twin.replay import compared, recompute
from twin.settling import frames

OPEN, CLOSED = float(SwitchPosition.OPEN), float(SwitchPosition.CLOSED)
SWITCHED = Catalogue(1, tuple(replace(s, kind=SignalKind.SWITCH) if s.uid == 3 else s for s in CATALOGUE.signals))


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([], ()),
        ([100], (300,)),
        ([100, 300], (500,)),
        ([100, 301], (300, 501)),
        ([0, 150, 300, 450, 600, 750], (600, 950)),  # chatter: at most 600 ms after the first
        ([850], ()),  # the grid shows it as soon
        ([100, 100, 900], (300,)),
    ],
)
def test_a_frame_comes_once_switches_are_quiet(moves: list[int], expected: tuple[int, ...]) -> None:
    assert frames([m * 1000 for m in moves], SECOND) == tuple(1000 * t for t in expected)


def switched(**changes: Any) -> Driver:
    return driver(catalogue=SWITCHED, **changes).open()


def shown(twin: Driver, network: str = "power") -> list[float]:
    return [(p.state.valid_time_us - T0) / SECOND for p in twin.published if p.state.network == network]


def between(twin: Driver) -> dict[tuple[str, int], bytes]:
    return {key: seen for key, seen in twin.chain().items() if key[1] % SECOND}


def test_a_switch_change_is_shown_before_the_next_instant_of_the_grid() -> None:
    twin = switched()
    twin.send(rows((1, 0, 8.0), (3, 0, CLOSED)))
    twin.send(rows((3, 1.25, OPEN)))
    twin.send(rows((1, 1.5, 4.0)))  # moves the clock on
    assert shown(twin) == [0, 1, 1.45]
    assert twin.x("power", 1.45) == [8 + 6, 0, OPEN + 0.75 * CLOSED]
    twin.send(rows((1, 2, 4.0)))
    assert twin.x("power", 2) == [4 + 6, 0, OPEN + 0.75 * CLOSED]  # made from the state of second 1


def test_a_position_that_is_told_again_is_no_change() -> None:
    twin = switched()
    for t in (0, 1.25, 2.25):
        twin.send(rows((3, t, CLOSED), (1, t + 0.5, 1.0)))
    assert shown(twin) == [0, 1, 2]


def test_a_frame_between_does_not_touch_the_chain_of_the_grid() -> None:
    """A meter that is no switch, with the same values, gives the same bits at every instant of the grid."""
    with_frames, without = switched(), driver().open()
    for twin in (with_frames, without):
        for t in range(8):
            twin.send(rows((1, t, float(t)), (3, t + 0.25, OPEN if t % 2 else CLOSED), (11, t, 1.0)))
    assert len(between(with_frames)) == 6
    grid = {key: seen for key, seen in with_frames.chain().items() if key[1] % SECOND == 0}
    assert grid == without.chain()


def test_a_late_row_computes_a_frame_again_and_a_late_change_moves_it() -> None:
    late, ordered = switched(), switched()
    late.send(rows((1, 0, 1.0), (3, 0, CLOSED)))
    late.send(rows((3, 1.25, OPEN)))
    late.send(rows((1, 3, 1.0)))
    assert shown(late) == [0, 1, 1.45, 2, 3]
    late.send(rows((2, 1.375, 7.0)))
    late.send(rows((3, 1.375, CLOSED)))
    late.send(rows((1, 4, 1.0)))
    told = [e.message for e in late.events if e.kind is EventKind.CORRECTION]
    assert told[0] == "power: late measurements change 3 states; they are computed again"
    ordered.send(rows((1, 0, 1.0), (3, 0, CLOSED), (3, 1.25, OPEN), (2, 1.375, 7.0), (3, 1.375, CLOSED)))
    ordered.send(rows((1, 3, 1.0)))
    ordered.send(rows((1, 4, 1.0)))
    assert sorted(set(shown(ordered))) == [0, 1, 1.575, 2, 3, 4]
    assert sorted(set(shown(late))) == [0, 1, 1.45, 1.575, 2, 3, 4]  # what has been shown stays, and is kept right
    assert ordered.chain().items() <= late.chain().items()
    assert late.x("power", 1.45) == [1.75, 7, 1.75 * CLOSED]


def test_replays_and_restarts_repeat_the_frames_bit_for_bit() -> None:
    twin = switched()
    for t in range(40):
        twin.send(rows((1, t, float(t)), (3, t + 0.25, OPEN if t % 3 else CLOSED), (2, t - 5.5, 1.0), (11, t, 1.0)))
    some = replace(parts(), catalogue=SWITCHED)
    found = list(compared(some, twin.journal))
    assert all(c.equal for c in found)
    assert len(between(twin)) > 20
    checkpoint = next(k for k in reversed(range(len(twin.journal))) if twin.journal[k].kind is EntryKind.CHECKPOINT)
    sealed = unpacked(twin.journal[checkpoint].payload).mark.sealed_us
    again = {(p.state.network, p.state.valid_time_us) for p in recompute(some, twin.journal[checkpoint:])}
    assert again >= {key for key in between(twin) if key[1] > sealed}
    newest = restored(twin.journal, 2, catalogue=SWITCHED)
    assert set(shown(newest)) == {39}  # the others had been published, with the same bits
    on = [restored(twin.journal[k:], 2, catalogue=SWITCHED).open() for k in (0, checkpoint)]
    for t in range(40, 44):
        for life in on:
            life.send(rows((1, t, float(t)), (3, t + 0.25, OPEN if t % 3 else CLOSED), (11, t, 1.0)))
    assert on[0].chain() == on[1].chain()
    assert len(between(on[0])) >= 2


def test_a_switch_moved_by_hand_is_shown_as_soon() -> None:
    twin = switched()
    twin.send(rows((1, 0, 1.0), (3, 0, CLOSED)))
    twin.send(rows((1, 1.25, 1.0)))
    draft = ManualEntry("", 3, OPEN, "me", "seen on site", T0 + SECOND * 5 // 4, FOREVER_US, T0)
    twin.perform(twin.engine.enter(draft)[1])
    twin.send(rows((1, 1.75, 1.0)))
    assert shown(twin) == [0, 1, 1.45]
    assert twin.state("power", 1.45).manual_inputs == 1


def test_on_the_wall_clock_chatter_is_shown_within_a_second() -> None:
    slow = (replace(NETWORKS[0], cycle_us=10 * SECOND), NETWORKS[1])
    twin = switched(stream_clock=False, networks=slow)
    twin.send(rows((1, 0, 1.0), (3, 0, CLOSED)), at=T0)
    twin.perform(twin.engine.tick(T0 + SECOND))
    for k in range(16):
        at = T0 + SECOND + 100_000 * k
        twin.send(rows((3, 1 + k / 10, OPEN if k % 2 == 0 else CLOSED)), at=at)
        twin.perform(twin.engine.tick(at))
    twin.perform(twin.engine.tick(T0 + 3 * SECOND))
    seen = [(p.state.valid_time_us - T0, p.known_time_us - T0) for p in twin.published if p.state.network == "power"]
    assert [valid for valid, _ in seen] == [0, 1_600_000, 2_300_000, 2_700_000]
    assert seen[1][1] <= 2_000_000


def test_the_next_state_is_waited_for_no_longer_than_it_takes() -> None:
    twin = switched(stream_clock=False)
    assert twin.engine.due_us is None
    twin.send(rows((1, 0, 1.0), (3, 0, CLOSED)), at=T0)
    twin.perform(twin.engine.tick(T0 + SECOND // 2))
    assert twin.engine.due_us == T0 + SECOND + SECOND // 5
    twin.send(rows((3, 0.625, OPEN)), at=T0 + SECOND * 5 // 8)
    assert twin.engine.due_us == T0 + SECOND * 5 // 8 + 2 * SECOND // 5
    assert switched().engine.due_us is None
