"""Room for what is in flight: whoever asks for more than is free waits, in order of asking."""

from __future__ import annotations

import asyncio
from collections import deque


class Room:
    """A number of bytes to be shared.

    Args:
        size: of all; who asks for more than that gets in alone.
    """

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, wanted: int) -> int:
        """Wait until there is room; returns what is to be given back."""
        wanted = min(wanted, self._size)
        if self._waiting or wanted > self._free:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((wanted, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # it was granted in the same moment
                    self.give(wanted)
                raise
        else:
            self._free -= wanted
        return wanted

    def give(self, taken: int) -> None:
        """Free what was taken."""
        self._free += taken
        while self._waiting:
            wanted, turn = self._waiting[0]
            if not turn.done():
                if wanted > self._free:
                    return
                self._free -= wanted
                turn.set_result(None)
            self._waiting.popleft()
