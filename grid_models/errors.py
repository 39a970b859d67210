"""What can be wrong with an input, told so that its author can mend it.

A check never stops at the first fault: it returns every `Issue`, and the caller raises `InvalidInput` with all of
them. Each names the component, the field and the ids, as the file's author wrote them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_SHOWN_IDS = 8


@dataclass(frozen=True, slots=True)
class Issue:
    """One fault: where it is and what to do about it.

    Args:
        component: the element table or file section (`line`, `[PIPES]`, `signal`).
        field: the column or keyword, empty when the whole component is meant.
        ids: the elements concerned, as their author names them.
        message: what is wrong and what would be right.
        file: the file it was read from, empty when it came over the wire.
        line: the line in that file, counted from 1, or None.

    >>> print(Issue("line", "length_km", (7,), "must be greater than 0, is -1.0", file="grid.json"))
    grid.json: line 7: length_km: must be greater than 0, is -1.0
    """

    component: str
    field: str
    ids: tuple[int | str, ...]
    message: str
    file: str = ""
    line: int | None = None

    def __str__(self) -> str:
        shown = ", ".join(str(i) for i in self.ids[:_SHOWN_IDS])
        if len(self.ids) > _SHOWN_IDS:
            shown += f" and {len(self.ids) - _SHOWN_IDS} more"
        place = self.file + (f":{self.line}" if self.line is not None else "")
        subject = f"{self.component} {shown}".strip()
        return ": ".join(part for part in (place, subject, self.field, self.message) if part)


class InvalidInput(ValueError):
    """Input that its author must mend; carries every issue found, not just the first.

    >>> str(InvalidInput([Issue("bus", "vn_kv", (3,), "must be greater than 0")]))
    'bus 3: vn_kv: must be greater than 0'
    """

    def __init__(self, issues: Iterable[Issue]) -> None:
        self.issues = tuple(issues)
        super().__init__("\n".join(str(issue) for issue in self.issues))
