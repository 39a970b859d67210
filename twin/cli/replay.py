"""`twin replay`: compute a store's states again and hold them against what was published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    config: Annotated[Path, typer.Option(help="settings of the service")] = Path("twin.toml"),
    from_: Annotated[str, typer.Option("--from", help="first instant, ISO 8601")] = "",
    to: Annotated[str, typer.Option("--to", help="last instant, ISO 8601")] = "",
) -> int:
    """Replay the journal; ends with 1 where a state differs from the published one in a single bit."""
    from twin.assembly import assemble
    from twin.bases import parse_instant
    from twin.cli.console import console
    from twin.config import read_config
    from twin.records import read_records
    from twin.replay import compared

    settings = read_config(config)
    start_us = parse_instant(from_).timestamp() * 1e6 if from_ else float("-inf")
    end_us = parse_instant(to).timestamp() * 1e6 if to else float("inf")
    equal, different, unpublished = 0, [], 0
    with console.status("replaying"):
        for found in compared(assemble(settings), read_records(settings.store)):
            state = found.published.state
            if not start_us <= state.valid_time_us <= end_us:
                continue
            if found.equal is None:
                unpublished += 1
            elif found.equal:
                equal += 1
            else:
                different.append(f"{state.network} at {state.valid_time_us}")
    console.print(f"{equal} states equal what was published, {len(different)} differ, {unpublished} were never published")
    for name in different[:10]:
        console.print(f"  differs: {name}")
    return 1 if different else 0
