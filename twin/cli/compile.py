"""`twin compile`: a network as a compiled model that opens in milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    network: Annotated[str, typer.Argument(help="a network file or a name such as pandapower:case118")],
    out: Annotated[Path, typer.Option(help="compiled model to write (.twin)")],
) -> int:
    """Compile a network, so that a service starts without pandapower and EPANET."""
    from grid_models.formats import read, write
    from twin.cli.console import console

    model = read(network)
    write(model, out.with_suffix(".twin"))
    console.print(f"{out.with_suffix('.twin')}: revision {model.revision[:12]}")
    return 0
