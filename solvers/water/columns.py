"""Result columns of a record: pressures, velocities and head losses follow from it in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.accelerate import kernel
from solvers.water.instants import Record
from solvers.water.plan import Floats, Index, WaterPlan


def room(*arrays: tuple[tuple[int, ...], Any]) -> Iterator[NDArray[Any]]:
    """Arrays of these shapes and types side by side: much memory at once comes in large pages, at a quarter of the cost."""
    sizes = [-(-int(np.prod(shape)) * np.dtype(kind).itemsize // 64) * 64 for shape, kind in arrays]
    ends = np.cumsum(sizes)
    whole = np.empty(ends[-1], dtype=np.uint8)
    for (shape, kind), size, end in zip(arrays, sizes, ends.tolist(), strict=True):
        begin = end - size
        yield whole[begin : begin + int(np.prod(shape)) * np.dtype(kind).itemsize].view(kind).reshape(shape)


def columns(plan: WaterPlan, out: Record) -> dict[str, NDArray[np.generic]]:
    """The result columns of a record, of the record's own shape."""
    laws = plan.laws
    area = np.pi * laws.diameter**2 / 4.0
    per_area = np.divide(1.0, area, out=np.zeros(len(area)), where=area > 0)
    pressure, velocity, loss = room((out.head.shape, np.float64), (out.flow.shape, np.float64), (out.flow.shape, np.float64))
    nodes, links = (out.time.size, len(laws.row)), (out.time.size, len(laws.kind))
    derive(
        laws.start, laws.end, laws.elevation, per_area, out.head.reshape(nodes), out.flow.reshape(links),
        pressure.reshape(nodes), velocity.reshape(links), loss.reshape(links),
    )  # fmt: skip
    return {
        "node_head_m": out.head,
        "node_pressure_m": pressure,
        "node_demand_m3_per_s": out.demand,
        "node_supplied": out.supplied,
        "link_flow_m3_per_s": out.flow,
        "link_velocity_m_per_s": velocity,
        "link_headloss_m": loss,
        "link_status": out.code,
        "link_setting": out.setting,
        "tank_level_m": out.level,
    }


@kernel
def derive(
    start: Index, end: Index, elevation: Floats, per_area: Floats, head: Floats, flow: Floats,
    pressure: Floats, velocity: Floats, loss: Floats,
) -> None:  # fmt: skip
    """Set what follows from heads and flows.

    Args:
        start: (n_link,) node.
        end: (n_link,) node.
        elevation: (n_node,) [m].
        per_area: (n_link,) 1 / cross-section [1/m2], 0 for pumps.
        head: (n, n_node) [m].
        flow: (n, n_link) [m3/s].
        pressure: (n, n_node) receives pressures [m].
        velocity: (n, n_link) receives velocities [m/s].
        loss: (n, n_link) receives head losses [m].
    """
    for t in range(len(head)):
        for i in range(len(elevation)):
            pressure[t, i] = head[t, i] - elevation[i]
        for k in range(len(start)):
            velocity[t, k] = abs(flow[t, k]) * per_area[k]
            loss[t, k] = head[t, start[k]] - head[t, end[k]]
