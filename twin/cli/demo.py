"""`twin demo`: a day of a small city, played at high speed, as the twin sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    seconds: Annotated[float, typer.Option(help="wall time of the day; then it ends with a summary")] = 300.0,
    seed: Annotated[int, typer.Option(help="moves place, size and hour of every event")] = 1,
    events: Annotated[str, typer.Option(help="all, none for a quiet day, or closure: a valve closed without a word")] = "all",
    folder: Annotated[Path, typer.Option(help="settings, models and store of the demo's twin")] = Path("runs/demo"),
) -> int:
    """Run the service on a real power and a real water network, and see it find what goes wrong."""
    from grid_models.errors import InvalidInput, Issue
    from twin.cli.console import console
    from twin.cli.warm import command as warm
    from twin.demo.run import run

    if events not in ("all", "none", "closure"):
        raise InvalidInput([Issue("option", "events", (events,), "must be all, none or closure")])
    warm()
    return run(folder, seconds, seed, events, console)
