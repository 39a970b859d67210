"""A search as plain values, and a search from them that goes on with the same bits.

What was given to it (town, noise, leaks that ran before) is not of them; what it remembers is: some 100 MB on L-Town, nearly
all of it the pictures of four weeks' hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from solvers.water.leak_search.search import LeakSearch

_GIVEN = ("town", "noise", "known", "walks", "_zone", "_shadows", "_scene", "_telling", "_memory", "_dropped")


def saved(search: LeakSearch) -> dict[str, Any]:
    """What a search remembers, between two hours; the arrays are its own."""
    return {
        "search": {name: value for name, value in vars(search).items() if name not in _GIVEN},
        "dropped": tuple(sorted(search._dropped)),
        "memory": dict(vars(search._memory)),
        "jumps": search._shadows.jumps,
        "told": search._telling.told,
        "town": search.town.solved,
    }


def recall(search: LeakSearch, values: Mapping[str, Any]) -> None:
    """Have a search that has seen nothing remember what another one did.

    Args:
        search: of the same town, noise and leaks.
        values: of `saved`; they are copied.
    """
    own = _copied(dict(values))
    vars(search).update(own["search"])
    vars(search._memory).update(own["memory"])
    search._dropped = set(own["dropped"])
    search._shadows.jumps, search._telling.told = own["jumps"], own["told"]
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
