"""Linear (DC) start for Newton-Raphson: angles from active power alone.

Unknowns: delta [rad], the turn of each free bus from the given start. Equations: the active power balance linearised
at the start with losses left out,

    sum_k w_ik (delta_i - delta_k) = P_i,     w_ik = |Im(V_i conj(Y_ik V_k))| taken symmetric,

so that the matrix is positive definite whatever the resistances. At a flat start with the transformers' shifts in it,
w is the susceptance of the usual DC load flow.

Reference: B. Stott, J. Jardim, O. Alsac, "DC power flow revisited", IEEE Trans. Power Systems 24 (2009).
"""

from __future__ import annotations

import numpy as np

from solvers.linalg.ldl import ldl_factor, ldl_solve
from solvers.power.admittance import ComplexArray, Factor, Injections, Plan


def dc_start(plan: Plan, factor: Factor, injections: Injections, start: ComplexArray) -> ComplexArray:
    """Turn a flat start to the angles that carry the active power.

    Args:
        plan: of the topology.
        factor: of the parameters.
        injections: per bus of the model.
        start: (n_bus,) complex [pu], flat: magnitudes at their set-points, angles shifted by transformers only.

    Returns:
        (n_bus,) complex [pu], the same magnitudes.
    """
    sym = plan.symbolic
    n, nnz = sym.n, len(plan.col)
    v = start[plan.bus]
    row = np.repeat(np.arange(len(plan.bus)), np.diff(plan.ptr))
    y = factor.y[:nnz, 0] + 1j * factor.y[:nnz, 1]
    weight = np.abs((v[row] * np.conj(y * v[plan.col])).imag)

    # Each pair appears twice, as (i, k) and (k, i): half of each makes the matrix symmetric.
    a = np.zeros(n + sym.n_upper)
    inner = plan.slot >= 0
    slot = plan.slot[inner]
    slot = np.where(slot < n + sym.n_upper, slot, slot - sym.n_upper)
    np.subtract.at(a, slot, 0.5 * weight[inner])
    to_slack = (row < n) & ~inner
    np.add.at(a, row[to_slack], weight[to_slack])
    np.add.at(a, row[inner], 0.5 * weight[inner])
    np.add.at(a, plan.col[inner], 0.5 * weight[inner])

    magnitude = np.abs(v[:n])
    turn = injections.s_power[plan.bus[:n]].real + injections.s_current[plan.bus[:n]].real * magnitude
    ldl_factor(sym.up, sym.uj, sym.target, a, np.empty(n), 1e-13)
    ldl_solve(sym.up, sym.uj, a, turn)
    v[:n] *= np.exp(1j * turn)
    turned = np.empty_like(v)
    turned[plan.bus] = v
    return turned
