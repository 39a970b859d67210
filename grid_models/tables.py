"""Frozen columnar tables: what an element table is once it has been read.

A table never changes. An edit makes a new one that shares every column it did not touch, so that a thousand forks
of a network hold a thousand small differences and one network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def frozen(values: Any) -> Array:
    """Return `values` as a read-only array; the caller's own array stays writable.

    >>> frozen([1.0, 2.0]).flags.writeable
    False
    """
    array = np.asarray(values)
    if array.flags.writeable:
        array = array.copy()
        array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False, repr=False)
class Table(Mapping[str, Array]):
    """An element table: an index and equally long columns.

    Args:
        index: (n,) the elements' ids, int64 as in pandapower or str as in an .inp.
        columns: column name -> (n,) values.

    >>> lines = Table(frozen([4, 9]), {"length_km": frozen([1.0, 2.0])})
    >>> lines
    Table(2 rows: length_km)
    >>> lines.replace("length_km", [1], [5.0])["length_km"]
    array([1., 5.])
    >>> lines.rows([9])
    array([1])
    """

    index: Array
    columns: Mapping[str, Array]

    def __post_init__(self) -> None:
        wrong = {name: len(c) for name, c in self.columns.items() if len(c) != len(self.index)}
        if wrong:
            raise ValueError(f"columns of another length than the index ({len(self.index)}): {wrong}")

    def __repr__(self) -> str:
        """One line: the number of rows and the columns' names."""
        return f"Table({self.size} rows: {', '.join(self.columns)})"

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        """Return the number of columns (a Mapping's length); `size` is the number of rows."""
        return len(self.columns)

    @property
    def size(self) -> int:
        """The number of rows."""
        return len(self.index)

    @cached_property
    def _position(self) -> dict[int | str, int]:
        return {label: row for row, label in enumerate(self.index.tolist())}

    def rows(self, ids: Sequence[int | str]) -> NDArray[np.int64]:
        """Positions of the given ids.

        Raises:
            KeyError: an id that is not in the table; it carries the id.
        """
        return np.array([self._position[i] for i in ids], dtype=np.int64)

    def column(self, name: str, default: Any) -> Array:
        """The column, or `default` repeated where the table has none (pandapower's optional columns)."""
        return self.columns[name] if name in self.columns else np.full(self.size, default)

    def marked(self, name: str) -> NDArray[np.bool_]:
        """(n,) where a column holds true; a missing column or cell (None, nan) does not.

        >>> Table(frozen([1, 2]), {"slack": frozen([True, None])}).marked("slack")
        array([ True, False])
        """
        return np.asarray(np.equal(self.column(name, False), True), dtype=np.bool_)

    def replace(self, name: str, rows: Any, values: Any) -> Table:
        """A table in which `rows` of one column hold other values; the rest is shared."""
        column = self.columns[name].copy()
        column[rows] = values
        return Table(self.index, {**self.columns, name: frozen(column)})

    @cached_property
    def digest(self) -> bytes:
        """Content hash: equal tables have equal digests, whatever made them."""
        h = sha256()
        for name, column in [("", self.index), *sorted(self.columns.items())]:
            h.update(name.encode())
            h.update(column.dtype.str.encode())
            if column.dtype == object:  # text, or arrays (a pattern's multipliers), whose repr would be shortened
                for cell in column.tolist():
                    h.update(cell.tobytes() if isinstance(cell, np.ndarray) else repr(cell).encode())
                    h.update(b"\0")
            else:
                h.update(column.tobytes())
        return h.digest()
