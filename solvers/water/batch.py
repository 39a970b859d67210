"""Many scenarios of one network: states or whole runs, labelled in and out, in chunks bounded in memory.

A scenario differs from the network in what it is told: demands, leaks, statuses, settings, resistances, tank levels. All
share one plan and begin from one solved state, so that a scenario costs some warm iterations and no Python. Groups of
scenarios are tasks of a thread pool (the kernels hold no lock); each has its own work space and writes into its own slots. A
scenario's answer depends on nothing but itself and the base case: not on its neighbours, the grouping or the threads, to the
last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from grid_models.errors import InvalidInput, Issue
from grid_models.water.network import WaterNetwork
from solvers.accelerate import kernel
from solvers.labelled import Provenance, water_dataset
from solvers.solution import Solution, Stats
from solvers.water.extended import Simulation, SimulationState, columns, new_record, new_run, reports, timetable
from solvers.water.instants import BEGUN, TIME, Record, Run, Timetable, play
from solvers.water.plan import ACTIVE, CLOSED, OPEN, PUMP, Floats, Index, WaterPlan, prepare
from solvers.water.state import Solver, State
from solvers.water.steady import VERDICTS, Scratch

_CHUNK_BYTES = 1 << 28
_TASK = 16  # scenarios
_ALL = 1 << 62
INPUTS = {
    "node_demand_factor": ("node", "factor on all demands of a node [1]"),
    "node_leak_m3_per_s": ("node", "drawn at a node besides [m3/s]"),
    "link_open": ("link", "0 where a link is shut at the start, 1 where it is open or in control"),
    "link_setting": ("link", "speed of a pump, setting of a valve"),
    "link_resistance_factor": ("link", "factor on a pipe's resistance [1]; (C / C_new)^1.852 of a roughness coefficient"),
    "tank_level_m": ("tank", "level at the start [m]"),
}


@dataclass(frozen=True, eq=False)
class _Rows:
    """What each scenario of a chunk is told, a row each."""

    base: Floats
    status: Index
    setting: Floats
    resistance: Floats
    level: Floats


def run_batch(
    network: WaterNetwork,
    scenarios: xr.Dataset,
    duration_s: float | None = None,
    pool: ThreadPoolExecutor | None = None,
    chunk_bytes: int = _CHUNK_BYTES,
) -> Iterator[xr.Dataset]:
    """Run a network once for each scenario.

    Args:
        network: the network.
        scenarios: some of `INPUTS` over (scenario, node), (scenario, link) or (scenario, tank), in the network's order; what is
            missing is the network's own.
        duration_s: of each run, 0 for one state; the network's own unless told.
        pool: threads to share the scenarios among; the caller's own thread if not given.
        chunk_bytes: of the results of one chunk.

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
    plan = prepare(network)
    _check(network, scenarios)
    end = int(network.options.duration_s if duration_s is None else duration_s)
    n_time = reports(network, end)
    n, size = scenarios.sizes["scenario"], n_time * (26 * len(plan.laws.row) + 40 * len(plan.laws.kind)) + 1
    times, own = _with_leaks(network, scenarios)
    simulation = Simulation(network, plan=plan)
    begin = simulation.state
    simulation.solve()
    base = simulation.run.state
    for first in range(0, n, max(1, chunk_bytes // size)):
        chunk = slice(first, min(n, first + max(1, chunk_bytes // size)))
        rows = _rows(network, plan, times, own, begin, scenarios.isel(scenario=chunk))
        yield _run(plan, times, rows, base, end, n_time, pool, scenarios["scenario"].values[chunk])


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
        elif not np.isfinite(values.values).all():
            issues.append(Issue("scenario", str(name), (), "has values that are no numbers"))
    if not len(scenarios.data_vars):
        issues.append(Issue("scenario", "", (), "there is nothing in it"))
    if issues:
        raise InvalidInput(issues)


def _with_leaks(network: WaterNetwork, scenarios: xr.Dataset) -> tuple[Timetable, Index]:
    """The timetable with a constant demand at each node that leaks somewhere; and these nodes."""
    times = timetable(network)
    leaks = scenarios.get("node_leak_m3_per_s")
    node = np.zeros(0, dtype=np.int64) if leaks is None else np.flatnonzero((leaks.values != 0).any(axis=0))
    s = times.schedule
    if len(node):
        s = s._replace(
            demand_node=np.r_[s.demand_node, node], demand_base=np.r_[s.demand_base, np.zeros(len(node))],
            demand_pattern=np.r_[s.demand_pattern, np.full(len(node), -1)],
        )  # fmt: skip
    return times._replace(schedule=s), node


def _rows(
    network: WaterNetwork, plan: WaterPlan, times: Timetable, leaking: Index, begin: SimulationState, chosen: xr.Dataset
) -> _Rows:
    """The chunk's inputs as kernels take them."""
    n, s, kind = chosen.sizes["scenario"], times.schedule, plan.laws.kind

    def given(name: str, own: NDArray[np.generic]) -> NDArray[np.float64]:
        return np.array(chosen[name].values if name in chosen else np.broadcast_to(own, (n, len(own))), dtype=np.float64)

    base = given("node_demand_factor", np.ones(len(network.node_ids)))[:, s.demand_node] * s.demand_base
    if len(leaking):
        base[:, -len(leaking) :] = given("node_leak_m3_per_s", np.zeros(0))[:, leaking] / s.multiplier
    status = np.broadcast_to(begin.status, (n, len(kind))).copy()
    if "link_open" in chosen:
        is_open = chosen["link_open"].values != 0
        opened = np.where(kind > PUMP, ACTIVE, OPEN)
        status = np.where(is_open, np.where(status <= CLOSED, opened, status), CLOSED)
    resistance = given("link_resistance_factor", np.ones(len(kind))) * plan.laws.resistance
    return _Rows(
        base, status.astype(np.int64), given("link_setting", begin.setting), resistance,
        given("tank_level_m", times.tanks.initial),
    )  # fmt: skip


def _run(
    plan: WaterPlan, times: Timetable, rows: _Rows, base: State, end: int, n_time: int,
    pool: ThreadPoolExecutor | None, labels: NDArray[np.generic],
) -> xr.Dataset:  # fmt: skip
    network, n = plan.network, len(rows.base)
    out = new_record(plan, rows.level.shape[1], (n, n_time))
    iterations, residual, verdict = np.zeros(n, dtype=np.int64), np.zeros(n), np.zeros(n, dtype=np.int64)

    def task(first: int) -> None:
        # Bases and resistances are written by the kernel: this task's own.
        s = times.schedule
        mine = times._replace(schedule=s._replace(demand_base=s.demand_base.copy()))
        of_task = plan.with_resistance(plan.laws.resistance.copy())
        scratch, run = Scratch(of_task), new_run(of_task, mine)
        play_many(
            scratch.solver(of_task), mine, run, base, first, min(n, first + _TASK),
            rows.base, rows.status, rows.setting, rows.resistance, rows.level, out, end, iterations, residual, verdict,
        )  # fmt: skip

    firsts = range(0, n, _TASK)
    list(pool.map(task, firsts) if pool else map(task, firsts))
    worst = int(verdict.max(initial=0))
    solution = Solution(None, VERDICTS[worst], Stats(int(iterations.sum()), float(residual.max(initial=0.0))))
    provenance = Provenance("gradient-method", {"duration_s": end}, network.revision)
    data = water_dataset(
        network, columns(plan, out), solution, provenance, out.time[0] if n else np.zeros(n_time), None, {"scenario": labels}
    )
    names = np.array([VERDICTS[v].name for v in verdict.tolist()], dtype=object)
    return data.assign(scenario_status=("scenario", names, {"long_name": "gravest status of the scenario's run"}))


@kernel
def _take(solver: Solver, resistance: Floats) -> None:
    """Write resistances into the lanes of the whole network, of the reduced one, and of the trees."""
    net, r = solver.net, solver.reduction
    flat = net.lane_r.ravel()
    for x in range(len(net.lane_link)):
        flat[x] = resistance[net.lane_link[x]]
    flat, graph = r.core.lane_r.ravel(), r.graph
    for c in range(len(r.core.lane_link)):
        m = graph.first[r.core.lane_link[c]]
        for x in range(r.core.lane_first[c], r.core.lane_first[c + 1]):
            flat[x] = resistance[graph.pipe[m]]
            m += 1
    flat = r.tree_r.ravel()
    for x in range(len(graph.tree_pipe)):
        flat[x] = resistance[graph.tree_pipe[x]]
    net.resistance[:] = resistance


@kernel
def play_many(
    solver: Solver, plan: Timetable, run: Run, base: State, first: int, last: int,
    demand: Floats, status: Index, setting: Floats, resistance: Floats, level: Floats, out: Record, until: int,
    iterations: Index, residual: Floats, verdict: Index,
) -> None:  # fmt: skip
    """Run scenarios first to last, each from the base case.

    Args:
        solver: of the network, its resistances this task's own.
        plan: of the network, its bases of demands this task's own.
        run: this task's.
        base: the state that each begins from.
        first: scenario.
        last: the one after the last.
        demand: (n_scenario, n_demand) bases [m3/s].
        status: (n_scenario, n_link).
        setting: (n_scenario, n_link).
        resistance: (n_scenario, n_link).
        level: (n_scenario, n_tank) [m].
        out: (n_scenario, ...) records.
        until: the end [s].
        iterations: (n_scenario,) receives iterations.
        residual: (n_scenario,) receives the largest mass residual [m3/s].
        verdict: (n_scenario,) receives the gravest verdict.
    """
    for k in range(first, last):
        plan.schedule.demand_base[:] = demand[k]
        _take(solver, resistance[k])
        run.clock[TIME], run.clock[BEGUN] = 0, 1
        run.level[:], run.status[:], run.setting[:] = level[k], status[k], setting[k]
        s = run.state
        s.head[:], s.flow[:], s.status[:] = base.head, base.flow, base.status
        s.demand[:], s.emitted[:], s.supplied[:] = base.demand, base.emitted, base.supplied
        own = Record(
            out.written[k : k + 1], out.time[k], out.head[k], out.demand[k], out.supplied[k], out.flow[k], out.status[k],
            out.setting[k], out.level[k],
        )  # fmt: skip
        iterations[k], residual[k], verdict[k], ended = 0, 0.0, 0, False
        while not ended:
            ended, spent, left, verdict[k] = play(solver, plan, run, own, until, _ALL, verdict[k])
            iterations[k] += spent
            residual[k] = max(residual[k], left)
