"""A state as messages of at most 1 MiB, its columns serialised once for all readers of one selection.

What differs between readers (which frame they saw before, how many were merged) is a small header; the columns' bytes
are shared. The two are joined on the wire, where the fields of a message may come in any order. Readers that keep up have all
seen the same frame before, so the whole message is theirs together.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from weakref import WeakKeyDictionary, ref

import numpy as np
from numpy.typing import NDArray

from grid_models.state import NetworkState, Position, Residuals
from grid_models.tables import Array
from solvers.solution import Status
from twin import wire
from twin.api.v1 import common_pb2
from twin.api.v1 import state_pb2 as pb
from twin.edge.selection import Selected
from twin.errors import PreconditionFailed
from twin.port import NetworkInfo, PublishedState

PART_BYTES = 1 << 20
# A header takes its share of the part: its culprits are cut to this many, of a bounded length.
_BODY_BYTES = PART_BYTES - (1 << 16)
_CULPRITS = 100
_CULPRIT_CHARACTERS = 200
# Rows in one slice of a column: 33 bytes each at most (a residual), so a slice fits a part with room to spare.
_SLICE = 1 << 14
_CACHE_BYTES = 64 << 20
_NONE = Position(0, 0)  # before a reader's first frame


class _Kept(NamedTuple):
    """A state's columns for one selection, and the last frame made of them: most readers have seen the same one before."""

    selected: Selected
    bodies: tuple[bytes, ...]
    frames: dict[tuple[Position, int], tuple[bytes, ...]]


class Frames:
    """Serialises states; keeps the bytes of the newest ones."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, Position, int], _Kept] = OrderedDict()
        self._bytes = 0
        self._selections: WeakKeyDictionary[Selected, ref[Selected]] = WeakKeyDictionary()  # each as long as a reader has it
        self.serialised = 0  # how often columns were serialised, for tests and metrics

    def shared(self, selected: Selected) -> Selected:
        """The one object of all equal selections: to compare a thousand ids for each frame would cost more than the frame."""
        return self._selections.setdefault(selected, ref(selected))() or selected

    def messages(
        self,
        twin: str,
        info: NetworkInfo,
        published: PublishedState,
        selected: Selected,
        previous: Position | None = None,
        merged: int = 0,
    ) -> tuple[bytes, ...]:
        """The parts of a frame, each the wire form of a response whose field 1 is a StateFrame; `selected` is a shared one."""
        kept = self._columns(info, published, selected)
        seen = (previous or _NONE, merged)
        frame = kept.frames.get(seen)
        if frame is None:
            header = _header(twin, published, previous, merged)
            made = []
            for part, body in enumerate(kept.bodies):
                header.part, header.last_part = part, part == len(kept.bodies) - 1
                made.append(wire.delimited(1, (header.SerializeToString(), body)))
            frame = tuple(made)
            kept.frames.clear()
            kept.frames[seen] = frame
        return frame

    def _columns(self, info: NetworkInfo, published: PublishedState, selected: Selected) -> _Kept:
        key = (info.name, published.position, id(selected))
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        self.serialised += 1
        columns = state_columns(info, published.state, selected)
        bodies = tuple(parts(_pieces(columns, published.state.residuals if selected.residuals else None)))
        kept = self._kept[key] = _Kept(selected, bodies, {})
        self._bytes += 2 * sum(map(len, bodies))  # and once more in the frame
        while self._bytes > _CACHE_BYTES and len(self._kept) > 1:
            self._bytes -= 2 * sum(map(len, self._kept.popitem(last=False)[1].bodies))
        return kept


def state_columns(info: NetworkInfo, state: NetworkState, selected: Selected) -> Iterator[common_pb2.Column]:
    """The selected columns of a state, in slices."""
    rows = selected.rows(info)
    for name in selected.columns:
        if name not in state.values:
            continue
        dimension = info.columns[name][0]
        if len(state.values[name]) != len(info.dims[dimension]):
            raise PreconditionFailed(
                f"{info.name}: the state belongs to model revision {state.model_revision[:12]}, "
                f"whose element ids are not those of the present {info.model_revision[:12]}"
            )
        wanted = rows.get(dimension)
        sigma = state.sigma.get(name) if selected.sigma else None
        origin = state.origin.get(name) if selected.origin else None
        yield from slices(
            name,
            dimension,
            _take(state.values[name], wanted),
            None if sigma is None else _take(sigma, wanted),
            None if origin is None else _take(origin, wanted),
            single=selected.single,
        )


def slices(
    name: str,
    dimension: str,
    values: Array,
    sigma: Array | None = None,
    origin: Array | None = None,
    *,
    single: bool = False,
) -> Iterator[common_pb2.Column]:
    """One column as messages; several where it is long. An empty column is one empty message."""
    for start in range(0, max(len(values), 1), _SLICE):
        part = slice(start, start + _SLICE)
        column = common_pb2.Column(name=name, dimension=dimension, offset=start)
        kind = values.dtype.kind
        if kind == "f":
            wire.fill(column, "f32" if single else "f64", values[part])
        elif kind == "b":
            wire.fill(column, "u8", values[part])
        elif kind in "iu":
            wire.fill(column, "i64", values[part])
        else:
            column.text.extend(str(v) for v in values[part])
        if sigma is not None:
            wire.fill(column, "sigma", sigma[part])
        if origin is not None:
            wire.fill(column, "origin", origin[part])
        yield column


def solver_status(name: str, culprits: tuple[str, ...]) -> common_pb2.SolverStatus:
    """A solver's status with its words and advice."""
    known = Status.__members__.get(name)
    return common_pb2.SolverStatus(
        name=name,
        text=known.text if known else "",
        advice=known.advice if known else "",
        culprits=[c[:_CULPRIT_CHARACTERS] for c in culprits[:_CULPRITS]],
        culprits_not_listed=max(0, len(culprits) - _CULPRITS),
    )


