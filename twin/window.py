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
    TimeQuality,
    Update,
    sigma_factor,
)
from twin.estimators import InForce

_VALUE, _NOT_TOPICAL = 0, 1
_TRAVEL_US = 5_000_000  # of a switch between its end positions; longer than this it is a fault

_COLUMNS = ("signal", "time", "sequence", "value", "source", "validity", "flags", "mark", "manual")


class Seen:
    """Identities of rows in the window, so that a row sent twice counts once."""

    NEW, DUPLICATE, CONFLICT = 0, 1, 2

    def __init__(self) -> None:
        self._value: dict[int, float] = {}
        self._time: dict[int, int] = {}

    def judge(self, rows: Rows, late: NDArray[np.bool_]) -> NDArray[np.int8]:
        """NEW, DUPLICATE or CONFLICT for each row; new ones are remembered, late ones not."""
        verdict = np.zeros(len(rows), dtype=np.int8)
        known, times = self._value, self._time
        keys, values = _identity(rows).tolist(), rows.value.tolist()
        for i, (key, value, time, is_late) in enumerate(
            zip(keys, values, rows.source_time_us.tolist(), late.tolist(), strict=True)
        ):
            before = known.get(key)
            if before is None:
                if not is_late:
                    known[key] = value
                    times[key] = time
            else:
                verdict[i] = self.DUPLICATE if before == value else self.CONFLICT
        return verdict

    def forget(self, before_us: int) -> None:
        """Drop what has left the window."""
        old = [key for key, time in self._time.items() if 0 < time < before_us]
        for key in old:
            del self._value[key], self._time[key]


def _identity(rows: Rows) -> NDArray[np.uint64]:
    """(n,) a 64-bit mix of signal, source time and sequence (splitmix64's finaliser)."""
    with np.errstate(over="ignore"):
        h = rows.signal.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        h ^= rows.source_time_us.astype(np.uint64) * np.uint64(0xBF58476D1CE4E5B9)
        h ^= rows.sequence.astype(np.uint64) * np.uint64(0x94D049BB133111EB)
        h ^= h >> np.uint64(30)
        h *= np.uint64(0xBF58476D1CE4E5B9)
        h ^= h >> np.uint64(27)
        h *= np.uint64(0x94D049BB133111EB)
        return np.asarray(h ^ (h >> np.uint64(31)))


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

    def insert(self, rows: Rows, manual: bool = False) -> int | None:
        """Take rows in.

        Returns:
            The earliest time whose states may change [us], None where there is no row.
        """
        if not len(rows):
            return None
        time = np.where(rows.time_quality == TimeQuality.NONE, rows.receive_time_us, rows.source_time_us)
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
                "manual": np.full(len(rows), manual),
            }
        )
        return int(time.min())

    def mark(self, signals: NDArray[np.uint32], time_us: int) -> int:
        """From `time_us` on nobody stands for these signals, until a newer value comes; returns that time."""
        n = len(signals)
        empty = _no_samples()
        entry = {name: np.zeros(n, dtype=empty[name].dtype) for name in _COLUMNS}
        entry["signal"], entry["time"] = signals.astype(np.uint32), np.full(n, time_us, dtype=np.int64)
        entry["mark"] = np.full(n, _NOT_TOPICAL, dtype=np.uint8)
        self._arrived.append(entry)
        return time_us

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
            left_at[at[there]] = s["time"][last_mark][there]
        orphan = left_at >= s["time"][newest]
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
            source_time_us=s["source"][newest][keep],
            stale=(orphan | expired)[keep],
            manual=s["manual"][newest][keep],
        )

    def _settled(
        self, s: Mapping[str, NDArray[Any]], values: NDArray[np.int64], newest: NDArray[np.int64], instant_us: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """A switch between its positions keeps the last one for its travel time; then its position is unknown."""
        row = self._catalogue.find(s["signal"][newest])
        is_switch = self._catalogue.kind[row] == SignalKind.SWITCH
        between = is_switch & ~np.isin(s["value"][newest], (SwitchPosition.OPEN, SwitchPosition.CLOSED))
        out, unknown = newest.copy(), np.zeros(len(newest), dtype=bool)
        for i in np.flatnonzero(between):
            mine = values[(s["signal"][values] == s["signal"][newest[i]])]
            ends = mine[np.isin(s["value"][mine], (SwitchPosition.OPEN, SwitchPosition.CLOSED))]
            left_at = s["time"][mine[mine > ends[-1]][0]] if len(ends) else s["time"][mine[0]]
            if (
                len(ends)
                and instant_us - left_at <= _TRAVEL_US
                and s["value"][newest[i]] == SwitchPosition.INTERMEDIATE
            ):
                out[i] = ends[-1]
            else:
                unknown[i] = True
        return out, unknown

    def forget(self, before_us: int) -> None:
        """Drop samples before a time, but for each signal's last value and last mark."""
        s = self._sorted()
        old = np.flatnonzero(s["time"] < before_us)
        is_value = s["mark"][old] == _VALUE
        kept = [part[_last_of_each(s["signal"][part])] for part in (old[is_value], old[~is_value])]
        keep = np.sort(np.concatenate([*kept, np.flatnonzero(s["time"] >= before_us)]))
        self._samples = {name: s[name][keep] for name in _COLUMNS}

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
            self._samples = _confirmed(joined)
            self._arrived = []
        return self._samples


def _no_samples() -> dict[str, NDArray[Any]]:
    types = (np.uint32, np.int64, np.uint64, np.float64, np.int64, np.uint8, np.uint8, np.uint8, np.bool_)
    return {name: np.zeros(0, dtype=t) for name, t in zip(_COLUMNS, types, strict=True)}


def _last_of_each(signal: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Positions of the last of each run of equal signals."""
    if not len(signal):
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(np.append(signal[1:] != signal[:-1], True))


def _confirmed(s: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """A timeless repetition of the value before it inherits that value's source time."""
    timeless = np.flatnonzero((s["source"][1:] == 0) & (s["signal"][1:] == s["signal"][:-1])) + 1
    source = s["source"].copy()
    for i in timeless.tolist():
        if s["mark"][i] == s["mark"][i - 1] == _VALUE and s["value"][i] == s["value"][i - 1]:
            source[i] = source[i - 1]
    return {**s, "source": source}
