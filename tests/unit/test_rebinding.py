"""A point list that changes while the twin lives: what is bound anew begins anew, all else goes on, and replays know of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from grid_models.measurements import Catalogue
from tests.simulation.small_twin import (
    CATALOGUE,
    SECOND,
    T0,
    Driver,
    claim,
    driver,
    parts,
    restored,
    rows,
    setup,
    signal,
)  # fmt: skip
from twin.assembly import Parts
from twin.chain import digest
from twin.errors import PreconditionFailed
from twin.journal import EntryKind
from twin.port import FOREVER_US, EventKind, ManualEntry, Transition
from twin.rebinding import Change
from twin.replay import compared, recompute


def changed(**uids: Any) -> Catalogue:
    """The small twin's point list with other signals; `s12=None` takes one out."""
    named = {f"s{s.uid}": s for s in CATALOGUE.signals} | {k: v for k, v in uids.items() if v is not None}
    kept = [s for name, s in named.items() if uids.get(name, s) is not None]
    return Catalogue(2, tuple(sorted(kept, key=lambda s: s.uid)))


WATER_ANEW = changed(s12=signal(12, "water", element="another"))


def rebind(twin: Driver, catalogue: Catalogue, **changes: Any) -> None:
    """As the service does it."""
    while True:
        twin.perform(twin.engine.conclude())
        if twin.engine.concluded:
            break
    for publisher in twin.engine.refused(catalogue):
        twin.perform(twin.engine.close(publisher))
    twin.perform(twin.engine.rebind(setup(catalogue=catalogue, **changes)))


def lived(seconds: range, twin: Driver) -> Driver:
    for t in seconds:
        twin.send(rows((1, t, float(t)), (2, t - 3, 1.0, 1)), "power")
        if "water" in twin.ids:
            twin.send(rows((11, t, 1.0), (12, t, 2.0)), "water")
    return twin


def two(twin: Driver) -> Driver:
    return twin.open(claim("power", (1, 2, 3))).open(claim("water", (11, 12)))


def of_time(catalogue: Catalogue) -> Parts:
    """Parts that know both lists."""
    lists = {c.revision: c for c in (CATALOGUE, catalogue)}
    return replace(parts(), bind=lambda revision: replace(of_time(catalogue), catalogue=lists[revision or 1]))


def test_what_changed_is_told_apart() -> None:
    change = Change(
        CATALOGUE,
        changed(s2=None, s3=signal(3, "power", unit="kW"), s11=signal(11, "water", sigma=2.0), s20=signal(20, "power")),
    )
    assert [s.uid for s in change.gone] == [2, 3]
    assert change.networks == {"power", "water"}
    assert "1 signals added, 1 taken out, 1 bound anew" in change.finding().message


def test_a_network_whose_signals_are_bound_anew_begins_anew_and_the_others_keep_their_bits() -> None:
    twin, other = lived(range(20), two(driver())), lived(range(20), two(driver()))
    rebind(twin, WATER_ANEW)
    assert [e.code for e in twin.events][-1] == "CATALOGUE_CHANGED"
    for each in (twin, other):
        lived(range(20, 40), replace_water(each))
    power = {key: seen for key, seen in other.chain().items() if key[0] == "power"}
    assert {key: seen for key, seen in twin.chain().items() if key[0] == "power"} == power
    half = 0.1 * sum(twin.x("power", 20))
    assert twin.x("water", 20) == pytest.approx([1 + half, half])  # 11 stays in force; no half of a state, nothing of 12


def replace_water(twin: Driver) -> Driver:
    twin.ids.pop("water", None)
    return twin


def test_who_claims_what_was_bound_anew_is_refused_and_the_others_hear_of_it() -> None:
    twin = lived(range(5), two(driver()))
    assert twin.engine.refused(WATER_ANEW) == {"water": ["s12"]}
    rebind(twin, WATER_ANEW)
    assert [a.notice for p, a in twin.acks if a.notice] == [
        "the point list is at revision 2 now; read it again for what is new"
    ]
    assert twin.acks[-1][0] == "power"
    assert twin.send(rows((1, 6, 1.0)), "power").admitted == 1
    with pytest.raises(PreconditionFailed, match="no open stream"):
        twin.send(rows((12, 6, 1.0)), "water")
    with pytest.raises(PreconditionFailed, match="the twin is at 2"):
        twin.open(claim("water", (11, 12), epoch=2))
    twin.open(replace(claim("water", (11, 12), epoch=2), catalogue_revision=2))
    assert twin.send(rows((12, 6, 5.0)), "water").admitted == 1


def test_states_up_to_the_change_are_final_and_a_late_row_still_counts_behind_it() -> None:
    twin = lived(range(10), two(driver()))
    rebind(twin, WATER_ANEW)
    before = twin.chain()
    assert twin.send(rows((3, 8, 7.0)), "power").admitted == 1
    twin.send(rows((1, 10, 1.0)), "power")
    assert {key: seen for key, seen in twin.chain().items() if key in before} == before
    assert twin.x("power", 10)[2] == 7


