"""What became of each object of a file that was read: nothing vanishes without a word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Note:
    """Objects of one kind that share a reason.

    Args:
        kind: as the source names it (`branch`, `cim:Breaker`).
        ids: the objects, as the source names them.
        reason: why they were dropped, or which value they were given.
    """

    kind: str
    ids: tuple[int | str, ...]
    reason: str


@dataclass(frozen=True)
class ImportReport:
    """Every object of the source is mapped as it stands, mapped with a default, or dropped.

    Args:
        source: kind -> objects that the source holds, counted before anything was mapped.
        mapped: kind -> objects that became part of the network just as they stand.
        defaulted: objects that became part of it with a value that the source does not give.
        dropped: objects that did not.

    >>> report = ImportReport({"bus": 3}, {"bus": 2}, (), (Note("bus", (7,), "has no voltage level"),))
    >>> report.unaccounted
    {}
    """

    source: Mapping[str, int] = field(default_factory=dict)
    mapped: Mapping[str, int] = field(default_factory=dict)
    defaulted: tuple[Note, ...] = ()
    dropped: tuple[Note, ...] = ()

    def count(self, notes: tuple[Note, ...], kind: str) -> int:
        """How many objects of a kind the notes name."""
        return sum(len(note.ids) for note in notes if note.kind == kind)

    @property
    def unaccounted(self) -> dict[str, int]:
        """Kind -> objects of the source less mapped, defaulted and dropped ones; empty where the books balance."""
        kinds = {*self.source, *self.mapped, *(n.kind for n in (*self.defaulted, *self.dropped))}
        left = {
            kind: self.source.get(kind, 0)
            - self.mapped.get(kind, 0)
            - self.count(self.defaulted, kind)
            - self.count(self.dropped, kind)
            for kind in kinds
        }
        return {kind: n for kind, n in left.items() if n}

    def rows(self) -> list[tuple[str, int, int, int, int]]:
        """Kind, objects, mapped, defaulted, dropped; in the source's order."""
        return [
            (kind, n, self.mapped.get(kind, 0), self.count(self.defaulted, kind), self.count(self.dropped, kind))
            for kind, n in self.source.items()
        ]
