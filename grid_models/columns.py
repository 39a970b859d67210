"""The registry of all columns: `COLUMNS["line_length_km"].unit`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from grid_models.column import Column, Role
from grid_models.power.columns import POWER_COLUMNS
from grid_models.water.columns import WATER_COLUMNS

__all__ = ["COLUMNS", "Column", "Role", "inputs"]

COLUMNS: Mapping[str, Column] = MappingProxyType({c.key: c for c in (*POWER_COLUMNS, *WATER_COLUMNS)})


def inputs(table: str) -> dict[str, Column]:
    """The columns of one element table that a patch may set, by name.

    >>> inputs("load")["p_mw"].unit
    'MW'
    """
    return {c.name: c for c in (*POWER_COLUMNS, *WATER_COLUMNS) if c.table == table and c.role is not Role.RESULT}
