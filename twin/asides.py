"""What is asked aside of the live twin: on a thread of its own, so that what takes long holds up nobody but its like."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import Any, TypeVar

from solvers.solution import Cancelled

T = TypeVar("T")


class Asides:
    """One thread, which does one thing after the other."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="what-if")

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a function."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(function, *arguments))

    async def stoppable(self, function: Callable[[Cancelled], T]) -> T:
        """Run what may take long; it stops soon after whoever asked has gone."""
        gone = Event()
        try:
            return await self.run(function, gone.is_set)
        finally:
            gone.set()

    def close(self) -> None:
        """Finish what is under way, and drop what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)
