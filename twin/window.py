"""The lateness window: which value of each signal is in force at an instant, whatever the order of arrival.

Samples are ordered by (signal, time, sequence), which is a row's identity, too: what is sent twice counts once. Of one signal
the newest at or before the instant counts. A row without source time stands at the twin's time of receipt. A row that only
repeats the value without time confirms it and does not move its source time. A mark says that from a time on nobody stands for
a signal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_models.measurements import (
    Catalogue,
    Flag,
    Rows,
    SignalKind,
    SwitchPosition,
    Update,
    sigma_factor,
)
from twin.estimators import InForce
from twin.samples import Columns, Samples

_EVER_US = np.iinfo(np.int64).max
_TRAVEL_US = 5_000_000  # of a switch between its end positions; longer than this it is a fault

_MARK: Mapping[str, Any] = {"signal": np.uint32, "time": np.int64, "topical": np.bool_}


class Window:
    """Time-ordered samples of every signal.

    Args:
        catalogue: the signals.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._samples = Samples(catalogue)
        self._marks: Columns = {name: np.zeros(0, dtype=kind) for name, kind in _MARK.items()}  # by signal and time
        self._rows = {
            name: np.flatnonzero([s.network == name for s in catalogue.signals])
            for name in {s.network for s in catalogue.signals}
        }
        self._switches = {name: rows[catalogue.kind[rows] == SignalKind.SWITCH] for name, rows in self._rows.items()}

    def __len__(self) -> int:
        return len(self._samples) + len(self._marks["signal"])

    def saved(self) -> dict[str, NDArray[Any]]:
        """All samples and marks as columns."""
        return self._samples.saved() | {f"mark_{name}": column for name, column in self._marks.items()}

    def recall(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Hold what `saved` told, and nothing else."""
        self._samples.recall(saved)
        self._marks = {name: np.array(saved[f"mark_{name}"]) for name in _MARK}

    def enter(self, rows: Rows, late: NDArray[np.bool_] | None = None) -> NDArray[np.int8]:
        """(n,) NEW, DUPLICATE or CONFLICT for each row by its identity; new ones are taken in, late ones not.

        Args:
            rows: in our direction.
            late: (n,) which are only looked up; None = none.
        """
        return self._samples.enter(rows, np.zeros(len(rows), dtype=np.bool_) if late is None else late)

    def mark(self, signals: NDArray[np.uint32], time_us: int, *, topical: bool = False) -> None:
        """From `time_us` on nobody stands for these signals until a newer value comes; or somebody does again."""
        n = len(signals)
        new = {"signal": signals, "time": np.full(n, time_us), "topical": np.full(n, topical)}
        joined = {name: np.concatenate([self._marks[name], new[name].astype(kind)]) for name, kind in _MARK.items()}
        order = np.lexsort((joined["time"], joined["signal"]))
        self._marks = {name: column[order] for name, column in joined.items()}

    def in_force(self, instant_us: int, network: str) -> InForce:
        """The measurements in force at an instant.

        Args:
            instant_us: the grid instant.
            network: whose signals.
        """
        s = self._relevant(self._rows.get(network, np.zeros(0, dtype=np.int64)), instant_us)[0]
        values = np.arange(len(s["signal"]))
        newest = values[_last_of_each(s["signal"])]
        newest, travelling = self._settled(s, values, newest, instant_us)
        row = self._catalogue.find(s["signal"][newest])
        left_at = np.full(len(newest), np.iinfo(np.int64).min)
        held = s["signal"][newest]
        if len(newest):
            due = np.flatnonzero(self._marks["time"] <= instant_us)
            last = due[_last_of_each(self._marks["signal"][due])]
            at = np.minimum(np.searchsorted(held, self._marks["signal"][last]), len(newest) - 1)
            lost = (held[at] == self._marks["signal"][last]) & ~self._marks["topical"][last]
            left_at[at[lost]] = self._marks["time"][last][lost]
        orphan = left_at > s["time"][newest]
        age = instant_us - s["time"][newest]
        cyclic = self._catalogue.update[row] == Update.CYCLIC
        expired = cyclic & (age > self._catalogue.ttl_s[row] * 1e6)
        gone = age > self._catalogue.hold_s[row] * 1e6
        flags = np.asarray(s["flags"][newest] | np.where(orphan | expired, int(Flag.NOT_TOPICAL), 0), dtype=np.uint8)
        sigma = np.multiply(sigma_factor(s["validity"][newest], flags), self._catalogue.sigma[row])
        keep = ~gone
        return InForce(
            valid_time_us=instant_us,
            signal=s["signal"][newest][keep],
            value=np.where(travelling, np.nan, s["value"][newest])[keep],
            sigma=sigma[keep],
            source_time_us=_confirmed(s, values, newest)[keep],
            stale=(orphan | expired)[keep],
            manual=np.zeros(int(keep.sum()), dtype=bool),
        )

    def moves(self, network: str, after_us: int, through_us: int) -> NDArray[np.int64]:
        """When switches of a network moved in (after, through], in no order [us]; the first that is heard of one is no move."""
        rows = self._switches.get(network, np.zeros(0, dtype=np.int64))
        place = self._samples.last_at(rows, through_us)
        place, rows = place[place >= 0], rows[place >= 0]
        recent = self._samples.take(rows, place)["time"] > after_us
        place, rows = self._samples.all_of(rows[recent], through_us, after_us)
        s = self._samples.take(rows, place)
        moved = (rows[1:] == rows[:-1]) & (s["value"][1:] != s["value"][:-1]) & (s["time"][1:] > after_us)
        return np.asarray(s["time"][1:][moved])

    def followed(self, uids: NDArray[np.uint32], times: NDArray[np.int64]) -> NDArray[np.int64]:
        """When each next sample of a signal stands behind one at a given time, in no order [us]; none where there is none.

        Args:
            uids: (n,) of the catalogue.
            times: (n,) Unix us.
        """
        rows = self._catalogue.find(uids)
        place = self._samples.last_at(rows, _EVER_US)
        overtaken = place >= 0
        overtaken[overtaken] = self._samples.take(rows[overtaken], place[overtaken])["time"] > times[overtaken]
        late = np.unique(rows[overtaken])
        place, row = self._samples.all_of(late, _EVER_US, int(times.min(initial=_EVER_US)))
        stands = self._samples.take(row, place)["time"]
        found = []
        for signal, begin, end in zip(late, np.searchsorted(row, late), np.searchsorted(row, late, "right"), strict=True):
            mine = stands[begin:end]
            found.append(mine[np.searchsorted(mine, times[overtaken & (rows == signal)], "right")])
        return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)

    def _relevant(self, rows: NDArray[np.int64], instant_us: int) -> tuple[Columns, NDArray[np.int64], NDArray[np.int64]]:
        """Of each signal its newest sample at or before an instant, and all where that one does not tell by itself.

        A repetition without time has the time of what it repeats; a switch between its positions had one before. With the
        samples, by signal, time and sequence, come their signals' rows in the catalogue and the places where they lie.
        """
        place = self._samples.last_at(rows, instant_us)
        place, rows = place[place >= 0], rows[place >= 0]
        s = self._samples.take(rows, place)
        moving = (self._catalogue.kind[rows] == SignalKind.SWITCH) & ~_at_end(s["value"])
        asks = (s["source"] == 0) | moving
        if not asks.any():
            return s, rows, place
        further, theirs = self._samples.all_of(rows[asks], instant_us)
        place, rows = np.concatenate([place[~asks], further]), np.concatenate([rows[~asks], theirs])
        order = np.argsort(rows, kind="stable")
        return self._samples.take(rows[order], place[order]), rows[order], place[order]

    def _settled(
        self, s: Mapping[str, NDArray[Any]], values: NDArray[np.int64], newest: NDArray[np.int64], instant_us: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """A switch between its positions keeps the last one for its travel time; then its position is unknown."""
        row = self._catalogue.find(s["signal"][newest])
        between = (self._catalogue.kind[row] == SignalKind.SWITCH) & ~_at_end(s["value"][newest])
        out, unknown = newest.copy(), np.zeros(len(newest), dtype=bool)
        for i in np.flatnonzero(between):
            travel = self._travel(s, values, newest[i])
            from_end = len(travel) > 1 and bool(_at_end(s["value"][travel[:1]])[0])
            moving = bool((s["value"][travel[1:]] == SwitchPosition.INTERMEDIATE).all())
            if from_end and moving and instant_us - s["time"][travel[1]] <= _TRAVEL_US:
                out[i] = travel[0]
            else:
                unknown[i] = True
        return out, unknown

    def forget(self, before_us: int) -> None:
        """Drop what no instant from `before_us` on looks at: all but each signal's last value and last mark."""
        s, rows, place = self._relevant(np.arange(len(self._catalogue.signals)), before_us - 1)
        values = np.arange(len(s["signal"]))
        last = values[_last_of_each(s["signal"])]
        s["source"][last] = _confirmed(s, values, last)
        row = self._catalogue.find(s["signal"][last])
        between = last[(self._catalogue.kind[row] == SignalKind.SWITCH) & ~_at_end(s["value"][last])]
        kept = np.unique(np.concatenate([last, *(self._travel(s, values, i) for i in between)]))
        self._samples.keep(before_us, rows[kept], place[kept], s["source"][kept])
        old = np.flatnonzero(self._marks["time"] < before_us)
        stays = self._marks["time"] >= before_us
        stays[old[_last_of_each(self._marks["signal"][old])]] = True
        self._marks = {name: column[stays] for name, column in self._marks.items()}

    def _travel(self, s: Mapping[str, NDArray[Any]], values: NDArray[np.int64], last: np.int64) -> NDArray[np.int64]:
        """A switch's samples from its last end position through `last`."""
        mine = values[(s["signal"][values] == s["signal"][last]) & (values <= last)]
        ends = np.flatnonzero(_at_end(s["value"][mine]))
        return np.asarray(mine[ends[-1] :] if len(ends) else mine)


def _last_of_each(signal: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Positions of the last of each run of equal signals."""
    if not len(signal):
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(np.append(signal[1:] != signal[:-1], True))


def _at_end(position: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray((position == SwitchPosition.OPEN) | (position == SwitchPosition.CLOSED))


def _confirmed(s: Mapping[str, NDArray[Any]], values: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) source times of the chosen samples; a repetition without time has that of the value it repeats."""
    source = np.asarray(s["source"][chosen]).copy()
    for k in np.flatnonzero(source == 0):
        i = int(np.searchsorted(values, chosen[k]))
        while (
            s["source"][values[i]] == 0
            and i > 0
            and s["signal"][values[i - 1]] == s["signal"][values[i]]
            and s["value"][values[i - 1]] == s["value"][values[i]]
        ):
            i -= 1
        source[k] = s["source"][values[i]]
    return source
