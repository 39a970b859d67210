"""What the service refused, as one exception with code, culprits and exit status."""

from __future__ import annotations

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

_EXIT = {
    "INVALID_ARGUMENT": 2,
    "NOT_FOUND": 2,
    "FAILED_PRECONDITION": 2,
    "OUT_OF_RANGE": 2,
    "ALREADY_EXISTS": 2,
    "INTERNAL": 1,
    "UNKNOWN": 1,
}
_UNREACHABLE = 4
# grpc.aio's client, when the service ended a stream during a write: the service's own status is lost.
_LOST = (grpc.StatusCode.INTERNAL, "Internal error from Core")


class ClientError(Exception):
    """A call that was refused or did not get through.

    Args:
        code: name of the gRPC status, such as `NOT_FOUND`.
        message: names the culprit and what to do.
        reason: the service's own name of the error, empty where it told none.
        violations: (field, what is wrong with it), one a fault.
    """

    def __init__(self, code: str, message: str, reason: str = "", violations: tuple[tuple[str, str], ...] = ()) -> None:
        self.code = code
        self.reason = reason
        self.violations = violations
        told = [f"{field}: {text}" if field else text for field, text in violations if text not in message]
        super().__init__("\n".join([message or code, *told]))

    @property
    def exit_status(self) -> int:
        """2 = mend the request; 4 = unreachable, busy or denied; 1 = a fault of the service."""
        return _EXIT.get(self.code, _UNREACHABLE)

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed a little later."""
        return self.code == "UNAVAILABLE"


def translated(error: grpc.RpcError) -> ClientError:
    """The ClientError of a failed call."""
    if (error.code(), error.details()) == _LOST:
        return ClientError("UNAVAILABLE", "the stream ended while it was written to")
    reason, violations = "", []
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad):
            violations += [(v.field, v.description) for v in bad.field_violations]
    return ClientError(error.code().name, error.details() or "", reason, tuple(violations))
