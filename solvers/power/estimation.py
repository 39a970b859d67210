"""Power state estimation by weighted least squares.

Minimise J(x) = sum_m (z_m - h_m(x))^2 / sigma_m^2 over x = (theta, u), u = ln|V|, by Gauss-Newton:

    G dx = H' W (z - h),   G = H' W H,   W = diag(1 / sigma^2),   x := x + dx

One angle per island is the reference. Buses without any injection are meters too, of very small sigma. G has the
pattern of the meters' cliques; it is ordered once per placement and factored by LDL' without pivoting. A zero pivot
names a bus that the meters do not determine.

J follows chi-square with m - n degrees of freedom where sigmas and model are right. The covariance is G^-1, of
which only the entries on the factor's pattern are computed (Takahashi), enough for every variance asked for here.

Reference: A. Abur, A. Gomez Exposito, "Power System State Estimation" (2004), ch. 2 and 5; F. C. Schweppe, J. Wildes,
IEEE Trans. PAS 89 (1970).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from grid_models.power.bus_branch import SLACK, BusBranch
from solvers.linalg.ldl import ldl_factor, ldl_selected_inverse, ldl_solve
from solvers.linalg.symbolic import Symbolic, symbolic
from solvers.power.measurement_functions import Complex, Floats, Index, Kind, evaluate, explained_variance, gain
from solvers.solution import Solution, Stats, Status

_CONVERGED = 1e-9
_LARGEST_STEP = 0.3  # rad or ln pu; a longer one leaves the region where the linearisation means anything
_ZERO_PIVOT = 1e-12
_CRITICAL = 1e-6  # share of its own variance that a residual must keep to be judged


@dataclass(frozen=True, eq=False)
class Meters:
    """Measurements on a bus-branch form, in pu.

    Args:
        kind: (m,) Kind.
        place: (m,) where: see `at_bus`, `at_from`, `at_to`.
        value: (m,) [pu].
        sigma: (m,) standard deviation [pu].
        removable: (m,) whether it may be called bad data; not so for what is known by construction.
    """

    kind: Index
    place: Index
    value: Floats
    sigma: Floats
    removable: NDArray[np.bool_]

    @staticmethod
    def at_bus(bus: Index) -> Index:
        """Place of V, and of the injection P, Q, of buses."""
        return np.asarray(bus)

    @staticmethod
    def at_from(model: BusBranch, branch: Index) -> Index:
        """Place of P, Q, I into branches at their from end."""
        return np.asarray(model.n_bus + 2 * branch)

    @staticmethod
    def at_to(model: BusBranch, branch: Index) -> Index:
        """Place of P, Q, I into branches at their to end."""
        return np.asarray(model.n_bus + 2 * branch + 1)


@dataclass(frozen=True, eq=False)
class Plan:
    """What depends on topology, admittances and the placement of meters, not on their readings."""

    version: str
    kind: Index
    row: Index
    center: Index
    pointer: Index
    bus: Index
    y: Complex
    factor: Symbolic
    unknown: Index
    reference_slot: Index
    pair: Index
    slot: Index
    n_bus: int


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


def version(model: BusBranch, kind: Index, place: Index) -> str:
    """What a plan depends on, as a hash."""
    h = sha256(model.topology_version.encode())
    h.update(model.parameter_version.encode())
    h.update(np.ascontiguousarray(kind).tobytes())
    h.update(np.ascontiguousarray(place).tobytes())
    return h.hexdigest()


def prepare(model: BusBranch, kind: Index, place: Index) -> Plan:
    """Order and analyse the gain matrix of a placement of meters.

    Args:
        model: the live network.
        kind: (m,) Kind.
        place: (m,) as in `Meters`.
    """
    # A voltage meter looks at its bus alone, so it shares no row with the bus's injection.
    own = np.where(kind == Kind.V, model.n_bus + 2 * len(model.branch_row) + place, place)
    places, row = np.unique(own, return_inverse=True)
    center, pointer, bus, y = _rows(model, places)
    n = model.n_bus
    seen = csr_array((np.ones(len(bus), dtype=np.int8), bus, pointer), shape=(len(places), n))
    adjacency = csr_array((seen.T @ seen) != 0)
    adjacency.sort_indices()
    by_bus = symbolic(adjacency.indptr, adjacency.indices)
    twice = np.stack([2 * by_bus.perm, 2 * by_bus.perm + 1], axis=1).ravel()
    scalar = csr_array(_doubled(adjacency))
    scalar.sort_indices()
    factor = symbolic(scalar.indptr, scalar.indices, perm=twice)
    slack = np.flatnonzero(model.bus_kind == SLACK)
    _, first = np.unique(model.bus_island[slack], return_index=True)
    reference = 2 * slack[first]
    unknown = np.asarray(factor.inverse).copy()
    unknown[reference] = -1
    scalars = np.stack([2 * bus, 2 * bus + 1], axis=1).ravel()
    pair, slot = _pairs(factor, pointer, scalars, np.isin(scalars, reference))
    return Plan(
        version=version(model, kind, place),
        kind=np.asarray(kind, dtype=np.int64),
        row=row.astype(np.int64),
        center=center,
        pointer=pointer,
        bus=bus,
        y=y,
        factor=factor,
        unknown=unknown[scalars],
        reference_slot=factor.inverse[reference],
        pair=pair,
        slot=slot,
        n_bus=n,
    )


def estimate(
    plan: Plan,
    meters: Meters,
    start: Complex,
    *,
    threshold: float = 4.5,
    most_removed: int = 12,
    max_iterations: int = 25,
) -> Solution[Estimate]:
    """Estimate the state and remove bad data one at a time, the largest normalised residual first.

    Args:
        plan: of this placement.
        meters: readings.
        start: (n_bus,) complex [pu].
        threshold: normalised residual beyond which a reading is bad [1].
        most_removed: how many may be removed.
        max_iterations: of Gauss-Newton, for each removal anew.

    Returns:
        SOLVED or BAD_DATA; UNOBSERVABLE naming buses; NOT_CONVERGED with the last iterate.
    """
    weight = 1.0 / np.square(meters.sigma)
    suspect = np.zeros(len(weight), dtype=bool)
    v, iterations = start, 0
    while True:
        v, used, blind, work = _gauss_newton(plan, meters.value, weight, v, max_iterations)
        iterations += used
        if used < 0:
            return Solution(_judged(plan, meters, weight, v, suspect, work), Status.NOT_CONVERGED, Stats(max_iterations))
        found = _judged(plan, meters, weight, v, suspect, work)
        worst = int(np.where(suspect | ~meters.removable, 0.0, found.normalised).argmax()) if len(weight) else 0
        if not len(weight) or found.normalised[worst] <= threshold or suspect.sum() >= most_removed or suspect[worst]:
            break
        suspect = suspect.copy()
        suspect[worst] = True
        # A millionth of its weight keeps the pattern and, should nothing else see the bus, its state.
        weight = np.where(suspect, 1e-6 / np.square(meters.sigma), 1.0 / np.square(meters.sigma))
    stats = Stats(iterations, float(np.abs(found.residual).max(initial=0.0)))
    if len(blind):
        return Solution(found, Status.UNOBSERVABLE, stats, tuple(f"bus {b}" for b in blind))
    status = Status.BAD_DATA if suspect.any() else Status.SOLVED
    return Solution(found, status, stats)


@dataclass(frozen=True, eq=False)
class _Work:
    a: Floats
    h: Floats
    H: Floats


def _gauss_newton(
    plan: Plan, value: Floats, weight: Floats, v: Complex, max_iterations: int
) -> tuple[Complex, int, Index, _Work]:
    """The converged voltages, the iterations (-1: not converged), the buses left undetermined, and the last factor."""
    f = plan.factor
    lengths = np.diff(plan.pointer)[plan.row]
    work = _Work(np.zeros(f.n + f.n_upper), np.zeros(len(value)), np.zeros(2 * int(lengths.sum())))
    original, b = np.zeros(f.n), np.zeros(f.n)
    for iteration in range(1, max_iterations + 1):
        evaluate(plan.kind, plan.row, plan.center, plan.pointer, plan.bus, plan.y, v, work.h, work.H)
        work.a[:] = 0.0
        b[:] = 0.0
        residual = value - work.h
        gain(plan.row, plan.pointer, plan.unknown, plan.pair, plan.slot, work.H, weight, residual, work.a, b)
        work.a[plan.reference_slot] = 1.0
        ldl_factor(f.up, f.uj, f.target, work.a, original, _ZERO_PIVOT)
        blind = f.perm[work.a[: f.n] == 0.0] // 2
        ldl_solve(f.up, f.uj, work.a, b)
        step = np.empty(f.n)
        step[f.perm] = b
        largest = float(np.abs(step).max(initial=0.0))
        if not np.isfinite(largest):
            break
        if largest > _LARGEST_STEP:
            step *= _LARGEST_STEP / largest
        v = v * np.exp(step[1::2] + 1j * step[0::2])
        if largest < _CONVERGED:
            return v, iteration, np.unique(blind), work
    return v, -1, np.zeros(0, dtype=np.int64), work


def _judged(plan: Plan, meters: Meters, weight: Floats, v: Complex, suspect: NDArray[np.bool_], work: _Work) -> Estimate:
    f = plan.factor
    evaluate(plan.kind, plan.row, plan.center, plan.pointer, plan.bus, plan.y, v, work.h, work.H)
    z = np.zeros(f.n + f.n_upper)
    ldl_selected_inverse(f.up, f.uj, f.target, work.a, z)
    explained = np.zeros(len(weight))
    explained_variance(plan.row, plan.pointer, plan.pair, plan.slot, work.H, z, explained)
    residual = meters.value - work.h
    own = 1.0 / weight
    left = own - explained
    normalised = np.where(left > _CRITICAL * own, np.abs(residual) / np.sqrt(np.maximum(left, 1e-300)), 0.0)
    normalised[suspect] = np.abs(residual[suspect]) / meters.sigma[suspect]
    kept = ~suspect
    variance_u = z[f.inverse[2 * np.arange(plan.n_bus) + 1]]
    n_unknown = f.n - len(plan.reference_slot)
    return Estimate(
        v=v,
        reading=work.h.copy(),
        residual=residual,
        normalised=normalised,
        suspect=suspect,
        sigma_vm=np.abs(v) * np.sqrt(np.maximum(variance_u, 0.0)),
        objective=float((residual[kept] ** 2 * weight[kept]).sum()),
        freedom=int(kept.sum()) - n_unknown,
    )


def _rows(model: BusBranch, places: Index) -> tuple[Index, Index, Index, Complex]:
    """Center, pointer, bus and admittance of the rows that the places look at."""
    n, n_branch = model.n_bus, len(model.branch_row)
    f, t = model.branch_from, model.branch_to
    diagonal = np.arange(n)
    admittance = coo_array(
        (
            np.concatenate([model.y_ff, model.y_ft, model.y_tf, model.y_tt, model.y_shunt]),
            (np.concatenate([f, f, t, t, diagonal]), np.concatenate([f, t, f, t, diagonal])),
        ),
        shape=(n, n),
    ).tocsr()
    inner, branch_end = places < n, (places >= n) & (places < n + 2 * n_branch)
    branch, side = np.divmod(np.where(branch_end, places - n, 0), 2)
    if n_branch:
        at_branch = np.where(side == 0, f[branch], t[branch])
        far = np.where(side == 0, t[branch], f[branch])
        near_y = np.where(side == 0, model.y_ff[branch], model.y_tt[branch])
        far_y = np.where(side == 0, model.y_ft[branch], model.y_tf[branch])
    else:
        at_branch = far = np.zeros(len(places), dtype=np.int64)
        near_y = far_y = np.zeros(len(places), dtype=np.complex128)
    center = np.where(inner, places, np.where(branch_end, at_branch, places - n - 2 * n_branch))
    length = np.where(inner, np.diff(admittance.indptr)[np.where(inner, places, 0)], np.where(branch_end, 2, 1))
    pointer = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    bus = np.empty(pointer[-1], dtype=np.int64)
    y = np.zeros(pointer[-1], dtype=np.complex128)
    first = pointer[:-1]
    owner = np.repeat(np.arange(len(places)), length)
    within = np.arange(pointer[-1]) - first[owner]
    of_bus = inner[owner]
    source = admittance.indptr[places[owner[of_bus]]] + within[of_bus]
    bus[of_bus], y[of_bus] = admittance.indices[source], admittance.data[source]
    bus[first[branch_end]], y[first[branch_end]] = at_branch[branch_end], near_y[branch_end]
    bus[first[branch_end] + 1], y[first[branch_end] + 1] = far[branch_end], far_y[branch_end]
    alone = ~inner & ~branch_end
    bus[first[alone]] = center[alone]
    return center.astype(np.int64), pointer, bus, y


def _doubled(adjacency: csr_array) -> csr_array:
    """The pattern over scalars 2k, 2k+1 of a pattern over buses k."""
    pattern = adjacency.tocoo()
    row, column = pattern.coords
    rows = np.concatenate([2 * row + i for i in (0, 0, 1, 1)])
    columns = np.concatenate([2 * column + j for j in (0, 1, 0, 1)])
    n = 2 * adjacency.shape[0]
    return coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(n, n)).tocsr()


def _pairs(factor: Symbolic, pointer: Index, scalars: Index, is_reference: NDArray[np.bool_]) -> tuple[Index, Index]:
    """Where each row's products go: pointer and slots of the pairs i <= j of its scalars."""
    width = 2 * np.diff(pointer)
    count = width * (width + 1) // 2
    pair = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    slot = np.full(pair[-1], -1, dtype=np.int64)
    for w in np.unique(width):
        rows = np.flatnonzero(width == w)
        i, j = np.triu_indices(int(w))
        left, right = (2 * pointer[rows])[:, None] + i, (2 * pointer[rows])[:, None] + j
        where = factor.position(scalars[left].ravel(), scalars[right].ravel()).reshape(left.shape)
        where = np.where(is_reference[left] | is_reference[right], -1, where)
        slot[(pair[rows][:, None] + np.arange(len(i))).ravel()] = where.ravel()
    return pair, slot
