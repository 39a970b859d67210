"""One door to both kinds of network: solve or estimate, and label what was found."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from grid_models.errors import InvalidInput, Issue
from grid_models.network import Network
from grid_models.power.network import PowerNetwork
from grid_models.scenario import Patch
from grid_models.water.network import WaterNetwork
from solvers.labelled import Provenance, power_dataset, time_coordinate, water_dataset
from solvers.power.metering import estimate_measured
from solvers.power.methods import NEWTON, Choice, run
from solvers.solution import Cancelled, Solution, never
from solvers.timed import Stages, hydraulics, load_flows
from solvers.water.energy import pump_energy

_AS_IT_IS = Patch()


def solve(
    network: Network,
    *,
    duration_s: float | None = None,
    power: Choice = NEWTON,
    start: datetime | None = None,
    changes: Patch = _AS_IT_IS,
    source: str = "",
    cancelled: Cancelled = never,
) -> Solution[xr.Dataset]:
    """Solve a network and label everything that was found.

    Args:
        network: power: one load flow; water: hydraulics over a duration.
        duration_s: of a run over time, 0 for one instant; a water network's own unless told. A power network's run is one load
            flow at the start and one after each change.
        power: of a power network: the method and its options, such as `Choice("dc")` or `Choice(tap_control=True)`.
        start: instant of time 0, so that `time` is UTC; seconds since the start without it.
        changes: made to the network, in a run over time each at its own time.
        source: the file that the network was read from, for its hash.
        cancelled: asked again and again, from this thread, whether to stop; the status is CANCELLED then.

    Returns:
        The dataset with its status; `time` leads in hydraulic runs, and where a power network changes on the way. Where the
        status is not usable, what was reached.

    >>> from grid_models.formats import read
    >>> float(solve(read("pandapower:case9")).unwrap()["bus_vm_pu"][0])
    1.0
    """
    digest = _digest(network, source)
    if isinstance(network, PowerNetwork):
        stages = Stages.of(network, changes, duration_s or 0.0, start)
        found = load_flows(stages, partial(run, choice=power), cancelled)
        columns = found.value
        begins = np.array(stages.begins_s[: len(next(iter(columns.values())))], dtype=np.float64)
        leading = {"time": time_coordinate(begins, start)}
        if len(stages.networks) == 1:
            leading, columns = {}, {name: values[0] for name, values in columns.items()}
        provenance = Provenance(*power.provenance, digest)
        return _with(found, power_dataset(stages.networks[-1], columns, found, provenance, leading))
    if isinstance(network, WaterNetwork):
        duration_s = float(network.options.duration_s) if duration_s is None else duration_s
        wet = Stages.of(network, changes, duration_s, start)
        trace = hydraulics(wet, duration_s, cancelled)
        provenance = Provenance("gradient-method", {"duration_s": duration_s}, digest)
        last = wet.networks[-1]
        values = dict(trace.value.values) | pump_energy(last, trace.value.time_s, trace.value.values)
        return _with(trace, water_dataset(last, values, trace, provenance, trace.value.time_s, start))
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
