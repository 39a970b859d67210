"""`twin export`: a network, or a living twin's state, patched, as a file that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    base: Annotated[str, typer.Argument(help="a network file, or grpc://host:port/network@2026-11-21T18:00")],
    out: Annotated[Path, typer.Option(help="N.json for power, N.inp for water")],
    patch: Annotated[Path | None, typer.Option(help="changes, TOML")] = None,
) -> int:
    """Write a network file that stands for a state: its solution is the state."""
    from grid_models.formats import read, write
    from grid_models.scenario import Patch, apply
    from twin.bases import live_base
    from twin.cli.console import console, read_text

    text = read_text(patch) if patch is not None else ""
    changes = Patch.from_toml(text, str(patch))
    live = live_base(base)
    if live is None:
        write(apply(read(base), changes), out)
    else:
        from twin.client import TwinClient

        with TwinClient(live.address) as client:
            client.export(live.network, out, text, live.at)
    console.print(f"written to {out}")
    return 0
