"""What a measurement is: signals, their kinds, and the quality that travels with each value.

Validity, time quality and flags are those of IEC 60870-5-104 and stay independent: every combination reaches history
and subscribers as it came. What a quality means to an estimator stands in one table, `sigma_factor`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


class SignalKind(IntEnum):
    """How a signal's value is to be read."""

    ANALOG = 1
    SWITCH = 2  # value is a SwitchPosition
    STEP = 3  # tap position; in transit while QUESTIONABLE
    COUNTER = 4
    EVENT = 5


class SwitchPosition(IntEnum):
    """Double-point information (IEC 60870-5-104, DIQ). INTERMEDIATE is never read as open."""

    INTERMEDIATE = 0
    OPEN = 1
    CLOSED = 2
    FAULTY = 3


class Update(IntEnum):
    """Whether silence is suspicious: CYCLIC signals go stale after their time to live, SPONTANEOUS ones do not."""

    CYCLIC = 1
    SPONTANEOUS = 2


class Validity(IntEnum):
    """The source's own word on a value."""

    GOOD = 1
    QUESTIONABLE = 2
    INVALID = 3


class TimeQuality(IntEnum):
    """How far the source time can be trusted; NONE means the source told no time at all."""

    SYNCED = 1
    UNSYNCED = 2
    NONE = 3


class Flag(IntFlag):
    """Independent flags; any combination is legal."""

    NOT_TOPICAL = 1
    SUBSTITUTED = 2
    BLOCKED = 4
    OVERFLOW = 8
    TEST = 16


