"""Steady hydraulics by the global gradient algorithm.

Unknowns: heads H of junctions, flows q of links. Equations:

    H_i - H_j = h(q)                    every link i -> j             (head loss, plan.py)
    sum_in q - sum_out q = d_i + e_i    every junction                (demand, emitter)

With gradient g = dh/dq, p = 1/g, y = h/g, Newton's step eliminates the flows (Todini and Pilati 1988):

    A H = F,   A_ii = sum p,  A_ij = -p,   F_i = sum (+-)(q - y) - d_i + p H_fixed
    q := q - (y - p (H_i - H_j))

Valves by kind: a PRV in control holds H_j = z_j + setting and carries what its downstream side draws; a PSV holds
H_i = z_i + setting; an FCV carries its setting; PBV, TCV, GPV and PCV are links with a law. Statuses are judged after
each step by EPANET's rules (Rossman et al. 2020, app. D), so that the same network ends in the same statuses; but the
iteration goes on to far smaller residuals.

Pressure-dependent demand (Wagner) and emitters are outflows with a law of their own, p - p_0 = a e^(1/n), eliminated
like links to a reservoir at the junction's elevation.
"""

from __future__ import annotations

import numpy as np

from solvers.accelerate import kernel
from solvers.linalg.ldl import ldl_factor, ldl_solve
from solvers.water.plan import Floats, Index, Laws

# Statuses, with EPANET's numbers.
XHEAD, TEMPCLOSED, CLOSED, OPEN, ACTIVE, XFCV = 0, 1, 2, 3, 4, 6

_FT, _FT3 = 0.3048, 0.028317
# EPANET's constants, turned from feet and cubic feet per second.
FLOOR = 1e-7 * _FT / _FT3  # least gradient of a link [s/m2]
BIG = 1e8 * _FT3 / _FT  # conductance of what must not give way [m2/s]
SHUT = 1e8 * _FT / _FT3  # gradient of what must not flow [s/m2]
HEAD_TOLERANCE = 0.0005 * _FT
FLOW_TOLERANCE = 0.0001 * _FT3
_TINY = 1e-6 * _FT3

CV, PIPE, PUMP, PRV, PSV, PBV, FCV, TCV, GPV, PCV = range(10)


@kernel
def friction(q: float, relative: float, viscous: float) -> tuple[float, float]:
    """Darcy-Weisbach friction factor and its derivative by flow: Swamee-Jain, with Dunlop's cubic below Re 4000."""
    w = q / viscous
    if w >= 1000.0 * np.pi:
        y1 = 4.61841319859 / w**0.9
        y2 = relative / 3.7 + y1
        y3 = -8.685889638e-01 * np.log(y2)
        f = 1.0 / (y3 * y3)
        return f, 1.8 * f * y1 * -8.685889638e-01 / y2 / y3 / q
    y2 = relative / 3.7 + 3.28895476345e-03
    y3 = -8.685889638e-01 * np.log(y2)
    fa = 1.0 / (y3 * y3)
    fb = (2.0 - 5.14214965799e-03 / (y2 * y3)) * fa
    r = w / (500.0 * np.pi)
    x1 = 7.0 * fa - fb
    x2 = 0.128 - 17.0 * fa + 2.5 * fb
    x3 = -0.128 + 13.0 * fa - 2.0 * fb
    x4 = 0.032 - 3.0 * fa + 0.5 * fb
    f = x1 + r * (x2 + r * (x3 + r * x4))
    return f, (x2 + r * (2.0 * x3 + r * 3.0 * x4)) / viscous / (500.0 * np.pi)


@kernel
def segment(first: int, last: int, x: Floats, y: Floats, at: float) -> tuple[float, float]:
    """Intercept and slope of the piece of a table that holds `at`; the end pieces go on beyond it."""
    k = first
    while k < last and x[k] < at:
        k += 1
    k = min(max(k, first + 1), last - 1)
    slope = (y[k] - y[k - 1]) / (x[k] - x[k - 1])
    return y[k - 1] - slope * x[k - 1], slope


