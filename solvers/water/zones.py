"""Water balance by metered zones.

Cut the network at every metered link and at every reservoir and tank: what remains in one piece is a zone. Where every
cut around a zone is a meter, its consumption is known:

    sum of demands + leaks = metered inflow - metered outflow

Otherwise its consumers are scaled by what its smart meters say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from solvers.water.plan import Floats, Index, WaterPlan


@dataclass(frozen=True, eq=False)
class Zones:
    """Zones of a placement of flow meters.

    Args:
        of_node: (n_node,) zone of each junction, -1 for reservoirs and tanks.
        balanced: (n_zone,) whether every border of the zone is metered.
        meter: (n_meter,) metered links.
        from_zone, to_zone: (n_meter,) zones at their ends, -1 at reservoirs and tanks.
    """

    of_node: Index
    balanced: NDArray[np.bool_]
    meter: Index
    from_zone: Index
    to_zone: Index

    def inflow(self, flow: Floats) -> Floats:
        """(n_zone,) net metered inflow from the meters' readings (n_meter,) [m3/s]."""
        out = np.zeros(len(self.balanced))
        np.add.at(out, self.to_zone[self.to_zone >= 0], flow[self.to_zone >= 0])
        np.add.at(out, self.from_zone[self.from_zone >= 0], -flow[self.from_zone >= 0])
        return out

    def inflow_sigma(self, sigma: Floats) -> Floats:
        """(n_zone,) standard deviation of the net inflow, from the meters' own (n_meter,) [m3/s]."""
        out = np.zeros(len(self.balanced))
        inner = self.to_zone != self.from_zone
        for zone in (self.to_zone, self.from_zone):
            np.add.at(out, zone[inner & (zone >= 0)], sigma[inner & (zone >= 0)] ** 2)
        return np.sqrt(out)


def zones(plan: WaterPlan, meter: Index) -> Zones:
    """Cut a network at its flow meters.

    Args:
        plan: of the network.
        meter: (n_meter,) metered links.
    """
    laws = plan.laws
    n = len(laws.row)
    fixed = laws.row < 0
    metered = np.isin(np.arange(len(laws.kind)), meter)
    inner = ~metered & ~fixed[laws.start] & ~fixed[laws.end]
    graph = coo_array((np.ones(int(inner.sum()), dtype=np.int8), (laws.start[inner], laws.end[inner])), shape=(n, n)).tocsr()
    _, label = connected_components(graph, directed=False)
    _, zone = np.unique(label[~fixed], return_inverse=True)
    of_node = np.full(n, -1, dtype=np.int64)
    of_node[~fixed] = zone
    balanced = np.ones(int(zone.max()) + 1 if len(zone) else 0, dtype=bool)
    leaky = ~metered & (fixed[laws.start] != fixed[laws.end])
    at = np.where(fixed[laws.start], laws.end, laws.start)[leaky]
    balanced[of_node[at]] = False
    return Zones(of_node, balanced, np.asarray(meter), of_node[laws.start[meter]], of_node[laws.end[meter]])
