"""Rule-based controls: IF premises THEN actions ELSE actions, by priority, as EPANET evaluates them.

Premises are read from left to right: after a false result an AND ends the rule as false, and an OR is looked at only then.
Values are compared with a tolerance of 0.001 in the file's own units. Of two actions on one link the higher priority wins,
then the earlier rule.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from grid_models.water.controls import Action, Premise
from grid_models.water.network import WaterNetwork
from grid_models.water.units import Units
from solvers.accelerate import part
from solvers.water.plan import ACTIVE, CLOSED, OPEN, PUMP, Floats, Index, Laws
from solvers.water.schedule import DAY_S
from solvers.water.tanks import Tanks, inflow, volume_at

_TOLERANCE = 0.001
_CODES = {"closed": CLOSED, "open": OPEN, "active": ACTIVE}
_KEEPS = -1  # instead of a status code: the action or premise speaks of a setting or value
_RELATIONS = ("=", "<>", "<", "<=", ">", ">=")
_EQUAL, _UNEQUAL, _LESS, _LESS_EQUAL, _GREATER, _GREATER_EQUAL = range(6)
(
    _TIME, _CLOCK, _STATUS, _FLOW, _SETTING, _SYSTEM_DEMAND, _DEMAND, _HEAD, _PRESSURE, _TANK_LEVEL, _TANK_HEAD, _FILL, _DRAIN,
    _NOTHING,
) = range(14)  # fmt: skip


class Rules(NamedTuple):
    """A network's enabled rules in the file's order.

    Args:
        first: (n_rule + 1,) where each rule's premises begin.
        priority: (n_rule,).
        then, otherwise: (n_rule + 1,) where each rule's actions begin; those of `otherwise` follow all others.
        is_or: (n_premise,) 1 for OR.
        what: (n_premise,) the quantity compared.
        at: (n_premise,) link, node or tank.
        relation: (n_premise,) position in = <> < <= > >=.
        value, tolerance: (n_premise,) [SI].
        premise_status: (n_premise,) code of a status compared.
        action_link: (n_action,) position in `acted`.
        action_status: (n_action,) code, -1 where it keeps.
        action_setting: (n_action,) nan where it keeps.
        acted: links that rules switch.
        window: a time counts as reached for so many seconds.
    """

    first: Index
    priority: Floats
    then: Index
    otherwise: Index
    is_or: Index
    what: Index
    at: Index
    relation: Index
    value: Floats
    tolerance: Floats
    premise_status: Index
    action_link: Index
    action_status: Index
    action_setting: Floats
    acted: Index
    window: int


def rules(network: WaterNetwork) -> Rules:
    """Read a network's rules."""
    enabled = [rule for rule in network.rules if rule.enabled]
    premises = [p for rule in enabled for p in rule.premises]
    then = [a for rule in enabled for a in rule.then]
    actions: list[Action] = then + [a for rule in enabled for a in rule.otherwise]
    links = network.links([a.link for a in actions])
    acted, position = np.unique(links, return_inverse=True) if actions else (links, links)
    read = [_read(network, premise) for premise in premises]

    def starts(sizes: list[int], begin: int = 0) -> Index:
        return np.cumsum([begin, *sizes]).astype(np.int64)

    def whole(values: list[int]) -> Index:
        return np.array(values, dtype=np.int64)

    def numbers(values: list[float]) -> Floats:
        return np.array(values, dtype=np.float64)

    o = network.options
    return Rules(
        starts([len(r.premises) for r in enabled]), numbers([r.priority for r in enabled]),
        starts([len(r.then) for r in enabled]), starts([len(r.otherwise) for r in enabled], len(then)),
        whole([p.logic == "or" for p in premises]), whole([r[0] for r in read]), whole([r[1] for r in read]),
        whole([_RELATIONS.index(p.relation) for p in premises]),
        numbers([np.nan if p.value is None else p.value for p in premises]), numbers([r[2] for r in read]),
        whole([_KEEPS if p.status is None else _CODES[p.status] for p in premises]), position.astype(np.int64),
        whole([_KEEPS if a.status is None else _CODES[a.status] for a in actions]),
        numbers([np.nan if a.setting is None else a.setting for a in actions]), acted,
        int(min(o.rule_step_s, o.hydraulic_step_s)),
    )  # fmt: skip


def _read(network: WaterNetwork, premise: Premise) -> tuple[int, int, float]:
    """What a premise compares, where, and with what tolerance."""
    o = network.options
    units = Units.of(o.flow_unit, o.pressure_unit, o.specific_gravity)
    unit = {"pressure": units.pressure_m, "demand": units.flow_m3_per_s, "flow": units.flow_m3_per_s}
    tolerance = _TOLERANCE * unit.get(premise.attribute, units.length_m)
    if premise.attribute in ("time", "clock_time"):
        return (_TIME if premise.attribute == "time" else _CLOCK), 0, tolerance
    if premise.object == "system":
        return _SYSTEM_DEMAND, 0, tolerance
    if premise.object == "link":
        link = int(network.links([premise.id])[0])
        if premise.status is not None:
            return _STATUS, link, tolerance
        return (_FLOW if premise.attribute == "flow" else _SETTING), link, tolerance
    node = int(network.nodes([premise.id])[0])
    tank = np.flatnonzero(network.tank_node == node)
    if premise.attribute == "demand":
        return _DEMAND, node, tolerance
    if len(tank):
        of_tank = {"level": _TANK_LEVEL, "pressure": _TANK_LEVEL, "head": _TANK_HEAD, "fill_time": _FILL, "drain_time": _DRAIN}
        return of_tank.get(premise.attribute, _NOTHING), int(tank[0]), tolerance
    return (_HEAD if premise.attribute == "head" else _PRESSURE), node, tolerance


