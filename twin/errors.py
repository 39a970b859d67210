"""Every error the core raises on purpose, with the gRPC code and the exit status it turns into.

The edge knows no other table; tests/house checks that each error is listed in docs/errors.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from grid_models.errors import Issue


class TwinError(Exception):
    """A refusal or failure with a name.

    Args:
        message: names the culprit and what to do.
        issues: one per fault where several were found.
    """

    grpc_code: ClassVar[str] = "INTERNAL"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, issues: Sequence[Issue] = ()) -> None:
        self.issues = tuple(issues)
        super().__init__(message)


class BadRequest(TwinError):
    """The request itself is wrong."""

    grpc_code = "INVALID_ARGUMENT"
    exit_status = 2

    @classmethod
    def of(cls, field: str, message: str) -> BadRequest:
        """The refusal of one field; `field` is its path, such as `selection.columns[2]`."""
        return cls(f"{field}: {message}", [Issue("request", field, (), message)])


class NotFound(TwinError):
    """A named thing does not exist."""

    grpc_code = "NOT_FOUND"
    exit_status = 2


class PreconditionFailed(TwinError):
    """The request was right for another state of the twin: reopen, re-read the catalogue, take a new etag."""

    grpc_code = "FAILED_PRECONDITION"
    exit_status = 2


class TooOld(TwinError):
    """Asked for something no longer kept; the message names the oldest kept."""

    grpc_code = "OUT_OF_RANGE"
    exit_status = 2


class Exhausted(TwinError):
    """Disk, memory or a stream's window is full; reads go on."""

    grpc_code = "RESOURCE_EXHAUSTED"
    exit_status = 4


class Unavailable(TwinError):
    """Not ready, stopping, or the lease was lost."""

    grpc_code = "UNAVAILABLE"
    exit_status = 4


class Damaged(TwinError):
    """The journal is damaged at the named position; ingest is stopped, reads up to there are served."""

    grpc_code = "DATA_LOSS"
    exit_status = 4


class TooSlow(TwinError):
    """The caller did not do its part in time."""

    grpc_code = "DEADLINE_EXCEEDED"
    exit_status = 4
