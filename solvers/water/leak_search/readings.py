"""What is measured in a town, and what was read: the input of everything here, in metres, m3/h and hours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from grid_models.errors import InvalidInput, Issue
from grid_models.water.network import WaterNetwork
from solvers.water.plan import Floats, Index

HOURS_PER_WEEK = 168
_USUAL = 0.99  # quantile of a meter's flows
_STILL = 0.05
_SWITCHED = 0.2  # of them: a spread within the hour that is no demand's


@dataclass(frozen=True)
class Sensors:
    """Ids of what is measured.

    Args:
        pressure: nodes.
        flow: links.
        level: tanks.
        drawn: nodes with a smart meter.
    """

    pressure: tuple[str, ...]
    flow: tuple[str, ...]
    level: tuple[str, ...]
    drawn: tuple[str, ...]

    def check(self, network: WaterNetwork) -> None:
        """See that the network has them all.

        Raises:
            InvalidInput: it does not; all at once.
        """
        tanks = {str(i) for i in network.tables["tank"].index.tolist()}
        nodes, links = {str(i) for i in network.node_ids}, {str(i) for i in network.link_ids}
        known = {"pressure": nodes, "flow": links, "level": tanks, "drawn": nodes}
        issues = [
            Issue("sensor", kind, tuple(unknown), f"the network {network.name} has no such {kind} sensor's element")
            for kind, ids in known.items()
            if (unknown := [i for i in getattr(self, kind) if i not in ids])
        ]
        if issues:
            raise InvalidInput(issues)


@dataclass(frozen=True, eq=False)
class Hours:
    """Hourly means of the readings; nan where nothing was read. One hour, `hours[h]`, has them without the first axis.

    Args:
        start_s: (n,) begin of each hour, seconds since 1970 UTC.
        pressure_m: (n, n_pressure).
        flow_m3_per_h: (n, n_flow).
        level_m: (n, n_level).
        level_gain_m: (n, n_level) from the hour's begin to its end.
        drawn_m3_per_h: (n, n_drawn).
        turned_h: (n,) hours by which consumers are later in their week than the calendar says.
        flow_spread_m3_per_h: (n, n_flow) standard deviation within the hour.
    """

    start_s: Floats
    pressure_m: Floats
    flow_m3_per_h: Floats
    level_m: Floats
    level_gain_m: Floats
    drawn_m3_per_h: Floats
    turned_h: Index | int = 0
    flow_spread_m3_per_h: Floats | float = 0.0

    @cached_property
    def hour_of_week(self) -> Index:
        """(n,) 0 on the consumers' Monday at midnight."""
        return np.asarray(((np.asarray(self.start_s) / 3600.0).astype(np.int64) + 3 * 24 + self.turned_h) % HOURS_PER_WEEK)

    @cached_property
    def usual_flow_m3_per_h(self) -> Floats:
        """(n_flow,) the most that each meter usually shows, either way; a share of the largest where one stands still."""
        size = np.sort(np.nan_to_num(np.abs(self.flow_m3_per_h)), axis=0)
        most = size[int(_USUAL * (len(size) - 1))]
        return np.asarray(np.maximum(most, _STILL * most.max(initial=0.0)))

    def is_unsteady(self, usual_flow_m3_per_h: Floats) -> NDArray[np.bool_]:
        """(n,) hours in which a pump or a tank has switched: mean heads are not those of mean flows.

        Args:
            usual_flow_m3_per_h: (n_flow,) of the history.
        """
        spread = np.broadcast_to(self.flow_spread_m3_per_h, self.flow_m3_per_h.shape)
        return np.asarray((np.nan_to_num(spread) > _SWITCHED * usual_flow_m3_per_h).any(axis=-1))

    def __getitem__(self, h: int) -> Hours:
        """One hour."""
        n = len(self)
        return Hours(
            self.start_s[h], self.pressure_m[h], self.flow_m3_per_h[h], self.level_m[h], self.level_gain_m[h],
            self.drawn_m3_per_h[h], np.broadcast_to(self.turned_h, n)[h],
            np.broadcast_to(self.flow_spread_m3_per_h, (n, self.flow_m3_per_h.shape[1]))[h],
        )  # fmt: skip

    def __len__(self) -> int:
        """The number of hours."""
        return len(self.start_s)
