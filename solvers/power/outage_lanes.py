"""Outages of one branch in chunks of lanes: solved, given a second chance by full Newton, and judged.

What an outage cuts off from every slack is dead; the rest is solved (outage_chord.py). A chunk is one task of a thread pool.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid_models.power.bus_branch import BusBranch
from solvers.linalg.vector import aligned
from solvers.power.admittance import ComplexArray, Factor, FloatArray, Injections, pairs
from solvers.power.base import Base
from solvers.power.limits import Limits
from solvers.power.monitor import monitor
from solvers.power.newton import Scratch, solve
from solvers.power.outage_chord import outages
from solvers.power.regroup import GIVEN_UP, LANES, UNFINISHED, IndexArray, run_to_end

GROUPS_AT_ONCE = 32
_MAX_ITERATIONS = 20
_NEWTON_ITERATIONS = 10  # for each start; what has a solution near the base case needs six
_VIOLATIONS_EXPECTED = 256  # of each outage; more are counted first, then written

NOBODY = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Frame:
    """What all lane groups of a screening share.

    Args:
        base: the base case; an outage may end at any bus, so none of it is passive.
        s_power: (n_bus,) complex [pu].
        position: (n_bus,) of each bus in the plan.
        below: of `outages`.
        height: of the elimination tree.
        ends: (n_branch, 2) positions.
        y: (n_branch, 8) [pu].
        limits: what is judged.
        v_start: (n_bus,) complex [pu], flat.
        tolerance: largest mismatch accepted [pu].
    """

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
class Solved:
    """Lane groups, solved and judged."""

    v: FloatArray
    iterations: NDArray[np.int32]
    mismatch: FloatArray
    dead_from: IndexArray
    dead: IndexArray


@dataclass(frozen=True, eq=False)
class Judged:
    """What the limits say of lane groups."""

    extremes: FloatArray
    where: IndexArray
    violations: FloatArray


def frame_of(model: BusBranch, base: Base, limits: Limits, tolerance_pu: float) -> Frame:
    """What the lanes of a solved base case share."""
    plan = base.plan
    position = np.empty(model.n_bus, dtype=np.int64)
    position[plan.bus] = np.arange(model.n_bus)
    return Frame(
        base=base,
        s_power=model.s_power,
        position=position,
        below=np.argsort(np.argsort(plan.symbolic.uj, kind="stable")).astype(np.int32),
        height=_height(plan.symbolic.parent),
        ends=np.stack([position[model.branch_from], position[model.branch_to]], axis=1),
        y=np.stack([model.y_ff, model.y_ft, model.y_tf, model.y_tt], axis=1).view(np.float64),
        limits=limits,
        v_start=model.v_start,
        tolerance=max(tolerance_pu, base.factor.rounding_pu),
    )


def solve_and_judge(frame: Frame, branch: NDArray[np.int64], dead: Mapping[int, NDArray[np.int64]]) -> tuple[Solved, Judged]:
    """Solve a chunk of outages and judge the limits.

    Args:
        frame: what they share.
        branch: (n,) the branch of the model that is out.
        dead: branches that split the network, and the buses each cuts off.
    """
    solved = _solve_chunk(frame, branch, [dead.get(b, NOBODY) for b in branch.tolist()])
    return solved, _judge_chunk(frame, branch, solved)


def _second_chance(frame: Frame, branch: NDArray[np.int64], dead: list[NDArray[np.int64]], solved: Solved) -> None:
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
            solved.v[i // LANES, :, i % LANES] = pairs(answer.value.v[plan.bus]).ravel()


def _solve_chunk(frame: Frame, branch: NDArray[np.int64], dead: list[NDArray[np.int64]]) -> Solved:
    base, plan = frame.base, frame.base.plan
    n, n_free, n_bus = len(branch), plan.symbolic.n, len(plan.bus)
    n_group = -(-n // LANES)
    start = pairs(base.v[plan.bus])
    dead_from = np.concatenate([[0], np.cumsum([len(d) for d in dead])]).astype(np.int64)
    positions = frame.position[np.concatenate([NOBODY, *dead])]
    free = positions < n_free
    # Slack buses are never dead; the kernel masks rows of free buses.
    assert free.all()
    injected, current = (pairs(s[plan.bus[:n_free]]) for s in (frame.s_power, base.s_current))
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
    solved = Solved(v, iterations, mismatch, dead_from, positions)
    _second_chance(frame, branch, dead, solved)
    return solved


def _height(parent: NDArray[np.int32]) -> int:
    """The number of nodes on the longest path to a root of an elimination tree."""
    depth = [1] * len(parent)
    for k in range(len(parent) - 1, -1, -1):
        if parent[k] >= 0:
            depth[k] = depth[parent[k]] + 1
    return max(depth, default=0)


def _judge_chunk(frame: Frame, branch: NDArray[np.int64], solved: Solved) -> Judged:
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
            return Judged(extremes, where, found[:count])
        capacity = count
