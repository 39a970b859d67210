"""Year folders as they come: gaps, lost rows, time zones, meters that are silent, wrong or missing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from grid_models.errors import InvalidInput
from grid_models.library.water import looped_town
from grid_models.water.network import WaterNetwork
from twin.scada_year import in_common, read_year

DAYS = 10
NETWORK = looped_town(3, 4)
PRESSURES = ("J001", "J101", "J201")


def frames(first: str = "2020-02-25", days: int = DAYS) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(0)
    time = pd.date_range(first, periods=days * 96, freq="15min")
    n = len(time)

    def frame(ids: tuple[str, ...], mean: float) -> pd.DataFrame:
        return pd.DataFrame({"time": time, **{i: np.round(mean + 20 * rng.standard_normal(n)) for i in ids}})

    return {
        "pressures_cm": frame(PRESSURES, 4000.0),
        "flows_level_x100": frame(("source", "tower", "tank"), 400.0),
        "demands_Lh": frame(("J002",), 900.0),
    }


def write(folder: Path, tables: dict[str, pd.DataFrame], year: int = 2020) -> Path:
    folder.mkdir(exist_ok=True)
    for name, table in tables.items():
        connection = duckdb.connect()
        connection.register("frame", table)
        connection.execute(f"copy frame to '{folder / f'{name}_{year}.parquet'}' (format parquet)")
    return folder


def network() -> WaterNetwork:
    return NETWORK


def test_a_leap_day_is_a_day_like_any_other(tmp_path: Path) -> None:
    found = read_year(write(tmp_path, frames()), network())
    assert len(found.hours) == 24 * DAYS
    assert found.step_s == 900.0
    assert found.truth is None
    assert found.repairs == ()
    assert found.hours.hour_of_week[0] == 24  # 25 February 2020 was a Tuesday
    assert (np.diff(found.hours.start_s) == 3600.0).all()


def test_lost_rows_are_gaps_and_files_need_not_lose_the_same(tmp_path: Path) -> None:
    whole = read_year(write(tmp_path / "whole", frames()), network())
    tables = frames()
    tables["pressures_cm"] = tables["pressures_cm"].drop(index=range(96, 96 + 48))
    tables["demands_Lh"] = tables["demands_Lh"].drop(index=range(8))
    found = read_year(write(tmp_path / "lost", tables), network())
    assert len(found.hours) == len(whole.hours)
    assert np.isnan(found.hours.pressure_m[24:36]).all()
    np.testing.assert_array_equal(found.hours.pressure_m[36:], whole.hours.pressure_m[36:])
    assert np.isnan(found.hours.drawn_m3_per_h[:2]).all()
    np.testing.assert_array_equal(found.hours.drawn_m3_per_h[2:], whole.hours.drawn_m3_per_h[2:])


def test_instants_with_a_zone_are_the_same_instants(tmp_path: Path) -> None:
    whole = read_year(write(tmp_path / "naive", frames()), network())
    tables = frames()
    for name in tables:
        tables[name]["time"] = tables[name]["time"].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    found = read_year(write(tmp_path / "berlin", tables), network())
    np.testing.assert_array_equal(found.hours.start_s, whole.hours.start_s)
    np.testing.assert_array_equal(found.hours.pressure_m, whole.hours.pressure_m)


def test_meters_that_the_history_never_heard_are_left_out(tmp_path: Path) -> None:
    tables = frames("2019-02-25")
    tables["pressures_cm"]["J101"] = np.nan
    tables["pressures_cm"]["J201"] = 4000.0  # it stands still
    past, year = read_year(write(tmp_path / "past", tables, 2019), network()), read_year(write(tmp_path, frames()), network())
    past, year = in_common(past, year)
    assert past.sensors == year.sensors
    assert year.sensors.pressure == ("J001",)
    assert year.hours.pressure_m.shape == (24 * DAYS, 1)


def test_one_meter_in_another_unit_is_not_read_and_all_of_them_are_refused(tmp_path: Path) -> None:
    past = read_year(write(tmp_path / "past", frames("2019-02-25"), 2019), network())
    year = read_year(write(tmp_path / "year", frames()), network())
    one = year.hours.pressure_m.copy()
    one[:, 1] *= 100.0
    _, found = in_common(past, replace(year, hours=replace(year.hours, pressure_m=one)))
    assert np.isnan(found.hours.pressure_m[:, 1]).all()
    np.testing.assert_array_equal(found.hours.pressure_m[:, 0], year.hours.pressure_m[:, 0])
    with pytest.raises(InvalidInput) as caught:
        in_common(past, replace(year, hours=replace(year.hours, pressure_m=year.hours.pressure_m * 100.0)))
    assert caught.value.issues[0].ids == PRESSURES


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda folder: (folder / "demands_Lh_2020.parquet").unlink(), "demands_Lh"),
        (lambda folder: (folder / "pressures_cm_2021.parquet").write_bytes(b"no parquet"), "more than one"),
        (lambda folder: (folder / "pressures_cm_2020.parquet").write_bytes(b"no parquet"), "cannot be read"),
        (lambda folder: (folder / "repairs_2020.csv").write_text("pipe,repaired\nE001,soon\n"), "is no instant"),
        (lambda folder: (folder / "repairs_2020.csv").write_text("where,repaired\nE001,2020-03-01\n"), "no such column"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, spoil: Callable[[Path], object], named: str) -> None:
    folder = write(tmp_path, frames())
    spoil(folder)
    with pytest.raises(InvalidInput, match=named):
        read_year(folder, network())


def test_crooked_instants_are_refused(tmp_path: Path) -> None:
    tables = frames()
    late = tables["pressures_cm"]["time"].to_numpy().copy()
    late[50] += np.timedelta64(37, "s")
    tables["pressures_cm"]["time"] = late
    with pytest.raises(InvalidInput, match="equal steps"):
        read_year(write(tmp_path, tables), network())


def test_the_mean_of_half_an_hour_is_no_pressure_and_an_hour_in_which_a_pump_switches_is_told(tmp_path: Path) -> None:
    tables = frames()
    tables["pressures_cm"].loc[40:41, "J001"] = np.nan  # half of the tenth hour
    flow = tables["flows_level_x100"]["source"] = np.full(24 * 4 * DAYS, 9000.0)
    flow[18:20] = 0.0  # half of the fourth hour
    tables["flows_level_x100"]["source"] = flow
    tables["flows_level_x100"].loc[80:83, "source"] = np.nan  # the twentieth hour
    found = read_year(write(tmp_path, tables), network()).hours
    assert np.isnan(found.pressure_m[10, 0])
    assert np.isfinite(found.pressure_m[10, 1:]).all()
    assert np.flatnonzero(found.is_unsteady(found.usual_flow_m3_per_h)).tolist() == [4]
    assert np.flatnonzero(np.isnan(np.asarray(found.flow_spread_m3_per_h)[:, 0])).tolist() == [20]
