"""A run that is written down, read by another process and continued there ends as the run that was never stopped."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from grid_models.errors import InvalidInput
from grid_models.library.water import pumped_tank, two_reservoirs
from solvers.water.checkpoint import read_state, write_state
from solvers.water.extended import Simulation, SimulationState

END_S = 10 * 3600.0
CONTINUE = """
import sys
from pathlib import Path
from tests.unit.test_water_checkpoint import pumped_tank, read_state, to_the_end, write_state
from solvers.water.extended import Simulation
network, (before, after) = pumped_tank(), map(Path, sys.argv[1:])
write_state(network, to_the_end(Simulation(network, read_state(network, before))).state, after)
"""


def to_the_end(run: Simulation) -> Simulation:
    run.solve()
    while run.state.time_s < END_S:
        run.step(END_S)
        run.solve()
    return run


def test_another_process_goes_on_bit_for_bit(tmp_path: Path) -> None:
    network = pumped_tank()
    run = Simulation(network)
    for _ in range(4):
        run.solve()
        run.step(END_S)
    write_state(network, run.state, tmp_path / "before.npz")
    subprocess.run([sys.executable, "-c", CONTINUE, tmp_path / "before.npz", tmp_path / "after.npz"], check=True)
    straight, other = to_the_end(run).state, read_state(network, tmp_path / "after.npz")
    assert straight.time_s == other.time_s == END_S
    for name in ("tank_level_m", "status", "setting"):
        assert getattr(straight, name).tobytes() == getattr(other, name).tobytes(), name
    assert straight.found is not None
    assert other.found is not None
    for name in ("head_m", "flow_m3_per_s", "status", "demand_m3_per_s", "emitted_m3_per_s", "supplied"):
        assert getattr(straight.found, name).tobytes() == getattr(other.found, name).tobytes(), name


def test_a_run_starts_from_measured_levels_and_statuses() -> None:
    network = pumped_tank()
    first = Simulation(network).state
    run = Simulation(
        network, SimulationState(3600, first.tank_level_m + 0.5, np.zeros_like(first.status) + 3, first.setting, None)
    )
    found = run.solve().value
    tank = network.tank_node[0]
    assert found.head_m[tank] == network.tables["tank"]["elevation_m"][0] + first.tank_level_m[0] + 0.5
    assert run.state.time_s == 3600


def test_what_is_no_state_of_this_network_is_refused(tmp_path: Path) -> None:
    network = pumped_tank()
    file = tmp_path / "state.npz"
    write_state(network, Simulation(network).state, file)
    assert read_state(network, file).found is None
    with pytest.raises(InvalidInput, match="another network"):
        read_state(two_reservoirs(), file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InvalidInput, match="no state"):
        read_state(network, file)
    with pytest.raises(InvalidInput, match="no state"):
        read_state(network, tmp_path / "absent.npz")
