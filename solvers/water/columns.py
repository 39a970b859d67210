"""Result columns of a record, and where they lie in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.water.instants import Record

Memory = Callable[[int], NDArray[np.uint8]]


def fresh(size: int) -> NDArray[np.uint8]:
    """So many bytes that nobody had before."""
    return np.empty(size, dtype=np.uint8)


def room(*arrays: tuple[tuple[int, ...], Any], memory: Memory = fresh) -> Iterator[NDArray[Any]]:
    """Arrays of these shapes and types side by side: much memory at once comes in large pages, at a quarter of the cost."""
    sizes = [prod(shape) * np.dtype(kind).itemsize for shape, kind in arrays]
    whole, begin = memory(sum(-(-size // 64) * 64 for size in sizes)), 0
    for (shape, kind), size in zip(arrays, sizes, strict=True):
        yield whole[begin : begin + size].view(kind).reshape(shape)
        begin += -(-size // 64) * 64


def columns(out: Record) -> dict[str, NDArray[np.generic]]:
    """The result columns of a record, of the record's own shape."""
    return {
        "node_head_m": out.head,
        "node_pressure_m": out.pressure,
        "node_demand_m3_per_s": out.demand,
        "node_supplied": out.supplied,
        "link_flow_m3_per_s": out.flow,
        "link_velocity_m_per_s": out.velocity,
        "link_headloss_m": out.loss,
        "link_status": out.code,
        "link_setting": out.setting,
        "tank_level_m": out.level,
    }
