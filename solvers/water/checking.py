"""A run checked at every instant: what each equation leaves, and every condition that does not hold, with its time.

The instants are those of the run itself, the ones between two reports too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grid_models.water.network import WaterNetwork
from solvers.water.extended import Simulation
from solvers.water.plan import Floats
from solvers.water.residuals import Residuals, residuals


@dataclass(frozen=True, eq=False)
class Check:
    """What a run leaves.

    Args:
        time_s: (n_instant,) seconds since the start.
        left: of each instant.
    """

    time_s: Floats
    left: tuple[Residuals, ...]

    @property
    def holds(self) -> bool:
        """Whether every equation and condition holds at every instant."""
        return all(left.hold for left in self.left)

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """`check_...` -> (n_instant,): the residuals, where they are largest, and what is broken (one condition a line)."""
        return {
            "check_mass": np.array([left.mass for left in self.left]),
            "check_mass_node": np.array([left.mass_at for left in self.left], dtype=object),
            "check_head_m": np.array([left.head_m for left in self.left]),
            "check_head_link": np.array([left.head_at for left in self.left], dtype=object),
            "check_outflow": np.array([left.outflow for left in self.left]),
            "check_broken": np.array(["\n".join(left.broken) for left in self.left], dtype=object),
        }


def check(network: WaterNetwork, duration_s: float | None = None) -> Check:
    """Run a network from its own start once more, instant by instant, and check each.

    Args:
        network: the network.
        duration_s: of the run, 0 for its first instant; the network's own unless told.

    >>> from grid_models.library.water import pumped_tank
    >>> found = check(pumped_tank(), 3 * 3600)
    >>> found.holds, len(found.left) == len(found.time_s)
    (True, True)
    """
    end = network.options.duration_s if duration_s is None else duration_s
    simulation = Simulation(network)
    times: list[float] = []
    left: list[Residuals] = []
    while True:
        found = simulation.solve().value
        times.append(float(simulation.state.time_s))
        left.append(residuals(simulation.plan, simulation.boundary(), found))
        if times[-1] >= end:
            return Check(np.array(times), tuple(left))
        simulation.step(end)
