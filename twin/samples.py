"""Samples of every signal in order of time, kept so that neither adding some nor asking for the newest walks over all.

Samples lie in runs, each sorted by (signal, time, sequence). What comes is a new run; runs of like size are merged, up to a
size that takes a few milliseconds. A look is a binary search in each run for the key

    row of the signal * 2^44 + time since an origin [us]

so it costs (signals asked for) x log(run) x (runs), whatever the length of the lateness window.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_models.measurements import Catalogue

Columns = dict[str, NDArray[Any]]
TYPES: Mapping[str, Any] = {
    "signal": np.uint32, "time": np.int64, "sequence": np.uint64, "value": np.float64, "source": np.int64,
    "validity": np.uint8, "flags": np.uint8,
}  # fmt: skip
_BITS = 44  # of time: 200 days
_LEAD_US = 1 << 42  # the origin lies 50 days before the first sample
_MERGED = 4
_LONGEST_RUN = 100_000


class Samples:
    """Values of signals.

    Args:
        catalogue: the signals; samples of others are let go.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._runs: list[Columns] = []
        self._arrived: list[Columns] = []
        self._waiting = 0  # samples in these
        self._origin_us: int | None = None

    def __len__(self) -> int:
        return sum(len(r["signal"]) for r in [*self._runs, *self._arrived])

    def add(self, columns: Columns) -> None:
        """Take samples in; a look sorts what has arrived, but should not find a flood of it."""
        self._arrived.append(columns)
        self._waiting += len(columns["signal"])
        if self._waiting > _LONGEST_RUN // _MERGED:
            self._sort()

    def saved(self) -> Columns:
        """All samples as columns."""
        return _joined([*self._runs, *self._arrived])

    def last_at(self, rows: NDArray[np.int64], instant_us: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(n,) run and place of each signal's newest sample at or before an instant, run -1 where there is none.

        Args:
            rows: of the signals in the catalogue, ascending.
            instant_us: the instant.
        """
        self._sort()
        run, place = np.full(len(rows), -1), np.zeros(len(rows), dtype=np.int64)
        time, sequence = np.full(len(rows), np.iinfo(np.int64).min), np.zeros(len(rows), dtype=np.uint64)
        probe = self._key(rows, np.full(len(rows), instant_us))
        for k, columns in enumerate(self._runs):
            at = np.searchsorted(columns["key"], probe, side="right") - 1
            t, q = columns["time"][at], columns["sequence"][at]
            newer = (t > time) | ((t == time) & (q > sequence))
            better = np.flatnonzero((at >= 0) & (columns["key"][at] >> _BITS == rows) & (newer | (run < 0)))
            run[better], place[better] = k, at[better]
            time[better], sequence[better] = t[better], q[better]
        return run, place

    def all_of(self, rows: NDArray[np.int64], instant_us: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(n,) run and place of every sample of some signals at or before an instant, by signal, time and sequence."""
        self._sort()
        runs, places = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for k, columns in enumerate(self._runs):
            first = np.searchsorted(columns["key"], rows << _BITS)
            behind = np.searchsorted(columns["key"], self._key(rows, np.full(len(rows), instant_us)), side="right")
            found = [np.arange(a, b) for a, b in zip(first, behind, strict=True)]
            places += found
            runs.append(np.full(sum(map(len, found)), k))
        run, place = np.concatenate(runs), np.concatenate(places)
        s = self.take(run, place)
        order = np.lexsort((s["sequence"], s["time"], s["signal"]))
        return run[order], place[order]

    def take(self, run: NDArray[np.int64], place: NDArray[np.int64]) -> Columns:
        """The samples at these places, in this order."""
        out = {name: np.zeros(len(run), dtype=kind) for name, kind in TYPES.items()}
        for k in np.unique(run):
            mine = run == k
            for name, column in out.items():
                column[mine] = self._runs[k][name][place[mine]]
        return out

    def keep(self, before_us: int, run: NDArray[np.int64], place: NDArray[np.int64], source: NDArray[np.int64]) -> None:
        """Drop what is older than `before_us`, but for the samples at these places, whose source times become `source`."""
        kept: list[Columns] = []
        for k, columns in enumerate(self._runs):
            mine = run == k
            columns["source"][place[mine]] = source[mine]
            stays = columns["time"] >= before_us
            stays[place[mine]] = True
            kept.append(columns if stays.all() else {name: c[stays] for name, c in columns.items()})
        self._runs = [c for c in kept if len(c["key"])]
        if self._origin_us is not None and before_us - self._origin_us > 2 * _LEAD_US:
            self._arrived, self._runs = [{n: r[n] for n in TYPES} for r in self._runs], []
            self._origin_us = before_us - _LEAD_US
        self._sort()
        small = [c for c in self._runs if _MERGED * len(c["key"]) < _LONGEST_RUN]
        if len(small) > 1:
            self._runs = [c for c in self._runs if _MERGED * len(c["key"]) >= _LONGEST_RUN]
            self._runs.append(self._run(_joined(small)))

    def _sort(self) -> None:
        """Make a run of what has arrived, and merge runs of like size."""
        if not self._arrived:
            return
        columns, self._arrived, self._waiting = self._run(_joined(self._arrived)), [], 0
        if len(columns["key"]):
            self._runs.append(columns)
        while len(self._runs) >= _MERGED:
            last = self._runs[-_MERGED:]
            size = sum(len(c["key"]) for c in last)
            if size > _LONGEST_RUN or len(last[0]["key"]) > _MERGED * len(last[-1]["key"]):
                break
            self._runs[-_MERGED:] = [self._run(_joined(last))]

    def _run(self, columns: Columns) -> Columns:
        rows = self._catalogue.find(columns["signal"])
        known = rows >= 0
        if not known.all():
            columns, rows = {name: c[known] for name, c in columns.items()}, rows[known]
        if self._origin_us is None and len(rows):
            self._origin_us = int(columns["time"].min()) - _LEAD_US
        order = np.lexsort((columns["sequence"], columns["time"], rows))
        run = {name: c[order] for name, c in columns.items()}
        run["key"] = self._key(rows[order], run["time"])
        return run

    def _key(self, rows: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
        since = np.clip(times - (self._origin_us or 0), 0, (1 << _BITS) - 1)
        return np.asarray((rows << _BITS) + since)


def _joined(parts: list[Columns]) -> Columns:
    empty = {name: np.zeros(0, dtype=kind) for name, kind in TYPES.items()}
    return {name: np.concatenate([empty[name], *(p[name] for p in parts)]) for name in TYPES}
