"""Many scenarios of one network: states or whole runs, labelled in and out, in chunks bounded in memory.

A scenario differs from the network in what it is told: demands, leaks, statuses, settings, resistances, tank levels. All
share one plan and begin from one solved state. Eight at a time are played in the lanes of vectors (`lane_runs.py`), so that a
scenario costs an eighth of some warm iterations and no Python; groups of them are tasks of a thread pool (the kernels hold no
lock), each with its own work space, writing into their own slots. A scenario's answer depends on nothing but itself and the
base case: not on its neighbours, the grouping or the threads, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, finalize

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from grid_models.errors import InvalidInput, Issue
from grid_models.water.network import WaterNetwork
from solvers.labelled import Provenance, water_dataset
from solvers.lending import lend
from solvers.solution import Solution, Stats
from solvers.water.columns import Memory, columns, fresh
from solvers.water.extended import Simulation, SimulationState, new_record, new_run, reports
from solvers.water.instants import Run, Timetable
from solvers.water.lane_runs import Book, Found, Told, play_lanes
from solvers.water.lane_start import tangent
from solvers.water.lanes import Lanes, fit_lanes, lanes
from solvers.water.plan import ACTIVE, CLOSED, LANES, OPEN, PUMP, Floats, WaterPlan, prepare
from solvers.water.state import Solver, State
from solvers.water.steady import VERDICTS, Scratch

_CHUNK_BYTES = 3 << 23
_KEPT = 2  # chunks whose memory a plan keeps: while one is filled, the caller still has the one before
_MOST_BYTES = 1 << 28  # for which the lanes are kept full
_TASK = 64  # scenarios
_NAMES = np.array([status.name for status in VERDICTS], dtype=object)
INPUTS = {
    "node_demand_factor": ("node", "factor on all demands of a node [1]"),
    "node_leak_m3_per_s": ("node", "drawn at a node besides [m3/s]"),
    "link_open": ("link", "0 where a link is shut at the start, 1 where it is open or in control"),
    "link_setting": ("link", "speed of a pump, setting of a valve"),
    "link_resistance_factor": ("link", "factor on a pipe's resistance [1]; (C / C_new)^1.852 of a roughness coefficient"),
    "tank_level_m": ("tank", "level at the start [m]"),
}


def run_batch(
    network: WaterNetwork,
    scenarios: xr.Dataset,
    duration_s: float | None = None,
    pool: ThreadPoolExecutor | None = None,
    chunk_bytes: int = _CHUNK_BYTES,
    plan: WaterPlan | None = None,
) -> Iterator[xr.Dataset]:
    """Run a network once for each scenario.

    Args:
        network: the network.
        scenarios: some of `INPUTS` over (scenario, node), (scenario, link) or (scenario, tank), in the network's order; what is
            missing is the network's own.
        duration_s: of each run, 0 for one state; the network's own unless told.
        pool: threads to share the scenarios among; the caller's own thread if not given.
        chunk_bytes: of the results of one chunk; up to 256 MiB where eight scenarios take more.
        plan: of this network, where there is one.

    Yields:
        Datasets as `twin solve` writes them, with `scenario` before `time`, and `scenario_status`: the gravest of each run.

    Raises:
        InvalidInput: variables or sizes that do not fit the network; all of them at once.

    >>> from grid_models.library.water import pumped_tank
    >>> demand = xr.Dataset({"node_demand_factor": (("scenario", "node"), np.full((3, 4), [[0.9], [1.0], [1.1]]))})
    >>> [chunk] = run_batch(pumped_tank(), demand, duration_s=7200.0)
    >>> chunk["node_head_m"].shape
    (3, 3, 4)
    """
    plan = plan or prepare(network)
    _check(network, scenarios)
    end = int(network.options.duration_s if duration_s is None else duration_s)
    n_time = reports(network, end)
    n, size = scenarios.sizes["scenario"], n_time * (25 * len(plan.laws.row) + 33 * len(plan.laws.kind)) + 1
    shop = _shop(network, plan)
    most = max(1, chunk_bytes // size, min(LANES, _MOST_BYTES // size))
    most -= most % LANES if most > LANES else 0  # else lanes stand idle at the end of each chunk
    memory = shop.shelf if most * size < _CHUNK_BYTES else _Shelf()
    for first in range(0, n, most):
        chunk = slice(first, min(n, first + most))
        told = _told(network, plan, shop.begin, scenarios.isel(scenario=chunk))
        yield _run(plan, shop, told, end, n_time, pool, scenarios["scenario"].values[chunk], memory)


class _Shelf:
    """Memory of chunks: that of an earlier one whose arrays nobody has any more, else fresh.

    The pages of fresh memory are found and zeroed at its first touch, which costs as much as all that is written there.
    """

    def __init__(self, least: int = 0) -> None:
        self._least = least
        self._free: list[NDArray[np.uint8]] = []

    def __call__(self, size: int) -> NDArray[np.uint8]:
        try:
            piece = self._free.pop()
        except IndexError:
            piece = fresh(0)
        if len(piece) < size:
            piece = fresh(max(size, self._least))
        whole = np.frombuffer(piece.data, dtype=np.uint8)  # all arrays within hold this one, and nothing else does
        finalize(whole, self._back, piece)
        return whole

    def _back(self, piece: NDArray[np.uint8]) -> None:
        if len(self._free) < _KEPT:
            self._free.append(piece)


def _check(network: WaterNetwork, scenarios: xr.Dataset) -> None:
    sizes = {"node": len(network.node_ids), "link": len(network.link_ids), "tank": network.tables["tank"].size}
    issues = []
    for name, values in scenarios.data_vars.items():
        if name not in INPUTS:
            issues.append(Issue("scenario", str(name), (), f"is none of {', '.join(INPUTS)}"))
            continue
        element = INPUTS[str(name)][0]
        if values.dims != ("scenario", element) or values.sizes[element] != sizes[element]:
            issues.append(Issue("scenario", str(name), (), f"is not (scenario, {element}) with {sizes[element]} {element}s"))
        elif not (np.isfinite(values.values.sum()) or np.isfinite(values.values).all()):  # a sum is had at half the cost
            issues.append(Issue("scenario", str(name), (), "has values that are no numbers"))
    if not len(scenarios.data_vars):
        issues.append(Issue("scenario", "", (), "there is nothing in it"))
    if issues:
        raise InvalidInput(issues)


def _told(network: WaterNetwork, plan: WaterPlan, begin: SimulationState, chosen: xr.Dataset) -> Told:
    """The chunk's inputs as kernels take them: a row for each scenario, or one for all."""
    kind = plan.laws.kind

    def given(name: str, own: NDArray[np.generic]) -> NDArray[np.float64]:
        values = chosen[name].values if name in chosen else own[None]
        return np.require(values, np.float64, ["C", "W"])  # a kernel is compiled again for others

    status = begin.status[None]
    if "link_open" in chosen:
        opened = np.where(kind > PUMP, ACTIVE, OPEN)
        status = np.where(chosen["link_open"].values != 0, np.where(status <= CLOSED, opened, status), CLOSED)
    leak = given("node_leak_m3_per_s", np.zeros(len(plan.laws.row)))
    leaking = np.flatnonzero((leak != 0).any(axis=0))
    factor = chosen["link_resistance_factor"].values if "link_resistance_factor" in chosen else np.ones((1, 1))
    return Told(
        given("node_demand_factor", np.ones(len(plan.laws.row))), leaking, np.require(leak[:, leaking], None, ["C"]), status,
        given("link_setting", begin.setting), factor * plan.laws.resistance,
        given("tank_level_m", network.tables["tank"]["initial_level_m"]), "link_resistance_factor" not in chosen,
    )  # fmt: skip


