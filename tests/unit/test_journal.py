"""The journal: what was said to be durable is there; what is damaged is noticed, named, and never served."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Lock

import pytest

from grid_models.state import Position
from tests.proof import proof
from twin.errors import Damaged, Exhausted, TwinError, Unavailable
from twin.journal import Entry, EntryKind, Journal


class Log:
    """Collects what the journal reports."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.done: dict[int, TwinError | None] = {}
        self._lock, self._news = Lock(), Event()

    def append(self, revision: int, payload: bytes = b"x", epoch: int = 1) -> None:
        def done(error: TwinError | None) -> None:
            with self._lock:
                self.done[revision] = error
            self._news.set()

        self.journal.append(Entry(Position(epoch, revision), EntryKind.ROWS, payload), done)

    def wait(self, revision: int, seconds: float = 10.0) -> TwinError | None:
        while revision not in self.done:
            self._news.clear()
            if revision in self.done:
                break
            assert self._news.wait(seconds), f"nothing heard of {revision}"
        return self.done[revision]


def filled(folder: Path, groups: int = 5) -> None:
    """A journal of `groups` rows with one entry each."""
    journal = Journal(folder)
    log = Log(journal)
    for n in range(1, groups + 1):
        log.append(n, bytes([n]) * 100)
        assert log.wait(n) is None
    journal.close()


def revisions(journal: Journal, after: Position | None = None) -> list[int]:
    return [e.position.revision for e in journal.read_after(after)]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path)
    yield opened
    opened.close()


