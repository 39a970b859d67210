"""Distributed slack: what generation and load leave over is shared by many machines, not carried by one.

In each island, with weights w that sum to one over its machines and one bus r that gives the angle,

    P_i = scheduled_i + w_i D,     D such that P_r(V) = scheduled_r + w_r D as well.

D is found by D := D + (P_r(V) - scheduled_r - w_r D): a change of D leaves r but for the change of the losses, a few
percent, so each round wins a digit or two. Other slack buses of the island hold their voltage.

Reference: P. Yan, "Modified distributed slack bus load flow algorithm for determining economic dispatch in deregulated
power systems", IEEE PES Winter Meeting (2001).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from grid_models.power.bus_branch import PV, SLACK, BusBranch
from solvers.power.admittance import ComplexArray, Factor, FloatArray, Injections, Plan, drawn
from solvers.power.reactive_limits import VoltagesT
from solvers.solution import Solution, Status

_MOST_ROUNDS = 40
_CLOSED_PU = 1e-8


def with_one_reference(model: BusBranch) -> BusBranch:
    """The model with the first slack of each island as its angle reference, the others as PV.

    Where an island has no weights, its reference takes all.
    """
    kind = model.bus_kind.copy()
    slack = np.flatnonzero(kind == SLACK)
    _, first = np.unique(model.bus_island[slack], return_index=True)
    reference = slack[first]
    kind[slack] = PV
    kind[reference] = SLACK
    weight = np.maximum(model.slack_weight, 0.0)
    total = np.bincount(model.bus_island, weight)
    alone = total[model.bus_island[reference]] <= 0
    weight[reference[alone]] = 1.0
    return replace(model, bus_kind=kind, slack_weight=weight, distributed_slack=True)


def share_slack(
    plan: Plan,
    factor: Factor,
    model: BusBranch,
    injections: Injections,
    start: ComplexArray,
    solve: Callable[[Injections, ComplexArray], Solution[VoltagesT]],
) -> tuple[Solution[VoltagesT], FloatArray]:
    """Solve with the slack shared by weight.

    Args:
        plan: of the topology, made for a model from `with_one_reference`.
        factor: of the parameters.
        model: with one reference an island.
        injections: with scheduled generation.
        start: (n_bus,) complex [pu].
        solve: of injections and a start.

    Returns:
        The last solution; (n_bus,) what a weight of one adds to the schedule [pu].
    """
    reference = np.flatnonzero(model.bus_kind == SLACK)
    island = model.bus_island
    weight = model.slack_weight / np.bincount(island, model.slack_weight)[island]
    extra = np.zeros(int(island.max(initial=-1)) + 1)
    v = start
    for _ in range(_MOST_ROUNDS):
        shared = Injections(injections.s_power + weight * extra[island], injections.s_current)
        solution = solve(shared, v)
        if not solution.status.usable:
            break
        v = solution.value.v
        current = injections.s_current[reference].real * np.abs(v[reference])
        left = drawn(plan, factor, v)[reference].real - shared.s_power[reference].real - current
        extra[island[reference]] += left
        if np.abs(left).max(initial=0.0) < max(_CLOSED_PU, factor.rounding_pu):
            break
    else:
        solution = replace(solution, status=Status.NOT_CONVERGED)
    return solution, extra[island] / np.bincount(island, model.slack_weight)[island]
