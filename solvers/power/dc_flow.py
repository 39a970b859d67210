"""Linear (DC) load flow: active power and angles alone, without losses.

Unknowns: theta_i [rad] of each bus that is not a slack. With b = 1 / (t x) of a branch of reactance x and ratio t between
i and k, and its phase shift phi,

    P_ik = b (theta_i - theta_k - phi),     sum_k P_ik = P_i;

magnitudes stay at 1 pu or at what holds them, consumers draw what they draw at 1 pu, reactive power is left out. From
the admittances, y_ft = -y exp(j phi) / t and b = 1 / Im(1 / w) with w = -y_ft exp(-j phi).

Reference: B. Stott, J. Jardim, O. Alsac, "DC power flow revisited", IEEE Trans. Power Systems 24 (2009).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid_models.power.bus_branch import BusBranch, bus_branch
from grid_models.power.network import PowerNetwork
from grid_models.tables import frozen
from solvers.linalg.lu import lu_factor, lu_solve
from solvers.power.admittance import ComplexArray, FloatArray, Plan, prepare
from solvers.solution import Solution, Stats, Status


@dataclass(frozen=True, eq=False)
class LinearFlow:
    """A network solved without reactive power.

    Args:
        model: as the network's switches stood.
        v: (n_bus,) complex [pu]: angles, and magnitudes as they are held.
        p_from: (n_branch,) active power into each branch at its from end, and out of it at the other [pu].
    """

    model: BusBranch
    v: ComplexArray
    p_from: FloatArray


def dc_load_flow(network: PowerNetwork) -> Solution[LinearFlow]:
    """Process the topology of a network and solve it linearly.

    Args:
        network: as its tables stand.

    Returns:
        Status SOLVED; DEAD_ISLANDS or NO_SLACK with the buses that no source reaches; CONTRADICTORY where the reactances
        leave the angles undetermined. `stats.residual` is the largest power missing at a bus [pu].

    >>> from grid_models.formats.pandapower import read_packaged
    >>> float(abs(dc_load_flow(read_packaged("case9")).unwrap().p_from).max().round(3))
    1.63
    """
    model = bus_branch(network)
    names = network.tables["bus"].index
    dead = tuple(f"bus {bus}" for bus in names[model.dead_nodes[model.dead_nodes < len(names)]].tolist())
    if not model.n_bus:
        nothing = np.zeros(0)
        return Solution(LinearFlow(model, nothing.astype(np.complex128), nothing), Status.NO_SLACK, culprits=dead)
    plan = prepare(model)
    shift = network.equivalents.shift_rad[model.branch_row]
    b = susceptances(model, shift)
    injected = model.s_power.real + model.s_current.real - model.y_shunt.real
    theta = np.angle(model.v_start)
    flow = b * (theta[model.branch_from] - theta[model.branch_to] - shift)
    theta = theta + _turn(plan, model, b, injected - _leaving(model, flow))
    flow = b * (theta[model.branch_from] - theta[model.branch_to] - shift)
    missing = (injected - _leaving(model, flow))[plan.bus[: plan.symbolic.n]]
    residual = float(np.max(np.abs(missing), initial=0.0))
    value = LinearFlow(model, frozen(np.abs(model.v_start) * np.exp(1j * theta)), frozen(flow))
    if not residual < 1e-6 * max(1.0, float(np.max(np.abs(injected)))):
        return Solution(value, Status.CONTRADICTORY, Stats(1, residual), dead, "the reactances leave angles undetermined")
    return Solution(value, Status.DEAD_ISLANDS if dead else Status.SOLVED, Stats(1, residual), dead)


def susceptances(model: BusBranch, shift: FloatArray) -> FloatArray:
    """(n_branch,) b [pu]; of a branch without reactance that of its resistance, so that it still ties its buses together.

    Args:
        model: with the admittances.
        shift: (n_branch,) [rad].
    """
    w = -model.y_ft * np.exp(-1j * shift)
    z = np.divide(1.0, w, out=np.zeros_like(w), where=w != 0)
    b: FloatArray = np.divide(1.0, z.imag, out=np.abs(w), where=np.abs(z.imag) > 1e-9 * np.abs(z))
    return b


def _leaving(model: BusBranch, flow: FloatArray) -> FloatArray:
    """(n_bus,) [pu]: what the branches take from each bus."""
    return np.asarray(np.bincount(model.branch_from, flow, model.n_bus) - np.bincount(model.branch_to, flow, model.n_bus))


def _turn(plan: Plan, model: BusBranch, b: FloatArray, missing: FloatArray) -> FloatArray:
    """(n_bus,) [rad]: what B^-1 makes of the missing power; 0 at slacks. B is the first diagonal of 2x2 blocks."""
    sym, n, nnz = plan.symbolic, plan.symbolic.n, len(plan.col)
    a = np.zeros((n + 2 * sym.n_upper, 4))
    a[:n, 3] = 1.0
    apart = model.branch_from != model.branch_to
    ends: NDArray[np.int64] = np.concatenate([plan.from_position, plan.to_position])
    a[:n, 0] = np.bincount(ends, np.tile(np.where(apart, b, 0.0), 2), len(plan.bus))[:n]
    entries = np.concatenate([plan.from_entry[apart], plan.to_entry[apart]])
    off = np.bincount(entries, np.tile(-b[apart], 2), nnz)
    inside = plan.slot >= 0
    a[plan.slot[inside], 0] = off[inside]
    x = np.zeros((n, 2))
    x[:, 0] = missing[plan.bus[:n]]
    lu_factor(sym.up, sym.uj, sym.target, a)
    lu_solve(sym.up, sym.uj, a, x)
    turn = np.zeros(model.n_bus)
    turn[plan.bus[:n]] = x[:, 0]
    return turn
