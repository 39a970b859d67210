"""One door to both kinds of network: solve or estimate, and label what was found."""

from __future__ import annotations

from datetime import datetime
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
from solvers.plan import Reuse
from solvers.power.metering import estimate_measured
from solvers.power.newton import LoadFlow, factor, load_flow, prepare
from solvers.power.results import results
from solvers.power.tap_control import with_tap_control
from solvers.solution import Solution
from solvers.timed import Stages, hydraulics, load_flows

_AS_IT_IS = Patch()


def solve(
    network: Network,
    *,
    duration_s: float | None = None,
    enforce_q_limits: bool = False,
    distributed_slack: bool = False,
    tap_control: bool = False,
    start: datetime | None = None,
    changes: Patch = _AS_IT_IS,
    source: str = "",
) -> Solution[xr.Dataset]:
    """Solve a network and label everything that was found.

    Args:
        network: power: one load flow; water: hydraulics over a duration.
        duration_s: of a run over time, 0 for one instant; a water network's own unless told. A power network's run is one load
            flow at the start and one after each change.
        enforce_q_limits: of a load flow: generators hold their voltage only within their reactive range.
        distributed_slack: of a load flow: machines share what is left over by `slack_weight`.
        tap_control: of a load flow: transformers move their taps as the table `tap_control` (pandapower's tap
            controllers) says; where they come to rest is `trafo_tap_pos` and `trafo3w_tap_pos`.
        start: instant of time 0, so that `time` is UTC; seconds since the start without it.
        changes: made to the network, in a run over time each at its own time.
        source: the file that the network was read from, for its hash.

    Returns:
        The dataset with its status; `time` leads in hydraulic runs, and where a power network changes on the way. Where the
        status is not usable, what was reached.

    >>> from grid_models.formats import read
    >>> float(solve(read("pandapower:case9")).unwrap()["bus_vm_pu"][0])
    1.0
    """
    digest = _digest(network, source)
    if isinstance(network, PowerNetwork):
        options: dict[str, Any] = {"enforce_q_limits": enforce_q_limits, "distributed_slack": distributed_slack}
        provenance = Provenance("newton-raphson", {"tolerance_pu": 1e-8, **options, "tap_control": tap_control}, digest)
        stages = Stages.of(network, changes, duration_s or 0.0, start)
        run = load_flows(stages, lambda network: _columns(network, tap_control, options))
        leading = {"time": time_coordinate(np.array(stages.begins_s, dtype=np.float64), start)}
        columns = run.value
        if len(stages.networks) == 1:
            leading, columns = {}, {name: values[0] for name, values in columns.items()}
        return _with(run, power_dataset(stages.networks[-1], columns, run, provenance, leading))
    if isinstance(network, WaterNetwork):
        duration_s = float(network.options.duration_s) if duration_s is None else duration_s
        wet = Stages.of(network, changes, duration_s, start)
        trace = hydraulics(wet, duration_s)
        provenance = Provenance("gradient-method", {"duration_s": duration_s}, digest)
        last = wet.networks[-1]
        return _with(trace, water_dataset(last, trace.value.values, trace, provenance, trace.value.time_s, start))
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


def _columns(network: PowerNetwork, tap_control: bool, options: dict[str, Any]) -> tuple[dict[str, Any], Solution[LoadFlow]]:
    """A load flow and its result columns."""
    flow, solved = _load_flow(network, tap_control, options)
    columns: dict[str, Any] = dict(results(solved, flow.value.model, flow.value.v))
    if tap_control:
        columns |= {f"{e}_tap_pos": solved.tables[e]["tap_pos"] for e in ("trafo", "trafo3w") if e in solved.tables}
    return columns, flow


def _load_flow(network: PowerNetwork, tap_control: bool, options: dict[str, Any]) -> tuple[Solution[LoadFlow], PowerNetwork]:
    """A load flow, and the network with its taps as they are then."""
    if not tap_control:
        return load_flow(network, **options), network
    reuse = Reuse(prepare, factor)

    def again(moved: PowerNetwork, before: LoadFlow | None) -> Solution[LoadFlow]:
        return load_flow(moved, reuse=reuse, start=None if before is None else before.v, **options)

    return with_tap_control(network, again)


def _digest(network: Network, source: str) -> str:
    path = Path(source)
    return sha256(path.read_bytes()).hexdigest() if source and path.is_file() else network.revision


def _with(solution: Solution[Any], data: xr.Dataset) -> Solution[xr.Dataset]:
    return Solution(data, solution.status, solution.stats, solution.culprits, solution.detail)
