"""Steady hydraulics by the global gradient algorithm.

Unknowns: heads H of junctions, flows q of links, outflows e of openings. With the law h of each link (laws.py)

    r_k = h(q_k) - (H_i - H_j) = 0       every link i -> j
    m_i = sum_in q - sum_out q - d_i - e_i = 0       every junction
    r_e = h(e) - (H_i - z_i) = 0         every emitter, leak, and demand that depends on pressure

and p = 1 / h'(q), Newton's step eliminates the flows (Todini and Pilati 1988). It is written for the changes, not for the
values, so that mass balances to the last digit and the residuals tell the distance still to go:

    A dH = f,   A_ii = sum p,  A_ij = -p,   f_i = m_i + sum_out p r - sum_in p r + sum_e p_e r_e
    dq = p (dH_i - dH_j - r),   de = p_e (dH_i - r_e)

A PRV in control holds H_j = z_j + setting and carries what balances j; a PSV holds H_i; an FCV carries its setting. Such
nodes, and one of each part without source (supply.py), have a known dH: their rows leave the matrix. What a PRV or PSV
carries depends on the dH of the step itself, which f does not know. With B for what that gives to its other side (`couple`),

    A dH = f + B dH  by  dH = x + t y,   A x = f,   A y = B x,   t in [0, 1] of least residual

Statuses change by EPANET's rules (statuses.py): those of PRVs and PSVs are judged after every step; those of all links every
few steps, as soon as the flows have nearly settled, and at rest. All that are wrong change at once; if they do not come to
rest, only the first, and only at rest (K. G. Murty's least-index rule for complementarity problems, 1974).

Loops over all links and nodes index by `uint64`: of an index that may be negative numba asks at every access whether it is,
which cost a third of a balance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy import uint64

from solvers.accelerate import part
from solvers.linalg.ldl import ldl_factor, ldl_solve
from solvers.linalg.vector import aligned
from solvers.water.laws import demand_law, link_law, outflow_law, pipe_lanes
from solvers.water.plan import (
    ACTIVE,
    CLOSED,
    CONSTANT_POWER,
    FCV,
    OPEN,
    PIPE,
    PRV,
    PSV,
    PUMP,
    TEMPCLOSED,
    XFCV,
    Floats,
    Index,
    Laws,
)
from solvers.water.statuses import gives, next_status, wake
from solvers.water.supply import Flags, Parts, find_parts, no_parts

HEAD_ERROR = 1e-7  # m, at which the laws of all links hold
MASS_ERROR = 1e-9  # of the sum of all flows
ROUNDING_HEAD, ROUNDING_MASS = 1e-6, 1e-7  # what is good enough when no more can be had
NEAR = 1e-3  # of the sum of flows: corrections after which the statuses of all links are judged
PATIENCE = 25  # iterations without a change of status after which rounding is the limit
CIRCLING = 15  # iterations without a change of status after which steps are shortened
ALL_AT_ONCE = 60  # iterations after which statuses change one by one
PRESSED_HEAD = 1e5  # m
SETTLED, HUNTING, STUCK = 0, 1, 2


class Work(NamedTuple):
    """Work space of one worker for one network.

    Args:
        p, r: (n_link,) conductance and residual; p = 0 where a link has no law.
        mass: (n_node,) m.
        known: (n_node,) dH where `held`.
        held: (n_node,) rows that leave the matrix.
        parts: of the network, see supply.py.
        seen: (n_link,) statuses, to notice changes.
        flips: (n_link,) how often a status changed one by one.
        shift, lane_q, lane_h, lane_g: (n_row, 8) pipes in vectors; `shift` is what a series has lost before a pipe.
        out_q, out_p, out_r: (n_out,) openings.
        served, served_p, served_r: (n_node,) demands that depend on pressure.
        wanted: (n_node,) demands [m3/s], 0 at reservoirs and tanks.
        named_node, named_link: what the verdict of a state speaks of.
        told, answer: (n_link,) what valves in control carry more than A dH = f knew.
        surplus: (n_node,) at nodes that are held.
        a: (n + n_upper,), f, original, more: (n,) of the factor.
    """

    p: Floats
    r: Floats
    mass: Floats
    known: Floats
    held: Flags
    parts: Parts
    seen: Index
    flips: Index
    shift: Floats
    lane_q: Floats
    lane_h: Floats
    lane_g: Floats
    out_q: Floats
    out_p: Floats
    out_r: Floats
    served: Floats
    served_p: Floats
    served_r: Floats
    wanted: Floats
    named_node: Flags
    named_link: Flags
    told: Floats
    answer: Floats
    surplus: Floats
    a: Floats
    f: Floats
    original: Floats
    more: Floats


def work_space(net: Laws) -> Work:
    """Room to solve a network."""
    n_node, n_link, n, n_out = len(net.row), len(net.kind), len(net.up) - 1, len(net.out_node)
    lanes = net.lane_r.shape

    def flags(size: int) -> Flags:
        return np.zeros(size, dtype=np.bool_)

    def numbers(size: int) -> Index:
        return np.zeros(size, dtype=np.int64)

    return Work(
        p=np.zeros(n_link), r=np.zeros(n_link), mass=np.zeros(n_node), known=np.zeros(n_node), held=flags(n_node),
        parts=no_parts(n_node, n_link), seen=numbers(n_link), flips=numbers(n_link),
        shift=aligned(lanes), lane_q=aligned(lanes), lane_h=aligned(lanes), lane_g=aligned(lanes),
        out_q=np.zeros(n_out), out_p=np.zeros(n_out), out_r=np.zeros(n_out),
        served=np.zeros(n_node), served_p=np.zeros(n_node), served_r=np.zeros(n_node),
        wanted=np.zeros(n_node), named_node=flags(n_node), named_link=flags(n_link),
        told=np.zeros(n_link), answer=np.zeros(n_link), surplus=np.zeros(n_node),
        a=np.zeros(n + len(net.uj)), f=np.zeros(n), original=np.zeros(n), more=np.zeros(n),
    )  # fmt: skip


@part
def evaluate_links(net: Laws, w: Work, status: Index, setting: Floats, head: Floats, q: Floats) -> None:
    """Set p and r of every link, and the flow of those without law: 0 where shut."""
    flow, shift, losses, slopes = w.lane_q.ravel(), w.shift.ravel(), w.lane_h.ravel(), w.lane_g.ravel()
    for c in range(len(net.lane_link)):
        k = uint64(net.lane_link[c])
        whole, share = q[k], w.parts.scale[uint64(net.start[k])]
        for x in range(uint64(net.lane_first[c]), uint64(net.lane_first[c + 1])):
            flow[x] = whole - share * shift[x]
    if len(net.lane_r) > 0:
        pipe_lanes(w.lane_q, net.lane_r, net.lane_m, net.exponent, w.lane_h, w.lane_g)
    for c in range(len(net.lane_link)):
        k = uint64(net.lane_link[c])
        if status[k] <= CLOSED:
            q[k] = w.p[k] = w.r[k] = 0.0
            continue
        h, g = 0.0, 0.0
        for x in range(uint64(net.lane_first[c]), uint64(net.lane_first[c + 1])):
            h += losses[x]
            g += slopes[x]
        w.p[k] = 1.0 / g
        w.r[k] = h - (head[uint64(net.start[k])] - head[uint64(net.end[k])])
    for k in net.single:
        kind = net.kind[k]
        if status[k] <= CLOSED or (kind == PUMP and setting[k] == 0.0):
            q[k] = w.p[k] = w.r[k] = 0.0
        elif status[k] == ACTIVE and (kind in (PRV, PSV, FCV)):
            w.p[k] = w.r[k] = 0.0
        else:
            if net.pump[k] == CONSTANT_POWER and q[k] <= 0.0:  # its law has no other side
                q[k] = net.first_flow[k] * setting[k]
            loss, gradient = link_law(net, k, status[k], setting[k], q[k])
            w.p[k] = 1.0 / gradient
            w.r[k] = loss - (head[net.start[k]] - head[net.end[k]])


@part
def straighten(net: Laws, w: Work, head: Floats, q: Floats) -> None:
    """Begin without flow, each pipe's law the straight line through 0 that is as steep as its tangent at the flow guessed.

    A guess knows the sizes of flows, but not their directions: a step from it would carry those along.
    """
    for k in net.lane_link:
        q[k], w.r[k] = 0.0, head[net.end[k]] - head[net.start[k]] if w.p[k] > 0.0 else 0.0


@part
def evaluate_outflows(net: Laws, w: Work, demand: Floats, head: Floats) -> None:
    """Set p and r of openings and of demands that depend on pressure; a part without source loses nothing."""
    for o in range(len(net.out_node)):
        i = net.out_node[o]
        if not w.parts.grounded[i]:
            w.out_q[o] = w.out_p[o] = w.out_r[o] = 0.0
            continue
        pressure, gradient = outflow_law(w.out_q[o], net.out_k[o], net.out_n[o], net.out_one_way[o])
        w.out_p[o] = 1.0 / gradient
        w.out_r[o] = pressure - (head[i] - net.elevation[i])
    low, span, n = net.pressure[1], net.pressure[2] - net.pressure[1], net.pressure[3]
    if net.pressure[0] == 0.0:
        for i in range(len(demand)):
            w.served[i] = w.parts.scale[i] * demand[i]
        return
    for i in range(len(demand)):
        depends = demand[i] > 0.0 and w.parts.grounded[i]
        w.served[i] = w.served[i] if depends else w.parts.scale[i] * demand[i]
        w.served_p[i] = w.served_r[i] = 0.0
        if depends and net.row[i] >= 0:
            pressure, gradient = demand_law(w.served[i], demand[i], span, n)
            w.served_p[i] = 1.0 / gradient
            w.served_r[i] = pressure + low - (head[i] - net.elevation[i])


@part
def evaluate_nodes(net: Laws, w: Work, status: Index, setting: Floats, head: Floats, q: Floats) -> int:
    """Set the mass balances, and dH of the nodes that are held; returns how many valves hold one."""
    valves = 0
    for i in range(len(w.mass)):
        w.mass[i] = -w.served[i]
        w.held[i] = w.parts.pin[i]
        w.known[i] = 0.0
    for o in range(len(net.out_node)):
        w.mass[net.out_node[o]] -= w.out_q[o]
    for k in range(len(q)):
        w.mass[uint64(net.start[k])] -= q[k]
        w.mass[uint64(net.end[k])] += q[k]
    for k in net.judged:
        if status[k] == ACTIVE and (net.kind[k] == PRV or net.kind[k] == PSV):
            h = net.end[k] if net.kind[k] == PRV else net.start[k]
            w.held[h] = True
            w.known[h] = net.elevation[h] + setting[k] - head[h]
            valves += 1
    return valves


@part
def errors(net: Laws, w: Work, status: Index, setting: Floats, head: Floats, q: Floats) -> tuple[float, float, float, float]:
    """Largest head residual [m] and mass residual [m3/s], the sum of flow corrections at fixed heads, the sum of flows."""
    head_error, mass_error, moved, total = 0.0, 0.0, 0.0, 0.0
    for k in range(len(q)):
        size = abs(w.r[k])
        if not size <= head_error:  # of absurd heads no more can be asked than their own digits
            digits = 1e-6 * max(abs(head[uint64(net.start[k])]), abs(head[uint64(net.end[k])]))
            head_error = max(head_error, size / max(1.0, digits))
        moved += w.p[k] * size
        total += abs(q[k])
    for k in net.judged:
        if status[k] == ACTIVE and net.kind[k] == FCV:
            mass_error = max(mass_error, abs(q[k] - setting[k]))
    for o in range(len(net.out_node)):
        moved += w.out_p[o] * abs(w.out_r[o])
        total += abs(w.out_q[o])
        # Where nothing flows the law of an opening holds by not being asked.
        if w.out_q[o] > 0.0:
            head_error = max(head_error, min(abs(w.out_r[o]), abs(w.out_r[o]) * w.out_p[o] * 1e6))
    for i in range(len(w.mass)):
        moved += w.served_p[i] * abs(w.served_r[i])
        total += abs(w.served[i])
        if net.row[i] < 0:
            continue
        if w.held[i]:
            head_error = max(head_error, abs(w.known[i]))
        if not w.parts.pin[i]:
            mass_error = max(mass_error, abs(w.mass[i]))
    return head_error, mass_error, moved, total


@part
def assemble(net: Laws, w: Work, status: Index, setting: Floats, q: Floats) -> None:
    """A in its slots and f in elimination order."""
    a, f, row = w.a, w.f, net.row
    a[:] = 0.0
    for at in range(len(row)):
        if row[at] >= 0:
            f[uint64(row[at])] = w.mass[at] + w.served_p[at] * w.served_r[at]
            a[uint64(row[at])] = w.served_p[at]
    for o in range(len(net.out_node)):
        at = row[net.out_node[o]]
        a[at] += w.out_p[o]
        f[at] += w.out_p[o] * w.out_r[o]
    for k in range(len(q)):
        p = w.p[k]
        if p == 0.0:
            if status[k] == ACTIVE:
                _carry(net, w, k, setting[k], q[k])
            continue
        i, j, carried = uint64(net.start[k]), uint64(net.end[k]), p * w.r[k]
        if row[i] >= 0:
            x = uint64(row[i])
            a[x] += p
            f[x] += carried + p * w.known[j]
        if row[j] >= 0:
            y = uint64(row[j])
            a[y] += p
            f[y] += p * w.known[i] - carried
        if net.slot[k] >= 0 and not (w.held[i] or w.held[j]):
            a[uint64(net.slot[k])] -= p
    for at in range(len(row)):
        if w.held[at] and row[at] >= 0:
            a[row[at]] = 1.0
            f[row[at]] = w.known[at]


@part
def _carry(net: Laws, w: Work, k: int, setting: float, q: float) -> None:
    """What a valve in control will carry from one side to the other, by the balance of the node that it holds."""
    i, j, kind = net.start[k], net.end[k], net.kind[k]
    if kind == FCV:
        change = setting - q
    elif kind == PRV:
        change = -w.mass[j]
    elif kind == PSV:
        change = w.mass[i]
    else:
        return
    if net.row[i] >= 0 and (kind != PSV):
        w.f[net.row[i]] -= change
    if net.row[j] >= 0 and (kind != PRV):
        w.f[net.row[j]] += change


@part
def couple(net: Laws, w: Work, status: Index, least: float) -> None:
    """Let valves in control answer the heads in f: what one carries feeds or draws on its other side.

    What a PRV or PSV carries is the balance of the node that it holds, and so depends on the heads around it; A, symmetric,
    knows of it only what was missing before the step. With B for how f answers heads, A x = f + B x is solved from x = 1/A f on
    by one step of least residual along 1/A B x (GMRES(1)), exact where what a valve carries does not come back to the nodes
    that valves hold. No longer than 1/A B x itself: far from rest a longer one sends valves hunting.

    Args:
        net: the network's numbers.
        w: scratch; `f` is start and result.
        status: (n_link,).
        least: what need not be answered [m3/s].
    """
    if not _follow(net, w, status, w.f, 1.0, w.told, least):
        return
    w.more[:] = 0.0
    for k in net.judged:
        if status[k] == ACTIVE and net.kind[k] == PRV and net.row[net.start[k]] >= 0 and not w.held[net.start[k]]:
            w.more[net.row[net.start[k]]] -= w.told[k]
        elif status[k] == ACTIVE and net.kind[k] == PSV and net.row[net.end[k]] >= 0 and not w.held[net.end[k]]:
            w.more[net.row[net.end[k]]] += w.told[k]
    ldl_solve(net.up, net.uj, w.a, w.more)
    _follow(net, w, status, w.more, 0.0, w.answer, least)
    along, square = 0.0, 0.0
    for k in net.judged:
        if status[k] == ACTIVE and net.kind[k] in (PRV, PSV):
            fall = w.told[k] - w.answer[k]
            along += w.told[k] * fall
            square += fall * fall
    if along > 0.0:
        for i in range(len(w.f)):
            w.f[i] += min(along / square, 1.0) * w.more[i]


@part
def _follow(net: Laws, w: Work, status: Index, x: Floats, residual: float, out: Floats, least: float) -> bool:
    """Set what each PRV and PSV in control carries more as heads change by x; whether it is more than the least.

    Args:
        net: the network's numbers.
        w: scratch.
        status: (n_link,).
        x: (n,) changes of heads in elimination order.
        residual: 1.0 where links and openings step by their residuals, too, 0.0 where not.
        out: (n_link,) receives it.
        least: [m3/s].
    """
    row, surplus = net.row, w.surplus
    surplus[:] = 0.0
    for k in range(len(w.p)):
        i, j = net.start[k], net.end[k]
        if w.p[k] > 0.0 and (w.held[i] or w.held[j]):
            change = w.p[k] * ((x[row[i]] if row[i] >= 0 else 0.0) - (x[row[j]] if row[j] >= 0 else 0.0) - residual * w.r[k])
            surplus[i] -= change
            surplus[j] += change
    for o in range(len(net.out_node)):
        i = net.out_node[o]
        surplus[i] -= w.out_p[o] * (x[row[i]] - residual * w.out_r[o])
    found = False
    for k in net.judged:
        if status[k] == ACTIVE and net.kind[k] in (PRV, PSV):
            h = net.end[k] if net.kind[k] == PRV else net.start[k]
            change = surplus[h] - w.served_p[h] * (x[row[h]] - residual * w.served_r[h])
            out[k] = -change if net.kind[k] == PRV else change
            found |= abs(change) > least
    return found


@part
def step(net: Laws, w: Work, status: Index, setting: Floats, demand: Floats, head: Floats, q: Floats, damping: float) -> None:
    """Heads by the solution in f, then flows and outflows."""
    f, row, mass = w.f, net.row, w.mass
    for k in range(len(q)):
        p = w.p[k]
        i, j = uint64(net.start[k]), uint64(net.end[k])
        if p != 0.0:
            dh = (f[uint64(row[i])] if row[i] >= 0 else 0.0) - (f[uint64(row[j])] if row[j] >= 0 else 0.0)
            change = damping * p * (dh - w.r[k])
            if net.kind[k] == PUMP and net.pump[k] == CONSTANT_POWER and -change > q[k]:
                change = -q[k] / 2.0
        elif status[k] == ACTIVE and net.kind[k] == FCV:
            change = setting[k] - q[k]
        else:
            continue
        q[k] += change
        mass[i] -= change
        mass[j] += change
    for o in range(len(net.out_node)):
        at = net.out_node[o]
        change = damping * w.out_p[o] * (f[row[at]] - w.out_r[o])
        if w.out_q[o] + change > 0.0:  # from almost nothing the tangent leads far beyond the curve
            above = head[at] + f[row[at]] - net.elevation[at]
            change = min(change, max(4.0 * net.out_k[o] * max(above, 0.0) ** net.out_n[o] - w.out_q[o], 0.0))
        w.out_q[o] += change
        mass[at] -= change
    for at in range(len(row)):
        if row[at] < 0:
            continue
        head[at] += damping * f[uint64(row[at])]
        if w.served_p[at] > 0.0:  # the tangent of a share between 0 and 1 may lead beyond both
            change = damping * w.served_p[at] * (f[uint64(row[at])] - w.served_r[at])
            change = min(max(change, -max(w.served[at], 1e-9)), max(demand[at] - w.served[at], 1e-9))
            w.served[at] += change
            mass[at] -= change
    for k in net.judged:
        if status[k] == ACTIVE and net.kind[k] == PRV:
            q[k] -= mass[net.end[k]]
        elif status[k] == ACTIVE and net.kind[k] == PSV:
            q[k] += mass[net.start[k]]


@part
def judge(net: Laws, parts: Parts, flips: Index, status: Index, setting: Floats, head: Floats, q: Floats, which: int) -> int:
    """Let links change their status by its rule; returns how many did.

    Args:
        net: the network's numbers.
        parts: of the network.
        flips: (n_link,) counts statuses that change one by one.
        status: (n_link,) start and result.
        setting: (n_link,).
        head: (n_node,).
        q: (n_link,) what opens begins with its first flow.
        which: 0 for PRVs and PSVs, 1 for all links, 2 for the first link that is wrong.
    """
    changed = 0
    for k in net.judged:
        kind = net.kind[k]
        if which == 0 and kind != PRV and kind != PSV:
            continue
        i, j, before = net.start[k], net.end[k], status[k]
        if parts.forced[k] and before == OPEN and q[k] >= 0.0:
            continue
        if (parts.grounded[i] or parts.pressed[i]) and parts.grounded[j]:
            now = next_status(net, k, before, setting[k], head, q[k])
        elif kind == FCV and before == ACTIVE and not parts.grounded[j] and not parts.short[j]:
            now = XFCV
        elif which > 0 and not parts.grounded[j] and parts.part[i] != parts.part[j]:
            now = wake(net, k, before, setting[k], head, parts.grounded[i], parts.short[j])
        elif which > 0 and before == TEMPCLOSED and kind == PIPE and not parts.grounded[i]:
            now = OPEN if gives(net, j, head) else before
        else:
            continue
        if now == before:
            continue
        status[k] = now
        changed += 1
        if before <= CLOSED < now:
            q[k] = net.first_flow[k] * (setting[k] if kind == PUMP else 1.0)
        if which == 2:
            flips[k] += 1
            return 1
    return changed


@part
def rest(net: Laws, parts: Parts, head: Floats, q: Floats) -> None:
    """Let the water stand in parts without source; a pump that stands against one gives it a head beyond all others."""
    for i in range(len(head)):
        if not parts.grounded[i]:
            head[i] = PRESSED_HEAD if parts.pressed[i] else head[parts.part[i]]
    for k in range(len(q)):
        if not parts.grounded[net.start[k]] and parts.part[net.start[k]] == parts.part[net.end[k]]:
            q[k] = 0.0


@part
def balance(
    net: Laws, w: Work, setting: Floats, demand: Floats, head: Floats, q: Floats, status: Index,
    cold: bool, accuracy: float, trials: int, check_every: int, check_until: int,
) -> tuple[int, float, float, int]:  # fmt: skip
    """Iterate to a balance of heads, flows and statuses.

    Args:
        net: the network's numbers.
        w: scratch; `out_q` and `served` are start and result.
        setting: (n_link,) speed, or a valve's setting; nan where a valve is fixed open or closed.
        demand: (n_node,) [m3/s], 0 at reservoirs and tanks.
        head: (n_node,) start and result [m]; fixed ones stay.
        q: (n_link,) start and result [m3/s].
        status: (n_link,) start and result.
        cold: whether the flows are a guess of their sizes alone.
        accuracy: sum of flow corrections over the sum of flows at which to stop.
        trials: at most so many iterations.
        check_every: iterations between judgements of all links before the flows have settled.
        check_until: iteration after which links other than PRVs and PSVs are judged at rest only.

    Returns:
        Iterations, largest head residual [m], largest mass residual [m3/s], and SETTLED, HUNTING or STUCK.
    """
    w.flips[:] = 0
    w.parts.forced[:] = False
    w.seen[:] = -1
    last_change, outcome, changed = 0, STUCK, True
    head_error, mass_error = np.inf, np.inf
    iteration = 0
    while iteration <= trials:
        while changed and not np.array_equal(w.seen, status):  # finding parts may change some again
            w.seen[:] = status
            if find_parts(net, setting, status, demand, w.parts) > 0:
                rest(net, w.parts, head, q)
        evaluate_links(net, w, status, setting, head, q)
        straight = cold and iteration == 0
        if straight:
            straighten(net, w, head, q)
        evaluate_outflows(net, w, demand, head)
        valves = evaluate_nodes(net, w, status, setting, head, q)
        head_error, mass_error, moved, total = errors(net, w, status, setting, head, q)
        if not (np.isfinite(head_error) and np.isfinite(mass_error)):
            return iteration, head_error, mass_error, STUCK
        total = max(total, 1e-9)
        at_rest = head_error <= HEAD_ERROR and mass_error <= MASS_ERROR * total and moved <= accuracy * total
        if iteration - last_change > PATIENCE:
            at_rest |= head_error <= ROUNDING_HEAD and mass_error <= ROUNDING_MASS * total
        if at_rest and not straight:
            if judge(net, w.parts, w.flips, status, setting, head, q, 1 if iteration < ALL_AT_ONCE else 2) == 0:
                return iteration, head_error, mass_error, SETTLED
            last_change, outcome, changed = iteration, HUNTING, True
            iteration += 1
            continue
        outcome = STUCK if iteration - last_change > PATIENCE else outcome
        assemble(net, w, status, setting, q)
        ldl_factor(net.up, net.uj, net.target, w.a, w.original, 0.0)
        ldl_solve(net.up, net.uj, w.a, w.f)
        if valves > 0:
            couple(net, w, status, MASS_ERROR * total)
        # Two states that answer each other by turns meet in between.
        waited = iteration - last_change
        step(net, w, status, setting, demand, head, q, 0.6 if waited > CIRCLING and waited % 3 != 0 else 1.0)
        iteration += 1
        changed = False
        if iteration < ALL_AT_ONCE:
            near = moved <= NEAR * total
            which = 1 if near or (iteration <= check_until and iteration % check_every == 0) else 0
            changed = judge(net, w.parts, w.flips, status, setting, head, q, which) > 0
            last_change = iteration if changed else last_change
    return iteration, head_error, mass_error, outcome
