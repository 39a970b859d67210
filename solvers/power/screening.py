"""N-1 security screening: every outage solved, islands and lost load reported, limits judged; once, or at each of a series.

Outages of one branch run in lanes on the base case's factor (outage_lanes.py), those that split the network included:
what is cut off from every slack is dead, its load is lost, the rest is solved. What the lanes leave over, and outages of
three-winding transformers, generators and groups of elements, are full load flows of the edited network; so are all where
machines share the slack, which a lane leaves to one, or a TCSC or SSC regulates. Each outage's answer depends on itself
and the base case alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from grid_models.power.bus_branch import BusBranch
from grid_models.power.network import PowerNetwork
from solvers.plan import Reuse
from solvers.power.admittance import ComplexArray, Factor, FloatArray, Injections, Plan, factor, prepare
from solvers.power.base import base_case
from solvers.power.bridges import parts, splits
from solvers.power.limits import Limits, limits
from solvers.power.load_flow import load_flow
from solvers.power.newton import LoadFlow
from solvers.power.outage_choice import Outage, every_outage
from solvers.power.outage_lanes import GROUPS_AT_ONCE, Frame, Judged, Solved, frame_of, solve_and_judge
from solvers.power.regroup import LANES
from solvers.power.regulation import regulates
from solvers.power.scenarios import check, edited
from solvers.power.screening_sheet import Screening, Sheet
from solvers.solution import Solution, Stats, Status

_Kept = Reuse[BusBranch, Plan, Factor]


def screen(
    network: PowerNetwork,
    chosen: Sequence[Outage] | None = None,
    *,
    loading_limit_percent: float = 100.0,
    distributed_slack: bool = False,
    tolerance_pu: float = 1e-8,
    pool: ThreadPoolExecutor | None = None,
    step: Callable[[int], None] = lambda _: None,
) -> Solution[Screening]:
    """Solve a network with each outage and judge the limits.

    Args:
        network: as its tables stand; its own load flow is the base case.
        chosen: outages; every line, transformer, impedance and generator if not given.
        loading_limit_percent: of lines and transformers, where they have no `max_loading_percent` of their own.
        distributed_slack: machines share by `slack_weight` what an outage leaves over (distributed_slack.py).
        tolerance_pu: largest power mismatch accepted.
        pool: threads to share the lane groups among.
        step: is told how many outages more are done.

    Returns:
        The screening; its status is the base case's.

    >>> from grid_models.formats.pandapower import read_packaged
    >>> found = screen(read_packaged("case9")).unwrap()
    >>> found.labels[0], found.status[0].name
    ('line 0', 'DEAD_ISLANDS')
    """
    reuse = Reuse(prepare, factor)
    todo = every_outage(network) if chosen is None else list(chosen)
    flow = load_flow(network, reuse=reuse, distributed_slack=distributed_slack)
    if not flow.status.usable:
        return _without_base(todo, flow)
    common = _common(network, flow.value.model, todo, loading_limit_percent)
    return _screened(_Case(network, flow.value, common, tolerance_pu), flow, reuse, pool, step)


def screen_series(
    network: PowerNetwork,
    scenarios: xr.Dataset,
    chosen: Sequence[Outage] | None = None,
    *,
    loading_limit_percent: float = 100.0,
    distributed_slack: bool = False,
    tolerance_pu: float = 1e-8,
    pool: ThreadPoolExecutor | None = None,
    step: Callable[[int], None] = lambda _: None,
) -> Iterator[Solution[Screening]]:
    """Screen a network at each instant of a series of injections: topology, bridges, limits and names once for all.

    Args:
        network: as its tables stand, but for what the series says.
        scenarios: some of `scenarios.INPUTS` over (scenario, element); each is one instant, and a base case of its own.
        chosen: as in `screen`.
        loading_limit_percent: as in `screen`.
        distributed_slack: as in `screen`.
        tolerance_pu: as in `screen`.
        pool: as in `screen`.
        step: as in `screen`.

    Yields:
        A screening for each scenario, as `screen` of the network edited so gives it.

    Raises:
        InvalidInput: variables or sizes that do not fit the network; all at once.

    >>> from grid_models.formats.pandapower import read_packaged
    >>> load = xr.Dataset({"load_p_mw": (("scenario", "load"), [[90.0, 100.0, 125.0], [45.0, 50.0, 60.0]])})
    >>> [round(float(found.unwrap().max_loading_percent[1])) for found in screen_series(read_packaged("case9"), load)]
    [70, 66]
    """
    check(network, scenarios)
    reuse = Reuse(prepare, factor)
    todo = every_outage(network) if chosen is None else list(chosen)
    common: _Common | None = None
    start: ComplexArray | None = None
    for k in range(scenarios.sizes["scenario"]):
        now = edited(network, scenarios.isel(scenario=k))
        flow = load_flow(now, reuse=reuse, start=start, distributed_slack=distributed_slack)
        if not flow.status.usable:
            start = None
            yield _without_base(todo, flow)
            continue
        common = common or _common(now, flow.value.model, todo, loading_limit_percent)
        start = flow.value.v
        yield _screened(_Case(now, flow.value, common, tolerance_pu), flow, reuse, pool, step)


@dataclass(frozen=True, eq=False)
class _Common:
    """What does not depend on injections.

    Args:
        todo: the outages.
        single: (n_outage,) the branch of the model that is out; -1 where it is another element or a group.
        limits: what is judged.
        loading_limit_percent: where branches have none of their own.
        names: (n_element,) of branches and buses.
        dead: branches that split the network, and what each cuts off.
    """

    todo: list[Outage]
    single: NDArray[np.int64]
    limits: Limits
    loading_limit_percent: float
    names: NDArray[np.object_]
    dead: dict[int, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class _Case:
    """A solved base case."""

    network: PowerNetwork
    flow: LoadFlow
    common: _Common
    tolerance_pu: float

    @property
    def load_mw(self) -> FloatArray:
        """(n_bus,) what loads consume at each bus of the model."""
        out = np.zeros(self.flow.model.n_bus)
        table = self.network.tables.get("load")
        if table is not None and table.size:
            bus = self.flow.model.node_bus[self.network.node_of(table["bus"])]
            power = table["p_mw"] * table.column("scaling", 1.0) * self.network.in_service("load")
            np.add.at(out, bus[bus >= 0], power[bus >= 0])
        return out


def _common(network: PowerNetwork, model: BusBranch, todo: list[Outage], loading_limit_percent: float) -> _Common:
    row_of = {} if model.distributed_slack or regulates(network) else _branch_of(network, model)
    return _Common(
        todo=todo,
        single=np.array([row_of.get(outage[0], -1) if len(outage) == 1 else -1 for outage in todo], dtype=np.int64),
        limits=limits(network, model, loading_limit_percent),
        loading_limit_percent=loading_limit_percent,
        names=np.concatenate([_branch_names(network, model), _bus_names(network, model)]),
        dead=splits(model),
    )


def _without_base(todo: list[Outage], flow: Solution[LoadFlow]) -> Solution[Screening]:
    nothing = Sheet(len(todo), np.zeros(0, dtype=object))
    return Solution(nothing.done(todo, flow.value), flow.status, flow.stats, flow.culprits, flow.detail)


def _screened(
    case: _Case, flow: Solution[LoadFlow], reuse: _Kept, pool: ThreadPoolExecutor | None, step: Callable[[int], None]
) -> Solution[Screening]:
    """Every outage of one base case."""
    todo, single = case.common.todo, case.common.single
    sheet = Sheet(len(todo), case.common.names)
    fast = np.flatnonzero(single >= 0)
    for rows in _in_lanes(case, sheet, fast, reuse, pool):
        step(rows)
    slow = [*np.flatnonzero(single < 0).tolist(), *fast[sheet.retry[fast]].tolist()]
    for i in sorted(slow):
        _alone(case, sheet, i, todo[i], reuse)
        step(1 if single[i] < 0 else 0)
    return Solution(sheet.done(todo, flow.value), flow.status, Stats(flow.stats.iterations, flow.stats.residual), flow.culprits)


def _branch_of(network: PowerNetwork, model: BusBranch) -> dict[tuple[str, int], int]:
    """Elements that are exactly one live branch of the model, and which."""
    eq = network.equivalents
    out = {}
    for table in ("line", "trafo", "impedance"):
        if table not in network.tables:
            continue
        index = network.tables[table].index
        live = np.flatnonzero(eq.element[model.branch_row] == table)
        for branch in live.tolist():
            if model.branch_from[branch] != model.branch_to[branch]:
                out[(table, int(index[eq.row[model.branch_row[branch]]]))] = branch
    return out


def _in_lanes(
    case: _Case, sheet: Sheet, rows: NDArray[np.int64], reuse: _Kept, pool: ThreadPoolExecutor | None
) -> Iterator[int]:
    """Solve single-branch outages in lanes and write their columns; yields how many are done."""
    model, common = case.flow.model, case.common
    plan, values, _ = reuse.find(model)
    everywhere = np.ones(model.n_bus, dtype=bool)
    base = base_case(plan, values, Injections(model.s_power, model.s_current), case.flow.v, injects=everywhere)
    frame = frame_of(model, base, common.limits, case.tolerance_pu)
    size = GROUPS_AT_ONCE * LANES
    chunks = [rows[i : i + size] for i in range(0, len(rows), size)]
    load = case.load_mw

    def work(mine: NDArray[np.int64]) -> tuple[Solved, Judged]:
        return solve_and_judge(frame, common.single[mine], common.dead)

    for mine, (solved, judged) in zip(chunks, pool.map(work, chunks) if pool else map(work, chunks), strict=True):
        for i, b in zip(mine.tolist(), common.single[mine].tolist(), strict=True):
            if b in common.dead:
                dead = common.dead[b]
                sheet.islands[i] = int((model.bus_node[dead] >= 0).any())
                sheet.lost[i] = load[dead].sum()
        _write(sheet, mine, frame, solved, judged, len(model.branch_from))
        yield len(mine)


def _write(sheet: Sheet, mine: NDArray[np.int64], frame: Frame, solved: Solved, judged: Judged, n_branch: int) -> None:
    good = solved.iterations >= 0
    sheet.status[mine[good]] = Status.SOLVED
    sheet.status[mine[good & (sheet.islands[mine] > 0)]] = Status.DEAD_ISLANDS
    sheet.extremes[mine[good]] = judged.extremes[good]
    sheet.mismatch[mine] = solved.mismatch
    sheet.element[mine[good]] = sheet.names[judged.where[good, 0]]
    sheet.retry[mine[~good]] = np.diff(solved.dead_from)[~good] > 0
    found = judged.violations[good[judged.violations[:, 0].astype(np.int64)]]
    which, is_branch = found[:, 2].astype(np.int64), found[:, 1] == 0
    row = np.where(is_branch, which, n_branch + frame.base.plan.bus[np.where(is_branch, 0, which)])
    value = np.where(is_branch, 100.0 * found[:, 3], found[:, 3])
    sheet.violations.append((mine[found[:, 0].astype(np.int64)], row, value))


def _alone(case: _Case, sheet: Sheet, i: int, outage: Outage, reuse: _Kept) -> None:
    """A full load flow of the network without the outage's elements."""
    network = case.network
    tables = dict(network.tables)
    for table, index in outage:
        row = tables[table].rows([index])
        tables[table] = tables[table].replace("in_service", row, np.zeros(1, dtype=bool))
    edited = replace(network, tables=tables)
    shared = case.flow.model.distributed_slack
    answer = load_flow(edited, reuse=reuse, distributed_slack=shared, diagnose=False, tolerance_pu=case.tolerance_pu)
    model = answer.value.model
    dead_before = set(case.flow.model.dead_nodes.tolist())
    dead = np.array(sorted(set(model.dead_nodes.tolist()) - dead_before), dtype=np.int64)
    load = case.load_mw
    bus = case.flow.model.node_bus[dead]
    sheet.lost[i] = load[np.unique(bus[bus >= 0])].sum()
    sheet.islands[i] = parts(case.flow.model, dead)
    sheet.status[i] = Status.SOLVED if answer.status is Status.DEAD_ISLANDS and not len(dead) else answer.status
    sheet.mismatch[i] = answer.stats.residual
    if not answer.status.usable:
        return
    _judge(sheet, i, case.common.loading_limit_percent, edited, model, answer.value.v)


