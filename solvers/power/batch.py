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

from solvers.linalg.lu import lu_factor
from solvers.linalg.vector import aligned
from solvers.plan import check_version
from solvers.power.admittance import ComplexArray, Factor, FloatArray, Injections, Plan
from solvers.power.chord import LANES, SingleArray, chord
from solvers.power.newton import LoadFlow, Scratch, Voltages, factor, jacobian, prepare, solve
from solvers.solution import Solution, Status

# Scenarios solved between two looks at the clock and the caller's wish to stop; also what bounds the scratch.
_GROUPS_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Base:
    """A base case and its Jacobian's factor in float32, shared by all lanes and threads.

    Args:
        plan: of the topology.
        factor: of the parameters.
        v: (n_bus,) complex [pu], where the lanes begin.
        s_current: (n_bus,) complex [pu], injection proportional to |V|; the same in every scenario.
        lower: (4 n_upper,) blocks of L as the forward substitution meets them.
        upper: (4 (n_free + n_upper),) blocks of U and pivots as the backward substitution meets them.
    """

    plan: Plan
    factor: Factor
    v: ComplexArray
    s_current: ComplexArray
    lower: SingleArray
    upper: SingleArray


@dataclass(frozen=True, eq=False)
class Batch:
    """The voltages of many scenarios.

    Args:
        plan: of the topology.
        lanes: (n_group, 2 n_bus, 16) e and f of each position [pu].
        status: (n_scenario,) object, a `Status` each.
        iterations: (n_scenario,) of the chord, or of Newton where that had to step in.
        mismatch: (n_scenario,) largest power mismatch left [pu].
    """

    plan: Plan
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
        out = np.empty((len(chosen), len(self.plan.bus)), dtype=np.complex128)
        out[:, self.plan.bus] = rows[:, 0::2] + 1j * rows[:, 1::2]
        return out


def base_case(plan: Plan, admittances: Factor, injections: Injections, v: ComplexArray) -> Base:
    """Factor the Jacobian of a solved base case for all scenarios near it.

    Args:
        plan: of the topology.
        admittances: of the parameters.
        injections: of the base case.
        v: (n_bus,) complex [pu], its solution.

    Raises:
        StaleVersion: plan and factor do not belong together.
    """
    check_version("factor", admittances.topology_version, plan.topology_version)
    sym = plan.symbolic
    a = jacobian(plan, admittances, injections, v)
    lu_factor(sym.up, sym.uj, sym.target, a)
    n, n_upper = sym.n, sym.n_upper
    # Rows from the last one; in each its blocks of U as they stand, then its inverted pivot.
    row = np.r_[np.arange(n), np.repeat(np.arange(n), np.diff(sym.up))]
    backward = np.lexsort((np.arange(n + n_upper) < n, -row))
    return Base(
        plan,
        admittances,
        v,
        injections.s_current,
        np.ascontiguousarray(a[n + n_upper :].astype(np.float32).ravel()),
        np.ascontiguousarray(a[backward].astype(np.float32).ravel()),
    )


def base_of(flow: LoadFlow) -> Base:
    """The base case of a solved load flow, its plan and factor made anew."""
    plan = prepare(flow.model)
    return base_case(plan, factor(plan, flow.model), Injections(flow.model.s_power, flow.model.s_current), flow.v)


def run_batch(
    base: Base,
    s_power: ComplexArray,
    *,
    start: ComplexArray | None = None,
    tolerance_pu: float = 1e-8,
    max_iterations: int = 25,
    pool: ThreadPoolExecutor | None = None,
) -> Batch:
    """Solve a load flow for each row of injections.

    Args:
        base: the base case.
        s_power: (n_scenario, n_bus) complex [pu], injected, generation positive.
        start: (n_bus,) complex [pu] where each scenario begins; the base case's solution if not given.
        tolerance_pu: largest power mismatch accepted.
        max_iterations: of the chord before full Newton takes over.
        pool: threads to share the groups among; the caller's own thread if not given.

    Returns:
        Voltages; per scenario SOLVED or NOT_CONVERGED.

    >>> from grid_models.formats.pandapower import read_packaged
    >>> from solvers.power.newton import load_flow
    >>> solved = load_flow(read_packaged("case9")).unwrap()
    >>> base = base_of(solved)
    >>> batch = run_batch(base, np.outer([0.9, 1.0, 1.1], solved.model.s_power))
    >>> [status.name for status in batch.status]
    ['SOLVED', 'SOLVED', 'SOLVED']
    """
    plan, n_scenario = base.plan, len(s_power)
    n_group = -(-n_scenario // LANES)
    accepted = max(tolerance_pu, base.factor.rounding_pu)
    flat = np.ascontiguousarray(s_power, dtype=np.complex128).view(np.float64)
    begin = _by_position(plan, base.v if start is None else start)
    v = aligned((n_group, 2 * len(plan.bus), LANES))
    iterations = np.full(n_scenario, -1, dtype=np.int32)
    mismatch = np.full(n_scenario, np.nan)
    current = _by_position(plan, base.s_current)[: plan.symbolic.n]

    def groups(first: int, last: int) -> None:
        n_free = plan.symbolic.n
        scratch = aligned((2 * n_free, LANES)), aligned((2 * n_free, LANES), np.float32), aligned((3, LANES))
        chord(
            first, last, plan.bus, plan.is_pv, plan.ptr, plan.col, plan.symbolic.up, plan.symbolic.uj, base.factor.y,
            base.lower, base.upper, begin, flat, current, v, *scratch, iterations, mismatch, accepted, max_iterations,
        )  # fmt: skip

    tasks = [(first, min(first + _GROUPS_AT_ONCE, n_group)) for first in range(0, n_group, _GROUPS_AT_ONCE)]
    if pool:
        list(pool.map(groups, *zip(*tasks, strict=True)))
    else:
        for first, last in tasks:
            groups(first, last)
    status = np.full(n_scenario, Status.SOLVED, dtype=object)
    batch = Batch(plan, v, status, iterations, mismatch)
    for k, answer in _left_over(base, s_power, np.flatnonzero(iterations < 0), start, tolerance_pu):
        v[k // LANES, :, k % LANES] = _by_position(plan, answer.value.v).ravel()
        status[k], iterations[k], mismatch[k] = answer.status, answer.stats.iterations, answer.stats.residual
    return batch


def _left_over(
    base: Base, s_power: ComplexArray, scenarios: NDArray[np.int64], start: ComplexArray | None, tolerance_pu: float
) -> Iterator[tuple[int, Solution[Voltages]]]:
    """Full Newton, one by one."""
    if len(scenarios):
        scratch = Scratch(base.plan)
        for k in scenarios.tolist():
            injections = Injections(s_power[k], base.s_current)
            first = base.v if start is None else start
            yield k, solve(base.plan, base.factor, scratch, injections, first, flat=base.v, tolerance_pu=tolerance_pu)


def _by_position(plan: Plan, values: ComplexArray) -> FloatArray:
    return np.ascontiguousarray(values[plan.bus], dtype=np.complex128).view(np.float64).reshape(-1, 2)
