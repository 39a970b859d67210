"""Rows of numbers: copied, written past the caches, and turned into lanes and back.

A result is written once and read by others later. Past the caches, its lines need not be fetched before they are overwritten,
and what the solver works with stays where it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.accelerate import part
from solvers.linalg.vector import f64x8, load, misfit, store, stream, turned

_LANES = 8

Floats = NDArray[np.float64]


@part
def copied(source: NDArray[Any], target: NDArray[Any]) -> None:
    """Copy a row: a loop, which an assignment to a slice is not (it looks for overlaps, at four times the cost)."""
    for i in range(len(target)):
        target[i] = source[i]


@part
def streamed(source: Floats, target: Floats) -> None:
    """Copy a row past the caches: whole lines of memory alone, what is before and after them as ever."""
    zero, n = f64x8(0.0), len(target)
    first = min(misfit(target), n)
    last = first + (n - first) // _LANES * _LANES
    for i in range(first):
        target[i] = source[i]
    for i in range(first, last, _LANES):
        stream(target, i, load(zero, source, i))
    for i in range(last, n):
        target[i] = source[i]


@part
def to_lanes(rows: Floats, lanes: Floats) -> None:
    """Write rows (8, n) into lanes (n, 8)."""
    zero, n, flat = f64x8(0.0), len(lanes), rows.ravel()
    whole = n - n % _LANES
    for i in range(0, whole, _LANES):
        x = turned(
            load(zero, flat, i), load(zero, flat, n + i), load(zero, flat, 2 * n + i), load(zero, flat, 3 * n + i),
            load(zero, flat, 4 * n + i), load(zero, flat, 5 * n + i), load(zero, flat, 6 * n + i), load(zero, flat, 7 * n + i),
        )  # fmt: skip
        for k in range(_LANES):
            store(lanes, i + k, x[k])
    for w in range(_LANES):
        for i in range(whole, n):
            lanes[i, w] = rows[w, i]


@part
def to_rows(lanes: Floats, rows: Floats, which: NDArray[np.int64]) -> None:
    """The way back, for the lanes for which `which` is not 0."""
    zero, n, flat = f64x8(0.0), len(lanes), rows.ravel()
    whole = n - n % _LANES
    for i in range(0, whole, _LANES):
        x = turned(
            load(zero, lanes, i), load(zero, lanes, i + 1), load(zero, lanes, i + 2), load(zero, lanes, i + 3),
            load(zero, lanes, i + 4), load(zero, lanes, i + 5), load(zero, lanes, i + 6), load(zero, lanes, i + 7),
        )  # fmt: skip
        for w in range(_LANES):
            if which[w] != 0:
                store(flat, w * n + i, x[w])
    for w in range(_LANES):
        for i in range(whole, n if which[w] != 0 else whole):
            rows[w, i] = lanes[i, w]
