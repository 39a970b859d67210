"""Checkpoints: all that the engine must remember to go on, as one entry of the journal.

A checkpoint is taken when the last instant that no row can change any more passes a multiple of 15 minutes. It holds

    the states at and before that instant which later ones are made from,
    the measurements that later instants look at, which tell what has come before,
    what the watches remember, which alarms stand, the last batch of each publisher.

An engine that begins at a checkpoint computes the same bits as one that began at the first entry. So the journal may be cut
before its newest checkpoint, and a question about the past is answered from the checkpoint before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from grid_models.state import Position
from twin.chain import ChainMemory
from twin.field_report import FieldReport
from twin.port import ManualEntry


class Mark(NamedTuple):
    """Where a checkpoint stands on both axes of time.

    Args:
        position: of its entry.
        sealed_us: later instants of every network can be computed from it, Unix us.
        heard_us: newest receipt of a row that it knows of, Unix us.
    """

    position: Position
    sealed_us: int
    heard_us: int

    def serves(self, valid_us: int, known_us: int | None) -> bool:
        """Whether the state at `valid_us`, as it was known at `known_us`, can be computed from here."""
        return self.sealed_us <= valid_us and (known_us is None or self.heard_us <= known_us)


START = Mark(Position(0, 0), 0, 0)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What the engine remembers.

    Args:
        mark: where it stands.
        now_us: the twin's now.
        batches: (publisher, epoch) -> its last batch.
        window: of `Window.saved`.
        chains: network -> memory.
        telling: of `Telling.saved`.
        manual: of `ManualBook.saved`.
        catalogue: revision of the point list from here on.
        field: of `FieldBook.saved`.
    """

    mark: Mark
    now_us: int
    batches: Mapping[tuple[str, int], int]
    window: Mapping[str, NDArray[Any]]
    chains: Mapping[str, ChainMemory]
    telling: Mapping[str, Any]
    manual: tuple[ManualEntry, ...]
    catalogue: int
    field: tuple[FieldReport, ...] = ()
