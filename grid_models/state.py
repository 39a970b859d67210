"""The estimated state of one network at one instant of the twin's time grid.

A state is a pure function of the model revision, the parameter revision, the measurements in force, and the state of
the previous grid instant; two computations of it on one machine agree bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Position(NamedTuple):
    """Orders states, events and journal entries; the epoch grows with every take-over or recovery.

    >>> Position(2, 1) > Position(1, 900)
    True
    """

    epoch: int
    revision: int


class Origin(IntEnum):
    """Where a value comes from."""

    MEASURED = 1
    ESTIMATED = 2
    PSEUDO = 3
    FORECAST = 4


class Freshness(IntEnum):
    """FRESH, or STALE: the last good state, published again with its reason."""

    FRESH = 1
    STALE = 2


@dataclass(frozen=True, eq=False)
class Residuals:
    """How each measurement agrees with the estimate, one row a measurement used or removed.

    Args:
        signal: (n,) uid.
        value: (n,) measured, in the signal's unit.
        estimate: (n,) what the state says it should be.
        normalised: (n,) residual over its own standard deviation [1].
        suspect: (n,) removed as bad data.
    """

    signal: NDArray[np.uint32]
    value: NDArray[np.float64]
    estimate: NDArray[np.float64]
    normalised: NDArray[np.float64]
    suspect: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class NetworkState:
    """One network at one grid instant.

    Args:
        network: its name.
        valid_time_us: the grid instant, Unix us.
        model_revision: content hash of the model.
        parameter_revision: number of the calibrated parameters.
        values: column (`bus_vm_pu`, `node_head_m` ...) -> (n,) in the order of the model's elements.
        sigma: column -> (n,) standard deviation, for the columns that have one.
        origin: column -> (n,) of Origin, for the columns that have one.
        residuals: of this instant's measurements.
        status: `Status.name` of the solver.
        culprits: elements the status speaks of.
        iterations: of the solver.
        accuracy: chi-square over its degrees of freedom [1]; about 1 where meters and model agree.
        oldest_source_us: of the measurements used, 0 where none.
        newest_source_us: of the measurements used, 0 where none.
        stale_inputs: number of measurements past their time to live.
        manual_inputs: number of manual entries in force.
        freshness: FRESH, or STALE when the solver failed and this is the last good state again.
        memory: what the next instant's estimate needs besides `values` (flows to start from, slow parameters);
            name -> array; part of the state, never published.
    """

    network: str
    valid_time_us: int
    model_revision: str
    parameter_revision: int
    values: Mapping[str, NDArray[Any]]
    sigma: Mapping[str, NDArray[np.float64]]
    origin: Mapping[str, NDArray[np.uint8]]
    residuals: Residuals
    status: str
    culprits: tuple[str, ...] = ()
    iterations: int = 0
    accuracy: float = float("nan")
    oldest_source_us: int = 0
    newest_source_us: int = 0
    stale_inputs: int = 0
    manual_inputs: int = 0
    freshness: Freshness = Freshness.FRESH
    memory: Mapping[str, NDArray[Any]] = field(default_factory=dict)
