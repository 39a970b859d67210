"""Samples of every signal, each signal's in order of (time, sequence): what tells a row from all others is also where it lies.

A sample is a record of five words: time, sequence, value, source time, quality. Records lie in blocks of B = 32, blocks in one
pool of memory; each signal has a ring of blocks, C of them at most, a power of 2 that doubles when it is full:

    slot s of a signal:    g = (first + s) mod (C B),  block = blocks[begin + g div B],  place = block B + g mod B
    record k of a signal:  s = k before its gap, s = k + room behind it

The newest is put behind the others; the oldest is let go of by moving `first`, and blocks that become free serve any signal.
What comes late goes into a gap of at most B free slots, and the gap stays behind it: rows that follow each other, however far
behind the newest, move no more than lies between them, and what lies behind them once in B rows. So neither adding some, nor
asking for the newest, nor forgetting walks over all. A look is a binary search in each ring.

A row sent twice is found where it would lie. One without time lies where it came, so it is looked for in a second ring of its
signal, by its sequence alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grid_models.measurements import Catalogue, Flag, Rows, TimeQuality
from solvers.accelerate import kernel, part

Columns = dict[str, NDArray[Any]]
NEW, DUPLICATE, CONFLICT = 0, 1, 2

_TIME, _SEQUENCE, _VALUE, _SOURCE, _QUALITY = range(5)
_BEGIN, _SIZE, _FIRST, _COUNT = range(4)  # of a ring: where its blocks are listed, C B, first, count
_NEWEST, _NEXT = 4, 5  # time of its last record; place behind that in the same block, -1 for none: what most records ask for
_GAP, _ROOM = 6, 7  # which record the gap lies before, of those there is always one; how many slots it has
_RING = 8  # words, a line of the processor's cache
_FREE, _POOL_USED, _LIST_USED = range(3)  # first free block, -1 for none; blocks, and entries of the list, ever used
_NEVER, _EVER = np.iinfo(np.int64).min, np.iinfo(np.int64).max
_LAST = (1 << 63) - 1  # behind every sequence
_UNSIGNED = np.uint64(1 << 63)  # turns the order of unsigned words into that of signed ones
_FLAGS_AT, _TIMELESS_AT = 8, 16  # bits of the quality above the validity's
_TEST = int(Flag.TEST) << _FLAGS_AT
_BLOCK = 32  # records
_SLACK = 3_000  # blocks that a full pool grows by at least, 4 MB; else by a part that takes no longer than some milliseconds


class _Store(NamedTuple):
    """Where the records are.

    Args:
        pool: (n, 5) records; the first word of a free block is the number of the next one.
        blocks: (k,) the rings' lists of blocks.
        rings: (2 m, 8) of each signal the ring of its samples; behind all these, of each the ring of its rows without time.
        state: (3,).
    """

    pool: NDArray[np.int64]
    blocks: NDArray[np.int64]
    rings: NDArray[np.int64]
    state: NDArray[np.int64]


class Samples:
    """Values of signals.

    Args:
        catalogue: the signals; samples of others are let go.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._store = self._empty()

    def _empty(self) -> _Store:
        rings = np.zeros((2 * len(self._catalogue.signals), _RING), dtype=np.int64)
        rings[:, _NEXT] = -1
        return _Store(np.zeros((0, 5), dtype=np.int64), np.zeros(0, dtype=np.int64), rings, np.array([-1, 0, 0]))

    def __len__(self) -> int:
        return int(self._store.rings[: len(self._catalogue.signals), _COUNT].sum())

    def enter(self, rows: Rows, late: NDArray[np.bool_]) -> NDArray[np.int8]:
        """(n,) NEW, DUPLICATE or CONFLICT for each row; new ones are taken in, late ones not."""
        words = np.empty((len(rows), 5), dtype=np.int64)
        timeless = rows.time_quality == TimeQuality.NONE
        words[:, _TIME] = sample_time(rows)
        words[:, _SEQUENCE] = (rows.sequence ^ _UNSIGNED).view(np.int64)
        words[:, _VALUE] = np.ascontiguousarray(rows.value).view(np.int64)
        words[:, _SOURCE] = rows.source_time_us
        words[:, _QUALITY] = rows.validity | rows.flags.astype(np.int64) << _FLAGS_AT
        words[:, _QUALITY] |= timeless.astype(np.int64) << _TIMELESS_AT
        return self._entered(self._catalogue.find(rows.signal), words, late, identify=True)

    def _entered(
        self, ring: NDArray[np.int64], words: NDArray[np.int64], late: NDArray[np.bool_], *, identify: bool
    ) -> NDArray[np.int8]:
        verdict, done, signals = np.zeros(len(ring), dtype=np.int8), 0, len(self._catalogue.signals)
        while True:
            done = _enter(self._store, ring, words, late, identify, done, verdict)
            if done == len(ring):
                return verdict
            self._extend(2, int(self._store.rings[ring[done] % signals :: signals, _SIZE].sum()) // _BLOCK + 4)

    def _extend(self, pool: int, blocks: int) -> None:
        """Make room for so many blocks, and so many more in the rings' lists of them."""
        store = self._store
        there = len(store.pool) // _BLOCK
        # Added at its end, memory is moved by its tables of pages. Nothing else refers to these arrays.
        if store.state[_POOL_USED] + pool > there:
            store.pool.resize(((there + max(_SLACK, there // 64)) * _BLOCK, 5), refcheck=False)
        if store.state[_LIST_USED] + 2 * blocks > len(store.blocks):
            store.blocks.resize(2 * (len(store.blocks) + blocks) + _SLACK, refcheck=False)

    def saved(self) -> Columns:
        """All samples, and what is known of rows without time, as columns."""
        place, ring = _all(self._store, np.arange(len(self._store.rings)), _NEVER, _EVER)
        signals = len(self._catalogue.signals)
        return {"signal": self._catalogue.uid[ring % signals], "identity": ring >= signals, "words": self._store.pool[place]}

    def recall(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Hold what `saved` told, and nothing else."""
        self._store = self._empty()
        row = self._catalogue.find(np.asarray(saved["signal"]))
        ring = np.where(saved["identity"] & (row >= 0), row + len(self._catalogue.signals), row)
        self._entered(ring, np.array(saved["words"]), np.zeros(len(ring), dtype=np.bool_), identify=False)

    def last_at(self, rows: NDArray[np.int64], instant_us: int) -> NDArray[np.int64]:
        """(n,) place of each signal's newest sample at or before an instant, -1 where there is none; tests do not count.

        Args:
            rows: of the signals in the catalogue.
            instant_us: the instant.
        """
        return _last(self._store, rows, instant_us)

    def all_of(
        self, rows: NDArray[np.int64], instant_us: int, after_us: int = _NEVER
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(n,) place of every sample of some signals at or before an instant, in their order, and its signal's row.

        Args:
            rows: of the signals in the catalogue.
            instant_us: the instant.
            after_us: of samples at or before this only the newest.
        """
        place, row = _all(self._store, rows, after_us, instant_us)
        counts = (self._store.pool[place, _QUALITY] & _TEST) == 0
        return place[counts], row[counts]

    def take(self, rows: NDArray[np.int64], place: NDArray[np.int64]) -> Columns:
        """The samples at these places, in this order, of signals in these rows of the catalogue."""
        words = np.ascontiguousarray(self._store.pool[place].T)
        return {
            "signal": self._catalogue.uid[rows],
            "time": words[_TIME],
            "sequence": words[_SEQUENCE].view(np.uint64) ^ _UNSIGNED,
            "value": words[_VALUE].view(np.float64),
            "source": words[_SOURCE],
            "validity": (words[_QUALITY] & 0xFF).astype(np.uint8),
            "flags": (words[_QUALITY] >> _FLAGS_AT & 0xFF).astype(np.uint8),
        }

    def keep(self, before_us: int, rows: NDArray[np.int64], place: NDArray[np.int64], source: NDArray[np.int64]) -> None:
        """Drop what is older than `before_us`, but for the samples at these places, whose source times become `source`.

        Args:
            before_us: the time.
            rows: (n,) of the samples' signals, ascending.
            place: (n,) of samples before that time, in their order.
            source: (n,) Unix us.
        """
        kept = self._store.pool[place]
        kept[:, _SOURCE] = source
        signals = len(self._catalogue.signals)
        _drop(self._store, before_us, np.searchsorted(rows, np.arange(signals + 1)), kept)


def sample_time(rows: Rows) -> NDArray[np.int64]:
    """(n,) where rows stand in time [us]: their source time, or when they came if they tell none."""
    return np.where(rows.time_quality == TimeQuality.NONE, rows.receive_time_us, rows.source_time_us)


@kernel
def _enter(
    store: _Store,
    ring: NDArray[np.int64],
    words: NDArray[np.int64],
    late: NDArray[np.bool_],
    identify: bool,
    begin: int,
    verdict: NDArray[np.int8],
) -> int:
    """Look each record up in its ring, and put the new ones there.

    Args:
        store: of records.
        ring: (n,) of each record, -1 for none.
        words: (n, 5) the records.
        late: (n,) whether it is only looked up.
        identify: whether those without time are looked up by their sequence.
        begin: the first one.
        verdict: (n,) written.

    Returns:
        The first for which there was no room, n where there was for all.
    """
    signals = len(store.rings) // 2
    identity = np.zeros((1, 5), np.int64)
    for i in range(begin, len(ring)):
        r = ring[i]
        if r < 0:
            continue
        if store.rings[r, _NEXT] >= 0 and words[i, _TIME] > store.rings[r, _NEWEST] and words[i, _QUALITY] >> _TIMELESS_AT == 0:
            if not late[i]:
                _put_behind(store, r, words, i)
            continue
        timeless = identify and words[i, _QUALITY] >> _TIMELESS_AT != 0
        if not late[i] and not (_has_room(store, r) and (not timeless or _has_room(store, signals + r))):
            return i
        if timeless:
            identity[0, _SEQUENCE], identity[0, _VALUE] = words[i, _SEQUENCE], words[i, _VALUE]
            identity[0, _SOURCE] = words[i, _TIME]
            verdict[i] = _judged(store, signals + r, identity, 0, late[i])
            if verdict[i] != NEW:
                continue
        verdict[i] = _judged(store, r, words, i, late[i])
    return len(ring)


@part
def _at(store: _Store, r: int, k: int) -> int:
    """Place of a ring's record."""
    return _place(store, r, k + store.rings[r, _ROOM] if k >= store.rings[r, _GAP] else k)


@part
def _place(store: _Store, r: int, s: int) -> int:
    """Place of a ring's slot."""
    g = store.rings[r, _FIRST] + s & store.rings[r, _SIZE] - 1
    place: int = store.blocks[store.rings[r, _BEGIN] + g // _BLOCK] * _BLOCK + g % _BLOCK
    return place


@part
def _copy(source: NDArray[np.int64], i: int, target: NDArray[np.int64], j: int) -> None:
    for word in range(5):
        target[j, word] = source[i, word]


@part
def _put_behind(store: _Store, r: int, words: NDArray[np.int64], i: int) -> None:
    """Put a record behind the last one, in the same block."""
    rings, place = store.rings, store.rings[r, _NEXT]
    _copy(words, i, store.pool, place)
    rings[r, _COUNT] += 1
    rings[r, _NEWEST] = words[i, _TIME]
    rings[r, _NEXT] = place + 1 if (place + 1) % _BLOCK else -1


@part
def _settled(store: _Store, r: int) -> None:
    """Note where the next record goes, after a ring has changed."""
    rings, count = store.rings, store.rings[r, _COUNT]
    rings[r, _NEXT] = -1
    if count:
        last = _at(store, r, count - 1)
        rings[r, _NEWEST] = store.pool[last, _TIME]
        rings[r, _NEXT] = last + 1 if (last + 1) % _BLOCK else -1


@part
def _judged(store: _Store, r: int, words: NDArray[np.int64], i: int, late: bool) -> int:
    """Whether a record is known to its ring; if not, it is put there unless it is late."""
    count, k = (
        store.rings[r, _COUNT],
        _before(store, r, words[i, _TIME], words[i, _SEQUENCE], words[i, _QUALITY] >> _TIMELESS_AT),
    )
    if k < count:
        p = _at(store, r, k)
        same = store.pool[p, _TIME] == words[i, _TIME] and store.pool[p, _SEQUENCE] == words[i, _SEQUENCE]
        if same and store.pool[p, _QUALITY] >> _TIMELESS_AT == words[i, _QUALITY] >> _TIMELESS_AT:
            before, now = store.pool[p, _VALUE], words[i, _VALUE]
            # Zero is equal to minus zero, though its bits are not.
            return DUPLICATE if before == now or (before << 1 == 0 and now << 1 == 0) else CONFLICT
    if late:
        return NEW
    if k == count:
        _widen(store, r, 1)
        store.rings[r, _COUNT] += 1
    else:
        _part(store, r, k)
    _copy(words, i, store.pool, _at(store, r, k))
    _settled(store, r)
    return NEW


@part
def _part(store: _Store, r: int, k: int) -> None:
    """Count one more record, which is the k-th and lies before the gap."""
    rings = store.rings
    if rings[r, _ROOM] == 0:
        count = rings[r, _COUNT]
        _widen(store, r, _BLOCK)
        for j in range(count - 1, k - 1, -1):
            _copy(store.pool, _place(store, r, j), store.pool, _place(store, r, j + _BLOCK))
        rings[r, _ROOM] = _BLOCK
    else:
        gap, room = rings[r, _GAP], rings[r, _ROOM]
        for j in range(gap - 1, k - 1, -1):
            _copy(store.pool, _place(store, r, j), store.pool, _place(store, r, j + room))
        for j in range(gap, k):
            _copy(store.pool, _place(store, r, j + room), store.pool, _place(store, r, j))
    rings[r, _GAP] = k + 1
    rings[r, _ROOM] -= 1
    rings[r, _COUNT] += 1


@part
def _before(store: _Store, r: int, time: int, sequence: int, timeless: int) -> int:
    """How many of a ring's records come before this one."""
    low, high = 0, store.rings[r, _COUNT]
    middle = high - 1  # it is mostly the newest
    while low < high:
        p = _at(store, r, middle)
        if store.pool[p, _TIME] != time:
            less = store.pool[p, _TIME] < time
        elif store.pool[p, _SEQUENCE] != sequence:
            less = store.pool[p, _SEQUENCE] < sequence
        else:
            less = store.pool[p, _QUALITY] >> _TIMELESS_AT < timeless
        if less:
            low = middle + 1
        else:
            high = middle
        middle = (low + high) // 2
    return low


@part
def _through(store: _Store, r: int, instant: int) -> int:
    """How many of a ring's records are of an instant or before it."""
    return _before(store, r, instant, _LAST, _LAST)


@part
def _has_room(store: _Store, r: int) -> bool:
    """Whether a ring can take one more record, or a gap; its list of blocks is made longer where it has to be.

    Of blocks there must be two: a row without time is put into two rings.
    """
    rings, state = store.rings, store.state
    begin, size, first = rings[r, _BEGIN], rings[r, _SIZE], rings[r, _FIRST]
    held = (first % _BLOCK + rings[r, _COUNT] + rings[r, _ROOM] + _BLOCK - 1) // _BLOCK
    if held * _BLOCK == size:
        wider = max(2, 2 * held)
        if state[_LIST_USED] + wider > len(store.blocks):
            return False
        for b in range(held):
            store.blocks[state[_LIST_USED] + b] = store.blocks[begin + (first // _BLOCK + b) % held]
        rings[r, _BEGIN], rings[r, _SIZE], rings[r, _FIRST] = state[_LIST_USED], wider * _BLOCK, first % _BLOCK
        state[_LIST_USED] += wider
    return bool(state[_POOL_USED] + 2 <= len(store.pool) // _BLOCK)


@part
def _widen(store: _Store, r: int, slots: int) -> None:
    """Make so many slots, 1 or as many as a block has, behind a ring's last one; with a block for them where it is full."""
    rings, state = store.rings, store.state
    end = rings[r, _FIRST] + rings[r, _COUNT] + rings[r, _ROOM]
    if slots == 1 and end % _BLOCK != 0:
        return
    block = state[_FREE]
    if block >= 0:
        state[_FREE] = store.pool[block * _BLOCK, 0]
    else:
        block = state[_POOL_USED]
        state[_POOL_USED] += 1
    store.blocks[rings[r, _BEGIN] + (end + slots - 1 & rings[r, _SIZE] - 1) // _BLOCK] = block


@kernel
def _last(store: _Store, rows: NDArray[np.int64], instant: int) -> NDArray[np.int64]:
    """(n,) place of the newest record at or before an instant in each ring that is no test, -1 where there is none."""
    out = np.full(len(rows), -1)
    for i in range(len(rows)):
        for k in range(_through(store, rows[i], instant) - 1, -1, -1):
            p = _at(store, rows[i], k)
            if store.pool[p, _QUALITY] & _TEST == 0:
                out[i] = p
                break
    return out


@kernel
def _all(store: _Store, rows: NDArray[np.int64], after: int, instant: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n,) places of all records at or before an instant in some rings, and their rings.

    Of those at or before `after` only the newest that is no test, and what lies behind it.
    """
    first, end = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    for i in range(len(rows)):
        end[i] = _through(store, rows[i], instant)
        for k in range(_through(store, rows[i], min(after, instant)) - 1, -1, -1):
            first[i] = k
            if store.pool[_at(store, rows[i], k), _QUALITY] & _TEST == 0:
                break
    size = (end - first).sum()
    place, ring = np.zeros(size, np.int64), np.zeros(size, np.int64)
    n = 0
    for i in range(len(rows)):
        for k in range(first[i], end[i]):
            place[n], ring[n] = _at(store, rows[i], k), rows[i]
            n += 1
    return place, ring


@kernel
def _drop(store: _Store, before: int, bounds: NDArray[np.int64], kept: NDArray[np.int64]) -> None:
    """Let go of records before a time, but for the kept ones: [bounds[r], bounds[r + 1]) of ring r, in front of the rest."""
    signals = len(store.rings) // 2
    for r in range(signals):
        stay = bounds[r + 1] - bounds[r]
        _let_go(store, r, _through(store, r, before - 1) - stay)
        for k in range(stay):
            _copy(kept, bounds[r] + k, store.pool, _at(store, r, k))
        _settled(store, r)
    for r in range(signals, 2 * signals):
        n = store.rings[r, _COUNT]
        for k in range(n - 1, -1, -1):
            p = _at(store, r, k)
            if store.pool[p, _SOURCE] >= before:
                n -= 1
                _copy(store.pool, p, store.pool, _at(store, r, n))
        _let_go(store, r, n)
        _settled(store, r)


@part
def _let_go(store: _Store, r: int, gone: int) -> None:
    """Take the first records away from a ring; blocks that no other of its records lies in become free."""
    rings, state = store.rings, store.state
    first, left = rings[r, _FIRST], rings[r, _COUNT] - gone
    held = (first % _BLOCK + rings[r, _COUNT] + rings[r, _ROOM] + _BLOCK - 1) // _BLOCK
    gap_too = gone >= rings[r, _GAP]
    slots = gone + rings[r, _ROOM] if gap_too else gone
    freed = (first % _BLOCK + slots) // _BLOCK if left else held
    for b in range(freed):
        block = _place(store, r, b * _BLOCK - first % _BLOCK) // _BLOCK
        store.pool[block * _BLOCK, 0] = state[_FREE]
        state[_FREE] = block
    rings[r, _COUNT] = left
    rings[r, _FIRST] = first + slots & rings[r, _SIZE] - 1 if left else 0
    rings[r, _GAP] = 0 if gap_too else rings[r, _GAP] - gone
    if gap_too:
        rings[r, _ROOM] = 0
