"""Buses that inject nothing leave a load flow before it begins (Kron reduction), and get their voltage back after it.

At a bus z without injection the current balance is linear, Y_zz V_z + sum_j Y_zj V_j = 0. So V_z = -sum_j (Y_zj / Y_zz) V_j,
and put into the balances of its neighbours,

    Y_ij := Y_ij - Y_iz Y_zj / Y_zz.

Nothing is approximated. A bus with at most three neighbours leaves no more branches behind than it had; three of ten
buses of a transmission network are such: line junctions, transformer terminals, star points. Buses with more neighbours
stay, since the mesh they leave costs more than they do.

Reference: G. Kron, "Tensor analysis of networks" (1939); J. B. Ward, "Equivalent circuits for power-flow studies", Trans.
AIEE 68 (1949).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from grid_models.power.bus_branch import PV, SLACK
from grid_models.tables import frozen
from solvers.accelerate import kernel
from solvers.linalg.vector import f64x16, fma, fnma, load, store
from solvers.power.admittance import Factor, FloatArray, IntArray, Plan, lay_out

_MOST_NEIGHBOURS = 3
# A pivot smaller than this beside its row would amplify rounding: series capacitors, dangling ends of long cables.
_SMALLEST_PIVOT = 0.1


@dataclass(frozen=True, eq=False)
class Core:
    """A network without its passive buses.

    Args:
        plan: of what is left; its `bus` are buses of the whole model.
        factor: of what is left.
        bus: (n_bus,) model bus at each row of a solution: those of the plan, then the passive ones, each after all that
            its voltage follows from.
        ptr: (n_passive + 1,) rows of `weight`.
        col: (nnz,) rows of a solution.
        weight: (nnz, 2) real and imaginary part of V_z = sum weight V.
    """

    plan: Plan
    factor: Factor
    bus: NDArray[np.int64]
    ptr: IntArray
    col: IntArray
    weight: FloatArray


def core(plan: Plan, factor: Factor, injects: NDArray[np.bool_]) -> Core:
    """Eliminate what injects nothing and has few neighbours.

    Args:
        plan: of the whole network.
        factor: of the whole network.
        injects: (n_bus,) buses of the model that may inject; slacks and PV buses count as such without being named.
    """
    n, n_free, nnz = len(plan.bus), plan.symbolic.n, len(plan.col)
    passive = ~injects[plan.bus]
    passive[:n_free] &= plan.is_pv == 0
    passive[n_free:] = False
    if not passive.any():
        return _all_of(plan, factor)
    y = (factor.y[:, 0] + 1j * factor.y[:, 1]).tolist()
    own, col, ends = y[nnz:], plan.col.tolist(), plan.ptr.tolist()
    rows = [dict(zip(col[ends[i] : ends[i + 1]], y[ends[i] : ends[i + 1]], strict=True)) for i in range(n)]
    left = _eliminate(rows, own, passive)
    if not left:
        return _all_of(plan, factor)

    gone = np.zeros(n, dtype=bool)
    gone[[z for z, _ in left]] = True
    kept = np.flatnonzero(~gone)
    number = np.full(n, -1, dtype=np.int64)
    number[kept] = np.arange(len(kept))
    kind = np.where(kept >= n_free, SLACK, np.where(np.r_[plan.is_pv, np.zeros(n - n_free, dtype=np.int8)][kept] != 0, PV, 0))
    pairs = np.array([(i, j) for i in kept.tolist() for j in rows[i] if i < j], dtype=np.int64).reshape(-1, 2)
    inner = lay_out(plan.topology_version, kind, number[pairs[:, 0]], number[pairs[:, 1]])
    at = kept[inner.bus].tolist()  # whole position of each position
    values = [rows[at[i]][at[j]] for i in range(len(at)) for j in inner.col[inner.ptr[i] : inner.ptr[i + 1]].tolist()]
    values += [own[i] for i in at]
    reduced = np.array(values, dtype=np.complex128).view(np.float64).reshape(-1, 2)
    position = np.full(n, -1, dtype=np.int64)
    position[at] = np.arange(len(at))
    last_first = left[::-1]
    position[[z for z, _ in last_first]] = len(at) + np.arange(len(left))
    weights = [list(found.values()) for _, found in last_first]
    return Core(
        plan=replace(inner, bus=frozen(plan.bus[at])),
        factor=replace(factor, y=frozen(reduced)),
        bus=frozen(plan.bus[np.r_[at, [z for z, _ in last_first]]]),
        ptr=frozen(np.cumsum([0, *(len(w) for w in weights)]).astype(np.int32)),
        col=frozen(position[[j for _, found in last_first for j in found]].astype(np.int32)),
        weight=frozen(np.array([w for row in weights for w in row], dtype=np.complex128).view(np.float64).reshape(-1, 2)),
    )


def _all_of(plan: Plan, factor: Factor) -> Core:
    return Core(plan, factor, plan.bus, np.zeros(1, dtype=np.int32), np.zeros(0, dtype=np.int32), np.zeros((0, 2)))


def _eliminate(
    rows: list[dict[int, complex]], own: list[complex], passive: NDArray[np.bool_]
) -> list[tuple[int, dict[int, complex]]]:
    """Take passive rows out of `rows` and `own`; return them in that order with their voltages' weights."""
    out: list[tuple[int, dict[int, complex]]] = []
    waiting = deque(np.flatnonzero(passive).tolist())
    stays = (~passive).tolist()
    while waiting:
        z = waiting.popleft()
        row = rows[z]
        if stays[z] or not 0 < len(row) <= _MOST_NEIGHBOURS:
            continue
        if abs(own[z]) <= _SMALLEST_PIVOT * max(map(abs, row.values())):
            continue
        stays[z] = True
        weight = {j: -value / own[z] for j, value in row.items()}
        for i in row:
            towards = rows[i].pop(z)
            for j, w in weight.items():
                if i == j:
                    own[i] += towards * w
                else:
                    rows[i][j] = rows[i].get(j, 0.0) + towards * w
        out.append((z, weight))
        waiting.extend(i for i in row if not stays[i])  # a bus that had too many neighbours may have fewer now
    return out


@kernel
def follow_lanes(first: int, ptr: IntArray, col: IntArray, weight: FloatArray, v: FloatArray) -> None:
    """Voltages of the passive buses, from row `first` of the solution on.

    Args:
        first: buses of the core's plan.
        ptr: of the `Core`.
        col: of the `Core`.
        weight: of the `Core`.
        v: (2 n_bus, 16) e and f; the first 2 `first` rows are solved.
    """
    zero = f64x16(0.0)
    for z in range(len(ptr) - 1):
        e, f = zero, zero
        for x in range(ptr[z], ptr[z + 1]):
            k = 2 * col[x]
            e_k, f_k = load(zero, v, k), load(zero, v, k + 1)
            g, b = f64x16(weight[x, 0]), f64x16(weight[x, 1])
            e, f = fnma(b, f_k, fma(g, e_k, e)), fma(b, e_k, fma(g, f_k, f))
        store(v, 2 * (first + z), e)
        store(v, 2 * (first + z) + 1, f)
