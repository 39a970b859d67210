"""What pumps draw and cost: EPANET 2.3's own figures at each hour, and its sum where its steps are ours."""

from pathlib import Path

import numpy as np

from benchmarks.water_peers import TIGHT
from grid_models.formats.epanet import read_text
from grid_models.formats.epanet_text import InpText
from solvers.water.energy import pump_energy
from solvers.water.extended import simulate

STATION = """[JUNCTIONS]
 B 10
 C 10 10 day
[RESERVOIRS]
 R 20
 S 60
[PIPES]
 P B C 500 200 120
 Q S C 900 150 120
[PUMPS]
 U R B HEAD lift PATTERN speed
[CURVES]
 lift 10 50
 wire 0 20
 wire 8 70
 wire 16 60
[PATTERNS]
 day 0.5 1.0 1.5
 speed 1.0 0.9 1.05 0
 price 0.5 1 2
[ENERGY]
 PUMP U EFFIC wire
 PUMP U PRICE 0.2
 PUMP U PATTERN price
[TIMES]
 DURATION 12
[OPTIONS]
 UNITS LPS
 SPECIFIC GRAVITY 0.98
[END]
"""


def test_power_efficiency_energy_and_cost_are_those_of_epanet(tmp_path: Path) -> None:
    from epanet import toolkit as en

    path = tmp_path / "station.inp"
    path.write_text(STATION.replace("[END]", f"{TIGHT}[REPORT]\n STATUS NO\n[END]"), encoding="utf-8")
    project = en.createproject()
    en.open(project, str(path), str(path) + ".rpt", "")
    en.openH(project)
    en.initH(project, 0)
    link, times, power, efficiency = en.getlinkindex(project, "U"), [], [], []
    while True:
        times.append(en.runH(project))
        power.append(1e3 * en.getlinkvalue(project, link, en.ENERGY))
        efficiency.append(en.getlinkvalue(project, link, en.PUMP_EFFIC))
        if en.nextH(project) <= 0:
            break
    network = read_text(InpText(STATION), "station")
    run = simulate(network).value
    found = pump_energy(network, run.time_s, run.values)
    np.testing.assert_array_equal(run.time_s, times)
    assert min(power) == 0.0 < max(power)  # at times it stands still
    np.testing.assert_allclose(found["pump_electric_power_w"][:, 0], power, rtol=1e-5)
    np.testing.assert_allclose(found["pump_efficiency"][:, 0], efficiency, rtol=1e-5)
    kwh = np.array(power[:-1]) / 1e3
    price = 0.2 * np.array([(0.5, 1.0, 2.0)[hour % 3] for hour in range(12)])
    np.testing.assert_allclose(found["pump_energy_kwh"][-1, 0], kwh.sum(), rtol=1e-5)
    np.testing.assert_allclose(found["pump_cost"][-1, 0], (kwh * price).sum(), rtol=1e-5)
