"""What switches links by itself: EPANET's simple controls and its rules, as plain values in SI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LinkStatus = Literal["open", "closed", "active"]
Condition = Literal["below", "above", "time", "clock_time"]
RuleObject = Literal["node", "link", "system"]
Logic = Literal["and", "or"]
Relation = Literal["=", "<>", "<=", ">=", "<", ">"]
Attribute = Literal[
    "demand",
    "head",
    "level",
    "pressure",
    "flow",
    "status",
    "setting",
    "time",
    "clock_time",
    "fill_time",
    "drain_time",
]


@dataclass(frozen=True, slots=True)
class SimpleControl:
    """One line of [CONTROLS]: when the condition holds, the link takes this status and setting.

    Args:
        link: the link switched.
        status: what it becomes; `active` for a valve that goes back to control with `setting`.
        setting: the new setting in SI (speed; head [m] for PRV, PSV, PBV; flow [m3/s] for FCV; loss coefficient or
            opening else), None where only the status changes.
        condition: what is watched.
        value: pressure head [m] of a junction, level [m] of a tank, seconds since start or since midnight.
        node: the node watched by `below` and `above`, else empty.
        enabled: a disabled control is kept for export and never acts.
    """

    link: str
    status: LinkStatus
    setting: float | None
    condition: Condition
    value: float
    node: str = ""
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Premise:
    """One clause of a rule's IF, joined to the ones before it by `logic`.

    EPANET reads the clauses from left to right: an AND after a false result ends the rule as false, an OR is looked
    at only when the result so far is false.

    Args:
        logic: how the clause joins those before it; the first one is `and`.
        object: what kind of thing `id` names; `system` has no id.
        attribute: the quantity compared.
        relation: how it is compared.
        value: in SI (m, m3/s, s, speed, loss coefficient), None where a status is compared.
        status: the status compared with, or None.
    """

    logic: Logic
    object: RuleObject
    id: str
    attribute: Attribute
    relation: Relation
    value: float | None
    status: LinkStatus | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """One clause of THEN or ELSE: the link's new status or its new setting in SI."""

    link: str
    status: LinkStatus | None
    setting: float | None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of [RULES]; of two rules that want the same link, the higher priority wins, then the earlier rule."""

    id: str
    premises: tuple[Premise, ...]
    then: tuple[Action, ...]
    otherwise: tuple[Action, ...] = ()
    priority: float = 0.0
    enabled: bool = True
