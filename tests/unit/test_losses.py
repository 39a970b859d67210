"""Loss figures: classes at their borders, night flow with gaps, and the figures of a town whose losses are known."""

import numpy as np
import pytest

from grid_models.library.water import looped_town
from solvers.water.leak_search.readings import Hours, Sensors
from solvers.water.leak_search.town import Town
from solvers.water.losses import classify, losses, minimum_night_flow
from twin.loss_report import zone_inflow, zone_length_km, zone_losses

HOURS = 24 * 14


@pytest.mark.parametrize(
    ("q_vr", "feed", "expected"),
    [
        (0.049, 4_999.0, ("rural", "low")),
        (0.05, 4_999.0, ("rural", "medium")),
        (0.11, 4_999.0, ("rural", "high")),
        (0.07, 5_000.0, ("urban", "medium")),
        (0.16, 14_999.0, ("urban", "high")),
        (0.16, 15_000.0, ("city", "medium")),
        (np.nan, 15_000.0, ("", "")),
    ],
)
def test_classes_of_w_392(q_vr: float, feed: float, expected: tuple[str, str]) -> None:
    assert classify(q_vr, feed) == expected


def test_a_night_that_was_not_read_does_not_count() -> None:
    hour = np.arange(24 * 3) % 24
    inflow = np.where(np.isin(hour, (2, 3)), 10.0, 50.0)
    inflow[26] = np.nan
    inflow[51] = 4.0
    assert minimum_night_flow(hour, inflow) == pytest.approx(7.0)  # of 10 and 4; the second night was not read
    assert np.isnan(minimum_night_flow(hour, np.full(72, np.nan)))


def test_without_a_number_of_services_there_is_no_index() -> None:
    hour = np.arange(HOURS) % 24
    found = losses("z", hour, np.full(HOURS, 10.0), np.zeros(HOURS), np.full(HOURS, 40.0), 5.0)
    assert np.isnan(found.ili)
    assert found.by_night_m3_per_h == pytest.approx(10.0 - 0.6 * 10.0 / 0.125 * 24.0 / 1000.0)


def test_a_town_whose_whole_inflow_is_lost_but_for_its_night_use() -> None:
    town = Town(looped_town(3, 4), Sensors(("J001",), ("source", "tower"), ("tank",), ()))
    start = np.asarray(1_514_764_800.0 + 3600.0 * np.arange(HOURS), dtype=np.float64)
    flow = np.tile([25.0, 5.0], (HOURS, 1))
    hours = Hours(start, np.ones((HOURS, 1)), flow, np.ones((HOURS, 1)), np.zeros((HOURS, 1)), np.zeros((HOURS, 0)))
    n_zone = len(town.zones.balanced)
    inflow = zone_inflow(town, hours)
    (zone,) = np.flatnonzero(zone_length_km(town) > 0.5)
    leaks = np.full((HOURS, n_zone), 3.0)
    (found,) = zone_losses(town, hours, leaks, np.full((HOURS, n_zone), 50.0), inhabitants=10_000, connections=800)
    assert found.night_flow_m3_per_h == pytest.approx(inflow[0, zone])
    assert found.by_night_m3_per_h == pytest.approx(found.night_flow_m3_per_h - 6.0)
    assert found.by_leaks_m3_per_h == pytest.approx(3.0)
    assert found.q_vr_m3_per_km_h * found.length_km == pytest.approx(found.by_night_m3_per_h)
    assert found.ili > 1.0
