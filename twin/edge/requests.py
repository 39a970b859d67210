"""What a request's fields must be: names, instants, selections; each refusal names the field."""

from __future__ import annotations

from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from grid_models.state import Position
from twin import wire
from twin.edge.errors import bad
from twin.errors import NotFound, Unavailable
from twin.port import AsOf, NetworkInfo, Twin

ANY = "-"


def twin_of(twin: Twin, name: str, field: str) -> None:
    """Check that `twins/{twin}` is the one served."""
    parts = name.split("/")
    if len(parts) != 2 or parts[0] != "twins" or not parts[1]:
        raise bad(field, f"must look like twins/{twin.name}, is {name!r}")
    _same_twin(twin, parts[1])


def child_of(twin: Twin, name: str, collection: str, field: str) -> str:
    """The id in `twins/{twin}/{collection}/{id}`."""
    parts = name.split("/", 3)
    if len(parts) != 4 or parts[0] != "twins" or parts[2] != collection or not parts[3]:
        raise bad(field, f"must look like twins/{twin.name}/{collection}/..., is {name!r}")
    _same_twin(twin, parts[1])
    return parts[3]


def network_of(twin: Twin, name: str, field: str = "network") -> NetworkInfo:
    """The network that a resource name means."""
    wanted = child_of(twin, name, "networks", field)
    for info in twin.networks():
        if info.name == wanted:
            return info
    known = ", ".join(info.name for info in twin.networks())
    raise NotFound(f"no network {wanted!r}; there are: {known}")


def said(text: str, field: str, most: int, *, needed: bool) -> None:
    """Check the length of what somebody wrote."""
    if len(text) > most or (needed and not text.strip()):
        raise bad(field, f"must have {int(needed)} to {most} characters")


def instant(message: Any, field: str) -> int:
    """A required Timestamp field as Unix time [us]."""
    if not message.HasField(field):
        raise bad(field, "is required")
    return _micros(getattr(message, field), field)


def optional_instant(message: Any, field: str) -> int | None:
    """An optional Timestamp field as Unix time [us]."""
    return _micros(getattr(message, field), field) if message.HasField(field) else None


def interval(message: Any) -> tuple[int, int]:
    """`start_time` and `end_time` [us]; the end must not lie before the start."""
    start, end = instant(message, "start_time"), instant(message, "end_time")
    if end < start:
        raise bad("end_time", "lies before start_time")
    return start, end


def span(message: Any, field: str, longest_s: float) -> float:
    """An optional Duration field in seconds, 0 where absent, within [0, longest_s]."""
    value: Duration = getattr(message, field)
    length = wire.seconds(value)
    if not (0 <= length <= longest_s and abs(value.nanos) < 1_000_000_000):
        raise bad(field, f"must be 0 to {longest_s:g} s, is {length:g} s")
    return length


def position(message: Any) -> Position:
    """A Position message as a value."""
    return Position(int(message.epoch), int(message.revision))


def newest(twin: Twin, network: str) -> Position | None:
    """The newest published position of a network, None before the first."""
    try:
        found = twin.position(network)
    except Unavailable:
        return None
    return found if found.revision else None


def at(message: Any) -> Position | AsOf | None:
    """An At message; None = the newest state."""
    kind = message.WhichOneof("kind")
    if kind == "position":
        return position(message.position)
    if kind == "as_of":
        valid = instant(message.as_of, "valid_time")
        return AsOf(valid, optional_instant(message.as_of, "known_time"))
    return None


def page(size: int, token: str, *, default: int, largest: int) -> tuple[int, int]:
    """Page size and the number behind which the page starts."""
    if size < 0 or size > largest:
        raise bad("page_size", f"must be 0 to {largest}, is {size}")
    if token and not (token.isascii() and token.isdigit() and len(token) <= 20):
        raise bad("page_token", "is none that this server gave")
    return size or default, int(token or 0)


def _micros(time: Timestamp, field: str) -> int:
    try:
        return wire.micros(time)
    except ValueError as error:
        raise bad(field, str(error)) from error


def _same_twin(twin: Twin, name: str) -> None:
    if name not in (ANY, twin.name):
        raise NotFound(f"no twin {name!r} here; this one is {twin.name!r}")
