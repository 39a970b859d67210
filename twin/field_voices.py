"""What concerns a known leak of the field's reports and of night flow, as likelihoods over pipes.

The likelihoods stand in solvers/water/field_reports.py and solvers/water/night_flow.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from grid_models.water.network import WaterNetwork
from grid_models.water.zones import pipe_distance_m
from solvers.water.field_reports import citizen, found, logger, searched, voices
from solvers.water.leak_memory import Heard, Leak
from solvers.water.night_flow import Rise, likelihood
from solvers.water.plan import Floats, Index
from twin.field_report import FieldReport, ReportKind

_BEFORE_US = 3_600_000_000  # an onset may be told an hour too late
_KEPT = 1000  # places whose distances are kept
_MOST = 200  # reports on no alarm that count for a leak


class FieldVoices:
    """Reads reports for the leaks of one network.

    Args:
        model: the network.
        zone: (n_pipe,) metered zone of each pipe, -1 where it has none.
    """

    def __init__(self, model: WaterNetwork, zone: Index) -> None:
        self._model, self._zone = model, zone
        self._length_m = np.asarray(model.tables["pipe"]["length_m"], dtype=np.float64)
        self._ends = model.link_from[model.pipe_link], model.link_to[model.pipe_link]
        self._row = {str(i): k for k, i in enumerate(model.link_ids[model.pipe_link])}
        self.distance_m = lru_cache(maxsize=_KEPT)(self._distance_m)

    def of(self, leak: Leak, key: str, reports: Iterable[FieldReport], risen: Rise | None) -> Heard | None:
        """All that is said of a leak; None where nothing has been said since.

        Args:
            leak: known.
            key: of its alarm.
            reports: that count now.
            risen: night flow since its onset.
        """
        mine = _newest([r for r in reports if self._concerns(r, leak, key)])
        night = () if risen is None or leak.deviation is None else (f"night {risen.newest_us}",)
        ids = (*(r.report_id for r in mine), *night)
        if ids == leak.reports:
            return None
        log = np.zeros(len(self._length_m))
        if risen is not None and leak.deviation is not None:
            log = likelihood(risen, self._zone, leak.flows, leak.deviation)
        log = log + voices(self._citizens(mine), self._loggers(mine), self._length_m)
        log = log + searched(np.array([self._at(r) for r in mine if r.kind is ReportKind.REJECTED]).reshape(-1, len(log)))
        places = [self._at(r) for r in mine if r.kind is ReportKind.CONFIRMED]
        log = log + found(np.any(places, axis=0) if places else np.zeros(len(log), dtype=bool))
        return Heard(log, ids, any(r.kind is ReportKind.REPAIRED for r in mine))

    def _concerns(self, report: FieldReport, leak: Leak, key: str) -> bool:
        if report.kind.of_alarm:  # a memory that began anew counts its leaks anew
            return report.alarm_key == key and report.counts_us > leak.onset_us
        return report.happened_us >= leak.onset_us - _BEFORE_US

    def _citizens(self, reports: list[FieldReport]) -> list[Floats]:
        """Each source is one voice: the mean of what it says."""
        said: dict[str, list[Floats]] = {}
        for report in reports:
            if report.kind is ReportKind.CITIZEN:
                said.setdefault(report.source, []).append(citizen(self.distance_m(report.pipes), self._length_m))
        return [np.mean(s, axis=0) for s in said.values()]

    def _loggers(self, reports: list[FieldReport]) -> list[Floats]:
        """Each logger is one voice: its newest level."""
        heard = [r for r in reports if r.kind is ReportKind.LOGGER and r.level is not None]
        newest = {r.source: r for r in sorted(heard, key=lambda r: (r.happened_us, r.report_id))}
        levels = [(self.distance_m(r.pipes), r.level) for r in newest.values() if r.level is not None]
        return [logger(d, v.level_db - v.background_db, v.deviation_db) for d, v in levels]

    def _at(self, report: FieldReport) -> NDArray[np.bool_]:
        where = np.zeros(len(self._length_m), dtype=bool)
        where[[self._row[p] for p in report.pipes if p in self._row]] = True
        return where

    def _distance_m(self, pipes: tuple[str, ...]) -> Floats:
        """(n_pipe,) along the pipes from the nearest of some to each; inf where no way leads."""
        rows = [self._row[p] for p in pipes if p in self._row]
        if not rows:
            return np.full(len(self._length_m), np.inf)
        ways = pipe_distance_m(self._model, np.unique([self._ends[0][rows], self._ends[1][rows]])).min(axis=0)
        distance: Floats = np.minimum(ways[self._ends[0]], ways[self._ends[1]])
        distance[rows] = 0.0
        return distance


def _newest(reports: list[FieldReport]) -> list[FieldReport]:
    """Every word on the alarm, and of the others the newest, in the order in which they were entered."""
    street = sorted((r for r in reports if not r.kind.of_alarm), key=lambda r: (r.happened_us, r.report_id))
    counted = {r.report_id for r in street[-_MOST:]}
    return [r for r in reports if r.kind.of_alarm or r.report_id in counted]
