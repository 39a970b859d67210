"""One load flow near a solved base case: the chord method in one lane, full Newton where it does not contract.

Unknowns, equations and signs as in `newton.py`. The base case's Jacobian stands factored, J(V0) = L D U with unit triangles
(base.py), so a load flow whose injections lie near iterates

    J(V0) (d theta, d u) = s - S(V),     V := V (1 + du) (1 + j dtheta/2) / (1 - j dtheta/2)

and factors nothing. The mismatch is computed in float64 each time and decides alone. The first step, a large one, may let it
grow; each later one must halve it. Where it does not, the scenario is too far from the base case, and Newton's method begins
at V0. The answer depends on the base case and the injections, on no earlier solve.

A row of a power network has two or three entries. A loop over each row mispredicts where it ends, and adds each entry to
the sum before: both cost more than the entry. So all entries stand in flat lists (`Flat`), in an order in which neighbours
do not wait for each other: admittances by their rank in the row; L from the leaves of the elimination tree to its root, U
from the root to the leaves. The whole solve is one call into one kernel: a small network takes less time than the call.

Reference: L. V. Kantorovich, "Functional analysis and applied mathematics" (1948), ch. 2, for the modified Newton process.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solvers.accelerate import kernel
from solvers.lending import lend
from solvers.plan import RebuildReason
from solvers.power import newton
from solvers.power.admittance import ComplexArray, FloatArray, Injections, IntArray, pairs
from solvers.power.base import Base
from solvers.power.chord import SingleArray
from solvers.power.newton import Voltages
from solvers.power.regroup import GIVEN_UP
from solvers.solution import Solution, Stats, Status

_MOST_ITERATIONS = 25
_FREE = 1
_CONTRACTS = 0.5


class Flat(NamedTuple):
    """A base case as lists of updates, each of which a loop takes one after the other; by position of its core.

    Every list is one array, its entries one behind the other.

    Args:
        between: (2 nnz,) row and column of each admittance off the diagonal.
        y_between: (2 nnz,) conductance and susceptance there [pu].
        y_own: (2 n_free,) on the diagonal.
        forward: (2 n_upper,) row and column of each block of L.
        lower: (4 n_upper,) float32, these blocks.
        pivot: (4 n_free,) float32, blocks of D^-1.
        backward: (2 n_upper,) row and column of each block of U.
        upper: (4 n_upper,) float32, these blocks.
        passive: (2 nnz_passive,) passive bus and bus that its voltage follows, as rows of a solution.
    """

    between: IntArray
    y_between: FloatArray
    y_own: FloatArray
    forward: IntArray
    lower: SingleArray
    pivot: SingleArray
    backward: IntArray
    upper: SingleArray
    passive: IntArray


class _Work(NamedTuple):
    """What the kernel reads and writes: the base case's lists and numbers, and the space of one lane, all flat."""

    flat: Flat
    bus: NDArray[np.int64]
    is_pv: NDArray[np.int8]
    start: FloatArray
    drawn: FloatArray
    s_current: FloatArray
    weight: FloatArray
    residual: FloatArray
    step: SingleArray
    v: FloatArray


class Scratch:
    """Work space of one worker for one base case; never stored, never shared.

    Args:
        base: the base case.
        flat: its lists, which all workers share.
    """

    def __init__(self, base: Base, flat: Flat) -> None:
        plan, n = base.core.plan, base.core.plan.symbolic.n
        self.base = base
        work = _Work(
            flat=flat,
            bus=base.core.bus,
            is_pv=plan.is_pv,
            start=pairs(base.v[plan.bus]).ravel(),
            drawn=base.drawn.ravel(),
            s_current=pairs(base.s_current[plan.bus[:n]]).ravel(),
            weight=base.core.weight.ravel(),
            residual=np.empty(2 * n),
            step=np.empty(2 * n, dtype=np.float32),
            v=np.empty(2 * len(base.core.bus)),
        )
        self.work = lend(work)


