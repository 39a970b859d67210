"""Leak detection and location: a change of residuals, explained by a flow at one pipe, or by one that was closed.

Residual of output i (a pressure or a flow) at step k, measured minus predicted by a model that already carries the
leaks known so far (their effect on heads is not linear), so that a sum over leaks is one over what is not yet known:

    r_ik = b_i' phi_k  +  sum_l s_il f_l  +  v_ik

    b_i     slowly varying model error of output i, random walk; (n_regressor,)
    phi_k   regressors: 1, (inflow / reference)^1.852 (head-loss errors grow like head loss), running pumps
    s_il    signature: change of output i per unit of leak at pipe l, the metered inflows held [m per m3/s]
    f_l     leak flow >= 0 [m3/s]
    v_ik    meter noise sigma_i (white) and model noise of covariance T (correlated over an hour or so)

Model noise moves the sensors of a zone together. With S the signatures of demands and D the variance of each (consumers'
weather), g_z the outputs' answer to what zone z's consumers draw more in all, rho_z the error of that zone's balance (its
flow meters make its consumers draw it), and tau_i what pipes do that the model does not know, sensor by sensor,

    T = S D S'  +  sum_z rho_z^2 g_z g_z'  +  diag(tau_i^2)

The caller, who has the hydraulics, hands it over.

b is learnt by a Kalman filter per output. A leak is tested by a generalised likelihood ratio over windows W of steps,
against the b known *before* the window (Basseville and Nikiforov 1993, ch. 2.4; Willsky and Jones 1976):

    e_i  = mean over W of (r_i - b_i' phi)        C = diag(phi' P_i phi + sigma_i^2 / W) + T
    z_l  = s_l' C^-1 e / sqrt(s_l' C^-1 s_l)      f_l = s_l' C^-1 e / s_l' C^-1 s_l

An alarm needs max z over its threshold in two successive steps, and more than one sensor behind it: what a single
sensor tells alone is a fault of that sensor. The location is a probability over pipes, p_l ~ length_l exp(z_l^2 / 4),
tempered (by 1/2) because signatures are not exact; for the same reason C_ii there also holds (epsilon s_il f_l)^2 of the
likeliest pipe, so that what a large leak's picture gets wrong does not count as evidence. It sharpens while steps come
in. A known leak's flow is followed, and the caller predicts with `Memory.leaks` as demands, so that the next leak is seen
beside it; what its end explains is taken out of e first (`without_ends`). What some sensor shows beyond `moved` is also
held against closed pipes (closures.py); what explains it better by `margin` is told, and a closed pipe stays closed in
the caller's model until opening it explains the residuals. What the field says of a known leak (field_reports.py) and what its
zone's night flow rose by (night_flow.py) multiply its p_l, and a repair ends it (`hear`).

Pure: `step(memory, observation) -> (memory, verdict)`; everything it knows is in the memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from solvers.water.closures import closed_pipe, reopened
from solvers.water.leak_memory import (
    USUAL,
    Closure,
    Heard,
    Leak,
    Memory,
    Observation,
    Past,
    Settings,
    Verdict,
    covariance,
    innovation,
    mean,
    projected,
    statistic,
    without_ends,
)
from solvers.water.plan import Floats


def step(memory: Memory, seen: Observation, length_m: Floats, settings: Settings = USUAL) -> tuple[Memory, Verdict]:
    """Take in one step's residuals.

    Args:
        memory: after the previous step.
        seen: this step's residuals and signatures.
        length_m: (n_pipe,) pipe lengths: a leak is as likely on any metre.
        settings: the detector's constants.

    Returns:
        The new memory, and what was found.
    """
    if seen.opening is not None:  # a town that is fed another way has other errors, and they follow the hours
        others = settings.closed_error * seen.opening
        seen = replace(seen, model_noise=seen.model_noise + np.diag((others**2).sum(axis=1)))
    leaks, ended = _follow(memory, seen, length_m, settings)
    now = Past(seen.residual, seen.regressors, memory.coefficients, memory.covariance, seen.time_us)
    past = (*memory.past, now)[-max(settings.windows) :]
    candidate, faulty, z = _test(past, seen, memory, settings)
    shut, lead = closed_pipe(past, seen, memory, settings)
    standing, opened = reopened(memory.closed, past, seen, settings)
    if (shut is not None and lead >= settings.margin) or opened or any(k.opened for k in standing):
        candidate = None
    rival = shut if candidate is not None and lead > -settings.margin else None  # nothing that is measured tells them apart
    if candidate is not None or lead < 0.0:
        shut = None
    issues = [*(k.alarmed for k in memory.leaks), *(k.alarmed for k in memory.closed)]
    rested = memory.step - max(issues, default=-settings.quiet) >= settings.quiet
    suspicion = memory.suspicion + 1 if (candidate is not None or shut is not None) and rested else 0
    started: tuple[Leak, ...] = ()
    closed: tuple[Closure, ...] = ()
    if suspicion >= 2 and candidate is not None:
        leak = _issue(memory.issued + 1, memory.step, candidate, past, seen, length_m, settings)
        started = (replace(leak, rival=rival),)
        past = past[:1]
    elif suspicion >= 2 and shut is not None:
        closed = (replace(shut, number=memory.issued + 1, alarmed=memory.step),)
    issued = memory.issued + len(started) + len(closed)
    # While something is being judged, the model error is not taught what may be a leak, or a leak's end.
    sharpening = any(memory.step - k.onset < settings.sharpening for k in (*leaks, *started))
    coefficients, known = memory.coefficients, memory.covariance
    if started:
        coefficients, known = started[0].known
        known = known + _doubt(started[0], seen, settings)
    elif closed and seen.closing is not None:
        coefficients, known = closed[0].known
        known = known + _diagonal(settings.signature_error * seen.closing(np.array([closed[0].pipe]))[:, 0])
    elif opened:
        coefficients, known = opened[0].known
        known = known + (memory.step - opened[0].onset) * _walk(seen.scale, settings)
    elif not (sharpening or suspicion or any(k.opened for k in standing) or any(k.low for k in leaks)):
        coefficients, known = _learn(memory, seen, settings)
    if started or closed:
        suspicion = 0
    if closed or opened or ended:
        past = ()  # the caller predicts with other pipes or leaks from now on: what was seen with these is not comparable
    updated = tuple(k for k in leaks if memory.step - k.onset <= settings.sharpening)
    after = Memory(
        memory.step + 1, coefficients, known, past, (*leaks, *started), suspicion, issued, (*standing, *closed), memory.nights
    )  # fmt: skip
    return after, Verdict(started, updated, ended, faulty, z, closed, opened)


def hear(
    memory: Memory, heard: Mapping[int, Heard], scale: Floats, settings: Settings = USUAL
) -> tuple[Memory, tuple[Leak, ...], tuple[Closure, ...]]:
    """Take in what the field says of known leaks, before the step is predicted.

    Where that moves a leak or ends it, model errors go on from what was known before its onset: what has been learnt since
    then was learnt with the leak at another place. The new place may be as wrong as it moves the prediction. With a repair
    what was closed since the leak's onset is open again: by its crew, or it was but the leak's imprecise picture.

    Args:
        memory: after the previous step.
        heard: number of a leak -> all that is said of it; leaks left out stay as they are.
        scale: as in `Observation`.
        settings: the detector's constants.

    Returns:
        The memory to go on from, the leaks that are over, and the closures.
    """
    before = [k for k in memory.leaks if k.number in heard]
    after = {k.number: _told(k, heard[k.number]) for k in before}
    ended = tuple(k for k in after.values() if heard[k.number].repaired)
    leaks = tuple(after.get(k.number, k) for k in memory.leaks if k not in before or not heard[k.number].repaired)
    changed = [k for k in before if heard[k.number].repaired or after[k.number].pipe != k.pipe]
    if not changed:
        return replace(memory, leaks=leaks), ended, ()
    oldest = min(changed, key=lambda k: k.onset)
    coefficients, covariance = oldest.known
    covariance = covariance + (memory.step - oldest.onset) * _walk(scale, settings)
    for before_it in changed:
        if not heard[before_it.number].repaired:
            covariance = covariance + _diagonal(_picture(after[before_it.number]) - _picture(before_it))
    opened = tuple(c for c in memory.closed if any(c.onset >= k.onset for k in ended))
    standing = tuple(c for c in memory.closed if c not in opened)
    memory = replace(
        memory, leaks=leaks, coefficients=coefficients, covariance=covariance, past=(), suspicion=0, closed=standing
    )
    return memory, ended, opened


def _picture(leak: Leak) -> Floats:
    """(n_output,) what a leak changes, by its mean signature since the onset."""
    steps, _, _, signature = leak.sums
    picture: Floats = signature[:, leak.pipe] / steps * leak.flow
    return picture


def _told(leak: Leak, heard: Heard) -> Leak:
    """A leak with what is said of it; at another pipe it has that pipe's flow."""
    leak = replace(leak, heard=heard.log_likelihood, reports=heard.reports)
    if heard.repaired:
        return replace(leak, flow=0.0)
    pipe = int(leak.place.argmax())
    here, there = leak.flows[leak.pipe], leak.flows[pipe]
    flow = leak.flow * float(there / here) if min(here, there) > 0.0 else leak.flow
    return replace(leak, pipe=pipe, flow=flow, first_flow=leak.first_flow * flow / leak.flow if leak.flow > 0.0 else flow)


