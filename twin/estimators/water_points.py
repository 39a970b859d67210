"""Which meter of the point list looks at what: signals resolved once against the water model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid_models.errors import InvalidInput, Issue
from grid_models.measurements import Catalogue
from grid_models.water.network import WaterNetwork
from solvers.water.plan import Floats, Index
from twin.estimators import InForce


@dataclass(frozen=True, eq=False)
class Meters:
    """Signals by what they look at; every array is per signal of its group.

    Args:
        pressure_uid, pressure_node: pressures, at rows of nodes.
        flow_uid, flow_link, flow_sigma: flows, at rows of links, with their sigmas [m3/s].
        level_uid, level_tank: levels, at rows of tanks.
        demand_uid, demand_node: smart meters, at rows of nodes.
        status_uid, status_link: positions, at rows of links.
    """

    pressure_uid: NDArray[np.uint32]
    pressure_node: Index
    flow_uid: NDArray[np.uint32]
    flow_link: Index
    flow_sigma: Floats
    level_uid: NDArray[np.uint32]
    level_tank: Index
    demand_uid: NDArray[np.uint32]
    demand_node: Index
    status_uid: NDArray[np.uint32]
    status_link: Index

    @property
    def uid(self) -> NDArray[np.uint32]:
        """(n,) of pressures, flows, levels and smart meters, in this order."""
        return np.concatenate([self.pressure_uid, self.flow_uid, self.level_uid, self.demand_uid])

    def read(self, measured: InForce) -> Floats:
        """(n,) what is read at an instant, in the order of `uid`; nan where that is nothing, or has no weight, or is stale."""
        uid = self.uid
        value, known, sigma = measured.of(uid)
        return np.where(known & np.isfinite(sigma) & ~np.isin(uid, measured.signal[measured.stale]), value, np.nan)


def resolve(model: WaterNetwork, catalogue: Catalogue, network: str) -> Meters:
    """Bind the signals of one network to its model.

    Raises:
        InvalidInput: signals that the model does not know; all of them at once.
    """
    groups: dict[str, list[tuple[int, int]]] = {g: [] for g in ("pressure", "flow", "level", "demand", "status")}
    kinds = {
        "pressure_m": "pressure", "flow_m3_per_s": "flow", "level_m": "level", "demand_m3_per_s": "demand",
        "status": "status",
    }  # fmt: skip
    issues = []
    for signal in catalogue.of(network):
        group = kinds.get(signal.quantity)
        if group is None:
            reason = f"a water network does not measure {signal.quantity}"
            issues.append(Issue("signal", signal.quantity, (signal.name,), reason))
            continue
        if group == "level":
            found = np.flatnonzero(model.tables["tank"].index == signal.element)
            place = int(found[0]) if len(found) else -1
        elif group in ("flow", "status"):
            place = int(model.links([signal.element])[0])
        else:
            place = int(model.nodes([signal.element])[0])
        if place < 0:
            reason = f"the model has no {signal.table} {signal.element}"
            issues.append(Issue("signal", signal.quantity, (signal.name,), reason))
            continue
        groups[group].append((signal.uid, place))
    if issues:
        raise InvalidInput(issues)

    def columns(group: str) -> tuple[NDArray[np.uint32], Index]:
        entries = groups[group]
        return np.array([u for u, _ in entries], dtype=np.uint32), np.array([p for _, p in entries], dtype=np.int64)

    pressure, flow, level, demand, status = (columns(g) for g in groups)
    flow_sigma = np.array([s.sigma for s in catalogue.of(network) if s.quantity == "flow_m3_per_s"], dtype=np.float64)
    return Meters(*pressure, *flow, flow_sigma, *level, *demand, *status)
