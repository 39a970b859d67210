"""N-1 security screening: every outage solved, islands and lost load reported, limits judged.

Outages of one branch run in lanes on the base case's factor (outage_chord.py), those that split the network included:
what is cut off from every slack is dead, its load is lost, the rest is solved. What the lanes leave over, and outages of
three-winding transformers, generators and groups of elements, are full load flows of the edited network. Each outage's
answer depends on itself and the base case alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from grid_models.errors import InvalidInput, Issue
from grid_models.power.bus_branch import SLACK, BusBranch
from grid_models.power.network import PowerNetwork
from solvers.accelerate import kernel
from solvers.linalg.vector import aligned
from solvers.plan import Reuse
from solvers.power.admittance import ComplexArray, Factor, FloatArray, Injections, Plan, factor, prepare
from solvers.power.base import Base, base_case
from solvers.power.load_flow import load_flow
from solvers.power.monitor import monitor
from solvers.power.newton import LoadFlow, Scratch, solve
from solvers.power.outage_chord import outages
from solvers.power.regroup import GIVEN_UP, LANES, UNFINISHED, IndexArray, run_to_end
from solvers.solution import Solution, Stats, Status

Outage = tuple[tuple[str, int], ...]  # elements that are out together: (table, pandapower index)
_SCREENED = ("line", "trafo", "trafo3w", "impedance", "gen")
_GROUPS_AT_ONCE = 32
_MAX_ITERATIONS = 20
_NEWTON_ITERATIONS = 15  # for each start; what has a solution near the base case needs less
_VIOLATIONS_EXPECTED = 256  # of each outage; more are counted first, then written
_DEFAULT_BAND = (0.9, 1.1)


@dataclass(frozen=True, eq=False)
class Limits:
    """What is judged, by branch and bus of the bus-branch form.

    Args:
        per_limit: (n_branch, 2) one over the current at which each end is loaded in full [1/pu]; 0 without a limit.
        band: (n_bus, 2) least and greatest voltage [pu].
    """

    per_limit: FloatArray
    band: FloatArray


@dataclass(frozen=True, eq=False)
class Screening:
    """The outcome of each outage.

    Args:
        labels: (n_outage,) "line 7".
        status: (n_outage,) object, a `Status` each.
        islands: (n_outage,) parts with buses that lose every source.
        lost_load_mw: (n_outage,) load on them.
        max_loading_percent: (n_outage,) nan where not solved.
        max_loading_element: (n_outage,) "line 3".
        min_vm_pu: (n_outage,).
        max_vm_pu: (n_outage,).
        mismatch: (n_outage,) largest left [pu].
        violation_outage: (n_violation,) row of the outage.
        violation_which: (n_violation,) row of `elements`.
        violation_value: (n_violation,) loading [%] or voltage [pu].
        elements: (n_element,) "line 3" or "bus 12": branches and buses of the base case.
        base: the base case.
    """

    labels: NDArray[np.object_]
    status: NDArray[np.object_]
    islands: NDArray[np.int64]
    lost_load_mw: FloatArray
    max_loading_percent: FloatArray
    max_loading_element: NDArray[np.object_]
    min_vm_pu: FloatArray
    max_vm_pu: FloatArray
    mismatch: FloatArray
    violation_outage: NDArray[np.int64]
    violation_which: NDArray[np.int64]
    violation_value: FloatArray
    elements: NDArray[np.object_]
    base: LoadFlow

    @property
    def violation_element(self) -> NDArray[np.object_]:
        """(n_violation,) "line 3" or "bus 12"; made when asked for."""
        return self.elements[self.violation_which]

    def violating(self) -> Screening:
        """The outages that violate a limit or are not solved, alone."""
        keep = ~np.array([s.usable for s in self.status], dtype=bool)
        keep[self.violation_outage] = True
        rows = np.flatnonzero(keep)
        each = {
            f.name: getattr(self, f.name)[rows]
            for f in fields(self)
            if not f.name.startswith("violation_") and f.name not in ("elements", "base")
        }
        return replace(self, **each, violation_outage=np.searchsorted(rows, self.violation_outage))

    def columns(self) -> dict[str, NDArray[np.generic]]:
        """By the names of the dataset."""
        return {
            "outage_status": np.array([s.name for s in self.status], dtype=object),
            "outage_islands": self.islands,
            "lost_load_mw": self.lost_load_mw,
            "max_loading_percent": self.max_loading_percent,
            "max_loading_element": self.max_loading_element,
            "min_vm_pu": self.min_vm_pu,
            "max_vm_pu": self.max_vm_pu,
            "outage_mismatch_pu": self.mismatch,
            "violation_outage": self.labels[self.violation_outage],
            "violation_element": self.violation_element,
            "violation_value": self.violation_value,
        }


def every_outage(network: PowerNetwork, tables: Sequence[str] = _SCREENED) -> list[Outage]:
    """Each element in service of the given tables, alone."""
    return [
        ((table, int(index)),)
        for table in tables
        if table in network.tables
        for index in network.tables[table].index[network.in_service(table)]
    ]


def chosen_outages(network: PowerNetwork, words: Sequence[str]) -> list[Outage]:
    """Outages from words: "line 7", "line *", "trafo 3 + line 7".

    Raises:
        InvalidInput: tables or elements that the network does not have; all at once.
    """
    chosen: list[Outage] = []
    issues: list[Issue] = []
    for word in words:
        parts = [tuple(part.split()) for part in word.split("+")]
        bad = [p for p in parts if len(p) != 2 or p[0] not in _SCREENED or p[0] not in network.tables]
        if bad or (len(parts) > 1 and any(p[1] == "*" for p in parts)):
            issues.append(
                Issue("outage", "", (word,), f"is none; write 'line 7', 'line *', 'trafo 3 + line 7' of {', '.join(_SCREENED)}")
            )
            continue
        if parts[0][1] == "*":
            chosen += every_outage(network, (parts[0][0],))
            continue
        known = {p for p in parts if p[1].isdecimal() and int(p[1]) in network.tables[p[0]].index}
        missing = [" ".join(p) for p in parts if p not in known]
        issues += [Issue("outage", "", (m,), "the network has no such element") for m in missing]
        if not missing:
            chosen.append(tuple((p[0], int(p[1])) for p in parts))
    if issues:
        raise InvalidInput(issues)
    return chosen


def screen(
    network: PowerNetwork,
    chosen: Sequence[Outage] | None = None,
    *,
    loading_limit_percent: float = 100.0,
    tolerance_pu: float = 1e-8,
    pool: ThreadPoolExecutor | None = None,
    step: Callable[[int], None] = lambda _: None,
) -> Solution[Screening]:
    """Solve a network with each outage and judge the limits.

    Args:
        network: as its tables stand; its own load flow is the base case.
        chosen: outages; every line, transformer, impedance and generator if not given.
        loading_limit_percent: of lines and transformers, where they have no `max_loading_percent` of their own.
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
    flow = load_flow(network, reuse=reuse)
    todo = every_outage(network) if chosen is None else list(chosen)
    if not flow.status.usable:
        nothing = _Sheet(len(todo), np.zeros(0, dtype=object))
        return Solution(nothing.done(todo, flow.value), flow.status, flow.stats, flow.culprits, flow.detail)
    bounds = limits(network, flow.value.model, loading_limit_percent)
    case = _Case(network, flow.value, bounds, loading_limit_percent, tolerance_pu)
    model = flow.value.model
    names = np.concatenate([_branch_names(network, model), _bus_names(network, model)])
    sheet = _Sheet(len(todo), names)
    row_of = _branch_of(network, model)
    single = np.array([row_of.get(outage[0], -1) if len(outage) == 1 else -1 for outage in todo], dtype=np.int64)
    fast = np.flatnonzero(single >= 0)
    slow = [i for i in range(len(todo)) if single[i] < 0]
    plan, values, _ = reuse.find(model)
    # An outage may end at any bus, so none is passive.
    base = base_case(
        plan, values, Injections(model.s_power, model.s_current), flow.value.v, injects=np.ones(model.n_bus, dtype=bool)
    )
    for rows in _in_lanes(case, base, sheet, fast, single[fast], pool):
        step(rows)
    slow += fast[sheet.retry[fast]].tolist()
    for i in sorted(slow):
        _alone(case, sheet, i, todo[i], reuse)
        step(1 if single[i] < 0 else 0)
    return Solution(sheet.done(todo, flow.value), flow.status, Stats(flow.stats.iterations, flow.stats.residual), flow.culprits)


