"""The door of every rpc: parses requests itself and turns every error into a listed status.

grpc answers INTERNAL to a body that does not parse and UNKNOWN to an exception. Here requests arrive as bytes, a bad
body is INVALID_ARGUMENT, and what the core raises becomes the code that `twin.edge.errors` gives it. It wraps every
handler of the server, so health and reflection answer alike.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from twin.edge.errors import refuse
from twin.errors import BadRequest

_FACTORY = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
_BEHAVIOUR = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}


class Door(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc publishes no types
    """Replaces each handler by one that takes bytes and never ends in UNKNOWN."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Wrap the handler that the server found; an unknown method stays UNIMPLEMENTED."""
        handler = await continuation(handler_call_details)
        return handler if handler is None else _guarded(handler)


def _guarded(handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
    kind = (handler.request_streaming, handler.response_streaming)
    behaviour = getattr(handler, _BEHAVIOUR[kind])
    parse, serialise = handler.request_deserializer, handler.response_serializer

    def read(body: Any) -> Any:
        return _stream(parse, body) if handler.request_streaming else _parsed(parse, body)

    async def single(body: Any, context: grpc.aio.ServicerContext) -> Any:
        async with _named(context):
            return await behaviour(read(body), context)

    async def stream(body: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        async with _named(context), aclosing(behaviour(read(body), context)) as responses:
            async for response in responses:
                yield response

    def written(response: Any) -> bytes:
        return response if isinstance(response, bytes) else bytes(serialise(response))

    call = stream if inspect.isasyncgenfunction(behaviour) else single
    return _FACTORY[kind](call, None, written)


@asynccontextmanager
async def _named(context: grpc.aio.ServicerContext) -> AsyncIterator[None]:
    try:
        yield
    except grpc.aio.AbortError:
        raise
    except Exception as error:  # noqa: BLE001 - the last door: it names what falls through, and logs it
        await refuse(context, error)


async def _stream(parse: Callable[[bytes], Any], bodies: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for body in bodies:
        yield _parsed(parse, body)


def _parsed(parse: Callable[[bytes], Any], body: bytes) -> Any:
    try:
        return parse(body)
    except DecodeError as error:
        raise BadRequest(f"the body is no message of this rpc: {error}") from error
