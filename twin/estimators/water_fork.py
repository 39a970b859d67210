"""A water network that carries a state: what a question of "what if" begins from; solving it gives the state again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from grid_models.state import NetworkState
from grid_models.tables import Table, frozen
from grid_models.water.network import WaterNetwork
from solvers.solution import Status, Unsolvable
from solvers.water.plan import Floats
from solvers.water.steady import demand_at

_DAY_S = 86400.0
_EPOCH_WEEKDAY_S = 3 * _DAY_S  # 1970-01-01 was a Thursday; patterns begin on Monday


def pattern_seconds(instant_us: int) -> float:
    """Seconds since Monday 00:00 UTC, where the networks' weekly patterns begin."""
    return float((instant_us / 1e6 + _EPOCH_WEEKDAY_S) % (7 * _DAY_S))


def forked(model: WaterNetwork, state: NetworkState) -> WaterNetwork:
    """The model with a state's demands, leaks, tank levels, statuses, and the clock at its instant.

    A leak that the state carries becomes a demand of its own without a pattern; a pipe that was found closed is closed.

    Raises:
        Unsolvable: the state is none: nothing could be estimated up to its instant.
    """
    if "nominal" not in state.memory:
        raise Unsolvable(Status[state.status], state.culprits)
    tables = dict(model.tables)
    seconds = pattern_seconds(state.valid_time_us)
    lost = np.asarray(state.memory["lost"])
    drawn = np.asarray(state.values["node_demand_m3_per_s"]) - lost
    demand = _scaled_demand(model, drawn, demand_at(model, seconds))
    tables["demand"] = _with_leaks(demand, model, lost / model.options.demand_multiplier)
    tank, pump, pipe = tables["tank"], tables["pump"], tables["pipe"]
    tables["tank"] = tank.replace("initial_level_m", slice(None), np.asarray(state.values["tank_level_m"]))
    running = np.asarray(state.values["link_status"])[model.pump_link] > 0
    tables["pump"] = pump.replace("status", slice(None), np.where(running, "open", "closed").astype(object))
    shut = np.isin(model.pipe_link, state.memory["shut"])
    if shut.any():
        tables["pipe"] = pipe.replace("status", shut, "closed")
    options = replace(
        model.options,
        pattern_start_s=round(seconds) % round(7 * _DAY_S),
        start_clocktime_s=round(seconds % _DAY_S),
    )
    return replace(model, tables=tables, options=options)


def _scaled_demand(model: WaterNetwork, demand: Floats, nominal: Floats) -> Table:
    """The demand table with every junction's categories scaled so that their sum is `demand` now."""
    table = model.tables["demand"]
    node = model.demand_node
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = np.where(nominal > 1e-12, demand / nominal, 1.0)
    base = table["base_m3_per_s"] * factor[node]
    return Table(table.index, {**table.columns, "base_m3_per_s": frozen(base)})


def _with_leaks(table: Table, model: WaterNetwork, base: Floats) -> Table:
    """The demand table with a row for each node that loses water, (n_node,) [m3/s]."""
    nodes = np.flatnonzero(base)
    if not len(nodes):
        return table
    names = [str(i) for i in model.node_ids[nodes]]
    more = {"node": names, "base_m3_per_s": base[nodes], "pattern": [""] * len(nodes), "category": ["leak"] * len(nodes)}
    columns = {name: frozen(np.concatenate([column, np.asarray(more[name])])) for name, column in table.columns.items()}
    return Table(frozen(np.concatenate([table.index, np.array([f"{i}/leak" for i in names])])), columns)
