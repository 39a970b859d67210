"""Weeks of a simulated year of L-Town lived through: alarms, and who tells what, beside the watch for bursts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.leak_years import make
from grid_models.formats import read
from grid_models.water.network import WaterNetwork
from solvers.water.leak_search.readings import Hours
from tests.simulation.life import Life
from tests.simulation.scada_life import batches, points, told_alike
from twin.assembly import assemble
from twin.config import read_config
from twin.leak_report import YearSearch, search_year
from twin.learnt import kept
from twin.point_list import write_point_list
from twin.scada_year import ScadaYear, in_common, read_year

STEP_S, WEEKS = 900, 5
LIKE = Path("../shared/battledim/dev_2018")


def lived(history: Path, scada: Path, home: Path, *, both: bool) -> tuple[YearSearch, Life]:
    """What `twin leaks` tells of the first weeks, and a twin that lives through them.

    Args:
        history: a folder with known leaks.
        scada: the year after it.
        home: where the twin lives.
        both: whether it has the watch for bursts, too.
    """
    network = read("epyt:L-TOWN")
    assert isinstance(network, WaterNetwork)
    past, year = in_common(read_year(history, network), read_year(scada, network))
    write_point_list(points(year.sensors, STEP_S).signals, home / "signals.csv")
    (home / "twin.toml").write_text(
        f"""
signals = "signals.csv"
clock = "stream"
lateness_s = {STEP_S}
[[networks]]
name = "water"
model = "epyt:L-TOWN"
cycle_s = {STEP_S}
history = "{history}"
"""
    )
    parts = assemble(read_config(home / "twin.toml"), lambda text, done: None)
    learnt = kept(home / "store" / "learnt", network, history, year.sensors, lambda text, done: None)
    until = str(np.datetime64(int(year.hours.start_s[0]), "s") + np.timedelta64(7 * WEEKS, "D"))
    first = replace(year, hours=_first(year, 24 * 7 * WEEKS))
    offline = search_year(network, past, first, lambda text, done: None, learnt)
    life = Life(parts if both else replace(parts, watches=()))
    return offline, life.through(batches(scada, year.sensors, until))


def _first(year: ScadaYear, n: int) -> Hours:
    h = year.hours
    columns = (h.start_s, h.pressure_m, h.flow_m3_per_h, h.level_m, h.level_gain_m, h.drawn_m3_per_h)
    return Hours(*(c[:n] for c in columns), np.asarray(h.turned_h)[:n], np.asarray(h.flow_spread_m3_per_h)[:n])


@pytest.mark.heavy
@pytest.mark.skipif(not LIKE.exists(), reason="the meters of ../shared/battledim are not here")
def test_five_weeks_of_l_town_are_told_live_as_twin_leaks_tells_them(tmp_path: Path) -> None:
    history, scada = tmp_path / "2018", tmp_path / "2019"
    # The first year of hidden town 21, as `python -m benchmarks leaks` makes it.
    make("epyt:L-TOWN", history, 2018, truth=21, leak_seed=211, like=LIKE, step_s=STEP_S)
    make("epyt:L-TOWN", scada, 2019, truth=21, leak_seed=212, like=LIKE, step_s=STEP_S, faults=True, carried=history)
    offline, life = lived(history, scada, tmp_path, both=False)
    assert {a.state for a in offline.alarms} == {"carried over", "new"}
    told_alike(life, offline)
