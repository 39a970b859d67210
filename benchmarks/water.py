"""Hydraulics: a state, a day, many scenarios and growing towns, beside EPANET and WNTR."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from benchmarks.row import Row
from benchmarks.timing import interleaved
from benchmarks.water_peers import text_of
from grid_models.formats.epanet import read_inp, read_text
from grid_models.formats.epanet_packaged import packaged_file
from grid_models.formats.epanet_text import InpText
from grid_models.library.water import looped_town
from grid_models.water.network import WaterNetwork
from grid_models.water.units import Units
from solvers.water.batch import run_batch
from solvers.water.extended import Simulation, simulate
from solvers.water.plan import prepare
from solvers.water.steady import Scratch, initial_boundary, steady

TITLE = "Hydraulics beside EPANET and WNTR"
TEXT = (
    "Thread CPU time, one core, ours and the peer by turns. EPANET is 2.3 through owa-epanet, its engine call alone (the file "
    "is read before), with the accuracy of its file (1e-2 to 1e-3 of the flows); ours always solves to 1e-7 m in every link. "
    "Ours keeps its plan likewise; a day includes all result columns. *As users call it* includes reading the file. The "
    "difference is the largest |dH| at the last instant. Batch: the demand of each scenario is scaled as a whole, so that "
    "EPANET needs one call to be told; its time is that of its engine from the last scenario's state."
)
NETWORKS = ("epyt:Net3", "epyt:L-TOWN", "epyt:ky4", "wntr:Net6", "epyt:BWSN_Network_2")
_HEAD, _MULTIPLIER, _INITIAL_FLOWS = 10, 4, 10  # the toolkit's numbers
DAY_S = 86400


class Engine:
    """EPANET with a file open."""

    def __init__(self, text: str) -> None:
        from epanet import toolkit

        self._en: Any = toolkit
        self._folder = tempfile.TemporaryDirectory()
        path = str(Path(self._folder.name) / "network.inp")
        Path(path).write_text(text, encoding="utf-8")
        self._project = toolkit.createproject()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            toolkit.open(self._project, path, path + ".rpt", path + ".out")
            toolkit.openH(self._project)
            toolkit.initH(self._project, _INITIAL_FLOWS)
        self._heads = toolkit.doubleArray(toolkit.getcount(self._project, toolkit.NODECOUNT) + 1)

    def run(self) -> None:
        """From the start, with cold flows, through the duration."""
        en, project = self._en, self._project
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            en.initH(project, _INITIAL_FLOWS)
            while True:
                en.runH(project)
                if en.nextH(project) <= 0:
                    break

    def scaled(self, factors: np.ndarray[Any, Any]) -> None:
        """One state after the other, all demands scaled, each from the last one's flows."""
        en, project = self._en, self._project
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for factor in factors.tolist():
                en.setoption(project, _MULTIPLIER, factor)
                en.initH(project, 0)
                en.runH(project)

    def heads(self, network: WaterNetwork) -> np.ndarray[Any, Any]:
        """(n_node,) [m] now."""
        o = network.options
        self._en.getnodevalues(self._project, _HEAD, self._heads)
        head = np.array([self._heads[i] for i in range(len(network.node_ids))])
        return head * Units.of(o.flow_unit, o.pressure_unit, o.specific_gravity).length_m


def run(quick: bool) -> Iterator[Row]:
    """Rows of the table."""
    for name in NETWORKS[:2] if quick else NETWORKS:
        file = packaged_file(*name.split(":"))
        yield _state(name, file)
        yield _day(name, file)
        yield from _batch(name, file, 100 if quick else 1000)
    yield from _as_users("epyt:L-TOWN", quick)
    for nodes in (100, 1_000) if quick else (100, 1_000, 10_000, 100_000):
        yield _town(nodes)


def _cpu(jobs: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, float]:
    return interleaved(jobs, rounds=rounds)


def _state(name: str, file: Path) -> Row:
    network = read_inp(file)
    peer = Engine(text_of(file, tight=False, hours=0))
    plan, boundary = prepare(network), initial_boundary(network)
    scratch = Scratch(plan)
    found = steady(plan, scratch, boundary)
    peer.run()
    difference = _largest(found.value.head_m - peer.heads(network))
    times = _cpu({"ours": lambda: steady(plan, scratch, boundary), "peer": peer.run})
    return Row("one state, cold", name, times["ours"], "EPANET engine", times["peer"], difference, "m", 1.5, 3.0,
               f"{found.stats.iterations} iterations, {found.status.name}")  # fmt: skip


