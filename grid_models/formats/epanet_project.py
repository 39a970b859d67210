"""EPANET projects: opened from text, closed for certain, their refusals turned into issues."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from grid_models.errors import InvalidInput, Issue
from grid_models.formats.epanet_text import InpText
from grid_models.water.units import FLOW_UNITS_PER_CFS, PRESSURE_UNITS, Units


@contextmanager
def opened(text: InpText) -> Iterator[Any]:
    """An EPANET project holding the network of `text`, closed afterwards.

    Raises:
        InvalidInput: EPANET refuses the text; its report is turned into issues.
    """
    from epanet import toolkit as en

    project = en.createproject()
    try:
        with tempfile.TemporaryDirectory(prefix="inp-") as folder:
            inp, report, out = (str(Path(folder) / name) for name in ("network.inp", "report.txt", "out.bin"))
            Path(inp).write_text(text.text, encoding="utf-8", newline="\n")
            try:
                en.open(project, inp, report, out)
            except Exception as refusal:  # noqa: BLE001 -- owa-epanet raises bare Exception for every error code
                _close(project)
                told = Path(report).read_text(encoding="utf-8", errors="replace") if Path(report).exists() else ""
                message = f"EPANET cannot open it: {refusal}"
                fallback = [Issue("[TITLE]", "", (), message, file=text.file, line=1)]
                raise InvalidInput(text.engine_issues(told) or fallback) from None
            try:
                yield project
            finally:
                _close(project)
    finally:
        en.deleteproject(project)


def _close(project: Any) -> None:
    from epanet import toolkit as en

    with suppress(Exception):  # owa-epanet raises nothing finer; error 102: it never opened, nothing to close
        en.close(project)


def units_of(project: Any) -> tuple[Units, str, str]:
    """Units of an open project, with the names of its flow and pressure unit."""
    from epanet import toolkit as en

    flow = list(FLOW_UNITS_PER_CFS)[en.getflowunits(project)]
    pressure = PRESSURE_UNITS[int(en.getoption(project, en.PRESS_UNITS))]
    return Units.of(flow, pressure, en.getoption(project, en.SP_GRAVITY)), flow, pressure
