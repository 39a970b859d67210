"""`twin solve`: one load flow or hydraulic run, written as a labelled dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grid_models.errors import InvalidInput, Issue
from twin.cli.console import parse_duration, report_check, report_solution, save


def command(
    network: Annotated[str, typer.Argument(help="pandapower .json, MATPOWER .m, .twin, EPANET .inp, pandapower:case118")],
    out: Annotated[Path, typer.Option(help="netCDF file to write")],
    duration: Annotated[str, typer.Option(help="for water: 24h, 90m, 3600s; the file's own unless told")] = "",
    enforce_q_limits: Annotated[
        bool,
        typer.Option("--enforce-q-limits", help="for power: generators hold their voltage only within their reactive range"),
    ] = False,
    distributed_slack: Annotated[
        bool, typer.Option("--distributed-slack", help="for power: machines share what is left over by slack_weight")
    ] = False,
    method: Annotated[
        str, typer.Option(help="for power: newton, fast-decoupled-xb, fast-decoupled-bx, dc, or short-circuit (pandapower's)")
    ] = "newton",
    fault: Annotated[str, typer.Option(help="of a short circuit: 3ph, 2ph or 1ph")] = "3ph",
    case: Annotated[str, typer.Option(help="of a short circuit: max or min currents")] = "max",
    tap_control: Annotated[
        bool, typer.Option("--tap-control", help="for power: transformers move their taps as the network's tap controllers say")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="for water: mass, head loss and every valve's and pump's condition, at every instant"),
    ] = False,
) -> int:
    """Solve one network: a load flow, or hydraulics over a duration."""
    from grid_models.formats import read
    from grid_models.water.network import WaterNetwork
    from solvers.labelled import with_check
    from solvers.power.methods import Choice
    from solvers.solve import solve
    from solvers.water import checking

    duration_s = parse_duration(duration) if duration else None
    choice = Choice(method, enforce_q_limits, distributed_slack, tap_control, fault, case)
    given = read(network)
    if check and not isinstance(given, WaterNetwork):
        raise InvalidInput(
            [Issue("--check", "", (), "is for water; of a load flow the largest mismatch is always told", network)]
        )
    solution = solve(given, duration_s=duration_s, power=choice, source=network)
    data = solution.unwrap()
    if check and isinstance(given, WaterNetwork):
        checked = checking.check(given, duration_s)
        data = with_check(data, checked.time_s, checked.columns)
    save(data, out)
    report_solution(network, solution, out)
    if check:
        report_check(data)
    return 0
