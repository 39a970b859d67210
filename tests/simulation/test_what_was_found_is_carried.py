"""A burst in a small town, from its readings to the published states: once it has been found, they carry it."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from grid_models.library.water import looped_town
from grid_models.measurements import Catalogue, Rows, Signal, SignalKind, Update
from grid_models.water.network import WaterNetwork
from solvers.water.plan import prepare
from solvers.water.steady import Scratch, initial_boundary, steady
from tests.simulation.life import Life
from twin.assembly import Parts
from twin.chain import digest
from twin.estimators import Given, InForce
from twin.estimators.water import WaterEstimator
from twin.estimators.water_fork import pattern_seconds
from twin.journal import EntryKind
from twin.leak_watch import LeakWatch
from twin.port import Transition
from twin.replay import compared
from twin.setup import NetworkSetup

MONDAY_US, STEP_US = 1_772_409_600_000_000, 300_000_000
STEPS, BURST, LEVEL_M, LEAK = 72, 44, 4.0, 0.006
PIPE = "E202"
SENSORS = tuple(f"J{r}0{c}" for r, c in ((0, 0), (0, 2), (0, 4), (1, 1), (1, 3), (2, 0), (2, 2), (2, 4), (3, 1), (3, 3)))
TOWN = looped_town()


def points() -> Catalogue:
    def point(uid: int, table: str, element: str, quantity: str, unit: str, sigma: float) -> Signal:
        return Signal(
            uid, f"{element} {quantity}", "water", SignalKind.ANALOG, table, element, quantity, "", unit, 1, sigma,
            -1e3, 1e3, Update.CYCLIC, 600.0, 7200.0,
        )  # fmt: skip

    pressures = [point(1 + k, "junction", n, "pressure_m", "m", 0.02) for k, n in enumerate(SENSORS)]
    flows = [point(20 + k, "pipe", p, "flow_m3_per_s", "m3/s", 1e-4) for k, p in enumerate(("source", "tower"))]
    return Catalogue(1, (*pressures, *flows, point(30, "tank", "tank", "level_m", "m", 0.01)))


def readings() -> list[Rows]:
    """What the meters show, step by step; consumers wander around their profiles, and a pipe bursts."""
    catalogue, plan, rng = points(), prepare(TOWN), np.random.default_rng(3)
    scratch, laws = Scratch(plan), plan.laws
    pipe, sensors = int(TOWN.links([PIPE])[0]), TOWN.nodes(list(SENSORS))
    weather, out = np.zeros(len(laws.row)), []
    for k in range(STEPS):
        at_us = MONDAY_US + k * STEP_US
        boundary = initial_boundary(TOWN, pattern_seconds(at_us))
        weather = 0.9 * weather + rng.normal(0.0, 0.02, len(weather))
        demand, head = boundary.demand_m3_per_s * (1.0 + weather), boundary.head_m.copy()
        demand[[laws.start[pipe], laws.end[pipe]]] += 0.5 * LEAK * (k >= BURST)
        head[TOWN.tank_node] = TOWN.tables["tank"]["elevation_m"] + LEVEL_M
        found = steady(plan, scratch, replace(boundary, demand_m3_per_s=demand, head_m=head)).unwrap()
        shown = [*(found.head_m - laws.elevation)[sensors], *found.flow_m3_per_s[TOWN.links(["source", "tower"])], LEVEL_M]
        n = len(shown)
        out.append(
            Rows(
                np.array(catalogue.uid), np.array(shown) + rng.normal(size=n) * [s.sigma for s in catalogue.signals],
                np.full(n, at_us), np.zeros(n, np.int64), np.full(n, 1, np.uint8), np.full(n, 1, np.uint8),
                np.zeros(n, np.uint8), np.zeros(n, np.uint64),
            )
        )  # fmt: skip
    return out


def town(model: WaterNetwork = TOWN) -> Parts:
    catalogue = points()
    water = WaterEstimator(model, catalogue, "water")
    return Parts(
        catalogue, {"water": water}, {"water": "water"}, (NetworkSetup("water", STEP_US),), (LeakWatch(water),),
        2 * STEP_US, stream_clock=True, checkpoint_us=6 * STEP_US,
    )  # fmt: skip


@pytest.fixture(scope="module")
def life() -> Life:
    return Life(town()).through(readings())


def test_states_fit_their_meters_again_once_the_burst_has_been_found(life: Life) -> None:
    state = list(life.final.values())
    misfit = np.array([s.accuracy for s in state])
    carrying = next(k for k, s in enumerate(state) if s.parameter_revision > 0)
    assert BURST < carrying <= BURST + 12
    assert misfit[BURST + 1 : carrying].min() > 5.0
    assert misfit[carrying:].max() < 3.0
    last = state[-1]
    lost = np.asarray(last.memory["lost"])
    assert abs(lost.sum() - LEAK) < 0.15 * LEAK


def test_a_replay_and_a_start_at_a_checkpoint_give_the_same_bits(life: Life) -> None:
    checkpoints = [k for k, e in enumerate(life.journal) if e.kind is EntryKind.CHECKPOINT]
    for first in (0, checkpoints[-2]):
        told = [c for c in compared(town(), life.journal[first:]) if c.published.state.parameter_revision > 0]
        equal = [c.equal for c in told if c.equal is not None]  # states before the checkpoint stand in earlier entries
        assert len(equal) > 5
        assert all(equal)


def test_with_another_model_the_alarm_ends_and_its_name_is_not_given_again(life: Life) -> None:
    before = life.journal[max(k for k, e in enumerate(life.journal) if e.kind is EntryKind.CHECKPOINT) :]
    (alarm,) = {e.alarm_id for e in life.leaks}
    assert Life(town()).open(epoch=2, before=before).leaks == []
    pipe = TOWN.tables["pipe"]
    worn = replace(TOWN, tables={**TOWN.tables, "pipe": pipe.replace("roughness", slice(None), 0.99 * pipe["roughness"])})
    again = Life(town(worn)).open(epoch=2, before=before)
    assert [(e.alarm_id, e.transition) for e in again.leaks] == [(alarm, Transition.CLEARED)]
    (watch,) = again.parts.watches
    assert watch.name not in alarm
    assert again.engine is not None
    assert set(again.engine._chains["water"].late_memory) == {watch.name}


def test_rows_that_come_late_end_in_the_same_chain(life: Life) -> None:
    batches = readings()
    for k in range(3, STEPS - 3, 4):  # pressures that come a step late, and rows that overtake others
        late = batches[k].take(batches[k].signal < 5)
        batches[k] = batches[k].take(batches[k].signal >= 5)
        batches[k + 1] = Rows.concatenate([batches[k + 1], late])
    other = Life(town()).through(batches)
    assert {t: digest(s) for t, s in other.final.items()} == {t: digest(s) for t, s in life.final.items()}


def test_a_fork_carries_the_leak_too(life: Life) -> None:
    state = list(life.final.values())[-1]
    fork = life.parts.estimators["water"].fork(state)
    plan = prepare(fork)
    found = steady(plan, Scratch(plan), initial_boundary(fork)).unwrap()
    assert np.abs(found.head_m - state.values["node_head_m"]).max() < 1e-6


def test_a_past_state_may_be_computed_while_the_next_one_is() -> None:
    """Threads share an estimator: each gets the bits that it would get alone."""
    estimator, catalogue = town().estimators["water"], points()

    def chain(rows: Rows) -> list[bytes]:
        before, seen = None, []
        n = len(rows)
        sigma = np.array([s.sigma for s in catalogue.signals])
        for minute in range(40):
            at_us = MONDAY_US + minute * STEP_US
            flags = np.zeros(n, dtype=bool)
            measured = InForce(at_us, rows.signal, rows.value, sigma, np.full(n, at_us), flags, flags)
            before = estimator.step(Given(measured, before))
            seen.append(digest(before))
        return seen

    asked = readings()[:4]
    alone = [chain(rows) for rows in asked]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(chain, asked)) == alone
    finally:
        sys.setswitchinterval(interval)
