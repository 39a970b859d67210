"""Reactive limits of generators: a voltage is held only while the machine has the reactive power to hold it.

A PV bus whose generation leaves its range [q_min, q_max] becomes PQ at the limit it has met; it holds its voltage again
when that would bring it back inside:

    at q_max:  back to PV when |V| > v_set      (less would do)
    at q_min:  back to PV when |V| < v_set

All violations of a round change at once; a bus that goes to and fro stays at its limit. Slack buses have no limits.

Reference: P. Kundur, "Power System Stability and Control" (1994), ch. 6.4.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from grid_models.power.bus_branch import PV, BusBranch
from solvers.power.admittance import ComplexArray, Factor, Injections, Plan, drawn
from solvers.solution import Solution, Status

_TOLERANCE_PU = 1e-9
_MOST_ROUNDS = 40
_MOST_RETURNS = 2


class HasVoltages(Protocol):
    """What a solve hands back."""

    @property
    def v(self) -> ComplexArray:
        """(n_bus,) complex [pu]."""


VoltagesT = TypeVar("VoltagesT", bound=HasVoltages)


def within_limits(
    plan: Plan,
    factor: Factor,
    model: BusBranch,
    injections: Injections,
    start: ComplexArray,
    solve: Callable[[Injections, ComplexArray, NDArray[np.bool_]], Solution[VoltagesT]],
) -> tuple[Solution[VoltagesT], NDArray[np.int8]]:
    """Solve with generators inside their reactive ranges.

    Args:
        plan: of the topology.
        factor: of the parameters.
        model: with the ranges.
        injections: without generators' reactive power.
        start: (n_bus,) complex [pu].
        solve: of injections, a start, and which buses hold their voltage.

    Returns:
        The last solution; (n_bus,) 1 at the greatest, -1 at the least reactive power, 0 inside.
    """
    holds = model.bus_kind == PV
    at = np.zeros(model.n_bus, dtype=np.int8)
    returns = np.zeros(model.n_bus, dtype=np.int64)
    v = start
    for _ in range(_MOST_ROUNDS):
        limit = np.where(at > 0, model.q_max, np.where(at < 0, model.q_min, 0.0))
        moved = Injections(injections.s_power + 1j * np.where(at != 0, limit, 0.0), injections.s_current)
        solution = solve(moved, v, holds & (at == 0))
        if not solution.status.usable:
            return solution, at
        v = solution.value.v.copy()
        vm = np.abs(v)
        generated = drawn(plan, factor, v).imag - injections.s_power.imag - injections.s_current.imag * vm
        inside = holds & (at == 0)
        over, under = inside & (generated > model.q_max + _TOLERANCE_PU), inside & (generated < model.q_min - _TOLERANCE_PU)
        back = ((at > 0) & (vm > model.v_set + _TOLERANCE_PU)) | ((at < 0) & (vm < model.v_set - _TOLERANCE_PU))
        back &= returns < _MOST_RETURNS
        if not (over | under | back).any():
            return solution, at
        returns[back] += 1
        at[over], at[under], at[back] = 1, -1, 0
        v[back] *= model.v_set[back] / vm[back]
    return replace(solution, status=Status.NOT_CONVERGED), at
