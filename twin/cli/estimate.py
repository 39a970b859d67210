"""`twin estimate`: the state that a network's own measurements tell, written as a labelled dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from twin.cli.console import console, report_solution, save

if TYPE_CHECKING:
    import xarray as xr

_SHOWN = 10


def command(
    network: Annotated[str, typer.Argument(help="pandapower .json with a measurement table, or its compiled .twin")],
    out: Annotated[Path, typer.Option(help="netCDF file to write")],
    threshold: Annotated[float, typer.Option(help="normalised residual beyond which a measurement is bad")] = 4.5,
) -> int:
    """Estimate a power network from its own measurement table and name bad data."""
    from grid_models.formats import read
    from solvers.solve import estimate

    solution = estimate(read(network), threshold=threshold, source=network)
    save(solution.unwrap(), out)
    report_solution(network, solution, out)
    _report_residuals(solution.value)
    return 0


def _report_residuals(data: xr.Dataset) -> None:
    """The measurements that agree least, the worst first."""
    worst = data["measurement_normalised_residual"].fillna(0.0).values.argsort()[::-1][:_SHOWN]
    table = Table(
        "measurement", "value", "estimate", "sigma", "normalised residual", "", title="least agreement", title_justify="left"
    )
    for i in worst:
        one = data.isel(measurement=int(i))
        table.add_row(
            f"{int(one['measurement'])} {one.coords['measurement_name'].item() or ''}".strip(),
            *(f"{float(one[f'measurement_{name}']):.5g}" for name in ("value", "estimate", "sigma", "normalised_residual")),
            "bad" if one["measurement_suspect"] else "",
        )
    console.print(table)
