"""The lateness window: which value of each signal is in force at an instant, whatever the order of arrival.

Samples are ordered by (signal, time, sequence); of one signal the newest at or before the instant counts. A row without
source time stands at the twin's time of receipt. A row that only repeats the value without time confirms it and does
not move its source time. A mark says that from a time on nobody stands for a signal.
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
from twin.identities import sample_time

_VALUE, _NOT_TOPICAL, _TOPICAL = 0, 1, 2
_TRAVEL_US = 5_000_000  # of a switch between its end positions; longer than this it is a fault

_COLUMNS = ("signal", "time", "sequence", "value", "source", "validity", "flags", "mark")


class Window:
    """Time-ordered samples of every signal.

    Args:
        catalogue: the signals.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._samples = _no_samples()
        self._arrived: list[dict[str, NDArray[Any]]] = []
        self._of: dict[str, NDArray[np.uint32]] = {}

    def saved(self) -> dict[str, NDArray[Any]]:
        """All samples as columns."""
        return dict(self._sorted())

    def recall(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Hold what `saved` told, and nothing else."""
        self._samples, self._arrived = {name: np.array(saved[name]) for name in _COLUMNS}, []

    def insert(self, rows: Rows) -> int | None:
        """Take rows in.

        Returns:
            The earliest time whose states may change [us], None where there is no row.
        """
        if not len(rows):
            return None
        time = sample_time(rows)
        self._arrived.append(
            {
                "signal": rows.signal,
                "time": time,
                "sequence": rows.sequence,
                "value": rows.value,
                "source": rows.source_time_us,
                "validity": rows.validity,
                "flags": rows.flags,
                "mark": np.full(len(rows), _VALUE, dtype=np.uint8),
            }
        )
        return int(time.min())

    def mark(self, signals: NDArray[np.uint32], time_us: int, *, topical: bool = False) -> None:
        """From `time_us` on nobody stands for these signals until a newer value comes; or somebody does again."""
        n = len(signals)
        empty = _no_samples()
        entry = {name: np.zeros(n, dtype=empty[name].dtype) for name in _COLUMNS}
        entry["signal"], entry["time"] = signals.astype(np.uint32), np.full(n, time_us, dtype=np.int64)
        entry["mark"] = np.full(n, _TOPICAL if topical else _NOT_TOPICAL, dtype=np.uint8)
        self._arrived.append(entry)

    def in_force(self, instant_us: int, network: str) -> InForce:
        """The measurements in force at an instant.

        Args:
            instant_us: the grid instant.
            network: whose signals.
        """
        s = self._sorted()
        due = np.flatnonzero((s["time"] <= instant_us) & np.isin(s["signal"], self._signals(network)))
        mark = s["mark"][due]
        values = due[mark == _VALUE]
        newest = values[_last_of_each(s["signal"][values])]
        marks = due[mark != _VALUE]
        last_mark = marks[_last_of_each(s["signal"][marks])]
        newest, travelling = self._settled(s, values, newest, instant_us)
        row = self._catalogue.find(s["signal"][newest])
        left_at = np.full(len(newest), np.iinfo(np.int64).min)
        held = s["signal"][newest]
        if len(newest):
            at = np.minimum(np.searchsorted(held, s["signal"][last_mark]), len(newest) - 1)
            there = held[at] == s["signal"][last_mark]
            lost = there & (s["mark"][last_mark] == _NOT_TOPICAL)
            left_at[at[lost]] = s["time"][last_mark][lost]
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
        s = self._sorted()
        old = np.flatnonzero(s["time"] < before_us)
        is_value = s["mark"][old] == _VALUE
        values, marks = old[is_value], old[~is_value]
        last = values[_last_of_each(s["signal"][values])]
        s["source"][last] = _confirmed(s, values, last)
        row = self._catalogue.find(s["signal"][last])
        between = last[(self._catalogue.kind[row] == SignalKind.SWITCH) & ~_at_end(s["value"][last])]
        kept = [last, marks[_last_of_each(s["signal"][marks])], *(self._travel(s, values, i) for i in between)]
        keep = s["time"] >= before_us
        keep[np.concatenate(kept)] = True
        self._samples = {name: s[name][keep] for name in _COLUMNS}

    def _travel(self, s: Mapping[str, NDArray[Any]], values: NDArray[np.int64], last: np.int64) -> NDArray[np.int64]:
        """A switch's samples from its last end position through `last`."""
        mine = values[(s["signal"][values] == s["signal"][last]) & (values <= last)]
        ends = np.flatnonzero(_at_end(s["value"][mine]))
        return np.asarray(mine[ends[-1] :] if len(ends) else mine)

    def _signals(self, network: str) -> NDArray[np.uint32]:
        if network not in self._of:
            self._of[network] = np.array([s.uid for s in self._catalogue.of(network)], dtype=np.uint32)
        return self._of[network]

    def _sorted(self) -> dict[str, NDArray[Any]]:
        """All samples in order; what arrived since is merged in when it is first asked for."""
        if self._arrived:
            parts = [self._samples, *self._arrived]
            joined = {name: np.concatenate([p[name] for p in parts]) for name in _COLUMNS}
            order = np.lexsort((joined["sequence"], joined["time"], joined["signal"]))
            joined = {name: joined[name][order] for name in _COLUMNS}
            self._samples = joined
            self._arrived = []
        return self._samples


def _no_samples() -> dict[str, NDArray[Any]]:
    types = (np.uint32, np.int64, np.uint64, np.float64, np.int64, np.uint8, np.uint8, np.uint8)
    return {name: np.zeros(0, dtype=t) for name, t in zip(_COLUMNS, types, strict=True)}


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
