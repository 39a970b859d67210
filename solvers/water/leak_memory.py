"""What the detector of leaks and closures sees and remembers, and what a window of steps says against it.

    e_i  = mean over W of (r_i - b_i' phi)        C = diag(phi' P_i phi + sigma_i^2 / W) + T
    z_l  = s_l' C^-1 e / sqrt(s_l' C^-1 s_l)      f_l = s_l' C^-1 e / s_l' C^-1 s_l

with the symbols of leaks.py: residual r, regression b with covariance P, regressors phi, meter noise sigma, model noise T,
signature s, flow f: generalised least squares (A. C. Aitken 1935). A sensor without a value is left out of e, C and s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from solvers.water.field_reports import placed
from solvers.water.night_flow import Nights
from solvers.water.plan import Floats, Index

_INTERVAL = (0.05, 0.95)
_NORMAL = np.array([-1.2816, -0.5244, 0.0, 0.5244, 1.2816])  # quantiles of a tenth, three tenths ...

# Changes of all outputs by closing each pipe, (n_output, n_pipe) to first order; or of given rows of pipes exactly.
Pictures = Callable[[Index | None], Floats]


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
        moved: of the strongest sensor, from where on closed pipes are held against it [1].
        instants: windows that a closure is tested over [steps].
        closure: gain that an alarm of a closure needs, in natural logarithms of the likelihood [1].
        alone: gain that must remain when the strongest sensor is left out [1].
        lone: gain that a closure needs instead where one sensor alone shows it [1].
        unexplained: normalised innovation that a closure may leave [1].
        margin: gain by which a closure must explain better than a leak [1].
        closed_error: share of a standing closure's picture that the model misses from hour to hour [1].
        signature_error: epsilon, the share of a leak's signature that may be wrong [1]; it is paid for as model error, so
            that a large leak's imprecise picture neither moves its place nor raises a second alarm.
    """

    windows: tuple[int, ...] = (3, 6, 12, 24)
    learning: int = 24
    threshold: float = 7.0
    minimum_flow: float = 3.5 / 3600
    single_sensor: float = 4.0
    sharpening: int = 36
    quiet: int = 6
    prior_sd: tuple[float, ...] = (0.05, 0.15, 0.05)
    walk_sd: float = 5e-4
    tempering: float = 0.5
    moved: float = 4.5
    instants: tuple[int, ...] = (1, 2, 3, 6)
    closure: float = 12.0
    alone: float = 3.0
    lone: float = 20.0
    unexplained: float = 4.0
    margin: float = 3.0
    closed_error: float = 0.02
    signature_error: float = 0.2


USUAL = Settings()


@dataclass(frozen=True, eq=False)
class Observation:
    """One step's input.

    Args:
        residual: (n_output,) measured minus predicted with `memory.leaks` flowing; NaN where not measured.
        sigma: (n_output,) meter noise, same unit.
        model_noise: (n_output, n_output) covariance of the model's own noise, same units.
        scale: (n_output,) what `prior_sd` and `walk_sd` are multiples of: 1 for a head in m.
        regressors: (n_regressor,) phi [1].
        signature: (n_output, n_pipe) change per m3/s of leak.
        closing: what closing pipes would change; None where closures are not watched.
        opening: (n_output, n_closed) what opening each of `memory.closed` again would change.
        time_us: of the step, Unix us.
    """

    residual: Floats
    sigma: Floats
    model_noise: Floats
    scale: Floats
    regressors: Floats
    signature: Floats
    closing: Pictures | None = None
    opening: Floats | None = None
    time_us: int = 0


@dataclass(frozen=True, eq=False)
class Past:
    """A past step: what was seen, and what was known before it."""

    residual: Floats
    regressors: Floats
    coefficients: Floats
    covariance: Floats
    time_us: int = 0


