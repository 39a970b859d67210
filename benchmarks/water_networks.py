"""Every public water network at hand: solved or named, how well the physics holds, and how far EPANET is.

Each run is a fork of this process, so that one that hangs or crashes takes nothing with it.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import water_peers
from grid_models.errors import InvalidInput
from grid_models.formats.epanet import read_inp
from grid_models.formats.epanet_packaged import packaged_file, packaged_names
from solvers.lending import lend
from solvers.solution import Status
from solvers.water.extended import Simulation
from solvers.water.laws import link_law
from solvers.water.plan import CLOSED, CONSTANT_POWER, PUMP, WaterPlan, prepare
from solvers.water.residuals import residuals

TITLE = "Water networks: outcome, residuals, distance to EPANET"
TEXT = """\
Each network runs for its own duration, to a day after its first report at most. *Outcome* is the gravest of all its
instants, with how many instants had it. *Mass* is the largest imbalance of a junction over the inflow, *head* the largest
difference between a link's loss and its law, over all instants; *broken* counts valves and pumps whose condition does not
hold (`solvers/water/residuals.py`).

|dH| and |dQ| are the largest differences to EPANET 2.3 (owa-epanet) with its smallest errors, where EPANET can be a measure:
2.3 and 2.2 (the library inside WNTR), each with the file's accuracy and with the smallest, agree within 1 mm; no head lies
beyond 10 km (EPANET's answer where there is no supply, or where diameters make no sense); its own open pipes and pumps obey
their laws within 1 cm; and its runs' tanks have not parted by 1 mm before. *Compared* is that share of all heads; the note says
what takes the rest away."""
HEAD = ("network", "nodes", "hours", "outcome", "mass", "head m", "broken", "iterations", "dH mm", "dQ l/s", "compared", "note")

SHARED = Path(__file__).parents[2] / "shared" / "networks" / "water"
DAY_S = 86400
PATIENCE_S = 60
ABSURD_M = 1e4
AGREED_M = 1e-3
LAWFUL_M = 1e-2
Floats = NDArray[np.float64]


def run(quick: bool) -> Iterator[tuple[str, ...]]:
    """A line for each network."""
    for name, file in networks():
        if quick and file.stat().st_size > 50_000:
            continue
        yield line(name, file)


def networks() -> Iterator[tuple[str, Path]]:
    """Those of the folder and of the packages, each once."""
    files = [(file.stem.replace("--", ": "), file) for file in sorted(SHARED.glob("*.inp"))]
    files += [(f"{p}: {n}", packaged_file(p, n)) for p in ("epyt", "wntr") for n in packaged_names(p)]
    seen = set()
    for name, file in files:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if digest not in seen:
            seen.add(digest)
            yield name, file


def line(name: str, file: Path) -> tuple[str, ...]:
    """Run ours and EPANET on one network and compare."""
    try:
        network = read_inp(file)
    except InvalidInput as refused:
        return (name, "", "", "refused", *[""] * 7, str(replace(refused.issues[0], file=file.name)))
    hours = min(network.options.duration_s, network.options.report_start_s + DAY_S) / 3600
    first = (name, str(len(network.node_ids)), f"{hours:g}")
    with tempfile.TemporaryDirectory() as folder:
        failure = _apart(ours, str(file), str(hours), f"{folder}/ours.npz")
        if failure:
            return (*first, failure, *[""] * 7, "")
        own = dict(np.load(f"{folder}/ours.npz"))
        peers = {}
        for version in ("2.3", "2.2"):
            _apart(water_peers.main, str(file), version, str(hours), f"{folder}/{version}")
            for settings in ("default", "tight"):
                found = Path(folder) / f"{version}.{settings}.npz"
                if found.exists():
                    peers[f"{version} {settings}"] = dict(np.load(found))
    numbers = (f"{own['mass']:.0e}", f"{own['head_error']:.0e}", str(own["broken"]), str(own["iterations"]))
    return (*first, str(own["outcome"]), *numbers, *compared(prepare(network), own, peers))


def _apart(job: Callable[..., None], *arguments: str) -> str:
    """Run a job in a process of its own; what went wrong, empty where nothing did."""
    with tempfile.NamedTemporaryFile("r") as said:
        process = multiprocessing.get_context("fork").Process(target=_quietly, args=(job, said.name, *arguments))
        process.start()
        process.join()
        if process.exitcode in (-signal.SIGXCPU, -signal.SIGKILL):
            return f"not within {PATIENCE_S} s of CPU"
        return "" if process.exitcode == 0 else f"failed: {said.read()[:80] or f'exit {process.exitcode}'}"


def _quietly(job: Callable[..., None], said: str, *arguments: str) -> None:
    """Run a job without its prints (EPANET's engine is chatty); an error goes to the file `said`."""
    resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE_S, PATIENCE_S))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        job(*arguments)
    except Exception as error:  # noqa: BLE001 -- whatever an engine raises is a cell of the table
        Path(said).write_text(repr(error), "utf-8")
        raise SystemExit(1) from None