def _judge(
    sheet: Sheet, i: int, loading_limit_percent: float, network: PowerNetwork, model: BusBranch, v: ComplexArray
) -> None:
    """Loadings and voltages of one full load flow."""
    bounds = limits(network, model, loading_limit_percent)
    near = np.abs(model.y_ff * v[model.branch_from] + model.y_ft * v[model.branch_to]) * bounds.per_limit[:, 0]
    far = np.abs(model.y_tf * v[model.branch_from] + model.y_tt * v[model.branch_to]) * bounds.per_limit[:, 1]
    loading, vm = np.maximum(near, far), np.abs(v)
    names = _branch_names(network, model)
    if len(loading):
        sheet.element[i] = names[int(loading.argmax())]
    seen = vm[bounds.band[:, 0] > 0]
    sheet.extremes[i] = loading.max(initial=0.0), seen.min(), seen.max()
    over = np.flatnonzero(loading > 1.0)
    beyond = np.flatnonzero((vm < bounds.band[:, 0]) | (vm > bounds.band[:, 1]))
    found = np.concatenate([names[over], _bus_names(network, model)[beyond]])
    row = {name: k for k, name in enumerate(sheet.names.tolist())}
    value = np.concatenate([100.0 * loading[over], vm[beyond]])
    # Elements keep their names whatever is out; the open ends of lines share one.
    which = np.array([row[name] for name in found.tolist()], dtype=np.int64)
    sheet.violations.append((np.full(len(found), i, dtype=np.int64), which, value))


def _branch_names(network: PowerNetwork, model: BusBranch) -> NDArray[np.object_]:
    eq = network.equivalents
    rows = zip(eq.element[model.branch_row].tolist(), eq.row[model.branch_row].tolist(), strict=True)
    return np.array([f"{table} {network.tables[table].index[row]}" for table, row in rows], dtype=object)


def _bus_names(network: PowerNetwork, model: BusBranch) -> NDArray[np.object_]:
    index = network.tables["bus"].index
    return np.array([f"bus {index[n]}" if 0 <= n < len(index) else "open end" for n in model.bus_node.tolist()], dtype=object)
