"""The archive: measurements for questions, one DuckDB file per UTC day, rebuildable from the journal.

A row lies in the day of its source time, or of its receipt where it tells none. Each day's file also holds the journal
position through which it is complete, written in the same transaction as the rows: what is sealed twice after a crash
counts once. Only the newest day stays open; finished days can be opened by any process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from grid_models.measurements import Rows
from grid_models.state import Position
from twin.errors import Unavailable
from twin.samples import sample_time

_DAY_US = 86_400_000_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS measurement (
    time_us BIGINT, signal UINTEGER, value DOUBLE, source_time_us BIGINT, receive_time_us BIGINT,
    validity UTINYINT, time_quality UTINYINT, flags UTINYINT, sequence UBIGINT, epoch UBIGINT, revision UBIGINT
);
CREATE TABLE IF NOT EXISTS sealed (epoch UBIGINT, revision UBIGINT);
"""
_WINDOW = """
SELECT * EXCLUDE (time_us, epoch, revision) FROM measurement
WHERE signal IN (SELECT unnest(?::UINTEGER[])) AND time_us >= ? AND time_us < ? AND receive_time_us <= ?
    AND (epoch, revision) <= (?, ?)
ORDER BY time_us, signal, sequence
"""
_LATEST = """
SELECT * EXCLUDE (time_us, epoch, revision) FROM measurement
WHERE signal IN (SELECT unnest(?::UINTEGER[])) AND time_us BETWEEN ? AND ? AND receive_time_us <= ?
QUALIFY row_number() OVER (PARTITION BY signal ORDER BY time_us DESC, sequence DESC) = 1
"""