def ours(file: str, hours: str, out: str) -> None:
    """Run our own solver, checking every instant."""
    network = read_inp(file)
    simulation, end = Simulation(network), float(hours) * 3600
    mass = head_error = 0.0
    broken, iterations = 0, 0
    outcomes: dict[Status, int] = {}
    kept: dict[str, list[Any]] = {"time_s": [], "head": [], "flow": [], "status": [], "setting": []}
    while True:
        solution = simulation.solve()
        state = simulation.state
        assert state.found is not None
        left = residuals(simulation.plan, simulation.boundary(), state.found)
        mass, head_error, broken = max(mass, left.mass, left.outflow), max(head_error, left.head_m), broken + len(left.broken)
        iterations += solution.stats.iterations
        outcomes[solution.status] = outcomes.get(solution.status, 0) + 1
        since = state.time_s - network.options.report_start_s
        if since >= 0 and since % network.options.report_step_s == 0:
            for column, value in zip(kept, (state.time_s, state.found.head_m, state.found.flow_m3_per_s, state.found.status,
                                            simulation.boundary().setting), strict=True):  # fmt: skip
                kept[column].append(value)
        if state.time_s >= end:
            break
        simulation.step(end)
    worst = max(outcomes, key=list(Status).index)
    share = "" if len(outcomes) == 1 else f" ({outcomes[worst]} of {sum(outcomes.values())})"
    np.savez(out, outcome=worst.name + share, mass=mass, head_error=head_error, broken=broken, iterations=iterations,
             **{column: np.array(values) for column, values in kept.items()})  # fmt: skip


def compared(plan: WaterPlan, own: dict[str, Any], peers: dict[str, dict[str, Any]]) -> tuple[str, str, str, str]:
    """Cells for |dH|, |dQ|, the share that was compared, and the note."""
    if len(peers) < 4:
        return "", "", "0 %", f"EPANET gives {len(peers)} of 4 runs" + (f": {', '.join(peers)}" if peers else "")
    common = own["time_s"]
    for peer in peers.values():
        common = np.intersect1d(common, peer["time_s"])
    at = {name: np.searchsorted(peer["time_s"], common) for name, peer in peers.items()}
    if not len(common):
        return "", "", "0 %", "no report within its hours"
    mine = np.searchsorted(own["time_s"], common)
    heads = np.array([peer["head"][at[name]] for name, peer in peers.items()])
    flows = np.array([peer["flow"][at[name]] for name, peer in peers.items()])
    reference = list(peers).index("2.3 tight")
    measure, note = _usable(plan, own, mine, heads, reference, flows[reference])
    d_head = np.abs(own["head"][mine] - heads[reference])
    with np.errstate(invalid="ignore"):
        agreed = measure[:, None] & (np.ptp(heads, axis=0) <= AGREED_M) & np.isfinite(d_head)
    d_flow = np.abs(own["flow"][mine] - flows[reference])
    tight = np.abs(flows[reference] - flows[list(peers).index("2.2 tight")])
    steady = measure[:, None] & (np.ptp(flows, axis=0) <= 1e-5) & (tight <= 1e-6)
    share = f"{100 * agreed.mean():.0f} %"
    if not agreed.any():
        return "", "", share, note
    flow_cell = f"{1e3 * d_flow[steady].max():.2g}" if steady.any() else ""
    return f"{1e3 * d_head[agreed].max():.2g}", flow_cell, share, note


def _usable(
    plan: WaterPlan, own: dict[str, Any], mine: NDArray[np.int64], heads: Floats, reference: int, flow: Floats
) -> tuple[NDArray[np.bool_], str]:
    """(n_time,) instants at which EPANET can be a measure, and why the first other one cannot."""
    sane = (np.abs(heads) < ABSURD_M).all(axis=(0, 2))
    tank = plan.network.tank_node
    parted = (np.ptp(heads[:, :, tank], axis=0) > AGREED_M).any(axis=1) if len(tank) else np.zeros(len(sane), dtype=bool)
    together = ~np.logical_or.accumulate(parted)
    use, note = sane & together, ""
    if not together.all():
        note = "its own runs part"
    if not sane.all():
        note = "heads beyond 10 km"
    for t in np.flatnonzero(use):
        row = mine[t]
        wrong = _lawless(plan, own["status"][row], own["setting"][row], heads[reference][t], flow[t])
        if wrong:
            use[t] = False
            note = f"EPANET breaks the law of {wrong}"
    return use, note


def _lawless(plan: WaterPlan, status: NDArray[np.int64], setting: Floats, head: Floats, flow: Floats) -> str:
    """The first pipe or pump that loses or adds another head than its law says; empty where all obey."""
    laws, lent, network = plan.laws, lend(plan.laws), plan.network
    for k in np.flatnonzero((laws.kind <= PUMP) & (status > CLOSED) & (setting != 0.0)).tolist():
        fall = head[laws.start[k]] - head[laws.end[k]]
        still = abs(flow[k]) <= 1e-7
        if still and not (laws.kind[k] == PUMP and laws.pump[k] == CONSTANT_POWER):
            continue  # EPANET may have shut it: a check valve, a pump at its limit, a full tank
        loss, _ = link_law(lent, k, int(status[k]), float(setting[k]), float(flow[k]))
        if abs(loss - fall) > LAWFUL_M:
            return f"{'pump' if laws.kind[k] == PUMP else 'pipe'} {network.link_ids[k]}"
    return ""