def limits(network: PowerNetwork, model: BusBranch, loading_limit_percent: float) -> Limits:
    """Current limits of lines and transformers, and voltage bands, from the tables' own columns."""
    eq = network.equivalents
    per_limit = np.zeros((len(eq.row), 2))
    for table, limit_ka in (("line", _line_limit), ("trafo", _trafo_limit), ("trafo3w", _trafo3w_limit)):
        if table in network.tables and network.tables[table].size:
            rows = eq.rows_of(table)
            own = network.tables[table].column("max_loading_percent", np.nan).astype(float)
            share = np.where(np.isfinite(own), own, loading_limit_percent) / 100.0
            ka = limit_ka(network, rows) * share[eq.row[rows]][:, None]
            vn = np.stack([eq.node_vn_kv[eq.from_node[rows]], eq.node_vn_kv[eq.to_node[rows]]], axis=1)
            with np.errstate(divide="ignore"):
                per = network.sn_mva / (np.sqrt(3.0) * vn) / ka
            per_limit[rows] = np.where(np.isfinite(per), per, 0.0)
    bus = network.tables["bus"]
    low, high = (bus.column(name, np.nan).astype(float) for name in ("min_vm_pu", "max_vm_pu"))
    band = np.empty((model.n_bus, 2))
    band[:] = _DEFAULT_BAND
    for node in np.flatnonzero(model.node_bus[: bus.size] >= 0).tolist():
        b = model.node_bus[node]
        if low[node] > 0:
            band[b, 0] = max(low[node], band[b, 0]) if band[b, 0] != _DEFAULT_BAND[0] else low[node]
        if high[node] > 0:
            band[b, 1] = min(high[node], band[b, 1]) if band[b, 1] != _DEFAULT_BAND[1] else high[node]
    return Limits(per_limit[model.branch_row], band)


