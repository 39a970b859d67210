"""`twin compare`: what differs between two results, ranked, and which limits were broken or mended."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    a: Annotated[Path, typer.Argument(help="result before (.nc)")],
    b: Annotated[Path, typer.Argument(help="result after (.nc)")],
    csv: Annotated[bool, typer.Option("--csv", help="all differences as CSV on stdout")] = False,
    json: Annotated[bool, typer.Option("--json", help="the whole comparison as JSON on stdout")] = False,
    geojson: Annotated[bool, typer.Option("--geojson", help="located differences as GeoJSON on stdout")] = False,
    top: Annotated[int, typer.Option(help="rows shown")] = 20,
) -> int:
    """Compare two results of the same network."""
    from solvers.labelled import read_netcdf
    from twin.cli.console import console
    from twin.compare import compare

    comparison = compare(read_netcdf(a), read_netcdf(b))
    if csv:
        typer.echo(comparison.csv(), nl=False)
    elif json:
        typer.echo(comparison.json())
    elif geojson:
        typer.echo(comparison.geojson())
    elif comparison.empty:
        console.print("no difference above tolerance")
    else:
        console.print(comparison.table(top))
    return 0
