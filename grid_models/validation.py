"""One door to the checks of either kind of network."""

from __future__ import annotations

from grid_models.errors import Issue
from grid_models.network import Network
from grid_models.power.network import PowerNetwork
from grid_models.power.validation import validate as validate_power
from grid_models.water.network import WaterNetwork
from grid_models.water.validation import validate as validate_water


def validate(network: Network) -> tuple[Issue, ...]:
    """Every problem of a network, none hidden behind another."""
    if isinstance(network, PowerNetwork):
        return validate_power(network)
    if isinstance(network, WaterNetwork):
        return validate_water(network)
    raise TypeError(f"no checks for {type(network).__name__}")