def _line_limit(network: PowerNetwork, rows: NDArray[np.int64]) -> FloatArray:
    table = network.tables["line"]
    ka = table["max_i_ka"] * table.column("df", 1.0) * table.column("parallel", 1)
    return np.repeat(np.asarray(ka, dtype=np.float64)[network.equivalents.row[rows]][:, None], 2, axis=1)


def _trafo_limit(network: PowerNetwork, rows: NDArray[np.int64]) -> FloatArray:
    table = network.tables["trafo"]
    rated = table["sn_mva"] * table.column("parallel", 1) * table.column("df", 1.0) / np.sqrt(3.0)
    ka = np.stack([rated / table["vn_hv_kv"], rated / table["vn_lv_kv"]], axis=1)
    return np.asarray(ka[network.equivalents.row[rows]], dtype=np.float64)


def _trafo3w_limit(network: PowerNetwork, rows: NDArray[np.int64]) -> FloatArray:
    """Each winding is judged at its own end; the star point has no limit."""
    table, eq = network.tables["trafo3w"], network.equivalents
    out = np.full((len(rows), 2), np.inf)
    for part, (side, end) in enumerate((("hv", 0), ("mv", 1), ("lv", 1))):
        mine = eq.part[rows] == part
        ka = table[f"sn_{side}_mva"] / table[f"vn_{side}_kv"] / np.sqrt(3.0)
        out[mine, end] = ka[eq.row[rows[mine]]]
    return out


@dataclass(frozen=True, eq=False)
class _Case:
    network: PowerNetwork
    flow: LoadFlow
    limits: Limits
    loading_limit_percent: float
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


