"""What the field says: citizens' reports, acoustic loggers, and the operator's word on a leak alarm. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

_NAMED = 3  # pipes of a line


class ReportKind(IntEnum):
    """Who says what."""

    CITIZEN = 1  # water where there should be none
    LOGGER = 2  # an acoustic logger's level
    DISPATCHED = 3  # the operator: a crew is on its way
    CONFIRMED = 4  # the leak has been found
    REJECTED = 5  # pipes have been searched, nothing was found
    REPAIRED = 6  # the leak flows no more

    @property
    def of_alarm(self) -> bool:
        """Whether it is a word on an alarm."""
        return self >= ReportKind.DISPATCHED


@dataclass(frozen=True)
class Point:
    """A place in the network's own coordinates.

    Args:
        x, y: in the coordinates of the network's file.
        radius: how far from there it may be, same unit.
    """

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Level:
    """What an acoustic logger hears.

    Args:
        level_db: now.
        background_db: usually, at this logger.
        deviation_db: of its levels around that.
    """

    level_db: float
    background_db: float
    deviation_db: float


@dataclass(frozen=True)
class FieldReport:
    """One word from the field.

    >>> FieldReport(ReportKind.CITIZEN, "water", "control room", "water on the street", pipes=("p232",)).line
    'citizen by control room at pipe p232: water on the street'

    Args:
        kind: who says what.
        network: that it concerns; of a word on an alarm the alarm's.
        author: who enters it.
        text: in their words.
        source: who saw it, or which instrument; two reports of one source are one voice.
        alarm_id: of a word on an alarm.
        pipes: ids of where it is; of a report at a node or a point, the pipes there.
        node: where it is, instead of pipes.
        point: likewise.
        level: of a logger.
        happened_us: when, Unix us on the twin's clock; 0 = now.
        counts_us: first instant whose leaks it counts for; given by the core.
        created_us: when it was entered, on the wall clock.
        request_id: the same again is no second report; may be empty.
        report_id: given by the core; empty before.
    """

    kind: ReportKind
    network: str
    author: str
    text: str
    source: str = ""
    alarm_id: str = ""
    pipes: tuple[str, ...] = ()
    node: str = ""
    point: Point | None = None
    level: Level | None = None
    happened_us: int = 0
    counts_us: int = 0
    created_us: int = 0
    request_id: str = ""
    report_id: str = ""

    @property
    def alarm_key(self) -> str:
        """What a watch knows the alarm by; empty where it is a word on none."""
        return self.alarm_id.rsplit("#", 1)[0]

    @property
    def line(self) -> str:
        """All of it in one line."""
        shown = ", ".join(f"pipe {p}" for p in self.pipes[:_NAMED])
        more = f" and {len(self.pipes) - _NAMED} more" if len(self.pipes) > _NAMED else ""
        return f"{self.kind.name.lower()} by {self.author}{' at ' if shown else ''}{shown}{more}: {self.text}"
