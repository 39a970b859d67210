"""From the measurements in force at an instant to the state of a network: pure functions around the solvers.

An estimator keeps nothing between calls but caches of plans and factors, which change how long a step takes and never
what it returns. So the live service, a correction, a replay and a recovery compute the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from grid_models.state import NetworkState


@dataclass(frozen=True, eq=False)
class InForce:
    """The measurements in force at a grid instant: per signal the newest value not younger than the instant.

    Args:
        valid_time_us: the grid instant.
        signal: (n,) uids, ascending.
        value: (n,) in the signal's unit, our direction; a SwitchPosition for switches.
        sigma: (n,) after quality (`sigma_factor`); inf = known but without weight.
        source_time_us: (n,) of the value.
        stale: (n,) a cyclic signal past its time to live, or NOT_TOPICAL.
        manual: (n,) entered by a person.
    """

    valid_time_us: int
    signal: NDArray[np.uint32]
    value: NDArray[np.float64]
    sigma: NDArray[np.float64]
    source_time_us: NDArray[np.int64]
    stale: NDArray[np.bool_]
    manual: NDArray[np.bool_]

    def of(self, uid: NDArray[np.uint32]) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
        """Value, whether there is one, and sigma of each wanted signal."""
        if not len(self.signal) or not len(uid):
            none = np.zeros(len(uid))
            return none, none.astype(bool), none
        at = np.minimum(np.searchsorted(self.signal, uid), len(self.signal) - 1)
        value = self.value[at]
        return value, (self.signal[at] == uid) & np.isfinite(value), self.sigma[at]


@dataclass(frozen=True, eq=False)
class Found:
    """What a network's late watches have found that its model does not know; a numbered revision of its parameters.

    Args:
        revision: grows with time; a state carries it as its `parameter_revision`.
        node: (k,) rows of nodes that lose water.
        lost_m3_per_s: (k,) how much.
        closed: (n,) rows of links that are closed.
    """

    revision: int
    node: NDArray[np.int64]
    lost_m3_per_s: NDArray[np.float64]
    closed: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Given:
    """What a state is made from; with the model it determines every bit.

    Args:
        measured: the measurements in force at the instant.
        previous: the state of the previous grid instant, None at the start of a chain.
        coupled: other networks' states, each the newest one at or before this instant.
        found: by late watches, in states that have left the lateness window.
    """

    measured: InForce
    previous: NetworkState | None = None
    coupled: Mapping[str, NetworkState] = field(default_factory=dict)
    found: Found | None = None


class Estimator(Protocol):
    """What the runner needs of a network's estimator."""

    @property
    def network(self) -> str:
        """Its name in the catalogue and in states."""

    @property
    def model(self) -> Any:
        """The network (PowerNetwork or WaterNetwork)."""

    @property
    def dims(self) -> Mapping[str, tuple[str, ...]]:
        """Dimension -> ids as text."""

    @property
    def columns(self) -> Mapping[str, tuple[str, str, str]]:
        """Published column -> (dimension, unit, text)."""

    def step(self, given: Given) -> NetworkState:
        """Estimate the state at `given.measured.valid_time_us`.

        Args:
            given: what it is made from.

        Returns:
            The state; where the solver failed, the previous values again, STALE, with the status that tells why.
        """

    def fork(self, state: NetworkState) -> Any:
        """The model carrying `state` as its own injections, levels and positions: solving it gives `state` again.

        Raises:
            Unsolvable: the state is none: nothing could be estimated up to its instant.
        """
