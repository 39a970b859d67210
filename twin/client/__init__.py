"""The client: blocking `TwinClient`, and `AsyncTwinClient` with the same methods. Needs the base install only."""

from twin.client.aio import AsyncTwinClient
from twin.client.blocking import TwinClient
from twin.client.errors import ClientError
from twin.client.frames import Frame
from twin.client.results import WhatIf
from twin.field_report import FieldReport, Level, Point, ReportKind
from twin.port import AckLevel, AsOf, Snapshot

__all__ = [
    "AckLevel",
    "AsOf",
    "AsyncTwinClient",
    "ClientError",
    "FieldReport",
    "Frame",
    "Level",
    "Point",
    "ReportKind",
    "Snapshot",
    "TwinClient",
    "WhatIf",
]
