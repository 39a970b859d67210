"""`twin validate`: every problem of a network file at once, and what became of each of its objects."""

from __future__ import annotations

from typing import Annotated

import typer

from grid_models.errors import InvalidInput


def command(network: Annotated[str, typer.Argument(help="a network file or a name such as pandapower:case118")]) -> int:
    """Read a network and list all that is wrong with it."""
    from grid_models.formats import read
    from grid_models.power.network import PowerNetwork
    from grid_models.validation import validate
    from twin.cli.console import console, report_import

    model = read(network)
    issues = validate(model)
    if issues:
        raise InvalidInput(issues)
    counts = ", ".join(f"{table.size} {name}" for name, table in model.tables.items() if table.size)
    console.print(f"{network}: valid ({counts})")
    if isinstance(model, PowerNetwork) and model.report.source:
        report_import(model.report)
    return 0