def place(position: Position | None) -> common_pb2.Position | None:
    """A position as a message."""
    return None if position is None else common_pb2.Position(epoch=position.epoch, revision=position.revision)


def _header(twin: str, published: PublishedState, previous: Position | None, merged: int) -> pb.StateFrame:
    state = published.state
    return pb.StateFrame(
        network=wire.network_name(twin, state.network),
        position=place(published.position),
        previous_sent=place(previous),
        valid_time=wire.timestamp(state.valid_time_us),
        known_time=wire.timestamp(published.known_time_us),
        model_revision=state.model_revision,
        parameter_revision=state.parameter_revision,
        freshness=common_pb2.Freshness.Name(state.freshness),
        solver_status=solver_status(state.status, state.culprits),
        iterations=state.iterations,
        accuracy=state.accuracy if math.isfinite(state.accuracy) else math.nan,
        oldest_source_time=wire.timestamp(state.oldest_source_us) if state.oldest_source_us else None,
        newest_source_time=wire.timestamp(state.newest_source_us) if state.newest_source_us else None,
        stale_inputs=state.stale_inputs,
        manual_inputs=state.manual_inputs,
        correction=published.correction,
        merged=merged,
    )


def _pieces(columns: Iterator[common_pb2.Column], residuals: Residuals | None) -> Iterator[bytes]:
    for column in columns:
        yield pb.StateFrame(columns=[column]).SerializeToString()
    for start in range(0, len(residuals.signal) if residuals else 0, _SLICE):
        message = pb.Residuals()
        for field in message.DESCRIPTOR.fields:
            wire.fill(message, field.name, getattr(residuals, field.name)[start : start + _SLICE])
        yield pb.StateFrame(residuals=message).SerializeToString()


def parts(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Fill parts with pieces, in order; at least one part, which may be empty."""
    part: list[bytes] = []
    size = 0
    for piece in pieces:
        if part and size + len(piece) > _BODY_BYTES:
            yield b"".join(part)
            part, size = [], 0
        part.append(piece)
        size += len(piece)
    yield b"".join(part)


def _take(values: Array, rows: NDArray[np.int64] | None) -> Array:
    return values if rows is None else values[rows]


def dimension_of(name: str, columns: Mapping[str, tuple[str, str, str]]) -> str:
    """The dimension of a column: the catalogue's, else the element in its name (`trafo_p_hv_mw` -> `trafo`)."""
    return columns[name][0] if name in columns else name.split("_", 1)[0]