def tamper(folder: Path, n: int) -> None:
    """Flip one bit of row n's body."""
    db = sqlite3.connect(folder / "journal.sqlite")
    (body,) = db.execute("SELECT body FROM groups WHERE n = ?", (n,)).fetchone()
    changed = bytearray(body)
    changed[len(changed) // 2] ^= 1
    db.execute("UPDATE groups SET body = ? WHERE n = ?", (bytes(changed), n))
    db.commit()
    db.close()


def test_entries_come_back_in_order_with_their_bytes(tmp_path: Path) -> None:
    filled(tmp_path)
    again = Journal(tmp_path)
    assert [(e.position, e.kind, e.payload) for e in again.read_after()] == [
        (Position(1, n), EntryKind.ROWS, bytes([n]) * 100) for n in range(1, 6)
    ]
    assert again.last == Position(1, 5)
    assert again.report == ()
    again.close()


@pytest.mark.parametrize("after", range(7))
def test_reading_after_a_position_begins_with_the_next(tmp_path: Path, after: int) -> None:
    filled(tmp_path)
    again = Journal(tmp_path)
    assert revisions(again, Position(1, after)) == list(range(after + 1, 6))
    again.close()


def test_what_arrives_together_shares_one_row(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    log = Log(journal)
    for n in range(1, 101):
        log.append(n)
    assert log.wait(100) is None
    journal.close()
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    (count,) = db.execute("SELECT count(*) FROM groups").fetchone()
    db.close()
    assert count < 20
    assert sorted(log.done) == list(range(1, 101))


def test_a_bit_flip_in_the_last_row_is_cut_and_reported(tmp_path: Path) -> None:
    filled(tmp_path)
    tamper(tmp_path, 5)
    again = Journal(tmp_path)
    assert revisions(again) == [1, 2, 3, 4]
    assert "last row (5) was damaged and has been cut" in again.report[0]
    log = Log(again)
    log.append(1, epoch=2)
    assert log.wait(1) is None
    again.close()
    healed = Journal(tmp_path)
    assert healed.report == ()
    assert revisions(healed) == [1, 2, 3, 4, 1]
    healed.close()


def test_a_bit_flip_in_the_middle_stops_writing_and_serves_what_is_before_it(tmp_path: Path) -> None:
    filled(tmp_path)
    tamper(tmp_path, 3)
    again = Journal(tmp_path)
    assert again.damaged == Position(1, 2)
    assert "row 3 is damaged and others follow" in again.report[0]
    assert revisions(again) == [1, 2]
    log = Log(again)
    log.append(6)
    assert isinstance(log.wait(6), Damaged)
    assert again._db.execute("SELECT count(*) FROM groups").fetchone() == (5,)  # and nothing was cut
    again.close()


def test_a_missing_row_in_the_middle_is_damage(tmp_path: Path) -> None:
    filled(tmp_path)
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    db.execute("DELETE FROM groups WHERE n = 3")
    db.commit()
    db.close()
    again = Journal(tmp_path)
    assert again.damaged == Position(1, 2)
    again.close()


def test_a_missing_row_before_the_last_is_damage_and_cuts_nothing(tmp_path: Path) -> None:
    filled(tmp_path)
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    db.execute("DELETE FROM groups WHERE n = 4")
    db.commit()
    db.close()
    again = Journal(tmp_path)
    assert again.damaged == Position(1, 3)
    assert again._db.execute("SELECT count(*) FROM groups").fetchone() == (4,)
    again.close()


def test_damaged_pages_of_the_file_end_the_reads_before_them(tmp_path: Path) -> None:
    filled(tmp_path, 200)
    path = tmp_path / "journal.sqlite"
    data = bytearray(path.read_bytes())
    data[3 * 4096 : 4 * 4096] = b"\xa5" * 4096  # a page of rows
    path.write_bytes(data)
    again = Journal(tmp_path)
    assert again.damaged is not None
    found = revisions(again)
    assert found == list(range(1, len(found) + 1))
    assert len(found) < 200
    again.close()


def test_a_file_that_is_no_journal_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(Damaged, match="restore it from a backup"):
        Journal(tmp_path)


def test_a_first_row_that_is_damaged_leaves_nothing_and_refuses_writing(tmp_path: Path) -> None:
    filled(tmp_path)
    tamper(tmp_path, 1)
    again = Journal(tmp_path)
    assert again.damaged == Position(0, 0)
    assert revisions(again) == []
    again.close()


def test_a_tail_that_vanished_whole_is_noticed_and_said_once(tmp_path: Path) -> None:
    filled(tmp_path)
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    db.execute("DELETE FROM groups WHERE n > 3")
    db.commit()
    db.close()
    again = Journal(tmp_path)
    assert again.report == ("rows 4 to 5 were written and have vanished",)
    assert revisions(again) == [1, 2, 3]
    log = Log(again)
    log.append(1, epoch=2)
    assert log.wait(1) is None
    again.close()
    final = Journal(tmp_path)
    assert final.report == ()
    final.close()


def test_what_is_released_is_gone_and_the_rest_is_still_chained(tmp_path: Path) -> None:
    filled(tmp_path, 50)
    journal = Journal(tmp_path)
    journal.release(Position(1, 41))
    assert revisions(journal) == list(range(41, 51))
    assert revisions(journal, Position(1, 45)) == list(range(46, 51))
    log = Log(journal)
    log.append(51)
    assert log.wait(51) is None
    journal.close()
    again = Journal(tmp_path)
    assert (again.report, again.whole, again.last) == ((), False, Position(1, 51))
    again.close()
    tamper(tmp_path, 41)
    assert Journal(tmp_path).damaged == Position(0, 0)  # the first row that is left, and others follow


def test_events_of_released_rows_stay_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    log = Log(journal)
    for n in range(1, 41):
        journal.append(Entry(Position(1, n), EntryKind.EVENT if n % 2 else EntryKind.ROWS, bytes([n])), lambda error: None)
        log.append(100 + n)
        assert log.wait(100 + n) is None
    journal.release(Position(1, 30))
    journal.close()
    again = Journal(tmp_path)
    assert again.events == [bytes([n]) for n in range(1, 41, 2)]
    again.close()


def test_a_release_that_a_crash_cuts_short_leaves_a_valid_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, 50)
    journal = Journal(tmp_path)
    release, calls = Journal._release, iter(range(2))
    monkeypatch.setattr(Journal, "_release", lambda self, through: release(self, through) if next(calls) == 0 else sys.exit())
    with pytest.raises(SystemExit):
        journal.release(Position(1, 48))
    journal.close()
    again = Journal(tmp_path)
    assert again.report == ()
    assert revisions(again) == list(range(17, 51))
    again.close()


_LEAVER = """
import os, sys
from pathlib import Path
from tests.unit.test_journal import Log
from twin.journal import Journal
log = Log(Journal(Path(sys.argv[1])))
for n in range(1, 11):
    log.append(n, bytes(3000))
    log.wait(n)
os._exit(0)
"""


def test_a_flip_in_the_write_ahead_log_is_noticed(tmp_path: Path) -> None:
    """SQLite drops the tail of a log with a wrong checksum without a word; the count does not."""
    subprocess.run([sys.executable, "-c", _LEAVER, str(tmp_path)], check=True)
    wal = tmp_path / "journal.sqlite-wal"
    data = bytearray(wal.read_bytes())
    data[len(data) // 2] ^= 0x10
    wal.write_bytes(data)
    again = Journal(tmp_path)
    assert "have vanished" in again.report[0]
    assert again.last < Position(1, 10)
    again.close()


def test_a_full_disk_holds_entries_in_order_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    log = Log(journal)
    log.append(1)
    assert log.wait(1) is None
    (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count={pages + 2}")
    log.append(2, bytes(200_000))
    log.append(3)
    while not journal.full:
        assert log.wait(1) is None
    assert revisions(journal) == [1]  # reads go on
    assert 2 not in log.done
    journal._db.execute("PRAGMA max_page_count=1000000")
    assert log.wait(2) is None
    assert log.wait(3) is None
    assert not journal.full
    assert revisions(journal) == [1, 2, 3]
    journal.close()


def test_closing_on_a_full_disk_tells_what_was_not_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count={pages + 2}")
    log = Log(journal)
    log.append(1, bytes(200_000))
    while not journal.full:
        assert log.done == {}
    journal.close()
    assert isinstance(log.done[1], Exhausted)


def test_after_a_failed_write_nothing_that_follows_is_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    log = Log(journal)
    log.append(1)
    assert log.wait(1) is None
    journal._db.execute("ALTER TABLE groups RENAME TO elsewhere")
    log.append(2)
    assert isinstance(log.wait(2), Unavailable)
    journal._db.execute("ALTER TABLE elsewhere RENAME TO groups")
    log.append(3)
    assert isinstance(log.wait(3), Unavailable)
    assert revisions(journal) == [1]
    journal.close()


def test_an_iterator_is_carried_on_by_another_thread(journal: Journal) -> None:
    from concurrent.futures import ThreadPoolExecutor

    log = Log(journal)
    for n in range(1, 4):
        log.append(n)
        assert log.wait(n) is None
    entries = journal.read_after()
    seen = []
    for _ in range(3):
        with ThreadPoolExecutor(1) as pool:
            seen.append(pool.submit(next, entries).result().position.revision)
    assert seen == [1, 2, 3]
    entries.close()  # type: ignore[attr-defined]  # a generator


_WRITER = """
import sys
from pathlib import Path
from tests.unit.test_journal import Log
from twin.journal import Journal
journal = Journal(Path(sys.argv[1]))
log = Log(journal)
for n in range(int(sys.argv[2]), 1_000_000):
    log.append(n, n.to_bytes(8, "little") * 50)
    if n % 7 == 0:
        log.wait(n)
        print(n, flush=True)
"""


def killed(folder: Path, first: int, after: int) -> int:
    """Let a process write and kill it; returns the last entry that it was told is durable."""
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(folder), str(first)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    last = 0
    for _ in range(after):
        last = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    last = max([last, *(int(line) for line in writer.stdout if line.endswith(b"\n"))])
    writer.stdout.close()
    writer.wait()
    return last


def survived(folder: Path, kills: int) -> Iterator[int]:
    """Kill a writer again and again; yields how often."""
    first = 1
    for k in range(kills):
        durable = killed(folder, first, 1 + k % 5)
        journal = Journal(folder)
        found = revisions(journal)
        assert journal.report == ()
        assert found == list(range(1, len(found) + 1))
        assert len(found) >= durable
        journal.close()
        first = len(found) + 1
        yield k + 1


def test_a_killed_writer_loses_nothing_that_it_was_told_is_durable(tmp_path: Path) -> None:
    assert list(survived(tmp_path, 3)) == [1, 2, 3]


@pytest.mark.heavy
def test_two_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    claim = "nothing that a writer was told is durable is lost when it is killed"
    with proof("kill -9 of the journal's writer", claim, "kills", "tests/unit/test_journal.py") as tally:
        for tally.count in survived(tmp_path, 200):
            pass