class _Worker(NamedTuple):
    """What one thread plays with; none is used by two at once, and any plays any scenario."""

    solver: Solver
    lanes: Lanes
    book: Book


class _Shop(NamedTuple):
    """What the batches of a plan have in common: the network, its timetable, where runs begin, workers without work, memory."""

    network: WaterNetwork
    times: Timetable
    begin: SimulationState
    base: State
    asked: Floats
    idle: list[_Worker]
    shelf: _Shelf


_SHOPS: WeakKeyDictionary[WaterPlan, _Shop] = WeakKeyDictionary()


def _shop(network: WaterNetwork, plan: WaterPlan) -> _Shop:
    """Made by the first batch of a plan, for the next ones too."""
    shop = _SHOPS.get(plan)
    if shop is None or shop.network is not network:
        simulation = Simulation(network, plan=plan)
        begin = simulation.state
        simulation.solve()
        shop = _SHOPS[plan] = _Shop(
            network, simulation.timetable, begin, lend(simulation.run.state), simulation.run.asked.copy(), [],
            _Shelf(_CHUNK_BYTES),
        )  # fmt: skip
    return shop


def _worker(plan: WaterPlan, shop: _Shop) -> _Worker:
    """One without work, or a new one."""
    try:
        return shop.idle.pop()
    except IndexError:
        own = plan.with_resistance(plan.laws.resistance.copy())  # written by the kernel
        room = lanes(own)
        return _Worker(Scratch(own).solver(own), lend(room), lend(_book(own, shop.times, room)))


def _book(plan: WaterPlan, times: Timetable, room: Lanes) -> Book:
    """Room for the runs of eight lanes."""
    one = new_run(plan, times)

    def rows(values: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(values[None], LANES, axis=0)

    runs = Run(
        rows(one.clock), rows(one.level), rows(one.status), rows(one.setting), rows(one.demand), rows(one.held),
        rows(one.asked), State(*(rows(field) for field in one.state)),
    )  # fmt: skip
    at, resting = np.zeros((4, LANES), dtype=np.int64), np.zeros(LANES, dtype=np.int64)
    page = new_record(plan, len(one.level), (1,))
    return Book(runs, np.zeros((LANES, len(one.demand))), at, resting, page, tangent(room))


def _run(
    plan: WaterPlan, shop: _Shop, told: Told, end: int, n_time: int,
    pool: ThreadPoolExecutor | None, labels: NDArray[np.generic], memory: Memory,
) -> xr.Dataset:  # fmt: skip
    network, n = plan.network, len(labels)
    out = new_record(plan, told.level.shape[1], (n, n_time), memory)
    found = Found(out, np.zeros(n, dtype=np.int64), np.zeros(n), np.zeros(n, dtype=np.int64))
    fit, of_all = fit_lanes(plan.reduction.core), (lend(told), shop.base, shop.asked, lend(found))

    def task(first: int) -> None:
        worker = _worker(plan, shop)
        play_lanes(worker.solver, shop.times, worker.lanes, worker.book, *of_all, first, min(n, first + size), end, fit)
        shop.idle.append(worker)

    size = _TASK if pool else max(n, 1)
    firsts = range(0, n, size)
    list(pool.map(task, firsts) if pool else map(task, firsts))
    worst = int(found.verdict.max(initial=0))
    solution = Solution(None, VERDICTS[worst], Stats(int(found.iterations.sum()), float(found.residual.max(initial=0.0))))
    provenance = Provenance("gradient-method", {"duration_s": end}, network.revision)
    told_of = {"scenario_status": ("scenario", _NAMES[found.verdict], {"long_name": "gravest status of the scenario's run"})}
    return water_dataset(
        network, columns(out), solution, provenance, out.time[0] if n else np.zeros(n_time), None, {"scenario": labels}, told_of
    )
