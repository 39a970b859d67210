"""Many scenarios of one network's injections: labelled in and out, in chunks bounded in memory.

A scenario differs from the network in what loads, static generators, storages and generators draw or feed. All share one base
case (base.py); a chunk is one `batch.run_batch`, whose answers depend on no neighbour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from grid_models.errors import InvalidInput, Issue
from grid_models.power.network import PowerNetwork
from grid_models.tables import Array
from solvers.labelled import Provenance, power_dataset
from solvers.power.admittance import ComplexArray
from solvers.power.base import base_of
from solvers.power.batch import Batch, run_batch
from solvers.power.flows import branch_flows
from solvers.power.load_flow import load_flow
from solvers.power.newton import LoadFlow
from solvers.power.results_branch import branch_results
from solvers.solution import Solution, Stats, Status

_CHUNK_BYTES = 1 << 28
_VOLTAGES = ("bus_vm_pu", "bus_va_degree")
# Element -> the sign of its feeding in.
_SIGN = {"load": -1.0, "sgen": 1.0, "storage": -1.0, "gen": 1.0}
INPUTS = {
    f"{element}_{column}": f"{text} of each {element}, in pandapower's direction, before its scaling"
    for element in _SIGN
    for column, text in (("p_mw", "active power"), ("q_mvar", "reactive power"))
    if (element, column) != ("gen", "q_mvar")
}


def run_scenarios(
    network: PowerNetwork,
    scenarios: xr.Dataset,
    *,
    columns: Sequence[str] = _VOLTAGES,
    tolerance_pu: float = 1e-8,
    pool: ThreadPoolExecutor | None = None,
    chunk_bytes: int = _CHUNK_BYTES,
) -> Iterator[xr.Dataset]:
    """Solve a load flow for each scenario.

    Args:
        network: the network; its own load flow is the base case.
        scenarios: some of `INPUTS` over (scenario, element), in the network's order; what is missing is the network's own.
        columns: of buses `bus_vm_pu` and `bus_va_degree`, of branches any that `twin solve` writes ("line_loading_percent").
        tolerance_pu: largest power mismatch accepted.
        pool: threads to share the scenarios among; the caller's own thread if not given.
        chunk_bytes: of one chunk's voltages and results.

    Yields:
        Datasets as `twin solve` writes them, with `scenario` before the element and `scenario_status`;
        what is not solved is nan.

    Raises:
        InvalidInput: variables, sizes or columns that do not fit the network, or loads that follow the voltage; all at once.
        Unsolvable: the base case has no solution.

    >>> from grid_models.formats.pandapower import read_packaged
    >>> load = xr.Dataset({"load_p_mw": (("scenario", "load"), [[90.0, 100.0, 125.0], [99.0, 110.0, 137.0]])})
    >>> [found] = run_scenarios(read_packaged("case9"), load, columns=["bus_vm_pu", "line_loading_percent"])
    >>> found["line_loading_percent"].shape, found["scenario_status"].values.tolist()
    ((2, 9), ['SOLVED', 'SOLVED'])
    """
    check(network, scenarios)
    solved = load_flow(network)
    flow = solved.unwrap()
    known = {*_VOLTAGES, *branch_results(branch_flows(network, flow.model, flow.v))}
    unknown = [name for name in columns if name not in known]
    if unknown:
        raise InvalidInput(
            [Issue("scenario", name, (), "is no column of this network's buses and branches") for name in unknown]
        )
    base = base_of(flow)
    n, labels = scenarios.sizes["scenario"], scenarios["scenario"].values
    size = 8 * (4 * flow.model.n_bus + len(columns) * max(table.size for table in network.tables.values()))
    for first in range(0, n, max(1, chunk_bytes // size)):
        chunk = slice(first, min(n, first + max(1, chunk_bytes // size)))
        at, change = _changes(network, flow, scenarios.isel(scenario=chunk))
        batch = run_batch(base, change, at=at, tolerance_pu=tolerance_pu, pool=pool)
        yield _dataset(network, flow, batch, columns, labels[chunk], solved.status, tolerance_pu)


def edited(network: PowerNetwork, chosen: xr.Dataset) -> PowerNetwork:
    """The network of one scenario, (element,) each; `check` has passed."""
    tables = dict(network.tables)
    for name, values in chosen.data_vars.items():
        element, column = str(name).split("_", maxsplit=1)
        tables[element] = tables[element].replace(column, slice(None), values.values)
    return replace(network, tables=tables)


def check(network: PowerNetwork, scenarios: xr.Dataset) -> None:
    """Refuse what does not fit the network.

    Raises:
        InvalidInput: all at once.
    """
    issues = []
    for name, values in scenarios.data_vars.items():
        element = str(name).split("_", maxsplit=1)[0]
        if name not in INPUTS or element not in network.tables:
            issues.append(Issue("scenario", str(name), (), f"is none of {', '.join(INPUTS)}, or the network has no {element}"))
            continue
        table = network.tables[element]
        if values.dims != ("scenario", element) or values.sizes[element] != table.size:
            issues.append(Issue("scenario", str(name), (), f"is not (scenario, {element}) with {table.size} of them"))
        elif not np.isfinite(values.values).all():
            issues.append(Issue("scenario", str(name), (), "has values that are no numbers"))
    if "load_p_mw" in scenarios or "load_q_mvar" in scenarios:
        load = network.tables.get("load")
        for column in () if load is None else [c for c in load.columns if c.startswith("const_")]:
            follows = load.index[(load.column(column, 0.0) != 0.0) & network.in_service("load")] if load is not None else ()
            if len(follows):
                reason = "follow the voltage; only constant power can differ between scenarios"
                issues.append(Issue("load", column, tuple(int(i) for i in follows[:8]), reason))
    if not len(scenarios.data_vars):
        issues.append(Issue("scenario", "", (), "there is nothing in it"))
    if issues:
        raise InvalidInput(issues)


def _changes(network: PowerNetwork, flow: LoadFlow, chosen: xr.Dataset) -> tuple[NDArray[np.int64], ComplexArray]:
    """Model buses, and what is fed in there more than in the base case (n_scenario, n_column) [pu]."""
    at, change = [], []
    for element, sign in _SIGN.items():
        names = [name for name in chosen.data_vars if str(name).startswith(f"{element}_")]
        if not names:
            continue
        table = network.tables[element]
        bus = flow.model.node_bus[network.node_of(table["bus"])]
        live = np.flatnonzero(network.in_service(element) & (bus >= 0))
        total = np.zeros((chosen.sizes["scenario"], len(live)), dtype=np.complex128)
        for name in names:
            column = str(name)[len(element) + 1 :]
            more = (chosen[name].values - table[column])[:, live]
            total += more * (1.0 if column == "p_mw" else 1j)
        scaling = np.broadcast_to(table.column("scaling", 1.0), table.size)[live]
        at.append(bus[live])
        change.append(sign / network.sn_mva * scaling * total)
    return np.concatenate(at), np.concatenate(change, axis=1)


def _dataset(
    network: PowerNetwork, flow: LoadFlow, batch: Batch, columns: Sequence[str], labels: Array, status: Status,
    tolerance_pu: float,
) -> xr.Dataset:  # fmt: skip
    v = batch.v()
    usable = np.array([s.usable for s in batch.status], dtype=bool)
    v[~usable] = np.nan
    values: dict[str, Array] = {}
    bus = flow.model.node_bus[: network.tables["bus"].size]
    at = np.where(bus >= 0, v[:, bus], np.nan)
    if "bus_vm_pu" in columns:
        values["bus_vm_pu"] = np.abs(at)
    if "bus_va_degree" in columns:
        values["bus_va_degree"] = np.degrees(np.angle(at))
    of_branches = [name for name in columns if name not in _VOLTAGES]
    if of_branches:
        found = [branch_results(branch_flows(network, flow.model, row)) for row in v]
        values |= {name: np.array([each[name] for each in found]) for name in of_branches}
    worst = status if usable.all() else Status.NOT_CONVERGED
    stats = Stats(int(batch.iterations.max(initial=0)), float(np.nanmax(batch.mismatch, initial=0.0)))
    provenance = Provenance("chord", {"tolerance_pu": tolerance_pu}, network.revision)
    data = power_dataset(network, values, Solution(None, worst, stats), provenance, {"scenario": labels})
    names = np.array([s.name for s in batch.status], dtype=object)
    return data.assign(scenario_status=("scenario", names, {"long_name": "how the scenario's load flow ended"}))