def _day(name: str, file: Path) -> Row:
    network = read_inp(file)
    hours = min(network.options.duration_s / 3600, 24) or 24
    peer = Engine(text_of(file, tight=False, hours=hours))
    simulation = Simulation(network)
    start = simulation.state

    def ours() -> Any:
        simulation.state = start
        return simulation.through(hours * 3600)

    found = ours()
    peer.run()
    difference = _largest(found.value.values["node_head_m"][-1] - peer.heads(network))
    times = _cpu({"ours": ours, "peer": peer.run})
    return Row(f"a run of {hours:g} h", name, times["ours"], "EPANET engine", times["peer"], difference, "m", 1.2, 2.0,
               f"{found.stats.iterations} iterations")  # fmt: skip


def _batch(name: str, file: Path, n: int) -> Iterator[Row]:
    network = read_inp(file)
    factors = np.random.default_rng(0).uniform(0.8, 1.2, min(n, 4_000_000 // len(network.node_ids) // 8))
    scenarios = _scaled(network, factors)
    peer = Engine(text_of(file, tight=False, hours=0))
    peer.scaled(factors * network.options.demand_multiplier)
    [last] = run_batch(network, scenarios.isel(scenario=slice(-1, None)), 0.0)
    difference = _largest(last["node_head_m"].values[0, 0] - peer.heads(network))
    times = _cpu({
        "ours": lambda: list(run_batch(network, scenarios, 0.0)),
        "peer": lambda: peer.scaled(factors * network.options.demand_multiplier),
    }, 3)  # fmt: skip
    yield Row(f"{len(factors)} demand scenarios", name, times["ours"] / len(factors), "EPANET engine, warm",
              times["peer"] / len(factors), difference, "m", 6.0, 12.0, "plan and all result columns included")  # fmt: skip
    if network.options.duration_s > 0 and len(network.node_ids) < 1_000:
        day = _scaled(network, factors[:64])
        once = Engine(text_of(file, tight=False, hours=24))
        times = _cpu({"ours": lambda: list(run_batch(network, day, DAY_S)), "peer": once.run}, 3)
        yield Row("64 runs of 24 h", name, times["ours"] / 64, "EPANET engine, cold", times["peer"], floor=4.0, target=8.0,
                  note="time of one run; plan and all result columns included")  # fmt: skip


def _scaled(network: WaterNetwork, factors: np.ndarray[Any, Any]) -> xr.Dataset:
    each = np.repeat(factors[:, None], len(network.node_ids), axis=1)
    return xr.Dataset({"node_demand_factor": (("scenario", "node"), each)}, {"scenario": np.arange(len(factors))})


def _as_users(name: str, quick: bool) -> Iterator[Row]:
    """From the file to all results."""
    import wntr

    file = packaged_file(*name.split(":"))
    hours = 1 if quick else 24
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "network.inp")
        Path(path).write_text(text_of(file, tight=False, hours=hours), encoding="utf-8")

        def by_epanet() -> Any:
            model = wntr.network.WaterNetworkModel(path)
            return wntr.sim.EpanetSimulator(model).run_sim(file_prefix=path)

        def by_wntr() -> Any:
            return wntr.sim.WNTRSimulator(wntr.network.WaterNetworkModel(path)).run_sim()

        def ours() -> Any:
            return simulate(read_inp(path))

        head = ours().value.values["node_head_m"][-1]
        for peer, job in (("WNTR EpanetSimulator", by_epanet), ("WNTR WNTRSimulator", by_wntr)):
            theirs = job().node["head"].iloc[-1][read_inp(path).node_ids].to_numpy()
            times = _cpu({"ours": ours, "peer": job}, 3)
            yield Row(f"a run of {hours} h as users call it", name, times["ours"], peer, times["peer"],
                      _largest(head - theirs), "m")  # fmt: skip


def _town(nodes: int) -> Row:
    rows = int(np.sqrt(nodes))
    # One source at a corner: what 100 nodes draw, shared by all, keeps the heads of a large town sensible.
    demand = f"[OPTIONS]\n DEMAND MULTIPLIER {100 / nodes}\n[TIMES]\n DURATION 0\n[END]\n"
    text = looped_town(rows, nodes // rows).source.replace("[END]", demand)
    network, peer = read_text(InpText(text), "town"), Engine(text)
    plan, boundary = prepare(network), initial_boundary(network)
    scratch = Scratch(plan)
    peer.run()
    difference = _largest(steady(plan, scratch, boundary).value.head_m - peer.heads(network))
    times = _cpu({"ours": lambda: steady(plan, scratch, boundary), "peer": peer.run}, 3)
    return Row("one state of a chequerboard", f"{len(network.node_ids)} nodes", times["ours"], "EPANET engine", times["peer"],
               difference, "m", note=f"{1e9 * times['ours'] / len(network.node_ids):.0f} ns a node")  # fmt: skip


def _largest(difference: np.ndarray[Any, Any]) -> float:
    return float(np.nanmax(np.abs(difference)))
