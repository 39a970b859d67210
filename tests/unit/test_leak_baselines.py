"""The baselines do fire: a comparison with what never speaks compares nothing."""

import numpy as np

from benchmarks.leak_baselines import night_flow
from grid_models.library.water import looped_town
from solvers.water.leak_search.readings import Hours, Sensors
from twin.scada_year import ScadaYear

_DAYS, _MONDAY_S = 70, 1_514_764_800.0
_SENSORS = Sensors(("J001",), ("source", "tower"), ("tank",), ())


def _year(burst_from: int, seed: int) -> ScadaYear:
    """Ten weeks of metered flow into the town, more at weekends, with a burst of 10 m3/h from a day on."""
    rng = np.random.default_rng(seed)
    n = 24 * _DAYS
    day, hour = np.divmod(np.arange(n), 24)
    drawn = 30.0 + 10.0 * (day % 7 >= 5) + 5.0 * (hour > 6) + 0.5 * rng.standard_normal(n) + 10.0 * (day >= burst_from)
    flow = np.column_stack([drawn, np.zeros(n)])
    nothing = np.zeros((n, 1))
    hours = Hours(_MONDAY_S + 3600.0 * np.arange(n, dtype=np.float64), nothing, flow, nothing, nothing, np.zeros((n, 0)))
    return ScadaYear(_SENSORS, hours, None, (), 3600.0)


def test_night_flow_tells_of_a_burst_after_three_nights_and_of_no_weekend() -> None:
    network, quiet = looped_town(4, 5), _year(_DAYS, seed=1)
    assert night_flow(network, quiet, _year(_DAYS, seed=2)) == []
    (alarm,) = night_flow(network, quiet, _year(40, seed=2))
    assert alarm[1] == 24 * 42 + 4  # the third night's end