class _Sheet:
    """The columns of a screening while it is filled."""

    def __init__(self, n: int, names: NDArray[np.object_]) -> None:
        self.status = np.full(n, Status.NOT_CONVERGED, dtype=object)
        self.islands = np.zeros(n, dtype=np.int64)
        self.lost = np.zeros(n)
        self.extremes = np.full((n, 3), np.nan)
        self.element = np.full(n, "", dtype=object)
        self.mismatch = np.full(n, np.nan)
        self.retry = np.zeros(n, dtype=bool)
        self.names = names
        self.violations: list[tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]] = []

    def done(self, todo: Sequence[Outage], base: LoadFlow) -> Screening:
        labels = np.array([" + ".join([f"{table} {index}" for table, index in outage]) for outage in todo], dtype=object)
        none = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))
        outage, which, value = (np.concatenate(parts) for parts in zip(*(self.violations or [none]), strict=True))
        order = np.argsort(outage * max(len(self.names), 1) + which, kind="stable")
        return Screening(
            labels, self.status, self.islands, self.lost, 100.0 * self.extremes[:, 0], self.element, self.extremes[:, 1],
            self.extremes[:, 2], self.mismatch, outage[order], which[order], value[order], self.names, base,
        )  # fmt: skip


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
    case: _Case, base: Base, sheet: _Sheet, rows: NDArray[np.int64], branch: NDArray[np.int64], pool: ThreadPoolExecutor | None
) -> Iterator[int]:
    """Solve single-branch outages in lanes and write their columns; yields how many are done."""
    model = case.flow.model
    plan = base.plan
    position = np.empty(model.n_bus, dtype=np.int64)
    position[plan.bus] = np.arange(model.n_bus)
    split = _splits(model)
    frame = _Frame(
        base=base,
        s_power=model.s_power,
        position=position,
        below=np.argsort(np.argsort(plan.symbolic.uj, kind="stable")).astype(np.int32),
        height=_height(plan.symbolic.parent),
        ends=np.stack([position[model.branch_from], position[model.branch_to]], axis=1),
        y=np.stack([model.y_ff, model.y_ft, model.y_tf, model.y_tt], axis=1).view(np.float64),
        limits=case.limits,
        v_start=model.v_start,
        tolerance=max(case.tolerance_pu, base.factor.rounding_pu),
    )
    size = _GROUPS_AT_ONCE * LANES
    chunks = [(rows[i : i + size], branch[i : i + size]) for i in range(0, len(rows), size)]
    load = case.load_mw

    def work(chunk: tuple[NDArray[np.int64], NDArray[np.int64]]) -> tuple[_Solved, _Judged]:
        solved = _solve_chunk(frame, chunk[1], [split.get(int(b), _NOBODY) for b in chunk[1]])
        return solved, _judge_chunk(frame, chunk[1], solved)

    for (mine, out), (solved, judged) in zip(chunks, pool.map(work, chunks) if pool else map(work, chunks), strict=True):
        for i, b in enumerate(out.tolist()):
            if b in split:
                dead = split[b]
                sheet.islands[mine[i]] = int((model.bus_node[dead] >= 0).any())
                sheet.lost[mine[i]] = load[dead].sum()
        good = solved.iterations >= 0
        sheet.status[mine[good]] = Status.SOLVED
        sheet.status[mine[good & (sheet.islands[mine] > 0)]] = Status.DEAD_ISLANDS
        sheet.extremes[mine[good]] = judged.extremes[good]
        sheet.mismatch[mine] = solved.mismatch
        sheet.element[mine[good]] = sheet.names[judged.where[good, 0]]
        sheet.retry[mine[~good]] = np.diff(solved.dead_from)[~good] > 0
        found = judged.violations[good[judged.violations[:, 0].astype(np.int64)]]
        which, is_branch = found[:, 2].astype(np.int64), found[:, 1] == 0
        row = np.where(is_branch, which, len(model.branch_from) + plan.bus[np.where(is_branch, 0, which)])
        value = np.where(is_branch, 100.0 * found[:, 3], found[:, 3])
        sheet.violations.append((mine[found[:, 0].astype(np.int64)], row, value))
        yield len(mine)


