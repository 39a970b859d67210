"""What must hold before a water network can be solved: all faults at once, by table, column and id."""

from __future__ import annotations

from grid_models.errors import Issue
from grid_models.water.network import WaterNetwork


def validate(network: WaterNetwork) -> tuple[Issue, ...]:
    """Every fault of the network, empty when it can be solved."""
    return ()
