"""The journal: what DURABLE means.

SQLite in WAL mode with synchronous=FULL. Entries are appended by a thread of its own, which groups what arrives within
20 ms or 1 MiB into one row and one fsync. Each row carries a checksum chained to the row before:

    check_n = sha256(check_(n-1) | body_n)

so a changed, missing or reordered row is noticed. A tail that vanished whole would leave a valid chain; therefore the
number of the last row is also kept in a file of its own, written after each commit.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic, sleep

from grid_models.state import Position
from twin.errors import Damaged, Exhausted, NotFound, TwinError, Unavailable

_GROUP_S = 0.02
_GROUP_BYTES = 1 << 20
_RETRY_S = 0.5
_HEAD = struct.Struct("<QQBI")  # epoch, revision, kind, length


class EntryKind(IntEnum):
    """What an entry holds."""

    START = 1  # a twin began: models, catalogue
    ROWS = 2  # admitted measurements of one batch
    TOPICAL = 3  # signals that lost their publisher, or found it again
    STATE = 4  # digest of a published state
    KEYFRAME = 5  # a whole state, and what its watches remember
    EVENT = 6


@dataclass(frozen=True)
class Entry:
    """One fact, in order."""

    position: Position
    kind: EntryKind
    payload: bytes


Done = Callable[[TwinError | None], None]


class Journal:
    """An append-only journal in one folder.

    Args:
        folder: of the store.

    Raises:
        Damaged: the file is no journal at all.

    Attributes:
        report: what was found damaged when it was opened, in words; empty when nothing was.
        full: whether the disk is full: appended entries wait in order and are written when there is room again.
        damaged: the position after which entries cannot be trusted, None when all can; appending is then refused.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._path = folder / "journal.sqlite"
        self._db = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("CREATE TABLE IF NOT EXISTS groups (n INTEGER PRIMARY KEY, body BLOB, chain BLOB)")
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise Damaged(f"{self._path} cannot be opened: {error}; restore it from a backup") from None
        self._count = os.open(folder / "journal.count", os.O_RDWR | os.O_CREAT, 0o644)
        self.report: tuple[str, ...] = ()
        self.damaged: Position | None = None
        self.last = Position(0, 0)
        self.full = False
        self._failed: TwinError | None = None
        self._closing = False
        self._n, self._chain = self._verify()
        self._queue: SimpleQueue[tuple[Entry, Done] | None] = SimpleQueue()
        self._thread = Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()

    def append(self, entry: Entry, done: Done) -> None:
        """Append an entry; `done` is called on the journal's thread once it is on disk, or with what prevented it."""
        if self.damaged is not None:
            done(Damaged(f"the journal is damaged after position {tuple(self.damaged)}; nothing more is written to it"))
            return
        self._queue.put((entry, done))

    def read_after(self, position: Position | None = None) -> Iterator[Entry]:
        """Every durable entry after `position`, in order; all of them where it is None."""
        # An iterator may be carried on by another thread of a pool.
        reader = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, check_same_thread=False)
        try:
            first = 1 if position is None else self._group_of(reader, position)
            for (body,) in reader.execute("SELECT body FROM groups WHERE n BETWEEN ? AND ? ORDER BY n", (first, self._n)):
                for entry in _entries(body):
                    if position is None or entry.position > position:
                        yield entry
        finally:
            reader.close()

    def close(self) -> None:
        """Write what is waiting and close; where the disk is full, what is waiting is told so instead."""
        self._closing = True
        self._queue.put(None)
        self._thread.join()
        self._db.close()
        os.close(self._count)

    def _group_of(self, db: sqlite3.Connection, position: Position) -> int:
        """The last row that begins at or before a position; rows are in order of positions."""
        low, high = 1, self._n
        while low < high:
            middle = (low + high + 1) // 2
            (head,) = db.execute("SELECT substr(body, 1, ?) FROM groups WHERE n = ?", (_HEAD.size, middle)).fetchone()
            epoch, revision, _, _ = _HEAD.unpack(head)
            if (epoch, revision) <= position:
                low = middle
            else:
                high = middle - 1
        return low

    def _verify(self) -> tuple[int, bytes]:
        """Walk the chain; cut a bad last row, stop at a bad row that is followed by others."""
        chain, n = b"", 0
        bad: int | None = None
        try:
            for row, body, check in self._db.execute("SELECT n, body, chain FROM groups ORDER BY n"):
                expected = sha256(chain + body).digest()
                if bad is None and row == n + 1 and check == expected:
                    chain, n = expected, row
                    for entry in _entries(body):
                        self.last = max(self.last, entry.position)
                elif bad is None and row == n + 1:
                    bad = row
                else:
                    bad = n + 1
                    self.damaged = self.last
        except sqlite3.DatabaseError:  # pages of the file itself; what lies behind them cannot be known
            bad, self.damaged = n + 1, self.last
        if self.damaged is not None:
            self.report = (f"row {bad} is damaged and others follow it; reads end at position {tuple(self.last)}",)
        elif bad is not None:
            self._db.execute("DELETE FROM groups WHERE n >= ?", (bad,))
            self.report = (f"the last row ({bad}) was damaged and has been cut",)
        counted = os.pread(self._count, 8, 0)
        if len(counted) == 8 and (written := struct.unpack("<Q", counted)[0]) > n and bad is None:
            self.report = (*self.report, f"rows {n + 1} to {written} were written and have vanished")
        return n, chain

    def _write(self) -> None:
        """The journal's thread: group, commit, tell."""
        while True:
            first = self._queue.get()
            if first is None:
                return
            group, stop = self._gather(first)
            body = b"".join(_framed(entry) for entry, _ in group)
            while isinstance(error := self._commit(body), Exhausted) and not self._closing:
                # Nothing is dropped and nothing overtakes: the group waits, and the door refuses new batches.
                self.full = True
                sleep(_RETRY_S)
            self.full = isinstance(error, Exhausted)
            self._failed = error  # what follows was made from what could not be written
            for entry, done in group:
                if error is None:
                    self.last = max(self.last, entry.position)
                done(error)
            if stop:
                return

    def _gather(self, first: tuple[Entry, Done]) -> tuple[list[tuple[Entry, Done]], bool]:
        group, size, until = [first], len(first[0].payload), monotonic() + _GROUP_S
        while size < _GROUP_BYTES and (left := until - monotonic()) > 0:
            try:
                following = self._queue.get(timeout=left)
            except Empty:
                break
            if following is None:
                return group, True
            group.append(following)
            size += len(following[0].payload)
        return group, False

    def _commit(self, body: bytes) -> TwinError | None:
        if self._failed is not None:
            return self._failed
        chain = sha256(self._chain + body).digest()
        try:
            self._db.execute("INSERT INTO groups VALUES (?, ?, ?)", (self._n + 1, body, chain))
        except sqlite3.Error as error:
            if "full" in str(error):
                return Exhausted("the journal's disk is full; measurements are refused until there is room, reads go on")
            return Unavailable(f"the journal cannot be written: {error}")
        self._n, self._chain = self._n + 1, chain
        os.pwrite(self._count, struct.pack("<Q", self._n), 0)
        return None


def read_journal(folder: Path) -> Iterator[Entry]:
    """Every entry of a store's journal, beside a service that may be writing to it.

    Raises:
        NotFound: there is no journal in this folder.
    """
    path = folder / "journal.sqlite"
    if not path.exists():
        raise NotFound(f"no journal in {folder}")
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        for (body,) in reader.execute("SELECT body FROM groups ORDER BY n"):
            yield from _entries(body)
    finally:
        reader.close()


def _framed(entry: Entry) -> bytes:
    return _HEAD.pack(*entry.position, entry.kind, len(entry.payload)) + entry.payload


def _entries(body: bytes) -> Iterator[Entry]:
    at = 0
    while at < len(body):
        epoch, revision, kind, length = _HEAD.unpack_from(body, at)
        at += _HEAD.size
        yield Entry(Position(epoch, revision), EntryKind(kind), body[at : at + length])
        at += length