_NOBODY = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class _Frame:
    """What all lane groups of a screening share."""

    base: Base
    s_power: ComplexArray
    position: NDArray[np.int64]
    below: NDArray[np.int32]
    height: int
    ends: IndexArray
    y: FloatArray
    limits: Limits
    v_start: ComplexArray
    tolerance: float


@dataclass(frozen=True, eq=False)
class _Solved:
    """Lane groups, solved and judged."""

    v: FloatArray
    iterations: NDArray[np.int32]
    mismatch: FloatArray
    dead_from: IndexArray
    dead: IndexArray


@dataclass(frozen=True, eq=False)
class _Judged:
    """What the limits say of lane groups."""

    extremes: FloatArray
    where: IndexArray
    violations: FloatArray


def _second_chance(frame: _Frame, branch: NDArray[np.int64], dead: list[NDArray[np.int64]], solved: _Solved) -> None:
    """Full Newton, on the base case's plan with the branch's admittances taken out, for what the lanes left over."""
    base = frame.base
    plan, nnz = base.plan, len(base.plan.col)
    injections = Injections(frame.s_power, base.s_current)
    scratch = Scratch(plan)
    for i in np.flatnonzero(solved.iterations == GIVEN_UP).tolist():
        b = int(branch[i])
        if len(dead[i]):
            continue
        y = base.factor.y.copy()
        f, t = nnz + plan.from_position[b], nnz + plan.to_position[b]
        y[[f, plan.from_entry[b], plan.to_entry[b], t]] -= frame.y[b].reshape(4, 2)
        without = Factor(plan.topology_version, "", y, base.factor.rounding_pu)
        answer = solve(
            plan, without, scratch, injections, base.v, flat=frame.v_start, tolerance_pu=frame.tolerance,
            max_iterations=_NEWTON_ITERATIONS,
        )  # fmt: skip
        if answer.status.usable:
            solved.iterations[i], solved.mismatch[i] = answer.stats.iterations, answer.stats.residual
            pairs = np.ascontiguousarray(answer.value.v[plan.bus]).view(np.float64)
            solved.v[i // LANES, :, i % LANES] = pairs


def _solve_chunk(frame: _Frame, branch: NDArray[np.int64], dead: list[NDArray[np.int64]]) -> _Solved:
    base, plan = frame.base, frame.base.plan
    n, n_free, n_bus = len(branch), plan.symbolic.n, len(plan.bus)
    n_group = -(-n // LANES)
    start = np.ascontiguousarray(base.v[plan.bus]).view(np.float64).reshape(-1, 2)
    dead_from = np.concatenate([[0], np.cumsum([len(d) for d in dead])]).astype(np.int64)
    positions = frame.position[np.concatenate([_NOBODY, *dead])]
    free = positions < n_free
    # Slack buses are never dead; the kernel masks rows of free buses.
    assert free.all()
    injected, current = (
        np.ascontiguousarray(s[plan.bus][:n_free]).view(np.float64).reshape(-1, 2) for s in (frame.s_power, base.s_current)
    )
    v = aligned((n_group, 2 * n_bus, LANES))
    iterations, spent = np.full(n, UNFINISHED, dtype=np.int32), np.zeros(n, dtype=np.int32)
    mismatch = np.full(n, np.nan)
    height = frame.height
    scratch = (
        aligned((2 * n_free, LANES)), aligned((2 * n_free, LANES), np.float32), aligned((n_free, LANES)), aligned((3, LANES)),
        np.zeros((LANES, height + 1), dtype=np.int32), aligned((LANES, height, 8), np.float32),
        aligned((LANES, height, 8), np.float32), aligned((LANES, 4, 4)),
    )  # fmt: skip

    def lanes(which: IndexArray, here: FloatArray, few: int, resumed: bool) -> None:
        outages(
            which, few, resumed, plan.is_pv, plan.ptr, plan.col, plan.symbolic.up, plan.symbolic.uj, plan.symbolic.parent,
            base.lp, base.lj, frame.below, base.factor.y, base.lower, base.upper, start, base.drawn, injected, current,
            frame.ends[branch], frame.y[branch], dead_from, positions, here, *scratch, spent, iterations, mismatch,
            frame.tolerance, _MAX_ITERATIONS,
        )  # fmt: skip

    run_to_end(lanes, np.arange(n), v, iterations)
    solved = _Solved(v, iterations, mismatch, dead_from, positions)
    _second_chance(frame, branch, dead, solved)
    return solved


def _height(parent: NDArray[np.int32]) -> int:
    """The number of nodes on the longest path to a root of an elimination tree."""
    depth = [1] * len(parent)
    for k in range(len(parent) - 1, -1, -1):
        if parent[k] >= 0:
            depth[k] = depth[parent[k]] + 1
    return max(depth, default=0)


def _judge_chunk(frame: _Frame, branch: NDArray[np.int64], solved: _Solved) -> _Judged:
    n, n_bus = len(branch), len(frame.base.plan.bus)
    extremes, where = np.full((n, 3), np.nan), np.full((n, 3), -1, dtype=np.int64)
    capacity = _VIOLATIONS_EXPECTED * n
    while True:
        found = np.zeros((capacity, 4))
        count = monitor(
            0, len(solved.v), n, solved.v, frame.ends, frame.y, frame.limits.per_limit, frame.limits.band[frame.base.plan.bus],
            branch, solved.dead_from, solved.dead, aligned((n_bus, LANES)), aligned((4, LANES)), extremes, where, found,
        )  # fmt: skip
        if count <= capacity:
            return _Judged(extremes, where, found[:count])
        capacity = count


def _alone(case: _Case, sheet: _Sheet, i: int, outage: Outage, reuse: Reuse[BusBranch, Plan, Factor]) -> None:
    """A full load flow of the network without the outage's elements."""
    network = case.network
    tables = dict(network.tables)
    for table, index in outage:
        row = tables[table].rows([index])
        tables[table] = tables[table].replace("in_service", row, np.zeros(1, dtype=bool))
    edited = replace(network, tables=tables)
    answer = load_flow(edited, reuse=reuse, diagnose=False, tolerance_pu=case.tolerance_pu)
    model = answer.value.model
    dead_before = set(case.flow.model.dead_nodes.tolist())
    dead = np.array(sorted(set(model.dead_nodes.tolist()) - dead_before), dtype=np.int64)
    load = case.load_mw
    bus = case.flow.model.node_bus[dead]
    sheet.lost[i] = load[np.unique(bus[bus >= 0])].sum()
    sheet.islands[i] = _parts(case.flow.model, dead)
    sheet.status[i] = Status.SOLVED if answer.status is Status.DEAD_ISLANDS and not len(dead) else answer.status
    sheet.mismatch[i] = answer.stats.residual
    if not answer.status.usable:
        return
    _judge(sheet, i, case.loading_limit_percent, edited, model, answer.value.v)


def _judge(
    sheet: _Sheet, i: int, loading_limit_percent: float, network: PowerNetwork, model: BusBranch, v: ComplexArray
) -> None:
    """Loadings and voltages of one full load flow."""
    bounds = limits(network, model, loading_limit_percent)
    near = np.abs(model.y_ff * v[model.branch_from] + model.y_ft * v[model.branch_to]) * bounds.per_limit[:, 0]
    far = np.abs(model.y_tf * v[model.branch_from] + model.y_tt * v[model.branch_to]) * bounds.per_limit[:, 1]
    loading, vm = np.maximum(near, far), np.abs(v)
    names = _branch_names(network, model)
    if len(loading):
        sheet.element[i] = names[int(loading.argmax())]
    sheet.extremes[i] = loading.max(initial=0.0), vm.min(), vm.max()
    over = np.flatnonzero(loading > 1.0)
    beyond = np.flatnonzero((vm < bounds.band[:, 0]) | (vm > bounds.band[:, 1]))
    found = np.concatenate([names[over], _bus_names(network, model)[beyond]])
    row = {name: k for k, name in enumerate(sheet.names.tolist())}
    value = np.concatenate([100.0 * loading[over], vm[beyond]])
    # Elements keep their names whatever is out; the open ends of lines share one.
    which = np.array([row[name] for name in found.tolist()], dtype=np.int64)
    sheet.violations.append((np.full(len(found), i, dtype=np.int64), which, value))


def _parts(model: BusBranch, dead: NDArray[np.int64]) -> int:
    """Connected parts that newly dead nodes make up."""
    bus = np.unique(model.node_bus[dead])
    bus = bus[bus >= 0]
    if not len(bus):
        return 0
    inner = np.isin(model.branch_from, bus) & np.isin(model.branch_to, bus)
    graph = coo_array(
        (np.ones(int(inner.sum()), dtype=np.int8), (model.branch_from[inner], model.branch_to[inner])),
        shape=(model.n_bus, model.n_bus),
    ).tocsr()
    _, label = connected_components(graph, directed=False)
    return len(np.unique(label[bus]))


def _branch_names(network: PowerNetwork, model: BusBranch) -> NDArray[np.object_]:
    eq = network.equivalents
    rows = zip(eq.element[model.branch_row].tolist(), eq.row[model.branch_row].tolist(), strict=True)
    return np.array([f"{table} {network.tables[table].index[row]}" for table, row in rows], dtype=object)


def _bus_names(network: PowerNetwork, model: BusBranch) -> NDArray[np.object_]:
    index = network.tables["bus"].index
    return np.array([f"bus {index[n]}" if 0 <= n < len(index) else "open end" for n in model.bus_node.tolist()], dtype=object)


def _splits(model: BusBranch) -> dict[int, NDArray[np.int64]]:
    """Branches whose outage cuts buses off from every slack, and those buses."""
    n, m = model.n_bus, len(model.branch_from)
    slack = np.flatnonzero(model.bus_kind == SLACK)
    # All slacks are one root: what hangs between two of them is fed from both sides.
    a = np.concatenate([model.branch_from, np.full(len(slack), n)])
    b = np.concatenate([model.branch_to, slack])
    number = np.arange(len(a))
    incidence = coo_array(
        (np.concatenate([number, number]) + 1, (np.concatenate([a, b]), np.arange(2 * len(a)))), shape=(n + 1, 2 * len(a))
    ).tocsr()
    far = np.concatenate([b, a])[incidence.indices]
    order, low, entered, parent_edge, size = _depth_first(incidence.indptr, far, incidence.data - 1, n + 1, n)
    out = {}
    for bus in order[1:].tolist():
        edge = parent_edge[bus]
        if low[bus] == entered[bus] and edge < m:
            out[int(edge)] = np.asarray(order[entered[bus] : entered[bus] + size[bus]])
    return out


@kernel
def _depth_first(
    pointer: NDArray[np.int32], far: NDArray[np.int64], edge: NDArray[np.int64], n: int, root: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Preorder from the root, low link, place in it, edge to the parent, and size of each node's subtree (Tarjan)."""
    order, entered = np.empty(n, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    low, parent = np.zeros(n, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    parent_edge, size = np.full(n, -1, dtype=np.int64), np.ones(n, dtype=np.int64)
    at, stack = pointer[:-1].copy(), np.empty(n, dtype=np.int64)
    depth, count = 0, 0
    stack[0] = root
    entered[root] = 0
    order[0] = root
    count = 1
    while depth >= 0:
        i = stack[depth]
        if at[i] < pointer[i + 1]:
            q = at[i]
            at[i] += 1
            k = far[q]
            if edge[q] == parent_edge[i]:
                continue
            if entered[k] < 0:
                entered[k] = count
                low[k] = count
                order[count] = k
                count += 1
                parent[k] = i
                parent_edge[k] = edge[q]
                depth += 1
                stack[depth] = k
            else:
                low[i] = min(low[i], entered[k])
        else:
            depth -= 1
            if parent[i] >= 0:
                low[parent[i]] = min(low[parent[i]], low[i])
                size[parent[i]] += size[i]
    return order[:count], low, entered, parent_edge, size
