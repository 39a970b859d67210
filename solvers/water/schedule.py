"""What a network asks of its hydraulics at each instant: clock, demands, heads of reservoirs, speeds of pumps.

A pattern p of n factors has at t the factor p[((t + start) div step) mod n]; a demand is base * factor * multiplier.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from grid_models.water.network import WaterNetwork
from solvers.accelerate import kernel, part
from solvers.water.plan import Floats, Index

DAY_S = 86400


class Schedule(NamedTuple):
    """A network's timetable as kernels take it.

    Args:
        hydraulic_step, pattern_step, pattern_start, report_step, report_start, rule_step, start_clocktime: [s].
        first: (n_pattern + 1,) where each pattern's factors begin in `factor`.
        factor: factors of all patterns, one after the other.
        demand_node: (n_demand,) node of each category.
        demand_base: (n_demand,) [m3/s], the multiplier of all demands not included.
        demand_pattern: (n_demand,) pattern, -1 for none.
        multiplier: of all demands.
        reservoir_node, reservoir_head, reservoir_pattern: (n_reservoir,) likewise; heads in [m].
        pump_link, pump_pattern: (n_patterned,) pumps whose speed follows a pattern.
    """

    hydraulic_step: int
    pattern_step: int
    pattern_start: int
    report_step: int
    report_start: int
    rule_step: int
    start_clocktime: int
    first: Index
    factor: Floats
    demand_node: Index
    demand_base: Floats
    demand_pattern: Index
    multiplier: float
    reservoir_node: Index
    reservoir_head: Floats
    reservoir_pattern: Index
    pump_link: Index
    pump_pattern: Index


def schedule(network: WaterNetwork) -> Schedule:
    """Read a network's timetable."""
    o, tables = network.options, network.tables
    patterns = tables["pattern"]
    factors = [np.asarray(f, dtype=np.float64) for f in patterns["multipliers"]]
    number = {str(name): i for i, name in enumerate(patterns.index.tolist())}
    number[""] = -1

    def numbers(names: object) -> Index:
        return np.array([number[str(name)] for name in np.asarray(names).tolist()], dtype=np.int64)

    speed = numbers(tables["pump"]["speed_pattern"])
    return Schedule(
        hydraulic_step=int(o.hydraulic_step_s), pattern_step=int(o.pattern_step_s), pattern_start=int(o.pattern_start_s),
        report_step=int(o.report_step_s), report_start=int(o.report_start_s), rule_step=int(o.rule_step_s),
        start_clocktime=int(o.start_clocktime_s),
        first=np.concatenate([[0], np.cumsum([len(f) for f in factors])]).astype(np.int64),
        factor=np.concatenate([*factors, np.zeros(0)]),
        demand_node=np.array(network.demand_node),
        demand_base=np.array(tables["demand"]["base_m3_per_s"], dtype=np.float64),
        demand_pattern=numbers(tables["demand"]["pattern"]),
        multiplier=float(o.demand_multiplier),
        reservoir_node=np.array(network.reservoir_node),
        reservoir_head=np.array(tables["reservoir"]["head_m"], dtype=np.float64),
        reservoir_pattern=numbers(tables["reservoir"]["pattern"]),
        pump_link=np.array(network.pump_link[speed >= 0]),
        pump_pattern=speed[speed >= 0],
    )  # fmt: skip


@kernel
def factor_at(plan: Schedule, pattern: int, time: int) -> float:
    """A pattern's factor at a time since the start [s]; 1 for no pattern."""
    if pattern < 0 or plan.first[pattern + 1] == plan.first[pattern]:
        return 1.0
    n = plan.first[pattern + 1] - plan.first[pattern]
    return float(plan.factor[plan.first[pattern] + (time + plan.pattern_start) // plan.pattern_step % n])


@kernel
def ask(plan: Schedule, time: int, demand: Floats, head: Floats, setting: Floats) -> None:
    """Set the demands of all nodes, the heads of reservoirs, and the speeds of pumps that follow a pattern.

    Args:
        plan: the timetable.
        time: since the start [s].
        demand: (n_node,) receives demands [m3/s].
        head: (n_node,) receives the reservoirs' heads [m].
        setting: (n_link,) receives speeds.
    """
    now = np.ones(len(plan.first))  # by pattern; the last one is for no pattern
    for p in range(len(now) - 1):
        now[p] = factor_at(plan, p, time)
    demand[:] = 0.0
    for x in range(len(plan.demand_node)):
        demand[plan.demand_node[x]] += plan.demand_base[x] * now[plan.demand_pattern[x]] * plan.multiplier
    for x in range(len(plan.reservoir_node)):
        head[plan.reservoir_node[x]] = plan.reservoir_head[x] * now[plan.reservoir_pattern[x]]
    ask_speeds(plan, time, setting)


@part
def ask_speeds(plan: Schedule, time: int, setting: Floats) -> None:
    """Set the speeds of pumps that follow a pattern; as `ask`."""
    for x in range(len(plan.pump_link)):
        setting[plan.pump_link[x]] = factor_at(plan, plan.pump_pattern[x], time)
