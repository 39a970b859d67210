"""Learn a town's resistances and demands from a year of readings with its known leaks in the model.

Unknowns theta = (ln resistance factors, ln base-demand factors, pattern harmonics), theta ~ N(0, S0); data: the mean
residual of each output in each cell, a cell being one of four parts of the day within a block of eight days. Around the
present theta the cells answer with J (from the sensitivities at a few hours of each cell), so

    A = S0^-1 + J' R^-1 J,     theta := A^-1 J' R^-1 (r + J theta)                (Gauss-Newton; r: residual cells)

R: the scatter within a cell over its count, and a floor for what the model can never explain. The posterior covariance
is A^-1; samples of it are A^-1/2 times white noise. All rounds but the last see each third hour, a different one each day.
Four rounds do where the model is near; where it is not, there are more, and a step after which the cells differ by more than
before is halved.

Where only repairs are known, the flow of each repaired leak in each block before its repair is one more unknown, with a
prior that walks from zero.

Reference: A. Tarantola, "Inverse Problem Theory" (2005), ch. 3.2; J.-P. Chiles, P. Delfiner, "Geostatistics" (2012), 7.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from solvers.water.leak_search.readings import Hours
from solvers.water.leak_search.town import Parameters, Town, harmonics
from solvers.water.plan import Floats, Index

_PRIOR_RESISTANCE, _PRIOR_BASE, _PRIOR_HARMONIC = 0.20, 0.08, 0.03
_BLOCK_DAYS = 8
_SAMPLED = 5  # hours of each cell at which J is evaluated
_ROUNDS, _MOST_ROUNDS, _HALVINGS = 4, 12, 4
_NEAR_M = 0.005  # below which the cells may differ before the last round
_FLOOR_M, _FLOOR_SHARE = 0.0012, 6e-4  # heads [m]; flows, of the mean consumption
_WALK_SHARE = 0.02  # of the mean consumption: how far an unknown leak's flow walks from block to block


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was learnt.

    Args:
        town: with the learnt parameters.
        samples: (n_sample,) parameters drawn from the posterior.
        leaks: (n_hour, n_pipe) [m3/h] the known leaks, with the flows found for those of which only repairs are known.
        residual: (n_hour, n_output) measured less predicted with them.
        consumption: (n_hour,) of the balanced zones [m3/h].
    """

    town: Town
    samples: tuple[Parameters, ...]
    leaks: Floats
    residual: Floats
    consumption: Floats


@dataclass(frozen=True, eq=False)
class _Unknowns:
    """How theta is laid out: resistances, the demand rows that count, harmonics of the patterns that count, leaks."""

    rows: Index
    patterns: Index
    leak_pipe: Index
    leak_block: Index
    prior: Floats  # (n, ) standard deviations
    leak_prior: Floats  # (n_leak, n_leak) covariance
    n_pipe: int

    @property
    def information(self) -> Floats:
        """(n, n) S0^-1."""
        out = np.diag(1.0 / self.prior**2)
        n = len(self.leak_pipe)
        if n:
            out[-n:, -n:] = np.linalg.inv(self.leak_prior + 1e-6 * np.diag(np.diag(self.leak_prior)))
        return out