def _doubt(leak: Leak, seen: Observation, settings: Settings) -> Floats:
    """What a leak's imprecise signature adds to the covariance of every output's model error."""
    return _diagonal(settings.signature_error * seen.signature[:, leak.pipe] * leak.flow)


def _diagonal(spread: Floats) -> Floats:
    """A standard deviation of every output as covariance of its model error."""
    return np.square(spread)[:, None, None] * np.eye(len(USUAL.prior_sd))


def _walk(scale: Floats, settings: Settings) -> Floats:
    """What a step adds to the covariance of every output's model error."""
    return _diagonal(settings.walk_sd * scale)


@dataclass(frozen=True, eq=False)
class _Candidate:
    window: int
    pipe: int


def _test(
    past: tuple[Past, ...], seen: Observation, memory: Memory, settings: Settings
) -> tuple[_Candidate | None, tuple[int, ...], float]:
    """The best explanation of the last steps by a leak, if there is one."""
    best: _Candidate | None = None
    z_best = 0.0
    faulty: tuple[int, ...] = ()
    for window in settings.windows:
        if memory.step < settings.learning or len(past) < window:
            continue
        e, c = without_ends(*innovation(past, seen, window), memory.leaks, seen, settings)
        z, flow = statistic(e, c, seen.signature)
        pipe = int(z.argmax())
        if z[pipe] < settings.threshold or z[pipe] <= z_best:
            z_best = max(z_best, float(z[pipe]))
            continue
        z_best = float(z[pipe])
        strongest = int(np.nanargmax(e**2 / np.diag(c)))
        others = np.where(np.arange(len(e)) == strongest, np.nan, e)
        if statistic(others, c, seen.signature)[0].max() < settings.single_sensor:
            best, faulty = None, (strongest,)
        elif flow[pipe] >= settings.minimum_flow:
            best, faulty = _Candidate(window, pipe), ()
    return best, faulty, z_best


