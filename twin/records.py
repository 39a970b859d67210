"""The record of a twin from its first entry on: the journal, and the stretches that were cut off its beginning.

A stretch runs from one checkpoint to the next and lies compressed in a file of its own, named after where it begins on both
axes of time. So the state of any instant is computed from the checkpoint before it, a quarter of an hour away, however old
it is; and a start reads the journal from its newest checkpoint, however long the twin has lived.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from itertools import pairwise, takewhile
from pathlib import Path

from grid_models.state import Position
from twin.checkpoint import START, Mark
from twin.errors import NotFound
from twin.journal import Entry, EntryKind, Journal, entries_of, framed
from twin.packing import unpacked

_CHUNK_BYTES = 1 << 20


class Past:
    """Released stretches in one folder.

    Args:
        folder: it is made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def marks(self) -> list[Mark]:
        """Where the kept stretches begin, ascending."""
        found = []
        for path in self._folder.glob("*.past"):
            epoch, revision, sealed_us, heard_us = map(int, path.stem.split("_"))
            found.append(Mark(Position(epoch, revision), sealed_us, heard_us))
        return sorted(found)

    def keep(self, mark: Mark, entries: Iterable[Entry]) -> None:
        """Write a stretch; it is there whole or not at all.

        Raises:
            OSError: the disk is full.
        """
        draft = self._path(mark).with_suffix(".new")
        squeeze = zlib.compressobj(1)
        with draft.open("wb") as file:
            for entry in entries:
                file.write(squeeze.compress(framed(entry)))
            file.write(squeeze.flush())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path(mark))
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def read(self, mark: Mark) -> Iterator[Entry]:
        """The entries of the stretch that begins at `mark`."""
        squeezed, rest = zlib.decompressobj(), b""
        with self._path(mark).open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                rest += squeezed.decompress(chunk)
                for entry in entries_of(rest):
                    rest = rest[len(framed(entry)) :]
                    yield entry

    def drop(self, before_us: int) -> None:
        """Delete stretches of which nothing is asked for instants from `before_us` on."""
        for mark, following in pairwise(self.marks()):
            if following.sealed_us <= before_us:
                self._path(mark).unlink()

    def _path(self, mark: Mark) -> Path:
        return self._folder / f"{mark.position.epoch}_{mark.position.revision}_{mark.sealed_us}_{mark.heard_us}.past"


class Records:
    """A journal and its past as one.

    Args:
        journal: open.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.past = Past(journal.folder / "past")
        self._live = [self._mark_at(position) for position in journal.checkpoints]
        begun = set(self.past.marks())
        # A crash may have left a stretch in both; it is taken from the past.
        self._begins = next((m for m in [*([START] if journal.whole else []), *self._live] if m not in begun), START)

    def noticed(self, entry: Entry) -> None:
        """An entry has been appended to the journal."""
        if entry.kind is EntryKind.CHECKPOINT:
            self._live.append(unpacked(entry.payload).mark)

    def marks(self) -> list[Mark]:
        """Where one may begin to read, ascending."""
        return [*self.past.marks(), *(m for m in [self._begins, *self._live] if m >= self._begins)]

    def catalogue(self) -> int | None:
        """Revision of the point list in force at the end, None in a new store."""
        first = next(self.newest(), None)
        if first is None:
            return None
        body = unpacked(first.payload)
        return int(body.catalogue if first.kind is EntryKind.CHECKPOINT else body["catalogue"])

    def newest(self) -> Iterator[Entry]:
        """The entries from the newest checkpoint on; all where there is none."""
        return self.journal.read_after(_before(self._live[-1]) if self._live else None)

    def serving(self, valid_us: int, known_us: int | None) -> Iterator[Entry] | None:
        """What the state at `valid_us`, as it was known at `known_us`, is computed from; None where it is too old."""
        fit = [m for m in self.marks() if m.serves(valid_us, known_us)]
        return self.read_from(fit[-1]) if fit else None

    def read_from(self, mark: Mark) -> Iterator[Entry]:
        """Every entry from a mark on."""
        while mark in self.past.marks():
            yield from self.past.read(mark)
            mark = min(m for m in self.marks() if m > mark)
        yield from self.journal.read_after(_before(mark))

    def read_after(self, position: Position) -> Iterator[Entry]:
        """Every kept entry after a position."""
        if position >= _before(self._begins):
            yield from self.journal.read_after(position)
            return
        marks = self.marks()
        first = max((m for m in marks if m.position <= position), default=marks[0])
        yield from (e for e in self.read_from(first) if e.position > position)

    def release(self, sealed: Position) -> None:
        """Cut the journal before its newest checkpoint but one, as far as the archive has its measurements.

        Raises:
            Unavailable: the journal cannot be written.
            OSError: the disk is full.
        """
        done = [m for m in self._live if m.position <= min(sealed, self.journal.last)]
        if len(done) < 2 or done[-2] <= self._begins:
            return
        cut = done[-2]
        for begin, end in pairwise([m for m in [self._begins, *done] if self._begins <= m <= cut]):
            entries = self.journal.read_after(_before(begin))
            self.past.keep(begin, takewhile(lambda e, end=end: e.position < end.position, entries))  # type: ignore[misc]
        self.journal.release(cut.position)
        self._begins = cut
        del self._live[: self._live.index(cut)]  # in place: the loop may append meanwhile

    def _mark_at(self, position: Position) -> Mark:
        entry = next(self.journal.read_after(_before(Mark(position, 0, 0))))
        mark: Mark = unpacked(entry.payload).mark
        return mark


def read_records(folder: Path) -> Iterator[Entry]:
    """Every kept entry of a store, beside a service that may be writing to it.

    Raises:
        NotFound: there is no journal in this folder.
    """
    path = folder / "journal.sqlite"
    if not path.exists():
        raise NotFound(f"no journal in {folder}")
    last = Position(0, 0)
    past = Past(folder / "past")
    # The journal is opened first: what is cut from it meanwhile is still seen in it.
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = reader.execute("SELECT body FROM groups ORDER BY n")
        first = rows.fetchone()
        for mark in past.marks():
            for entry in past.read(mark):
                last = entry.position
                yield entry
        while first is not None:
            yield from (e for e in entries_of(first[0]) if e.position > last)
            first = rows.fetchone()
    finally:
        reader.close()


def _before(mark: Mark) -> Position:
    return Position(mark.position.epoch, mark.position.revision - 1)
