"""What stands in place of a state that could not be computed: the values before, STALE, with the reason; never silence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_models.state import Freshness, NetworkState, Residuals
from solvers.solution import Status
from twin.estimators import Estimator, Given


def repeated(previous: NetworkState, instant_us: int, status: Status, culprits: tuple[str, ...] = ()) -> NetworkState:
    """The state before, again."""
    return replace(
        previous, valid_time_us=instant_us, status=status.name, culprits=culprits, freshness=Freshness.STALE
    )  # fmt: skip


def failed(
    estimator: Estimator,
    given: Given,
    status: Status,
    culprits: tuple[str, ...] = (),
    memory: Mapping[str, NDArray[Any]] | None = None,
) -> NetworkState:
    """What an estimator answers where its solver fails.

    Args:
        estimator: that failed.
        given: what it was given.
        status: why.
        culprits: elements that the status speaks of.
        memory: of the first state of a chain.
    """
    instant_us = given.measured.valid_time_us
    if given.previous is not None:
        return repeated(given.previous, instant_us, status, culprits)
    none = np.zeros(0)
    return NetworkState(
        network=estimator.network,
        valid_time_us=instant_us,
        model_revision=estimator.model.revision,
        parameter_revision=0,
        values={name: np.full(len(estimator.dims[c[0]]), np.nan) for name, c in estimator.columns.items()},
        sigma={},
        origin={},
        residuals=Residuals(none.astype(np.uint32), none, none, none, none.astype(bool)),
        status=status.name,
        culprits=culprits,
        freshness=Freshness.STALE,
        memory={} if memory is None else memory,
    )
