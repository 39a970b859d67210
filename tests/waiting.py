"""Waits for what sets no event, because only tests want to know when it has come."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = 60.0) -> None:
    """Ask again and again.

    Args:
        holds: what is waited for.
        within_s: how long at most.

    Raises:
        TimeoutError: it has not come.
    """
    async with asyncio.timeout(within_s):
        while not await holds():  # noqa: ASYNC110 - an event would have to be set by code that nobody but a test waits for
            await asyncio.sleep(0.001)
