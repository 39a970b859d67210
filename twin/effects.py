"""What the engine wants done; it does nothing itself."""

from __future__ import annotations

from dataclasses import dataclass

from twin.estimators import Given
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


Effect = Append | Estimate | Publish | Announce | Tell
