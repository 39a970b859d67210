"""A search as plain values, piece by piece, and a search from them that goes on with the same bits.

What was given to it (town, noise, leaks that ran before) is not of them; what it remembers is: some 100 MB on L-Town, nearly
all of it the pictures of four weeks' hours. No piece is large, so that nobody is held up while one is packed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from solvers.water.leak_search.search import LeakSearch

_KEPT_APART = ("_shadows", "_telling", "_memory", "_dropped", "_endings", "_reckoning")
_GIVEN = ("town", "noise", "known", "walks", "_zone", "_scene", *_KEPT_APART)
_AT_ONCE = 24  # hours in a piece


def saved(search: LeakSearch) -> Iterator[dict[str, Any]]:
    """What a search remembers between two hours; the arrays are its own."""
    yield {
        "search": {name: value for name, value in vars(search).items() if name not in _GIVEN},
        "dropped": tuple(sorted(search._dropped)),
        "jumps": search._shadows.jumps,
        "told": search._telling.told,
        "endings": (search._endings.before, search._endings.over, tuple(sorted(search._endings.cut))),
        "last_number": search._reckoning.last,
        "town": search.town.solved,
    }
    for name, value in vars(search._memory).items():
        if isinstance(value, dict):
            hours = iter(value.items())
            while part := dict(islice(hours, _AT_ONCE)):
                yield {"of": name, "hours": part}
        elif isinstance(value, np.ndarray):
            for first in range(0, len(value), _AT_ONCE):
                yield {"of": name, "first": first, "rows": value[first : first + _AT_ONCE]}


def recall(search: LeakSearch, pieces: Iterable[Mapping[str, Any]]) -> None:
    """Have a search that has seen nothing remember what another one did.

    Args:
        search: of the same town, noise and leaks.
        pieces: of `saved`; they are copied.
    """
    for piece in pieces:
        if "rows" in piece:
            vars(search._memory)[piece["of"]][piece["first"] : piece["first"] + len(piece["rows"])] = piece["rows"]
        elif "hours" in piece:
            vars(search._memory)[piece["of"]].update(_copied(piece["hours"]))
        else:
            own = _copied(dict(piece))
            vars(search).update(own["search"])
            search._dropped = set(own["dropped"])
            search._shadows.jumps, search._telling.told = own["jumps"], own["told"]
            search._endings.before, search._endings.over, cut = own["endings"]
            search._endings.cut, search._reckoning.last = set(cut), own["last_number"]
            search.town.solved = own["town"]


def _copied(value: Any) -> Any:
    """The same value in arrays of its own, which may be written."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {k: _copied(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(v) for v in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _copied(getattr(value, f.name)) for f in fields(value)})
    return value
