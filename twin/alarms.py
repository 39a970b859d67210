"""Alarms on live states: limits with hysteresis, bad meters, lost supply; related ones under one root cause.

A limit's alarm is raised after two instants beyond it and ends when the value is back inside by the limit's release band.
Overloaded lines that hang together are one alarm, the most loaded first. A dead pump names the lost supply as its cause.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from grid_models.coupling import PumpSupply
from grid_models.measurements import Catalogue
from grid_models.power.network import PowerNetwork
from grid_models.state import Freshness, NetworkState
from grid_models.water.network import WaterNetwork
from twin.field_report import FieldReport
from twin.limits import LIMITS, Limit
from twin.port import EventKind, Transition
from twin.watches import Finding

_PERSISTENCE = 2  # instants beyond a limit before an alarm
_CLEARLY_WORSE = 3.0  # points of loading
_METER_RAISE, _METER_CLEAR = 3, 6  # instants in a row with and without suspicion


@dataclass(frozen=True)
class Condition:
    """Something that is wrong at an instant."""

    key: str
    code: str
    elements: tuple[str, ...]
    message: str
    cause: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    raise_after: int = 1
    clear_after: int = 1


@dataclass(frozen=True)
class Standing:
    """An alarm's progress: instants in a row with it, without it, and whether it has been raised."""

    present: int
    absent: int
    raised: bool
    last: Condition


Rule = Callable[[NetworkState, Mapping[str, Standing]], list[Condition]]


class AlarmWatch:
    """Implements `twin.watches.Watch` over a list of rules.

    Args:
        network: its name.
        rules: each gives the conditions that hold in a state.
    """

    late = False

    def __init__(self, network: str, rules: tuple[Rule, ...]) -> None:
        self.network = network
        self.name = f"alarms-{network}"
        self._rules = rules

    @classmethod
    def for_power(cls, network: str, model: PowerNetwork, catalogue: Catalogue, supplies: tuple[PumpSupply, ...]) -> AlarmWatch:
        """Overloads, voltage bands, lost supply, pumps without supply, bad meters."""
        mine = tuple(s for s in supplies if s.power == network)
        rules = (
            *((overloads(model),) if "line" in model.tables else ()),
            *(band(limit, model.tables[limit.element].index) for limit in LIMITS if limit.element in ("bus", "trafo")
              and limit.element in model.tables),
            lost_supply(model, mine),
            bad_meters(catalogue),
        )  # fmt: skip
        return cls(network, rules)

    @classmethod
    def for_water(cls, network: str, model: WaterNetwork, catalogue: Catalogue) -> AlarmWatch:
        """Nodes that no water reaches."""
        del catalogue
        return cls(network, (no_water(model),))

    def found(self, memory: dict[str, Standing]) -> None:
        """Nothing: it looks at the live edge."""

    def empty(self) -> dict[str, Standing]:
        """No alarm stands."""
        return {}

    def step(
        self,
        memory: Mapping[str, Standing],
        state: NetworkState,
        coupled: Mapping[str, NetworkState],
        reports: tuple[FieldReport, ...] = (),
    ) -> tuple[dict[str, Standing], tuple[Finding, ...]]:
        """Judge a state."""
        del coupled, reports
        if state.freshness is not Freshness.FRESH:
            return dict(memory), ()
        conditions = {c.key: c for rule in self._rules for c in rule(state, memory)}
        after: dict[str, Standing] = {}
        findings: list[Finding] = []
        for key in sorted({*memory, *conditions}):
            before, now = memory.get(key), conditions.get(key)
            standing = _advanced(before, now)
            if standing.raised and (before is None or not before.raised):
                findings.append(_finding(standing.last, Transition.RAISED))
            elif not standing.raised and before is not None and before.raised:
                findings.append(_finding(standing.last, Transition.CLEARED))
            elif standing.raised and now is not None and before is not None and _worth_telling(before.last, now):
                findings.append(_finding(now, Transition.UPDATED))
            elif standing.raised and before is not None:
                standing = Standing(standing.present, standing.absent, True, before.last)
            if standing.raised or standing.present:
                after[key] = standing
        # Causes first, so that a consequence can name its alarm.
        findings.sort(key=lambda f: (bool(f.cause), f.key))
        return after, tuple(findings)


