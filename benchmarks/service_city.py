"""A city of 10,000 buses and 12,500 nodes with its point list and true values: for the benchmarks of the service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.power import radial
from grid_models.formats import read
from grid_models.formats.pandapower import from_pandapower
from grid_models.measurements import Catalogue, Signal, SignalKind, Update
from grid_models.state import NetworkState
from solvers.solve import solve
from twin.estimators import Given, InForce
from twin.estimators.power import PowerEstimator
from twin.estimators.water import WaterEstimator

_WATER = "epyt:BWSN_Network_2"
_PRESSURES = 100
_POINTS = 10_000


@dataclass(frozen=True, eq=False)
class City:
    """Two networks and what is measured in them.

    Args:
        power: a medium-voltage town, radial.
        water: BWSN's second network.
        signals: of both; those of the power network first.
        values: (n,) true, one for each signal.
    """

    power: Any
    water: Any
    signals: list[Signal]
    values: np.ndarray

    def estimators(self) -> tuple[PowerEstimator, WaterEstimator]:
        """As the service has them."""
        catalogue = Catalogue(1, tuple(self.signals))
        return PowerEstimator(self.power, catalogue, "power"), WaterEstimator(self.water, catalogue, "water")

    def measured(self, seed: int) -> InForce:
        """Every signal's true value with its meter's noise."""
        sigma = np.array([s.sigma for s in self.signals])
        value = self.values + sigma * np.random.default_rng(seed).standard_normal(len(sigma))
        n = len(sigma)
        uid = np.array([s.uid for s in self.signals], dtype=np.uint32)
        return InForce(0, uid, value, sigma, np.ones(n, np.int64), np.zeros(n, bool), np.zeros(n, bool))


def city() -> City:
    """10,001 buses of which every fourth has a voltage meter, loads that are metered, 100 pressures, two tanks."""
    power, water = from_pandapower(radial(10_000)), read(_WATER)
    vm = solve(power).unwrap()["bus_vm_pu"].to_series()
    buses, loads = power.tables["bus"].index[::4], power.tables["load"].index
    prior = _prior(water)
    wet = np.flatnonzero((prior.values["node_supplied"] > 0) & np.isin(water.node_ids, water.tables["junction"].index))
    gauges = np.sort(np.random.default_rng(1).choice(wet, _PRESSURES, replace=False))
    tanks = water.tables["tank"].index
    loads = loads[: _POINTS - len(buses) - len(gauges) - len(tanks)]
    points = [("power", "bus", i, "vm_pu", "pu", 0.004) for i in buses]
    points += [("power", "load", i, "p_mw", "MW", 0.0005) for i in loads]
    points += [("water", "junction", water.node_ids[i], "pressure_m", "m", 0.05) for i in gauges]
    points += [("water", "tank", i, "level_m", "m", 0.02) for i in tanks]
    values = [vm[buses], power.tables["load"]["p_mw"][: len(loads)], prior.values["node_pressure_m"][gauges]]
    return City(
        power, water, [_signal(k, *point) for k, point in enumerate(points, start=1)],
        np.concatenate([*values, prior.values["tank_level_m"]]),
    )  # fmt: skip


def _prior(water: Any) -> NetworkState:
    """What the network does when nothing is measured."""
    none = np.zeros(0)
    nothing = InForce(0, none.astype(np.uint32), none, none, none.astype(np.int64), none.astype(bool), none.astype(bool))
    return WaterEstimator(water, Catalogue(1, ()), "water").step(Given(nothing, None, {}))


def _signal(uid: int, network: str, table: str, element: object, quantity: str, unit: str, sigma: float) -> Signal:
    return Signal(
        uid, f"{table}.{element}.{quantity}", network, SignalKind.ANALOG, table, str(element), quantity, "", unit, 1, sigma,
        -1e5, 1e5, Update.SPONTANEOUS, 60.0, 3600.0,
    )  # fmt: skip
