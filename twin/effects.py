"""What the engine wants done; it does nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grid_models.state import NetworkState
from twin.estimators import Given
from twin.field_report import FieldReport
from twin.journal import Entry
from twin.port import Ack, PublishedState, TwinEvent


@dataclass(frozen=True)
class Append:
    """Write to the journal; call `Engine.committed` when it is on disk."""

    entry: Entry


@dataclass(frozen=True)
class Estimate:
    """Compute a state; call `Engine.estimated` with it."""

    network: str
    given: Given


@dataclass(frozen=True)
class Learn:
    """Let the late watches look at a sealed state (`twin.watching.looked`); call `Engine.learned` with what came of it.

    Args:
        network: of the state.
        state: the sealed one.
        coupled: as in `Watch.step`.
        memory: of each late watch by its name, after the state before.
        reports: as in `Watch.step`.
    """

    network: str
    state: NetworkState
    coupled: Mapping[str, NetworkState]
    memory: Mapping[str, Any]
    reports: tuple[FieldReport, ...] = ()


@dataclass(frozen=True)
class Publish:
    """Hand a state to subscribers."""

    published: PublishedState


@dataclass(frozen=True)
class Announce:
    """Hand an event to subscribers."""

    event: TwinEvent


@dataclass(frozen=True)
class Tell:
    """Answer a publisher's stream."""

    publisher: str
    ack: Ack


Effect = Append | Estimate | Learn | Publish | Announce | Tell
