"""Identities of the rows in the lateness window, so that a row sent twice counts once.

An identity is 64 bits made of signal, source time and sequence. It stands in the hash table of its stretch of ten seconds,
with open addressing: identity i at the first free place of i, i + 9, i + 18 ... mod 2^k. At most half of them are taken, so
that a look takes one or two steps; a fuller table grows little by little. A stretch that has left the window is dropped with
its table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_models.measurements import Rows, TimeQuality
from solvers.accelerate import kernel

_STRETCH_US = 10_000_000
_LEAST = 16
_SIDE_BITS = 3  # so many signals stand side by side, as a power of 2
_STEP = np.uint64((1 << _SIDE_BITS) + 1)  # over those; odd, so that it comes by every place
_ALONG = 8  # places of an outgrown table that each new identity takes along; 2 would do


class Seen:
    """Knows the identities (signal, source time, sequence) of rows and the values that they came with."""

    NEW, DUPLICATE, CONFLICT = 0, 1, 2

    def __init__(self) -> None:
        self._tables: dict[int, _Table] = {}  # by stretch
        self._timeless: dict[int, _Table] = {}  # by stretch of the receipt

    def judge(self, rows: Rows, late: NDArray[np.bool_]) -> NDArray[np.int8]:
        """(n,) NEW, DUPLICATE or CONFLICT for each row; new ones are remembered, late ones not."""
        verdict = np.zeros(len(rows), dtype=np.int8)
        stretch, timeless = sample_time(rows) // _STRETCH_US, rows.time_quality == TimeQuality.NONE
        key, value = identity(rows), np.require(rows.value, requirements=("C", "W"))  # one signature, one compilation
        if timeless.any():
            for number, chosen in _parts(stretch, np.flatnonzero(timeless)):
                verdict[chosen] = self._without_time(number, key[chosen], value[chosen], late[chosen])
        for number, chosen in _parts(stretch, np.flatnonzero(~timeless) if timeless.any() else None):
            verdict[chosen] = _entered(self._tables, number, key[chosen], value[chosen], late[chosen])
        return verdict

    def _without_time(
        self, number: int, key: NDArray[np.uint64], value: NDArray[np.float64], late: NDArray[np.bool_]
    ) -> NDArray[np.int8]:
        """A row without time may come again at any time: it is looked for in every stretch."""
        verdict, never = np.zeros(len(key), dtype=np.int8), np.ones(len(key), dtype=np.bool_)
        for table in self._timeless.values():
            verdict = np.maximum(verdict, table.enter(key, value, never))
        new = np.flatnonzero(verdict == Seen.NEW)
        verdict[new] = _entered(self._timeless, number, key[new], value[new], late[new])
        return verdict

    def saved(self) -> dict[str, NDArray[Any]]:
        """All identities as columns."""
        columns = [(np.zeros(0, np.int64), np.zeros(0, np.bool_), np.zeros(0, np.uint64), np.zeros(0))]
        for timeless, tables in enumerate((self._tables, self._timeless)):
            for number, table in tables.items():
                key, value = table.saved()
                columns.append((np.full(len(key), number), np.full(len(key), bool(timeless)), key, value))
        names = ("stretch", "timeless", "key", "value")
        return {name: np.concatenate([c[k] for c in columns]) for k, name in enumerate(names)}

    def recall(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Know what `saved` told, and nothing else."""
        self._tables, self._timeless = {}, {}
        stretch, timeless, key, value = (np.array(saved[name]) for name in ("stretch", "timeless", "key", "value"))
        for tables, mine in ((self._tables, ~timeless), (self._timeless, timeless)):
            for number, chosen in _parts(stretch, np.flatnonzero(mine)):
                _entered(tables, number, key[chosen], value[chosen], np.zeros(len(key[chosen]), dtype=np.bool_))

    def forget(self, before_us: int) -> None:
        """Drop the stretches of time that end before an instant."""
        before = before_us // _STRETCH_US
        self._tables, self._timeless = (
            {number: table for number, table in tables.items() if number >= before} for tables in (self._tables, self._timeless)
        )

    def __len__(self) -> int:
        return sum(t.count for tables in (self._tables, self._timeless) for t in tables.values())


def _entered(
    tables: dict[int, _Table], number: int, key: NDArray[np.uint64], value: NDArray[np.float64], late: NDArray[np.bool_]
) -> NDArray[np.int8]:
    """(n,) verdict of a stretch's table, which is made when something is to be remembered."""
    if number not in tables:
        if late.all():
            return np.zeros(len(key), dtype=np.int8)
        tables[number] = _Table(len(key))
    return tables[number].enter(key, value, late)


