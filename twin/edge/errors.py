"""From the core's named errors to gRPC statuses with google.rpc details; the one table of both sides."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from grid_models.errors import InvalidInput, Issue
from solvers.solution import Unsolvable
from twin.errors import BadRequest, TwinError

_LOG = logging.getLogger(__name__)
DOMAIN = "city-twin"
# Details travel as a header; HTTP/2 peers allow 8 KiB of them in all, base64 included.
_SHOWN_ISSUES = 10
_SHOWN_CHARACTERS = 200
_MESSAGE_CHARACTERS = 1000


def bad(field: str, message: str) -> BadRequest:
    """The refusal of one request field; see `BadRequest.of`."""
    return BadRequest.of(field, message)


def status_of(error: Exception) -> status_pb2.Status:
    """The google.rpc.Status that tells an error: code, message, ErrorInfo with its name, BadRequest with its issues.

    A fault of ours becomes INTERNAL with the exception's name; its traceback goes to the log.
    """
    issues: Sequence[Issue] = ()
    if isinstance(error, TwinError):
        code, issues = error.grpc_code, error.issues
    elif isinstance(error, InvalidInput):
        code, issues = "INVALID_ARGUMENT", error.issues
    elif isinstance(error, Unsolvable):
        code = "FAILED_PRECONDITION"
    elif isinstance(error, MemoryError):
        code = "RESOURCE_EXHAUSTED"
    elif isinstance(error, NotImplementedError):  # generated code raises it, for the methods of health that we lack
        code = "UNIMPLEMENTED"
    else:
        _LOG.error("a fault of ours", exc_info=error)
        code, error = "INTERNAL", RuntimeError(f"a fault of ours: {type(error).__name__}: {error}")
    reason = type(error).__name__
    details: list[AnyMessage] = [_packed(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))]
    if issues:
        details.append(_packed(_violations(issues)))
    return status_pb2.Status(
        code=code_pb2.Code.Value(code), message=_cut(str(error) or reason, _MESSAGE_CHARACTERS), details=details
    )


async def refuse(context: grpc.aio.ServicerContext, error: Exception) -> None:
    """End the call with the error's status."""
    status = rpc_status.to_status(status_of(error))
    await context.abort(status.code, status.details, status.trailing_metadata)


def _violations(issues: Sequence[Issue]) -> error_details_pb2.BadRequest:
    told = error_details_pb2.BadRequest()
    for issue in issues[:_SHOWN_ISSUES]:
        path = issue.field if issue.component == "request" else ".".join(p for p in (issue.component, issue.field) if p)
        text = issue.message if issue.component == "request" else str(issue)
        told.field_violations.add(field=_cut(path, _SHOWN_CHARACTERS), description=_cut(text, _SHOWN_CHARACTERS))
    if len(issues) > _SHOWN_ISSUES:
        told.field_violations.add(field="", description=f"and {len(issues) - _SHOWN_ISSUES} more")
    return told


def _packed(detail: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(detail)
    return packed


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 3] + "..."
