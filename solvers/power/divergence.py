"""Why a load flow does not converge: how far the load can grow, and where the voltage gives way.

All injections are scaled by lambda, from 0 (the network without load and generation, no_load.py) to 1, each solution
starting from the one before, carried on along the secant. The path ends at lambda = 1, which is then solved after all,
or at the nose, where the Jacobian is singular and the two solutions of lower and higher voltage meet: no voltage
carries more. The step is halved until it is below 0.1 % of the load; buses whose voltage falls fastest along the last
step (or turns fastest, where all are held) are where it gives way. Where lambda = 0 has no solution within reach, or
none that could be a network's, the data are at fault, not the load.

Reference: V. Ajjarapu, C. Christy, "The continuation power flow: a tool for steady state voltage stability analysis",
IEEE Trans. Power Systems 7 (1992).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from grid_models.power.bus_branch import PQ, BusBranch
from solvers.power.admittance import ComplexArray, Injections
from solvers.solution import Solution, Status


class HasVoltages(Protocol):
    """What a solve hands back."""

    @property
    def v(self) -> ComplexArray:
        """(n_bus,) complex [pu]."""


VoltagesT = TypeVar("VoltagesT", bound=HasVoltages)

_FIRST_STEP = 0.25
_LAST_STEP = 1e-3
# A voltage that moves further in one step has left the branch of operable solutions.
_LARGEST_MOVE_PU = 0.4
# Charging may lift an unloaded network far above nominal; only wrong data press it down.
_PLAUSIBLE_PU = 0.5


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the path shows.

    Args:
        status: SOLVED, VOLTAGE_COLLAPSE or CONTRADICTORY.
        carried: the share of all injections that the network can carry, 1 where solved, nan where contradictory.
        v: (n_bus,) complex [pu] there.
        weakest: buses of the model whose voltage gives way first, fastest first.
    """

    status: Status
    carried: float
    v: ComplexArray
    weakest: NDArray[np.int64]


def follow_load(
    model: BusBranch,
    injections: Injections,
    first: ComplexArray,
    solve: Callable[[Injections, ComplexArray], Solution[VoltagesT]],
    n: int = 8,
) -> Verdict:
    """Let the load grow until it is served or the voltage gives way.

    Args:
        model: of the network.
        injections: at lambda = 1.
        first: (n_bus,) complex [pu], a start for lambda = 0 (no_load.py).
        solve: of injections from one start, without second tries.
        n: how many buses to name.

    Returns:
        The verdict.
    """
    found = solve(_scaled(injections, 0.0), first)
    v = found.value.v
    if not found.status.usable or np.abs(v).min() < _PLAUSIBLE_PU:
        return Verdict(Status.CONTRADICTORY, float("nan"), v, np.argsort(np.abs(v), kind="stable")[:n])
    slope = np.zeros_like(v)
    carried, step = 0.0, _FIRST_STEP
    while carried < 1.0 and step >= _LAST_STEP:
        step = min(step, 1.0 - carried)
        guess = _held(v + slope * step, model)
        found = solve(_scaled(injections, carried + step), guess)
        moved = found.value.v - v
        if found.status.usable and np.max(np.abs(moved)) < _LARGEST_MOVE_PU:
            slope = moved / step
            v, carried, step = found.value.v, carried + step, 1.6 * step
        else:
            step *= 0.5
    falling = -(slope * np.conj(v)).real / np.abs(v)
    weakest = np.argsort(-(falling if falling.max() > 0 else np.abs(slope)), kind="stable")[:n]
    status = Status.SOLVED if carried >= 1.0 else Status.VOLTAGE_COLLAPSE
    return Verdict(status, carried, v, weakest)


def told(verdict: Verdict, model: BusBranch, *, simplified: bool) -> str:
    """One clause for people; empty where the load is served after all.

    Args:
        verdict: of the path.
        model: that it was followed on.
        simplified: whether the path left out reactive limits or shared slacks that the load flow had.
    """
    if verdict.status is Status.SOLVED:
        return "without reactive limits, and with one reference, it has a solution" if simplified else ""
    if verdict.status is Status.CONTRADICTORY:
        low, high = np.abs(verdict.v).min(), np.abs(verdict.v).max()
        found = f"the voltages lie between {low:.2f} and {high:.2f} pu" if np.isfinite(high) else "no voltages are found"
        return f"even without load and generation {found}: look for wrong impedances, taps or set-points"
    island = model.bus_island == model.bus_island[verdict.weakest[0]]
    size = f"an island of {int(island.sum())} of {model.n_bus} buses" if not island.all() else f"all {model.n_bus} buses"
    return (
        f"the network carries {100 * verdict.carried:.1f} % of its load and generation; beyond that the voltages of the "
        f"named buses give way ({size}; the lowest there is {np.abs(verdict.v[island]).min():.2f} pu)"
    )


def _scaled(injections: Injections, share: float) -> Injections:
    return Injections(share * injections.s_power, share * injections.s_current)


def _held(v: ComplexArray, model: BusBranch) -> ComplexArray:
    """The guess with |V| at its set-point where it is held."""
    size = np.abs(v)
    factor = np.where((model.bus_kind != PQ) & (size > 0), model.v_set / np.where(size > 0, size, 1.0), 1.0)
    return np.asarray(v * factor)
