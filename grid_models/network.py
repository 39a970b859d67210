"""What both networks have in common: a name, frozen tables, and a revision that is the hash of their contents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from grid_models.tables import Table


@dataclass(frozen=True, eq=False, repr=False)
class Network:
    """A network as frozen tables.

    Args:
        name: how people call it.
        tables: table name -> Table.
    """

    name: str
    tables: Mapping[str, Table]

    def __repr__(self) -> str:
        """One line: the name, and how many elements of each kind."""
        counts = ", ".join(f"{table.size} {name}" for name, table in self.tables.items() if table.size)
        return f"{type(self).__name__}({self.name!r}: {counts})"

    @cached_property
    def revision(self) -> str:
        """Content hash, hexadecimal: networks with equal tables have equal revisions."""
        h = sha256()
        for name, table in sorted(self.tables.items()):
            h.update(name.encode())
            h.update(table.digest)
        return h.hexdigest()
