"""The voltages of a network without load: a start for the path along the load.

Where nothing is injected the equations are linear. With the voltages of slack and PV buses (S) as given, those of the
others (L) follow from zero currents:

    Y_LL V_L + Y_LS V_S = 0.

Newton's method on powers may miss this solution, for it also finds V_i = 0 wherever nothing is injected.
"""

from __future__ import annotations

import numpy as np

from solvers.linalg.lu import lu_factor, lu_solve
from solvers.power.admittance import ComplexArray, Factor, Plan


def no_load(plan: Plan, factor: Factor, start: ComplexArray) -> ComplexArray:
    """Voltages without injections, PV and slack buses as in the start.

    Args:
        plan: of the topology.
        factor: of the parameters.
        start: (n_bus,) complex [pu].

    Returns:
        (n_bus,) complex [pu].
    """
    sym, n_bus, nnz = plan.symbolic, len(plan.bus), len(plan.col)
    v = start[plan.bus]
    row = np.repeat(np.arange(n_bus), np.diff(plan.ptr))
    given = np.ones(n_bus, dtype=bool)
    given[: sym.n] = plan.is_pv != 0
    # A complex number g + jb is the block [[g, -b], [b, g]]; rows of given voltages read V_i = start_i.
    a = np.zeros((sym.n + 2 * sym.n_upper, 4))
    inside = (plan.slot >= 0) & ~given[row] & ~given[plan.col]
    a[plan.slot[inside]] = factor.y[:nnz][inside][:, [0, 1, 1, 0]] * (1.0, -1.0, 1.0, 1.0)
    free = ~given[: sym.n]
    a[: sym.n][free] = factor.y[nnz : nnz + sym.n][free][:, [0, 1, 1, 0]] * (1.0, -1.0, 1.0, 1.0)
    a[: sym.n][~free] = (1.0, 0.0, 0.0, 1.0)
    outside = given[plan.col]
    current = (factor.y[:nnz, 0] + 1j * factor.y[:nnz, 1]) * v[plan.col] * outside
    pull = -(np.bincount(row, current.real, n_bus) + 1j * np.bincount(row, current.imag, n_bus))[: sym.n]
    x = np.ascontiguousarray(np.where(free, pull, v[: sym.n])).view(np.float64).reshape(-1, 2)
    lu_factor(sym.up, sym.uj, sym.target, a)
    lu_solve(sym.up, sym.uj, a, x)
    out = start.copy()
    out[plan.bus[: sym.n]] = x[:, 0] + 1j * x[:, 1]
    return out