@kernel
def link_law(net: Laws, k: int, status: int, setting: float, q: float) -> tuple[float, float]:
    """Head loss and gradient of link k at flow q, apart from PRV, PSV and FCV in control."""
    kind = net.kind[k]
    if status <= CLOSED or (kind == PUMP and setting == 0.0):
        return SHUT * q, SHUT
    size = abs(q)
    minor, first, last = net.minor[k], net.curve_start[k], net.curve_start[k + 1]
    if kind == PUMP:
        size = max(size, _TINY)
        if net.pump[k] == 2:
            intercept, slope = segment(first, last, net.curve_q, net.curve_h, size / setting)
            gradient = -slope * setting
            return -intercept * setting**2 + gradient * q, gradient
        if net.pump[k] == 0:
            gradient = -net.pump_law[k, 1] / size / size
            if gradient > SHUT:
                return -SHUT * q, SHUT
            if gradient < FLOOR:
                return -FLOOR * q, FLOOR
            return net.pump_law[k, 1] / q, gradient
        r = net.pump_law[k, 1] * setting ** (2.0 - net.pump_law[k, 2])
        gradient = net.pump_law[k, 2] * r * size ** (net.pump_law[k, 2] - 1.0)
        shut_off = -net.pump_law[k, 0] * setting**2
        if gradient < FLOOR:
            return shut_off + FLOOR * q, FLOOR
        return shut_off + gradient * q / net.pump_law[k, 2], gradient
    if kind <= PIPE:
        if net.exponent == 0.0:
            if size <= 500.0 * np.pi * net.viscous[k]:
                r = 16.0 * np.pi * net.viscous[k] * net.resistance[k]
                return q * (r + minor * size), r + 2.0 * minor * size
            f, slope = friction(size, net.roughness[k], net.viscous[k])
            r = f * net.resistance[k] + minor
            return r * size * q, 2.0 * r * size + slope * net.resistance[k] * size * size
        loss = net.resistance[k] * size**net.exponent
        gradient = net.exponent * loss / size if size > 0.0 else 0.0
        if gradient < FLOOR:
            gradient = FLOOR / net.exponent
            loss = gradient * size
        if minor > 0.0:
            loss += minor * size * size
            gradient += 2.0 * minor * size
        return (loss if q >= 0.0 else -loss), gradient
    if kind == GPV:
        size = max(size, _TINY)
        intercept, slope = segment(first, last, net.curve_q, net.curve_h, size)
        gradient = max(slope, _TINY)
        loss = intercept + gradient * size
        return (loss if q >= 0.0 else -loss), gradient
    if kind == PBV and status == ACTIVE and setting != 0.0 and minor * q * q <= setting:
        return setting, 1.0 / BIG
    m = minor
    if status == ACTIVE and kind == TCV:
        m = 0.02517 * setting / (net.diameter[k] / _FT) ** 4 * _FT / _FT3**2
    if status == ACTIVE and kind == PCV:
        m = positional(setting, minor, first, last, net.curve_q, net.curve_h)
    if m > 0.0:
        gradient = 2.0 * m * size
        if gradient < FLOOR:
            return q * FLOOR, FLOOR
        return q * gradient / 2.0, gradient
    return q * FLOOR, FLOOR


@kernel
def positional(opening: float, minor: float, first: int, last: int, x: Floats, y: Floats) -> float:
    """Loss coefficient of a positional valve: that of the open valve over its relative flow coefficient squared."""
    share = opening
    if last - first > 1:
        intercept, slope = segment(first, last, x, y, opening)
        share = intercept + slope * opening
    share = min(max(share / 100.0, 1e-3), 1.0)
    return min(minor / share**2, 1e8 * minor)


@kernel
def valve_status(kind: int, status: int, target: float, minor: float, q: float, h1: float, h2: float) -> int:
    """Next status of a PRV or PSV; `target` is the head that it is to hold."""
    loss = minor * q * q
    tolerance = HEAD_TOLERANCE
    if kind == PRV:
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


@kernel
def check_valve(status: int, dh: float, q: float) -> int:
    """Next status of a link that lets water flow forward only."""
    if abs(dh) > HEAD_TOLERANCE:
        return CLOSED if dh < -HEAD_TOLERANCE or q < -FLOW_TOLERANCE else OPEN
    return CLOSED if q < -FLOW_TOLERANCE else status


