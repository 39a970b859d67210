"""What was measured, for whoever asks: the archive's rows and those that are not sealed yet; and the sealer that moves them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time

import numpy as np

from grid_models.measurements import Rows
from grid_models.state import Position
from twin.archive import Archive
from twin.errors import TooOld, TwinError
from twin.journal import EntryKind
from twin.packing import unpacked
from twin.records import Records
from twin.replay import measurements
from twin.samples import sample_time

log = logging.getLogger(__name__)

_SEAL_S = 2.0
_SEAL_ROWS = 200_000
_FIRST_CHUNK_SIGNALS = 5  # the first chunk of an answer is a day of so many signals, or less of more
_CHUNK_ROWS = 1 << 19  # how large the next ones are, as far as rows come evenly: each is a question to a day's file
_DAY_US = 86_400_000_000


class History:
    """Records and archive of one store.

    Args:
        records: what happened; rows come from here.
        keep_us: how long rows are kept; None = for ever.
        now_us: the twin's now.

    Attributes:
        archive: rows that have been sealed.
        trouble: why the last sealing failed, empty where it did not.
    """

    def __init__(self, records: Records, keep_us: int | None, now_us: Callable[[], int]) -> None:
        self.archive = Archive(records.journal.folder / "archive")
        self.trouble = ""
        self._records, self._keep_us, self._now_us = records, keep_us, now_us
        self._sealer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sealer")

    def close(self) -> None:
        """Let the sealer end, and the archive go."""
        self._sealer.shutdown(wait=True, cancel_futures=True)
        self.archive.close()

    async def read(self, signals: tuple[int, ...], start_us: int, end_us: int, known_us: int | None) -> AsyncIterator[Rows]:
        """Admitted rows by the time at which they stand: the archive's in order of time, then what is not sealed yet.

        Raises:
            TooOld: it asks for rows from before what is kept.
        """
        loop = asyncio.get_running_loop()
        if start_us < self._kept_from_us():
            raise TooOld(f"measurements are kept from {np.datetime64(self._kept_from_us(), 'us')} on")
        through = self.archive.sealed
        days = self.archive.days(start_us, end_us)
        step = max(1, _DAY_US * _FIRST_CHUNK_SIGNALS // max(_FIRST_CHUNK_SIGNALS, len(signals)))
        for day in days:
            first = round(datetime.combine(day, time(), UTC).timestamp()) * 1_000_000
            begin, last = max(start_us, first), min(end_us, first + _DAY_US)
            while begin < last:
                end = min(last, begin + step)
                rows = await loop.run_in_executor(None, self.archive.window, signals, begin, end, known_us, through)
                step = max(1, min(_DAY_US, (end - begin) * _CHUNK_ROWS // max(1, len(rows))))
                begin = end
                if len(rows):
                    yield rows
        wanted = np.array(sorted(signals), dtype=np.uint32)
        unsealed = measurements(self._records.read_after(through))
        while (tail := await loop.run_in_executor(None, next, unsealed, None)) is not None:
            times = sample_time(tail)
            mine = np.isin(tail.signal, wanted) & (times >= start_us) & (times < end_us)
            if known_us is not None:
                mine &= tail.receive_time_us <= known_us
            if mine.any():
                yield tail.take(mine)

    async def keep_sealing(self) -> None:
        """Seal again and again."""
        while True:
            await asyncio.sleep(_SEAL_S)
            try:
                await asyncio.get_running_loop().run_in_executor(self._sealer, self.seal)
            except (TwinError, OSError) as error:
                # The journal has it all; a later round takes up where this one ended.
                log.warning("sealing failed reason=%s", error)
                self.trouble = str(error)
            else:
                self.trouble = ""

    def seal(self) -> None:
        """Move rows from the journal to the archive."""
        batches: list[tuple[Position, Rows]] = []
        size = entries = 0
        for entry in self._records.read_after(self.archive.sealed):
            entries += 1
            if entry.kind is EntryKind.ROWS:
                batches.append((entry.position, unpacked(entry.payload)["rows"]))
                size += len(batches[-1][1])
            if size >= _SEAL_ROWS or entries >= _SEAL_ROWS:
                self.archive.seal(batches, entry.position)
                batches, size, entries = [], 0, 0
        if entries:
            self.archive.seal(batches, entry.position)
        self._records.release(self.archive.sealed)
        if (kept_from := self._kept_from_us()) > 0:
            self.archive.drop(datetime.fromtimestamp(kept_from / 1e6, UTC).date())
            self._records.past.drop(kept_from)

    def _kept_from_us(self) -> int:
        """The first midnight of what is kept, 0 where all is."""
        if self._keep_us is None:
            return 0
        return max(0, self._now_us() - self._keep_us) // _DAY_US * _DAY_US