def test_a_network_that_begins_after_the_change_is_corrected_as_in_a_replay() -> None:
    """It has had no state before the change: none of its instants is final because of it."""
    twin = driver().open(claim("power", (1, 2, 3)))
    lived(range(10), twin)
    rebind(twin, WATER_ANEW)
    twin.open(replace(claim("water", (11, 12)), catalogue_revision=2))
    twin.send(rows((11, 5, 1.0)), "water")
    twin.send(rows((12, 5, 3.0)), "water")
    lived(range(10, 12), replace_water(twin))
    assert twin.x("water", 6) == [1, 3]
    assert all(c.equal for c in compared(of_time(WATER_ANEW), twin.journal))


def test_what_the_journal_does_not_hold_yet_is_not_called_durable_after_the_change() -> None:
    twin = lived(range(5), two(driver()))
    twin.hold = True
    twin.send(rows((1, 5, 1.0)), "power")
    rebind(twin, WATER_ANEW)
    again = replace(claim("power", (1, 2, 3)), catalogue_revision=2)
    assert twin.engine.open(again)[0].last_durable_batch_id == 5
    twin.flush()
    assert twin.engine.open(again)[0].last_durable_batch_id == 6


def test_what_was_entered_by_hand_and_alarms_of_the_network_end_with_it() -> None:
    twin = lived(range(5), two(driver()))
    for uid in (1, 12):
        twin.perform(twin.engine.enter(ManualEntry("", uid, 1.0, "me", "why", 0, FOREVER_US, T0))[1])
    twin.send(rows((11, 5, 5000.0)), "water")
    rebind(twin, WATER_ANEW)
    ended = [(e.code, e.elements) for e in twin.events if e.transition is Transition.CLEARED]
    assert sorted(ended) == [("IMPLAUSIBLE_VALUE", ("s11",)), ("MANUAL_ENTRY", ("s12",))]
    assert [e.signal for e in twin.engine.manual_entries()] == [1]


@pytest.mark.parametrize("begin", ["first entry", "checkpoint before", "checkpoint of the change"])
def test_a_replay_takes_each_list_for_its_time(begin: str) -> None:
    twin = lived(range(35), two(driver()))
    rebind(twin, WATER_ANEW)
    twin.open(replace(claim("water", (11, 12), epoch=2), catalogue_revision=2))
    lived(range(35, 60), twin)
    at = [k for k, e in enumerate(twin.journal) if e.kind is EntryKind.CHECKPOINT]
    told = next(k for k, e in enumerate(twin.journal) if e.kind is EntryKind.EVENT and b"CATALOGUE_CHANGED" in e.payload)
    bound = next(k for k in at if k > told)
    first = {"first entry": 0, "checkpoint before": at[at.index(bound) - 1], "checkpoint of the change": bound}[begin]
    found = [c for c in compared(of_time(WATER_ANEW), twin.journal[first:]) if c.equal is not None]
    assert len(found) > 30
    assert all(c.equal for c in found)


def test_a_restart_goes_on_under_the_list_that_was_in_force() -> None:
    twin = lived(range(20), two(driver()))
    rebind(twin, WATER_ANEW)
    lived(range(20, 30), replace_water(twin))
    again = restored(twin.journal, 2, catalogue=WATER_ANEW)
    again.open(replace(claim("power", (1, 2, 3), epoch=2), catalogue_revision=2))
    lived(range(30, 40), again)
    lived(range(30, 40), twin)
    for t in range(31, 40):
        assert again.x("power", t) == twin.x("power", t)
    assert [e.kind for e in again.events if e.kind is EventKind.CATALOGUE] == []


def test_what_was_known_before_the_change_is_computed_under_the_list_before() -> None:
    twin = driver().open()
    for t in range(20):
        twin.send(rows((1, t, 1.0), (12, t, 2.0)), at=T0 + t * SECOND)
    rebind(twin, WATER_ANEW)
    twin.open(replace(claim(epoch=2), catalogue_revision=2))
    for t in range(20, 30):
        twin.send(rows((1, t, 1.0), (12, t, 3.0)), at=T0 + t * SECOND)
    known = {}
    for found in recompute(of_time(WATER_ANEW), twin.journal, known_us=T0 + 15 * SECOND):
        known[found.state.network, (found.state.valid_time_us - T0) // SECOND] = found.state
    for t in (4, 14):
        assert digest(known["water", t]) == twin.chain()["water", T0 + t * SECOND]
    x = {key: state.values["x"] for key, state in known.items()}
    assert x["water", 26][1] == pytest.approx(2 + 0.5 * x["water", 24][1] + 0.1 * x["power", 26].sum())
    assert twin.x("water", 26)[1] == pytest.approx(3 + 0.5 * twin.x("water", 24)[1] + 0.1 * sum(twin.x("power", 26)))
