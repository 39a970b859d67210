"""Tanks: volume by level, level after an inflow, time until full or empty. Cylinders, or a volume curve.

With level y, volume V and inflow q

    cylinder  V(y) = V_min + A (y - y_min)          curve  V(y) by straight pieces between its points
    V(t + dt) = V(t) + q dt,  held at V(y_max) or V(y_min) where one more second would reach it
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from grid_models.water.network import WaterNetwork
from solvers.accelerate import part
from solvers.water.plan import CUBIC_FOOT, Floats, Index

NEVER = 1 << 60
FLOW_TOLERANCE = 0.0001 * CUBIC_FOOT  # below it a tank's level stands


class Tanks(NamedTuple):
    """All tanks of a network.

    Args:
        node: (n_tank,).
        elevation: (n_tank,) of level 0 [m].
        initial: (n_tank,) level at the start [m].
        low, high: (n_tank,) levels at which it gives or takes no more [m].
        area: (n_tank,) of the cylinder [m2].
        least: (n_tank,) volume at `low` [m3].
        curve: (n_tank + 1,) where each tank's points begin.
        level, volume: points [m], [m3].
        first: (n_tank + 1,) where each tank's links begin.
        link: links at tanks, those that end there positive: k, those that start there ~k.
    """

    node: Index
    elevation: Floats
    initial: Floats
    low: Floats
    high: Floats
    area: Floats
    least: Floats
    curve: Index
    level: Floats
    volume: Floats
    first: Index
    link: Index


def tanks(network: WaterNetwork) -> Tanks:
    """Read a network's tanks."""
    table, curves = network.tables["tank"], network.tables["curve"]

    def column(name: str) -> Floats:
        return np.array(table[name], dtype=np.float64)

    low, area = column("minimum_level_m"), np.pi * column("diameter_m") ** 2 / 4.0
    least = np.asarray(table.column("minimum_volume_m3", 0.0), dtype=np.float64)
    level, volume, links = [np.zeros(0)], [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
    for name, node in zip(table.column("volume_curve", "").tolist(), network.tank_node.tolist(), strict=True):
        row = int(curves.rows([name])[0]) if name else -1
        level.append(np.asarray(curves["x"][row], dtype=np.float64) if name else np.zeros(0))
        volume.append(np.asarray(curves["y"][row], dtype=np.float64) if name else np.zeros(0))
        links.append(np.r_[np.flatnonzero(network.link_to == node), ~np.flatnonzero(network.link_from == node)])
    return Tanks(
        np.array(network.tank_node), column("elevation_m"), column("initial_level_m"), low, column("maximum_level_m"), area,
        np.where(least > 0, least, area * low),
        np.cumsum([len(x) for x in level]), np.concatenate(level), np.concatenate(volume),
        np.cumsum([len(x) for x in links]), np.concatenate(links),
    )  # fmt: skip


@part
def between(first: int, last: int, x: Floats, y: Floats, at: float) -> float:
    """The curve at `at` by straight pieces; the end values beyond the ends."""
    if at <= x[first]:
        return float(y[first])
    for k in range(first + 1, last):
        if at <= x[k]:
            return float(y[k - 1] + (at - x[k - 1]) * (y[k] - y[k - 1]) / (x[k] - x[k - 1]))
    return float(y[last - 1])


@part
def volume_at(t: Tanks, i: int, level: float) -> float:
    """Volume of tank i at a level [m3]."""
    if t.curve[i + 1] > t.curve[i]:
        return between(t.curve[i], t.curve[i + 1], t.level, t.volume, level)
    return float(t.least[i] + (level - t.low[i]) * t.area[i])


@part
def level_at(t: Tanks, i: int, volume: float) -> float:
    """Level of tank i at a volume [m]."""
    if t.curve[i + 1] > t.curve[i]:
        return between(t.curve[i], t.curve[i + 1], t.volume, t.level, volume)
    return float(t.low[i] + (volume - t.least[i]) / t.area[i])


@part
def inflow(t: Tanks, i: int, flow: Floats) -> float:
    """Net inflow of tank i [m3/s]."""
    total = 0.0
    for x in range(t.first[i], t.first[i + 1]):
        k = t.link[x]
        total += flow[k] if k >= 0 else -flow[~k]
    return total


@part
def fill(t: Tanks, level: Floats, flow: Floats, dt: int) -> None:
    """Levels after a step of dt seconds; a tank that one more second would fill or empty is full or empty."""
    for i in range(len(level)):
        q = inflow(t, i, flow)
        volume = volume_at(t, i, level[i]) + q * dt
        top, bottom = volume_at(t, i, t.high[i]), volume_at(t, i, t.low[i])
        if volume + q >= top:
            volume = top
        elif volume + q <= bottom:
            volume = bottom
        level[i] = level_at(t, i, volume)


@part
def time_to_limit(t: Tanks, level: Floats, flow: Floats) -> int:
    """Whole seconds until the first tank runs full or empty."""
    first = NEVER
    for i in range(len(level)):
        q = inflow(t, i, flow)
        if abs(q) <= FLOW_TOLERANCE:
            continue
        rising = q > 0.0 and level[i] < t.high[i]
        falling = q < 0.0 and level[i] > t.low[i]
        if rising or falling:
            limit = volume_at(t, i, t.high[i] if rising else t.low[i])
            wait = int(np.floor((limit - volume_at(t, i, level[i])) / q + 0.5))
            if 0 < wait < first:
                first = wait
    return first