@kernel
def judge_links(net: Laws, setting: Floats, head: Floats, q: Floats, status: Index) -> bool:
    """Pumps, check valves, FCVs and links at full or empty tanks, after EPANET's `linkstatus`; True if one changed."""
    changed = False
    for k in range(len(net.kind)):
        i, j = net.start[k], net.end[k]
        dh = head[i] - head[j]
        before = status[k]
        now = before
        if now in (XHEAD, TEMPCLOSED):
            now = OPEN
        if net.kind[k] == CV:
            now = check_valve(now, dh, q[k])
        elif net.kind[k] == PUMP and now >= OPEN and setting[k] > 0.0:
            top = net.pump_law[k, 3] * setting[k] ** 2 if net.pump[k] != 0 else np.inf
            now = XHEAD if -dh > top + HEAD_TOLERANCE else OPEN
        elif net.kind[k] == FCV and now in (ACTIVE, XFCV):
            if dh < -HEAD_TOLERANCE or q[k] < -FLOW_TOLERANCE:
                now = XFCV
            elif now == XFCV and q[k] >= setting[k]:
                now = ACTIVE
        if now > CLOSED and (net.row[i] < 0 or net.row[j] < 0):
            for tank, other, outflow in ((i, j, q[k]), (j, i, -q[k])):
                if net.row[tank] >= 0 or now <= CLOSED:
                    continue
                fall = head[tank] - head[other]
                if head[tank] >= net.high[tank] - HEAD_TOLERANCE:
                    if net.kind[k] == PUMP:
                        if j == tank:
                            now = TEMPCLOSED
                    elif check_valve(OPEN, fall, outflow) == CLOSED:
                        now = TEMPCLOSED
                if head[tank] <= net.low[tank] + HEAD_TOLERANCE:
                    if net.kind[k] == PUMP:
                        if i == tank:
                            now = TEMPCLOSED
                    elif check_valve(CLOSED, fall, outflow) == OPEN:
                        now = TEMPCLOSED
        status[k] = now
        changed |= now != before
    return changed


@kernel
def judge_valves(net: Laws, setting: Floats, head: Floats, q: Floats, status: Index) -> bool:
    """PRVs and PSVs that have not been fixed open or closed (their setting is then nan)."""
    changed = False
    for k in range(len(net.kind)):
        kind = net.kind[k]
        if (kind != PRV and kind != PSV) or np.isnan(setting[k]):
            continue
        i, j = net.start[k], net.end[k]
        target = net.elevation[j if kind == PRV else i] + setting[k]
        now = valve_status(kind, status[k], target, net.minor[k], q[k], head[i], head[j])
        changed |= now != status[k]
        status[k] = now
    return changed


@kernel
def linearise(net: Laws, status: Index, setting: Floats, q: Floats, p: Floats, y: Floats) -> None:
    """Set p = 1/g and y = h/g of every link; p = 0 marks a valve in control, whose flow is set by what it holds."""
    for k in range(len(net.kind)):
        kind = net.kind[k]
        if status[k] == ACTIVE and kind in (PRV, PSV, FCV):
            p[k] = 0.0
            y[k] = 0.0
            continue
        h, g = link_law(net, k, status[k], setting[k], q[k])
        p[k] = 1.0 / g
        y[k] = h / g


@kernel
def outflow_law(q: float, coefficient: float, exponent: float) -> tuple[float, float]:
    """Pressure and its gradient at which an emitter q = k p^n gives q."""
    power = 1.0 / exponent
    size = abs(q)
    pressure = (size / coefficient) ** power
    gradient = power * pressure / size if size > 0.0 else 0.0
    if gradient < FLOOR:
        gradient = FLOOR / power
        pressure = gradient * size
    return (pressure if q >= 0.0 else -pressure), gradient


@kernel
def demand_law(q: float, full: float, span: float, exponent: float) -> tuple[float, float]:
    """Pressure above the minimum, and its gradient, at which a demand is served with q; barriers at 0 and at full."""
    share = q / full
    if share <= 0.0:
        return BIG * q, BIG
    if share < 1.0:
        power = 1.0 / exponent
        pressure = span * share**power
        gradient = power * pressure / q
        if gradient < FLOOR:
            gradient = FLOOR
            pressure = gradient * q
        return pressure, gradient
    return span + BIG * (q - full), BIG


