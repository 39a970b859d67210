"""The search for leaks on a small town whose truth is another network: rougher pipes, other customers, noisy meters."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from grid_models.errors import InvalidInput
from grid_models.library.water import looped_town
from grid_models.water.network import WaterNetwork
from solvers.water.leak_search.bias_filter import Walks, advance, who_fell
from solvers.water.leak_search.calibration import Calibration, calibrate
from solvers.water.leak_search.events import Event, Kind
from solvers.water.leak_search.memory import Belief, Known, Memory, Track
from solvers.water.leak_search.muting import Muting
from solvers.water.leak_search.noise import Noise, learn_noise
from solvers.water.leak_search.readings import Hours, Sensors
from solvers.water.leak_search.search import LeakSearch
from solvers.water.leak_search.town import M3_PER_H, Town
from solvers.water.leak_search.whitening import projected, whitened
from solvers.water.plan import prepare
from solvers.water.steady import Boundary, Scratch, demand_at, initial_boundary, steady
from tests.true_town import MONDAY_S, SENSORS, TOWN, truth

HISTORY_H, YEAR_H = 24 * 32, 24 * 20


def readings(network: WaterNetwork, n: int, first_h: int, leaks: np.ndarray, seed: int) -> Hours:
    """Hourly means: heads to 2 mm, demand that varies from hour to hour."""
    rng = np.random.default_rng(seed)
    plan = prepare(network)
    scratch, boundary, laws = Scratch(plan), initial_boundary(network), plan.laws
    node, meter = network.nodes(list(SENSORS.pressure)), network.links(list(SENSORS.flow))
    start, end = laws.start[network.pipe_link], laws.end[network.pipe_link]
    level = 4.0 + np.sin(np.arange(n + 1) / 5.0)
    pressure, flow, found = np.empty((n, len(node))), np.empty((n, len(meter))), None
    for h in range(n):
        demand = demand_at(network, 3600.0 * (first_h + h) + 1800.0) * (1 + 0.05 * rng.standard_normal())
        for ends in (start, end):
            np.add.at(demand, ends, 0.5 * leaks[h] * M3_PER_H)
        head = boundary.head_m.copy()
        head[network.tank_node] = network.tables["tank"]["elevation_m"] + level[h]
        found = steady(plan, scratch, Boundary(demand, head, boundary.status, boundary.setting), found).value
        pressure[h] = (found.head_m - laws.elevation)[node] + 0.002 * rng.standard_normal(len(node))
        flow[h] = found.flow_m3_per_s[meter] / M3_PER_H
    time = MONDAY_S + 3600.0 * (first_h + np.arange(n))
    return Hours(time, pressure, flow, level[:n, None], np.diff(level)[:, None], np.zeros((n, 0)))


@cache
def learnt() -> tuple[Town, Hours, Calibration, Noise]:
    town = Town(TOWN, SENSORS)
    hours = readings(truth(), HISTORY_H, 0, np.zeros((HISTORY_H, len(town.pipe))), seed=1)
    calibration = calibrate(town, hours, np.zeros((HISTORY_H, len(town.pipe))), n_sample=8)
    return town, hours, calibration, learn_noise(calibration, hours)


def searched(leaks: np.ndarray, spoil: tuple[int, float] | None = None, known: tuple[Known, ...] = ()) -> list[Event]:
    _, _, calibration, noise = learnt()
    hours = readings(truth(), YEAR_H, HISTORY_H, leaks, seed=2)
    if spoil is not None:
        hours.pressure_m[YEAR_H // 2 :, spoil[0]] += spoil[1]
    search = LeakSearch(calibration.town, noise, known)
    return [event for h in range(YEAR_H) for event in search.step(hours[h])]


def burst(pipe: str, m3_per_h: float, first: int, last: int) -> np.ndarray:
    town = learnt()[0]
    leaks = np.zeros((YEAR_H, len(town.pipe)))
    leaks[first:last, town.pipe_ids.index(pipe)] = m3_per_h
    return leaks


def test_calibration_explains_what_the_nominal_model_does_not() -> None:
    town, hours, calibration, _ = learnt()
    nominal = town.measured(hours) - np.array(
        [town.view(hours[h], np.zeros(len(town.pipe))).reading for h in range(len(hours))]
    )
    before, after = (np.sqrt((r[:, : town.n_head] ** 2).mean()) for r in (nominal, calibration.residual))
    assert before > 0.02
    assert after < 0.2 * before


def test_calibration_goes_on_until_a_model_that_is_far_off_is_near() -> None:
    town, n = learnt()[0], 24 * 16
    worn = truth()
    pipe = worn.tables["pipe"]
    worn = replace(worn, tables={**worn.tables, "pipe": pipe.replace("roughness", slice(None), 0.6 * pipe["roughness"])})
    none, told = np.zeros((n, len(town.pipe))), list[str]()
    calibrate(town, readings(worn, n, 0, none, seed=1), none, told=told.append)
    cells_mm = [float(text.split(" by ")[1].split(" ")[0]) for text in told]
    assert cells_mm[0] > 1000.0
    assert len(cells_mm) > 4  # rounds
    assert cells_mm[-1] < 5.0


def test_signatures_are_the_changes_that_a_small_leak_makes() -> None:
    town, hours, _, _ = learnt()
    view = town.view(hours[10], np.zeros(len(town.pipe)))
    signature = town.signatures(view)
    for pipe in (0, 7, 20):
        more = np.zeros(len(town.pipe))
        more[pipe] = 0.5
        change = (town.view(hours[10], more).reading - town.view(hours[10], 0 * more).reading) / 0.5
        # The solver stops at 1e-5 of the flows, and half a cubic metre bends the law a little.
        np.testing.assert_allclose(change, signature[:, pipe], atol=2e-3, rtol=0.05)


def test_a_burst_is_found_placed_and_seen_to_end() -> None:
    events = searched(burst("E202", 25.0, 200, 400))
    issued = [e for e in events if e.kind is Kind.ISSUED]
    assert len(issued) == 1
    town, _, _, noise = learnt()
    assert 200 <= issued[0].hour <= 206
    assert noise.distance_m[issued[0].pipe, town.pipe_ids.index("E202")] <= 400.0  # two streets in a town of 200 m streets
    assert issued[0].flow_m3_per_h == pytest.approx(25.0, rel=0.25)
    assert [e for e in events if e.kind is Kind.ENDED and e.hour >= 400]


def test_a_quiet_month_is_quiet() -> None:
    town = learnt()[0]
    assert [e for e in searched(np.zeros((YEAR_H, len(town.pipe)))) if e.kind is Kind.ISSUED] == []


def test_a_meter_that_jumps_is_named_and_no_leak() -> None:
    town = learnt()[0]
    events = searched(np.zeros((YEAR_H, len(town.pipe))), spoil=(2, 0.5))
    assert [e for e in events if e.kind is Kind.ISSUED] == []
    assert any(e.kind is Kind.METER and e.text.startswith("J103") for e in events)


def test_a_leak_that_is_carried_over_is_not_told_again() -> None:
    town = learnt()[0]
    known = (Known(town.pipe_ids.index("E202"), 15.0),)
    events = searched(burst("E202", 15.0, 0, YEAR_H), known=known)
    assert [e for e in events if e.kind is Kind.ISSUED] == []


def test_an_alarm_uses_nothing_that_comes_after_it() -> None:
    leaks = burst("N103", 25.0, 150, YEAR_H)
    whole = [e for e in searched(leaks) if e.hour < 170]
    other = leaks.copy()
    other[170:] = 0.0
    assert [e for e in searched(other) if e.hour < 170] == whole


def test_missing_readings_are_no_news() -> None:
    _, _, calibration, noise = learnt()
    town = calibration.town
    hours = readings(truth(), YEAR_H, HISTORY_H, np.zeros((YEAR_H, len(town.pipe))), seed=2)
    hours.pressure_m[100:160, 1:4] = np.nan
    hours.flow_m3_per_h[200:203] = np.nan
    hours.level_m[300:310] = np.nan
    search = LeakSearch(town, noise)
    assert not [e for h in range(YEAR_H) for e in search.step(hours[h]) if e.kind is Kind.ISSUED]
    assert np.isfinite(search.belief.bias).all()


def test_only_repairs_are_enough_to_calibrate() -> None:
    town = Town(TOWN, SENSORS)
    leaks = np.zeros((HISTORY_H, len(town.pipe)))
    pipe = town.pipe_ids.index("E202")
    leaks[: 24 * 16, pipe] = 12.0
    hours = readings(truth(), HISTORY_H, 0, leaks, seed=1)
    found = calibrate(town, hours, np.zeros_like(leaks), [(pipe, 24 * 16)], n_sample=2)
    assert found.leaks[24 * 8, pipe] == pytest.approx(12.0, rel=0.4)
    assert (found.leaks[24 * 16 :, pipe] == 0.0).all()


def test_unknown_sensors_are_named_all_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        Town(looped_town(3, 3), Sensors(("J000", "nowhere"), ("no link",), (), ()))
    assert [issue.ids for issue in caught.value.issues] == [("nowhere",), ("no link",)]


def test_whole_days_give_the_means_of_their_hours() -> None:
    rng = np.random.default_rng(0)
    memory = Memory(3, 4, longest=24 * 10)
    belief = Belief(np.zeros(3), np.zeros(0), np.eye(3))
    kept = []
    for h in range(24 * 10):
        residual, signature, weight = rng.standard_normal(3), rng.standard_normal((3, 4)), rng.uniform(0.5, 2)
        residual[0] = np.nan if h % 7 == 0 else residual[0]
        memory.keep(h, residual, signature, np.ones(4), weight, h % 4, belief)
        kept.append((residual, signature, weight))
    first, last = 24 * 2, 24 * 10 - 1
    means = memory.means(first, last)
    w = np.array([k[2] for k in kept[first:]])
    r = np.array([k[0] for k in kept[first:]])
    there = np.isfinite(r)
    np.testing.assert_allclose(means.residual, (w[:, None] * np.where(there, r, 0)).sum(0) / (w[:, None] * there).sum(0))
    signature = np.tensordot(w, np.array([k[1] for k in kept[first:]]), (0, 0)) / w.sum()
    np.testing.assert_allclose(means.signature, signature, atol=1e-6)  # kept in float32
    np.testing.assert_allclose(means.share, (w[:, None] * there).sum(0) / w.sum())


def test_the_filter_follows_a_repair_at_once_and_never_below_zero() -> None:
    _, _, _, noise = learnt()
    n = len(noise.bias)
    pipe = int(np.abs(noise.signature).sum(axis=0).argmax())
    belief = Belief(np.zeros(n), np.zeros(0), np.diag(noise.bias**2))
    belief.add(Track(1, pipe, 0, 10, window=4, peak=20.0, charged=20.0), 20.0, 1.0)
    walks = Walks(noise.reference_m3_per_h / 180.0)
    for h in range(100, 106):
        gone = -noise.signature[:, pipe] * belief.flow[0]  # it flows no more, but the model lets it flow
        advance(belief, h, gone, noise.signature, 1, noise, walks)
        assert belief.flow[0] >= 0.0
    assert belief.flow[0] < 2.0


def test_a_muted_meter_is_heard_again_from_a_new_zero_and_a_second_silence_lasts_longer() -> None:
    muting, bias = Muting(), np.array([0.0, 0.002])
    jumped = np.array([0.01, 0.302])
    muting.mute(1, 10)
    week = 24 * 7
    silent = np.array([muting.heard(h, jumped, bias) for h in range(10, 10 + week)])
    assert np.isnan(silent[:, 1]).all()
    assert (silent[:, 0] == 0.01).all()
    np.testing.assert_allclose(muting.heard(10 + week, jumped, bias), [0.01, 0.002])
    np.testing.assert_array_equal(muting.heard(9, jumped, bias), jumped)  # a replay of what came before
    assert muting.since(9) == [1]
    assert muting.since(10 + week) == []
    muting.mute(1, 400)
    assert np.isnan(muting.heard(400 + 8 * week - 1, jumped, bias)[1])
    assert np.isfinite(muting.heard(400 + 8 * week, jumped, bias)[1])


def test_a_muted_meter_that_stood_still_comes_back_with_the_zero_that_it_had() -> None:
    muting, bias = Muting(), np.zeros(1)
    muting.mute(0, 10)
    week = 24 * 7
    for h in range(10, 10 + week):  # half a metre off for six hours, then known to stand still
        assert np.isnan(muting.heard(h, np.array([0.5 if h < 16 else np.nan]), bias)[0])
    assert muting.heard(10 + week, np.array([0.01]), bias)[0] == pytest.approx(0.01)


def test_a_large_drop_is_the_end_of_the_leak_that_is_large_enough() -> None:
    z, f = np.array([-40.0, -50.0, -10.0]), np.array([-19.0, -21.0, -60.0])  # of three pipes
    mine, flow = np.array([1, 0]), np.array([8.0, 20.0])  # a small leak at pipe 1, a large one at pipe 0
    assert who_fell(z, f, mine, flow, 1.0) == 1
    assert who_fell(z, f, mine, np.array([21.0, 20.0]), 1.0) == 0  # both large enough: the better explanation


def test_ratios_are_those_of_the_inverse() -> None:
    rng = np.random.default_rng(0)
    root, e, signature = rng.standard_normal((6, 6)), rng.standard_normal(6), rng.standard_normal((6, 40))
    R = root @ root.T + np.eye(6)
    product, power = projected(R, e, signature)
    weight = np.linalg.inv(R)
    np.testing.assert_allclose(product, e @ weight @ signature, rtol=1e-6)
    np.testing.assert_allclose(power, np.einsum("ij,ik,kj->j", signature, weight, signature), rtol=1e-6)
    with pytest.raises(np.linalg.LinAlgError):
        whitened(-R, signature)
