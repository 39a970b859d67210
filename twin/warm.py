"""One row taken and one estimate: what makes every kernel of the live path compile, or be loaded from the disk cache."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from grid_models.measurements import Catalogue, Rows
from grid_models.network import Network
from grid_models.power.network import PowerNetwork
from grid_models.state import NetworkState
from grid_models.water.network import WaterNetwork
from twin.estimators import Estimator, Given, InForce
from twin.estimators.power import PowerEstimator
from twin.estimators.water import WaterEstimator
from twin.intake import admit
from twin.window import Window


def estimate_once(network: Network) -> NetworkState:
    """Estimate a network without any measurement: from pseudo-measurements and patterns alone."""
    catalogue = Catalogue(1, ())
    if isinstance(network, PowerNetwork):
        return PowerEstimator(network, catalogue, "warm").step(Given(_nothing()))
    if isinstance(network, WaterNetwork):
        return WaterEstimator(network, catalogue, "warm").step(Given(_nothing()))
    raise TypeError(f"cannot estimate {type(network).__name__}")


def rehearse(estimators: Iterable[Estimator]) -> None:
    """Do once what the first batches will ask for: loading machine code would hold them up for a second or two."""
    take_once()
    for estimator in estimators:
        estimator.step(Given(_nothing()))


def _nothing() -> InForce:
    none = np.zeros(0)
    return InForce(0, none.astype(np.uint32), none, none, none.astype(np.int64), none.astype(bool), none.astype(bool))


def take_once() -> None:
    """Take in no rows at all, and look at none."""
    catalogue = Catalogue(1, ())
    window, nobody = Window(catalogue), np.zeros(1, dtype=np.bool_)
    admit(Rows.empty(), catalogue, nobody, window, receive_us=0, now_us=0, oldest_us=0, outranked=nobody)
    window.in_force(0, "")
    window.moves("", 0, 0)
    window.forget(0)
