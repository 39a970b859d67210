"""Load flow by Newton-Raphson on the bus-branch form.

Unknowns, for each bus that is not a slack:  theta_i [rad] and, unless its voltage is held (PV),  u_i = ln |V_i|.
Equations [pu], injections positive into the network, currents I = Y V:

    P_i(V) + j Q_i(V) = V_i conj(I_i) = s_i + c_i |V_i|          (s: constant power, c: constant current part)

With S_ik = V_i conj(Y_ik V_k) = p + j q, the block of the Jacobian of bus i with respect to (theta_k, u_k) is

    k != i:  [[ q,          p        ],     k = i:  [[ q_ii - Q_i,   p_ii + P_i - Re c |V| ],
              [-p,          q        ]]              [ P_i - p_ii,   q_ii + Q_i - Im c |V| ]]

and the second row of a PV bus reads u_i = 0. Voltages are kept as (e, f) = (Re V, Im V) and updated by the Cayley map
V := V (1 + u) (1 + j theta/2) / (1 - j theta/2), a rotation without trigonometry that leaves |V| of PV and slack buses
exact. All islands and all slacks are solved at once; slack buses have no unknowns.

Reference: W. F. Tinney, C. E. Hart, "Power flow solution by Newton's method", IEEE Trans. PAS 86 (1967).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid_models.power.bus_branch import BusBranch
from grid_models.tables import frozen
from solvers.accelerate import kernel
from solvers.linalg.lu import lu_factor, lu_solve
from solvers.plan import RebuildReason, check_version
from solvers.power.admittance import Factor, Injections, Plan, pairs
from solvers.power.dc import dc_start
from solvers.power.no_load import no_load
from solvers.solution import Solution, Stats, Status

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]
IntArray = NDArray[np.int32]

# Where the iteration aims. A mismatch between this and the tolerance is accepted once it no longer halves (rounding).
_GOAL_PU = 1e-10
# A mismatch may be small and the voltage still wrong where the base power is large for the network. Newton's method
# squares the error: after a step below this, what is left is of the order of 1e-10 pu.
_LAST_STEP = 1e-5
# Where nothing is drawn, V = 0 balances as well as V = 1, and every loaded bus has a second solution below the nose.
# What lies so low is kept only if no start leads to higher voltages, and what is next to nothing not even then.
_SUSPECT_PU = 0.5
_NOTHING_PU = 1e-3


class Scratch:
    """Work space of one worker for one plan; never stored, never shared."""

    def __init__(self, plan: Plan) -> None:
        n, n_bus = plan.symbolic.n, len(plan.bus)
        self.a = np.zeros((n + 2 * plan.symbolic.n_upper, 4))
        self.v = np.zeros((n_bus, 2))
        self.before = np.zeros((n, 2))
        self.residual = np.zeros((n, 2))
        self.step = np.zeros((n, 2))


@dataclass(frozen=True, eq=False)
class Voltages:
    """Complex bus voltages of a bus-branch model.

    Args:
        v: (n_bus,) complex [pu].
        mismatch: (n_bus,) complex [pu], power still missing at each bus; zero at slacks.
    """

    v: ComplexArray
    mismatch: ComplexArray


@dataclass(frozen=True, eq=False)
class LoadFlow:
    """A solved network: its bus-branch form and the voltages there.

    Args:
        model: as the network's switches stood.
        v: (n_bus,) complex [pu], of the model's buses.
        mismatch: (n_bus,) complex [pu].
    """

    model: BusBranch
    v: ComplexArray
    mismatch: ComplexArray


def solve(
    plan: Plan,
    factor: Factor,
    scratch: Scratch,
    injections: Injections,
    start: ComplexArray,
    *,
    flat: ComplexArray | None = None,
    held: NDArray[np.bool_] | None = None,
    patient: bool = True,
    tolerance_pu: float = 1e-8,
    max_iterations: int = 30,
) -> Solution[Voltages]:
    """Solve one load flow.

    If the start leads nowhere, or to voltages below half of nominal, the flat start is tried, then linear (DC) angles,
    the voltages without load, then the first two with halved steps; of several solutions the one with the highest least
    voltage counts.

    Args:
        plan: of the topology.
        factor: of the parameters.
        scratch: this worker's.
        injections: per bus of the model.
        start: (n_bus,) complex [pu]; its |V| at PV and slack buses are the set-points, its slack angles are kept.
        flat: (n_bus,) complex [pu], the model's own `v_start`, for a second try; `start` if not given.
        held: (n_bus,) whether |V| is held; as the plan's topology has it if not given. Slacks hold theirs always.
        patient: try other starts; otherwise the given one alone.
        tolerance_pu: the largest power mismatch accepted, unless rounding of the network's own admittances is
            larger; the iteration itself aims at 1e-10.
        max_iterations: for each start.

    Returns:
        Voltages with status SOLVED, NO_SLACK (no bus at all is fed), or NOT_CONVERGED; then `culprits` are the buses
        of the model ("bus-branch bus 17") with the largest mismatch.

    Raises:
        StaleVersion: plan and factor do not belong together.
    """
    check_version("factor", factor.topology_version, plan.topology_version)
    n_bus = len(plan.bus)
    if n_bus == 0:
        nothing = np.zeros(0, dtype=np.complex128)
        return Solution(Voltages(nothing, nothing), Status.NO_SLACK)
    s_power = pairs(injections.s_power[plan.bus])
    s_current = pairs(injections.s_current[plan.bus])
    is_pv = plan.is_pv if held is None else held[plan.bus[: plan.symbolic.n]].astype(np.int8)
    rebuilt: tuple[str, ...] = ()
    accepted_pu = max(tolerance_pu, factor.rounding_pu)
    spent = 0
    voltages, mismatch_pu, least_pu = None, np.inf, -np.inf
    for first, damped in _starts(plan, factor, injections, start, flat):
        scratch.v[:] = pairs(first[plan.bus])
        iterations, missing_pu = newton_raphson(
            plan.symbolic.up,
            plan.symbolic.uj,
            plan.symbolic.target,
            is_pv,
            plan.ptr,
            plan.col,
            plan.slot,
            plan.fill,
            factor.y,
            s_power,
            s_current,
            scratch.v,
            scratch.a,
            scratch.residual,
            scratch.step,
            scratch.before,
            min(max(_GOAL_PU, factor.rounding_pu), accepted_pu),
            accepted_pu,
            max_iterations,
            damped,
        )
        spent += iterations
        lowest_pu = least_magnitude(scratch.v) if missing_pu <= accepted_pu else -np.inf
        if voltages is None or lowest_pu >= least_pu:
            voltages, mismatch_pu, least_pu = _unpacked(plan, scratch), missing_pu, lowest_pu
        if least_pu >= _SUSPECT_PU or not patient:
            break
        rebuilt = (RebuildReason.HARDER_START.value,)
    assert voltages is not None
    stats = Stats(iterations=spent, residual=mismatch_pu, rebuilt=rebuilt)
    if least_pu > _NOTHING_PU:
        return Solution(voltages, Status.SOLVED, stats)
    worst = tuple(f"bus-branch bus {i}" for i in worst_buses(voltages.mismatch))
    return Solution(voltages, Status.NOT_CONVERGED, stats, worst)


def worst_buses(mismatch: ComplexArray, n: int = 8) -> NDArray[np.int64]:
    """The model buses with the largest mismatch, worst first; what is not finite is worst."""
    return np.argsort(-np.nan_to_num(np.abs(mismatch), nan=np.inf), kind="stable")[:n]


def jacobian(plan: Plan, factor: Factor, injections: Injections, v: ComplexArray) -> FloatArray:
    """The Jacobian at a state, ready to be factored.

    Args:
        plan: of the topology.
        factor: of the parameters.
        injections: per bus of the model.
        v: (n_bus,) complex [pu].

    Returns:
        (n_free + 2 n_upper, 4) blocks in the slots of the plan's `Symbolic`.
    """
    scratch = Scratch(plan)
    scratch.v[:] = pairs(v[plan.bus])
    s_power, s_current = pairs(injections.s_power[plan.bus]), pairs(injections.s_current[plan.bus])
    _mismatch(
        plan.is_pv,
        plan.ptr,
        plan.col,
        plan.slot,
        plan.fill,
        factor.y,
        s_power,
        s_current,
        scratch.v,
        scratch.a,
        scratch.residual,
    )
    return scratch.a


def _starts(
    plan: Plan, factor: Factor, injections: Injections, start: ComplexArray, flat: ComplexArray | None
) -> Iterator[tuple[ComplexArray, bool]]:
    """Where to begin, and whether to damp, from the cheapest to the most patient; made only when asked for."""
    yield start, False
    if flat is not None:
        yield flat, False
    else:
        flat = start
    linear = dc_start(plan, factor, injections, flat)
    yield linear, False
    yield no_load(plan, factor, flat), False
    yield linear, True
    yield flat, True


def _unpacked(plan: Plan, scratch: Scratch) -> Voltages:
    v = np.empty(len(plan.bus), dtype=np.complex128)
    v[plan.bus] = scratch.v[:, 0] + 1j * scratch.v[:, 1]
    mismatch = np.zeros(len(plan.bus), dtype=np.complex128)
    mismatch[plan.bus[: plan.symbolic.n]] = scratch.residual[:, 0] + 1j * scratch.residual[:, 1]
    return Voltages(frozen(v), frozen(mismatch))


@kernel
def least_magnitude(v: FloatArray) -> float:
    """The least |V| of (n_bus, 2) voltages [pu]."""
    least = np.inf
    for i in range(len(v)):
        least = min(least, v[i, 0] * v[i, 0] + v[i, 1] * v[i, 1])
    return float(np.sqrt(least))


@kernel
def newton_raphson(
    up: IntArray,
    uj: IntArray,
    target: IntArray,
    is_pv: NDArray[np.int8],
    ptr: IntArray,
    col: IntArray,
    slot: IntArray,
    fill: IntArray,
    y: FloatArray,
    s_power: FloatArray,
    s_current: FloatArray,
    v: FloatArray,
    a: FloatArray,
    residual: FloatArray,
    step: FloatArray,
    before: FloatArray,
    goal: float,
    tolerance: float,
    max_iterations: int,
    damped: bool,
) -> tuple[int, float]:
    """Iterate from `v` in place; return the iterations spent and the largest mismatch [pu], nan if it diverged.

    With `damped` a step is halved until it reduces the sum of squares.
    """
    n = len(is_pv)
    largest, norm = _mismatch(is_pv, ptr, col, slot, fill, y, s_power, s_current, v, a, residual)
    last = np.inf
    moved = 0.0
    iteration = 0
    while iteration < max_iterations and (largest > goal or moved > _LAST_STEP):
        if largest <= tolerance and largest >= 0.5 * last:
            break
        last = largest
        lu_factor(up, uj, target, a)
        lu_solve(up, uj, a, residual)
        step[:] = residual
        before[:] = v[:n]
        length = 1.0
        while True:
            moved = _rotate(before, step, length, v)
            largest, trial = _mismatch(is_pv, ptr, col, slot, fill, y, s_power, s_current, v, a, residual)
            if not damped or trial < norm or length < 1e-3:
                break
            length *= 0.5
        norm = trial
        iteration += 1
    return iteration, largest


@kernel
def _mismatch(
    is_pv: NDArray[np.int8],
    ptr: IntArray,
    col: IntArray,
    slot: IntArray,
    fill: IntArray,
    y: FloatArray,
    s_power: FloatArray,
    s_current: FloatArray,
    v: FloatArray,
    a: FloatArray,
    residual: FloatArray,
) -> tuple[float, float]:
    """Residual and Jacobian at `v`; return the largest residual (nan if any is) and the sum of squares."""
    n = len(is_pv)
    nnz = len(col)
    largest, norm = 0.0, 0.0
    for q in range(len(fill)):
        for c in range(4):
            a[fill[q], c] = 0.0
    for i in range(n):
        e, f = v[i, 0], v[i, 1]
        g, b = y[nnz + i, 0], y[nnz + i, 1]
        square = e * e + f * f
        p_own, q_own = g * square, -b * square
        p_sum, q_sum = p_own, q_own
        held = is_pv[i] != 0
        for x in range(ptr[i], ptr[i + 1]):
            k = col[x]
            g, b = y[x, 0], y[x, 1]
            i_re, i_im = g * v[k, 0] - b * v[k, 1], b * v[k, 0] + g * v[k, 1]
            p, q = e * i_re + f * i_im, f * i_re - e * i_im
            p_sum += p
            q_sum += q
            s = slot[x]
            if s >= 0:
                a[s, 0], a[s, 1] = q, p
                a[s, 2], a[s, 3] = (0.0, 0.0) if held else (-p, q)
        p_current, q_current = 0.0, 0.0
        if s_current[i, 0] != 0.0 or s_current[i, 1] != 0.0:
            magnitude = np.sqrt(square)
            p_current, q_current = s_current[i, 0] * magnitude, s_current[i, 1] * magnitude
        residual[i, 0] = s_power[i, 0] + p_current - p_sum
        residual[i, 1] = 0.0 if held else s_power[i, 1] + q_current - q_sum
        a[i, 0], a[i, 1] = q_own - q_sum, p_own + p_sum - p_current
        if held:
            a[i, 2], a[i, 3] = 0.0, 1.0
        else:
            a[i, 2], a[i, 3] = p_sum - p_own, q_own + q_sum - q_current
        largest = max(largest, abs(residual[i, 0]), abs(residual[i, 1]))
        norm += residual[i, 0] ** 2 + residual[i, 1] ** 2
    if not np.isfinite(norm):
        largest = np.nan
    return largest, norm


@kernel
def _rotate(before: FloatArray, step: FloatArray, length: float, v: FloatArray) -> float:
    """Apply `length` times the step (d theta, dV/V) to the voltages `before`; return the largest move [rad or 1]."""
    moved = 0.0
    for i in range(len(step)):
        angle, growth = length * step[i, 0], length * step[i, 1]
        moved = max(moved, abs(angle), abs(growth))
        t = 0.5 * angle
        scale = (1.0 + growth) / (1.0 + t * t)
        cos, sin = (1.0 - t * t) * scale, 2.0 * t * scale
        v[i, 0] = cos * before[i, 0] - sin * before[i, 1]
        v[i, 1] = sin * before[i, 0] + cos * before[i, 1]
    return moved