def _advanced(before: Standing | None, now: Condition | None) -> Standing:
    if now is not None:
        present = (before.present if before else 0) + 1
        raised = (before.raised if before else False) or present >= now.raise_after
        return Standing(present, 0, raised, now)
    assert before is not None
    absent = before.absent + 1
    return Standing(0, absent, before.raised and absent < before.last.clear_after, before.last)


def _worth_telling(before: Condition, now: Condition) -> bool:
    """A change of culprit, or of a figure by a tenth: not every instant's last digit."""
    if before.elements[:1] != now.elements[:1]:
        return True
    return any(abs(now.figures.get(k, v) - v) > 0.1 * abs(v) for k, v in before.figures.items())


def _finding(condition: Condition, transition: Transition) -> Finding:
    message = condition.message if transition is not Transition.CLEARED else f"over: {condition.message}"
    return Finding(
        condition.key, transition, EventKind.ALARM, condition.code, condition.elements, message, condition.cause, (),
        dict(condition.figures),
    )  # fmt: skip


def _standing(memory: Mapping[str, Standing], key: str) -> bool:
    return key in memory and memory[key].raised


def overloads(model: PowerNetwork) -> Rule:
    """Overloaded lines; those that hang together are one condition, the most loaded line its culprit."""
    limit = next(x for x in LIMITS if x.column == "line_loading_percent")
    table = model.tables["line"]
    ids = table.index
    row_of = {f"line {i}": k for k, i in enumerate(ids.tolist())}
    a, b = model.node_of(table["from_bus"]), model.node_of(table["to_bus"])
    n = model.n_node

    def rule(state: NetworkState, memory: Mapping[str, Standing]) -> list[Condition]:
        loading = np.nan_to_num(state.values[limit.column])
        mine = [s.last for s in memory.values() if s.last.code == limit.code]
        standing = np.zeros(len(ids), dtype=bool)
        standing[[row_of[m] for last in mine for m in last.elements if m in row_of]] = True
        culprits = {last.elements[0] for last in mine}
        beyond = (loading > limit.upper) | (standing & (loading > limit.upper - limit.release))
        at = np.flatnonzero(beyond)
        if not len(at):
            return []
        _, label = connected_components(coo_array((np.ones(len(at)), (a[at], b[at])), shape=(n, n)), directed=False)
        out = []
        for group in np.unique(label[a[at]]):
            lines = at[label[a[at]] == group]
            # Lines in series carry nearly the same: who was named first stays so until another is clearly worse.
            named = np.array([f"line {ids[i]}" in culprits for i in lines]) * _CLEARLY_WORSE
            lines = lines[np.argsort(-(loading[lines] + named), kind="stable")]
            worst = f"line {ids[lines[0]]}"
            elements = tuple(f"line {ids[i]}" for i in lines)
            # The same group keeps its key though its most loaded line may change.
            key = next(
                (k for k, s in memory.items() if s.last.code == limit.code and set(s.last.elements) & set(elements)),
                f"{limit.code}/{worst}",
            )
            more = f" and {len(lines) - 1} more in series" if len(lines) > 1 else ""
            message = f"{worst} carries {loading[lines[0]]:.0f} % of its limit{more}"
            figures = {"loading_percent": float(loading[lines[0]])}
            out.append(Condition(key, limit.code, elements, message, "", figures, _PERSISTENCE, _PERSISTENCE))
        return out

    return rule


