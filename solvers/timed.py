"""Runs in which the network itself changes on the way: each change of a patch at its own time.

A hydraulic run goes from change to change. At a change's instant it goes on from where it stands, tank levels, statuses and
settings included, but for those that the change speaks of; a control may move these again later. A load flow has no memory:
a power network's run is one load flow at the start and one after each change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, TypeVar

import numpy as np

from grid_models.errors import InvalidInput, Issue
from grid_models.power.network import PowerNetwork
from grid_models.scenario import Patch, affected, apply
from grid_models.tables import Array
from grid_models.water.network import WaterNetwork
from solvers.solution import Cancelled, Solution, Stats, Status, never
from solvers.water.extended import Simulation, SimulationState, Trace
from solvers.water.steady import link_start

N = TypeVar("N", PowerNetwork, WaterNetwork)

_BEGINS = ("create", "remove")


@dataclass(frozen=True, eq=False)
class Stages(Generic[N]):
    """A network over time: what it is at the start, and after each change.

    Args:
        begins_s: (n,) seconds after the start, ascending from 0.
        networks: (n,) from each of these on.
        patches: (n,) what has made them; the first one's is empty where nothing changes at the start.
    """

    begins_s: tuple[int, ...]
    networks: tuple[N, ...]
    patches: tuple[Patch, ...]

    @staticmethod
    def of(network: N, changes: Patch, duration_s: float, start: datetime | None) -> Stages[N]:
        """Order the changes by time.

        Args:
            network: at the start.
            changes: with times of day or times since the start; without either, at the start. In a run without duration all
                of them hold at once.
            duration_s: of the run.
            start: instant of the start, UTC; a water network without it begins at its own time of day, a power network at
                midnight.

        Raises:
            InvalidInput: changes that cannot be, that come after the end, or that create or remove elements on the way.
        """
        if isinstance(network, WaterNetwork):
            clock_s = float(network.options.start_clocktime_s)
        else:
            clock_s = 0.0 if start is None else (start.hour * 60.0 + start.minute) * 60.0 + start.second
        due = changes.by_time(clock_s) if duration_s > 0 else []
        later: list[tuple[int, Patch]] = [(round(t), patch) for t, patch in due if t > 0]
        _check(later, duration_s)
        moved = {id(c) for _, patch in later for c in patch.changes}
        first = Patch(tuple(c for c in changes.changes if id(c) not in moved))
        networks = [_applied(network, first)]
        for _, patch in later:
            networks.append(_applied(networks[-1], patch))
        return Stages((0, *(t for t, _ in later)), tuple(networks), (first, *(p for _, p in later)))


def _applied(network: N, patch: Patch) -> N:
    edited = apply(network, patch)
    assert isinstance(edited, type(network))
    return edited


def _check(later: Sequence[tuple[int, Patch]], duration_s: float) -> None:
    issues = []
    for due_s, patch in later:
        for change in patch.changes:
            if due_s > duration_s:
                reason = f"is due {due_s} s after the start, the run ends after {duration_s:.0f} s"
                issues.append(Issue("change", "at", (change.told(),), reason))
            if change.verb in _BEGINS:
                reason = "elements come and go at the start alone; create it out of service or closed, and set that at its time"
                issues.append(Issue("change", change.verb, (change.told(),), reason))
    if issues:
        raise InvalidInput(issues)


Flow = Callable[[PowerNetwork], tuple[dict[str, Array], Solution[Any]]]


def load_flows(stages: Stages[PowerNetwork], flow: Flow, cancelled: Cancelled = never) -> Solution[dict[str, Any]]:
    """Solve a power network at the start and after each change.

    Args:
        stages: of a power network.
        flow: solves one of them.
        cancelled: asked before each solve but the first whether to stop.

    Returns:
        Columns (n_stage, n_element), and the status of the first stage that is not simply solved; CANCELLED with the stages
        solved so far.
    """
    found = [flow(stages.networks[0])]
    for network in stages.networks[1:]:
        if cancelled():
            break
        found.append(flow(network))
    columns = {name: np.stack([values[name] for values, _ in found]) for name in found[0][0]}
    joined = _joined(columns, [solution for _, solution in found])
    return joined if len(found) == len(stages.networks) else Solution(columns, Status.CANCELLED, joined.stats)


def hydraulics(stages: Stages[WaterNetwork], duration_s: float, cancelled: Cancelled = never) -> Solution[Trace]:
    """Run a water network through its stages; results at report times, at a change's instant those after it.

    Args:
        stages: of a water network.
        duration_s: of the run.
        cancelled: asked every few instants whether to stop; CANCELLED then has the results so far.
    """
    parts: list[Solution[Trace]] = []
    state: SimulationState | None = None
    ends = (*stages.begins_s[1:], duration_s)
    for network, patch, end_s in zip(stages.networks, stages.patches, ends, strict=True):
        run = Simulation(network, None if state is None else _told(network, patch, state))
        parts.append(run.through(float(end_s), cancelled))
        if parts[-1].status is Status.CANCELLED:
            break
        state = run.state
    traces = [part.value for part in parts]
    keep = [(t.time_s < end) | (i == len(traces) - 1) for i, (t, end) in enumerate(zip(traces, ends, strict=False))]
    times = np.concatenate([t.time_s[k] for t, k in zip(traces, keep, strict=True)])
    # A part between two report times has none of its own, and no columns.
    kept = [(t, k) for t, k in zip(traces, keep, strict=True) if k.any()]
    names = kept[0][0].values if kept else {}
    values = {name: np.concatenate([t.values[name][k] for t, k in kept]) for name in names}
    return _joined(Trace(times, values), parts)


def _told(network: WaterNetwork, patch: Patch, state: SimulationState) -> SimulationState:
    """Where a run stands, what the patch speaks of set to what it says."""
    begin_status, begin_setting = link_start(network)
    status, setting, level = state.status.copy(), state.setting.copy(), state.tank_level_m.copy()
    links = {"pipe": network.pipe_link, "pump": network.pump_link, "valve": network.valve_link}
    for change in patch.changes:
        rows = affected(network, change)
        if change.table in links and change.column in ("status", "speed", "setting"):
            at = links[change.table][rows]
            setting[at] = begin_setting[at]
            if change.column == "status" or change.table == "valve":
                status[at] = begin_status[at]
        elif change.table == "tank" and change.column == "initial_level_m":
            level[rows] = network.tables["tank"]["initial_level_m"][rows]
    return replace(state, status=status, setting=setting, tank_level_m=level, found=None)


def _joined(value: Any, parts: Sequence[Solution[Any]]) -> Solution[Any]:
    """One solution of several: the first status that is not usable, else the first that is not simply solved."""
    if len(parts) == 1:
        return replace(parts[0], value=value)
    unusable = [p for p in parts if not p.status.usable]
    said = next(iter(unusable or [p for p in parts if p.status is not Status.SOLVED]), parts[-1])
    stats = Stats(sum(p.stats.iterations for p in parts), max(p.stats.residual for p in parts))
    return Solution(value, said.status, stats, said.culprits, said.detail)
