"""Energy of pumps: what they draw, and what it costs, from heads and flows that were found.

    P = rho g q h / eta            rho = specific gravity * 1000 kg/m3
    eta = eta_c(q / w)             from the efficiency curve at the flow that it would carry at full speed w = 1
    1 - eta = (1 - eta_c) w^-0.1   for another speed (I. Sarbu and I. Borza 1998), held between 0.01 and 1
    E(t) = sum P dt,   cost = sum P dt * price(t)

P is held from one report to the next, so that energy is as exact as the reports are close; EPANET sums over its own steps.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from grid_models.water.network import WaterNetwork
from solvers.lending import lend
from solvers.water.plan import CUBIC_FOOT, FOOT, Floats
from solvers.water.schedule import factor_at, schedule

_WEIGHT = 745.7 / 8.814 / FOOT / CUBIC_FOOT  # of a cubic metre of water [N]; EPANET's
_J_PER_KWH = 3.6e6


def pump_energy(network: WaterNetwork, time_s: Floats, values: Mapping[str, NDArray[np.generic]]) -> dict[str, Floats]:
    """What pumps draw and cost.

    Args:
        network: the network.
        time_s: (n_time,) report times since the start.
        values: result columns of links, (n_time, n_link).

    Returns:
        `pump_electric_power_w`, `pump_efficiency`, and since the first report `pump_energy_kwh` and `pump_cost`, each
        (n_time, n_pump); nothing for a network without pumps.

    >>> from grid_models.library.water import pumped_tank
    >>> from solvers.water.extended import simulate
    >>> network = pumped_tank()
    >>> run = simulate(network, 7200.0).value
    >>> [round(float(p), 1) for p in pump_energy(network, run.time_s, run.values)["pump_energy_kwh"][:, 0]]
    [0.0, 16.0, 32.0]
    """
    at = network.pump_link
    if not len(at):
        return {}
    flow = np.abs(np.asarray(values["link_flow_m3_per_s"], dtype=np.float64)[:, at])
    lift = np.abs(np.asarray(values["link_headloss_m"], dtype=np.float64)[:, at])
    speed = np.asarray(values["link_setting"], dtype=np.float64)[:, at]
    efficiency = _efficiency(network, flow, speed)
    gravity = network.options.specific_gravity * _WEIGHT
    power = np.where(flow > 0.0, gravity * flow * np.nan_to_num(lift) / efficiency, 0.0)
    steps = np.diff(time_s)[:, None]
    prices = np.array([_prices(network, row, time_s) for row in range(len(at))]).T
    return {
        "pump_electric_power_w": power,
        "pump_efficiency": np.where(flow > 0.0, efficiency, 0.0),
        "pump_energy_kwh": _summed(power[:-1] * steps / _J_PER_KWH),
        "pump_cost": _summed(power[:-1] * steps / _J_PER_KWH * prices[:-1]),
    }


def _summed(parts: Floats) -> Floats:
    return np.concatenate([np.zeros((1, parts.shape[1])), np.cumsum(parts, axis=0)])


def _efficiency(network: WaterNetwork, flow: Floats, speed: Floats) -> Floats:
    """(n_time, n_pump) of 1."""
    out = np.full(flow.shape, network.options.pump_efficiency_percent / 100.0)
    curves = network.tables["curve"]
    for column, name in enumerate(network.tables["pump"].column("efficiency_curve", "").tolist()):
        if not name:
            continue
        row = int(curves.rows([name])[0])
        w = np.where(speed[:, column] > 0.0, speed[:, column], 1.0)
        at_full = np.interp(flow[:, column] / w, np.asarray(curves["x"][row]), np.asarray(curves["y"][row])) / 100.0
        out[:, column] = 1.0 - (1.0 - at_full) * (1.0 / w) ** 0.1
    return np.asarray(np.clip(out, 0.01, 1.0))


def _prices(network: WaterNetwork, row: int, time_s: Floats) -> Floats:
    """(n_time,) of a kWh that pump `row` draws; its own price and pattern go before the network's."""
    pump, options, patterns = network.tables["pump"], network.options, network.tables["pattern"].index.tolist()
    own_price, own_pattern = float(pump.column("energy_price", 0.0)[row]), str(pump.column("energy_price_pattern", "")[row])
    pattern = own_pattern or options.energy_price_pattern
    base = own_price if own_price > 0.0 else options.energy_price
    times, number = lend(schedule(network)), patterns.index(pattern) if pattern else -1
    return np.array([base * factor_at(times, number, int(t)) for t in time_s.tolist()])