def calibrate(
    town: Town,
    hours: Hours,
    leaks: Floats,
    repaired: Sequence[tuple[int, int]] = (),
    *,
    n_sample: int = 32,
    told: Callable[[str], None] = lambda _: None,
) -> Calibration:
    """Calibrate a town.

    Args:
        town: nominal.
        hours: of the history.
        leaks: (n_hour, n_pipe) known leaks [m3/h].
        repaired: pipes with unknown flow and the hour of their repair.
        n_sample: how many posterior samples to draw.
        told: is told what goes on.
    """
    n, n_output = len(hours), town.n_output
    measured = town.measured(hours)
    calm = np.where(hours.is_unsteady(hours.usual_flow_m3_per_h)[:, None], np.nan, measured)
    cell = _cells(hours)
    n_cell = int(cell.max()) + 1
    rng = np.random.default_rng(0)
    unknowns = _unknowns(town, repaired)
    theta = before = np.zeros(len(unknowns.prior))
    reached = np.inf
    for k in range(_MOST_ROUNDS):
        is_last = k >= _ROUNDS - 1 and (reached < _NEAR_M or k == _MOST_ROUNDS - 1)
        seen = np.arange(n) if is_last else _each_third(hours)
        for halved in range(_HALVINGS + 1):
            present = town.with_parameters(_parameters(town, unknowns, theta))
            flowing = leaks + _found_flows(unknowns, theta, repaired, n, len(town.pipe))
            reading, consumption = run(present, hours, flowing, seen)
            mean, scatter, count = _cell_means(calm[seen] - reading, cell[seen], n_cell)
            rms = float(np.sqrt(np.nanmean(mean[:, : town.n_head] ** 2)))
            if rms < max(reached, _NEAR_M) or halved == _HALVINGS:
                break
            theta = 0.5 * (theta + before)
        reached, before = rms, theta
        told(f"calibrating, round {k + 1}: cells differ by {rms * 1e3:.2f} mm")
        floor = np.full(n_output, _FLOOR_SHARE * np.nanmean(consumption))
        floor[: town.n_head] = _FLOOR_M
        R = 1.5 * scatter**2 / np.maximum(count, 1) + floor**2
        told_by = count > 0
        told_by[:, n_output - town.n_balance :] = False  # they know of demand alone; their factor is learnt below
        J = _jacobian(present, hours, flowing, cell, n_cell, unknowns, rng)[told_by]
        white = J / np.sqrt(R[told_by])[:, None]
        A = white.T @ white + unknowns.information
        solved, _ = cho_factor(A, lower=True, overwrite_a=True)
        theta = cho_solve((solved, True), white.T @ ((mean[told_by] + J @ theta) / np.sqrt(R[told_by])))
        if is_last:
            break
    present = town.with_parameters(_parameters(town, unknowns, theta))
    flowing = leaks + _found_flows(unknowns, theta, repaired, n, len(town.pipe))
    left = solve_triangular(solved, rng.standard_normal((len(theta), n_sample)), lower=True, trans=1)
    samples = [_parameters(town, unknowns, theta + left[:, i]) for i in range(n_sample)]
    reading, consumption = run(present, hours, flowing, np.arange(n))
    residual = measured - reading
    factor = _balance_factors(town, reading, measured, flowing)
    present = town.with_parameters(_with_balance(present.parameters, factor))
    residual[:, n_output - town.n_balance :] -= (reading - _leak_part(town, flowing))[:, n_output - town.n_balance :] * (
        factor - 1
    )
    return Calibration(present, tuple(_with_balance(p, factor) for p in samples), flowing, residual, consumption)


def run(town: Town, hours: Hours, leaks: Floats, seen: Index) -> tuple[Floats, Floats]:
    """(n_seen, n_output) predictions of chosen hours and (n_seen,) consumption of the balanced zones then [m3/h]."""
    reading, consumption = np.empty((len(seen), town.n_output)), np.empty(len(seen))
    for i, h in enumerate(seen.tolist()):
        view = town.view(hours[h], leaks[h])
        reading[i], consumption[i] = view.reading, view.inflow_m3_per_h
    return reading, consumption


