"""`twin forecast`: the coming hours of both networks, as quantiles over many futures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    out: Annotated[Path, typer.Option(help="zarr folder (.zarr) or netCDF file (.nc) to write")],
    config: Annotated[Path, typer.Option(help="settings of the service whose history is read")] = Path("twin.toml"),
    horizon: Annotated[str, typer.Option(help="how far")] = "24h",
    futures: Annotated[int, typer.Option(help="how many", min=1)] = 200,
    seed: Annotated[int, typer.Option(help="of the futures")] = 1,
    export_future: Annotated[int, typer.Option(help="write this future's networks beside the result, -1 for none")] = -1,
    export_hour: Annotated[int, typer.Option(help="of the power network so written, from 0; the water's has all hours")] = 0,
) -> int:
    """Forecast from a twin's own history; runs beside the living service."""
    import shutil

    import numpy as np
    from rich.progress import Progress

    from grid_models.errors import InvalidInput, Issue
    from grid_models.formats import write
    from twin.assembly import assemble
    from twin.cli.console import console, parse_duration
    from twin.config import read_config
    from twin.errors import NotFound
    from twin.forecast_jobs import Inputs, forecast, learn, power_future, water_future
    from twin.records import read_records
    from twin.replay import measurements, recompute

    hours = round(parse_duration(horizon) / 3600)
    given = {"horizon": (hours, 1, 8760), "export-future": (export_future, -1, futures - 1)}
    given |= {"export-hour": (export_hour, 0, hours - 1)} if export_future >= 0 else {}
    wrong = {name: f"must be {least} to {most}, is {value}" for name, (value, least, most) in given.items()
             if not least <= value <= most}  # fmt: skip
    if wrong:
        raise InvalidInput([Issue("option", name, (), text) for name, text in wrong.items()])
    settings = read_config(config)
    parts = assemble(settings)
    entries = list(read_records(settings.store))
    of_kind = {kind: next((n for n, k in parts.kinds.items() if k == kind), None) for kind in ("power", "water")}
    with console.status("reading history"):
        states = {(p.state.network, p.state.valid_time_us): p.state for p in recompute(parts, entries)}
    if not states:
        raise NotFound(f"{settings.store} holds no measurements to learn from")
    newest = {n: states[n, max(t for m, t in states if m == n)] for n in parts.estimators if any(m == n for m, _ in states)}
    power = parts.estimators[of_kind["power"]].model if of_kind["power"] in newest else None
    water_name = of_kind["water"]
    water = parts.estimators[water_name].fork(newest[water_name]) if water_name in newest else None
    history = [s for (n, _), s in sorted(states.items(), key=lambda x: x[0][1]) if n == water_name]
    rhythms = learn(measurements(entries), parts.catalogue, power, history)
    start_us = max(s.valid_time_us for s in newest.values())
    inputs = Inputs.draw(rhythms, start_us / 1e6, hours, futures, seed)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("futures", total=futures)
        data = forecast(power, water, inputs, np.datetime64(start_us, "us"), lambda: progress.advance(task))
    if out.suffix == ".zarr":
        if out.exists():
            shutil.rmtree(out)
        data.to_zarr(out, zarr_format=2)  # version 3 has no settled form for text yet
    else:
        data.to_netcdf(out, engine="h5netcdf")
    if export_future >= 0:
        stem = out.with_suffix("")
        if water is not None:
            write(water_future(water, inputs.water[export_future]), stem.with_name(f"{stem.name}-{export_future}.inp"))
        if power is not None:
            shares = inputs.load[export_future, export_hour], inputs.sun[export_future, export_hour]
            write(power_future(power, *shares), stem.with_name(f"{stem.name}-{export_future}.json"))
    console.print(f"{futures} futures over {hours} h written to {out}")
    return 0
