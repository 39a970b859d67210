"""One hydraulic state within kernels: where the iteration begins, the balance, and what must be said of where it ends.

A warm start takes the flows and heads of another state, and the statuses of links that its rules have moved: a check valve's, a
PRV's or PSV's in control, those of pumps that cannot lift, of pipes and pumps at full or empty tanks. All others begin as told.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy import uint64
from numpy.typing import NDArray

from solvers.accelerate import kernel, part
from solvers.water.folding import fits, fold, unfold
from solvers.water.gradient import SETTLED, STUCK, Work, balance
from solvers.water.plan import ACTIVE, CLOSED, CV, FCV, PRV, PSV, PUMP, XHEAD, Floats, Index, Laws, Reduction

ACCURACY = 1e-7  # of flows; heads follow to well below a millimetre
TRIALS = 400
# Verdicts, the graver the higher.
SOLVED, NEGATIVE_PRESSURE, STALLED_PUMP, YIELDING_VALVE, SUPPLY_LIMITED, NO_SUPPLY, HUNTING_VALVES, NOT_CONVERGED = range(8)


class State(NamedTuple):
    """A hydraulic state as kernels take it; fields as in `Hydraulics`."""

    head: Floats
    flow: Floats
    status: Index
    demand: Floats
    emitted: Floats
    supplied: NDArray[np.bool_]


class Folded(NamedTuple):
    """Work space for the reduced network.

    Args:
        work: of its balance.
        state: its state.
        gathered: (n_node,) demands with those of the trees that hang on a node [m3/s].
        held: (n_core,) heads of reservoirs and tanks [m].
        told: (n_core_link,) statuses as told.
        setting: (n_core_link,).
        tree_q, tree_h, tree_g: (n_row, 8) the trees' pipes in vectors.
    """

    work: Work
    state: State
    gathered: Floats
    held: Floats
    told: Index
    setting: Floats
    tree_q: Floats
    tree_h: Floats
    tree_g: Floats


class Solver(NamedTuple):
    """All that solves one network: its numbers, whole and reduced, and a worker's space for both."""

    net: Laws
    work: Work
    reduction: Reduction
    folded: Folded


def nothing(n_node: int, n_link: int) -> State:
    """Room for a state."""
    return State(
        np.zeros(n_node), np.zeros(n_link), np.zeros(n_link, dtype=np.int64), np.zeros(n_node), np.zeros(n_node),
        np.zeros(n_node, dtype=np.bool_),
    )  # fmt: skip


@part
def take_outflows(net: Laws, w: Work, head: Floats, lift: float) -> None:
    """Begin with the outflows that these heads and `lift` [m] make."""
    for o in range(len(net.out_node)):
        i = net.out_node[o]
        w.out_q[o] = net.out_k[o] * max(head[i] + lift - net.elevation[i], 0.0) ** net.out_n[o]


@part
def begin_link(net: Laws, k: int, told: int, setting: float, was: int, flow: float, warm: bool) -> tuple[int, float]:
    """Status and flow that link k begins with.

    Args:
        net: the network's numbers.
        k: the link.
        told: its status as told.
        setting: of the link.
        was: its status in the state to begin from.
        flow: likewise [m3/s].
        warm: whether there is such a state.
    """
    kind, status = net.kind[k], told
    by_rule = kind == CV or (kind in (PRV, PSV) and not np.isnan(setting)) or (kind <= PUMP and was < CLOSED)
    if warm and by_rule and told > CLOSED:
        status = was
    if status <= CLOSED:
        return status, 0.0
    return status, flow if warm and was > CLOSED else net.first_flow[k] * (setting if kind == PUMP else 1.0)


@part
def begin(net: Laws, w: Work, held: Floats, status: Index, setting: Floats, s: State, warm: bool) -> None:
    """Set statuses, flows and heads to begin with, in place of the state to begin from.

    Args:
        net: the network's numbers.
        w: scratch; `wanted` is read, outflows are set.
        held: (n_node,) heads of reservoirs and tanks [m].
        status: (n_link,) as told.
        setting: (n_link,).
        s: the state to begin from; receives where to begin.
        warm: whether `s` is a state at all.
    """
    for k in range(len(s.flow)):
        s.status[k], s.flow[k] = begin_link(net, k, status[k], setting[k], s.status[k], s.flow[k], warm)
    for i in range(len(s.head)):
        wanted = max(w.wanted[i], 0.0)
        w.served[i] = min(wanted, s.demand[i]) if warm and s.supplied[i] else wanted
        if net.row[i] < 0:
            s.head[i] = held[i]
        elif not (warm and np.isfinite(s.head[i])):
            s.head[i] = net.elevation[i]
    take_outflows(net, w, s.head, 0.0 if warm else 1.0)


@kernel
def solve_state(
    solver: Solver, demand: Floats, held: Floats, status: Index, setting: Floats, s: State, warm: bool,
    accuracy: float, trials: int, check_every: int, check_until: int,
) -> tuple[int, float, float, int]:  # fmt: skip
    """Solve one hydraulic state.

    Args:
        solver: of the network; afterwards its work space belongs to this state, `named_node` and `named_link` are what the
            verdict speaks of.
        demand: (n_node,) drawn at junctions [m3/s]; of others ignored.
        held: (n_node,) heads of reservoirs and tanks [m]; of others ignored.
        status: (n_link,) as told.
        setting: (n_link,) as told.
        s: where to begin if `warm`; receives the state.
        warm: whether `s` is a state to begin from.
        accuracy: of `balance`.
        trials: likewise.
        check_every: likewise.
        check_until: likewise.

    Returns:
        Iterations, largest head residual [m], largest mass residual [m3/s], verdict.
    """
    net, w = solver.net, solver.work
    take_demands(net, w, demand)
    iterations, head_error, mass_error, outcome = 0, 0.0, 0.0, STUCK
    if len(solver.reduction.graph.removed) > 0 and fits(solver.reduction, status):
        r, c = solver.reduction, solver.folded
        enter(solver, held, status, setting, s, warm)
        iterations, head_error, mass_error, outcome = balance(
            r.core, c.work, c.setting, c.work.wanted, c.state.head, c.state.flow, c.state.status, not warm,
            accuracy, trials, check_every, check_until,
        )  # fmt: skip
        if not leave(solver, s, outcome == SETTLED):
            outcome = STUCK
    if outcome != SETTLED:
        begin(net, w, held, status, setting, s, warm)
        more, head_error, mass_error, outcome = balance(
            net, w, setting, w.wanted, s.head, s.flow, s.status, not warm, accuracy, trials, check_every, check_until
        )
        iterations += more
    return iterations, head_error, mass_error, finish(net, w, setting, s, outcome)