def band(limit: Limit, ids: NDArray[np.int64]) -> Rule:
    """One alarm for all elements beyond a limit, the worst first."""
    key = f"{limit.code}/{limit.element}"

    def rule(state: NetworkState, memory: Mapping[str, Standing]) -> list[Condition]:
        values = np.asarray(state.values[limit.column], dtype=float)
        excess = limit.excess(values)
        if not (excess > 0).any() and _standing(memory, key):
            inner = Limit(limit.column, limit.lower + limit.release, limit.upper - limit.release, 0.0, limit.code, limit.unit)
            excess = inner.excess(values)
        at = np.flatnonzero(excess > 0)
        if not len(at):
            return []
        at = at[np.argsort(-excess[at], kind="stable")]
        elements = tuple(f"{limit.element} {ids[i]}" for i in at)
        more = f" and {len(at) - 1} more" if len(at) > 1 else ""
        message = f"{elements[0]} is at {values[at[0]]:.3g} {limit.unit}{more}"
        return [
            Condition(key, limit.code, elements, message, "", {limit.column: float(values[at[0]])}, _PERSISTENCE, _PERSISTENCE)
        ]

    return rule


def lost_supply(model: PowerNetwork, supplies: tuple[PumpSupply, ...]) -> Rule:
    """Buses that had voltage by the model and have none now, and the pumps at them; the loss is the pumps' cause."""
    from grid_models.power.bus_branch import bus_branch

    ids = model.tables["bus"].index
    normally = bus_branch(model).node_bus[: len(ids)] >= 0

    def rule(state: NetworkState, memory: Mapping[str, Standing]) -> list[Condition]:
        del memory
        dead = np.flatnonzero(normally & (np.asarray(state.values["bus_energised"]) == 0))
        if not len(dead):
            return []
        loads = model.tables.get("load")
        lost_mw = 0.0
        if loads is not None:
            lost_mw = float(loads["p_mw"][np.isin(loads["bus"], ids[dead])].sum())
        elements = tuple(f"bus {ids[i]}" for i in dead)
        message = f"{len(dead)} buses have no supply, nominal load {lost_mw:.1f} MW"
        figures = {"buses": float(len(dead)), "lost_load_mw": lost_mw}
        cause = "SUPPLY_LOST/bus"
        out = [Condition(cause, "SUPPLY_LOST", elements, message, "", figures)]
        out += [
            Condition(
                f"PUMP_WITHOUT_SUPPLY/{s.water}/{s.pump}",
                "PUMP_WITHOUT_SUPPLY",
                (f"pump {s.pump}", f"bus {s.bus}"),
                f"pump {s.pump} of {s.water} stands still: bus {s.bus} has no voltage",
                cause,
            )
            for s in supplies
            if s.bus in ids[dead]
        ]
        return out

    return rule


def bad_meters(catalogue: Catalogue) -> Rule:
    """Meters that the estimate has removed, several instants in a row."""
    names = {s.uid: s.name for s in catalogue.signals}
    units = {s.uid: s.unit for s in catalogue.signals}

    def rule(state: NetworkState, memory: Mapping[str, Standing]) -> list[Condition]:
        del memory
        r = state.residuals
        out = []
        for i in np.flatnonzero(r.suspect):
            uid = int(r.signal[i])
            message = f"{names[uid]} reads {r.value[i]:.4g} {units[uid]}, the others say {r.estimate[i]:.4g}"
            figures = {"value": float(r.value[i]), "estimate": float(r.estimate[i])}
            out.append(
                Condition(
                    f"BAD_METER/{names[uid]}", "BAD_METER", (names[uid],), message, "", figures, _METER_RAISE, _METER_CLEAR
                )
            )
        return out

    return rule


def no_water(model: WaterNetwork) -> Rule:
    """Nodes that no water reaches though it does by the model."""
    from grid_models.water.zones import supplied

    normally = supplied(model)
    ids = model.node_ids

    def rule(state: NetworkState, memory: Mapping[str, Standing]) -> list[Condition]:
        del memory
        dry = np.flatnonzero(normally & (np.asarray(state.values["node_supplied"]) == 0))
        if not len(dry):
            return []
        elements = tuple(f"node {ids[i]}" for i in dry)
        return [Condition("NO_WATER/node", "NO_WATER", elements, f"no water reaches {len(dry)} nodes, {elements[0]} first")]

    return rule
