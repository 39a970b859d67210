"""Identities of the rows in the lateness window, so that a row sent twice counts once.

A hash table with open addressing: identity i of 64 bits stands at the first free place from i mod 2^k on. At most half of the
places are taken, so that a look takes one or two steps. What has left the window is dropped by building the table anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_models.measurements import Rows, TimeQuality
from solvers.accelerate import kernel

_STRETCH_US = 10_000_000
_LEAST = 1024


class Seen:
    """Knows the identities (signal, source time, sequence) of rows and the values that they came with."""

    NEW, DUPLICATE, CONFLICT = 0, 1, 2

    def __init__(self) -> None:
        self._clear(_LEAST)

    def judge(self, rows: Rows, late: NDArray[np.bool_]) -> NDArray[np.int8]:
        """(n,) NEW, DUPLICATE or CONFLICT for each row; new ones are remembered, late ones not."""
        verdict = np.zeros(len(rows), dtype=np.int8)
        self._make_room(len(rows))
        value = rows.value if rows.value.flags.writeable else rows.value.copy()  # one signature, one compilation
        self._count += _judge(
            identity(rows), value, sample_time(rows) // _STRETCH_US, late, self._key, self._value, self._stretch, verdict
        )
        return verdict

    def saved(self) -> dict[str, NDArray[Any]]:
        """All identities as columns."""
        taken = self._key != 0
        return {"stretch": self._stretch[taken], "key": self._key[taken], "value": self._value[taken]}

    def recall(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Know what `saved` told, and nothing else."""
        n = len(saved["key"])
        self._clear(n)
        self._make_room(n)
        never, verdict = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.int8)
        key, value, stretch = (np.array(saved[name]) for name in ("key", "value", "stretch"))
        self._count = _judge(key, value, stretch, never, self._key, self._value, self._stretch, verdict)

    def forget(self, before_us: int) -> None:
        """Drop the stretches of time that end before an instant."""
        saved = self.saved()
        kept = (saved["stretch"] + 1) * _STRETCH_US > before_us
        if not kept.all():
            self.recall({name: column[kept] for name, column in saved.items()})

    def __len__(self) -> int:
        return self._count

    def _make_room(self, more: int) -> None:
        if 2 * (self._count + more) > len(self._key):
            saved = self.saved()
            self._clear(2 * (self._count + more))
            n = len(saved["key"])
            never, verdict = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.int8)
            self._count = _judge(
                saved["key"], saved["value"], saved["stretch"], never, self._key, self._value, self._stretch, verdict
            )

    def _clear(self, expected: int) -> None:
        size = 1 << (2 * max(expected, _LEAST) - 1).bit_length()
        self._key = np.zeros(size, dtype=np.uint64)  # 0 = free
        self._value = np.zeros(size, dtype=np.float64)
        self._stretch = np.zeros(size, dtype=np.int64)
        self._count = 0


def sample_time(rows: Rows) -> NDArray[np.int64]:
    """(n,) where rows stand in time [us]: their source time, or when they came if they tell none."""
    return np.where(rows.time_quality == TimeQuality.NONE, rows.receive_time_us, rows.source_time_us)


def identity(rows: Rows) -> NDArray[np.uint64]:
    """(n,) a 64-bit mix of signal, source time and sequence (splitmix64's finaliser), never 0."""
    with np.errstate(over="ignore"):
        h = rows.signal.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        h ^= rows.source_time_us.astype(np.uint64) * np.uint64(0xBF58476D1CE4E5B9)
        h ^= rows.sequence.astype(np.uint64) * np.uint64(0x94D049BB133111EB)
        h ^= h >> np.uint64(30)
        h *= np.uint64(0xBF58476D1CE4E5B9)
        h ^= h >> np.uint64(27)
        h *= np.uint64(0x94D049BB133111EB)
        return np.maximum(h ^ (h >> np.uint64(31)), np.uint64(1))


@kernel
def _judge(
    key: NDArray[np.uint64],
    value: NDArray[np.float64],
    stretch: NDArray[np.int64],
    late: NDArray[np.bool_],
    keys: NDArray[np.uint64],
    values: NDArray[np.float64],
    stretches: NDArray[np.int64],
    verdict: NDArray[np.int8],
) -> int:
    """Look each identity up and enter the new ones; returns how many were entered."""
    mask = np.uint64(len(keys) - 1)
    entered = 0
    for i in range(len(key)):
        at = key[i] & mask
        while keys[at] != np.uint64(0) and keys[at] != key[i]:
            at = (at + np.uint64(1)) & mask
        if keys[at] == key[i]:
            verdict[i] = 1 if values[at] == value[i] else 2
        elif not late[i]:
            keys[at] = key[i]
            values[at] = value[i]
            stretches[at] = stretch[i]
            entered += 1
    return entered
