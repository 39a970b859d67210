"""Laws of links and outflows: head loss h and its gradient g = dh/dq as functions of flow.

Below `FLOOR` a gradient is replaced by a straight line through the origin, so that a link without flow leaves the matrix
regular. The constants are EPANET's, turned from feet and cubic feet (Rossman et al. 2020, ch. 12).
"""

from __future__ import annotations

import numpy as np

from solvers.accelerate import kernel, part
from solvers.linalg.vector import f64x8, larger, load, magnitude, pick, power, store
from solvers.water.plan import (
    ACTIVE,
    CONSTANT_POWER,
    CUBIC_FOOT,
    FOOT,
    GPV,
    PBV,
    PCV,
    PIPE,
    PUMP,
    TABLE,
    TCV,
    Floats,
    Laws,
)

FLOOR = 1e-7 * FOOT / CUBIC_FOOT  # least gradient of a link [s/m2]
TINY = 1e-6 * CUBIC_FOOT  # least flow at which a curve is read [m3/s]
BARRIER = 1e15  # gradient of an outflow beyond its bounds [s/m2]
_LEAST_POWERED = 1e-15  # flow at which a pump of constant power is read at least [m3/s]
LEAST = 1e-200  # what `power` can take in place of 0


@part
def pipe_lanes(flow: Floats, resistance: Floats, minor: Floats, exponent: float, loss: Floats, gradient: Floats) -> None:
    """Loss h and gradient g of pipes by h = (r |q|^(n-1) + m |q|) q, eight at once.

    Args:
        flow: (rows, 8) [m3/s].
        resistance: (rows, 8) r.
        minor: (rows, 8) m.
        exponent: n.
        loss: (rows, 8) receives h [m].
        gradient: (rows, 8) receives g [s/m2].
    """
    floor, least, two = f64x8(FLOOR), f64x8(LEAST), f64x8(2.0)
    n, line = f64x8(exponent), f64x8(FLOOR / exponent)
    for row in range(len(flow)):
        signed = load(floor, flow, row)
        q = magnitude(signed)
        m = load(floor, minor, row)
        slope = load(floor, resistance, row) * power(larger(q, least), exponent - 1.0)
        g = n * slope
        store(loss, row, (pick(g, floor, line, slope) + m * q) * signed)
        store(gradient, row, pick(g, floor, line, g) + two * m * q)


@part
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


@part
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
    """Loss h and gradient g of an open link; PRV, PSV and FCV in control have no law."""
    kind = net.kind[k]
    if kind <= PIPE:
        return _pipe(net, k, q)
    if kind == PUMP:
        return _pump(net, k, setting, q)
    size, minor = abs(q), net.minor[k]
    first, last = net.curve_start[k], net.curve_start[k + 1]
    if kind == GPV:
        intercept, slope = segment(first, last, net.curve_q, net.curve_h, max(size, TINY))
        gradient = max(slope, TINY)
        if size < TINY:  # a loss that begins above zero turns its sign on a steep line
            gradient = max(intercept / TINY + gradient, TINY)
            return gradient * q, gradient
        loss = intercept + gradient * size
        return (loss if q >= 0.0 else -loss), gradient
    if kind == PBV and status == ACTIVE and setting != 0.0 and minor * q * q <= setting:
        return setting, FLOOR
    m = minor
    if status == ACTIVE and kind == TCV:
        m = 0.02517 * setting / (net.diameter[k] / FOOT) ** 4 * FOOT / CUBIC_FOOT**2
    if status == ACTIVE and kind == PCV:
        m = positional(setting, minor, first, last, net.curve_q, net.curve_h)
    gradient = 2.0 * m * size
    if gradient < FLOOR:
        return q * FLOOR, FLOOR
    return q * gradient / 2.0, gradient


@part
def _pipe(net: Laws, k: int, q: float) -> tuple[float, float]:
    size, minor = abs(q), net.minor[k]
    if net.exponent > 0.0:
        slope = net.resistance[k] * size ** (net.exponent - 1.0)
        gradient = net.exponent * slope
        if gradient < FLOOR:
            slope = FLOOR / net.exponent
            gradient = slope
        return (slope + minor * size) * q, gradient + 2.0 * minor * size
    if size <= 500.0 * np.pi * net.viscous[k]:
        r = 16.0 * np.pi * net.viscous[k] * net.resistance[k]
        return q * (r + minor * size), r + 2.0 * minor * size
    f, slope = friction(size, net.roughness[k], net.viscous[k])
    r = f * net.resistance[k] + minor
    return r * size * q, 2.0 * r * size + slope * net.resistance[k] * size * size


@part
def _pump(net: Laws, k: int, speed: float, q: float) -> tuple[float, float]:
    size = max(abs(q), TINY)
    if net.pump[k] == TABLE:
        first, last = net.curve_start[k], net.curve_start[k + 1]
        intercept, slope = segment(first, last, net.curve_q, net.curve_h, size / speed)
        gradient = max(-slope * speed, FLOOR)
        return -intercept * speed**2 + gradient * q, gradient
    if net.pump[k] == CONSTANT_POWER:
        size = max(q, _LEAST_POWERED)
        loss = net.pump_law[k, 1] / size
        return loss, max(-loss / size, FLOOR)
    r = net.pump_law[k, 1] * speed ** (2.0 - net.pump_law[k, 2])
    gradient = net.pump_law[k, 2] * r * size ** (net.pump_law[k, 2] - 1.0)
    shut_off = -net.pump_law[k, 0] * speed**2
    if gradient < FLOOR:
        return shut_off + FLOOR * q, FLOOR
    return shut_off + gradient * q / net.pump_law[k, 2], gradient


@part
def positional(opening: float, minor: float, first: int, last: int, x: Floats, y: Floats) -> float:
    """Loss coefficient of a positional valve: that of the open valve over its relative flow coefficient squared."""
    share = opening
    if last - first > 1:
        intercept, slope = segment(first, last, x, y, opening)
        share = intercept + slope * opening
    share = min(max(share / 100.0, 1e-3), 1.0)
    return min(minor / share**2, 1e8 * minor)


@part
def outflow_law(q: float, coefficient: float, exponent: float, one_way: bool) -> tuple[float, float]:
    """Pressure and its gradient at which an opening q = k p^n lets q out; one that is one-way takes nothing in."""
    if one_way and q <= 0.0:
        return BARRIER * q, BARRIER
    size = max(abs(q), LEAST)
    slope = (size / coefficient) ** (1.0 / exponent) / size
    gradient = slope / exponent
    if gradient < FLOOR:
        slope = FLOOR * exponent
        gradient = slope
    return slope * q, gradient


@part
def demand_law(q: float, full: float, span: float, exponent: float) -> tuple[float, float]:
    """Pressure above the minimum, and its gradient, at which a demand is served with q; barriers at 0 and at full."""
    if q <= 0.0:
        return BARRIER * q, BARRIER
    if q >= full:
        return span + BARRIER * (q - full), BARRIER
    pressure = span * (q / full) ** (1.0 / exponent)
    gradient = pressure / q / exponent
    if gradient < FLOOR:
        return FLOOR * q, FLOOR
    return pressure, gradient
