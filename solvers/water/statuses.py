"""Statuses of pumps, check valves, control valves and links at tanks, after EPANET's rules (Rossman et al. 2020, ch. 12).

A rule looks at heads and flows and says what the link should be. Where a part of the network has no source, heads mean
nothing; there `wake` opens whatever would let water in.
"""

from __future__ import annotations

import numpy as np

from solvers.accelerate import part
from solvers.water.plan import (
    ACTIVE,
    CLOSED,
    CONSTANT_POWER,
    CUBIC_FOOT,
    CV,
    FCV,
    FOOT,
    OPEN,
    PBV,
    PCV,
    PRV,
    PSV,
    PUMP,
    TCV,
    TEMPCLOSED,
    XFCV,
    XHEAD,
    Floats,
    Laws,
)

HEAD_TOLERANCE = 0.0005 * FOOT
FLOW_TOLERANCE = 0.0001 * CUBIC_FOOT


@part
def check_valve(status: int, dh: float, q: float) -> int:
    """Next status of a link that lets water flow forward only."""
    if abs(dh) > HEAD_TOLERANCE:
        return CLOSED if dh < -HEAD_TOLERANCE or q < -FLOW_TOLERANCE else OPEN
    return CLOSED if q < -FLOW_TOLERANCE else status


@part
def reducing_valve(status: int, target: float, loss: float, q: float, h1: float, h2: float) -> int:
    """Next status of a PRV that is to hold h2 = target and loses `loss` when open."""
    tolerance = HEAD_TOLERANCE
    if status == ACTIVE:
        if q < -FLOW_TOLERANCE:
            return CLOSED
        return OPEN if h1 - loss < target - tolerance else ACTIVE
    if status == OPEN:
        if q < -FLOW_TOLERANCE:
            return CLOSED
        return ACTIVE if h2 >= target + tolerance else OPEN
    if h1 >= target + tolerance and h2 < target - tolerance:
        return ACTIVE
    return OPEN if h1 < target - tolerance and h1 > h2 + tolerance else CLOSED


@part
def sustaining_valve(status: int, target: float, loss: float, q: float, h1: float, h2: float) -> int:
    """Next status of a PSV that is to hold h1 = target and loses `loss` when open."""
    tolerance = HEAD_TOLERANCE
    if status == ACTIVE:
        if q < -FLOW_TOLERANCE:
            return CLOSED
        return OPEN if h2 + loss > target + tolerance else ACTIVE
    if status == OPEN:
        if q < -FLOW_TOLERANCE:
            return CLOSED
        return ACTIVE if h1 < target - tolerance else OPEN
    if h2 > target + tolerance and h1 > h2 + tolerance:
        return OPEN
    return ACTIVE if h1 >= target + tolerance and h1 > h2 + tolerance else CLOSED


@part
def at_tank(net: Laws, k: int, status: int, head: Floats, q: float) -> int:
    """TEMPCLOSED where an open link would fill a full tank or draw from an empty one."""
    i, j = net.start[k], net.end[k]
    for tank, other, outflow in ((i, j, q), (j, i, -q)):
        if net.row[tank] >= 0:
            continue
        fall = head[tank] - head[other]
        if head[tank] >= net.high[tank] - HEAD_TOLERANCE:
            if net.kind[k] == PUMP:
                if j == tank:
                    return TEMPCLOSED
            elif check_valve(OPEN, fall, outflow) == CLOSED:
                return TEMPCLOSED
        if head[tank] <= net.low[tank] + HEAD_TOLERANCE:
            if net.kind[k] == PUMP:
                if i == tank:
                    return TEMPCLOSED
            elif check_valve(CLOSED, fall, outflow) == OPEN:
                return TEMPCLOSED
    return status


@part
def reopened(net: Laws, k: int, setting: float) -> int:
    """What link k is once nothing keeps it shut: a valve goes on with its setting where it has one."""
    return ACTIVE if net.kind[k] in (TCV, PBV, PCV) and not np.isnan(setting) else OPEN


@part
def next_status(net: Laws, k: int, status: int, setting: float, head: Floats, q: float) -> int:
    """What link k should be, given the heads at its ends and its flow; whoever was told to be shut stays shut."""
    i, j, kind = net.start[k], net.end[k], net.kind[k]
    if kind in (PRV, PSV):
        if np.isnan(setting):
            return status
        loss = net.minor[k] * q * q
        if kind == PRV:
            return reducing_valve(status, net.elevation[j] + setting, loss, q, head[i], head[j])
        return sustaining_valve(status, net.elevation[i] + setting, loss, q, head[i], head[j])
    dh = head[i] - head[j]
    powered = net.pump[k] == CONSTANT_POWER  # find_parts turns it off and on
    now = reopened(net, k, setting) if status == TEMPCLOSED or (status == XHEAD and not powered) else status
    if kind == CV:
        now = check_valve(now, dh, q)
    elif kind == PUMP and not powered and now >= OPEN and setting > 0.0:
        lift = net.pump_law[k, 3] * setting**2
        now = XHEAD if -dh > lift + HEAD_TOLERANCE else OPEN
    elif kind == FCV and now in (ACTIVE, XFCV):
        if dh < -HEAD_TOLERANCE or q < -FLOW_TOLERANCE:
            now = XFCV
        elif now == XFCV and q > setting + FLOW_TOLERANCE * 1e-3:
            now = ACTIVE
    if now > CLOSED and (net.row[i] < 0 or net.row[j] < 0):
        now = at_tank(net, k, now, head, q)
    return now


@part
def gives(net: Laws, i: int, head: Floats) -> bool:
    """Whether node i is no empty tank."""
    return bool(net.row[i] >= 0 or head[i] > net.low[i] + HEAD_TOLERANCE)


@part
def wake(net: Laws, k: int, status: int, setting: float, head: Floats, supplied: bool, wanting: bool) -> int:
    """Status of a shut link that leads into a part without source.

    Args:
        net: the network's numbers.
        k: the link.
        status: what it is.
        setting: of the link.
        head: (n_node,) heads, meaningful where `supplied`.
        supplied: whether its start has a source.
        wanting: whether the part behind it draws more than it gets.
    """
    kind, i = net.kind[k], net.start[k]
    if status > CLOSED or not (supplied or wanting):
        return status
    if status == XHEAD and net.pump[k] == CONSTANT_POWER:
        return status
    if kind == CV or status == XHEAD:
        return OPEN
    if status == TEMPCLOSED:
        return reopened(net, k, setting) if gives(net, i, head) else status
    if kind in (PRV, PSV) and not np.isnan(setting):
        target = net.elevation[i if kind == PSV else net.end[k]] + setting
        if kind == PSV:
            return OPEN if not supplied or head[i] > target + HEAD_TOLERANCE else status
        return ACTIVE if supplied and head[i] > target + HEAD_TOLERANCE else OPEN
    return status
