"""A small town to be searched for leaks whose truth is another network: rougher pipes, other customers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from grid_models.library.water import looped_town
from grid_models.tables import Table
from grid_models.water.network import WaterNetwork
from solvers.water.leak_search.readings import Sensors

TOWN = looped_town(4, 5)
SENSORS = Sensors(("J001", "J004", "J103", "J201", "J302", "J304"), ("source", "tower"), ("tank",), ())
MONDAY_S = 1_514_764_800  # 1 January 2018


def truth() -> WaterNetwork:
    """The town as it is, which nobody knows exactly."""
    rng = np.random.default_rng(1)

    def disturbed(table: Table, column: str) -> Table:
        return table.replace(column, slice(None), table[column] * rng.uniform(0.92, 1.08, table.size))

    tables = dict(TOWN.tables)
    tables["pipe"] = disturbed(tables["pipe"], "roughness")
    tables["demand"] = disturbed(tables["demand"], "base_m3_per_s")
    return replace(TOWN, tables=tables)
