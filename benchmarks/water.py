"""Hydraulics: a state, a day, many scenarios and growing towns, beside EPANET and WNTR."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
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
    "Thread CPU time, one core, ours and the peer by turns, the median of five rounds; times are of one state, scenario "
    "or run. EPANET is 2.3 through owa-epanet, its engine call alone: the file is read before, results are not read. Ours "
    "keeps its plan likewise, and hands over results: a run and a batch include all result columns, labelled. *File's* is "
    "the accuracy that the network's file asks of EPANET, a hundredth to a ten-thousandth of the flows; *least* is 1e-5, "
    "the least it takes. Ours always solves to 1e-7 of the flows and 1e-7 m in every link, so *least* is the nearest to "
    "the same tolerance. A batch begins from one solved state and scales all demands by 0.8 to 1.2, so that EPANET needs "
    "one call to be told, and goes on from the last scenario's state. *As users call it* includes reading the file. The "
    "difference is the largest |dH| at the last instant. Over Net6's day the runs part by metres: ours obeys every law to "
    "1e-7 m ([water_networks.md](water_networks.md)), EPANET 2.3 with its tightest settings does not come to an end "
    "there, and EPANET 2.2 (the library in WNTR) agrees with ours within 9 mm at every hour of that day.\n\n"
    "What limits what falls short. A small network's single state: some 6 us of Python around a kernel of 22, two "
    "iterations more than EPANET at its own accuracy. Net3's day: four iterations an instant, of 3 us each. "
    "Batches: a quarter of the time goes into the "
    "laws of pipes, at the processor's rate (60 vector operations a pipe and iteration, 2 to 3 iterations after a first step "
    "with the base case's factor), a fifth into writing results to memory (6 KB a scenario of Net3, 62 KB of ky4, 14 MB a "
    "day of L-TOWN; EPANET's call hands over none), a tenth into what a scenario begins with, the rest in small pieces into "
    "factor and solves, judgements lane by lane, and, on Net3, waiting: lanes wait for the slowest of eight. Labels of the "
    "Dataset cost some 0.5 ms a chunk, a twentieth of 64 short days. Chequerboards have "
    "neither trees nor series, and fill in most: from 1,000 nodes on, the scalar factor takes half of the time and more, and "
    "at 10,000 its lists (30 MB) fit into no cache near the core. EPANET's call "
    "that opens one of 100,000 nodes (openH) had not come back after two minutes, so that the scale ends at 10,000."
)
NETWORKS = ("epyt:Net3", "epyt:L-TOWN", "epyt:ky4", "wntr:Net6", "epyt:BWSN_Network_2")
_HEAD, _ACCURACY, _MULTIPLIER, _INITIAL_FLOWS = 10, 1, 4, 10  # the toolkit's numbers
LEAST = 1e-5  # accuracy that EPANET takes at best
MOST_HEADS = 4_000_000  # of one batch, so that it fits into memory with all its columns
MOST_NODES_OF_DAYS = 4_000  # 64 days of a larger network take minutes a round


class Engine:
    """EPANET with a file open."""

    def __init__(self, text: str, accuracy: float = 0.0) -> None:
        from epanet import toolkit

        self._en: Any = toolkit
        self._folder = tempfile.TemporaryDirectory()
        path = str(Path(self._folder.name) / "network.inp")
        Path(path).write_text(text, encoding="utf-8")
        self._project = toolkit.createproject()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            toolkit.open(self._project, path, path + ".rpt", path + ".out")
            if accuracy:
                toolkit.setoption(self._project, _ACCURACY, accuracy)
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
        yield from _state(name, file)
        yield from _day(name, file)
        yield from _batch(name, file, 100 if quick else 5000)
        yield from _days(name, file, 8 if quick else 64)
    yield from _as_users("epyt:L-TOWN", 1 if quick else 24)
    yield _scenarios_as_users("epyt:Net3" if quick else "wntr:Net6")
    for nodes in (100, 1_000) if quick else (100, 1_000, 10_000):
        yield _town(nodes)


def _engines(text: str) -> dict[str, Engine]:
    return {"EPANET engine, file's": Engine(text), "EPANET engine, least": Engine(text, LEAST)}


def _against(
    job: str, size: str, ours: Callable[[], object], peers: dict[str, Callable[[], object]], floor: float, target: float,
    difference: float = float("nan"), note: str = "", units: int = 1,
) -> Iterator[Row]:  # fmt: skip
    """Rows of one job of ours beside several peers, all by turns."""
    times = interleaved({"ours": ours, **peers})
    for peer in peers:
        yield Row(job, size, times["ours"] / units, peer, times[peer] / units, difference, "m", floor, target, note)


def _state(name: str, file: Path) -> Iterator[Row]:
    network = read_inp(file)
    peers = _engines(text_of(file, tight=False, hours=0))
    plan = prepare(network)
    simulation, scratch = Simulation(network, plan=plan), Scratch(plan)
    simulation.solve()
    boundary = simulation.boundary()  # after the controls that act at once, as EPANET's
    found = steady(plan, scratch, boundary)
    peers["EPANET engine, least"].run()
    difference = _largest(found.value.head_m - peers["EPANET engine, least"].heads(network))
    yield from _against(
        "one state, cold", name, lambda: steady(plan, scratch, boundary), {peer: e.run for peer, e in peers.items()}, 1.5, 3.0,
        difference, f"{found.stats.iterations} iterations, {found.status.name}",
    )  # fmt: skip


def _day(name: str, file: Path) -> Iterator[Row]:
    network = read_inp(file)
    hours = min(network.options.duration_s / 3600, 24) or 24
    peers = _engines(text_of(file, tight=False, hours=hours))
    simulation = Simulation(network)
    start = simulation.state

    def ours() -> Any:
        simulation.state = start
        return simulation.through(hours * 3600)

    found = ours()
    peers["EPANET engine, least"].run()
    difference = _largest(found.value.values["node_head_m"][-1] - peers["EPANET engine, least"].heads(network))
    yield from _against(
        f"a run of {hours:g} h", name, ours, {peer: e.run for peer, e in peers.items()}, 1.2, 2.0, difference,
        f"{found.stats.iterations} iterations; all result columns",
    )  # fmt: skip


def _batch(name: str, file: Path, n: int) -> Iterator[Row]:
    network = read_inp(file)
    factors = np.random.default_rng(0).uniform(0.8, 1.2, min(n, MOST_HEADS // len(network.node_ids)))
    scenarios, scales = _scaled(network, factors), factors * network.options.demand_multiplier
    peers, plan = _engines(text_of(file, tight=False, hours=0)), prepare(network)
    peers["EPANET engine, least"].scaled(scales)
    [last] = run_batch(network, scenarios.isel(scenario=slice(-1, None)), 0.0, plan=plan)
    difference = _largest(last["node_head_m"].values[0, 0] - peers["EPANET engine, least"].heads(network))
    yield from _against(
        f"{len(factors)} demand scenarios", name, lambda: _through(run_batch(network, scenarios, 0.0, plan=plan)),
        {peer: partial(e.scaled, scales) for peer, e in peers.items()}, 6.0, 12.0, difference, units=len(factors),
    )  # fmt: skip


def _days(name: str, file: Path, n: int) -> Iterator[Row]:
    network = read_inp(file)
    hours = min(network.options.duration_s / 3600, 24)
    if hours == 0 or len(network.node_ids) > MOST_NODES_OF_DAYS:
        return
    scenarios = _scaled(network, np.random.default_rng(0).uniform(0.8, 1.2, n))
    peers, plan = _engines(text_of(file, tight=False, hours=hours)), prepare(network)
    ours = interleaved(
        {
            "ours": lambda: _through(run_batch(network, scenarios, hours * 3600, plan=plan)),
            **{p: e.run for p, e in peers.items()},
        }
    )
    for peer in peers:
        yield Row(f"{n} runs of {hours:g} h", name, ours["ours"] / n, peer, ours[peer], floor=4.0, target=8.0)


def _through(chunks: Iterator[xr.Dataset]) -> None:
    """Take one chunk after the other, and keep none."""
    for _ in chunks:
        pass


def _scaled(network: WaterNetwork, factors: np.ndarray[Any, Any]) -> xr.Dataset:
    each = np.repeat(factors[:, None], len(network.node_ids), axis=1)
    return xr.Dataset({"node_demand_factor": (("scenario", "node"), each)}, {"scenario": np.arange(len(factors))})


def _as_users(name: str, hours: int) -> Iterator[Row]:
    """From the file to all results."""
    import wntr

    file = packaged_file(*name.split(":"))
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "network.inp")

        def by_epanet() -> Any:
            return wntr.sim.EpanetSimulator(wntr.network.WaterNetworkModel(path)).run_sim(file_prefix=path)

        def by_wntr() -> Any:
            return wntr.sim.WNTRSimulator(wntr.network.WaterNetworkModel(path)).run_sim()

        # A day takes WNTRSimulator minutes; an hour tells as much.
        for span, peer, job in ((hours, "WNTR EpanetSimulator", by_epanet), (1, "WNTR WNTRSimulator", by_wntr)):
            Path(path).write_text(text_of(file, tight=False, hours=span), encoding="utf-8")
            network = read_inp(path)
            difference = _largest(
                simulate(network).value.values["node_head_m"][-1] - job().node["head"].iloc[-1][network.node_ids].to_numpy()
            )
            yield from _against(
                f"a run of {span} h as users call it", name, lambda: simulate(read_inp(path)), {peer: job}, 0.0, 0.0, difference
            )


def _scenarios_as_users(name: str) -> Row:
    """Demand scenarios by what engineers use: the model in memory, a run for each."""
    import wntr

    file = packaged_file(*name.split(":"))
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "network.inp")
        Path(path).write_text(text_of(file, tight=False, hours=0), encoding="utf-8")
        network, model = read_inp(path), wntr.network.WaterNetworkModel(path)
        scenarios, plan = _scaled(network, np.random.default_rng(0).uniform(0.8, 1.2, 1000)), prepare(network)

        def theirs() -> Any:
            model.options.hydraulic.demand_multiplier = 0.9
            return wntr.sim.EpanetSimulator(model).run_sim(file_prefix=path)

        times = interleaved({"ours": lambda: _through(run_batch(network, scenarios, 0.0, plan=plan)), "peer": theirs})
    return Row("1000 demand scenarios as users call them", name, times["ours"] / 1000, "WNTR EpanetSimulator", times["peer"],
               floor=500.0, target=1000.0)  # fmt: skip


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
    times = interleaved({"ours": lambda: steady(plan, scratch, boundary), "peer": peer.run})
    return Row("one state of a chequerboard", f"{len(network.node_ids)} nodes", times["ours"], "EPANET engine", times["peer"],
               difference, "m", note=f"{1e9 * times['ours'] / len(network.node_ids):.0f} ns a node")  # fmt: skip


def _largest(difference: np.ndarray[Any, Any]) -> float:
    return float(np.nanmax(np.abs(difference)))
