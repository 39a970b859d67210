"""The watch that searches for leaks, led state by state through a life: what it remembers, and when it tells."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from grid_models.state import NetworkState
from solvers.water.leak_search.events import Event
from solvers.water.leak_search.readings import Hours
from solvers.water.leak_search.search import LeakSearch
from tests.simulation.life import Life
from tests.simulation.searched_town import BURST, World, driven, watch_of
from tests.true_town import TOWN
from twin.field_report import FieldReport, ReportKind
from twin.learnt import kept
from twin.packing import packed
from twin.port import EventKind, Transition
from twin.watches import Finding

PIPES = tuple(str(i) for i in TOWN.link_ids[TOWN.pipe_link])


def test_its_memory_is_small_and_another_watch_goes_on_from_it_with_the_same_bits(world: World, lived: Life) -> None:
    whole, told = driven(watch_of(world, "whole"), lived.states)
    cut, again = driven(watch_of(world, "cut"), lived.states, forget=301)  # in the first week, in the second, within an hour
    assert packed((whole, tuple(told))) == packed((cut, tuple(again)))
    assert whole.base
    assert len(whole.hours) < 24 * 7
    assert len(packed(whole)) < 300_000  # the search itself has megabytes
    assert len(list((world.folder / "whole").glob("*.search"))) == 1


@pytest.mark.parametrize("left", [None, 1000])
def test_without_its_base_it_begins_anew_and_says_so(world: World, lived: Life, left: int | None) -> None:
    watch = watch_of(world, f"lost-{left}")
    memory, _ = driven(watch, lived.states[: 48 * 8])
    standing = memory.told
    assert standing
    assert memory.base
    for path in (world.folder / f"lost-{left}").glob("*.search"):
        whole = path.read_bytes()
        path.unlink()
        if left is not None:
            path.write_bytes(whole[:left])
    watch, over = watch.again(), list[Finding]()
    for state in lived.states[48 * 8 : 48 * 8 + 5]:
        memory, findings = watch.step(memory, state, {})
        over += findings
    cleared = {f.key for f in over if f.transition is Transition.CLEARED}
    assert cleared == {f"METER_CHANGED/water/{watch.name}/J004", *(watch.key(n) for n, _ in standing)}
    assert memory.count == 1  # it has begun again


def carrying(state: NetworkState, pipe: str) -> NetworkState:
    """A state that carries a leak at a pipe, as one does once the watch for bursts has told it."""
    lost = np.zeros(len(TOWN.node_ids))
    row = int(TOWN.links([pipe])[0])
    lost[[TOWN.link_from[row], TOWN.link_to[row]]] = 0.003
    return replace(state, memory={**state.memory, "lost": lost})


def test_what_states_carry_is_not_told_twice_unless_it_flows_on_when_they_do_no_more(world: World, lived: Life) -> None:
    raised = [(e.valid_time_us, e.elements[0]) for e in lived.leaks if e.transition is Transition.RAISED]
    burst_us = next(t for t, pipe in raised[1:])
    first_us = lived.states[0].valid_time_us
    hour_us = 3_600_000_000

    def told(carried_h: float) -> list[int]:
        """When a leak near the burst was told first, states carrying the burst for so many hours."""
        end_us = burst_us + carried_h * hour_us
        states = [
            carrying(s, BURST) if first_us + 100 * hour_us < s.valid_time_us < end_us else s
            for s in lived.states
            if s.valid_time_us < first_us + 185 * hour_us
        ]
        found = driven(watch_of(world, f"carried-{carried_h}"), states)[1]
        raised = [(t, f) for t, f in found if f.transition is Transition.RAISED and f.kind is EventKind.LEAK]
        near = [t for t, f in raised if t > first_us and _is_near(world, f, BURST)]
        return near[:1]

    assert told(0) == [burst_us]  # nobody else has told it
    assert told(90) == []
    assert told(12) == [burst_us + (12 + 23) * hour_us]  # its end was told, and a day later it flows still


def _is_near(world: World, finding: Finding, pipe: str) -> bool:
    at = PIPES.index(finding.elements[0].removeprefix("pipe "))
    return bool(world.learnt.noise.distance_m[at, PIPES.index(pipe)] <= 300.0)


def test_a_repair_ends_the_alarm_and_one_that_was_none_is_told_again_a_day_later(world: World, lived: Life) -> None:
    hour_us, first_us = 3_600_000_000, lived.states[0].valid_time_us
    burst = next(e for e in lived.leaks if e.valid_time_us > first_us)
    key = burst.alarm_id.rsplit("#", 1)[0]

    def said_at(hour: int, until: int) -> list[tuple[str, int]]:
        """What is told of the burst, told as repaired at an hour; it is repaired in the 190th."""
        report = FieldReport(
            ReportKind.REPAIRED, "water", "crew", "done", alarm_id=burst.alarm_id, counts_us=first_us + hour * hour_us
        )
        states = [s for s in lived.states if s.valid_time_us < first_us + until * hour_us]
        found = driven(watch_of(world, f"repaired-{hour}"), states, reports=(report,))[1]
        return [(f.transition.name, (t - first_us) // hour_us) for t, f in found if f.key == key]

    begun = ("RAISED", (burst.valid_time_us - first_us) // hour_us)
    assert said_at(191, 260) == [begun, ("CLEARED", 191)]
    assert said_at(130, 180) == [begun, ("CLEARED", 130), ("RAISED", 130 + 23)]  # the hour that ended then counts


def test_a_fault_of_the_search_begins_it_anew(world: World, lived: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    step, calls = LeakSearch.step, count(1)

    def faulty(search: LeakSearch, hour: Hours) -> list[Event]:
        if next(calls) == 30:
            raise np.linalg.LinAlgError("not positive definite")
        return step(search, hour)

    monkeypatch.setattr(LeakSearch, "step", faulty)
    watch = watch_of(world, "faulty")
    memory, told = driven(watch, lived.states[: 2 * 40])
    ran = [f.transition.name for _, f in told if f.key == watch.key(1)]
    assert ran == ["RAISED", "CLEARED", "RAISED"]
    assert memory.count == 8  # of 39 hours 29, the faulty one, the one in which it began anew


def test_a_meter_that_changes_by_itself_is_named_until_it_is_heard_again(world: World, lived: Life) -> None:
    at = world.learnt.sensors.pressure.index("J103")

    def jumped(state: NetworkState) -> NetworkState:
        read = np.array(state.memory["read"])
        read[at] += 0.5
        return replace(state, memory={**state.memory, "read": read})

    states = [jumped(s) if k >= 48 * 3 else s for k, s in enumerate(lived.states)]
    told = [(t, f) for t, f in driven(watch_of(world, "meter"), states)[1] if f.elements == ("J103",)]
    assert [f.transition for _, f in told] == [Transition.RAISED, Transition.CLEARED]
    assert {f.code for _, f in told} == {"METER_CHANGED"}
    days = (told[1][0] - told[0][0]) / 86_400e6
    assert 6.5 < days <= 7.0


def test_what_was_learnt_is_learnt_once_and_anew_from_another_history(world: World, tmp_path: Path) -> None:
    told: list[str] = []
    sensors = world.learnt.sensors
    again = kept(world.folder / "learnt", TOWN, world.history, sensors, lambda text, done: told.append(text))
    assert told == []
    bare = [packed(replace(x, noise=x.noise.alone())) for x in (again, world.learnt)]
    assert bare[0] == bare[1]
    other = kept(world.folder / "learnt", TOWN, world.scada, sensors, lambda text, done: told.append(text))
    assert told
    assert other.revision != world.learnt.revision
