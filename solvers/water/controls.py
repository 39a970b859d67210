"""Simple controls: at a time, a clock time, a tank's level or a junction's pressure a link takes a status and a setting.

Levels are compared as volumes, with the volume that one second's inflow makes as margin; pressures with 0.0005 ft
(Rossman et al. 2020, app. D). A level ends a step at the second at which it is reached.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grid_models.water.controls import SimpleControl
from grid_models.water.network import WaterNetwork
from solvers.accelerate import part
from solvers.water.plan import ACTIVE, CLOSED, FOOT, OPEN, PUMP, Floats, Index
from solvers.water.schedule import DAY_S
from solvers.water.tanks import FLOW_TOLERANCE, NEVER, Tanks, inflow, volume_at

LOW_LEVEL, HIGH_LEVEL, LOW_PRESSURE, HIGH_PRESSURE, AT_TIME, AT_CLOCK = range(6)
_LEVEL_TOLERANCE = 0.0005 * FOOT
_ROUNDING = 1e-12  # of volumes, which EPANET and we turn from feet and back in different order


class Controls(NamedTuple):
    """A network's enabled controls in the file's order.

    Args:
        link: (n_control,).
        condition: (n_control,) LOW_LEVEL ... AT_CLOCK.
        at: (n_control,) tank of a level, node of a pressure.
        value: (n_control,) level or pressure [m], or [s].
        status: (n_control,) code that the link takes.
        sets: (n_control,) whether it takes a setting, too.
        setting: (n_control,).
    """

    link: Index
    condition: Index
    at: Index
    value: Floats
    status: Index
    sets: NDArray[np.bool_]
    setting: Floats


def controls(network: WaterNetwork) -> Controls:
    """Read a network's simple controls."""
    rows = []
    for control in network.controls:
        if not control.enabled:
            continue
        link = int(network.links([control.link])[0])
        condition, at = {"time": AT_TIME, "clock_time": AT_CLOCK}.get(control.condition, LOW_PRESSURE), -1
        if condition == LOW_PRESSURE:
            at = int(network.nodes([control.node])[0])
            if at in network.tank_node:
                condition, at = LOW_LEVEL, int(np.flatnonzero(network.tank_node == at)[0])
            condition += control.condition == "above"
        status, setting = target(int(network.link_kind[link]), control)
        rows.append((link, condition, at, control.value, status, setting is not None, np.nan if setting is None else setting))
    link_, condition_, at_, value, status_, sets, setting_ = zip(*rows, strict=True) if rows else ((),) * 7

    def whole(values: object) -> Index:
        return np.array(values, dtype=np.int64)

    return Controls(
        whole(link_), whole(condition_), whole(at_), np.array(value, dtype=np.float64), whole(status_),
        np.array(sets, dtype=np.bool_), np.array(setting_, dtype=np.float64),
    )  # fmt: skip


def target(kind: int, control: SimpleControl) -> tuple[int, float | None]:
    """Status code and setting that a control asks of a link of this kind; no setting where it keeps its own."""
    setting = control.setting
    if kind == PUMP:
        speed = setting if setting is not None else (1.0 if control.status == "open" else 0.0)
        return (CLOSED, 0.0) if speed == 0.0 or control.status == "closed" else (OPEN, speed)
    if kind > PUMP:
        if setting is not None:
            return ACTIVE, setting
        return (CLOSED, np.nan) if control.status == "closed" else (OPEN, np.nan)
    return (CLOSED if control.status == "closed" else OPEN), None


@part
def _differs(c: Controls, x: int, status: Index, setting: Floats) -> bool:
    """Whether control x asks for something else than there is."""
    k = c.link[x]
    if c.status[x] != status[k]:
        return True
    same = c.setting[x] == setting[k] or (np.isnan(c.setting[x]) and np.isnan(setting[k]))
    return bool(c.sets[x] and not same)


@part
def _act(c: Controls, x: int, status: Index, setting: Floats) -> None:
    status[c.link[x]] = c.status[x]
    if c.sets[x]:
        setting[c.link[x]] = c.setting[x]


@part
def control_times_and_levels(
    c: Controls, t: Tanks, clocktime: int, time: int, level: Floats, flow: Floats, status: Index, setting: Floats
) -> None:
    """Let the controls act that are due by time or level; `flow` is what fills the tanks so far.

    Args:
        c: the network's controls.
        t: the network's tanks.
        clocktime: of time 0 [s].
        time: since the start [s].
        level: (n_tank,) [m].
        flow: (n_link,) [m3/s].
        status: (n_link,) start and result.
        setting: (n_link,) start and result.
    """
    for x in range(len(c.link)):
        condition, value = c.condition[x], c.value[x]
        due = False
        if condition == AT_TIME:
            due = time == int(value)
        elif condition == AT_CLOCK:
            due = (time + clocktime) % DAY_S == int(value)
        elif condition <= HIGH_LEVEL:
            i = c.at[x]
            have, want = volume_at(t, i, level[i]), volume_at(t, i, value)
            margin = abs(inflow(t, i, flow)) + _ROUNDING * (abs(have) + abs(want))
            due = have <= want + margin if condition == LOW_LEVEL else have >= want - margin
        if due:
            _act(c, x, status, setting)


@part
def control_pressures(c: Controls, elevation: Floats, head: Floats, status: Index, setting: Floats) -> bool:
    """Let the controls act that watch a junction's pressure; whether one changed something."""
    changed = False
    for x in range(len(c.link)):
        condition, i = c.condition[x], c.at[x]
        if condition != LOW_PRESSURE and condition != HIGH_PRESSURE:
            continue
        pressure = head[i] - elevation[i]
        below = condition == LOW_PRESSURE and pressure <= c.value[x] + _LEVEL_TOLERANCE
        above = condition == HIGH_PRESSURE and pressure >= c.value[x] - _LEVEL_TOLERANCE
        if (below or above) and _differs(c, x, status, setting):
            _act(c, x, status, setting)
            changed = True
    return changed


@part
def time_to_control(
    c: Controls, t: Tanks, clocktime: int, time: int, level: Floats, flow: Floats, status: Index, setting: Floats
) -> int:
    """Whole seconds until a control may change something by time or level; arguments as above."""
    first = NEVER
    for x in range(len(c.link)):
        condition, value = c.condition[x], c.value[x]
        wait = 0
        if condition == AT_TIME:
            wait = int(value) - time
        elif condition == AT_CLOCK:
            now = (time + clocktime) % DAY_S
            wait = int(value) - now if now < value else DAY_S - now + int(value)
        elif condition <= HIGH_LEVEL:
            i = c.at[x]
            q = inflow(t, i, flow)
            rising = condition == HIGH_LEVEL and q > FLOW_TOLERANCE and level[i] < value
            falling = condition == LOW_LEVEL and q < -FLOW_TOLERANCE and level[i] > value
            if rising or falling:
                wait = int(np.floor((volume_at(t, i, value) - volume_at(t, i, level[i])) / q + 0.5))
        if 0 < wait < first and _differs(c, x, status, setting):
            first = wait
    return first
