"""The shape of a column's declaration; the declarations stand in power/columns.py and water/columns.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf


class Role(Enum):
    """What a change of the column makes a solver do again."""

    INJECTION = "injection"  # nothing is rebuilt
    STATUS = "status"  # topology
    PARAMETER = "parameter"  # equivalents and factors
    LIMIT = "limit"  # nothing; judged against
    LABEL = "label"  # nothing; for people
    RESULT = "result"  # computed, never set


@dataclass(frozen=True, slots=True)
class Column:
    """One column, declared once; documentation, validation and dataset attributes are derived from it.

    Args:
        table: element table, or a result's element.
        name: with its unit, as in `length_km`.
        unit: as written in datasets; "1" where the number has none, "" for text.
        text: one line, with the positive direction where there is one.
        role: what a change costs.
        dtype: `float`, `int`, `bool` or `str`.
        lower: least possible value.
        upper: greatest possible value.
        default: of a column that a table may lack.
    """

    table: str
    name: str
    unit: str
    text: str
    role: Role
    dtype: str = "float"
    lower: float = -inf
    upper: float = inf
    default: float | bool | str | None = None

    @property
    def key(self) -> str:
        """`{table}_{name}`, as datasets and states name it."""
        return f"{self.table}_{self.name}"