def lay_flat(base: Base) -> Flat:
    """The lists of a base case, made once for all its load flows."""
    plan, sym = base.core.plan, base.core.plan.symbolic
    n, n_upper, nnz = sym.n, sym.n_upper, int(plan.ptr[sym.n])
    row = np.repeat(np.arange(n), np.diff(plan.ptr[: n + 1]))
    rank = np.arange(nnz) - plan.ptr[row]
    by_rank = np.argsort(rank, kind="stable")
    from_leaf, from_root = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    parent = sym.parent.tolist()
    for k in range(n):
        if parent[k] >= 0:
            from_leaf[parent[k]] = max(from_leaf[parent[k]], from_leaf[k] + 1)
    for k in range(n - 1, -1, -1):
        if parent[k] >= 0:
            from_root[k] = from_root[parent[k]] + 1
    l_row, l_col = np.repeat(np.arange(n), np.diff(base.lp)), base.lj
    up = np.argsort(from_leaf[l_col], kind="stable")
    # `base.upper` has rows from the last one, each with its pivot behind its blocks.
    u_row = np.repeat(np.arange(n), np.diff(sym.up))
    down = np.argsort(from_root[sym.uj], kind="stable")
    blocks = base.upper.reshape(-1, 2, 2)
    last = n_upper - sym.up[:n] + n - 1 - np.arange(n)
    begin = last - np.diff(sym.up)
    pivot = blocks[last]
    unit = pivot[u_row] @ blocks[begin[u_row] + np.arange(n_upper) - sym.up[u_row]]
    follows = np.repeat(len(plan.bus) + np.arange(len(base.core.ptr) - 1), np.diff(base.core.ptr))
    return Flat(
        between=np.stack([row, plan.col[:nnz]], axis=1)[by_rank].astype(np.int32).ravel(),
        y_between=base.core.factor.y[:nnz][by_rank].ravel(),
        y_own=base.core.factor.y[len(plan.col) : len(plan.col) + n].flatten(),
        forward=np.stack([l_row, l_col], axis=1)[up].astype(np.int32).ravel(),
        lower=base.lower.reshape(-1, 4)[up].ravel(),
        pivot=pivot.flatten(),
        backward=np.stack([u_row, sym.uj], axis=1)[down].astype(np.int32).ravel(),
        upper=unit.reshape(-1, 4)[down].ravel(),
        passive=np.stack([follows, base.core.col], axis=1).astype(np.int32).ravel(),
    )


def solve_near(scratch: Scratch, s_power: ComplexArray, *, tolerance_pu: float = 1e-8) -> Solution[Voltages]:
    """Solve one load flow near a base case.

    Args:
        scratch: this worker's, for the base case.
        s_power: (n_bus,) complex128 [pu], injected, generation positive; all else is the base case's.
        tolerance_pu: the largest power mismatch accepted.

    Returns:
        As `newton.solve`. `stats.rebuilt` says where the base case's Jacobian did not serve.

    >>> from grid_models.formats.pandapower import read_packaged
    >>> from solvers.power.base import base_of
    >>> from solvers.power.load_flow import load_flow
    >>> flow = load_flow(read_packaged("case9")).unwrap()
    >>> base = base_of(flow)
    >>> found = solve_near(Scratch(base, lay_flat(base)), 1.02 * flow.model.s_power)
    >>> found.status.name, found.stats.rebuilt
    ('SOLVED', ())
    """
    v, mismatch = np.empty(len(s_power), dtype=np.complex128), np.empty(len(s_power), dtype=np.complex128)
    base = scratch.base
    accepted_pu = max(tolerance_pu, base.factor.rounding_pu)
    iterations, missing_pu = _near(s_power, v, mismatch, accepted_pu, scratch.work)
    if iterations != GIVEN_UP:
        return Solution(Voltages(v, mismatch), Status.SOLVED, Stats(iterations, missing_pu))
    answer = newton.solve(
        base.plan, base.factor, newton.Scratch(base.plan), Injections(s_power, base.s_current), base.v, flat=base.v,
        tolerance_pu=tolerance_pu,
    )  # fmt: skip
    rebuilt = (RebuildReason.FAR_FROM_BASE.value, *answer.stats.rebuilt)
    return replace(answer, stats=replace(answer.stats, rebuilt=rebuilt))


