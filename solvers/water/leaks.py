"""Leak detection and location: a change of residuals, explained by a flow at one pipe.

Residual of output i (a pressure or a flow) at step k, measured minus predicted by a model that already carries the
leaks known so far (their effect on heads is not linear), so that a sum over leaks is one over what is not yet known:

    r_ik = b_i' phi_k  +  sum_l s_il f_l  +  v_ik

    b_i     slowly varying model error of output i, random walk; (n_regressor,)
    phi_k   regressors: 1, (inflow / reference)^1.852 (head-loss errors grow like head loss), running pumps
    s_il    signature: change of output i per unit of leak at pipe l, the metered inflows held [m per m3/s]
    f_l     leak flow >= 0 [m3/s]
    v_ik    meter noise sigma_i (white) and model noise tau_i (consumers' weather: correlated over an hour or so)

b is learnt by a Kalman filter per output. A leak is tested by a generalised likelihood ratio over windows W of steps,
against the b known *before* the window (Basseville and Nikiforov 1993, ch. 2.4; Willsky and Jones 1976):

    e_i  = mean over W of (r_i - b_i' phi)        c_i = phi' P_i phi + sigma_i^2 / W + tau_i^2
    z_l  = sum_i s_il e_i / c_i  /  sqrt(sum_i s_il^2 / c_i)          f_l = sum_i s_il e_i / c_i  /  sum_i s_il^2 / c_i

An alarm needs max z over its threshold in two successive steps, and more than one sensor behind it: what a single
sensor tells alone is a fault of that sensor. The location is a probability over pipes, p_l ~ length_l exp(T z_l^2 / 2),
tempered (T = 1/2) because signatures are not exact; for the same reason c_i there also holds (epsilon s_il f_l)^2 of the
likeliest pipe, so that what a large leak's picture gets wrong does not count as evidence. It sharpens while steps come
in. A known leak's flow is followed, and the caller predicts with `Memory.leaks` as demands, so that the next leak is seen
beside it.

Pure: `step(memory, observation) -> (memory, verdict)`; everything it knows is in the memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """The detector's constants.

    Args:
        windows: lengths of the tested windows [steps].
        learning: steps before the first test.
        threshold: of z [1].
        minimum_flow: of a leak that is worth an alarm [m3/s].
        single_sensor: z that must remain when the strongest sensor is left out.
        sharpening: steps over which a new leak's location is still refined.
        quiet: steps between two alarms.
        prior_sd: (n_regressor,) of the model error, in units of an output's own scale [1].
        walk_sd: of the model error per step, likewise [1].
        tempering: T of the posterior over pipes.
        signature_error: epsilon, the share of a leak's signature that may be wrong [1]; it is paid for as model error, so
            that a large leak's imprecise picture neither moves its place nor raises a second alarm.
    """

    windows: tuple[int, ...] = (3, 6, 12, 24)
    learning: int = 24
    threshold: float = 8.0
    minimum_flow: float = 3.5 / 3600
    single_sensor: float = 4.0
    sharpening: int = 36
    quiet: int = 6
    prior_sd: tuple[float, ...] = (0.05, 0.15, 0.05)
    walk_sd: float = 5e-4
    tempering: float = 0.5
    signature_error: float = 0.2


@dataclass(frozen=True, eq=False)
class Observation:
    """One step's input.

    Args:
        residual: (n_output,) measured minus predicted with `memory.leaks` flowing; NaN where not measured.
        sigma: (n_output,) meter noise, same unit.
        model_sigma: (n_output,) model noise, same unit.
        scale: (n_output,) what `prior_sd` and `walk_sd` are multiples of: 1 for a head in m.
        regressors: (n_regressor,) phi [1].
        signature: (n_output, n_pipe) change per m3/s of leak.
    """

    residual: Floats
    sigma: Floats
    model_sigma: Floats
    scale: Floats
    regressors: Floats
    signature: Floats


@dataclass(frozen=True, eq=False)
class Past:
    """A past step: what was seen, and what was known before it."""

    residual: Floats
    regressors: Floats
    coefficients: Floats
    covariance: Floats


@dataclass(frozen=True, eq=False)
class Leak:
    """A leak under watch.

    Args:
        number: counts the leaks of this memory from 1.
        onset: step at which it began, as estimated.
        alarmed: step at which it was issued.
        pipe: row of the most probable pipe.
        flow: [m3/s], the mean since its onset while it is sharpened, then followed.
        first_flow: [m3/s] when the location was settled.
        probability: (n_pipe,) of each pipe.
        flows: (n_pipe,) the flow if it were that pipe [m3/s].
        z: of the most probable pipe.
        low: steps in a row with hardly any flow left.
        known: what was known before the onset: coefficients and covariance.
        sums: since the onset: steps, residual, regressors, signature.
    """

    number: int
    onset: int
    alarmed: int
    pipe: int
    flow: float
    first_flow: float
    probability: Floats
    flows: Floats
    z: float
    low: int
    known: tuple[Floats, Floats]
    sums: tuple[int, Floats, Floats, Floats]


@dataclass(frozen=True, eq=False)
class Memory:
    """All the detector knows after `step` steps."""

    step: int
    coefficients: Floats
    covariance: Floats
    past: tuple[Past, ...]
    leaks: tuple[Leak, ...]
    suspicion: int
    issued: int

    @staticmethod
    def empty(n_output: int, scale: Floats, settings: Settings) -> Memory:
        """Nothing seen yet; model errors at their prior."""
        prior = np.diag(np.square(settings.prior_sd))
        covariance = np.square(scale)[:, None, None] * prior
        return Memory(0, np.zeros((n_output, len(settings.prior_sd))), covariance, (), (), 0, 0)


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a step found.

    Args:
        started: leaks issued in this step.
        updated: leaks whose location was refined.
        ended: leaks that flow no more.
        faulty: rows of outputs that alone contradict the model.
        z: the largest statistic of all windows.
    """

    started: tuple[Leak, ...]
    updated: tuple[Leak, ...]
    ended: tuple[Leak, ...]
    faulty: tuple[int, ...]
    z: float


