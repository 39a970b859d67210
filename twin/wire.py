"""Between numpy and protobuf messages: packed columns, times, names. Used by the edge and by the client.

A packed field is filled by handing the parser its wire form, which costs a memory copy; assigning element by element
costs a Python object for each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray

# Years 1 to 9999, what google.protobuf.Timestamp allows [s].
_EARLIEST_S, _LATEST_S = -62_135_596_800, 253_402_300_799
_MICROS = 1_000_000
_LENGTH_DELIMITED = 2
# Little-endian, as the wire wants it; by protobuf type of the field.
_TYPES = {1: "<f8", 2: "<f4", 6: "<u8", 7: "<u4", 15: "<i4", 16: "<i8"}


class _Message(Protocol):
    DESCRIPTOR: Any

    def MergeFromString(self, data: bytes) -> int: ...  # noqa: N802 - protobuf's name


def fill(message: _Message, field: str, values: NDArray[Any]) -> None:
    """Append `values` to a packed field of fixed width, or set a bytes field.

    Args:
        message: to be changed.
        field: its name.
        values: (n,) convertible to the field's type.
    """
    if not len(values):
        return
    described = message.DESCRIPTOR.fields_by_name[field]
    if described.type == described.TYPE_BYTES:
        setattr(message, field, np.ascontiguousarray(values, dtype=np.uint8).tobytes())
        return
    packed = np.ascontiguousarray(values, dtype=_TYPES[described.type]).tobytes()
    message.MergeFromString(delimited(described.number, (packed,)))


def delimited(number: int, parts: Iterable[bytes]) -> bytes:
    r"""A length-delimited field on the wire: tag, length, contents.

    >>> delimited(1, (b"ab", b"c"))
    b'\n\x03abc'
    """
    content = b"".join(parts)
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def micros(time: Timestamp) -> int:
    """Unix time [us].

    Raises:
        ValueError: outside the years 1 to 9999, or nanoseconds outside [0, 1e9).
    """
    if not (_EARLIEST_S <= time.seconds <= _LATEST_S and 0 <= time.nanos < 1_000_000_000):
        raise ValueError("is no valid Timestamp: years 1 to 9999, nanos 0 to 999999999")
    return int(time.seconds) * _MICROS + int(time.nanos) // 1000


def timestamp(us: int) -> Timestamp:
    """The Timestamp of a Unix time [us]."""
    seconds, rest = divmod(int(us), _MICROS)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def seconds(duration: Duration) -> float:
    """A Duration in seconds."""
    return float(duration.seconds) + float(duration.nanos) * 1e-9


def duration(value_s: float) -> Duration:
    """The Duration of some seconds, to the nanosecond."""
    whole, part = divmod(round(value_s * 1e9), 1_000_000_000)
    return Duration(seconds=whole, nanos=part)


def network_name(twin: str, network: str) -> str:
    """The resource name of a network."""
    return f"twins/{twin}/networks/{network}"


def last_segment(name: str) -> str:
    """The own id in a resource name: `twins/t/networks/n` -> `n`; a network's id may hold slashes.

    >>> last_segment("twins/city/networks/mv")
    'mv'
    """
    return name.split("/", 3)[-1]
