"""What-if: solve a fork, patch it, solve it again, and tell what got worse or better. Writes nothing live."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import xarray as xr

from grid_models.network import Network
from grid_models.scenario import Patch
from solvers.solution import Cancelled, Solution, Status, Unsolvable, never
from solvers.solve import solve
from twin.compare import compare
from twin.port import RunResult


def run(base: Network, patch: Patch, duration_s: float = 0.0, start_us: int = 0, cancelled: Cancelled = never) -> RunResult:
    """Solve a network before and after a patch.

    Args:
        base: the fork.
        patch: the changes; in a run over time each is made at its own time.
        duration_s: of the run; 0 for one instant.
        start_us: the instant that the fork stands for, Unix us.
        cancelled: asked again and again whether to stop.

    Raises:
        InvalidInput: elements, columns or values that cannot be; all of them at once.
        Unsolvable: the fork itself has no solution, or the run was cancelled.
    """
    after = _solved(base, patch, duration_s, start_us, cancelled)
    if cancelled():
        raise Unsolvable(Status.CANCELLED, ())
    before = alongside(_solved(base, Patch(), duration_s, start_us, cancelled).unwrap(), after.value)
    comparison = compare(before, after.value)
    times = after.value["time"].values if "time" in after.value else np.zeros(0, dtype="datetime64[us]")
    return RunResult(
        base=_columns(before),
        patched=_columns(after.value),
        status=after.status.name,
        culprits=after.culprits,
        violated=comparison.violated,
        relieved=comparison.relieved,
        base_dims=_dims(before),
        patched_dims=_dims(after.value),
        time_us=tuple(int(t) for t in times.astype("datetime64[us]").astype(np.int64)) if "time" in after.value.dims else (),
    )


def alongside(before: xr.Dataset, after: xr.Dataset) -> xr.Dataset:
    """A power network's result at every instant of one that changes on the way."""
    if "time" not in after.dims or "time" in before.dims:
        return before
    return before.expand_dims(time=after["time"])


def _solved(network: Network, changes: Patch, duration_s: float, start_us: int, cancelled: Cancelled) -> Solution[xr.Dataset]:
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=start_us)
    solution = solve(network, duration_s=duration_s, start=start, changes=changes, cancelled=cancelled)
    data = solution.value
    if "time" in data.dims and not duration_s:
        data = data.isel(time=0)
    return Solution(data, solution.status, solution.stats, solution.culprits)


def _columns(data: xr.Dataset) -> Mapping[str, np.ndarray]:
    return {str(n): v.values.astype(np.float64) for n, v in data.data_vars.items() if v.dtype.kind in "fib"}


def _dims(data: xr.Dataset) -> Mapping[str, tuple[str, ...]]:
    return {str(d): tuple(str(i) for i in data[d].values) for d in data.dims if d != "time"}