@part
def apply_rules(
    r: Rules, net: Laws, t: Tanks, clocktime: int, time: int, level: Floats, head: Floats, flow: Floats, demand: Floats,
    found: Index, status: Index, setting: Floats,
) -> bool:  # fmt: skip
    """Let the rules act at an instant; whether one changed something.

    Args:
        r: the network's rules.
        net: the network's numbers.
        t: the network's tanks.
        clocktime: of time 0 [s].
        time: since the start [s].
        level: (n_tank,) [m].
        head: (n_node,) of the last hydraulics [m].
        flow: (n_link,) likewise [m3/s].
        demand: (n_node,) likewise [m3/s].
        found: (n_link,) statuses likewise.
        status: (n_link,) start and result.
        setting: (n_link,) start and result.
    """
    chosen = np.full(len(r.acted), -1)
    rank = np.full(len(r.acted), -np.inf)
    for x in range(len(r.priority)):
        holds = True
        for p in range(r.first[x], r.first[x + 1]):
            if r.is_or[p] == 1:
                holds = holds or _holds(r, net, t, p, clocktime, time, level, head, flow, demand, found, setting)
            elif not holds:
                break
            else:
                holds = _holds(r, net, t, p, clocktime, time, level, head, flow, demand, found, setting)
        part = r.then if holds else r.otherwise
        for a in range(part[x], part[x + 1]):
            k = r.action_link[a]
            if chosen[k] < 0 or r.priority[x] > rank[k]:
                chosen[k], rank[k] = a, r.priority[x]
    changed = False
    for k in range(len(chosen)):
        if chosen[k] >= 0:
            changed |= _act(r, chosen[k], net.kind[r.acted[k]], r.acted[k], status, setting)
    return changed


@part
def _act(r: Rules, a: int, kind: int, link: int, status: Index, setting: Floats) -> bool:
    changed, wanted, value = False, r.action_status[a], r.action_setting[a]
    if wanted == OPEN and status[link] <= CLOSED:
        status[link], changed = OPEN, True
        if kind == PUMP:
            setting[link] = 1.0
        elif kind > PUMP:
            setting[link] = np.nan
    elif wanted == CLOSED and status[link] > CLOSED:
        status[link], changed = CLOSED, True
        if kind == PUMP:
            setting[link] = 0.0
        elif kind > PUMP:
            setting[link] = np.nan
    elif wanted == ACTIVE and status[link] != ACTIVE:
        status[link], changed = ACTIVE, True
    if not np.isnan(value) and not abs(value - setting[link]) <= _TOLERANCE:
        setting[link], changed = value, True
        if kind == PUMP:
            status[link] = OPEN if value > 0.0 else CLOSED
        elif kind > PUMP:
            status[link] = ACTIVE
    return changed


@part
def _holds(
    r: Rules, net: Laws, t: Tanks, p: int, clocktime: int, time: int, level: Floats, head: Floats, flow: Floats,
    demand: Floats, found: Index, setting: Floats,
) -> bool:  # fmt: skip
    """Whether premise p is true."""
    what, at, relation, wanted = r.what[p], r.at[p], r.relation[p], r.value[p]
    if what == _STATUS:
        code = found[at]
        now = CLOSED if code <= CLOSED else ACTIVE if code == ACTIVE else OPEN
        return bool((now == r.premise_status[p]) == (relation != _UNEQUAL))
    if what in (_TIME, _CLOCK):
        return _time_holds(relation, time if what == _TIME else (time + clocktime) % DAY_S, wanted, r.window)
    difference = _value(net, t, what, at, level, head, flow, demand, setting) - wanted
    if np.isnan(difference):
        return False
    if relation == _EQUAL:
        return bool(abs(difference) <= r.tolerance[p])
    if relation == _UNEQUAL:
        return bool(abs(difference) >= r.tolerance[p])
    if relation == _LESS:
        return bool(difference <= r.tolerance[p])
    if relation == _LESS_EQUAL:
        return bool(difference <= -r.tolerance[p])
    if relation == _GREATER:
        return bool(difference >= -r.tolerance[p])
    return bool(difference >= r.tolerance[p])


@part
def _time_holds(relation: int, now: int, wanted: float, window: int) -> bool:
    passed = now - window + 1 <= wanted <= now
    if relation == _EQUAL:
        return passed
    if relation == _UNEQUAL:
        return not passed
    if relation == _LESS:
        return now < wanted
    if relation == _LESS_EQUAL:
        return now <= wanted
    if relation == _GREATER:
        return now > wanted
    return now >= wanted


@part
def _value(
    net: Laws, t: Tanks, what: int, at: int, level: Floats, head: Floats, flow: Floats, demand: Floats, setting: Floats
) -> float:
    """The quantity that a premise compares, nan where there is none."""
    if what == _FLOW:
        return float(abs(flow[at]))
    if what == _SETTING:
        return float(setting[at])
    if what == _SYSTEM_DEMAND:
        return float(demand.sum())
    if what == _DEMAND:
        return float(demand[at])
    if what == _HEAD:
        return float(head[at])
    if what == _PRESSURE:
        return float(head[at] - net.elevation[at])
    if what == _TANK_LEVEL:
        return float(level[at])
    if what == _TANK_HEAD:
        return float(t.elevation[at] + level[at])
    if what in (_FILL, _DRAIN):
        q = inflow(t, at, flow)
        if what == _FILL and q > 0.0:
            return (volume_at(t, at, t.high[at]) - volume_at(t, at, level[at])) / q
        if what == _DRAIN and q < 0.0:
            return (volume_at(t, at, level[at]) - volume_at(t, at, t.low[at])) / -q
    return np.nan
