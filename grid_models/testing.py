"""Hypothesis strategies for both kinds of network; needs `hypothesis`, which comes with the `test` extra."""

from grid_models.power.testing import pandapower_nets, power_networks
from grid_models.water.testing import inp_texts, water_networks

__all__ = ["inp_texts", "pandapower_nets", "power_networks", "water_networks"]
