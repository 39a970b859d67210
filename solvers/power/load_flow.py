"""The load flow of a network: topology processed, slack shared, limits kept, and a reason where there is no solution."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from grid_models.power.bus_branch import PQ, SLACK, BusBranch, bus_branch
from grid_models.power.network import PowerNetwork
from solvers.plan import RebuildReason, Reuse
from solvers.power.admittance import ComplexArray, Factor, Injections, Plan, factor, prepare
from solvers.power.distributed_slack import share_slack, with_one_reference
from solvers.power.divergence import follow_load, told
from solvers.power.near import Scratch as NearScratch
from solvers.power.near import solve_near
from solvers.power.newton import LoadFlow, Scratch, Voltages, solve, worst_buses
from solvers.power.no_load import no_load
from solvers.power.reactive_limits import within_limits
from solvers.power.regulation import regulates, with_regulation
from solvers.solution import Solution, Status


class Method(Protocol):
    """A load flow on a plan and a factor, as `load_flow` calls it."""

    def __call__(
        self,
        plan: Plan,
        factor: Factor,
        injections: Injections,
        start: ComplexArray,
        *,
        held: NDArray[np.bool_] | None = None,
        tolerance_pu: float = 1e-8,
    ) -> Solution[Voltages]:
        """Voltages with status SOLVED, NO_SLACK or NOT_CONVERGED."""


def load_flow(
    network: PowerNetwork,
    *,
    reuse: Reuse[BusBranch, Plan, Factor] | None = None,
    method: Method | None = None,
    enforce_q_limits: bool = False,
    distributed_slack: bool = False,
    start: ComplexArray | None = None,
    near: NearScratch | None = None,
    diagnose: bool = True,
    tolerance_pu: float = 1e-8,
    max_iterations: int = 30,
) -> Solution[LoadFlow]:
    """Process the topology of a network and solve it.

    It begins at `start`; without it where the bus table says (`vm_start_pu`, `va_start_degree`: the voltages in a MATPOWER
    case), else flat, and flat as well where that leads nowhere.

    Args:
        network: as its tables stand.
        reuse: plans and factors of earlier solves, `Reuse(prepare, factor)`; none if not given.
        method: another than Newton's, such as `solve_decoupled` (fast_decoupled.py).
        enforce_q_limits: generators hold their voltage only within their reactive range (reactive_limits.py).
        distributed_slack: machines share what is left over by `slack_weight` (distributed_slack.py).
        start: (n_bus,) complex [pu], voltages of an earlier `LoadFlow` with the same switches. Only
            its angles and the magnitudes that nothing holds are taken.
        near: a base case whose Jacobian serves here too, while parameters, set-points and the parts of loads that follow
            the voltage are its own (near.py); the start is then its solution.
        diagnose: follow the load's growth where no start leads to a solution (divergence.py), and say why.
        tolerance_pu: the largest power mismatch accepted.
        max_iterations: for each start.

    Returns:
        Status SOLVED; DEAD_ISLANDS or NO_SLACK with the buses that no source reaches; VOLTAGE_COLLAPSE with the buses
        whose voltage gives way and `stats.extra["carried"]`, the share of the load that can be served; CONTRADICTORY or
        NOT_CONVERGED with the buses of the largest mismatch. `stats.rebuilt` says what could not be reused, `detail` too
        where machines at one bus want different voltages.

    >>> from grid_models.formats.pandapower import read_packaged
    >>> load_flow(read_packaged("case9")).status.name
    'SOLVED'
    """
    alone = partial(
        _load_flow, reuse=reuse or Reuse(prepare, factor), method=method, enforce_q_limits=enforce_q_limits,
        distributed_slack=distributed_slack, near=near, diagnose=diagnose, tolerance_pu=tolerance_pu,
        max_iterations=max_iterations,
    )  # fmt: skip
    if regulates(network):
        return with_regulation(network, lambda moved, before: alone(moved, start=start if before is None else before))
    return alone(network, start=start)


def _load_flow(
    network: PowerNetwork,
    *,
    reuse: Reuse[BusBranch, Plan, Factor],
    method: Method | None,
    enforce_q_limits: bool,
    distributed_slack: bool,
    start: ComplexArray | None,
    near: NearScratch | None,
    diagnose: bool,
    tolerance_pu: float,
    max_iterations: int,
) -> Solution[LoadFlow]:
    """The load flow of a network whose devices stand where its tables say."""
    model = bus_branch(network)
    if enforce_q_limits:
        model = replace(model, within_q_limits=True)
    if distributed_slack:
        model = with_one_reference(model)
    plan, values, reasons = reuse.find(model)
    scratch = Scratch(plan)
    if near is not None and not near.base.serves(model):
        near, reasons = None, (*reasons, RebuildReason.ANOTHER_BASE)

    def once(injections: Injections, start: ComplexArray, held: NDArray[np.bool_] | None = None) -> Solution[Voltages]:
        if method is not None:
            return method(plan, values, injections, start, held=held, tolerance_pu=tolerance_pu)
        if near is not None and held is None:
            return solve_near(near, injections.s_power, tolerance_pu=tolerance_pu)
        return solve(
            plan, values, scratch, injections, start, flat=model.v_start, held=held, tolerance_pu=tolerance_pu,
            max_iterations=max_iterations,
        )  # fmt: skip

    def limited(injections: Injections, start: ComplexArray) -> Solution[Voltages]:
        return within_limits(plan, values, model, injections, start, once)[0] if enforce_q_limits else once(injections, start)

    injections = Injections(model.s_power, model.s_current)
    begin = _own_start(network, model) if start is None else start
    first = model.v_start if begin is None else warm_start(model, begin)
    if distributed_slack and model.n_bus:
        solution, unit = share_slack(plan, values, model, injections, first, limited)
        model = replace(model, slack_unit=unit)
    else:
        solution = limited(injections, first)
    worst = worst_buses(solution.value.mismatch)
    detail = ""
    if solution.status is Status.NOT_CONVERGED and diagnose:
        single = partial(solve, plan, values, scratch, patient=False, tolerance_pu=tolerance_pu, max_iterations=max_iterations)
        verdict = follow_load(model, injections, no_load(plan, values, model.v_start), single)
        detail = told(verdict, model, simplified=enforce_q_limits or distributed_slack)
        if verdict.status is not Status.SOLVED:
            stats = replace(solution.stats, extra={**solution.stats.extra, "carried": verdict.carried})
            solution = Solution(solution.value, verdict.status, stats)
            worst = verdict.weakest if len(verdict.weakest) else worst
        elif method is not None:
            detail = "Newton's method finds a solution"
        elif not detail:
            spent = solution.stats.iterations
            solution = once(injections, verdict.v)
            solution = replace(solution, stats=replace(solution.stats, iterations=spent + solution.stats.iterations))
    status, culprits = solution.status, solution.culprits
    bus_ids = network.tables["bus"].index
    if not status.usable and status is not Status.NO_SLACK:
        nodes = model.bus_node[worst]
        culprits = tuple(f"bus {bus_ids[node]}" for node in nodes if 0 <= node < len(bus_ids))
    dead = model.dead_nodes[model.dead_nodes < len(bus_ids)]
    if len(model.contested) and status.usable:
        named = ", ".join(f"bus {bus_ids[node]}" for node in model.bus_node[model.contested[:8]])
        detail = f"machines at one bus want different voltages or angles, and the first has its way ({named})"
    if len(dead) and status in (Status.SOLVED, Status.NO_SLACK):
        status = Status.DEAD_ISLANDS if status is Status.SOLVED else status
        culprits = tuple(f"bus {bus}" for bus in bus_ids[dead].tolist())
    rebuilt = tuple(reason.value for reason in reasons) + solution.stats.rebuilt
    value = LoadFlow(model, solution.value.v, solution.value.mismatch)
    return Solution(value, status, replace(solution.stats, rebuilt=rebuilt), culprits, detail)


def _own_start(network: PowerNetwork, model: BusBranch) -> ComplexArray | None:
    """Where the bus table says to begin; nan at buses of which it says nothing."""
    bus = network.tables["bus"]
    if "vm_start_pu" not in bus or "va_start_degree" not in bus:
        return None
    said = bus["vm_start_pu"] * np.exp(1j * np.deg2rad(bus["va_start_degree"]))
    here = (model.bus_node >= 0) & (model.bus_node < bus.size)
    return np.where(here, said[np.where(here, model.bus_node, 0)], np.nan)


def warm_start(model: BusBranch, v: ComplexArray) -> ComplexArray:
    """Earlier voltages as a start: magnitudes that are held at their set-points, slacks at their angles.

    Args:
        model: of today.
        v: (n_bus,) complex [pu], of a model with the same buses.

    Raises:
        ValueError: another number of buses.
    """
    if len(v) != model.n_bus:
        raise ValueError(f"start: voltages of {len(v)} buses for a model of {model.n_bus}; solve it from a flat start")
    size = np.abs(v)
    usable = np.isfinite(v) & (size > 0)
    phase = np.divide(v, size, out=model.v_start / np.abs(model.v_start), where=usable)
    started = phase * np.where((model.bus_kind == PQ) & usable, size, model.v_set)
    return np.where(model.bus_kind == SLACK, model.v_start, started)