class _Table:
    """One hash table of identities and values.

    A table that is half full gets a successor of twice its size; each identity that comes then takes a few places of the old
    one along, so that nobody waits for all of them.

    Args:
        expected: how many identities it will hold; it grows with more.
    """

    def __init__(self, expected: int) -> None:
        self.count = 0
        self._slots = _slots(expected)
        self._old = _slots(0)
        self._moved = len(self._old)  # places of the old table that have been taken along

    def enter(self, key: NDArray[np.uint64], value: NDArray[np.float64], late: NDArray[np.bool_]) -> NDArray[np.int8]:
        """(n,) verdict on each identity; new ones that are not late stand in the table from now on."""
        while 2 * (self.count + len(key)) > len(self._slots):
            self._grow()
        verdict = np.zeros(len(key), dtype=np.int8)
        entered, self._moved = _judge(key, value, late, self._slots, self._old, self._moved, verdict)
        self.count += entered
        return verdict

    def saved(self) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
        """Key and value of all identities."""
        self._settle()
        taken = self._slots[self._slots[:, 0] != 0]
        return taken[:, 0].copy(), taken[:, 1].copy().view(np.float64)

    def _grow(self) -> None:
        self._settle()
        self._old, self._slots, self._moved = self._slots, _slots(len(self._slots)), 0

    def _settle(self) -> None:
        """Take along all that is left of the old table."""
        _take_along(self._slots, self._old, self._moved, len(self._old))
        self._moved = len(self._old)


def _slots(expected: int) -> NDArray[np.uint64]:
    """(2^k, 2) free places for key and value, twice as many as are expected; a key of 0 is none."""
    return np.zeros((1 << (2 * max(expected, _LEAST) - 1).bit_length(), 2), dtype=np.uint64)


def _parts(stretch: NDArray[np.int64], rows: NDArray[np.int64] | None) -> list[tuple[int, slice | NDArray[np.int64]]]:
    """Each stretch and its rows, of some rows or of all; a slice where it has all, which costs nothing."""
    if not len(stretch):
        return []
    if rows is None and stretch.min() == stretch.max():
        return [(int(stretch[0]), slice(None))]
    rows = np.arange(len(stretch)) if rows is None else rows
    order = rows[np.argsort(stretch[rows], kind="stable")]
    numbers, begins = np.unique(stretch[order], return_index=True)
    return list(zip(numbers.tolist(), np.split(order, begins[1:]), strict=True)) if len(order) else []


def sample_time(rows: Rows) -> NDArray[np.int64]:
    """(n,) where rows stand in time [us]: their source time, or when they came if they tell none."""
    return np.where(rows.time_quality == TimeQuality.NONE, rows.receive_time_us, rows.source_time_us)


def identity(rows: Rows) -> NDArray[np.uint64]:
    """(n,) 64 bits that tell a row by signal, source time and sequence, never 0.

    The low three bits are those of the signal, the others a mix (splitmix64's finaliser) of all else: signals that follow each
    other and came at one time stand side by side in the table, which asks the memory for far fewer of its lines.
    """
    with np.errstate(over="ignore"):
        h = (rows.signal >> _SIDE_BITS).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        h ^= rows.source_time_us.astype(np.uint64) * np.uint64(0xBF58476D1CE4E5B9)
        h ^= rows.sequence * np.uint64(0x94D049BB133111EB)
        h ^= h >> np.uint64(30)
        h *= np.uint64(0xBF58476D1CE4E5B9)
        h ^= h >> np.uint64(27)
        h *= np.uint64(0x94D049BB133111EB)
        h ^= h >> np.uint64(31)
        beside = np.uint64((1 << _SIDE_BITS) - 1)
        return np.maximum((h & ~beside) | (rows.signal & beside), np.uint64(1))


@kernel
def _judge(
    key: NDArray[np.uint64],
    value: NDArray[np.float64],
    late: NDArray[np.bool_],
    slots: NDArray[np.uint64],
    old: NDArray[np.uint64],
    moved: int,
    verdict: NDArray[np.int8],
) -> tuple[int, int]:
    """Look each identity up and enter the new ones; returns how many were entered, and how far the old table has been moved."""
    bits = value.view(np.uint64)
    entered = 0
    for i in range(len(key)):
        found, at = slots, _place(slots, key[i])
        if slots[at, 0] == 0 and moved < len(old):
            before = _place(old, key[i])
            if old[before, 0] != 0:
                found, at = old, before
        if found[at, 0] != 0:
            # Zero is equal to minus zero, though its bits are not.
            same = found[at, 1] == bits[i] or (found[at, 1] << np.uint64(1) == 0 and bits[i] << np.uint64(1) == 0)
            verdict[i] = 1 if same else 2
        elif not late[i]:
            slots[at, 0], slots[at, 1] = key[i], bits[i]
            entered += 1
            if moved < len(old):
                until = min(moved + _ALONG, len(old))
                _take_along(slots, old, moved, until)
                moved = until
    return entered, moved


@kernel
def _place(slots: NDArray[np.uint64], key: np.uint64) -> np.uint64:
    """Where an identity stands, or the free place where it would."""
    mask = np.uint64(len(slots) - 1)
    at = key & mask
    while slots[at, 0] != 0 and slots[at, 0] != key:
        at = (at + _STEP) & mask
    return at


@kernel
def _take_along(slots: NDArray[np.uint64], old: NDArray[np.uint64], begin: int, end: int) -> None:
    """Enter what stands in some places of the old table into the new one."""
    for i in range(begin, end):
        if old[i, 0] != 0:
            at = _place(slots, old[i, 0])
            slots[at, 0], slots[at, 1] = old[i, 0], old[i, 1]
