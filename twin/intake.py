"""The door: which rows of a batch are taken, how they are marked, and which are refused and why.

Pure, one kernel over all rows. What is admitted goes to the journal and, where it is not too late, into the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grid_models.measurements import Catalogue, Flag, Rows, TimeQuality, Validity
from solvers.accelerate import kernel
from twin.port import RowError, RowFault
from twin.samples import CONFLICT, DUPLICATE, NEW
from twin.window import Window

AHEAD_US = 5_000_000  # a source time further ahead of ours than this is the clock's fault
_FLAGS = int(Flag.NOT_TOPICAL | Flag.SUBSTITUTED | Flag.BLOCKED | Flag.OVERFLOW | Flag.TEST)
_LISTED = 100  # errors of a batch told one by one; the rest are counted
_NOBODY_LEADS = np.iinfo(np.int64).min

# What the kernel compares with; an enum's member would be an object to it.
_NO_TIME, _SYNCED, _UNSYNCED = int(TimeQuality.NONE), int(TimeQuality.SYNCED), int(TimeQuality.UNSYNCED)
_GOOD, _QUESTIONABLE = int(Validity.GOOD), int(Validity.QUESTIONABLE)
_UNKNOWN, _NOT_CLAIMED, _NOT_FINITE = int(RowFault.UNKNOWN_SIGNAL), int(RowFault.NOT_CLAIMED), int(RowFault.NOT_FINITE)
_BAD_QUALITY, _BAD_TIME, _OUTRANKED = int(RowFault.BAD_QUALITY), int(RowFault.BAD_TIME), int(RowFault.OUTRANKED)

_TEXT = {
    RowFault.UNKNOWN_SIGNAL: "no signal has this uid",
    RowFault.NOT_CLAIMED: "the stream's claim does not name this signal",
    RowFault.NOT_FINITE: "the value is no finite number",
    RowFault.BAD_QUALITY: "validity, time quality or flags hold an undefined value",
    RowFault.BAD_TIME: "the source time is not after 1970",
    RowFault.CONFLICT: "this signal, time and sequence came with another value; correct with a higher sequence",
    RowFault.TOO_LATE: "later than the lateness window: kept in history, states stay as they are",
    RowFault.OUTRANKED: "a living publisher of higher priority sends this signal",
}
_SAID = {int(fault): (fault, text) for fault, text in _TEXT.items()}


@dataclass(frozen=True)
class Tally:
    """What became of some rows, in numbers.

    Args:
        admitted: rows taken.
        duplicate: rows that were there already.
        questionable: taken rows outside their plausible range.
    """

    admitted: int
    duplicate: int
    questionable: int


@dataclass(frozen=True, eq=False)
class Admission:
    """What became of rows.

    Args:
        history: rows for the journal: all that were admitted.
        window: those of them that may change states.
        signal: (n,) as sent.
        fault: (n,) RowFault of each row, 0 where it has none.
        fresh: (n,) whether it was taken.
        duplicate: (n,) whether it was there already.
        outside: (n,) whether it lies outside its plausible range.
        refreshed: uids of rows that stand for their signals, repeated rows too.
        lead: largest lead of an admitted source time over the clock [us]; None where none is told, or the data are the
            clock.
    """

    history: Rows
    window: Rows
    signal: NDArray[np.uint32]
    fault: NDArray[np.int8]
    fresh: NDArray[np.bool_]
    duplicate: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    refreshed: NDArray[np.uint32]
    lead: int | None

    def tally(self) -> Tally:
        """Of all rows."""
        masks = self.fresh, self.duplicate, self.outside & self.fresh
        return Tally(*(int(np.count_nonzero(mask)) for mask in masks))

    def errors(self, batch_id: int, begin: int = 0, end: int | None = None) -> tuple[list[RowError], int]:
        """Refused or late rows in [begin, end), which are those of a batch: the first of them, and how many more."""
        found = np.flatnonzero(self.fault[begin:end])
        listed = found[:_LISTED]
        signals, faults = self.signal[begin + listed].tolist(), self.fault[begin + listed].tolist()
        errors = [RowError(i, uid, *_SAID[f], batch_id) for i, uid, f in zip(listed.tolist(), signals, faults, strict=True)]
        return errors, len(found) - len(listed)


def admit(
    rows: Rows,
    catalogue: Catalogue,
    claimed: NDArray[np.bool_],
    window: Window,
    *,
    receive_us: int,
    now_us: int,
    oldest_us: int,
    outranked: NDArray[np.bool_],
    check_clock: bool = True,
) -> Admission:
    """Judge rows.

    Args:
        rows: as sent: values in the publisher's direction.
        catalogue: the signals.
        claimed: (m + 1,) for each signal of the catalogue whether the stream claimed it; False for none.
        window: of what came before; it takes in what is admitted and not late.
        receive_us: when the rows came, Unix us.
        now_us: the twin's now.
        oldest_us: rows before this are too late for states.
        outranked: (m + 1,) whether a higher publisher owns it.
        check_clock: whether a source time may be ahead of now at all.
    """
    n = len(rows)
    sent = _columns(rows)
    out = _Columns(*map(np.empty_like, sent))
    marks = _Marks(np.zeros(n, np.int8), np.zeros(n, np.bool_), np.zeros(n, np.bool_), np.zeros(n, np.int64))
    points = _Points(claimed, outranked, catalogue.sign, catalogue.lower, catalogue.upper)
    clock = np.array([receive_us, now_us, oldest_us, int(check_clock)])
    taken, lead = _examine(sent, catalogue.find(rows.signal), points, clock, marks, out)
    fault, good, late = marks.fault, marks.good[:taken], marks.late[:taken]
    placed = Rows(
        out.signal[:taken], out.value[:taken], out.source[:taken], out.receive[:taken],
        out.validity[:taken], out.quality[:taken], out.flags[:taken], out.sequence[:taken],
    )  # fmt: skip
    verdict = window.enter(placed, late)
    new = verdict == NEW
    fresh, duplicate = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    fresh[good], duplicate[good] = new, verdict == DUPLICATE
    fault[good[verdict == CONFLICT]] = RowFault.CONFLICT
    fault[good[late & new]] = RowFault.TOO_LATE
    live = (placed.flags & int(Flag.TEST)) == 0
    return Admission(
        history=_chosen(placed, new),
        window=_chosen(placed, new & live & ~late),
        signal=rows.signal,
        fault=fault,
        fresh=fresh,
        duplicate=duplicate,
        outside=marks.outside,
        refreshed=placed.signal[(verdict != CONFLICT) & live],
        lead=None if lead == _NOBODY_LEADS or not check_clock else lead,
    )


def _chosen(rows: Rows, which: NDArray[np.bool_]) -> Rows:
    """The chosen rows; the same ones where all are."""
    return rows if which.all() else rows.take(np.flatnonzero(which))


class _Columns(NamedTuple):
    """Rows as the kernel takes them."""

    signal: NDArray[np.uint32]
    value: NDArray[np.float64]
    source: NDArray[np.int64]
    receive: NDArray[np.int64]
    validity: NDArray[np.uint8]
    quality: NDArray[np.uint8]
    flags: NDArray[np.uint8]
    sequence: NDArray[np.uint64]


class _Points(NamedTuple):
    """What is known of each signal of the catalogue."""

    claimed: NDArray[np.bool_]
    outranked: NDArray[np.bool_]
    sign: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


class _Marks(NamedTuple):
    """What is found out: of each row its fault and whether it lies outside; of each good one whether it is late, its place."""

    fault: NDArray[np.int8]
    outside: NDArray[np.bool_]
    late: NDArray[np.bool_]
    good: NDArray[np.int64]


def _columns(rows: Rows) -> _Columns:
    # Of the one kind of array that the kernel was compiled for.
    return _Columns(*(np.require(column, requirements=("C", "W")) for column in vars(rows).values()))


@kernel
def _examine(
    sent: _Columns, row: NDArray[np.int64], points: _Points, clock: NDArray[np.int64], marks: _Marks, out: _Columns
) -> tuple[int, int]:
    """Check each row and copy the good ones, marked, behind each other.

    Args:
        sent: the rows.
        row: of each row's signal in the catalogue, -1 for none.
        points: by row of the catalogue.
        clock: when the rows came, the twin's now, the oldest time for states [us]; whether it is held against source times.
        marks: written.
        out: written.

    Returns:
        How many are good; the largest lead of one that tells its time.
    """
    receive_us, now_us, oldest_us, check_clock = clock[0], clock[1], clock[2], clock[3] != 0
    n, most = 0, _NOBODY_LEADS
    for i in range(len(row)):
        at = row[i]
        timed = sent.quality[i] != _NO_TIME
        if at < 0:
            marks.fault[i] = _UNKNOWN
        elif not points.claimed[at]:
            marks.fault[i] = _NOT_CLAIMED
        elif not np.isfinite(sent.value[i]):
            marks.fault[i] = _NOT_FINITE
        elif not (1 <= sent.validity[i] <= 3 and 1 <= sent.quality[i] <= 3) or (sent.flags[i] & ~_FLAGS) != 0:
            marks.fault[i] = _BAD_QUALITY
        elif timed and sent.source[i] <= 0:
            marks.fault[i] = _BAD_TIME
        elif points.outranked[at]:
            marks.fault[i] = _OUTRANKED
        if marks.fault[i] != 0:
            continue
        ours = sent.value[i] * points.sign[at]
        marks.outside[i] = ours < points.lower[at] or ours > points.upper[at]
        out.signal[n], out.value[n], out.flags[n], out.sequence[n] = sent.signal[i], ours, sent.flags[i], sent.sequence[i]
        out.validity[n] = _QUESTIONABLE if marks.outside[i] and sent.validity[i] == _GOOD else sent.validity[i]
        out.quality[n] = sent.quality[i]
        if timed:
            lead = sent.source[i] - now_us
            most = max(most, lead)
            if check_clock and lead > AHEAD_US and sent.quality[i] == _SYNCED:
                out.quality[n] = _UNSYNCED
            out.source[n], out.receive[n] = sent.source[i], receive_us
            marks.late[n] = sent.source[i] < oldest_us
        else:
            # A row without time is placed at the twin's now; writing it down makes every later computation agree.
            out.source[n], out.receive[n] = 0, now_us
            marks.late[n] = now_us < oldest_us
        marks.good[n] = i
        n += 1
    return n, most
