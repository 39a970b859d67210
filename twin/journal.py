"""The journal: what DURABLE means.

SQLite in WAL mode with synchronous=FULL. Entries are appended by a thread of its own, which groups what arrives within
10 ms of the commit before, or 1 MiB, into one row and one fsync. Each row carries a checksum chained to the row before:

    check_n = sha256(check_(n-1) | body_n)

so a changed, missing or reordered row is noticed. A tail that vanished whole would leave a valid chain; therefore the
number of the last row is also kept in a file of its own, written after each commit. What is released at the beginning
leaves the number and checksum of its last row as the anchor of the rest, and its events in a table of their own.
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
from threading import Lock, Thread
from time import monotonic, sleep

from grid_models.state import Position
from twin.errors import Damaged, Exhausted, TwinError, Unavailable

_GROUP_S = 0.01
_GROUP_BYTES = 1 << 20
_RETRY_S = 0.5
_RELEASED_AT_ONCE = 16  # rows of one transaction, so that commits need not wait long
_KEPT_EVENTS = 100_000
_HEAD = struct.Struct("<QQBI")  # epoch, revision, kind, length
_SCHEMA = """
CREATE TABLE IF NOT EXISTS groups (n INTEGER PRIMARY KEY, body BLOB, chain BLOB);
CREATE TABLE IF NOT EXISTS anchor (one INTEGER PRIMARY KEY, n INTEGER, chain BLOB);
CREATE TABLE IF NOT EXISTS events (n INTEGER PRIMARY KEY, payload BLOB);
"""


class EntryKind(IntEnum):
    """What an entry holds."""

    START = 1  # a twin began: models, catalogue
    ROWS = 2  # admitted measurements of one batch
    TOPICAL = 3  # signals that lost their publisher, or found it again
    STATE = 4  # digest of a published state
    CHECKPOINT = 5  # all that the engine remembers
    EVENT = 6
    MANUAL = 7  # an entry by hand, or its end
    REPORT = 8  # what the field says


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
        whole: whether the first entry ever is still there.
        checkpoints: positions of the checkpoints that were there when it was opened.
        events: payloads of the events that were there when it was opened, the newest 100,000 of those released included.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._path = folder / "journal.sqlite"
        self._db = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise Damaged(f"{self._path} cannot be opened: {error}; restore it from a backup") from None
        self._count = os.open(folder / "journal.count", os.O_RDWR | os.O_CREAT, 0o644)
        self.report: tuple[str, ...] = ()
        self.damaged: Position | None = None
        self.whole = True
        self.last = Position(0, 0)
        self.full = False
        self._failed: TwinError | None = None
        self._closing = False
        self.checkpoints: list[Position] = []
        self.events: list[bytes] = []
        self._lock = Lock()  # one transaction at a time
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
            reader.execute("BEGIN")  # one view, whatever is released meanwhile
            first = 1 if position is None else self._group_of(reader, position)
            for (body,) in reader.execute("SELECT body FROM groups WHERE n BETWEEN ? AND ? ORDER BY n", (first, self._n)):
                for entry in entries_of(body):
                    if position is None or entry.position > position:
                        yield entry
        finally:
            reader.close()

    def release(self, position: Position) -> None:
        """Let go of the rows that end before `position`; their events stay.

        Raises:
            Unavailable: it cannot be written; what is not yet released stays.
        """
        if self.damaged is not None:
            return
        target = self._group_of(self._db, position)
        while (first := self._anchor()[0] + 1) < target:
            through = min(first + _RELEASED_AT_ONCE, target) - 1
            with self._lock:
                try:
                    self._release(through)
                except sqlite3.Error as error:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise Unavailable(f"the journal cannot be cut: {error}") from error
        self.whole = self.whole and target <= 1

    def _release(self, through: int) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        chain = b""
        for body, chain in self._db.execute("SELECT body, chain FROM groups WHERE n <= ? ORDER BY n", (through,)):  # noqa: B007
            events = [(e.payload,) for e in entries_of(body) if e.kind is EntryKind.EVENT]
            self._db.executemany("INSERT INTO events (payload) VALUES (?)", events)
        self._db.execute("DELETE FROM events WHERE n <= (SELECT max(n) FROM events) - ?", (_KEPT_EVENTS,))
        self._db.execute("DELETE FROM groups WHERE n <= ?", (through,))
        self._db.execute("INSERT OR REPLACE INTO anchor VALUES (1, ?, ?)", (through, chain))
        self._db.execute("COMMIT")

    def _anchor(self) -> tuple[int, bytes]:
        """Number and checksum of the last released row."""
        n, chain = self._db.execute("SELECT n, chain FROM anchor").fetchone() or (0, b"")
        return int(n), bytes(chain)

    def close(self) -> None:
        """Write what is waiting and close; where the disk is full, what is waiting is told so instead."""
        self._closing = True
        self._queue.put(None)
        self._thread.join()
        self._db.close()
        os.close(self._count)

    def _group_of(self, db: sqlite3.Connection, position: Position) -> int:
        """The last row that begins at or before a position; rows are in order of positions."""
        (low,) = db.execute("SELECT coalesce(min(n), 1) FROM groups").fetchone()
        high = self._n
        while low < high:
            middle = (low + high + 1) // 2
            (head,) = db.execute("SELECT substr(body, 1, ?) FROM groups WHERE n = ?", (_HEAD.size, middle)).fetchone()
            epoch, revision, _, _ = _HEAD.unpack(head)
            if (epoch, revision) <= position:
                low = middle
            else:
                high = middle - 1
        return int(low)

    def _verify(self) -> tuple[int, bytes]:
        """Walk the chain; cut a bad last row, stop at a bad row that is followed by others."""
        n, chain = 0, b""
        bad: int | None = None
        try:
            n, chain = self._anchor()
            self.events = [payload for (payload,) in self._db.execute("SELECT payload FROM events ORDER BY n")]
            self.whole = n == 0
            for row, body, check in self._db.execute("SELECT n, body, chain FROM groups ORDER BY n"):
                expected = sha256(chain + body).digest()
                if bad is None and row == n + 1 and check == expected:
                    chain, n = expected, row
                    for entry in entries_of(body):
                        self.last = max(self.last, entry.position)
                        if entry.kind is EntryKind.CHECKPOINT:
                            self.checkpoints.append(entry.position)
                        elif entry.kind is EntryKind.EVENT:
                            self.events.append(entry.payload)
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
        begun = 0.0  # the commit before
        while True:
            first = self._queue.get()
            if first is None:
                return
            group, stop = self._gather(first, begun)
            begun = monotonic()
            body = b"".join(framed(entry) for entry, _ in group)
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

    def _gather(self, first: tuple[Entry, Done], begun: float) -> tuple[list[tuple[Entry, Done]], bool]:
        """What is there, and what comes until the commit before is `_GROUP_S` old: who comes alone does not wait."""
        group, size, until = [first], len(first[0].payload), begun + _GROUP_S
        while size < _GROUP_BYTES:
            try:
                following = self._queue.get(timeout=max(0.0, until - monotonic()))
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
            with self._lock:
                self._db.execute("INSERT INTO groups VALUES (?, ?, ?)", (self._n + 1, body, chain))
        except sqlite3.Error as error:
            if "full" in str(error):
                return Exhausted("the journal's disk is full; measurements are refused until there is room, reads go on")
            return Unavailable(f"the journal cannot be written: {error}")
        self._n, self._chain = self._n + 1, chain
        os.pwrite(self._count, struct.pack("<Q", self._n), 0)
        return None


def framed(entry: Entry) -> bytes:
    """An entry as bytes."""
    return _HEAD.pack(*entry.position, entry.kind, len(entry.payload)) + entry.payload


def entries_of(body: bytes) -> Iterator[Entry]:
    """The entries that `framed` made and somebody joined; a cut end is left out."""
    at = 0
    while at + _HEAD.size <= len(body):
        epoch, revision, kind, length = _HEAD.unpack_from(body, at)
        at += _HEAD.size
        if at + length > len(body):
            return
        yield Entry(Position(epoch, revision), EntryKind(kind), body[at : at + length])
        at += length
