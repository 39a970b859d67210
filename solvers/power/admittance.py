"""The admittance matrix of a bus-branch model and its pattern: what a load flow needs once per topology.

Y is kept off-diagonal by rows, then the diagonal; S = V conj(Y V) [pu] is the power that the branches and shunts draw
from each bus. Buses stand by *position*: the free ones in elimination order, then the slacks, so that a kernel's
rows are 0 .. n_free - 1 and its columns may reach the slacks behind them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid_models.power.bus_branch import PV, SLACK, BusBranch
from grid_models.tables import frozen
from solvers.linalg.symbolic import Symbolic, symbolic
from solvers.plan import check_version

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]
IntArray = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Plan:
    """The pattern of a topology's admittance matrix and Jacobian; immutable, shared by forks and threads.

    Args:
        topology_version: of the model it was made for.
        symbolic: of the buses without slacks.
        bus: (n_bus,) model bus at each position: free buses in elimination order, then the slacks.
        is_pv: (n_free,) int8, whether |V| is held.
        ptr: (n_bus + 1,) rows of the off-diagonal admittances, by position.
        col: (nnz,) their columns, by position.
        slot: (nnz,) their Jacobian slots; -1 in rows and columns of slacks.
        fill: slots that no admittance reaches; they are zero before each factorisation.
        from_entry: (n_branch,) where y_ft of each branch stands: off-diagonal entry, or nnz + position on the diagonal
            where both ends meet in one bus.
        to_entry: (n_branch,) likewise of y_tf.
        from_position: (n_branch,) position of each branch's from bus.
        to_position: (n_branch,) position of each branch's to bus.
    """

    topology_version: str
    symbolic: Symbolic
    bus: NDArray[np.int64]
    is_pv: NDArray[np.int8]
    ptr: IntArray
    col: IntArray
    slot: IntArray
    fill: IntArray
    from_entry: NDArray[np.int64]
    to_entry: NDArray[np.int64]
    from_position: NDArray[np.int64]
    to_position: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Factor:
    """Admittances in a plan's pattern.

    Args:
        topology_version: of the plan.
        parameter_version: of the model.
        y: (nnz + n_bus, 2) conductance and susceptance [pu]: off-diagonal entries by row, then the diagonal.
        rounding_pu: the mismatch that rounding alone leaves at the stiffest bus; no iteration gets below it.
    """

    topology_version: str
    parameter_version: str
    y: FloatArray
    rounding_pu: float


@dataclass(frozen=True, eq=False)
class Injections:
    """What the buses feed into the network; generation positive.

    Args:
        s_power: (n_bus,) complex [pu], independent of voltage.
        s_current: (n_bus,) complex [pu] at |V| = 1, proportional to |V|.
    """

    s_power: ComplexArray
    s_current: ComplexArray


def prepare(model: BusBranch) -> Plan:
    """Order the buses and lay out admittances and Jacobian for a topology.

    Args:
        model: any state of the topology; only its kinds and branch ends are read.

    Returns:
        The plan of `model.topology_version`.
    """
    return lay_out(model.topology_version, model.bus_kind, model.branch_from, model.branch_to)


def lay_out(version: str, kind: NDArray[np.integer], near: NDArray[np.int64], far: NDArray[np.int64]) -> Plan:
    """Order the buses and lay out admittances and Jacobian.

    Args:
        version: of the topology.
        kind: (n_bus,) PQ, PV or SLACK.
        near: (n_branch,) from bus of each branch.
        far: (n_branch,) to bus of each branch.
    """
    n_bus = len(kind)
    free = np.flatnonzero(kind != SLACK)
    number = np.full(n_bus, -1, dtype=np.int64)
    number[free] = np.arange(len(free))
    begin, end = number[near], number[far]
    inner = (begin >= 0) & (end >= 0) & (begin != end)
    sym = symbolic(*_compressed(np.r_[begin[inner], end[inner]], np.r_[end[inner], begin[inner]], len(free)))

    bus = np.r_[free[sym.perm], np.flatnonzero(kind == SLACK)]
    position = np.empty(n_bus, dtype=np.int64)
    position[bus] = np.arange(n_bus)
    begin, end = position[near], position[far]
    apart = begin != end
    ptr, col = _compressed(np.r_[begin[apart], end[apart]], np.r_[end[apart], begin[apart]], n_bus)
    row = np.repeat(np.arange(n_bus), np.diff(ptr))
    keys = row * n_bus + col

    slot = np.full(len(col), -1, dtype=np.int32)
    both_free = (row < sym.n) & (col < sym.n)
    slot[both_free] = sym.position_lu(sym.perm[row[both_free]], sym.perm[col[both_free]])
    reached = np.zeros(sym.n + 2 * sym.n_upper, dtype=bool)
    reached[: sym.n] = True
    reached[slot[both_free]] = True
    return Plan(
        topology_version=version,
        symbolic=sym,
        bus=frozen(bus),
        is_pv=frozen((kind[bus[: sym.n]] == PV).astype(np.int8)),
        ptr=frozen(ptr.astype(np.int32)),
        col=frozen(col.astype(np.int32)),
        slot=frozen(slot),
        fill=frozen(np.flatnonzero(~reached).astype(np.int32)),
        from_entry=frozen(np.where(apart, np.searchsorted(keys, begin * n_bus + end), len(col) + begin)),
        to_entry=frozen(np.where(apart, np.searchsorted(keys, end * n_bus + begin), len(col) + end)),
        from_position=frozen(begin),
        to_position=frozen(end),
    )


def factor(plan: Plan, model: BusBranch) -> Factor:
    """Sum the branches' and shunts' admittances into the plan's pattern.

    Raises:
        StaleVersion: the model has another topology than the plan.
    """
    check_version("plan", plan.topology_version, model.topology_version)
    nnz = len(plan.col)
    entry = np.r_[
        plan.from_entry, plan.to_entry, nnz + plan.from_position, nnz + plan.to_position, nnz + np.arange(len(plan.bus))
    ]
    value = np.r_[model.y_ft, model.y_tf, model.y_ff, model.y_tt, model.y_shunt[plan.bus]]
    y = np.empty((nnz + len(plan.bus), 2))
    y[:, 0] = np.bincount(entry, value.real, len(y))
    y[:, 1] = np.bincount(entry, value.imag, len(y))
    rounding_pu = float(8 * np.finfo(np.float64).eps * np.max(np.abs(y[nnz:]), initial=0.0))
    return Factor(plan.topology_version, model.parameter_version, frozen(y), rounding_pu)


def drawn(plan: Plan, factor: Factor, v: ComplexArray) -> ComplexArray:
    """What branches and shunts draw from each bus, S = V conj(Y V).

    Args:
        plan: of the topology.
        factor: of the parameters.
        v: (n_bus,) complex [pu], by bus of the model.

    Returns:
        (n_bus,) complex [pu], by bus of the model.
    """
    nnz, n_bus = len(plan.col), len(plan.bus)
    y = factor.y[:, 0] + 1j * factor.y[:, 1]
    at = v[plan.bus]
    row = np.repeat(np.arange(n_bus), np.diff(plan.ptr))
    current = y[nnz:] * at
    product = y[:nnz] * at[plan.col]
    current += np.bincount(row, product.real, n_bus) + 1j * np.bincount(row, product.imag, n_bus)
    out = np.zeros(len(v), dtype=np.complex128)
    out[plan.bus] = at * np.conj(current)
    return out


def pairs(values: ComplexArray) -> FloatArray:
    """(n, 2) real and imaginary parts of (n,) complex values."""
    return np.ascontiguousarray(values, dtype=np.complex128).view(np.float64).reshape(-1, 2)


def _compressed(rows: NDArray[np.int64], columns: NDArray[np.int64], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row pointers and ascending columns of a pattern given by possibly repeated entries."""
    keys = np.unique(rows * n + columns)
    return np.searchsorted(keys, np.arange(n + 1) * n), keys % max(n, 1)
