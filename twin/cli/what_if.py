"""`twin what-if`: patch a network, solve it, tell what changes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    base: Annotated[str, typer.Argument(help="a network file, or grpc://host:port/network@2026-11-21T18:00")],
    patch: Annotated[Path, typer.Option(help="changes, TOML")],
    out: Annotated[Path, typer.Option(help="result after the patch (.nc)")],
    duration: Annotated[str, typer.Option(help="for water: 24h, 90m; one instant unless told")] = "",
    top: Annotated[int, typer.Option(help="differences shown")] = 12,
) -> int:
    """Ask what would happen; nothing live changes."""
    from grid_models.formats import read
    from grid_models.scenario import Patch, apply
    from solvers.labelled import write_netcdf
    from solvers.solve import solve
    from twin.cli.bases import live_base
    from twin.cli.console import console, parse_duration, read_text
    from twin.compare import compare

    text = read_text(patch)
    changes = Patch.from_toml(text, str(patch))
    duration_s = parse_duration(duration) if duration else 0.0
    live = live_base(base)
    if live is None:
        network = read(base)
        before = solve(network, duration_s=duration_s, source=base).unwrap()
        solution = solve(apply(network, changes), duration_s=duration_s, source=base)
        after, status, culprits = solution.unwrap(), solution.status.name, solution.culprits
    else:
        from twin.client import TwinClient

        with TwinClient(live.address) as client:
            answer = client.what_if(live.network, text, live.at, duration_s)
        before, after, status, culprits = answer.base, answer.patched, answer.status, answer.culprits
    write_netcdf(after, out)
    console.print(compare(before, after).table(top))
    console.print(f"{status}{': ' + ', '.join(culprits[:5]) if culprits else ''}; written to {out}")
    return 0
