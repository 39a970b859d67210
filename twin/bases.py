"""What a what-if starts from: a network file, or a living twin at an instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from grid_models.errors import InvalidInput, Issue


@dataclass(frozen=True)
class LiveBase:
    """A network of a service, now or at a past instant."""

    address: str
    network: str
    at: datetime | None


def live_base(text: str) -> LiveBase | None:
    """Read `grpc://host:port/network@2026-11-21T18:00`; None where it is a file instead.

    Raises:
        InvalidInput: it begins with grpc:// and names no network.

    >>> live_base("grpc://localhost:50051/power").network
    'power'
    """
    if not text.startswith("grpc://"):
        return None
    address, _, rest = text.removeprefix("grpc://").partition("/")
    network, _, instant = rest.partition("@")
    if not address or not network:
        raise InvalidInput([Issue("base", "", (text,), "must be grpc://host:port/network or grpc://host:port/network@instant")])
    return LiveBase(address, network, parse_instant(instant) if instant else None)


def parse_instant(text: str) -> datetime:
    """A UTC instant from ISO 8601; without an offset it is taken as UTC.

    Raises:
        InvalidInput: it is no ISO 8601 instant.

    >>> parse_instant("2026-11-21T18:00").isoformat()
    '2026-11-21T18:00:00+00:00'
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput([Issue("instant", "", (text,), "is no ISO 8601 instant such as 2026-11-21T18:00")]) from None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
