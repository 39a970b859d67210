"""N-1: every outage of a line or transformer, beside lightsim2grid's contingency analysis."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.row import Row
from benchmarks.timing import interleaved
from grid_models.formats import read
from grid_models.formats.pandapower import to_pandapower
from grid_models.power.network import PowerNetwork
from solvers.power.outage_choice import every_outage
from solvers.power.screening import screen

TITLE = "N-1 screening beside the peer"
TEXT = (
    "Every outage of a line or transformer to 1e-8 pu, one core, thread CPU time per outage, all of ours included: base case, "
    "islands, lost load, limits, names. lightsim2grid skips outages that split the network; its time is over those it solved, "
    "of large networks a sample. "
    "The difference is the largest |d min |V|| over outages that both solve, where its base case is ours."
)
CASES = ("case118", "case1354pegase", "case2869pegase", "case9241pegase")


def run(quick: bool) -> Iterator[Row]:
    """Rows of the table."""
    for name in CASES[:2] if quick else CASES:
        network = read(f"pandapower:{name}")
        assert isinstance(network, PowerNetwork)
        todo = every_outage(network, ("line", "trafo"))
        found = screen(network, todo).unwrap()
        every = max(1, len(todo) // 500)
        peer, solved, least = _lightsim(network, len(todo), every)
        both = solved & np.array([s.name == "SOLVED" for s in found.status])[::every]
        difference = float(np.abs(found.min_vm_pu[::every] - least)[both].max()) if both.any() else float("nan")
        times = interleaved({"ours": lambda n=network, t=todo: screen(n, t), "peer": peer}, rounds=3)
        ok = sum(s.usable for s in found.status)
        note = f"{ok} of {len(todo)} solved, {int((found.islands > 0).sum())} with islands; it solves {int(solved.sum())}"
        note += f" of a sample of one in {every}" if every > 1 else ""
        large = name != "case118"
        yield Row(
            "every line and transformer out", name, times["ours"] / len(todo), "lightsim2grid",
            times["peer"] / max(int(solved.sum()), 1), difference, "pu", 10.0 * large, 30.0 * large, note,
        )  # fmt: skip


def _lightsim(network: PowerNetwork, n: int, every: int) -> tuple[Any, Any, Any]:
    from lightsim2grid.contingencyAnalysis import ContingencyAnalysisCPP
    from lightsim2grid.gridmodel import init_from_pandapower

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = init_from_pandapower(to_pandapower(network))
    v0 = model.ac_pf(np.ones(model.total_bus(), dtype=complex), 30, 1e-8)

    def job() -> Any:
        engine = ContingencyAnalysisCPP(model)
        engine.add_multiple_n1(list(range(0, n, every)))
        engine.compute(v0, 30, 1e-8)
        return engine

    v = np.abs(np.asarray(job().get_voltages()))
    solved = (v > 0).any(axis=1)
    least = np.where(v > 0, v, np.inf).min(axis=1)
    return job, solved, least
