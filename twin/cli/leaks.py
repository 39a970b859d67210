"""`twin leaks`: search a year of readings for leaks, with what a history has taught."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from grid_models.errors import InvalidInput, Issue
from twin.cli.console import console


def command(
    network: Annotated[str, typer.Argument(help="EPANET .inp, or a packaged network such as epyt:L-TOWN")],
    history: Annotated[Path, typer.Option(help="folder of the readings to learn from, with repairs or known leaks")],
    scada: Annotated[Path, typer.Option(help="folder of the readings to search")],
    out: Annotated[Path, typer.Option(help="CSV to write: one row per alarm, as first issued")],
    inhabitants: Annotated[float | None, typer.Option(min=1, help="of the town, for its night use; else supposed")] = None,
    connections: Annotated[float | None, typer.Option(min=1, help="service connections of the town, for the ILI")] = None,
) -> int:
    """Find and place leaks in a year of readings; an alarm uses nothing measured after it."""
    from grid_models.formats import read
    from grid_models.water.network import WaterNetwork
    from twin.leak_report import search_year, write_alarms, write_events
    from twin.loss_report import write_losses, zone_losses
    from twin.scada_year import in_common, read_year

    model = read(network)
    if not isinstance(model, WaterNetwork):
        raise InvalidInput([Issue("", "", (network,), "is no water network")])
    past, year = in_common(read_year(history, model), read_year(scada, model))
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        found = search_year(model, past, year, _Bar(progress))
    write_alarms(found, out)
    log = out.with_suffix(".events.csv")
    write_events(found, log)
    table = Table(
        "pipe", "start", "issued", "m3/h", "within m", "state", title=f"{len(found.alarms)} alarms", title_justify="left"
    )
    for alarm in found.alarms:
        flow, radius = f"{alarm.flow_m3_per_h:.1f}", f"{alarm.radius_m:.0f}"
        table.add_row(alarm.pipe, f"{alarm.start}"[:16], f"{alarm.issued}"[:16], flow, radius, alarm.state)
    console.print(table)
    for name in found.meters:
        console.print(f"meter {name} was found wrong and is not relied on where it was")
    lost = zone_losses(found.town, found.hours, found.leaked_m3_per_h, found.pressure_m, inhabitants, connections)
    write_losses(lost, out.with_suffix(".losses.csv"))
    for zone in lost:
        index = f", ILI {zone.ili:.1f}" if zone.ili == zone.ili else ""
        console.print(
            f"{zone.zone}: minimum night flow {zone.night_flow_m3_per_h:.1f} m3/h; real losses {zone.q_vr_m3_per_km_h:.2f} "
            f"m3/(km h), {zone.loss_class} ({zone.structure}){index}; followed leaks {zone.by_leaks_m3_per_h:.1f} m3/h"
        )
    console.print(f"alarms in {out}, all that was seen in {log}, losses in {out.with_suffix('.losses.csv')}")
    return 0


class _Bar:
    """Shows each stage as one bar."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("reading", total=None)

    def __call__(self, text: str, done: float) -> None:
        """Show a stage and the share of it that is done."""
        self._progress.update(self._task, description=text, total=1.0, completed=done)
