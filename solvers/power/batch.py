"""Thousands of injections over one topology: chord lanes first, full Newton for what they leave over.

Lane groups of sixteen scenarios are tasks of a thread pool; the kernels hold no lock. Every scenario's answer depends
on its own injections, the base case and the tolerance alone: not on its neighbours, the grouping, or the number of
threads, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.linalg.vector import aligned
from solvers.power.admittance import ComplexArray, FloatArray, Injections, pairs
from solvers.power.base import Base, drawn_free
from solvers.power.chord import TILE, chord
from solvers.power.newton import Scratch, Voltages, solve
from solvers.power.regroup import GIVEN_UP, LANES
from solvers.solution import Solution, Status

# Scenarios solved between two looks at the clock and the caller's wish to stop; also what bounds the scratch.
_GROUPS_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Batch:
    """The voltages of many scenarios.

    Args:
        bus: (n_bus,) model bus of each pair of rows.
        lanes: (n_group, 2 n_bus, 16) e and f [pu].
        status: (n_scenario,) object, a `Status` each.
        iterations: (n_scenario,) of the chord, or of Newton where that had to step in.
        mismatch: (n_scenario,) largest power mismatch left [pu].
    """

    bus: NDArray[np.int64]
    lanes: FloatArray
    status: NDArray[np.object_]
    iterations: NDArray[np.int32]
    mismatch: FloatArray

    @property
    def n_scenario(self) -> int:
        """The number of scenarios."""
        return len(self.status)

    def v(self, scenarios: slice | NDArray[np.integer] = slice(None)) -> ComplexArray:
        """(n_scenario, n_bus) complex [pu], by bus of the model; made when asked for."""
        chosen = np.arange(self.n_scenario)[scenarios]
        rows = self.lanes[chosen // LANES, :, chosen % LANES]
        out = np.empty((len(chosen), len(self.bus)), dtype=np.complex128)
        out[:, self.bus] = rows[:, 0::2] + 1j * rows[:, 1::2]
        return out


def run_batch(
    base: Base,
    s_power: ComplexArray,
    *,
    at: NDArray[np.integer] | None = None,
    start: ComplexArray | None = None,
    tolerance_pu: float = 1e-8,
    max_iterations: int = 25,
    pool: ThreadPoolExecutor | None = None,
    out: Batch | None = None,
) -> Batch:
    """Solve a load flow for each row of injections.

    Args:
        base: the base case.
        s_power: (n_scenario, n_bus) complex [pu], injected, generation positive; with `at`, (n_scenario, n_column)
            what each column injects more than in the base case.
        at: (n_column,) the buses of the model at which the columns inject; a bus may stand there more than once.
        start: (n_bus,) complex [pu] where each scenario begins; the base case's solution if not given.
        tolerance_pu: largest power mismatch accepted.
        max_iterations: of the chord before full Newton takes over.
        pool: threads to share the groups among; the caller's own thread if not given.
        out: an earlier batch of as many scenarios of the same plan, whose voltages may be overwritten: new memory costs
            as much as the solution itself on large radial networks.

    Returns:
        Voltages; per scenario SOLVED or NOT_CONVERGED.

    >>> from grid_models.formats.pandapower import read_packaged
    >>> from solvers.power.base import base_of
    >>> from solvers.power.load_flow import load_flow
    >>> solved = load_flow(read_packaged("case9")).unwrap()
    >>> base = base_of(solved)
    >>> batch = run_batch(base, np.outer([0.9, 1.0, 1.1], solved.model.s_power))
    >>> [status.name for status in batch.status]
    ['SOLVED', 'SOLVED', 'SOLVED']
    """
    inner, n_scenario = base.core, len(s_power)
    plan, sym, n_free = inner.plan, inner.plan.symbolic, inner.plan.symbolic.n
    n_group = -(-n_scenario // LANES)
    accepted = max(tolerance_pu, base.factor.rounding_pu)
    given = np.ascontiguousarray(s_power, dtype=np.complex128).view(np.float64)
    position = np.empty(len(inner.bus), dtype=np.int64)
    position[inner.bus] = np.arange(len(inner.bus))
    row = position if at is None else position[at]
    free_row = np.where(row < n_free, row, -1)
    fixed = np.zeros((n_free, 2)) if at is None else pairs(base.s_power[plan.bus])[:n_free]
    begin = pairs((base.v if start is None else start)[plan.bus])
    at_start = base.drawn if start is None else drawn_free(inner, base.s_current, start)
    shape = (n_group, 2 * len(inner.bus), LANES)
    v = out.lanes if out is not None else aligned(shape)
    if v.shape != shape:
        raise ValueError(f"out: has lanes of shape {v.shape}, this batch needs {shape}")
    iterations, spent = np.full(n_scenario, GIVEN_UP, dtype=np.int32), np.zeros(n_scenario, dtype=np.int32)
    mismatch = np.full(n_scenario, np.nan)
    current = pairs(base.s_current[plan.bus])[:n_free]

    def groups(first: int, last: int) -> None:
        scratch = (
            aligned((2 * n_free, LANES)), aligned((2 * n_free, LANES), np.float32), aligned((3, LANES)),
            aligned((2 * TILE, LANES)),
        )  # fmt: skip

        chord(
            np.arange(first * LANES, min(last * LANES, n_scenario)), plan.is_pv, plan.ptr, plan.col, sym.up, sym.uj, base.lp,
            base.lj, inner.factor.y, base.lower, base.upper, begin, at_start, fixed, current, free_row, given, v[first:last],
            *scratch, inner.ptr, inner.col, inner.weight, spent, iterations, mismatch, accepted, max_iterations,
        )  # fmt: skip

    tasks = [(first, min(first + _GROUPS_AT_ONCE, n_group)) for first in range(0, n_group, _GROUPS_AT_ONCE)]
    if pool:
        list(pool.map(groups, *zip(*tasks, strict=True)))
    else:
        for first, last in tasks:
            groups(first, last)
    status = np.full(n_scenario, Status.SOLVED, dtype=object)
    batch = Batch(inner.bus, v, status, iterations, mismatch)
    # What injects at a bus that has left is another network than the lanes have solved.
    left = np.flatnonzero((iterations == GIVEN_UP) | (s_power[:, row >= len(plan.bus)] != 0.0).any(axis=1))
    for k, answer in _left_over(base, left, _injected(base, s_power[left], at), start, tolerance_pu):
        v[k // LANES, :, k % LANES] = pairs(answer.value.v[inner.bus]).ravel()
        status[k], iterations[k], mismatch[k] = answer.status, answer.stats.iterations, answer.stats.residual
    return batch


def _injected(base: Base, s_power: ComplexArray, at: NDArray[np.integer] | None) -> ComplexArray:
    """(n, n_bus) in full."""
    if at is None:
        return s_power
    full = np.tile(base.s_power, (len(s_power), 1))
    np.add.at(full.T, at, s_power.T)
    return full


def _left_over(
    base: Base, scenarios: NDArray[np.int64], s_power: ComplexArray, start: ComplexArray | None, tolerance_pu: float
) -> Iterator[tuple[int, Solution[Voltages]]]:
    """Full Newton, one by one."""
    if len(scenarios):
        scratch = Scratch(base.plan)
        for k, s in zip(scenarios.tolist(), s_power, strict=True):
            injections = Injections(s, base.s_current)
            first = base.v if start is None else start
            yield k, solve(base.plan, base.factor, scratch, injections, first, flat=base.v, tolerance_pu=tolerance_pu)
