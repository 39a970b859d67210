"""Hearing silence: a stream that tells when nothing came for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

T = TypeVar("T")

HEARTBEAT_S = 5.0


async def with_beats(source: AsyncIterator[T], every_s: float = HEARTBEAT_S) -> AsyncGenerator[T | None, None]:
    """What `source` yields, and None after every `every_s` seconds in which it yielded nothing."""
    coming = asyncio.ensure_future(anext(source))
    try:
        while True:
            done, _ = await asyncio.wait({coming}, timeout=every_s)
            if not done:
                yield None
                continue
            try:
                item = coming.result()
            except StopAsyncIteration:
                return
            yield item
            # Asked for only now: what comes while the reader is busy is the source's to merge.
            coming = asyncio.ensure_future(anext(source))
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()
