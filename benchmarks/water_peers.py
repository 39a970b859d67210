"""EPANET 2.3 (owa-epanet) and 2.2 (the library inside WNTR), each as its own engine: heads and flows at report times."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_models.formats.epanet import read_inp
from grid_models.water.units import Units

TIGHT = "\n[OPTIONS]\n ACCURACY 0.00001\n HEADERROR 0.0001\n FLOWCHANGE 0.0001\n TRIALS 1000\n"
_HEAD, _FLOW = 10, 8  # the toolkit's numbers of the two quantities


def text_of(path: Path, *, tight: bool, hours: float) -> str:
    """The file, cut to at most so many hours; `tight` asks EPANET for its smallest errors."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    lines = text.replace("\r\n", "\n").split("\n")
    end = next((i for i, line in enumerate(lines) if line.strip().upper().startswith("[END]")), len(lines))
    text = "\n".join(lines[:end]) + (TIGHT if tight else "")
    return f"{text}\n[TIMES]\n DURATION {hours}\n[REPORT]\n STATUS NO\n SUMMARY NO\n[END]\n"


def run_23(path: str, report: Callable[[int], bool]) -> dict[str, NDArray[np.float64]]:
    """Step EPANET 2.3 through the file."""
    from epanet import toolkit as en

    ph = en.createproject()
    en.open(ph, path, path + ".rpt", path + ".out")
    n_node, n_link = en.getcount(ph, en.NODECOUNT), en.getcount(ph, en.LINKCOUNT)
    nodes, links = en.doubleArray(n_node + 1), en.doubleArray(n_link + 1)
    times, heads, flows = [], [], []
    en.openH(ph)
    en.initH(ph, 0)
    while True:
        with warnings.catch_warnings():  # negative pressures and the like: the answer is judged by others
            warnings.simplefilter("ignore")
            now = en.runH(ph)
        if report(now):
            en.getnodevalues(ph, _HEAD, nodes)
            en.getlinkvalues(ph, _FLOW, links)
            times.append(now)
            heads.append([nodes[i] for i in range(n_node)])
            flows.append([links[i] for i in range(n_link)])
        if en.nextH(ph) <= 0:
            break
    en.closeH(ph)
    en.close(ph)
    en.deleteproject(ph)
    return {"time_s": np.array(times), "head": np.array(heads), "flow": np.array(flows)}


def run_22(path: str, report: Callable[[int], bool]) -> dict[str, NDArray[np.float64]]:
    """Step EPANET 2.2 through the file."""
    from wntr.epanet.toolkit import ENepanet

    engine: Any = ENepanet(version=2.2)
    engine.ENopen(path, path + ".rpt", path + ".out")
    n_node, n_link = engine.ENgetcount(0), engine.ENgetcount(2)
    times, heads, flows = [], [], []
    engine.ENopenH()
    engine.ENinitH(0)
    while True:
        now = int(engine.ENrunH())
        if report(now):
            times.append(now)
            heads.append([engine.ENgetnodevalue(i + 1, _HEAD) for i in range(n_node)])
            flows.append([engine.ENgetlinkvalue(i + 1, _FLOW) for i in range(n_link)])
        if engine.ENnextH() <= 0:
            break
    engine.ENcloseH()
    engine.ENclose()
    return {"time_s": np.array(times), "head": np.array(heads), "flow": np.array(flows)}


def main(file: str, version: str, hours: str, out: str) -> None:
    """Run one engine with the file's settings and with its smallest errors; write what it found, in SI."""
    options = read_inp(file).options
    units = Units.of(options.flow_unit, options.pressure_unit, options.specific_gravity)

    def report(now: int) -> bool:
        since = now - options.report_start_s
        return since >= 0 and since % options.report_step_s == 0

    for settings in ("default", "tight"):
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "network.inp")
            Path(path).write_text(text_of(Path(file), tight=settings == "tight", hours=float(hours)), encoding="utf-8")
            found = (run_23 if version == "2.3" else run_22)(path, report)
        found["head"] *= units.length_m
        found["flow"] *= units.flow_m3_per_s
        np.savez(f"{out}.{settings}.npz", **found)