@kernel
def _near(
    s_power: ComplexArray,
    v_out: ComplexArray,
    mismatch: ComplexArray,
    tolerance: float,
    work: _Work,
) -> tuple[int, float]:
    """Iterate from `start`; return the iterations spent or GIVEN_UP, and the largest mismatch [pu].

    `s_power` and, receiving, `v_out` and `mismatch` stand by bus of the model, all else by position.
    """
    flat, bus, is_pv, start, drawn, s_current = work.flat, work.bus, work.is_pv, work.start, work.drawn, work.s_current
    residual, step, v, passive, weight = work.residual, work.step, work.v, flat.passive, work.weight
    n, n_bus = len(is_pv), len(start) // 2
    for z in range(n_bus, len(bus)):
        if s_power[bus[z]] != 0.0:  # what injects there is another network than the core
            return GIVEN_UP, np.nan
    v[: 2 * n_bus] = start
    largest = 0.0
    for i in range(n):
        s = s_power[bus[i]]
        residual[2 * i] = s.real - drawn[2 * i]
        residual[2 * i + 1] = 0.0 if is_pv[i] != 0 else s.imag - drawn[2 * i + 1]
        largest = max(largest, abs(residual[2 * i]), abs(residual[2 * i + 1]))
    iterations, last = 0, np.inf
    while not largest <= tolerance:
        if iterations == _MOST_ITERATIONS or (iterations > _FREE and not largest < _CONTRACTS * last) or largest != largest:
            return GIVEN_UP, largest
        last = largest
        _turn(flat.forward, flat.lower, flat.pivot, flat.backward, flat.upper, residual, step, v)
        largest = _missing(bus, is_pv, flat.between, flat.y_between, flat.y_own, s_power, s_current, v, residual)
        iterations += 1
    v[2 * n_bus :] = 0.0
    for x in range(len(passive) // 2):
        z, k = passive[2 * x], passive[2 * x + 1]
        v[2 * z] += weight[2 * x] * v[2 * k] - weight[2 * x + 1] * v[2 * k + 1]
        v[2 * z + 1] += weight[2 * x + 1] * v[2 * k] + weight[2 * x] * v[2 * k + 1]
    for p in range(len(bus)):
        v_out[bus[p]] = complex(v[2 * p], v[2 * p + 1])
        mismatch[bus[p]] = complex(residual[2 * p], residual[2 * p + 1]) if p < n else 0j
    return iterations, largest


@kernel
def _missing(
    bus: NDArray[np.int64],
    is_pv: NDArray[np.int8],
    between: IntArray,
    y_between: FloatArray,
    y_own: FloatArray,
    s_power: ComplexArray,
    s_current: FloatArray,
    v: FloatArray,
    residual: FloatArray,
) -> float:
    """S - S(V) into `residual`; return the largest, nan if any is."""
    n = len(is_pv)
    for i in range(n):  # the currents first
        e, f = v[2 * i], v[2 * i + 1]
        residual[2 * i] = y_own[2 * i] * e - y_own[2 * i + 1] * f
        residual[2 * i + 1] = y_own[2 * i + 1] * e + y_own[2 * i] * f
    for x in range(len(between) // 2):
        i, k = between[2 * x], between[2 * x + 1]
        e, f = v[2 * k], v[2 * k + 1]
        residual[2 * i] += y_between[2 * x] * e - y_between[2 * x + 1] * f
        residual[2 * i + 1] += y_between[2 * x + 1] * e + y_between[2 * x] * f
    largest, total = 0.0, 0.0
    for i in range(n):
        e, f = v[2 * i], v[2 * i + 1]
        s = s_power[bus[i]]
        p = s.real - (e * residual[2 * i] + f * residual[2 * i + 1])
        q = s.imag - (f * residual[2 * i] - e * residual[2 * i + 1])
        if s_current[2 * i] != 0.0 or s_current[2 * i + 1] != 0.0:
            size = np.sqrt(e * e + f * f)
            p, q = p + s_current[2 * i] * size, q + s_current[2 * i + 1] * size
        q = 0.0 if is_pv[i] != 0 else q
        residual[2 * i], residual[2 * i + 1] = p, q
        largest = max(largest, abs(p), abs(q))
        total += abs(p) + abs(q)
    return largest if np.isfinite(total) else np.nan


@kernel
def _turn(
    forward: IntArray,
    lower: SingleArray,
    pivot: SingleArray,
    backward: IntArray,
    upper: SingleArray,
    residual: FloatArray,
    step: SingleArray,
    v: FloatArray,
) -> None:
    """The step U^-1 D^-1 L^-1 residual, and V turned by it."""
    n = len(step) // 2
    for i in range(n):
        step[2 * i], step[2 * i + 1] = np.float32(residual[2 * i]), np.float32(residual[2 * i + 1])
    for x in range(len(forward) // 2):
        i, j = forward[2 * x], forward[2 * x + 1]
        c, d = step[2 * j], step[2 * j + 1]
        step[2 * i] -= lower[4 * x] * c + lower[4 * x + 1] * d
        step[2 * i + 1] -= lower[4 * x + 2] * c + lower[4 * x + 3] * d
    for i in range(n):
        c, d = step[2 * i], step[2 * i + 1]
        step[2 * i] = pivot[4 * i] * c + pivot[4 * i + 1] * d
        step[2 * i + 1] = pivot[4 * i + 2] * c + pivot[4 * i + 3] * d
    for x in range(len(backward) // 2):
        i, j = backward[2 * x], backward[2 * x + 1]
        c, d = step[2 * j], step[2 * j + 1]
        step[2 * i] -= upper[4 * x] * c + upper[4 * x + 1] * d
        step[2 * i + 1] -= upper[4 * x + 2] * c + upper[4 * x + 3] * d
    for i in range(n):
        half, growth = 0.5 * float(step[2 * i]), 1.0 + float(step[2 * i + 1])
        scale = growth / (1.0 + half * half)
        cos, sin = (1.0 - half * half) * scale, 2.0 * half * scale
        e, f = v[2 * i], v[2 * i + 1]
        v[2 * i], v[2 * i + 1] = cos * e - sin * f, sin * e + cos * f