def _issue(
    number: int,
    k: int,
    candidate: _Candidate,
    past: tuple[Past, ...],
    seen: Observation,
    length_m: Floats,
    settings: Settings,
) -> Leak:
    recent = past[-candidate.window :]
    before = recent[0]
    n = len(recent)
    sums = (
        n,
        mean([p.residual for p in recent]) * n,
        np.sum([p.regressors for p in recent], axis=0),
        seen.signature * n,
    )
    nothing = np.zeros(len(length_m))
    known = (before.coefficients, before.covariance)
    trace = np.array([p.residual - before.coefficients @ p.regressors for p in past])
    leak = Leak(
        number, k - n + 1, k, candidate.pipe, 0.0, 0.0, nothing, nothing, 0.0, 0, known, sums, onset_us=before.time_us,
        trace=trace,
    )  # fmt: skip
    return _locate(leak, seen, length_m, settings)


def _locate(leak: Leak, seen: Observation, length_m: Floats, settings: Settings) -> Leak:
    """Probability over pipes from all steps since the onset."""
    n, residual, regressors, signature = leak.sums
    phi = regressors / n
    e = residual / n - leak.known[0] @ phi
    c = covariance(phi, leak.known[1], seen, n)
    z, flow = statistic(e, c, signature / n)
    moved = e / np.sqrt(np.diag(c))
    # What a sensor shows most of the leak, it also shows most wrongly: without this the place would drift with the hours.
    likely = int(z.argmax())
    c = c + np.diag(np.square(settings.signature_error * signature[:, likely] / n * flow[likely]))
    projection, information = projected(e, c, signature / n)
    z, flow = np.maximum(projection, 0.0) / np.sqrt(information), projection / information
    weight = length_m * np.exp(0.5 * settings.tempering * (z**2 - z.max() ** 2)) * (z > 0)
    leak = replace(
        leak,
        probability=weight / weight.sum(),
        flows=np.maximum(flow, 0.0),
        deviation=np.hypot(1.0 / np.sqrt(information), settings.signature_error * flow),
        moved=moved,
    )
    pipe = int(leak.place.argmax())
    size = float(flow[pipe] if flow[pipe] > 0.0 else flow[likely])
    return replace(leak, pipe=pipe, flow=size, first_flow=size, z=float(z[pipe]))


