"""Limits in lanes: the largest loading, the extreme voltages, and what is violated in each of sixteen solved scenarios.

Loading of a branch: |I| at either end over that end's limit, I_f = y_ff V_f + y_ft V_t. Only what is violated is
written out; a network has thousands of branches and an outage a handful of violations.
"""

from __future__ import annotations

import numpy as np

from solvers.accelerate import kernel
from solvers.linalg.vector import Vector, exceeds, f64x16, fma, fnma, larger, load, pick, store
from solvers.power.regroup import LANES, FloatArray, IndexArray


@kernel
def monitor(
    begin: int,
    end: int,
    n_outage: int,
    v: FloatArray,
    ends: IndexArray,
    y: FloatArray,
    per_limit: FloatArray,
    band: FloatArray,
    missing: IndexArray,
    dead_from: IndexArray,
    dead: IndexArray,
    lives: FloatArray,
    work: FloatArray,
    extremes: FloatArray,
    where: IndexArray,
    found: FloatArray,
) -> int:
    """Judge the groups begin .. end - 1; return how many violations there are, of which the first len(found) are kept.

    Args:
        begin: first group.
        end: group after the last.
        n_outage: scenarios in all.
        v: (n_group, 2 n_bus, 16).
        ends: (n_branch, 2) positions.
        y: (n_branch, 8) y_ff, y_ft, y_tf, y_tt as real and imaginary parts [pu].
        per_limit: (n_branch, 2) one over the current limit at each end [1/pu]; 0 without a limit.
        band: (n_bus, 2) least and greatest voltage [pu]; buses whose least is 0 are left out.
        missing: (n_outage,) the branch that is out, -1 for none.
        dead_from: (n_outage + 1,) where each outage's part of `dead` begins.
        dead: positions without voltage.
        lives: (n_bus, 16) scratch.
        work: (4, 16) scratch.
        extremes: (n_outage, 3) receives the largest loading [1], the least and the greatest voltage [pu].
        where: (n_outage, 3) receives the branch and the positions of these.
        found: (capacity, 4) receives outage, 0 for a branch or 1 for a bus, which, and the loading or voltage.
    """
    count = 0
    zero, one = f64x16(0.0), f64x16(1.0)
    for group in range(begin, end):
        first = group * LANES
        here = v[group]
        splits = False
        for w in range(LANES):
            o = min(first + w, n_outage - 1)
            splits = splits or dead_from[o + 1] > dead_from[o]
        if splits:
            lives[:] = 1.0
            for w in range(LANES):
                o = min(first + w, n_outage - 1)
                for d in range(dead_from[o], dead_from[o + 1]):
                    lives[dead[d], w] = 0.0
        top, which = zero, f64x16(-1.0)
        for b in range(len(ends)):
            if per_limit[b, 0] == 0.0 and per_limit[b, 1] == 0.0:
                continue
            square = _loading_squared(b, ends, y, per_limit, here)
            if splits:
                square = square * load(zero, lives, ends[b, 0]) * load(zero, lives, ends[b, 1])
            # Neither a new maximum nor a violation: the common case.
            if not exceeds(square, top) and not exceeds(square, one):
                continue
            store(work, 0, square)
            for w in range(LANES):
                if first + w < n_outage and missing[first + w] == b:
                    work[0, w] = 0.0
            square = load(zero, work, 0)
            which = pick(top, square, f64x16(float(b)), which)
            top = larger(top, square)
            if exceeds(square, one):
                for w in range(LANES):
                    if work[0, w] > 1.0 and first + w < n_outage:
                        count = _write(found, count, first + w, 0, b, np.sqrt(work[0, w]))
        store(work, 0, top)
        store(work, 1, which)
        for w in range(min(LANES, n_outage - first)):
            extremes[first + w, 0], where[first + w, 0] = np.sqrt(work[0, w]), int(work[1, w])
        count = _voltages(first, n_outage, here, band, splits, lives, work, extremes, where, found, count)
    return count


@kernel
def _loading_squared(b: int, ends: IndexArray, y: FloatArray, per_limit: FloatArray, v: FloatArray) -> Vector:
    zero = f64x16(0.0)
    f, t = 2 * ends[b, 0], 2 * ends[b, 1]
    ef, ff, et, ft = load(zero, v, f), load(zero, v, f + 1), load(zero, v, t), load(zero, v, t + 1)
    near = _current_squared(y[b, 0], y[b, 1], y[b, 2], y[b, 3], ef, ff, et, ft)
    far = _current_squared(y[b, 4], y[b, 5], y[b, 6], y[b, 7], ef, ff, et, ft)
    return larger(near * f64x16(per_limit[b, 0] ** 2), far * f64x16(per_limit[b, 1] ** 2))


@kernel
def _current_squared(
    g1: float, b1: float, g2: float, b2: float, ef: Vector, ff: Vector, et: Vector, ft: Vector
) -> Vector:  # fmt: skip
    """|y1 V_f + y2 V_t|^2."""
    re = fnma(f64x16(b2), ft, fma(f64x16(g2), et, fnma(f64x16(b1), ff, f64x16(g1) * ef)))
    im = fma(f64x16(b2), et, fma(f64x16(g2), ft, fma(f64x16(b1), ef, f64x16(g1) * ff)))
    return fma(re, re, im * im)


@kernel
def _voltages(
    first: int,
    n_outage: int,
    v: FloatArray,
    band: FloatArray,
    splits: bool,
    lives: FloatArray,
    work: FloatArray,
    extremes: FloatArray,
    where: IndexArray,
    found: FloatArray,
    count: int,
) -> int:
    zero = f64x16(0.0)
    least, most = f64x16(1e9), zero
    at_least, at_most = f64x16(-1.0), f64x16(-1.0)
    for i in range(len(band)):
        if band[i, 0] == 0.0:
            continue
        e, f = load(zero, v, 2 * i), load(zero, v, 2 * i + 1)
        square = fma(e, e, f * f)
        low = square
        if splits:
            here = load(zero, lives, i)
            low = pick(here, f64x16(0.5), f64x16(1e9), square)
            square = square * here
        at_least = pick(low, least, f64x16(float(i)), at_least)
        least = pick(low, least, low, least)
        at_most = pick(most, square, f64x16(float(i)), at_most)
        most = larger(most, square)
        if exceeds(square, f64x16(band[i, 1] ** 2)) or exceeds(f64x16(band[i, 0] ** 2), low):
            store(work, 0, low)
            store(work, 1, square)
            for w in range(LANES):
                if first + w < n_outage and (work[1, w] > band[i, 1] ** 2 or work[0, w] < band[i, 0] ** 2):
                    count = _write(found, count, first + w, 1, i, np.sqrt(work[0, w]))
    store(work, 0, least)
    store(work, 1, most)
    store(work, 2, at_least)
    store(work, 3, at_most)
    for w in range(min(LANES, n_outage - first)):
        extremes[first + w, 1], extremes[first + w, 2] = np.sqrt(work[0, w]), np.sqrt(work[1, w])
        where[first + w, 1], where[first + w, 2] = int(work[2, w]), int(work[3, w])
    return count


@kernel
def _write(found: FloatArray, count: int, outage: int, kind: int, which: int, value: float) -> int:
    if count < len(found):
        found[count, 0], found[count, 1], found[count, 2], found[count, 3] = outage, kind, which, value
    return count + 1
