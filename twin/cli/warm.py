"""`twin warm`: compile every kernel into the disk cache, and learn from the histories, so that no other process has to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer
from rich.progress import track


def command(
    config: Annotated[Path | None, typer.Option(help="settings whose histories are to be learnt from, too")] = None,
) -> int:
    """Compile all kernels, and learn from the histories that settings name; seconds when that is there already."""
    import grid_models.library.power as power
    import grid_models.library.water as water
    from solvers.accelerate import cache_root
    from solvers.solve import solve
    from twin.assembly import assemble
    from twin.cli.console import console
    from twin.config import read_config
    from twin.warm import estimate_once, take_once

    begun = perf_counter()
    jobs: dict[str, Callable[[], object]] = {
        "load flow": lambda: solve(power.two_bus()),
        "hydraulics": lambda: solve(water.two_reservoirs(), duration_s=0),
        "power estimation": lambda: estimate_once(power.two_bus()),
        "intake": take_once,
        "water estimation": lambda: estimate_once(water.looped_town(3, 3)),
    }
    for name in track(jobs, description="compiling", console=console, transient=True):
        jobs[name]()
    console.print(f"all kernels are in {cache_root()} ({perf_counter() - begun:.1f} s)")
    if config is not None:
        with console.status("learning") as status:
            parts = assemble(read_config(config), lambda text, _: status.update(text))
        console.print(f"learnt: {', '.join(watch.name for watch in parts.searches) or 'no settings name a history'}")
    return 0