def _follow(
    memory: Memory, seen: Observation, length_m: Floats, settings: Settings
) -> tuple[tuple[Leak, ...], tuple[Leak, ...]]:
    """Refine young leaks, follow the flow of settled ones, and see which have ended."""
    alive, ended = [], []
    for leak in memory.leaks:
        own = seen.residual + seen.signature[:, leak.pipe] * leak.flow
        known = leak.known if memory.step - leak.onset < settings.sharpening else (memory.coefficients, memory.covariance)
        e = own - known[0] @ seen.regressors
        c = covariance(seen.regressors, known[1], seen, 1)
        now = float(statistic(e, c, seen.signature[:, [leak.pipe]])[1][0])
        low = leak.low + 1 if now < 0.3 * leak.first_flow else 0
        if low >= settings.quiet:
            ended.append(replace(leak, flow=0.0))
        elif memory.step - leak.onset < settings.sharpening and low == 0:
            n, residual, regressors, signature = leak.sums
            mean = residual / n
            sums = (
                n + 1,
                residual + np.where(np.isfinite(own), own, mean),
                regressors + seen.regressors,
                signature + seen.signature,
            )
            alive.append(_locate(replace(leak, sums=sums, low=low), seen, length_m, settings))
        else:
            alive.append(replace(leak, flow=max(0.0, leak.flow + 0.2 * (now - leak.flow)), low=low))
    return tuple(alive), tuple(ended)


def _learn(memory: Memory, seen: Observation, settings: Settings) -> tuple[Floats, Floats]:
    """One Kalman step of every output's model error; innovations beyond four sigma count as four."""
    phi = seen.regressors
    prior = memory.covariance + _walk(seen.scale, settings)
    direction = prior @ phi
    variance = direction @ phi + seen.sigma**2 + np.diag(seen.model_noise)
    innovation = seen.residual - memory.coefficients @ phi
    bound = 4.0 * np.sqrt(variance)
    measured = np.isfinite(innovation)
    innovation = np.clip(np.where(measured, innovation, 0.0), -bound, bound)
    gain = np.where(measured, 1.0 / variance, 0.0)[:, None] * direction
    coefficients = memory.coefficients + gain * innovation[:, None]
    return coefficients, prior - gain[:, :, None] * direction[:, None, :]
