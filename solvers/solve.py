"""One door to both kinds of network: solve or estimate, and label what was found."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import xarray as xr

from grid_models.errors import InvalidInput, Issue
from grid_models.network import Network
from grid_models.power.network import PowerNetwork
from grid_models.water.network import WaterNetwork
from solvers.labelled import Provenance, power_dataset, water_dataset
from solvers.power.metering import estimate_measured
from solvers.power.newton import load_flow
from solvers.power.results import results
from solvers.solution import Solution
from solvers.water.extended import simulate


def solve(
    network: Network,
    *,
    duration_s: float | None = None,
    enforce_q_limits: bool = False,
    distributed_slack: bool = False,
    start: datetime | None = None,
    source: str = "",
) -> Solution[xr.Dataset]:
    """Solve a network and label everything that was found.

    Args:
        network: power: one load flow; water: hydraulics over a duration.
        duration_s: of a hydraulic run, 0 for one instant; the network's own unless told. A load flow has none.
        enforce_q_limits: of a load flow: generators hold their voltage only within their reactive range.
        distributed_slack: of a load flow: machines share what is left over by `slack_weight`.
        start: instant of time 0, so that `time` is UTC; seconds since the start without it.
        source: the file that the network was read from, for its hash.

    Returns:
        The dataset with its status; where the status is not usable, what was reached.

    >>> from grid_models.formats import read
    >>> float(solve(read("pandapower:case9")).unwrap()["bus_vm_pu"][0])
    1.0
    """
    digest = _digest(network, source)
    if isinstance(network, PowerNetwork):
        options = {"enforce_q_limits": enforce_q_limits, "distributed_slack": distributed_slack}
        flow = load_flow(network, enforce_q_limits=enforce_q_limits, distributed_slack=distributed_slack)
        provenance = Provenance("newton-raphson", {"tolerance_pu": 1e-8, **options}, digest)
        columns: dict[str, Any] = dict(results(network, flow.value.model, flow.value.v))
        return _with(flow, power_dataset(network, columns, flow, provenance))
    if isinstance(network, WaterNetwork):
        trace = simulate(network, duration_s)
        provenance = Provenance("gradient-method", {"duration_s": duration_s}, digest)
        return _with(trace, water_dataset(network, trace.value.values, trace, provenance, trace.value.time_s, start))
    raise TypeError(f"cannot solve {type(network).__name__}")


def estimate(
    network: Network,
    *,
    threshold: float = 4.5,
    source: str = "",
) -> Solution[xr.Dataset]:
    """Estimate a power network from its own `measurement` table and label everything that was found.

    Args:
        network: with a `measurement` table.
        threshold: normalised residual beyond which a reading is bad [1].
        source: the file that the network was read from, for its hash.

    Raises:
        InvalidInput: a water network, or measurements that do not fit the network.
    """
    if not isinstance(network, PowerNetwork):
        raise InvalidInput([Issue("", "", (network.name,), "only power networks have a measurement table")])
    found = estimate_measured(network, threshold)
    provenance = Provenance("weighted-least-squares", {"threshold": threshold}, _digest(network, source))
    return _with(found, power_dataset(network, found.value.values, found, provenance))


def _digest(network: Network, source: str) -> str:
    path = Path(source)
    return sha256(path.read_bytes()).hexdigest() if source and path.is_file() else network.revision


def _with(solution: Solution[Any], data: xr.Dataset) -> Solution[xr.Dataset]:
    return Solution(data, solution.status, solution.stats, solution.culprits, solution.detail)