def step(memory: Memory, seen: Observation, length_m: Floats, settings: Settings = Settings()) -> tuple[Memory, Verdict]:
    """Take in one step's residuals.

    Args:
        memory: after the previous step.
        seen: this step's residuals and signatures.
        length_m: (n_pipe,) pipe lengths: a leak is as likely on any metre.
        settings: the detector's constants.

    Returns:
        The new memory, and what was found.
    """
    leaks, ended = _follow(memory, seen, length_m, settings)
    past = (*memory.past, Past(seen.residual, seen.regressors, memory.coefficients, memory.covariance))[
        -max(settings.windows) :
    ]
    candidate, faulty, z = _test(past, seen, memory.step, settings)
    rested = memory.step - max((k.alarmed for k in memory.leaks), default=-settings.quiet) >= settings.quiet
    suspicion = memory.suspicion + 1 if candidate is not None and rested else 0
    started: tuple[Leak, ...] = ()
    issued = memory.issued
    if candidate is not None and suspicion >= 2:
        issued += 1
        started = (_issue(issued, memory.step, candidate, past, seen, length_m, settings),)
        suspicion = 0
        past = past[:1]
    # While something is being judged, the model error is not taught what may be a leak.
    sharpening = any(memory.step - k.onset < settings.sharpening for k in (*leaks, *started))
    coefficients, covariance = memory.coefficients, memory.covariance
    if started:
        coefficients, covariance = started[0].known
        covariance = covariance + _doubt(started[0], seen, settings)
    elif not sharpening and suspicion == 0:
        coefficients, covariance = _learn(memory, seen, settings)
    updated = tuple(k for k in leaks if memory.step - k.onset <= settings.sharpening)
    after = Memory(memory.step + 1, coefficients, covariance, past, (*leaks, *started), suspicion, issued)
    return after, Verdict(started, updated, ended, faulty, z)


def _doubt(leak: Leak, seen: Observation, settings: Settings) -> Floats:
    """What a leak's imprecise signature adds to the covariance of every output's model error."""
    spread = settings.signature_error * seen.signature[:, leak.pipe] * leak.flow
    return np.square(spread)[:, None, None] * np.eye(len(seen.regressors))


def _variance(regressors: Floats, covariance: Floats, seen: Observation, window: int) -> Floats:
    """c_i, the variance of a window's mean innovation."""
    learnt: Floats = np.einsum("a,iab,b->i", regressors, covariance, regressors)
    return learnt + seen.sigma**2 / window + seen.model_sigma**2


def _statistic(e: Floats, c: Floats, signature: Floats) -> tuple[Floats, Floats]:
    """(n_pipe,) z and flow of every pipe; outputs without a value carry no weight."""
    weight = np.where(np.isfinite(e), 1.0 / c, 0.0)
    information = (signature**2 * weight[:, None]).sum(axis=0) + 1e-300
    projection = signature.T @ (np.nan_to_num(e) * weight)
    return np.maximum(projection, 0.0) / np.sqrt(information), projection / information


