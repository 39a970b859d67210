"""Over a day, ours and EPANET 2.3 with its smallest errors find the same heads and flows on the networks of the packages."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.water_peers import run_23, text_of
from grid_models.formats.epanet import read_inp
from grid_models.formats.epanet_packaged import packaged_file
from grid_models.water.network import Options
from grid_models.water.units import Units
from solvers.solution import Status
from solvers.water.extended import simulate

HOURS = 24
NETWORKS = ("epyt:Net1", "epyt:Net2", "epyt:Net3", "epyt:L-TOWN", "epyt:ky4", "wntr:Net3", "epyt:foss_poly_1")


def reported(options: Options, now: int) -> bool:
    return now >= options.report_start_s and (now - options.report_start_s) % options.report_step_s == 0


@pytest.mark.parametrize("name", NETWORKS)
def test_heads_and_flows_agree(name: str, tmp_path: Path) -> None:
    file = packaged_file(*name.split(":"))
    network = read_inp(file)
    options = network.options
    units = Units.of(options.flow_unit, options.pressure_unit, options.specific_gravity)
    hours = min(options.duration_s / 3600, HOURS)
    path = tmp_path / "network.inp"
    path.write_text(text_of(file, tight=True, hours=hours), encoding="utf-8")
    peer = run_23(str(path), lambda now: reported(options, now))
    ours = simulate(network, hours * 3600)
    assert ours.status is Status.SOLVED
    np.testing.assert_array_equal(ours.value.time_s, peer["time_s"])
    # EPANET ends at 0.03 mm of head loss in each pipe; a tank adds that up over the day.
    np.testing.assert_allclose(ours.value.values["node_head_m"], peer["head"] * units.length_m, atol=1e-3)
    flow = peer["flow"] * units.flow_m3_per_s
    np.testing.assert_allclose(ours.value.values["link_flow_m3_per_s"], flow, atol=1e-5 + 1e-3 * np.abs(flow).max())