@dataclass(frozen=True, eq=False)
class Closure:
    """A pipe that is closed though the model has it open.

    Args:
        number: counts the closures of this memory from 1.
        onset: step at which it was closed, as estimated.
        alarmed: step at which it was issued.
        pipe: row of the likeliest pipe.
        candidates: (k,) rows, the likeliest first.
        probability: (k,) of each.
        gain: of the likeliest.
        moved: normalised innovation of the sensor that it moved most.
        known: what was known before the onset: coefficients and covariance.
        sensor: the output that alone shows it, so that it may be that meter's fault as well; -1 where several do.
        opened: steps in a row that are explained by its being open again.
    """

    number: int
    onset: int
    alarmed: int
    pipe: int
    candidates: Index
    probability: Floats
    gain: float
    moved: float
    known: tuple[Floats, Floats]
    sensor: int = -1
    opened: int = 0


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
        probability: (n_pipe,) of each pipe, by the sensors alone.
        flows: (n_pipe,) the flow if it were that pipe [m3/s].
        z: of the most probable pipe.
        low: steps in a row with hardly any flow left.
        known: what was known before the onset: coefficients and covariance.
        sums: since the onset: steps, residual, regressors, signature.
        rival: a closure that explained the onset as well.
        onset_us: instant of the onset, Unix us.
        deviation: (n_pipe,) standard deviation of `flows`: the noise's, and of its picture `signature_error` [m3/s].
        moved: (n_output,) how far each sensor's mean since the onset lies from what was known before, in sigma [1].
        trace: (n, n_output) innovations of the steps up to the alarm, m of head or m3/s.
        heard: (n_pipe,) log-likelihood of night flow and of what the field says; None where they say nothing.
        reports: ids of the reports that `heard` is made of; a night flow's is the time of its newest night.
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
    rival: Closure | None = None
    onset_us: int = 0
    deviation: Floats | None = None
    moved: Floats | None = None
    trace: Floats | None = None
    heard: Floats | None = None
    reports: tuple[str, ...] = ()

    @property
    def place(self) -> Floats:
        """(n_pipe,) probability of each pipe, by the sensors, by night flow and by what the field says."""
        return self.probability if self.heard is None else placed(self.probability, self.heard)

    @property
    def interval(self) -> tuple[float, float]:
        """The flow lies in here with a probability of 0.9, wherever the leak is [m3/s]."""
        here = float(self.flows[self.pipe])
        followed = self.flow / here if here > 0.0 else 1.0
        own = np.zeros(len(self.flows)) if self.deviation is None else self.deviation
        sizes = np.maximum(self.flows[:, None] + own[:, None] * _NORMAL, 0.0).ravel()  # each pipe's own as five that are alike
        order = np.argsort(sizes, kind="stable")
        below = np.cumsum(np.repeat(self.place / len(_NORMAL), len(_NORMAL))[order])
        low, high = sizes[order][np.minimum(np.searchsorted(below, _INTERVAL), len(sizes) - 1)]
        return followed * float(low), followed * float(high)


@dataclass(frozen=True, eq=False)
class Heard:
    """What night flow and the field say of a known leak.

    Args:
        log_likelihood: (n_pipe,) of `field_reports.py` and `night_flow.py`.
        reports: ids of what it is made of.
        repaired: whether it flows no more.
    """

    log_likelihood: Floats
    reports: tuple[str, ...]
    repaired: bool = False


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
    closed: tuple[Closure, ...] = ()
    nights: Nights = field(default_factory=Nights)

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
        closed: closures issued in this step.
        opened: closures that are over.
    """

    started: tuple[Leak, ...]
    updated: tuple[Leak, ...]
    ended: tuple[Leak, ...]
    faulty: tuple[int, ...]
    z: float
    closed: tuple[Closure, ...] = ()
    opened: tuple[Closure, ...] = ()


def innovation(past: tuple[Past, ...], seen: Observation, window: int) -> tuple[Floats, Floats]:
    """Mean innovation of a window against what was known before it, and its covariance."""
    before, recent = past[-window], past[-window:]
    e = mean([p.residual - before.coefficients @ p.regressors for p in recent])
    phi: Floats = np.mean([p.regressors for p in recent], axis=0)
    return e, covariance(phi, before.covariance, seen, window)


def covariance(regressors: Floats, known: Floats, seen: Observation, window: int) -> Floats:
    """C, the covariance of a window's mean innovation, the regressions being known this well."""
    learnt: Floats = np.einsum("a,iab,b->i", regressors, known, regressors)
    return np.diag(learnt + seen.sigma**2 / window) + seen.model_noise


def mean(values: list[Floats]) -> Floats:
    """Mean over steps, by output over the steps that have a value."""
    stacked = np.array(values)
    count = np.isfinite(stacked).sum(axis=0)
    total: Floats = np.nansum(stacked, axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def without_ends(e: Floats, c: Floats, leaks: tuple[Leak, ...], seen: Observation, settings: Settings) -> tuple[Floats, Floats]:
    """What is left of a mean innovation, and its covariance, if a known leak flows less than predicted.

    Predicted with a leak that has been repaired, the town seems to draw less there and, since its inflow is metered, more
    everywhere else: that is no leak elsewhere. Of the known leaks the one whose lesser flow explains most is taken.
    """
    if not leaks:
        return e, c
    pictures = -seen.signature[:, [k.pipe for k in leaks]]
    projection, information = projected(e, c, pictures)
    less = np.clip(projection / information, 0.0, [k.first_flow for k in leaks])
    gain = less * projection - 0.5 * less**2 * information
    likeliest = int(np.argmax(gain))
    if gain[likeliest] < settings.closure:
        return e, c
    picture = pictures[:, likeliest] * less[likeliest]
    return e - picture, c + np.diag((settings.signature_error * picture) ** 2)


def statistic(e: Floats, c: Floats, signature: Floats) -> tuple[Floats, Floats]:
    """(n_pipe,) z and flow of every pipe; outputs without a value are left out."""
    projection, information = projected(e, c, signature)
    return np.maximum(projection, 0.0) / np.sqrt(information), projection / information


def projected(e: Floats, c: Floats, pictures: Floats) -> tuple[Floats, Floats]:
    """S' C^-1 e and s' C^-1 s of every picture s, (n_output, n)."""
    use = np.isfinite(e)
    c, s = c[np.ix_(use, use)], pictures[use]
    weighted = np.linalg.inv(c) @ s  # C is small and far from singular, the pictures are many
    return weighted.T @ e[use], np.einsum("il,il->l", weighted, s) + 1e-300
