"""Load flow by the fast decoupled method: angles from active, magnitudes from reactive power, with constant matrices.

    theta := theta + B'^-1 (dP / |V|),     |V| := |V| + B''^-1 (dQ / |V|),     half a step each, in turn.

Of two buses i, k joined by the admittance w (phase shifts left out), with b = -Im w and b_x = 1 / Im(1 / w), the
susceptance without resistance,

    XB:   B'_ik = -b_x,   B'_ii = sum b_x,        B''_ik = -b,     B''_ii = -Im Y_ii,
    BX:   B'_ik = -b,     B'_ii = sum b,          B''_ik = -b_x,   B''_ii = -Im Y_ii + sum (b_x - b);

rows of held voltages are left out of B''. XB suits networks whose reactances are much larger than their resistances, BX
the others too. Both matrices are the two diagonals of one matrix of 2x2 blocks, so that the load flow's plan and
factorisation serve. The mismatch is exact; only the way to it is approximate, and it converges linearly.

References: B. Stott, O. Alsac, "Fast decoupled load flow", IEEE Trans. PAS 93 (1974). R. van Amerongen, "A
general-purpose version of the fast decoupled load flow", IEEE Trans. Power Systems 4 (1989).
"""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

from grid_models.tables import frozen
from solvers.linalg.lu import lu_factor, lu_solve
from solvers.plan import check_version
from solvers.power.admittance import ComplexArray, Factor, FloatArray, Injections, Plan, drawn
from solvers.power.newton import Voltages, worst_buses
from solvers.solution import Solution, Stats, Status

# The iteration goes on below the tolerance, as Newton's does, until it stops getting better.
_GOAL_PU = 1e-10
_MOST_ITERATIONS = 300


class Scheme(Enum):
    """Which of the two matrices leaves the resistances out."""

    XB = "fast-decoupled-xb"
    BX = "fast-decoupled-bx"


def solve_decoupled(
    plan: Plan,
    factor: Factor,
    injections: Injections,
    start: ComplexArray,
    *,
    scheme: Scheme = Scheme.BX,
    held: NDArray[np.bool_] | None = None,
    tolerance_pu: float = 1e-8,
    max_iterations: int = _MOST_ITERATIONS,
) -> Solution[Voltages]:
    """Solve one load flow.

    Args:
        plan: of the topology.
        factor: of the parameters.
        injections: per bus of the model.
        start: (n_bus,) complex [pu]; its |V| at PV and slack buses are the set-points.
        scheme: XB or BX.
        held: (n_bus,) whether |V| is held; as the plan's topology has it if not given.
        tolerance_pu: the largest power mismatch accepted.
        max_iterations: of both halves.

    Returns:
        Voltages with status SOLVED, NO_SLACK or NOT_CONVERGED, as Newton's method has them.

    Raises:
        StaleVersion: plan and factor do not belong together.
    """
    check_version("factor", factor.topology_version, plan.topology_version)
    sym, n = plan.symbolic, plan.symbolic.n
    if not len(plan.bus):
        nothing = np.zeros(0, dtype=np.complex128)
        return Solution(Voltages(nothing, nothing), Status.NO_SLACK)
    free = plan.bus[:n]
    is_pv = plan.is_pv != 0 if held is None else held[free]
    a = _matrices(plan, factor, start, scheme, is_pv)
    lu_factor(sym.up, sym.uj, sym.target, a)
    v = start.copy()
    accepted_pu = max(tolerance_pu, factor.rounding_pu)
    missing, largest = _missing(plan, factor, injections, v, is_pv)
    iteration, best = 0, np.inf
    while iteration < max_iterations and largest > _GOAL_PU and not best <= min(accepted_pu, largest):
        best = largest
        for half in (0, 1):
            x = np.zeros((n, 2))
            size = np.abs(v[free])
            x[:, half] = (missing[free].imag if half else missing[free].real) / size
            lu_solve(sym.up, sym.uj, a, x)
            with np.errstate(over="ignore", invalid="ignore"):
                v[free] *= (size + x[:, 1]) / size if half else np.exp(1j * x[:, 0])
                missing, largest = _missing(plan, factor, injections, v, is_pv)
        iteration += 1
        if not np.isfinite(largest):
            break
    voltages = Voltages(frozen(v), frozen(missing))
    stats = Stats(iterations=iteration, residual=largest)
    if largest <= accepted_pu:
        return Solution(voltages, Status.SOLVED, stats)
    return Solution(voltages, Status.NOT_CONVERGED, stats, tuple(f"bus-branch bus {i}" for i in worst_buses(missing)))


def _missing(
    plan: Plan, factor: Factor, injections: Injections, v: ComplexArray, is_pv: NDArray[np.bool_]
) -> tuple[ComplexArray, float]:
    """(n_bus,) complex [pu]: power still missing, 0 where it follows from a held voltage; and the largest part of it."""
    missing = injections.s_power + injections.s_current * np.abs(v) - drawn(plan, factor, v)
    n = plan.symbolic.n
    missing[plan.bus[n:]] = 0.0
    missing[plan.bus[:n][is_pv]] = missing[plan.bus[:n][is_pv]].real
    return missing, float(np.max(np.abs(missing.view(np.float64)), initial=0.0))


def _matrices(plan: Plan, factor: Factor, start: ComplexArray, scheme: Scheme, is_pv: NDArray[np.bool_]) -> FloatArray:
    """(n_free + 2 n_upper, 4): B' and B'' as the diagonals of 2x2 blocks."""
    n, n_bus, nnz = plan.symbolic.n, len(plan.bus), len(plan.col)
    row = np.repeat(np.arange(n_bus), np.diff(plan.ptr))
    y = factor.y[:, 0] + 1j * factor.y[:, 1]
    mirror = np.searchsorted(row * n_bus + plan.col, plan.col.astype(np.int64) * n_bus + row)
    # Y_ik Y_ki = w^2: of its two roots the one nearer to -Y_ik turned back by the shift, which the start knows.
    w = np.sqrt(y[:nnz] * y[mirror])
    turn = start[plan.bus][plan.col] * np.conj(start[plan.bus][row])
    w = np.where((w * np.conj(y[:nnz] * turn)).real > 0, -w, w)
    b = -w.imag
    z = np.divide(1.0, w, out=np.zeros_like(w), where=w != 0)
    b_x = np.divide(1.0, z.imag, out=np.abs(w), where=np.abs(z.imag) > 1e-3 * np.abs(z))
    first, second = (b_x, b) if scheme is Scheme.XB else (b, b_x)
    a = np.zeros((n + 2 * plan.symbolic.n_upper, 4))
    inside = plan.slot >= 0
    a[plan.slot[inside], 0] = -first[inside]
    a[plan.slot[inside], 3] = np.where(is_pv[row[inside]] | is_pv[plan.col[inside]], 0.0, -second[inside])
    a[:n, 0] = np.bincount(row, first, n_bus)[:n]
    a[:n, 3] = np.where(is_pv, 1.0, (-y[nnz:].imag + np.bincount(row, second - b, n_bus))[:n])
    return a
