"""`twin serve`: the service, until it is told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    config: Annotated[Path, typer.Option(help="settings, see docs/settings.md")] = Path("twin.toml"),
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="log every event")] = False,
    until_eof: Annotated[
        bool, typer.Option("--until-eof", help="end when standard input does: with whoever holds its other end")
    ] = False,
) -> int:
    """Run the service: gRPC in and out, estimates, alarms, journal."""
    import asyncio
    import logging

    from twin.host import host

    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s level=%(levelname)s logger=%(name)s %(message)s")
    asyncio.run(host(config, typer.echo, until_eof=until_eof))
    return 0