@kernel
def assemble(
    net: Laws, setting: Floats, demand: Floats, head: Floats, q: Floats, p: Floats, y: Floats,
    inflow: Floats, a: Floats, f: Floats,
) -> None:  # fmt: skip
    """The matrix A in its slots, F in elimination order; `inflow` becomes each node's balance of flows and demand."""
    row, start, end = net.row, net.start, net.end
    a[:] = 0.0
    f[:] = 0.0
    for i in range(len(row)):
        inflow[i] = -demand[i]
    for k in range(len(q)):
        inflow[start[k]] -= q[k]
        inflow[end[k]] += q[k]
    for i in range(len(row)):
        if row[i] >= 0:
            f[row[i]] += inflow[i]
    for k in range(len(q)):
        i, j = row[start[k]], row[end[k]]
        if p[k] == 0.0:
            _hold(net, setting, k, q[k], inflow, a, f)
            continue
        if i >= 0:
            a[i] += p[k]
            f[i] += y[k]
            if j < 0:
                f[i] += p[k] * head[end[k]]
        if j >= 0:
            a[j] += p[k]
            f[j] -= y[k]
            if i < 0:
                f[j] += p[k] * head[start[k]]
        if net.slot[k] >= 0:
            a[net.slot[k]] -= p[k]


@kernel
def _hold(net: Laws, setting: Floats, k: int, q: float, inflow: Floats, a: Floats, f: Floats) -> None:
    """A valve in control: what it holds, and what it carries from one side to the other."""
    i, j = net.start[k], net.end[k]
    row = net.row
    if net.kind[k] == FCV:
        # The setting is drawn at one side and fed in at the other, whatever the heads.
        change = setting[k] - q
        if row[i] >= 0:
            f[row[i]] -= change
            a[row[i]] += 1.0 / SHUT
        if row[j] >= 0:
            f[row[j]] += change
            a[row[j]] += 1.0 / SHUT
        if net.slot[k] >= 0:
            a[net.slot[k]] -= 1.0 / SHUT
        return
    held, other = (j, i) if net.kind[k] == PRV else (i, j)
    if row[held] >= 0:
        a[row[held]] += BIG
        f[row[held]] += BIG * (net.elevation[held] + setting[k])
    if row[other] >= 0:
        # The other side carries what the held side needs, and nothing backwards.
        if net.kind[k] == PRV:
            carried = max(q - inflow[held], 0.0)
            f[row[other]] -= carried - q
        else:
            carried = max(q + inflow[held], 0.0)
            f[row[other]] += carried - q


@kernel
def update_flows(
    net: Laws, setting: Floats, head: Floats, inflow: Floats, p: Floats, y: Floats, status: Index, q: Floats
) -> tuple[float, float]:
    """Step q := q - (y - p dh); returns the sums of |change| and of |q|."""
    moved, total = 0.0, 0.0
    for k in range(len(q)):
        kind = net.kind[k]
        if p[k] != 0.0:
            change = y[k] - p[k] * (head[net.start[k]] - head[net.end[k]])
        elif kind == FCV:
            change = q[k] - setting[k]
        elif kind == PRV:
            change = inflow[net.end[k]]
        else:
            change = -inflow[net.start[k]]
        if kind == PUMP and net.pump[k] == 0 and change > q[k] and status[k] > CLOSED:
            change = q[k] / 2.0
        q[k] -= change
        moved += abs(change)
        if status[k] > CLOSED:
            total += abs(q[k])
    return moved, total


@kernel
def add_outflows(net: Laws, full: Floats, pressure: Floats, emitted: Floats, served: Floats, a: Floats, f: Floats) -> None:
    """Emitters, and demands that depend on pressure, as links to a reservoir at the junction's elevation."""
    for i in range(len(net.row)):
        r = net.row[i]
        if r < 0:
            continue
        if net.emitter[i] > 0.0:
            h, g = outflow_law(emitted[i], net.emitter[i], net.emitter_exponent)
            a[r] += 1.0 / g
            f[r] += (h + net.elevation[i]) / g - emitted[i]
        if pressure[0] > 0.0 and full[i] > 0.0:
            h, g = demand_law(served[i], full[i], pressure[2] - pressure[1], pressure[3])
            a[r] += 1.0 / g
            f[r] += (h + net.elevation[i] + pressure[1]) / g - served[i]