def _each_third(hours: Hours) -> Index:
    """Hours that stand for all."""
    h = np.arange(len(hours))
    return np.asarray(h[h % 3 == h // 24 % 3])


def _cells(hours: Hours) -> Index:
    """(n,) cell of each hour: night, morning, day, rest, in blocks of days."""
    hour = hours.hour_of_week % 24
    part = np.select([(hour >= 2) & (hour < 5), (hour >= 6) & (hour < 10), (hour >= 10) & (hour < 16)], [0, 1, 2], 3)
    return np.asarray((np.arange(len(hours)) // (24 * _BLOCK_DAYS)) * 4 + part)


def _cell_means(values: Floats, cell: Index, n_cell: int) -> tuple[Floats, Floats, Floats]:
    """(n_cell, n_output) means (0 where empty), (n_output,) scatter within cells, (n_cell, n_output) counts."""
    there = np.isfinite(values)
    filled = np.where(there, values, 0.0)
    count, total = np.zeros((n_cell, values.shape[1])), np.zeros((n_cell, values.shape[1]))
    np.add.at(count, cell, there)
    np.add.at(total, cell, filled)
    mean = total / np.maximum(count, 1)
    return mean, np.nanstd(values - mean[cell], axis=0), count


def _unknowns(town: Town, repaired: Sequence[tuple[int, int]]) -> _Unknowns:
    network = town.network
    base = np.asarray(network.tables["demand"]["base_m3_per_s"])
    zone = town.zones.of_node[network.demand_node]
    free = (base > 0) & (zone >= 0) & town.zones.balanced[np.maximum(zone, 0)]
    share = np.bincount(town.pattern_of_row, base * free)
    patterns = np.flatnonzero(share > 0.1 * share.sum())
    rows = np.flatnonzero(free & np.isin(town.pattern_of_row, np.flatnonzero(share > 0.01 * share.sum())))
    block_hours = 24 * _BLOCK_DAYS
    pairs = [(p, b) for p, end in repaired for b in range(-(-end // block_hours))]
    leak_pipe, leak_block = (np.array([pair[i] for pair in pairs], dtype=np.int64) for i in (0, 1))
    walk = _WALK_SHARE * sum(base) * 3600.0
    same = leak_pipe[:, None] == leak_pipe[None]
    leak_prior = walk**2 * same * (1.0 + np.minimum(leak_block[:, None], leak_block[None]))
    n_pipe = len(town.pipe)
    prior = np.concatenate(
        [
            np.full(n_pipe, _PRIOR_RESISTANCE),
            np.full(len(rows), _PRIOR_BASE),
            np.full(12 * len(patterns), _PRIOR_HARMONIC),
            np.sqrt(np.diag(leak_prior)),
        ]
    )
    return _Unknowns(rows, patterns, leak_pipe, leak_block, prior, leak_prior, n_pipe)


def _jacobian(
    town: Town, hours: Hours, leaks: Floats, cell: Index, n_cell: int, u: _Unknowns, rng: np.random.Generator
) -> Floats:
    """(n_cell, n_output, n_unknown), the mean over a few hours of each cell."""
    out = np.zeros((n_cell, town.n_output, len(u.prior)))
    start, end = town.pipe_ends
    pattern = town.pattern_of_row
    row_zone = town.zones.of_node[town.network.demand_node]
    drawn_in_balance = town.zones.balanced[np.maximum(row_zone, 0)] & (row_zone >= 0)
    for c in range(n_cell):
        mine = np.flatnonzero(cell == c)
        chosen = rng.choice(mine, min(_SAMPLED, len(mine)), replace=False)
        for h in chosen.tolist():
            view = town.view(hours[h], leaks[h])
            by_node, by_resistance = town.sensitivity(view)
            how = int(hours.hour_of_week[h])
            nominal = town.row_demand(how)
            total = np.bincount(town.network.demand_node, nominal, len(view.demand_m3_per_h))
            with np.errstate(invalid="ignore", divide="ignore"):
                scale = np.where(total > 0, view.free_m3_per_h / total, 0.0)
            by_row = by_node[:, town.network.demand_node] * (nominal * scale[town.network.demand_node] * drawn_in_balance)
            by_pattern = by_row @ (pattern[:, None] == u.patterns[None])
            parts = [by_resistance, by_row[:, u.rows], (by_pattern[:, :, None] * harmonics(how)).reshape(len(by_row), -1)]
            if len(u.leak_pipe):
                here = u.leak_block == h // (24 * _BLOCK_DAYS)
                by_leak = 0.5 * (by_node[:, start[u.leak_pipe]] + by_node[:, end[u.leak_pipe]])
                parts.append(by_leak * here)
            out[c] += np.concatenate(parts, axis=1) / len(chosen)
    out[:, town.n_output - town.n_balance :] = 0.0
    return out


def _parameters(town: Town, u: _Unknowns, theta: Floats) -> Parameters:
    zero = town.parameters
    base, wave = zero.base.copy(), zero.harmonics.copy()
    n_row = len(u.rows)
    base[u.rows] = theta[u.n_pipe : u.n_pipe + n_row]
    at = u.n_pipe + n_row
    wave[u.patterns] = theta[at : at + 12 * len(u.patterns)].reshape(len(u.patterns), 12)
    return Parameters(theta[: u.n_pipe].copy(), base, wave, zero.balance)


def _found_flows(u: _Unknowns, theta: Floats, repaired: Sequence[tuple[int, int]], n: int, n_pipe: int) -> Floats:
    """(n_hour, n_pipe) flows of the repaired leaks, none negative, none after the repair."""
    out = np.zeros((n, n_pipe))
    block = np.arange(n) // (24 * _BLOCK_DAYS)
    for pipe, end in repaired:
        mine = u.leak_pipe == pipe
        flow = np.maximum(theta[len(theta) - len(mine) :][mine], 0.0)
        out[:end, pipe] += flow[np.minimum(block[:end], len(flow) - 1)]
    return out


def _leak_part(town: Town, leaks: Floats) -> Floats:
    """(n_hour, n_output) what leaks alone add to the balances."""
    out = np.zeros((len(leaks), town.n_output))
    for k, share in enumerate(town.balance_shares):
        out[:, town.n_output - town.n_balance + k] = leaks @ share
    return out


def _balance_factors(town: Town, reading: Floats, measured: Floats, leaks: Floats) -> Floats:
    """(n_balance,) by which the modelled demand of each balance is too small."""
    first = town.n_output - town.n_balance
    demand = (reading - _leak_part(town, leaks))[:, first:]
    supplied = (measured - _leak_part(town, leaks))[:, first:]
    there = np.isfinite(demand) & np.isfinite(supplied)
    return np.asarray(np.where(there, supplied, 0.0).sum(axis=0) / np.maximum(np.where(there, demand, 0.0).sum(axis=0), 1e-9))


def _with_balance(p: Parameters, factor: Floats) -> Parameters:
    return Parameters(p.resistance, p.base, p.harmonics, factor)