def _mean(values: list[Floats]) -> Floats:
    """Mean over steps, by output over the steps that have a value."""
    stacked = np.array(values)
    count = np.isfinite(stacked).sum(axis=0)
    total: Floats = np.nansum(stacked, axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@dataclass(frozen=True, eq=False)
class _Candidate:
    window: int
    pipe: int


def _test(
    past: tuple[Past, ...], seen: Observation, k: int, settings: Settings
) -> tuple[_Candidate | None, tuple[int, ...], float]:
    """The best explanation of the last steps by a leak, if there is one."""
    best: _Candidate | None = None
    z_best = 0.0
    faulty: tuple[int, ...] = ()
    for window in settings.windows:
        if k < settings.learning or len(past) < window:
            continue
        before, recent = past[-window], past[-window:]
        e = _mean([p.residual - before.coefficients @ p.regressors for p in recent])
        phi = np.mean([p.regressors for p in recent], axis=0)
        c = _variance(phi, before.covariance, seen, window)
        z, flow = _statistic(e, c, seen.signature)
        pipe = int(z.argmax())
        if z[pipe] < settings.threshold or z[pipe] <= z_best:
            z_best = max(z_best, float(z[pipe]))
            continue
        z_best = float(z[pipe])
        strongest = int(np.nanargmax(e**2 / c))
        others = np.where(np.arange(len(e)) == strongest, np.nan, e)
        if _statistic(others, c, seen.signature)[0].max() < settings.single_sensor:
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
        _mean([p.residual for p in recent]) * n,
        np.sum([p.regressors for p in recent], axis=0),
        seen.signature * n,
    )
    nothing = np.zeros(len(length_m))
    known = (before.coefficients, before.covariance)
    leak = Leak(number, k - n + 1, k, candidate.pipe, 0.0, 0.0, nothing, nothing, 0.0, 0, known, sums)
    return _locate(leak, seen, length_m, settings)


def _locate(leak: Leak, seen: Observation, length_m: Floats, settings: Settings) -> Leak:
    """Probability over pipes from all steps since the onset."""
    n, residual, regressors, signature = leak.sums
    phi = regressors / n
    e = residual / n - leak.known[0] @ phi
    c = _variance(phi, leak.known[1], seen, n)
    z, flow = _statistic(e, c, signature / n)
    # What a sensor shows most of the leak, it also shows most wrongly: without this the place would drift with the hours.
    likely = int(z.argmax())
    c = c + np.square(settings.signature_error * signature[:, likely] / n * flow[likely])
    z, flow = _statistic(e, c, signature / n)
    weight = length_m * np.exp(0.5 * settings.tempering * (z**2 - z.max() ** 2)) * (z > 0)
    probability = weight / weight.sum()
    pipe = int(probability.argmax())
    return replace(
        leak,
        pipe=pipe,
        flow=float(flow[pipe]),
        first_flow=float(flow[pipe]),
        probability=probability,
        flows=np.maximum(flow, 0.0),
        z=float(z[pipe]),
    )


def _follow(
    memory: Memory, seen: Observation, length_m: Floats, settings: Settings
) -> tuple[tuple[Leak, ...], tuple[Leak, ...]]:
    """Refine young leaks, follow the flow of settled ones, and see which have ended."""
    alive, ended = [], []
    for leak in memory.leaks:
        own = seen.residual + seen.signature[:, leak.pipe] * leak.flow
        known = leak.known if memory.step - leak.onset < settings.sharpening else (memory.coefficients, memory.covariance)
        e = own - known[0] @ seen.regressors
        c = _variance(seen.regressors, known[1], seen, 1)
        now = float(_statistic(e, c, seen.signature[:, [leak.pipe]])[1][0])
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
    walk = np.square(settings.walk_sd * seen.scale)[:, None, None] * np.eye(len(phi))
    prior = memory.covariance + walk
    direction = prior @ phi
    variance = direction @ phi + seen.sigma**2 + seen.model_sigma**2
    innovation = seen.residual - memory.coefficients @ phi
    bound = 4.0 * np.sqrt(variance)
    measured = np.isfinite(innovation)
    innovation = np.clip(np.where(measured, innovation, 0.0), -bound, bound)
    gain = np.where(measured, 1.0 / variance, 0.0)[:, None] * direction
    coefficients = memory.coefficients + gain * innovation[:, None]
    covariance = prior - gain[:, :, None] * direction[:, None, :]
    return coefficients, covariance
