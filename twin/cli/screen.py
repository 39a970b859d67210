"""`twin screen`: what every outage would do to a power network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.progress import Progress
from rich.table import Table

from grid_models.errors import InvalidInput, Issue
from twin.cli.console import console, save

if TYPE_CHECKING:
    import xarray as xr

_SHOWN = 12


def command(
    network: Annotated[str, typer.Argument(help="as for `twin solve`")],
    out: Annotated[Path, typer.Option(help="netCDF file to write")],
    outage: Annotated[
        list[str] | None, typer.Option(help="'line 7', 'trafo *', 'line 7 + trafo 3'; again for more; everything unless told")
    ] = None,
    limit: Annotated[
        float, typer.Option(help="loading in percent beyond which a branch without own limit is violated")
    ] = 100.0,
    only_violations: Annotated[bool, typer.Option(help="keep only outages that violate a limit or have no solution")] = False,
) -> int:
    """Solve a power network with each outage; report islands, lost load and violated limits."""
    from grid_models.formats import read
    from grid_models.power.network import PowerNetwork
    from solvers.labelled import Provenance, screening_dataset
    from solvers.power.outage_choice import chosen_outages, every_outage
    from solvers.power.screening import screen

    model = read(network)
    if not isinstance(model, PowerNetwork):
        raise InvalidInput([Issue("", "", (network,), "is no power network")])
    todo = chosen_outages(model, outage) if outage else every_outage(model)
    with Progress(console=console) as progress:
        task = progress.add_task("outages", total=len(todo))
        solution = screen(model, todo, loading_limit_percent=limit, step=lambda n: progress.update(task, advance=n))
    found = solution.unwrap()
    found = found.violating() if only_violations else found
    provenance = Provenance("newton-raphson, compensated chord", {"loading_limit_percent": limit})
    data = screening_dataset(model, found.columns(), found.labels, solution, provenance)
    save(data, out)
    console.print(_table(data))
    console.print(_sum(data, out))
    return 0


def _table(data: xr.Dataset) -> Table:
    """The gravest outages: unsolved, then lost load, then overload."""
    status = data["outage_status"].values.astype(str)
    unsolved = ~np.isin(status, ("SOLVED", "DEAD_ISLANDS"))
    loading = np.nan_to_num(data["max_loading_percent"].values)
    lost = data["lost_load_mw"].values
    order = np.lexsort((-loading, -lost, ~unsolved))[:_SHOWN]
    table = Table("outage", "status", "islands", "lost load", "largest loading", "at", "least voltage", title="gravest first")
    for i in order.tolist():
        one = data.isel(outage=i)
        table.add_row(
            str(one["outage"].item()),
            status[i],
            str(int(one["outage_islands"])),
            f"{lost[i]:.2f} MW",
            f"{float(one['max_loading_percent']):.1f} %",
            str(one["max_loading_element"].item()),
            f"{float(one['min_vm_pu']):.4f}",
        )
    return table


def _sum(data: xr.Dataset, out: Path) -> str:
    status = data["outage_status"].values.astype(str)
    names, counts = np.unique(status, return_counts=True)
    told = ", ".join(f"{n} {s}" for s, n in zip(names, counts, strict=True))
    violated = len(np.unique(data["violation_outage"].values.astype(str)))
    return f"{len(status)} outages: {told}; {data.sizes['violation']} violations in {violated} of them; written to {out}"
