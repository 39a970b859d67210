"""What a what-if starts from: a network file, or a living twin at an instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from grid_models.errors import InvalidInput, Issue
from twin.cli.console import parse_instant


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