def sigma_factor(validity: NDArray[np.uint8], flags: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What a quality does to a measurement's sigma: 1 = full weight, inf = no weight.

    | quality | factor |
    |---|---|
    | GOOD | 1 |
    | QUESTIONABLE | 5: out of range is often the event itself, so it counts, weakly |
    | INVALID, OVERFLOW, TEST | inf |
    | NOT_TOPICAL, BLOCKED | 10: the last known value, not the present one |
    | SUBSTITUTED | 3: a person's or a machine's replacement |

    Args:
        validity: (n,) of Validity.
        flags: (n,) of Flag.

    Returns:
        (n,) factor [1], the largest that applies.

    >>> sigma_factor(np.array([1, 2, 3], np.uint8), np.array([4, 0, 0], np.uint8))
    array([10.,  5., inf])
    """
    factor = np.choose(np.clip(validity, 1, 3) - 1, [1.0, 5.0, np.inf])
    for flag, value in (
        (Flag.SUBSTITUTED, 3.0),
        (Flag.NOT_TOPICAL | Flag.BLOCKED, 10.0),
        (Flag.OVERFLOW | Flag.TEST, np.inf),
    ):
        factor = np.where(flags & int(flag), np.maximum(factor, value), factor)
    return factor


@dataclass(frozen=True, slots=True)
class Signal:
    """One point of the utility's point list, bound to an element of a network.

    Args:
        uid: allotted once, never reused.
        name: the utility's own name for the point.
        network: the network that it measures.
        kind: how its value is read.
        table: element table (`bus`, `line`, `switch`, `junction`, `tank`, `pipe`, `pump` ...).
        element: the element's id in that table, as text.
        quantity: `vm_pu`, `p_mw`, `q_mvar`, `i_ka`, `closed`, `pressure_m`, `level_m`, `flow_m3_per_s`,
            `demand_m3_per_s`, `status`.
        side: `from`, `to`, `hv`, `mv`, `lv`, or empty.
        unit: the unit in which the publisher sends; must be the quantity's own.
        sign: +1 or -1: the factor that turns the sent direction into ours (load convention at consumers, from -> to
            on links).
        sigma: standard deviation of a good value, in `unit`.
        lower: least plausible value.
        upper: greatest plausible value.
        update: cyclic or spontaneous.
        ttl_s: a cyclic signal is stale after this silence [s].
        hold_s: how far back a query may look for its last value [s].
    """

    uid: int
    name: str
    network: str
    kind: SignalKind
    table: str
    element: str
    quantity: str
    side: str
    unit: str
    sign: int
    sigma: float
    lower: float
    upper: float
    update: Update
    ttl_s: float
    hold_s: float


@dataclass(frozen=True, eq=False)
class Catalogue:
    """All signals of a twin at one revision, sorted by uid.

    Args:
        revision: another one after every change of the signals.
        signals: sorted by uid.
    """

    revision: int
    signals: tuple[Signal, ...]

    @cached_property
    def uid(self) -> NDArray[np.uint32]:
        """(n,) uids, ascending."""
        return np.array([s.uid for s in self.signals], dtype=np.uint32)

    @cached_property
    def by_name(self) -> dict[str, Signal]:
        """Signals by the utility's name."""
        return {s.name: s for s in self.signals}

    @cached_property
    def sign(self) -> NDArray[np.float64]:
        """(n,) +1 or -1."""
        return np.array([s.sign for s in self.signals], dtype=np.float64)

    @cached_property
    def sigma(self) -> NDArray[np.float64]:
        """(n,) of a good value, in the signal's unit."""
        return np.array([s.sigma for s in self.signals], dtype=np.float64)

    @cached_property
    def lower(self) -> NDArray[np.float64]:
        """(n,) least plausible value."""
        return np.array([s.lower for s in self.signals], dtype=np.float64)

    @cached_property
    def upper(self) -> NDArray[np.float64]:
        """(n,) greatest plausible value."""
        return np.array([s.upper for s in self.signals], dtype=np.float64)

    @cached_property
    def ttl_s(self) -> NDArray[np.float64]:
        """(n,) time to live [s]."""
        return np.array([s.ttl_s for s in self.signals], dtype=np.float64)

    @cached_property
    def hold_s(self) -> NDArray[np.float64]:
        """(n,) how far back a value may be looked for [s]."""
        return np.array([s.hold_s for s in self.signals], dtype=np.float64)

    @cached_property
    def kind(self) -> NDArray[np.int64]:
        """(n,) SignalKind."""
        return np.array([s.kind for s in self.signals], dtype=np.int64)

    @cached_property
    def update(self) -> NDArray[np.int64]:
        """(n,) Update."""
        return np.array([s.update for s in self.signals], dtype=np.int64)

    @cached_property
    def _row_of_uid(self) -> NDArray[np.int64] | None:
        """Row of each number from 0 to one behind the last uid; None where uids are sparse."""
        last = int(self.uid[-1])
        if last > 8 * len(self.signals) + 4096:
            return None
        table = np.full(last + 2, -1, dtype=np.int64)
        table[self.uid] = np.arange(len(self.signals))
        return table

    def find(self, uids: NDArray[np.uint32]) -> NDArray[np.int64]:
        """(n,) row of each uid in `signals`, -1 where unknown."""
        if not len(self.signals):
            return np.full(len(uids), -1, dtype=np.int64)
        if self._row_of_uid is not None:
            return self._row_of_uid[np.minimum(uids, len(self._row_of_uid) - 1)]
        row = np.minimum(np.searchsorted(self.uid, uids), len(self.signals) - 1)
        return np.where(self.uid[row] == uids, row, -1)

    def sign_of(self, uid: int) -> int:
        """+1 or -1; +1 where there is no such signal."""
        row = int(self.find(np.array([uid], dtype=np.uint32))[0])
        return self.signals[row].sign if row >= 0 else 1

    def of(self, network: str) -> tuple[Signal, ...]:
        """The signals of one network."""
        return tuple(s for s in self.signals if s.network == network)


@dataclass(frozen=True, eq=False)
class Rows:
    """Measurement rows in packed columns, equally long; the order of arrival.

    Args:
        signal: (n,) uid.
        value: (n,) in the signal's unit and our direction.
        source_time_us: (n,) Unix us; 0 where time_quality is NONE.
        receive_time_us: (n,) Unix us, written by the server.
        validity: (n,) of Validity.
        time_quality: (n,) of TimeQuality.
        flags: (n,) of Flag.
        sequence: (n,) per signal; (signal, source_time, sequence) is a row's identity.
    """

    signal: NDArray[np.uint32]
    value: NDArray[np.float64]
    source_time_us: NDArray[np.int64]
    receive_time_us: NDArray[np.int64]
    validity: NDArray[np.uint8]
    time_quality: NDArray[np.uint8]
    flags: NDArray[np.uint8]
    sequence: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.signal)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Rows:
        """The chosen rows, in the chosen order."""
        return Rows(*(getattr(self, f.name)[rows] for f in fields(self)))

    @staticmethod
    def concatenate(parts: Iterable[Rows]) -> Rows:
        """All rows of all parts, in order."""
        parts = [Rows.empty(), *parts]
        return Rows(
            signal=np.concatenate([p.signal for p in parts]),
            value=np.concatenate([p.value for p in parts]),
            source_time_us=np.concatenate([p.source_time_us for p in parts]),
            receive_time_us=np.concatenate([p.receive_time_us for p in parts]),
            validity=np.concatenate([p.validity for p in parts]),
            time_quality=np.concatenate([p.time_quality for p in parts]),
            flags=np.concatenate([p.flags for p in parts]),
            sequence=np.concatenate([p.sequence for p in parts]),
        )

    @staticmethod
    def empty() -> Rows:
        """No rows."""
        types = (np.uint32, np.float64, np.int64, np.int64, np.uint8, np.uint8, np.uint8, np.uint64)
        columns: list[Any] = [np.empty(0, dtype=t) for t in types]
        return Rows(*columns)
