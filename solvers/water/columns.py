"""Result columns of a record: pressures, velocities, head losses and the three words of a link's status, in one pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.accelerate import kernel
from solvers.water.instants import Record
from solvers.water.plan import ACTIVE, CLOSED, Floats, Index, WaterPlan

_SHUT, _OPEN, _IN_CONTROL = 0, 1, 2  # `link_status` as results have it


def columns(plan: WaterPlan, out: Record) -> dict[str, NDArray[np.generic]]:
    """The result columns of a record, of the record's own shape."""
    laws = plan.laws
    area = np.pi * laws.diameter**2 / 4.0
    per_area = np.divide(1.0, area, out=np.zeros(len(area)), where=area > 0)
    pressure, velocity, loss = np.empty_like(out.head), np.empty_like(out.flow), np.empty_like(out.flow)
    codes = np.empty(out.flow.shape, dtype=np.int8)
    nodes, links = (out.time.size, len(laws.row)), (out.time.size, len(laws.kind))
    derive(
        laws.start, laws.end, laws.elevation, per_area, out.head.reshape(nodes), out.flow.reshape(links),
        out.status.reshape(links), pressure.reshape(nodes), velocity.reshape(links), loss.reshape(links),
        codes.reshape(links),
    )  # fmt: skip
    return {
        "node_head_m": out.head,
        "node_pressure_m": pressure,
        "node_demand_m3_per_s": out.demand,
        "node_supplied": out.supplied,
        "link_flow_m3_per_s": out.flow,
        "link_velocity_m_per_s": velocity,
        "link_headloss_m": loss,
        "link_status": codes,
        "link_setting": out.setting,
        "tank_level_m": out.level,
    }


@kernel
def derive(
    start: Index, end: Index, elevation: Floats, per_area: Floats, head: Floats, flow: Floats, status: Index,
    pressure: Floats, velocity: Floats, loss: Floats, codes: NDArray[np.int8],
) -> None:  # fmt: skip
    """Set what follows from heads, flows and statuses.

    Args:
        start: (n_link,) node.
        end: (n_link,) node.
        elevation: (n_node,) [m].
        per_area: (n_link,) 1 / cross-section [1/m2], 0 for pumps.
        head: (n, n_node) [m].
        flow: (n, n_link) [m3/s].
        status: (n, n_link) codes of plan.py.
        pressure: (n, n_node) receives pressures [m].
        velocity: (n, n_link) receives velocities [m/s].
        loss: (n, n_link) receives head losses [m].
        codes: (n, n_link) receives 0 shut, 1 open, 2 in control.
    """
    for t in range(len(head)):
        for i in range(len(elevation)):
            pressure[t, i] = head[t, i] - elevation[i]
        for k in range(len(start)):
            velocity[t, k] = abs(flow[t, k]) * per_area[k]
            loss[t, k] = head[t, start[k]] - head[t, end[k]]
            now = status[t, k]
            codes[t, k] = _SHUT if now <= CLOSED else (_IN_CONTROL if now == ACTIVE else _OPEN)