class Archive:
    """The archive in one folder; any thread may call it.

    Args:
        folder: of the store's archive; it is made if it is not there.

    Attributes:
        sealed: every row of the journal through this position is in the archive.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = Lock()
        self._live: tuple[date, duckdb.DuckDBPyConnection] | None = None
        self.sealed = self._read_sealed()

    def seal(self, batches: Sequence[tuple[Position, Rows]], through: Position) -> None:
        """Take in rows of the journal.

        Args:
            batches: position of the entry and its rows, in the journal's order.
            through: the journal holds no other rows up to here.

        Raises:
            Unavailable: the disk is full, or another process has a day's file; nothing is lost, seal again.
        """
        columns = _joined(batches)
        days = columns["time_us"] // _DAY_US
        for day in np.unique(days):
            self._write(_date(int(day)), {name: c[days == day] for name, c in columns.items()}, through)
        if len(days) or through > self.sealed:
            self._write_sealed(through)

    def days(self, start_us: int, end_us: int) -> tuple[date, ...]:
        """The days that have rows, from the one of `start_us` to the one before or at `end_us`, ascending."""
        named = sorted(date.fromisoformat(p.stem) for p in self._folder.glob("????-??-??.duckdb"))
        return tuple(d for d in named if _start_us(d) < end_us and _start_us(d) + _DAY_US > start_us)

    def window(
        self,
        signals: Sequence[int],
        start_us: int,
        end_us: int,
        known_us: int | None = None,
        through: Position | None = None,
    ) -> Rows:
        """Rows of some signals by the time at which they stand, ascending.

        Args:
            signals: uids.
            start_us: first time, Unix us.
            end_us: time after the last one, Unix us.
            known_us: only rows received up to here; None = all.
            through: only rows of journal entries up to here; None = all.
        """
        given = [list(signals), start_us, end_us, _or_last(known_us), *(through or (1 << 62, 0))]
        return Rows.concatenate([self._ask(day, _WINDOW, given) for day in self.days(start_us, end_us)])

    def latest(self, signals: Sequence[int], valid_us: int, known_us: int | None, hold_us: int) -> Rows:
        """Of each signal the row in force at `valid_us` as it was known at `known_us`, ascending by signal.

        Args:
            signals: uids.
            valid_us: the instant, Unix us.
            known_us: only rows received up to here; None = all.
            hold_us: how far back to look.
        """
        found: list[Rows] = []
        missing = sorted(set(signals))
        for day in reversed(self.days(valid_us - hold_us, valid_us + 1)):
            rows = self._ask(day, _LATEST, [missing, valid_us - hold_us, valid_us, _or_last(known_us)])
            found.append(rows)
            missing = sorted(set(missing) - set(rows.signal.tolist()))
            if not missing:
                break
        joined = Rows.concatenate(found)
        return joined.take(np.argsort(joined.signal, kind="stable"))

    def drop(self, before_day: date) -> tuple[date, ...]:
        """Delete whole days before this one; returns them."""
        with self._lock:
            gone = [d for d in self.days(0, _start_us(before_day)) if d < before_day]
            if self._live is not None and self._live[0] in gone:
                self._close_live()
            for day in gone:
                self._path(day).unlink()
        return tuple(gone)

    def close(self) -> None:
        """Let go of the open day."""
        with self._lock:
            self._close_live()

    def _write(self, day: date, columns: dict[str, NDArray[Any]], through: Position) -> None:
        with self._lock, self._opened(day, write=True) as db:
            held = db.execute("SELECT epoch, revision FROM sealed").fetchone() or (0, 0)
            new = (columns["epoch"] > held[0]) | ((columns["epoch"] == held[0]) & (columns["revision"] > held[1]))
            batch = {name: c[new] for name, c in columns.items()}
            db.execute("BEGIN")
            if new.any():
                db.register("batch", batch)
                db.execute("INSERT INTO measurement BY NAME SELECT * FROM batch")
                db.unregister("batch")
            db.execute("DELETE FROM sealed")
            db.execute("INSERT INTO sealed VALUES (?, ?)", list(max(through, Position(*held))))
            db.execute("COMMIT")

    def _ask(self, day: date, query: str, given: list[Any]) -> Rows:
        with self._lock, self._opened(day, write=False) as db:
            found = db.execute(query, given).fetchnumpy()
        types = {name: column.dtype for name, column in vars(Rows.empty()).items()}
        return Rows(**{name: np.asarray(found[name]).astype(dtype) for name, dtype in types.items()})

    @contextmanager
    def _opened(self, day: date, *, write: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """A day's file: the newest one stays open, another is open for this one use only."""
        try:
            if self._live is not None and self._live[0] == day:
                yield self._live[1]
            elif write and (self._live is None or day > self._live[0]):
                self._close_live()
                db = duckdb.connect(self._path(day))
                self._live = (day, db)
                db.execute(_SCHEMA)
                yield db
            else:
                with duckdb.connect(self._path(day), read_only=not write) as db:
                    if write:
                        db.execute(_SCHEMA)
                    yield db
        except duckdb.Error as error:
            # A full disk shuts an open database for good, so the next use opens it anew.
            self._close_live()
            raise Unavailable(f"the archive of {day} cannot be used: {error}") from error

    def _close_live(self) -> None:
        if self._live is not None:
            self._live[1].close()
            self._live = None

    def _path(self, day: date) -> Path:
        return self._folder / f"{day.isoformat()}.duckdb"

    def _read_sealed(self) -> Position:
        path = self._folder / "sealed"
        if not path.exists():
            return Position(0, 0)
        epoch, revision = path.read_text().split()
        return Position(int(epoch), int(revision))

    def _write_sealed(self, through: Position) -> None:
        draft = self._folder / "sealed.new"
        with draft.open("w") as file:
            file.write(f"{through.epoch} {through.revision}\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._folder / "sealed")
        self.sealed = through


def _joined(batches: Sequence[tuple[Position, Rows]]) -> dict[str, NDArray[Any]]:
    """All rows as columns, with the time at which they stand and the position of their entry."""
    rows = Rows.concatenate(r for _, r in batches)
    sizes = [len(r) for _, r in batches]
    columns: dict[str, NDArray[Any]] = {"time_us": sample_time(rows)} | vars(rows)
    columns["epoch"] = np.repeat(np.array([p.epoch for p, _ in batches], dtype=np.uint64), sizes)
    columns["revision"] = np.repeat(np.array([p.revision for p, _ in batches], dtype=np.uint64), sizes)
    return columns


def _date(day: int) -> date:
    return datetime.fromtimestamp(0, UTC).date() + timedelta(days=day)


def _start_us(day: date) -> int:
    return (day - date(1970, 1, 1)).days * _DAY_US


def _or_last(known_us: int | None) -> int:
    return (1 << 62) if known_us is None else known_us
