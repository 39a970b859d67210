"""Simple controls and rules between EPANET's toolkit and plain values in SI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from grid_models.water.controls import Action, Attribute, LinkStatus, Premise, Relation, Rule, SimpleControl
from grid_models.water.network import LinkKind
from grid_models.water.units import Units

CONDITION = ("below", "above", "time", "clock_time")  # EPANET's control types 0..3
# EPANET's rule codes; GRADE is another word for HEAD, and POWER (8) cannot stand in a rule.
ATTRIBUTE: dict[int, Attribute] = {
    0: "demand",
    1: "head",
    2: "head",
    3: "level",
    4: "pressure",
    5: "flow",
    6: "status",
    7: "setting",
    9: "time",
    10: "clock_time",
    11: "fill_time",
    12: "drain_time",
}
RELATION: tuple[Relation, ...] = get_args(Relation)  # EPANET's codes 0..5
RULE_STATUS: dict[int, LinkStatus] = {1: "open", 2: "closed", 3: "active"}
_NODE, _LINK, _SYSTEM = 6, 7, 8
_OR = 3
_SET_OPEN, _SET_CLOSED = 1e10, -1e10  # a control that changes the status only


def setting_unit(kind: int, units: Units) -> float:
    """What one unit of a link's setting is in SI: pressure, flow, or a plain number."""
    if kind in (LinkKind.PRV, LinkKind.PSV, LinkKind.PBV):
        return units.pressure_m
    return units.flow_m3_per_s if kind == LinkKind.FCV else 1.0


def curve_units(kind: str, units: Units) -> tuple[float, float]:
    """What one unit of a curve's x and y is in SI, by the curve's kind."""
    return {
        "volume": (units.length_m, units.volume_m3),
        "head": (units.flow_m3_per_s, units.length_m),
        "efficiency": (units.flow_m3_per_s, 1.0),
        "headloss": (units.flow_m3_per_s, units.length_m),
    }.get(kind, (1.0, 1.0))


def read_controls(
    project: Any, units: Units, node_ids: Sequence[str], link_ids: Sequence[str], link_kind: NDArray[np.int64]
) -> tuple[SimpleControl, ...]:
    """The simple controls of an open project, in the file's order."""
    from epanet import toolkit as en

    n_junction = en.getcount(project, en.NODECOUNT) - en.getcount(project, en.TANKCOUNT)
    enabled = en.intArray(1)
    out = []
    for i in range(1, en.getcount(project, en.CONTROLCOUNT) + 1):
        code, link, raw, node, level = en.getcontrol(project, i)
        en.getcontrolenabled(project, i, enabled)
        kind = int(link_kind[link - 1])
        status, setting = _status_and_setting(kind, raw, units)
        watched = ""
        if CONDITION[code] in ("below", "above"):
            watched = node_ids[node - 1]
            level *= units.pressure_m if node <= n_junction else units.length_m
        out.append(
            SimpleControl(
                link=link_ids[link - 1],
                status=status,
                setting=setting,
                condition=CONDITION[code],  # type: ignore[arg-type]  # CONDITION holds the literals
                value=float(level),
                node=watched,
                enabled=bool(enabled[0]),
            )
        )
    return tuple(out)


def _status_and_setting(kind: int, raw: float, units: Units) -> tuple[LinkStatus, float | None]:
    if raw in (_SET_OPEN, _SET_CLOSED):
        status: LinkStatus = "open" if raw > 0 else "closed"
        return status, {"open": 1.0, "closed": 0.0}[status] if kind == LinkKind.PUMP else None
    if kind in (LinkKind.PIPE, LinkKind.CHECK_VALVE, LinkKind.GPV):
        return ("closed" if raw == 0 else "open"), None
    if kind == LinkKind.PUMP:
        return ("closed" if raw == 0 else "open"), float(raw)
    return "active", raw * setting_unit(kind, units)


def read_rules(
    project: Any, units: Units, node_ids: Sequence[str], link_ids: Sequence[str], link_kind: NDArray[np.int64]
) -> tuple[Rule, ...]:
    """The rules of an open project, in the file's order."""
    from epanet import toolkit as en

    enabled = en.intArray(1)

    def action(get: Any, rule: int, k: int) -> Action:
        link, status, setting = get(project, rule, k)
        if setting == en.MISSING:
            return Action(link_ids[link - 1], RULE_STATUS[status], None)
        return Action(link_ids[link - 1], None, setting * setting_unit(int(link_kind[link - 1]), units))

    def premise(rule: int, k: int) -> Premise:
        logic, code, number, variable, relation, status, value = en.getpremise(project, rule, k)
        attribute = ATTRIBUTE[variable]
        kind = int(link_kind[number - 1]) if code == _LINK else -1
        compares_status = status in RULE_STATUS
        return Premise(
            logic="or" if logic == _OR else "and",
            object={_NODE: "node", _LINK: "link", _SYSTEM: "system"}[code],  # type: ignore[arg-type]  # the literals
            id={_NODE: node_ids, _LINK: link_ids}[code][number - 1] if code != _SYSTEM else "",
            attribute=attribute,
            relation=RELATION[relation],
            value=None if compares_status else _tidy(attribute, value * premise_unit(attribute, kind, units)),
            status=RULE_STATUS.get(status),
        )

    out = []
    for i in range(1, en.getcount(project, en.RULECOUNT) + 1):
        n_premise, n_then, n_else, priority = en.getrule(project, i)
        en.getruleenabled(project, i, enabled)
        out.append(
            Rule(
                id=en.getruleID(project, i),
                premises=tuple(premise(i, k) for k in range(1, n_premise + 1)),
                then=tuple(action(en.getthenaction, i, k) for k in range(1, n_then + 1)),
                otherwise=tuple(action(en.getelseaction, i, k) for k in range(1, n_else + 1)),
                priority=priority,
                enabled=bool(enabled[0]),
            )
        )
    return tuple(out)


def _tidy(attribute: Attribute, value: float) -> float:
    """Times as written: 8:00:01 is 28800.999... where h + m/60 + s/3600 was summed up."""
    return round(value, 6) if attribute in ("time", "clock_time", "fill_time", "drain_time") else value


def premise_unit(attribute: Attribute, kind: int, units: Units) -> float:
    """What one unit of a premise's value is in SI; times are seconds already."""
    match attribute:
        case "demand" | "flow":
            return units.flow_m3_per_s
        case "head" | "level":
            return units.length_m
        case "pressure":
            return units.pressure_m
        case "setting":
            return setting_unit(kind, units)
        case _:
            return 1.0
