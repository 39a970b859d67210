"""Whatever bytes arrive: the answer is a code that the rpc lists, never UNKNOWN or INTERNAL, and nothing changes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.edge.memory_twin import START_US, MemoryTwin
from tests.house.proto_sources import listed_codes
from tests.proof import proof
from twin.edge.server import SERVICES

POOL = descriptor_pool.Default()
FOREIGN = ("grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection")
METHODS = [m for name in (*SERVICES, *FOREIGN) for m in POOL.FindServiceByName(name).methods]
# What grpc.aio's client says of itself, when the server's answer came while it was still writing: ask again.
LOST = (grpc.StatusCode.INTERNAL, "Internal error from Core")
# A stream without an end.
ALIVE = "alive"
NAMES = ("twins/-", "twins/test/networks/mv", "twins/test/signals/100", "twins/test/alarms/a1", "bus_vm_pu", "bus", "-")
TEXTS = (
    *NAMES,
    "",
    "\0",
    "twins//networks/",
    "x" * 5000,
    "٣",
    "[[change]]\nremove = { element = 'line 10' }",
    "a" * 300,
)
NUMBERS = (0, 1, -1, 2, 7, 100, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1, START_US)
FLOATS = (0.0, -0.0, 1.0, float("nan"), float("inf"), float("-inf"), 1e308, 5e-324)


async def answer(channel: grpc.aio.Channel, method: Any, bodies: list[bytes], patience_s: float = 0.2) -> str:
    """Name of the code that ended the call, ALIVE where it went on."""
    path = f"/{method.containing_service.full_name}/{method.name}"

    async def sent() -> AsyncIterator[bytes]:
        for body in bodies:
            yield body

    try:
        endless = method.server_streaming or method.client_streaming
        async with asyncio.timeout(patience_s if endless else 60.0):
            if method.client_streaming:
                call = channel.stream_stream(path)(sent())
            elif method.server_streaming:
                call = channel.unary_stream(path)(bodies[0])
            else:
                await channel.unary_unary(path)(bodies[0])
                return "OK"
            async for _ in call:
                pass
    except TimeoutError:
        return ALIVE
    except grpc.aio.AioRpcError as error:
        if (error.code(), error.details()) == LOST:
            return await answer(channel, method, bodies, patience_s)
        return error.code().name
    return "OK"


def allowed(method: Any) -> set[str]:
    if method.containing_service.full_name in FOREIGN:
        return {"OK", ALIVE, "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED"}
    streams = {ALIVE} if method.server_streaming else set()
    return {*listed_codes(method.containing_service.name, method.name), *streams}


def fuzzed(descriptor: Any, chance: random.Random, depth: int = 0) -> Message:
    """A message of the right type with wrong contents."""
    message = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if chance.random() < 0.3 or depth > 4:
            continue
        try:
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                continue
            if field.is_repeated:
                values = [value(field, chance, depth) for _ in range(chance.choice((0, 1, 2, 5)))]
                getattr(message, field.name).extend(values)
            elif field.type == FieldDescriptor.TYPE_MESSAGE:
                getattr(message, field.name).CopyFrom(value(field, chance, depth))
            else:
                setattr(message, field.name, value(field, chance, depth))
        except ValueError:  # a number that the field cannot hold
            continue
    return message


def value(field: Any, chance: random.Random, depth: int) -> Any:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return fuzzed(field.message_type, chance, depth + 1)
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return chance.choice(FLOATS)
    if field.type == FieldDescriptor.TYPE_STRING:
        return chance.choice(TEXTS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return chance.randbytes(chance.choice((0, 1, 3)))
    return bool(chance.getrandbits(1)) if field.type == FieldDescriptor.TYPE_BOOL else chance.choice(NUMBERS)


MALFORMED = ([b"\xff" * 11], [b"\x0a\xff\xff\xff\xff\x0f"], [b"\x0a\x02\xc3\x28"], [b"\x0b" * 200], [b""])


async def withstands(method: Any, core: MemoryTwin, channel: grpc.aio.Channel, chance: random.Random, n: int) -> int:
    """Send `n` random and `n` well-formed wrong requests at once; the number of bodies."""
    core.publish()
    core.tell()
    states, signals = len(core.states), core.catalogue
    random_bodies = [[chance.randbytes(chance.choice((1, 2, 8, 40, 300)))] for _ in range(n)]
    bodies = 3 if method.client_streaming else 1
    structured = [[fuzzed(method.input_type, chance).SerializeToString() for _ in range(bodies)] for _ in range(n)]
    requests = [*MALFORMED, *random_bodies, *structured]
    codes = await asyncio.gather(*(answer(channel, method, b) for b in requests))
    assert set(codes) <= allowed(method)
    assert core.catalogue is signals
    if method.containing_service.name != "IngestService":
        assert len(core.states) == states
    return sum(map(len, requests))


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.full_name.removeprefix("twin.api.v1."))
async def test_every_body_gets_a_listed_code(method: Any, core: MemoryTwin, channel: grpc.aio.Channel) -> None:
    await withstands(method, core, channel, random.Random(method.full_name), 25)
    if method.containing_service.full_name not in FOREIGN:
        assert await answer(channel, method, MALFORMED[0], patience_s=20.0) == "INVALID_ARGUMENT"


@pytest.mark.heavy
async def test_a_million_bodies_get_listed_codes(core: MemoryTwin, channel: grpc.aio.Channel) -> None:
    chance, node = random.Random(20261125), "tests/edge/test_hostile_bodies.py"
    with proof("hostile bodies", "every answer is a code that the rpc lists, and no state changes", "bodies", node) as tally:
        while tally.count < 1_000_000:
            for method in METHODS:
                tally.count += await withstands(method, core, channel, chance, 250)
            core.forget()
            print(f"{tally.count:,} bodies")


async def test_too_large_a_message_is_refused_by_name(channel: grpc.aio.Channel) -> None:
    for method in METHODS:
        if method.containing_service.full_name not in FOREIGN:
            assert await answer(channel, method, [b"\x0a" + b"\xff" * (5 << 20)], 10.0) == "RESOURCE_EXHAUSTED"


async def test_an_unknown_method_is_unimplemented(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary("/twin.api.v1.StateService/Command")(b"")
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
