"""Series capacitors and static compensators that regulate: their own unknowns, found around the load flow.

Each TCSC in control has a susceptance b such that the power p_to into its to end is its set-point; each SSC (STATCOM) a
voltage E behind its impedance, giving no active power, such that its bus has the voltage set. With x = (b, E) and the
load flow's own answer V(x),

    g(x) = (Re[V_t conj(I_t)] - p_set,  |V| - v_set) = 0

is solved by Broyden's method: J from one load flow for each device, then J := J + (dg - J dx) dx^T / |dx|^2. A step
after which |g| has not shrunk is halved; |g| sums squares, so that a device out of reach does not hold up the others. An
SVC in control needs none of this: it holds its bus by reactive power alone.

Reference: C. G. Broyden, "A class of methods for solving nonlinear simultaneous equations", Math. Comp. 19 (1965).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from grid_models.power.injections import controlled
from grid_models.power.network import PowerNetwork
from solvers.power.admittance import ComplexArray, FloatArray
from solvers.power.newton import LoadFlow
from solvers.solution import Solution, Status

Solve = Callable[[PowerNetwork, ComplexArray | None], Solution[LoadFlow]]

_CLOSED_PU = 1e-9
_MOST_ROUNDS = 40
_MOST_HALVINGS = 8
_PROBE = 1e-3


def regulates(network: PowerNetwork) -> bool:
    """Whether any TCSC or SSC is in control."""
    return any(_in_control(network, element).any() for element in ("tcsc", "ssc"))


@dataclass(frozen=True, eq=False)
class _Devices:
    """Those under voltage: rows of `tcsc` and of `ssc`, and of their equivalents."""

    tcsc: NDArray[np.int64]
    ssc: NDArray[np.int64]
    tcsc_branch: NDArray[np.int64]
    ssc_branch: NDArray[np.int64]

    def moved(self, network: PowerNetwork, x: FloatArray) -> PowerNetwork:
        """The network with these susceptances [pu] and inner voltages [pu]."""
        eq, n = network.equivalents, len(self.tcsc)
        y = -1j * x[:n]
        parts = {name: getattr(eq, name).copy() for name in ("y_ff", "y_ft", "y_tf", "y_tt")}
        for name, column in parts.items():
            column[self.tcsc_branch] = y if name in ("y_ff", "y_tt") else -y
        tables = dict(network.tables)
        if len(self.ssc):
            tables["ssc"] = tables["ssc"].replace("vm_internal_pu", self.ssc, x[n:])
        return replace(network, tables=tables, equivalents=replace(eq, **parts))

    def missed(self, network: PowerNetwork, flow: LoadFlow) -> FloatArray:
        """What g misses [pu]."""
        model, v = flow.model, flow.v
        at = np.searchsorted(model.branch_row, self.tcsc_branch)
        v_from, v_to = v[model.branch_from[at]], v[model.branch_to[at]]
        p_to = (v_to * np.conj(model.y_tf[at] * v_from + model.y_tt[at] * v_to)).real
        found = []
        if len(self.tcsc):
            found.append(p_to - network.tables["tcsc"]["set_p_to_mw"][self.tcsc] / network.sn_mva)
        if len(self.ssc):
            bus = model.branch_from[np.searchsorted(model.branch_row, self.ssc_branch)]
            found.append(np.abs(v[bus]) - network.tables["ssc"]["set_vm_pu"][self.ssc])
        return np.concatenate(found)


def with_regulation(network: PowerNetwork, solve: Solve) -> Solution[LoadFlow]:
    """Solve a network whose TCSCs and SSCs regulate.

    Args:
        network: with some of them in control.
        solve: of a network and voltages to start from.

    Returns:
        The last solution; its model has the admittances found. NOT_CONVERGED with the devices that do not reach their
        set-points. `stats.extra["regulation_rounds"]` counts the load flows.
    """
    if _in_control(network, "ssc").any():
        held = np.flatnonzero(_in_control(network, "ssc"))
        table = network.tables["ssc"]
        tables = {**network.tables, "ssc": table.replace("vm_internal_pu", held, table["set_vm_pu"][held])}
        network = replace(network, tables=tables)
    first = solve(network, None)
    devices = _alive(network, first.value)
    n = len(devices.tcsc) + len(devices.ssc)
    if not first.status.usable or n == 0:
        return first
    rounds = 1

    def at(x: FloatArray, start: ComplexArray) -> tuple[Solution[LoadFlow], FloatArray]:
        nonlocal rounds
        rounds += 1
        moved = devices.moved(network, x)
        answer = solve(moved, start)
        return answer, devices.missed(moved, answer.value) if answer.status.usable else np.full(n, np.inf)

    x = np.concatenate([network.equivalents.y_ft.imag[devices.tcsc_branch], _internal(network, devices.ssc)])
    best, g = first, devices.missed(network, first.value)
    jacobian = np.empty((n, n))
    for k in range(n):
        probe = x.copy()
        probe[k] += _PROBE * max(abs(x[k]), 1.0)
        jacobian[:, k] = (at(probe, best.value.v)[1] - g) / (probe[k] - x[k])
    while np.abs(g).max() > _CLOSED_PU and rounds < _MOST_ROUNDS + n and np.isfinite(jacobian).all():
        whole = -np.linalg.lstsq(jacobian, g, rcond=None)[0]
        for halvings in range(_MOST_HALVINGS):
            step = whole * 0.5**halvings
            answer, missed = at(x + step, best.value.v)
            if np.linalg.norm(missed) < np.linalg.norm(g):
                break
        if not np.isfinite(missed).all():
            break
        jacobian += np.outer(missed - g - jacobian @ step, step) / (step @ step)
        x, g, best = x + step, missed, answer
    best = replace(best, stats=replace(best.stats, extra={**best.stats.extra, "regulation_rounds": rounds}))
    if np.abs(g).max() <= _CLOSED_PU:
        return best
    names = [*_names(network, "tcsc", devices.tcsc), *_names(network, "ssc", devices.ssc)]
    stuck = tuple(name for name, miss in zip(names, g, strict=True) if abs(miss) > _CLOSED_PU)
    detail = "the network has a solution, but these devices do not reach their set-points"
    return Solution(best.value, Status.NOT_CONVERGED, best.stats, stuck, detail)


def _in_control(network: PowerNetwork, element: str) -> NDArray[np.bool_]:
    if element not in network.tables:
        return np.zeros(0, dtype=bool)
    return np.asarray(network.in_service(element) & controlled(network, element))


def _alive(network: PowerNetwork, flow: LoadFlow) -> _Devices:
    rows, branches = [], []
    for element in ("tcsc", "ssc"):
        branch = network.equivalents.rows_of(element)
        row = network.equivalents.row[branch]
        use = np.isin(branch, flow.model.branch_row) & _in_control(network, element)[row]
        rows.append(row[use])
        branches.append(branch[use])
    return _Devices(rows[0], rows[1], branches[0], branches[1])


def _internal(network: PowerNetwork, rows: NDArray[np.int64]) -> FloatArray:
    return network.tables["ssc"]["vm_internal_pu"][rows].astype(np.float64) if len(rows) else np.zeros(0)


def _names(network: PowerNetwork, element: str, rows: NDArray[np.int64]) -> list[str]:
    return [f"{element} {network.tables[element].index[row]}" for row in rows.tolist()]
