"""Power state estimation by weighted least squares.

Minimise J(x) = sum_m (z_m - h_m(x))^2 / sigma_m^2 over x = (theta, u), u = ln|V|, by Gauss-Newton:

    G dx = H' W (z - h),   G = H' W H,   W = diag(1 / sigma^2),   x := x + dx

One angle per island is the reference. Buses without any injection are meters too, of very small sigma. G has the
pattern of the meters' cliques; it is ordered once per placement and factored by LDL' in blocks of a bus's two unknowns, without
pivoting. A zero pivot names a bus that the meters do not determine. G and its factor stay once the steps are short: the
residual, and so where the iteration ends, is always that of the present state.

J follows chi-square with m - n degrees of freedom where sigmas and model are right. The covariance is G^-1, of
which only the entries on the factor's pattern are computed (Takahashi), enough for every variance asked for here.

Reference: A. Abur, A. Gomez Exposito, "Power System State Estimation" (2004), ch. 2 and 5; F. C. Schweppe, J. Wildes,
IEEE Trans. PAS 89 (1970).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solvers.accelerate import kernel
from solvers.linalg.ldl_pairs import pair_factor, pair_selected_inverse, pair_solve
from solvers.linalg.symbolic import IntArray
from solvers.power.admittance import pairs
from solvers.power.estimation_plan import Meters, Plan
from solvers.power.measurement_functions import Complex, Floats, Rows, explained_variance, gain, linearise
from solvers.solution import Solution, Stats, Status

_CONVERGED = 1e-9
_NEAR = 1e-3  # after a step below this the gain matrix stays: it is right to a thousandth, and so are the variances
_CONTRACTS = 0.1  # unless a step with it is not a tenth of the one before
_LARGEST_STEP = 0.3  # rad or ln pu; a longer one leaves the region where the linearisation means anything
_ZERO_PIVOT = 1e-12
_CRITICAL = 1e-6  # share of its own variance that a residual must keep to be judged


@dataclass(frozen=True, eq=False)
class Estimate:
    """An estimated state and how the meters agree with it.

    Args:
        v: (n_bus,) complex [pu].
        reading: (m,) what each meter should read [pu].
        residual: (m,) value less reading [pu].
        normalised: (m,) |residual| over its standard deviation [1]; 0 where it cannot be judged.
        suspect: (m,) removed as bad data.
        sigma_vm: (n_bus,) of |V| [pu].
        objective: J over what was not removed [1].
        freedom: its degrees of freedom.
    """

    v: Complex
    reading: Floats
    residual: Floats
    normalised: Floats
    suspect: NDArray[np.bool_]
    sigma_vm: Floats
    objective: float
    freedom: int


def estimate(
    plan: Plan,
    meters: Meters,
    start: Complex,
    *,
    threshold: float = 4.5,
    most_removed: int = 12,
    max_iterations: int = 100,
) -> Solution[Estimate]:
    """Estimate the state and remove bad data one at a time, the largest normalised residual first.

    Args:
        plan: of this placement.
        meters: readings.
        start: (n_bus,) complex [pu].
        threshold: normalised residual beyond which a reading is bad [1].
        most_removed: how many may be removed.
        max_iterations: of Gauss-Newton, for each removal anew. Where readings contradict each other its steps shrink by a
            quarter each, not by half their digits.

    Returns:
        SOLVED or BAD_DATA; UNOBSERVABLE naming buses; NOT_CONVERGED with the last iterate.
    """
    f, order = plan.factor, plan.by_row
    work = _work_space(plan)
    value, full = meters.value[order], 1.0 / np.square(np.maximum(meters.sigma[order], plan.finest))
    judged = meters.removable[order]
    weight, suspect = full, np.zeros(len(full), dtype=bool)
    v = pairs(start[f.perm]).ravel()
    iterations = 0
    while True:
        used = _gauss_newton(f.up, f.uj, f.target, plan.rows, value, weight, v, work, max_iterations)
        iterations += used
        _judge(f.up, f.uj, f.target, plan.rows, value, weight, suspect, full, v, work)
        if used < 0:
            return Solution(_estimate(plan, weight, suspect, v, work), Status.NOT_CONVERGED, Stats(max_iterations))
        worst = int(np.where(suspect | ~judged, 0.0, work.normalised).argmax()) if len(weight) else 0
        if not len(weight) or work.normalised[worst] <= threshold or suspect.sum() >= most_removed or suspect[worst]:
            break
        suspect[worst] = True
        # A millionth of its weight keeps the pattern and, should nothing else see the bus, its state.
        weight = np.where(suspect, 1e-6 * full, full)
    found = _estimate(plan, weight, suspect, v, work)
    stats = Stats(iterations, float(np.abs(found.residual).max(initial=0.0)))
    pivots = work.a[: 4 * f.n].reshape(-1, 4)
    blind = np.sort(f.perm[(pivots[:, 0] == 0.0) | (pivots[:, 3] == 0.0)])
    if len(blind):
        return Solution(found, Status.UNOBSERVABLE, stats, tuple(f"bus {b}" for b in blind))
    status = Status.BAD_DATA if suspect.any() else Status.SOLVED
    return Solution(found, status, stats)


class _Work(NamedTuple):
    """Work space of one estimate: readings and their derivatives, the gain matrix, its factor and right-hand side."""

    h: Floats
    H: Floats
    residual: Floats
    normalised: Floats
    a: Floats
    z: Floats
    b: Floats
    original: Floats


def _work_space(plan: Plan) -> _Work:
    n, blocks, m = plan.n_bus, plan.factor.n + plan.factor.n_upper, len(plan.rows.kind)
    width = int((np.diff(plan.rows.pointer) * np.diff(plan.rows.first)).sum())
    return _Work(
        h=np.zeros(m), H=np.zeros(2 * width), residual=np.zeros(m), normalised=np.zeros(m),
        a=np.zeros(4 * blocks), z=np.zeros(4 * blocks), b=np.zeros(2 * n), original=np.zeros(2 * n),
    )  # fmt: skip


def _estimate(plan: Plan, weight: Floats, suspect: NDArray[np.bool_], v: Floats, work: _Work) -> Estimate:
    """By bus and meter of the caller."""
    f, order = plan.factor, plan.by_row
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    own = np.empty(plan.n_bus, dtype=np.complex128)
    own[f.perm] = v.view(np.complex128)
    variance = work.z[4 * f.inverse + 3]
    kept = ~suspect
    return Estimate(
        v=own,
        reading=work.h[back],
        residual=work.residual[back],
        normalised=work.normalised[back],
        suspect=suspect[back],
        sigma_vm=np.abs(own) * np.sqrt(np.maximum(variance, 0.0)),
        objective=float((work.residual[kept] ** 2 * weight[kept]).sum()),
        freedom=int(kept.sum()) - (2 * plan.n_bus - int(plan.rows.is_reference.sum())),
    )


@kernel
def _gauss_newton(
    up: IntArray,
    uj: IntArray,
    target: IntArray,
    rows: Rows,
    value: Floats,
    weight: Floats,
    v: Floats,
    work: _Work,
    max_iterations: int,
) -> int:
    """Iterate from `v` in place; return the iterations, or -1. Near the end the gain matrix stays, H does not."""
    a, b, residual, is_reference = work.a, work.b, work.residual, rows.is_reference
    renew, last = True, np.inf
    for iteration in range(1, max_iterations + 1):
        linearise(rows, v, work.h, work.H)
        for m in range(len(value)):
            residual[m] = value[m] - work.h[m]
        b[:] = 0.0
        if renew:
            a[:] = 0.0
            for k in range(len(is_reference)):
                if is_reference[k] != 0:
                    a[4 * k] = 1.0
        gain(rows, work.H, weight, residual, renew, a, b)
        if renew:
            pair_factor(up, uj, target, a, work.original, _ZERO_PIVOT)
        pair_solve(up, uj, a, b)
        largest, total = 0.0, 0.0
        for i in range(len(b)):
            largest = max(largest, abs(b[i]))
            total += abs(b[i])
        if not np.isfinite(total):
            return -1
        length = min(1.0, _LARGEST_STEP / max(largest, _CONVERGED))
        for k in range(len(is_reference)):
            half, growth = 0.5 * length * b[2 * k], length * b[2 * k + 1]
            scale = (1.0 + growth) / (1.0 + half * half)
            cos, sin = (1.0 - half * half) * scale, 2.0 * half * scale
            e, f = v[2 * k], v[2 * k + 1]
            v[2 * k], v[2 * k + 1] = cos * e - sin * f, sin * e + cos * f
        if largest < _CONVERGED:
            return iteration
        renew = largest > _NEAR or largest > _CONTRACTS * last
        last = largest
    return -1


@kernel
def _judge(
    up: IntArray,
    uj: IntArray,
    target: IntArray,
    rows: Rows,
    value: Floats,
    weight: Floats,
    suspect: NDArray[np.bool_],
    full: Floats,
    v: Floats,
    work: _Work,
) -> None:
    """Readings, residuals and normalised residuals at `v`, and the covariance of the state."""
    residual, normalised = work.residual, work.normalised
    linearise(rows, v, work.h, work.H)
    pair_selected_inverse(up, uj, target, work.a, work.z)
    explained_variance(rows, work.H, work.z, normalised)
    for m in range(len(value)):
        residual[m] = value[m] - work.h[m]
        own_variance = 1.0 / weight[m]
        left = own_variance - normalised[m]
        if suspect[m]:
            normalised[m] = abs(residual[m]) * np.sqrt(full[m])
        elif left > _CRITICAL * own_variance:
            normalised[m] = abs(residual[m]) / np.sqrt(left)
        else:
            normalised[m] = 0.0
