"""What every solver returns: a value, a named status, and what the work cost.

A failure is a value, not an exception: a control room wants the status of 5,000 outages, not the first one that
raised. Who prefers an exception calls `Solution.unwrap`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")


class Status(Enum):
    """How a solve ended. Each status tells the engineer what to try."""

    SOLVED = ("solved", "")
    DEAD_ISLANDS = (
        "solved; parts of the network have no source",
        "close a switch; dead parts are reported as such",
    )
    NO_SUPPLY = ("solved; some nodes have no path to a source", "open a valve or pipe toward the named nodes")
    SUPPLY_LIMITED = (
        "solved; valves let through less than is drawn behind them",
        "raise the setting of the named flow control valves",
    )
    VALVE_CANNOT_HOLD = (
        "solved; a pressure sustaining valve stands open, since it alone feeds what lies behind it",
        "lower the setting of the named valve, or feed what lies behind it from elsewhere too",
    )
    VALVES_HUNT = ("no positions of some links satisfy their rules at once", "check the settings of the named links")
    TAP_LIMITED = (
        "solved; some tap changers have no position left and do not hold their voltage",
        "support the voltage at the named transformers, or move their band",
    )
    TAPS_HUNT = (
        "some tap changers move to and fro",
        "make the band of the named changers wider than a step, or let them regulate one after the other (levels)",
    )
    NO_SLACK = ("no source holds the voltage", "add an ext_grid or a generator with slack=true")
    VOLTAGE_COLLAPSE = ("no voltage can carry this load", "reduce the load at the named buses, or add reactive support")
    NOT_CONVERGED = ("the iteration limit was reached", "look at the named elements with the largest mismatch")
    UNOBSERVABLE = ("the measurements do not determine the state", "add measurements in the named zone")
    BAD_DATA = ("solved; suspect measurements were removed", "check the named meters")
    CONTRADICTORY = ("the data contradict themselves", "mend the named elements")
    PUMP_CANNOT_DELIVER = ("solved; a pump runs outside its curve", "check the named pump's curve against its lift")
    NEGATIVE_PRESSURE = ("solved; some demands cannot be delivered", "use pressure-driven demand, or lower it")
    CANCELLED = ("cancelled", "run it again with a later deadline")

    def __init__(self, text: str, advice: str) -> None:
        self.text = text
        self.advice = advice

    @property
    def usable(self) -> bool:
        """Whether the value may be shown as the state of the network."""
        return self.text.startswith("solved")


Cancelled = Callable[[], bool]  # asked between solves and every few instants whether nobody waits for the answer any more


def never() -> bool:
    """Nobody cancels."""
    return False


class Unsolvable(RuntimeError):
    """Well-formed input that has no solution; the command line ends with 3."""

    def __init__(self, status: Status, culprits: tuple[str, ...], detail: str = "") -> None:
        self.status = status
        self.culprits = culprits
        self.detail = detail
        named = f" ({', '.join(culprits[:8])})" if culprits else ""
        super().__init__("; ".join(part for part in (f"{status.name}: {status.text}{named}", detail, status.advice) if part))


@dataclass(frozen=True)
class Stats:
    """What the work cost and how good it is.

    Args:
        iterations: of the outermost numerical loop.
        residual: the largest mismatch left, in the solver's own unit (pu power, m3/s).
        rebuilt: what could not be reused and why, `RebuildReason.value`s in order.
        extra: solver-specific figures, documented by each solver.
    """

    iterations: int = 0
    residual: float = 0.0
    rebuilt: tuple[str, ...] = ()
    extra: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Solution(Generic[T]):
    """A value with its status.

    Args:
        value: the result; where `status.usable` is False, the best that was reached (for diagnosis only).
        status: the named outcome.
        stats: cost and accuracy.
        culprits: the elements that the status speaks of, such as "bus 17" or "pump PUMP_1".
        detail: what is known of the cause, one clause for people.

    >>> Solution(1.0, Status.SOLVED).unwrap()
    1.0
    """

    value: T
    status: Status
    stats: Stats = field(default_factory=Stats)
    culprits: tuple[str, ...] = ()
    detail: str = ""

    def unwrap(self) -> T:
        """Return the value.

        Raises:
            Unsolvable: the status is not usable.
        """
        if not self.status.usable:
            raise Unsolvable(self.status, self.culprits, self.detail)
        return self.value
