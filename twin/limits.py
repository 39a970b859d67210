"""The limits a network must keep: one table for alarms, what-if and comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Limit:
    """A band for one column.

    Args:
        column: of the state or result.
        lower: least allowed, -inf where none.
        upper: greatest allowed, inf where none.
        release: an alarm ends only when the value is this far inside the band again.
        code: of the alarm.
        unit: of the column.
    """

    column: str
    lower: float
    upper: float
    release: float
    code: str
    unit: str

    @property
    def element(self) -> str:
        """The element table that the column belongs to (`bus_vm_pu` -> `bus`)."""
        return self.column.split("_", 1)[0]

    def excess(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far each value lies outside the band, 0 inside and where there is no value."""
        outside = np.maximum(self.lower - values, values - self.upper)
        return np.where(np.isfinite(outside), np.maximum(outside, 0.0), 0.0)


LIMITS = (
    Limit("line_loading_percent", -np.inf, 100.0, 3.0, "LINE_OVERLOAD", "%"),
    Limit("trafo_loading_percent", -np.inf, 100.0, 3.0, "TRANSFORMER_OVERLOAD", "%"),
    Limit("trafo3w_loading_percent", -np.inf, 100.0, 3.0, "TRANSFORMER_OVERLOAD", "%"),
    # EN 50160 allows +-10 % in medium voltage.
    Limit("bus_vm_pu", 0.9, 1.1, 0.005, "VOLTAGE_BAND", "pu"),
    # DVGW W 400-1: below about 1.5 bar a house of two floors runs dry; above 8 bar fittings suffer.
    Limit("node_pressure_m", 15.0, 85.0, 1.0, "PRESSURE_BAND", "m"),
)