@part
def take_demands(net: Laws, w: Work, demand: Floats) -> None:
    """Set what is wanted: nothing at reservoirs and tanks."""
    for i in range(len(demand)):
        w.wanted[i] = demand[i] if net.row[i] >= 0 else 0.0


@part
def enter(solver: Solver, held: Floats, status: Index, setting: Floats, s: State, warm: bool) -> None:
    """Set the reduced network's demands and where its balance begins; what is wanted is in the work space."""
    r, c = solver.reduction, solver.folded
    core, own, graph = c.work, c.state, r.graph
    fold(r, solver.work.wanted, c.gathered, core.wanted, core.shift)
    for i in range(len(own.head)):
        at = uint64(graph.node[i])
        own.head[i], own.demand[i], own.supplied[i], c.held[i] = s.head[at], core.wanted[i], s.supplied[at], held[at]
    for k in range(len(own.flow)):
        first = uint64(graph.first[k])
        at = uint64(graph.pipe[first])
        own.flow[k], own.status[k] = graph.turn[first] * s.flow[at], s.status[at]
        c.told[k], c.setting[k] = status[at], setting[at]
    begin(r.core, core, c.held, c.told, c.setting, own, warm)


@part
def leave(solver: Solver, s: State, settled: bool) -> bool:
    """Fill the whole network from the reduced one's balance; whether that is the network's. If not, `s` is as it was."""
    w, r, c = solver.work, solver.reduction, solver.folded
    core, own, graph = c.work, c.state, r.graph
    for i in range(len(w.wanted)):
        at = uint64(graph.owner[i])
        w.parts.grounded[i], w.parts.scale[i] = core.parts.grounded[at], core.parts.scale[at]
        w.served[i] = w.parts.scale[i] * w.wanted[i]
        if w.wanted[i] < 0.0 and not w.parts.grounded[i]:  # what a part without source gives has a share of its own
            settled = False
    if not settled:
        return False
    unfold(
        r, own.head, own.flow, own.status, core.parts.scale, c.gathered, core.shift, core.lane_h, c.tree_q, c.tree_h,
        c.tree_g, s.head, s.flow, s.status,
    )  # fmt: skip
    w.out_q[:] = core.out_q
    w.parts.forced[:] = False
    for k in range(len(own.flow)):
        w.parts.forced[graph.pipe[graph.first[k]]] = core.parts.forced[k]
    return True


@part
def finish(net: Laws, w: Work, setting: Floats, s: State, outcome: int) -> int:
    """What consumers and openings get, and the verdict."""
    s.emitted[:] = 0.0
    for o in range(len(net.out_node)):
        s.emitted[net.out_node[o]] += w.out_q[o]
    for i in range(len(s.head)):
        s.supplied[i] = w.parts.grounded[i]
        s.demand[i] = w.served[i]
        if not w.parts.grounded[i]:
            s.head[i] = np.nan
    return _verdict(net, w, setting, s, outcome)


@part
def _verdict(net: Laws, w: Work, setting: Floats, s: State, outcome: int) -> int:
    """What must be said of the state, the gravest; its nodes or links are marked."""
    w.named_node[:] = False
    w.named_link[:] = False
    if outcome == STUCK:
        return NOT_CONVERGED
    if outcome != SETTLED:
        for k in range(len(s.flow)):
            w.named_link[k] = w.flips[k] > 0
        return HUNTING_VALVES
    dry, dry_demand, short = False, False, False
    for i in range(len(s.head)):
        if not s.supplied[i]:
            limited = 0.0 < w.parts.scale[i] < 1.0
            w.named_node[i] = not limited
            short |= limited
            dry |= not limited
            dry_demand |= not limited and w.wanted[i] != 0.0
    stalled = False
    for k in net.judged:
        if net.kind[k] == PUMP and s.status[k] == XHEAD:
            stalled = w.named_link[k] = True
    if dry and (dry_demand or not stalled):
        return NO_SUPPLY
    if short:
        for k in net.judged:
            w.named_link[k] = net.kind[k] == FCV and s.status[k] == ACTIVE and not s.supplied[net.end[k]]
        return SUPPLY_LIMITED
    yielding = False
    for k in net.judged:
        i = net.start[k]
        if w.parts.forced[k] and s.head[i] < net.elevation[i] + setting[k]:
            yielding = True
    if yielding:
        for k in net.judged:
            i = net.start[k]
            w.named_link[k] = w.parts.forced[k] and s.head[i] < net.elevation[i] + setting[k]
        return YIELDING_VALVE
    if stalled:
        return STALLED_PUMP
    negative = False
    for i in range(len(s.head)):
        w.named_node[i] = net.row[i] >= 0 and w.wanted[i] > 0.0 and s.head[i] < net.elevation[i]
        negative |= w.named_node[i]
    return NEGATIVE_PRESSURE if negative else SOLVED
