"""Linear (DC) start for Newton-Raphson: angles from active power alone.

Unknowns: delta [rad], the turn of each free bus from the given start. Equations: the lossless active power balance,
linear in the angles,

    sum_k b_ik (delta_i - delta_k) = P_i - sum_k b_ik e_ik,     e_ik = theta_i - theta_k - phi_ik,

with b = |Im y| of what joins two buses, and e what the start leaves over phi, the shift of the transformers between
them. A flat start carries the shifts along a tree, so e is zero but where phase shifters stand in loops: there a flat
start implies enormous flows, and this one takes them away. Absolute values keep the matrix positive definite where a
three-winding transformer or a series capacitor has a negative reactance; a start need not be exact.

Reference: B. Stott, J. Jardim, O. Alsac, "DC power flow revisited", IEEE Trans. Power Systems 24 (2009).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.linalg.ldl import ldl_factor, ldl_solve
from solvers.power.admittance import ComplexArray, Factor, FloatArray, Injections, Plan


def dc_start(plan: Plan, factor: Factor, injections: Injections, start: ComplexArray) -> ComplexArray:
    """Turn a flat start to the angles that carry the active power.

    Args:
        plan: of the topology.
        factor: of the parameters.
        injections: per bus of the model.
        start: (n_bus,) complex [pu], flat: magnitudes at their set-points, angles with the transformers' shifts.

    Returns:
        (n_bus,) complex [pu], the same magnitudes.
    """
    sym = plan.symbolic
    n, n_bus = sym.n, len(plan.bus)
    v = start[plan.bus]
    row = np.repeat(np.arange(n_bus), np.diff(plan.ptr))
    b, excess = _susceptances(plan, factor, v, row)

    # Each pair of buses appears twice, as (i, k) and (k, i): the upper one fills the matrix.
    upper = (plan.slot >= n) & (plan.slot < n + sym.n_upper)
    a: FloatArray = np.bincount(plan.slot[upper], -b[upper], n + sym.n_upper).astype(np.float64)
    a[:n] = np.bincount(row, b, n_bus)[:n]
    power = injections.s_power[plan.bus].real + injections.s_current[plan.bus].real * np.abs(v)
    turn: FloatArray = (power - np.bincount(row, b * excess, n_bus))[:n]
    ldl_factor(sym.up, sym.uj, sym.target, a, np.empty(n), 1e-13)
    ldl_solve(sym.up, sym.uj, a, turn)
    v[:n] *= np.exp(1j * turn)
    turned = np.empty_like(v)
    turned[plan.bus] = v
    return turned


def _susceptances(plan: Plan, factor: Factor, v: ComplexArray, row: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """The b [pu] and e [rad] of each off-diagonal entry.

    Y_ik = -y exp(j phi) and Y_ki = -y exp(-j phi), so that half the angle of Y_ik conj(Y_ki) is phi up to a half turn;
    the start says which.
    """
    nnz, n_bus = len(plan.col), len(plan.bus)
    y = factor.y[:nnz, 0] + 1j * factor.y[:nnz, 1]
    mirror = np.searchsorted(row * n_bus + plan.col, plan.col.astype(np.int64) * n_bus + row)
    difference = np.angle(v[row]) - np.angle(v[plan.col])
    shift = 0.5 * np.angle(y * np.conj(y[mirror]))
    excess = (difference - shift + np.pi / 2) % np.pi - np.pi / 2
    return np.abs((y * np.exp(-1j * (difference - excess))).imag), excess
