"""All leaks at once: what a day's readings say of their places and flows, and what holds again when one is over."""

from functools import cache

import numpy as np

from solvers.water.leak_search.bias_filter import Walks
from solvers.water.leak_search.endings import Endings
from solvers.water.leak_search.joint_fit import Day, Leaks, day_of, exchanged, place_of, solved
from solvers.water.leak_search.location import Scene
from solvers.water.leak_search.memory import Belief, Memory, Track
from solvers.water.leak_search.reckoning import Reckoning
from tests.true_town import truth
from tests.unit.test_leak_search import HISTORY_H, burst, learnt, readings

ONE, OTHER, BETWEEN = "E000", "E303", "N102"  # pipes
HOURS = 24 * 4


@cache
def remembered() -> tuple[Scene, Day]:
    """Four days with two leaks, which nobody follows."""
    _, _, calibration, noise = learnt()
    town = calibration.town.with_parameters(calibration.town.parameters)
    leaks = (burst(ONE, 20.0, 0, HOURS) + burst(OTHER, 30.0, 0, HOURS))[:HOURS]
    hours = readings(truth(), HOURS, HISTORY_H, leaks, seed=2)
    memory, n = Memory(town.n_output, len(town.pipe), HOURS), len(town.pipe)
    scene = Scene(town, memory, noise, Walks(noise.reference_m3_per_h / 180.0), np.ones(n, dtype=bool))
    nothing = Belief(np.zeros(town.n_output), np.zeros(0), np.diag(noise.bias**2))
    for h in range(HOURS):
        memory.take(h, hours[h])
        view = town.view(hours[h], np.zeros(n))
        outflow = np.sqrt(town.pipe_pressure(view) / noise.pressure_m)
        residual = town.measured(hours[h]) - view.reading - noise.rhythm[hours.hour_of_week[h]]
        memory.keep(h, residual, np.nan_to_num(town.signatures(view)) * outflow, outflow, 1.0, 0, nothing)
    return scene, day_of(scene, (HOURS - 9, HOURS - 5, HOURS - 1), np.zeros(town.n_output))


def at(pipes: tuple[str, ...], flow: float) -> Leaks:
    ids, n = remembered()[0].town.pipe_ids, len(pipes)
    rows = np.array([ids.index(pipe) for pipe in pipes], dtype=np.int64)
    flows = np.full(n, flow)
    return Leaks(rows, np.arange(1, n + 1), flows, flows, np.full(n, 0.5 * flow + 3.0), np.zeros(n, dtype=np.int64))


def test_flows_of_leaks_at_their_places_are_those_that_flow() -> None:
    scene, day = remembered()
    fit = solved(scene, day, at((ONE, OTHER), 10.0))
    np.testing.assert_allclose(fit.leaks.flow, [20.0, 30.0], rtol=0.15)
    assert np.abs(fit.left[: scene.town.n_head]).max() < 0.02


def test_exchange_makes_two_leaks_of_one_that_stands_between() -> None:
    scene, day = remembered()
    wrong = solved(scene, day, at((BETWEEN,), 40.0))
    found = exchanged(scene, day, wrong)
    assert found.evidence > wrong.evidence + 50.0
    assert len(found.leaks.pipe) == 2
    for pipe in (ONE, OTHER):
        assert scene.noise.distance_m[scene.town.pipe_ids.index(pipe)][found.leaks.pipe].min() <= 300.0
    place = place_of(scene, day, found, 0)
    assert scene.noise.distance_m[place.pipe, found.leaks.pipe[0]] <= 300.0


def test_exchange_leaves_what_is_right_and_believes_no_meter_that_is_off_by_itself() -> None:
    scene, day = remembered()
    right = solved(scene, day, at((ONE, OTHER), 25.0))
    assert exchanged(scene, day, right).evidence < right.evidence + 20.0
    off = day.reading.copy()
    off[2] += 3.0
    spoiled = Day(day.hours, off, day.bias)
    assert exchanged(scene, spoiled, solved(scene, spoiled, at((ONE, OTHER), 25.0))).leaks.deaf == (2,)


def test_a_strained_belief_begins_anew_from_the_fit() -> None:
    scene, _ = remembered()
    n = scene.town.n_output
    belief = Belief(np.full(n, 40.0) * scene.noise.bias, np.zeros(0), np.diag(scene.noise.bias**2))
    track = Track(1, scene.town.pipe_ids.index(BETWEEN), 10, 10, peak=40.0)
    belief.add(track, 40.0, 4.0)
    found = Reckoning(scene, last=1).reckon(HOURS - 1, belief, 0)
    assert found.anew
    assert found.belief.flow.sum() > 40.0
    assert np.abs(found.belief.bias / scene.noise.bias)[: scene.town.n_head].max() < 20.0
    assert (np.linalg.eigvalsh(found.belief.covariance) > 0.0).all()


def test_when_a_large_leak_is_over_what_was_believed_before_it_holds_again() -> None:
    scene, _ = remembered()
    n, h, pipe = scene.town.n_output, HOURS - 1, scene.town.pipe_ids.index(BETWEEN)
    ids = scene.town.pipe_ids
    before = Belief(np.zeros(n), np.zeros(0), np.diag((3.0 * scene.noise.bias) ** 2))
    for number, (name, flow) in enumerate(((ONE, 20.0), (OTHER, 30.0)), 1):
        before.add(Track(number, ids.index(name), 0, 0, peak=flow, carried=True), flow, 1.0)
    present = before.copy()
    present.bias = present.bias + 30.0 * scene.noise.bias
    present.add(Track(3, pipe, 40, 41, peak=25.0), 25.0, 1.0)
    scene.memory.before[h] = present
    view = scene.town.view(scene.memory.hour(h), present.leaks(len(ids)) * scene.memory.outflow(h))
    reading = scene.town.measured(scene.memory.hour(h)) - view.reading - scene.noise.rhythm[scene.memory.hour(h).hour_of_week]
    signature, outflow = scene.memory.signature(h), scene.memory.outflow(h)
    scene.memory.keep(h, reading, signature, outflow, 1.0, 0, present)
    endings = Endings(scene, {3: before})
    k = endings.find(h, present)
    assert k == 2
    after = endings.ended(present, h)
    assert [track.number for track in after.tracks] == [1, 2]
    np.testing.assert_allclose(after.bias, 0.0)
    np.testing.assert_allclose(after.flow, [20.0, 30.0])
    remembered.cache_clear()
