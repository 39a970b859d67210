"""The door: which rows of a batch are taken, how they are marked, and which are refused and why.

Pure and vectorised over the batch. What is admitted goes to the journal and, where it is not too late, into the window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from grid_models.measurements import Catalogue, Flag, Rows, TimeQuality, Validity
from twin.identities import Seen
from twin.port import RowError, RowFault

AHEAD_US = 5_000_000  # a source time further ahead of ours than this is the clock's fault
_FLAGS = int(Flag.NOT_TOPICAL | Flag.SUBSTITUTED | Flag.BLOCKED | Flag.OVERFLOW | Flag.TEST)
_LISTED = 100  # errors told one by one; the rest are counted

_TEXT = {
    RowFault.UNKNOWN_SIGNAL: "no signal has this uid",
    RowFault.NOT_CLAIMED: "the stream's claim does not name this signal",
    RowFault.NOT_FINITE: "the value is no finite number",
    RowFault.BAD_QUALITY: "validity, time quality or flags hold an undefined value",
    RowFault.BAD_TIME: "the source time is not after 1970",
    RowFault.CONFLICT: "this signal, time and sequence came with another value; correct with a higher sequence",
    RowFault.TOO_LATE: "later than the lateness window: kept in history, states stay as they are",
    RowFault.REBOUND: "the signal was bound anew; open the stream again",
    RowFault.OUTRANKED: "a living publisher of higher priority sends this signal",
}


@dataclass(frozen=True, eq=False)
class Admission:
    """What became of a batch.

    Args:
        history: rows for the journal: all that were admitted.
        window: those of them that may change states.
        errors: refused or late rows, the first of them; `unlisted` counts the others.
        unlisted: errors not listed.
        duplicate: rows that were there already.
        questionable: admitted rows outside their plausible range.
        refreshed: uids of rows that stand for their signals, repeated rows too.
        lead: largest lead of an admitted source time over the clock [us]; None where none is told, or the data are the
            clock.
    """

    history: Rows
    window: Rows
    errors: tuple[RowError, ...]
    unlisted: int
    duplicate: int
    questionable: int
    refreshed: NDArray[np.uint32]
    lead: int | None


def admit(
    rows: Rows,
    catalogue: Catalogue,
    claimed: NDArray[np.bool_],
    seen: Seen,
    *,
    receive_us: int,
    now_us: int,
    oldest_us: int,
    outranked: NDArray[np.bool_],
    check_clock: bool = True,
) -> Admission:
    """Judge a batch.

    Args:
        rows: as sent: values in the publisher's direction.
        catalogue: the signals.
        claimed: (m + 1,) for each signal of the catalogue whether the stream claimed it; False for none.
        seen: identities already in the window; it learns the admitted ones.
        receive_us: when the batch came, Unix us.
        now_us: the twin's now.
        oldest_us: rows before this are too late for states.
        outranked: (m + 1,) whether a higher publisher owns it.
        check_clock: whether a source time may be ahead of now at all.
    """
    n = len(rows)
    signal_row = catalogue.find(rows.signal)
    fault = np.zeros(n, dtype=np.int8)
    timed = rows.time_quality != TimeQuality.NONE

    def refuse(where: NDArray[np.bool_], why: RowFault) -> None:
        fault[where & (fault == 0)] = why

    refuse(signal_row < 0, RowFault.UNKNOWN_SIGNAL)
    refuse(~claimed[signal_row], RowFault.NOT_CLAIMED)
    refuse(~np.isfinite(rows.value), RowFault.NOT_FINITE)
    bad_quality = (rows.validity < 1) | (rows.validity > 3) | (rows.time_quality < 1) | (rows.time_quality > 3)
    refuse(bad_quality | ((rows.flags & ~np.uint8(_FLAGS)) != 0), RowFault.BAD_QUALITY)
    refuse(timed & (rows.source_time_us <= 0), RowFault.BAD_TIME)
    refuse(outranked[signal_row], RowFault.OUTRANKED)

    good = np.flatnonzero(fault == 0)
    at = signal_row[good]
    value = rows.value[good] * catalogue.sign[at]
    outside = (value < catalogue.lower[at]) | (value > catalogue.upper[at])
    validity = np.where(outside & (rows.validity[good] == Validity.GOOD), Validity.QUESTIONABLE, rows.validity[good])
    lead = np.where(timed[good], rows.source_time_us[good] - now_us, 0)
    ahead = (lead > AHEAD_US) & check_clock
    quality = np.where(ahead & (rows.time_quality[good] == TimeQuality.SYNCED), TimeQuality.UNSYNCED, rows.time_quality[good])
    taken = replace(
        rows.take(good),
        value=value,
        validity=validity.astype(np.uint8),
        time_quality=quality.astype(np.uint8),
        source_time_us=np.where(timed[good], rows.source_time_us[good], 0),
        receive_time_us=np.full(len(good), receive_us, dtype=np.int64),
    )
    when = np.where(timed[good], taken.source_time_us, now_us)
    late = when < oldest_us
    # A row without time is placed at the twin's now; writing it down makes every later computation agree.
    placed = replace(taken, receive_time_us=np.where(timed[good], taken.receive_time_us, now_us))
    verdict = seen.judge(placed, late)
    fresh = verdict == Seen.NEW
    fault[good[verdict == Seen.CONFLICT]] = RowFault.CONFLICT
    fault[good[late & fresh]] = RowFault.TOO_LATE
    history = placed.take(fresh)
    test = (taken.flags & int(Flag.TEST)) != 0
    listed = np.flatnonzero(fault)
    errors = tuple(
        RowError(int(i), int(rows.signal[i]), RowFault(int(fault[i])), _TEXT[RowFault(int(fault[i]))]) for i in listed[:_LISTED]
    )
    return Admission(
        history=history,
        window=history.take((~late & ~test)[fresh]),
        errors=errors,
        unlisted=max(0, len(listed) - _LISTED),
        duplicate=int((verdict == Seen.DUPLICATE).sum()),
        questionable=int((outside & fresh).sum()),
        refreshed=taken.signal[(verdict != Seen.CONFLICT) & ~test],
        lead=int(lead[timed[good]].max()) if check_clock and timed[good].any() else None,
    )
