"""Rule-based controls: IF premises THEN actions ELSE actions, by priority, as EPANET evaluates them.

Premises are read from left to right: after a false result an AND ends the rule as false, and an OR is looked at only then.
Values are compared with a tolerance of 0.001 in the file's own units. Of two actions on one link the higher priority wins,
then the earlier rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grid_models.water.controls import Premise, Rule
from grid_models.water.network import LinkKind, WaterNetwork
from grid_models.water.units import Units
from solvers.water.plan import ACTIVE, CLOSED, OPEN, Floats, Index, WaterPlan

if TYPE_CHECKING:
    from solvers.water.extended import SimulationState

_DAY_S = 86400
_TOLERANCE = 0.001


def applied(network: WaterNetwork, plan: WaterPlan, state: SimulationState) -> tuple[Index, Floats] | None:
    """Statuses and settings after the rules, or None where no rule changes anything."""
    wanted: dict[int, tuple[float, int, Rule, bool]] = {}
    for order, rule in enumerate(network.rules):
        if not rule.enabled:
            continue
        holds = _holds(network, plan, state, rule)
        for action in rule.then if holds else rule.otherwise:
            link = int(network.links([action.link])[0])
            rank = (-rule.priority, order)
            if link not in wanted or rank < wanted[link][:2]:
                wanted[link] = (*rank, rule, holds)
    status, setting = state.status.copy(), state.setting.copy()
    changed = False
    for link, (_, _, rule, holds) in wanted.items():
        action = next(a for a in (rule.then if holds else rule.otherwise) if network.links([a.link])[0] == link)
        kind = plan.laws.kind[link]
        if action.status == "open" and status[link] <= CLOSED:
            status[link], changed = OPEN, True
            if kind == LinkKind.PUMP:
                setting[link] = 1.0
            elif kind > LinkKind.PUMP:
                setting[link] = np.nan
        elif action.status == "closed" and status[link] > CLOSED:
            status[link], changed = CLOSED, True
            if kind > LinkKind.PUMP:
                setting[link] = np.nan
        elif action.status == "active" and status[link] != ACTIVE:
            status[link], changed = ACTIVE, True
        if action.setting is not None and not abs(action.setting - setting[link]) <= _TOLERANCE:
            setting[link], changed = action.setting, True
            if kind == LinkKind.PUMP:
                status[link] = OPEN if action.setting > 0 else CLOSED
            elif kind > LinkKind.PUMP:
                status[link] = ACTIVE
    return (status, setting) if changed else None


def _holds(network: WaterNetwork, plan: WaterPlan, state: SimulationState, rule: Rule) -> bool:
    result = True
    for premise in rule.premises:
        if premise.logic == "or":
            if not result:
                result = _premise(network, plan, state, premise)
        else:
            if not result:
                return False
            result = _premise(network, plan, state, premise)
    return result


def _premise(network: WaterNetwork, plan: WaterPlan, state: SimulationState, premise: Premise) -> bool:
    if premise.attribute in ("time", "clock_time"):
        return _time(network, state, premise)
    if premise.status is not None:
        link = int(network.links([premise.id])[0])
        code = state.status[link] if state.found is None else state.found.status[link]
        now = "closed" if code <= CLOSED else ("active" if code == ACTIVE else "open")
        return (now == premise.status) == (premise.relation != "<>")
    value = _value(network, plan, state, premise)
    if value is None or premise.value is None:
        return False
    units = Units.of(network.options.flow_unit, network.options.pressure_unit, network.options.specific_gravity)
    unit = {"pressure": units.pressure_m, "demand": units.flow_m3_per_s, "flow": units.flow_m3_per_s}
    tolerance = _TOLERANCE * unit.get(premise.attribute, units.length_m)
    difference = value - premise.value
    match premise.relation:
        case "=":
            return abs(difference) <= tolerance
        case "<>":
            return abs(difference) >= tolerance
        case "<":
            return difference <= tolerance
        case "<=":
            return difference <= -tolerance
        case ">":
            return difference >= -tolerance
        case _:
            return difference >= tolerance


def _time(network: WaterNetwork, state: SimulationState, premise: Premise) -> bool:
    now = float(state.time_s)
    if premise.attribute == "clock_time":
        now = (now + network.options.start_clocktime_s) % _DAY_S
    wanted = float(premise.value or 0.0)
    since = now - min(network.options.rule_step_s, network.options.hydraulic_step_s) + 1
    passed = since <= wanted <= now
    match premise.relation:
        case "=":
            return passed
        case "<>":
            return not passed
        case "<":
            return now < wanted
        case "<=":
            return now <= wanted
        case ">":
            return now > wanted
        case _:
            return now >= wanted


def _value(network: WaterNetwork, plan: WaterPlan, state: SimulationState, premise: Premise) -> float | None:
    """The quantity that a premise compares, None where there is none."""
    found = state.found
    assert found is not None
    if premise.object == "link":
        link = int(network.links([premise.id])[0])
        if premise.attribute == "flow":
            return abs(float(found.flow_m3_per_s[link]))
        setting = float(state.setting[link])
        return None if np.isnan(setting) else setting
    if premise.object == "system":
        return float(found.demand_m3_per_s.sum())
    node = int(network.nodes([premise.id])[0])
    tank = np.flatnonzero(network.tank_node == node)
    if premise.attribute == "demand":
        return float(found.demand_m3_per_s[node])
    if len(tank):
        level = float(state.tank_level_m[int(tank[0])])
        elevation = float(network.tables["tank"]["elevation_m"][int(tank[0])])
        if premise.attribute in ("level", "pressure"):
            return level
        if premise.attribute == "head":
            return elevation + level
        return _fill_or_drain_s(network, plan, state, int(tank[0]), premise.attribute)
    head = float(found.head_m[node])
    return head if premise.attribute == "head" else head - float(plan.laws.elevation[node])


def _fill_or_drain_s(network: WaterNetwork, plan: WaterPlan, state: SimulationState, tank: int, attribute: str) -> float | None:
    from solvers.water.tanks import Tanks

    found = state.found
    assert found is not None
    node = int(network.tank_node[tank])
    inflow = float(found.flow_m3_per_s[plan.laws.end == node].sum() - found.flow_m3_per_s[plan.laws.start == node].sum())
    tanks = Tanks(network)
    table = network.tables["tank"]
    have = tanks.volume(tank, float(state.tank_level_m[tank]))
    if attribute == "fill_time":
        room = tanks.volume(tank, float(table["maximum_level_m"][tank])) - have
        return room / inflow if inflow > 0 else None
    left = have - tanks.volume(tank, float(table["minimum_level_m"][tank]))
    return left / -inflow if inflow < 0 else None
