"""How the commands speak: durations, instants, tables of results."""

from __future__ import annotations

import re
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from grid_models.errors import InvalidInput, Issue
from grid_models.import_report import ImportReport
from solvers.solution import Solution

if TYPE_CHECKING:
    import xarray as xr

console = Console()

_BROKEN_SHOWN = 20
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str) -> float:
    """Seconds from `24h`, `90m`, `3600s`, `2d` or a combination such as `1d12h`.

    Raises:
        InvalidInput: it is none of these.

    >>> parse_duration("1h30m")
    5400.0
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise InvalidInput([Issue("duration", "", (text,), "is no duration; write 24h, 90m, 3600s or 1d12h")])
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def read_text(path: Path) -> str:
    """A text file.

    Raises:
        InvalidInput: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput([Issue("", "", (), f"cannot be read: {error.strerror}", file=str(path))]) from None
    except UnicodeDecodeError:
        raise InvalidInput([Issue("", "", (), "is not UTF-8 text", file=str(path))]) from None


def save(data: xr.Dataset, out: Path) -> None:
    """Write a result as netCDF, with the command that made it and when."""
    from solvers.labelled import write_netcdf

    command = shlex.join(["twin", *sys.argv[1:]])
    write_netcdf(data.assign_attrs(command=command, created=datetime.now(UTC).isoformat(timespec="seconds")), out)


# Columns whose extremes are worth a line.
_TOLD = ("bus_vm_pu", "bus_ikss_ka", "line_loading_percent", "trafo_loading_percent", "node_pressure_m", "link_flow_m3_per_s")


def report_solution(source: str, solution: Solution[xr.Dataset], out: Path) -> None:
    """One screen about a solved network: status, extremes, where it was written."""
    data = solution.value
    table = Table(title=source, show_header=False, title_justify="left")
    table.add_row("status", f"{solution.status.name}: {solution.status.text}")
    if solution.culprits:
        table.add_row("concerns", ", ".join(solution.culprits[:8]) + (" ..." if len(solution.culprits) > 8 else ""))
    if solution.detail:
        table.add_row("note", solution.detail)
    table.add_row("iterations", str(solution.stats.iterations))
    table.add_row("largest mismatch", f"{solution.stats.residual:.2e}")
    for name in (
        "bus_vm_pu",
        "bus_ikss_ka",
        "line_loading_percent",
        "trafo_loading_percent",
        "node_pressure_m",
        "link_flow_m3_per_s",
    ):
        if name in data and data[name].size:
            table.add_row(name, _extremes(data[name]))
    table.add_row("written", str(out))
    console.print(table)


def report_check(data: xr.Dataset) -> None:
    """One screen about a checked hydraulic run: the worst instant of each equation, and what is broken."""
    table = Table(
        "equation", "worst", "where", "when", title=f"check of {data.sizes['instant']} instants", title_justify="left"
    )
    for name, text, where in (
        ("check_mass", "mass, of what enters", "check_mass_node"),
        ("check_head_m", "head loss, in m", "check_head_link"),
        ("check_outflow", "openings and demands by pressure, of what enters", ""),
    ):
        at = int(data[name].values.argmax())
        place = str(data[where].values[at]) if where else ""
        table.add_row(text, f"{float(data[name][at]):.1e}", place, f"{int(data['instant'][at])} s")
    console.print(table)
    broken = [(int(t), line) for t, told in zip(data["instant"].values, data["check_broken"].values, strict=True)
              for line in str(told).splitlines()]  # fmt: skip
    for time_s, line in broken[:_BROKEN_SHOWN]:
        console.print(f"{time_s} s: {line}")
    more = f" ({len(broken) - _BROKEN_SHOWN} more in the file)" if len(broken) > _BROKEN_SHOWN else ""
    console.print(f"conditions of valves, pumps and shut links that do not hold: {len(broken)}{more}")


def report_import(report: ImportReport) -> None:
    """One screen about a file that was read: how many objects of each kind became what, and why some did not."""
    table = Table("kind", "objects", "as they stand", "with a default", "dropped", title="import", title_justify="left")
    for row in report.rows():
        table.add_row(*map(str, row))
    console.print(table)
    for heading, notes in (("default", report.defaulted), ("dropped", report.dropped)):
        for note in notes:
            shown = ", ".join(map(str, note.ids[:8])) + (f" and {len(note.ids) - 8} more" if len(note.ids) > 8 else "")
            console.print(f"{heading}: {note.kind} {shown}: {note.reason}")


def _extremes(values: Any) -> str:
    """The least and the greatest value, and where."""
    numbers, ids = np.asarray(values.values, dtype=float), values[values.dims[-1]].values
    if not np.isfinite(numbers).any():
        return "no energised element"
    told = []
    for at in (np.nanargmin(numbers), np.nanargmax(numbers)):
        place = np.unravel_index(int(at), numbers.shape)
        told.append(f"{numbers[place]:.4f} ({values.dims[-1]} {ids[place[-1]]})")
    return " to ".join(told)
