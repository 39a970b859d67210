"""`twin signals import`: check a point list and allot its uids."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

command = typer.Typer(help="The utility's point list.", no_args_is_help=True)


@command.callback()
def _group() -> None:
    """The utility's point list."""


@command.command("import")
def import_(
    point_list: Annotated[Path, typer.Argument(help="CSV, columns as in docs/settings.md")],
    store: Annotated[Path, typer.Option(help="folder of the service's store")] = Path("store"),
) -> int:
    """Check a point list and allot a uid to every new name, once and for ever."""
    from twin.cli.console import console
    from twin.point_list import read_point_list

    catalogue = read_point_list(point_list, store)
    networks = sorted({s.network for s in catalogue.signals})
    counts = ", ".join(f"{len(catalogue.of(n))} of {n}" for n in networks)
    console.print(f"{point_list}: {len(catalogue.signals)} signals ({counts}), catalogue revision {catalogue.revision}")
    return 0
