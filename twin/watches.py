"""What looks at states and speaks up: the seam for alarms and leak detection.

A watch is pure: all it knows is its memory. `late` watches learn slowly and take only instants that have left the
lateness window, so that no correction can reach what they have learnt; the others see the live edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from grid_models.state import NetworkState
from twin.estimators import Found
from twin.field_report import FieldReport
from twin.port import Candidate, EventKind, Evidence, Transition, TwinEvent

NUMBERED = ("LEAK", "CLOSURE", "METER_CHANGED")  # alarms whose keys begin CODE/network/watch: they end with that watch


@dataclass(frozen=True)
class Finding:
    """Something to tell.

    Args:
        key: stays the same over an alarm's life; the engine gives it an alarm id.
        transition: raised, updated, cleared.
        kind: alarm or leak.
        code: of the alarm.
        elements: culprits first.
        message: for the operator.
        cause: key of the root cause, empty where this is one.
        candidates: of a leak.
        figures: numbers behind the message.
        evidence: what it rests on, the strongest first.
    """

    key: str
    transition: Transition
    kind: EventKind
    code: str
    elements: tuple[str, ...]
    message: str
    cause: str = ""
    candidates: tuple[Candidate, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()


def ended(event: TwinEvent, why: str) -> Finding:
    """That an open alarm is over, though no watch has seen it end.

    Args:
        event: its last one.
        why: begins the message.
    """
    key = event.alarm_id.rsplit("#", 1)[0]
    return Finding(key, Transition.CLEARED, event.kind, event.code, event.elements, f"{why} ({event.message})")


class Watch(Protocol):
    """Looks at one network's states, in order of their instants."""

    name: str
    network: str
    late: bool

    def empty(self) -> Any:
        """The memory before the first state; it can be packed (`twin.packing`)."""

    def step(
        self, memory: Any, state: NetworkState, coupled: Mapping[str, NetworkState], reports: tuple[FieldReport, ...] = ()
    ) -> tuple[Any, tuple[Finding, ...]]:
        """Look at the next state.

        Args:
            memory: after the previous state.
            state: the next one.
            coupled: the other networks' states, each the newest at or before this instant.
            reports: what the field says that counts at this instant, for late watches.

        Returns:
            The new memory, and what there is to tell.
        """

    def found(self, memory: Any) -> Found | None:
        """What a late watch has found that later estimates should know of; None where there is nothing, or it is not late."""
