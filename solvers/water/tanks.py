"""Tanks: volume by level, level after an inflow, time until full or empty. Cylinders, or a volume curve."""

from __future__ import annotations

import numpy as np

from grid_models.water.network import WaterNetwork
from solvers.water.plan import Floats

_NEVER = 1 << 60
_FLOW_TOLERANCE = 0.0001 * 0.028317


class Tanks:
    """All tanks of a network.

    Args:
        network: the network.
    """

    def __init__(self, network: WaterNetwork) -> None:
        table = network.tables["tank"]
        self._low = np.asarray(table["minimum_level_m"], dtype=np.float64)
        self._high = np.asarray(table["maximum_level_m"], dtype=np.float64)
        self._area = np.pi * np.asarray(table["diameter_m"], dtype=np.float64) ** 2 / 4.0
        least = np.asarray(table.column("minimum_volume_m3", 0.0), dtype=np.float64)
        self._least = np.where(least > 0, least, self._area * self._low)
        self._overflows = table.column("can_overflow", False).astype(bool)
        self._curve: list[tuple[Floats, Floats] | None] = []
        curves = network.tables["curve"]
        for name in table.column("volume_curve", "").tolist():
            row = int(curves.rows([name])[0]) if name else -1
            points = (np.asarray(curves["x"][row], float), np.asarray(curves["y"][row], float)) if name else None
            self._curve.append(points)

    def volume(self, tank: int, level_m: float) -> float:
        """Volume at a level [m3]."""
        curve = self._curve[tank]
        if curve is not None:
            return float(np.interp(level_m, *curve))
        return float(self._least[tank] + (level_m - self._low[tank]) * self._area[tank])

    def level(self, tank: int, volume_m3: float) -> float:
        """Level at a volume [m]."""
        curve = self._curve[tank]
        if curve is not None:
            return float(np.interp(volume_m3, curve[1], curve[0]))
        return float(self._low[tank] + (volume_m3 - self._least[tank]) / self._area[tank])

    def after(self, level_m: Floats, inflow_m3_per_s: Floats, dt_s: float) -> Floats:
        """(n_tank,) levels after a step; a tank that one more second would fill or empty is full or empty."""
        out = level_m.copy()
        for i, (level, q) in enumerate(zip(level_m.tolist(), inflow_m3_per_s.tolist(), strict=True)):
            volume = self.volume(i, level) + q * dt_s
            if volume + q >= self.volume(i, float(self._high[i])):
                volume = self.volume(i, float(self._high[i]))
            elif volume + q <= self.volume(i, float(self._low[i])):
                volume = self.volume(i, float(self._low[i]))
            out[i] = self.level(i, volume)
        return out

    def time_to_limit(self, level_m: Floats, inflow_m3_per_s: Floats) -> int:
        """Whole seconds until the first tank runs full or empty."""
        first = _NEVER
        for i, (level, q) in enumerate(zip(level_m.tolist(), inflow_m3_per_s.tolist(), strict=True)):
            if abs(q) <= _FLOW_TOLERANCE:
                continue
            rising = q > 0 and level < self._high[i]
            falling = q < 0 and level > self._low[i]
            if not (rising or falling):
                continue
            limit = self.volume(i, float(self._high[i] if rising else self._low[i]))
            wait = int(np.floor((limit - self.volume(i, level)) / q + 0.5))
            if 0 < wait < first:
                first = wait
        return first
