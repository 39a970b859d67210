"""Measurement rows: packed columns of a message to arrays and back, under the column rule."""

from __future__ import annotations

from typing import Any

import numpy as np

from grid_models.measurements import Rows, TimeQuality, Validity
from grid_models.tables import Array
from twin import wire
from twin.api.v1 import common_pb2 as pb
from twin.edge.errors import bad

_NAMES = tuple(field.name for field in pb.MeasurementBatch.DESCRIPTOR.fields)
_BYTES = ("validity", "time_quality", "flags")


def rows_of(message: pb.MeasurementBatch) -> Rows:
    """Read a batch.

    Raises:
        BadRequest: a column has neither n, 1 nor 0 entries, or a required one is missing.
    """
    given = {name: getattr(message, name) for name in _NAMES}
    n = max(map(len, given.values()))
    timeless = not given["source_time_us"]
    if timeless and message.time_quality.strip(bytes((TimeQuality.NONE,))):
        raise bad("rows.source_time_us", "is missing, though time_quality claims that there is a time")

    def column(name: str, dtype: Any, default: int | None) -> Array:
        return _column(name, given[name], n, dtype, default)

    return Rows(
        signal=column("signal", np.uint32, None),
        value=column("value", np.float64, None),
        source_time_us=column("source_time_us", np.int64, 0),
        receive_time_us=np.zeros(n, dtype=np.int64),
        validity=column("validity", np.uint8, Validity.GOOD),
        time_quality=column("time_quality", np.uint8, TimeQuality.NONE if timeless else TimeQuality.SYNCED),
        flags=column("flags", np.uint8, 0),
        sequence=column("sequence", np.uint64, 0),
    )


def message_of(rows: Rows) -> pb.MeasurementBatch:
    """Write rows, every column in full."""
    message = pb.MeasurementBatch()
    for field in message.DESCRIPTOR.fields:
        wire.fill(message, field.name, getattr(rows, field.name))
    return message


def _column(name: str, raw: Any, n: int, dtype: Any, default: int | None) -> Array:
    if len(raw) == 0 and n and default is not None:
        return np.full(n, default, dtype=dtype)
    values = np.frombuffer(raw, dtype=np.uint8) if name in _BYTES else np.array(raw, dtype=dtype)
    if len(values) == n:
        return values
    if len(values) == 1:
        return np.full(n, values[0], dtype=dtype)
    raise bad(f"rows.{name}", f"has {len(values)} entries where the longest column has {n}; allowed: {n}, 1 or default")
