"""`twin what-if`: patch a network, solve it, tell what changes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    base: Annotated[str, typer.Argument(help="a network file, or grpc://host:port/network@2026-11-21T18:00")],
    patch: Annotated[Path, typer.Option(help="changes, TOML")],
    out: Annotated[Path, typer.Option(help="result after the patch (.nc)")],
    duration: Annotated[
        str, typer.Option(help="24h, 90m, each change at its time; without it one instant with all of them")
    ] = "",
    top: Annotated[int, typer.Option(help="differences shown")] = 12,
) -> int:
    """Ask what would happen; nothing live changes."""
    import twin
    from grid_models.scenario import Patch
    from twin.cli.console import console, parse_duration, read_text, save

    changes = Patch.from_toml(read_text(patch), str(patch))
    run = twin.open(base).patch(changes).run(parse_duration(duration) if duration else 0.0)
    save(run.data, out)
    console.print(run.compare().table(top))
    console.print(f"{run.status.name}{': ' + ', '.join(run.culprits[:5]) if run.culprits else ''}; written to {out}")
    return 0
