"""`twin screen`: what every outage would do to a power network, now or at each instant of a series."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import numpy as np
import typer
from rich.progress import Progress
from rich.table import Table

from grid_models.errors import InvalidInput, Issue
from twin.cli.console import console, read_text, save

if TYPE_CHECKING:
    import xarray as xr

    from grid_models.power.network import PowerNetwork
    from solvers.power.outage_choice import Outage
    from solvers.power.screening_sheet import Screening
    from solvers.solution import Solution

_SHOWN = 12


class _Options(TypedDict):
    """What `solvers.power.screening` is asked, and the result's attributes repeat."""

    loading_limit_percent: float
    distributed_slack: bool


def command(
    network: Annotated[str, typer.Argument(help="as for `twin solve`")],
    out: Annotated[Path, typer.Option(help="netCDF file to write")],
    outage: Annotated[
        list[str] | None, typer.Option(help="'line 7', 'trafo *', 'line 7 + trafo 3'; again for more; everything unless told")
    ] = None,
    outages: Annotated[Path | None, typer.Option(help="a text file of such outages, one a line; # begins a comment")] = None,
    series: Annotated[
        Path | None,
        typer.Option(help="a netCDF file of load_p_mw and the like over (scenario or time, element): screened at each"),
    ] = None,
    distributed_slack: Annotated[
        bool, typer.Option("--distributed-slack", help="machines share by slack_weight what an outage leaves over")
    ] = False,
    limit: Annotated[
        float, typer.Option(help="loading in percent beyond which a branch without own limit is violated")
    ] = 100.0,
    only_violations: Annotated[bool, typer.Option(help="keep only outages that violate a limit or have no solution")] = False,
) -> int:
    """Solve a power network with each outage; report islands, lost load and violated limits."""
    from grid_models.formats import read
    from grid_models.power.network import PowerNetwork
    from solvers.power.outage_choice import every_outage

    model = read(network)
    if not isinstance(model, PowerNetwork):
        raise InvalidInput([Issue("", "", (network,), "is no power network")])
    todo = _chosen(model, outage or [], outages) if outage or outages else every_outage(model)
    options = _Options(loading_limit_percent=limit, distributed_slack=distributed_slack)
    data = _screened(model, todo, options) if series is None else _over_time(model, todo, options, series)
    if only_violations:
        data = _violating(data)
    save(data, out)
    if series is None:
        console.print(_table(data))
    console.print(_sum(data, out))
    return 0


def _chosen(model: PowerNetwork, words: list[str], file: Path | None) -> list[Outage]:
    """The outages of the command line, then those of the file, which is named with the line of a fault."""
    from solvers.power.outage_choice import chosen_outages

    chosen = chosen_outages(model, words)
    issues: list[Issue] = []
    for number, line in enumerate(read_text(file).splitlines() if file else [], start=1):
        word = line.partition("#")[0].strip()
        try:
            chosen += chosen_outages(model, [word]) if word else []
        except InvalidInput as error:
            issues += [Issue(i.component, i.field, i.ids, i.message, file=str(file), line=number) for i in error.issues]
    if issues:
        raise InvalidInput(issues)
    return chosen


def _screened(model: PowerNetwork, todo: list[Outage], options: _Options) -> xr.Dataset:
    from solvers.power.screening import screen

    with Progress(console=console) as progress:
        task = progress.add_task("outages", total=len(todo))
        solution = screen(model, todo, **options, step=lambda n: progress.update(task, advance=n))
    return _labelled(model, solution, solution.unwrap(), options)


def _over_time(model: PowerNetwork, todo: list[Outage], options: _Options, file: Path) -> xr.Dataset:
    from solvers.labelled import read_netcdf, screening_series_dataset
    from solvers.power.screening import screen_series

    given = read_netcdf(file)
    lead = "time" if "time" in given.dims else "scenario"
    if lead not in given.dims:
        raise InvalidInput([Issue("", "", (), "has neither the dimension scenario nor time", file=str(file))])
    scenarios = given.rename({lead: "scenario"})
    with Progress(console=console) as progress:
        task = progress.add_task("outages", total=len(todo) * given.sizes[lead])
        each = screen_series(model, scenarios, todo, **options, step=lambda n: progress.update(task, advance=n))
        found = [_labelled(model, solution, solution.value, options) for solution in each]
    return screening_series_dataset(found, given[lead])


def _labelled(model: PowerNetwork, solution: Solution[Screening], found: Screening, options: _Options) -> xr.Dataset:
    from solvers.labelled import Provenance, screening_dataset

    method = "newton-raphson" if options["distributed_slack"] else "newton-raphson, compensated chord"
    return screening_dataset(model, found.columns(), found.labels, solution, Provenance(method, options))


def _violating(data: xr.Dataset) -> xr.Dataset:
    """The outages that violate a limit or are not solved, at any instant."""
    unsolved = ~np.isin(data["outage_status"].values.astype(str), ("SOLVED", "DEAD_ISLANDS"))
    keep = np.isin(data["outage"].values.astype(str), np.unique(data["violation_outage"].values.astype(str)))
    keep |= unsolved.any(axis=0) if unsolved.ndim > 1 else unsolved
    return data.isel(outage=np.flatnonzero(keep))


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
    return f"{status.size} outages: {told}; {data.sizes['violation']} violations in {violated} of them; written to {out}"
