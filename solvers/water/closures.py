"""A pipe or valve that was closed without a word: which one explains what the sensors show.

Closing pipe l from i to j, which carries q_l, is the same as leaving it and drawing x at j what is fed in at i, where x is what
the pipe then carries itself (the line outage distribution factors of load flow). With S the sensitivities of outputs to
demands, t_l = dq_l / dx:

    x_l = q_l / (1 - t_l)            D_il = x_l (S_ij - S_ii')        t_l -> 1: nothing else leads there

Head loss is not linear, so the likeliest pipes are closed in the model and solved. Unlike a leak's, a closure's picture
has no free size. Against "nothing has changed", the mean innovation e of a window, with covariance C (leak_memory.py),
speaks for it by

    G_l = 1/2 ( e' C^-1 e  -  (e - D_l)' V_l^-1 (e - D_l)  -  ln det V_l / det C ),      V_l = C + diag((epsilon D_il)^2)

where epsilon is the share of the picture that may be wrong. Some of G must remain when the strongest sensor is left out:
what that one alone shows may be its fault. But a pipe's closing may be seen at one sensor alone: where G is larger still, and
by a margin larger than any leak's, it is told with the sensor's name.

Reference: A. J. Wood, B. F. Wollenberg, G. B. Sheble, "Power Generation, Operation, and Control" (2014), 7.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from solvers.water.estimation import Instruments, Prediction
from solvers.water.leak_memory import (
    Closure,
    Memory,
    Observation,
    Past,
    Pictures,
    Settings,
    innovation,
    projected,
    statistic,
    without_ends,
)
from solvers.water.plan import Floats, Index, WaterPlan
from solvers.water.sensitivity import Linear
from solvers.water.steady import Scratch, steady

_BRIDGE = 1e-6  # of 1 - t: nothing else leads to the other side
_TRIED = 12  # pipes that are closed in the model
_WEAKEST, _STRONGEST = 0.4, 2.5  # what first order may be wrong by


@dataclass(frozen=True, eq=False)
class Explanation:
    """Pipes whose closing explains a change.

    Args:
        pipes: (k,) rows, the likeliest first.
        gains: (k,) G of each.
        strongest: the sensor that moved most.
        rest: G of the likeliest with that one left out.
        left: largest normalised innovation that the likeliest leaves.
    """

    pipes: Index
    gains: Floats
    strongest: int
    rest: float
    left: float


def first_order(linear: Linear, flow: Floats, pipes: Index, start: Index, end: Index, signature: Floats) -> Floats:
    """Pictures of all closures from sensitivities; 0 of a pipe that alone leads to its other side.

    Args:
        linear: the solved state's answers.
        flow: (n_pipe,) [m3/s].
        pipes: (n_pipe,) rows of links.
        start: (n_pipe,) nodes.
        end: (n_pipe,) nodes.
        signature: (n_output, n_node) change of an output per m3/s drawn at a node.
    """
    own = linear.own(pipes)
    there = 1.0 - own > _BRIDGE
    x = np.where(there, flow / np.where(there, 1.0 - own, 1.0), 0.0)
    return np.asarray(x * (signature[:, end] - signature[:, start]))


def switched(
    plan: WaterPlan, scratch: Scratch, prediction: Prediction, instruments: Instruments, links: Index, status: Index
) -> Floats:
    """Pictures of links that are switched each alone, solved; 0 where that cannot be solved.

    Args:
        plan: of the network.
        scratch: of this thread.
        prediction: before.
        instruments: whose readings are the outputs.
        links: (n_picture,) rows.
        status: (n_link,) what a link is switched to.

    Returns:
        (n_instrument, n_picture) what the instruments would show more.
    """
    out = np.zeros((len(prediction.reading), len(links)))
    for n, link in enumerate(links.tolist()):
        other = prediction.boundary.status.copy()
        other[link] = status[link]
        solution = steady(plan, scratch, replace(prediction.boundary, status=other), prediction.solution.value)
        if solution.status.usable:
            head = solution.value.head_m
            shown = np.where(np.isfinite(head), head, plan.laws.elevation)  # without water the pressure is 0
            reading = np.concatenate([shown[instruments.node], solution.value.flow_m3_per_s[instruments.link]])
            out[:, n] = reading - prediction.reading
    return out


def explain(e: Floats, c: Floats, rough: Floats, pictures: Callable[[Index], Floats], epsilon: float) -> Explanation:
    """The closures that explain a change best.

    Args:
        e: (n_output,) mean innovations; NaN where there is none.
        c: (n_output, n_output) their covariance.
        rough: (n_output, n_pipe) pictures to first order, to choose by.
        pictures: of closures by their rows, to judge by.
        epsilon: share of a picture that may be wrong.
    """
    projection, information = projected(e, c, rough)
    size = np.clip(projection / information, _WEAKEST, _STRONGEST)
    tried = np.argsort(-(size * projection - size**2 * information / 2.0), kind="stable")[:_TRIED]
    exact = pictures(tried)
    found = gains(e, c, exact, epsilon)
    order = np.argsort(-found, kind="stable")
    best = exact[:, order[0]]
    strongest = int(np.nanargmax(e**2 / np.diag(c)))
    others = np.where(np.arange(len(e)) == strongest, np.nan, e)
    rest = float(gains(others, c, best[:, None], epsilon)[0])
    left = np.abs(e - best) / np.sqrt(np.diag(c) + (epsilon * best) ** 2)
    return Explanation(tried[order], found[order], strongest, rest, float(np.nanmax(left)))


def gains(e: Floats, c: Floats, pictures: Floats, epsilon: float) -> Floats:
    """G of each picture, as above.

    Args:
        e: (n_output,) mean innovations; NaN where there is none.
        c: (n_output, n_output) their covariance.
        pictures: (n_output, n) changes that are held against them.
        epsilon: share of a picture that may be wrong.
    """
    seen = np.isfinite(e)
    e, c, d = e[seen], c[np.ix_(seen, seen)], pictures[seen].T
    v = c + (epsilon * d)[:, :, None] ** 2 * np.eye(len(e))
    left = np.linalg.solve(v, (e - d)[:, :, None])[:, :, 0]
    grown = np.linalg.slogdet(v)[1] - np.linalg.slogdet(c)[1]
    return np.asarray(0.5 * (e @ np.linalg.solve(c, e) - ((e - d) * left).sum(axis=1) - grown))


def closed_pipe(past: tuple[Past, ...], seen: Observation, memory: Memory, settings: Settings) -> tuple[Closure | None, float]:
    """The closed pipe that explains the last steps, if there is one, and what it gains over the likeliest leak.

    Args:
        past: steps up to this one.
        seen: this step.
        memory: before this step.
        settings: the detector's constants.
    """
    if seen.closing is None or memory.step < settings.learning:
        return None, 0.0
    best: tuple[Explanation, int, Floats, Floats] | None = None
    rough: Floats | None = None
    exact = _solved_once(seen.closing)
    for window in settings.instants:
        if len(past) < window:
            continue
        e, c = without_ends(*innovation(past, seen, window), memory.leaks, seen, settings)
        if not (np.abs(e) / np.sqrt(np.diag(c)) >= settings.moved).any():
            continue
        rough = seen.closing(None) if rough is None else rough
        found = explain(e, c, rough, exact, settings.signature_error)
        if best is None or found.gains[0] > best[0].gains[0]:
            best = found, window, e, c
    if best is None:
        return None, 0.0
    found, window, e, c = best
    if found.gains[0] < settings.closure or found.left > settings.unexplained:
        return None, 0.0
    lead = float(found.gains[0]) - _leak_gain(e, c, seen, settings)
    lone = found.rest < settings.alone
    if lone and (found.gains[0] < settings.lone or lead < settings.margin):
        return None, 0.0
    probability = np.exp(settings.tempering * (found.gains - found.gains[0]))
    closure = Closure(
        number=0,
        onset=memory.step - window + 1,
        alarmed=0,
        pipe=int(found.pipes[0]),
        candidates=found.pipes,
        probability=probability / probability.sum(),
        gain=float(found.gains[0]),
        moved=float(np.nanmax(np.abs(e) / np.sqrt(np.diag(c)))),
        known=(past[-window].coefficients, past[-window].covariance),
        sensor=found.strongest if lone else -1,
    )
    return closure, lead


def _solved_once(pictures: Pictures) -> Callable[[Index], Floats]:
    """Exact pictures, each pipe closed and solved once: the windows of a step mostly ask for the same."""
    solved: dict[int, Floats] = {}

    def exact(which: Index) -> Floats:
        new = np.array([i for i in which.tolist() if i not in solved], dtype=np.int64)
        if len(new):
            solved.update(zip(new.tolist(), pictures(new).T, strict=True))
        return np.stack([solved[i] for i in which.tolist()], axis=1)

    return exact


def _leak_gain(e: Floats, c: Floats, seen: Observation, settings: Settings) -> float:
    """What the likeliest leak gains over nothing, its imprecise picture paid for as a closure's is."""
    z, flow = statistic(e, c, seen.signature)
    picture = (seen.signature * np.maximum(flow, 0.0))[:, int(z.argmax())]
    return _gain(e, c, picture[:, None], settings)


def _gain(e: Floats, c: Floats, picture: Floats, settings: Settings) -> float:
    """What a change of this (n_output, 1) picture gains over nothing."""
    return float(gains(e, c, picture, settings.signature_error)[0])


def reopened(
    closed: tuple[Closure, ...], past: tuple[Past, ...], seen: Observation, settings: Settings
) -> tuple[tuple[Closure, ...], tuple[Closure, ...]]:
    """Closures that stand, and those whose opening has explained two steps in a row."""
    if not closed or seen.opening is None:
        return closed, ()
    windows = [innovation(past, seen, w) for w in settings.instants if w <= len(past)]
    found = [max(_gain(e, c, seen.opening[:, [n]], settings) for e, c in windows) for n in range(len(closed))]
    likeliest = int(np.argmax(found))  # where two closures stand, one opening may look like the other
    steps = [k.opened + 1 if n == likeliest and found[n] >= settings.closure else 0 for n, k in enumerate(closed)]
    after = [replace(k, opened=n) for k, n in zip(closed, steps, strict=True)]
    return tuple(k for k in after if k.opened < 2), tuple(k for k in after if k.opened >= 2)
