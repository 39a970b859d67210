"""Which part of a state a reader wants, checked once against its network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.api.v1 import common_pb2
from twin.api.v1 import state_pb2 as pb
from twin.edge.errors import bad
from twin.port import NetworkInfo

_MOST_COLUMNS = 1000
_MOST_ELEMENTS = 100_000


@dataclass(frozen=True)
class Selected:
    """A checked selection; equal selections share one serialisation.

    Args:
        columns: names, in the network's order where none were named.
        elements: dimension and its wanted ids, for the dimensions that do not come whole.
        single: float32 in place of float64.
        sigma: with standard deviations.
        origin: with origins.
        residuals: with residuals.
    """

    columns: tuple[str, ...]
    elements: tuple[tuple[str, tuple[str, ...]], ...]
    single: bool
    sigma: bool
    origin: bool
    residuals: bool

    def dims(self, info: NetworkInfo) -> Mapping[str, tuple[str, ...]]:
        """Dimension -> ids as they come, for every dimension that the columns need."""
        chosen = dict(self.elements)
        needed = dict.fromkeys(info.columns[name][0] for name in self.columns)
        return {name: chosen.get(name, info.dims[name]) for name in needed}

    def rows(self, info: NetworkInfo) -> Mapping[str, NDArray[np.int64]]:
        """Dimension -> places of the wanted ids; whole dimensions are not listed."""
        return {name: _places(info, name, ids, f"selection.elements of {name}") for name, ids in self.elements}


def selected(message: pb.Selection, info: NetworkInfo) -> Selected:
    """Check a selection.

    Raises:
        BadRequest: an unknown or repeated column, dimension or id; it names the field.
    """
    if len(message.columns) > _MOST_COLUMNS:
        raise bad("selection.columns", f"at most {_MOST_COLUMNS}")
    for k, name in enumerate(message.columns):
        if name not in info.columns:
            raise bad(f"selection.columns[{k}]", f"{info.name} has no column {name!r}; GetNetwork lists them")
    _once(tuple(message.columns), "selection.columns")
    if sum(len(e.ids) for e in message.elements) > _MOST_ELEMENTS:
        raise bad("selection.elements", f"at most {_MOST_ELEMENTS} ids")
    _once(tuple(e.dimension for e in message.elements), "selection.elements")
    for k, element in enumerate(message.elements):
        if element.dimension not in info.dims:
            raise bad(f"selection.elements[{k}].dimension", f"{info.name} has no dimension {element.dimension!r}")
        _once(tuple(element.ids), f"selection.elements[{k}].ids")
        _places(info, element.dimension, tuple(element.ids), f"selection.elements[{k}].ids")
    return Selected(
        columns=tuple(message.columns) or tuple(info.columns),
        elements=tuple((e.dimension, tuple(e.ids)) for e in message.elements),
        single=message.single_precision,
        sigma=message.sigma,
        origin=message.origin,
        residuals=message.residuals,
    )


def topology(model_revision: str, dims: Mapping[str, tuple[str, ...]]) -> common_pb2.Topology:
    """The ids behind columns, as a message."""
    message = common_pb2.Topology(model_revision=model_revision)
    for name, ids in dims.items():
        message.dimensions.add(name=name, ids=ids, size=len(ids))
    return message


def _places(info: NetworkInfo, dimension: str, ids: tuple[str, ...], field: str) -> NDArray[np.int64]:
    place = {label: k for k, label in enumerate(info.dims[dimension])}
    unknown = [label for label in ids if label not in place]
    if unknown:
        raise bad(field, f"{info.name} has no {dimension} {', '.join(map(repr, unknown[:8]))}")
    return np.array([place[label] for label in ids], dtype=np.int64)


def _once(names: tuple[str, ...], field: str) -> None:
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise bad(field, f"names {twice!r} twice")