@kernel
def update_outflows(
    net: Laws, full: Floats, pressure: Floats, head: Floats, emitted: Floats, served: Floats
) -> tuple[float, float]:
    """Newton's step of the outflows; returns the sums of |change| and of |outflow|."""
    moved, total = 0.0, 0.0
    for i in range(len(net.row)):
        if net.row[i] < 0:
            continue
        if net.emitter[i] > 0.0:
            h, g = outflow_law(emitted[i], net.emitter[i], net.emitter_exponent)
            change = (h - (head[i] - net.elevation[i])) / g
            emitted[i] -= change
            moved += abs(change)
            total += abs(emitted[i])
        if pressure[0] > 0.0 and full[i] > 0.0:
            h, g = demand_law(served[i], full[i], pressure[2] - pressure[1], pressure[3])
            change = (h - (head[i] - net.elevation[i] - pressure[1])) / g
            served[i] -= change
            moved += abs(change)
            total += abs(served[i])
    return moved, total


@kernel
def balance(
    net: Laws, pressure: Floats, setting: Floats, demand: Floats, head: Floats, q: Floats, status: Index,
    emitted: Floats, served: Floats, p: Floats, y: Floats, inflow: Floats, a: Floats, f: Floats, original: Floats,
    accuracy: float, trials: int, check_every: int, check_until: int,
) -> tuple[int, float]:  # fmt: skip
    """Iterate to a balance of heads, flows and statuses.

    Args:
        net: the network's numbers.
        pressure: (4,) whether demand depends on pressure, p_min, p_required [m], exponent.
        setting: (n_link,) speed, or a valve's setting; nan where a valve is fixed open or closed.
        demand: (n_node,) [m3/s].
        head: (n_node,) fixed ones as given; the others are filled in [m].
        q: (n_link,) start and result [m3/s].
        status: (n_link,) start and result.
        emitted: (n_node,) through emitters, start and result [m3/s].
        served: (n_node,) of demands that depend on pressure, start and result [m3/s].
        p: (n_link,) scratch.
        y: (n_link,) scratch.
        inflow: (n_node,) scratch.
        a: (n + n_upper,) scratch, the factor.
        f: (n,) scratch.
        original: (n,) scratch.
        accuracy: sum of changes over sum of flows at which the flows are balanced.
        trials: at most so many iterations.
        check_every: iterations between judgements of pumps, check valves and tanks before convergence.
        check_until: iteration after which they are judged at convergence only.

    Returns:
        Iterations used (trials + 1 where not balanced) and the last relative change.
    """
    next_check = check_every
    relative = np.inf
    fixed = np.zeros(len(demand))
    dependent = pressure[0] > 0.0
    for iteration in range(1, trials + 1):
        linearise(net, status, setting, q, p, y)
        for i in range(len(demand)):
            fixed[i] = emitted[i] * 0.0 + (demand[i] if not (dependent and demand[i] > 0.0) else 0.0)
        assemble(net, setting, fixed, head, q, p, y, inflow, a, f)
        add_outflows(net, demand, pressure, emitted, served, a, f)
        ldl_factor(net.up, net.uj, net.target, a, original, 0.0)
        ldl_solve(net.up, net.uj, a, f)
        for i in range(len(net.row)):
            if net.row[i] >= 0:
                head[i] = f[net.row[i]]
                # What emitters and consumers draw belongs to the balance that valves in control must carry.
                if net.emitter[i] > 0.0:
                    inflow[i] -= emitted[i]
                if dependent and demand[i] > 0.0:
                    inflow[i] -= served[i]
        moved, total = update_flows(net, setting, head, inflow, p, y, status, q)
        moved_out, total_out = update_outflows(net, demand, pressure, head, emitted, served)
        relative = (moved + moved_out) / max(total + total_out, 1e-12)
        if np.isnan(relative):
            return trials + 1, relative
        valves = judge_valves(net, setting, head, q, status)
        if relative <= accuracy:
            links = judge_links(net, setting, head, q, status)
            if not (valves or links):
                return iteration, relative
            next_check = iteration + check_every
        elif iteration <= check_until and iteration == next_check:
            judge_links(net, setting, head, q, status)
            next_check += check_every
    return trials + 1, relative
