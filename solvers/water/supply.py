"""Which parts of a network have a source, given the statuses of its links.

Nodes joined by open links make a part. A part has a head of its own where it holds a reservoir or tank, or a node held by a
PRV or PSV in control. All other parts are *pinned*: one node keeps whatever head it has, so that the matrix stays regular,
and the demand is scaled to what flow control valves bring in, most often nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy import uint64

from solvers.accelerate import part
from solvers.water.plan import ACTIVE, CLOSED, CONSTANT_POWER, FCV, OPEN, PRV, PSV, PUMP, XFCV, XHEAD, Floats, Index, Laws

Flags = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


class Parts(NamedTuple):
    """The parts of a network.

    Args:
        part: (n_node,) the node that stands for each node's part.
        grounded: (n_node,) whether its part has a source.
        pin: (n_node,) which nodes keep their head.
        scale: (n_node,) share of the demand that is served.
        short: (n_node,) whether its part draws more than it gets.
        pressed: (n_node,) whether a pump of constant power stands against its part, which lets nothing out.
        forced: (n_link,) PSVs that feed a part which nothing else feeds: they stand open whatever they should hold.
    """

    part: Index
    grounded: Flags
    pin: Flags
    scale: Floats
    short: Flags
    pressed: Flags
    forced: Flags


def no_parts(n_node: int, n_link: int, leading: tuple[int, ...] = ()) -> Parts:
    """Room for the parts of a network, or of several."""
    nodes, links = (*leading, n_node), (*leading, n_link)
    flags = [np.zeros(shape, dtype=np.bool_) for shape in (nodes, nodes, nodes, nodes, links)]
    return Parts(np.zeros(nodes, dtype=np.int64), flags[0], flags[1], np.ones(nodes), *flags[2:])


@part
def root_of(part: Index, i: int) -> uint64:
    """The node that stands for the part of node i; paths are halved on the way."""
    at, above = uint64(i), uint64(part[uint64(i)])
    while above != at:
        part[at] = part[above]
        at = uint64(part[above])
        above = uint64(part[at])
    return at


@part
def conducts(kind: int, status: int, setting: float) -> bool:
    """Whether the heads at both ends of a link depend on each other."""
    if status <= CLOSED or (kind == PUMP and setting == 0.0):
        return False
    return status != ACTIVE or (kind != FCV and kind != PRV and kind != PSV)


@part
def find_parts(net: Laws, setting: Floats, status: Index, demand: Floats, parts: Parts) -> int:
    """Find the parts of the network and what becomes of those without source.

    Args:
        net: the network's numbers.
        setting: (n_link,).
        status: (n_link,); valves in control whose inlet has no source give up control here.
        demand: (n_node,) [m3/s].
        parts: receives them; what was forced stays so.

    Returns:
        The number of nodes in parts without source.
    """
    part, grounded, short, pressed = parts.part, parts.grounded, parts.short, parts.pressed
    n = len(net.row)
    for i in range(n):
        part[i] = i
        grounded[i] = net.row[i] < 0
        parts.pin[i] = False
        parts.scale[i] = 1.0
        short[i] = pressed[i] = False
    for k in range(len(status)):
        if net.pump[k] != CONSTANT_POWER and conducts(net.kind[k], status[k], setting[k]):
            _join(part, grounded, net.start[k], net.end[k])
    _turn_powered(net, setting, status, demand, part, pressed)
    for k in net.judged:
        if net.pump[k] == CONSTANT_POWER and conducts(net.kind[k], status[k], setting[k]):
            _join(part, grounded, net.start[k], net.end[k])
    _through_valves(net, status, part, grounded, parts.forced)
    missing = 0
    for i in range(n):
        r = root_of(part, i)
        part[i] = r
        grounded[i] = grounded[r]
        if not grounded[r]:
            missing += 1
    if missing:
        _pin(net, setting, status, demand, parts)
    return missing


@part
def _join(part: Index, grounded: Flags, i: int, j: int) -> None:
    a, b = root_of(part, i), root_of(part, j)
    if a != b:
        part[b] = a
        grounded[a] |= grounded[b]


@part
def _turn_powered(net: Laws, setting: Floats, status: Index, demand: Floats, part: Index, pressed: Flags) -> None:
    """Let a pump of constant power run where water comes to it and has somewhere to go; without flow its head has no bound."""
    powered = 0
    for k in net.judged:
        powered += net.pump[k] == CONSTANT_POWER
    if powered == 0:
        return
    n = len(net.row)
    drawn, source, sink = np.zeros(n), np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    for i in range(n):
        r = root_of(part, i)
        drawn[r] += demand[i]
        source[r] |= net.row[i] < 0
    for i in net.out_node:
        sink[root_of(part, i)] = True
    for i in range(n):
        sink[i] |= source[i] or drawn[i] > 0.0
        source[i] |= drawn[i] < 0.0
    again = True
    while again:
        again = False
        for k in net.judged:
            if (net.pump[k] == CONSTANT_POWER and status[k] in (OPEN, XHEAD) and setting[k] > 0.0) or (
                net.kind[k] > PUMP and status[k] == ACTIVE and not conducts(net.kind[k], status[k], setting[k])
            ):
                a, b = root_of(part, net.start[k]), root_of(part, net.end[k])
                again |= (source[a] and not source[b]) or (sink[b] and not sink[a])
                source[b] |= source[a]
                sink[a] |= sink[b]
    for k in net.judged:
        if net.pump[k] == CONSTANT_POWER and status[k] in (OPEN, XHEAD):
            a, b = root_of(part, net.start[k]), root_of(part, net.end[k])
            status[k] = OPEN if source[a] and sink[b] else XHEAD
            pressed[b] |= source[a] and not sink[b] and setting[k] > 0.0
    for i in range(n):
        pressed[i] = pressed[root_of(part, i)]


@part
def _through_valves(net: Laws, status: Index, part: Index, grounded: Flags, forced: Flags) -> None:
    """Follow PRVs and PSVs in control: one gives its held side a head where its inlet has a source."""
    again = True
    while again:
        again = False
        for k in range(len(status)):
            if status[k] == ACTIVE and (net.kind[k] == PRV or net.kind[k] == PSV):
                a, b = root_of(part, net.start[k]), root_of(part, net.end[k])
                if net.kind[k] == PRV and grounded[a] and not grounded[b]:
                    grounded[b] = True
                    again = True
    for k in range(len(status)):
        if status[k] != ACTIVE:
            continue
        a, b = root_of(part, net.start[k]), root_of(part, net.end[k])
        if (net.kind[k] == PRV or net.kind[k] == PSV) and not grounded[a]:
            status[k] = CLOSED
        elif net.kind[k] == FCV and not grounded[a]:
            status[k] = XFCV
        elif net.kind[k] == PSV and not grounded[b]:
            status[k] = OPEN
            forced[k] = True
            part[b] = a
            grounded[b] = True


@part
def _pin(net: Laws, setting: Floats, status: Index, demand: Floats, parts: Parts) -> None:
    part, grounded, short, scale = parts.part, parts.grounded, parts.short, parts.scale
    n = len(net.row)
    wanted, brought = np.zeros(n), np.zeros(n)
    for i in range(n):
        if not grounded[i]:
            parts.pin[part[i]] = True
            if demand[i] > 0.0:
                wanted[part[i]] += demand[i]
            else:
                brought[part[i]] -= demand[i]
    for k in range(len(status)):
        if status[k] == ACTIVE and net.kind[k] == FCV:
            i, j = net.start[k], net.end[k]
            if not grounded[j]:
                brought[part[j]] += setting[k]
            if not grounded[i]:
                wanted[part[i]] += setting[k]
    for i in range(n):
        if not grounded[i]:
            r = part[i]
            short[i] = wanted[r] > brought[r]
            if demand[i] < 0.0:
                scale[i] = min(wanted[r] / brought[r], 1.0)
            elif short[i]:
                scale[i] = brought[r] / wanted[r]
