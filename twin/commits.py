"""What the journal's thread has written, told to the event loop: once for all since it last looked, in order."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial

from grid_models.state import Position
from twin.errors import TwinError
from twin.journal import Entry, Journal

log = logging.getLogger(__name__)


class Commits:
    """Entries into the journal, and word of them back.

    Args:
        journal: of the store.
        committed: told on the loop through which position the journal holds everything.

    Attributes:
        failure: why the journal holds no more; None while it does.
    """

    def __init__(self, journal: Journal, committed: Callable[[Position], None]) -> None:
        self._journal, self._committed = journal, committed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._written: deque[tuple[Position, TwinError | None]] = deque()  # from the journal's thread
        self._waiting: deque[tuple[Position, asyncio.Future[None]]] = deque()
        self.failure: TwinError | None = None

    def append(self, entry: Entry) -> None:
        """Give an entry to the journal."""
        self._loop = asyncio.get_running_loop()
        self._journal.append(entry, partial(self._from_journal, entry.position))

    def holds(self, position: Position) -> asyncio.Future[None]:
        """Done when the journal holds everything through `position`; to be asked in the order of positions."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((position, done))
        return done

    def _from_journal(self, position: Position, error: TwinError | None) -> None:
        """On the journal's thread."""
        assert self._loop is not None
        self._written.append((position, error))
        if len(self._written) == 1 and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hear)

    def _hear(self) -> None:
        while self._written:
            position, error = self._written.popleft()
            while error is None and self._written and self._written[0][1] is None:
                position = self._written.popleft()[0]
            self._tell(position, error)

    def _tell(self, position: Position, error: TwinError | None) -> None:
        if error is not None:
            if self.failure is None:
                log.error("journal failed position=%s reason=%s", tuple(position), error)
            self.failure = error
        while self._waiting and self._waiting[0][0] <= position:
            waiting = self._waiting.popleft()[1]
            if waiting.done():  # its caller has gone
                continue
            if error is None:
                waiting.set_result(None)
            else:
                waiting.set_exception(error)
        if error is None:
            self._committed(position)
