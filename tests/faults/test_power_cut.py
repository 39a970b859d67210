"""The power is cut while the journal is written: what was acknowledged is there, and a disk that lies is found out.

Killing a process cannot show a missing fsync, for the system still writes what it holds. Here the disk forgets all that
was not synced (`power_cut.c`).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from grid_models.state import Position
from tests.proof import proof
from twin.journal import Journal

ROOM = Path(__file__).parent
ROOT = ROOM.parents[1]
WRITER = """
import sys
from pathlib import Path
from tests.unit.test_journal import Log
from twin.journal import Entry, EntryKind, Journal
from grid_models.state import Position
journal = Journal(Path(sys.argv[1]))
log = Log(journal)
for n in range(int(sys.argv[2]), 1_000_000):
    log.append(n, n.to_bytes(8, "little") * 50)
    if n % 5 == 0:
        log.wait(n)
        print(n, flush=True)
    if n % 200 == 0:
        journal.release(Position(1, n - 150))
"""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library to preload."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C compiler")
    library = tmp_path_factory.mktemp("disk") / "power_cut.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, ROOM / "power_cut.c", "-ldl"], check=True)
    return library


def cut(disk: Path, store: Path, image: Path, first: int, after: int, lies: bool) -> int:
    """Let a process write, kill it, and leave the store as the disk has it; returns the last acknowledged entry."""
    for folder in (store, image):
        folder.mkdir(exist_ok=True)
    environment = os.environ | {"LD_PRELOAD": str(disk), "POWER_CUT_FROM": str(store), "POWER_CUT_TO": str(image)}
    if lies:
        environment["POWER_CUT_LIES"] = "1"
    command = [sys.executable, "-c", WRITER, str(store), str(first)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=ROOT)
    assert writer.stdout is not None
    last = 0
    for _ in range(after):
        last = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    last = max([last, *(int(line) for line in writer.stdout if line.endswith(b"\n"))])
    writer.stdout.close()
    writer.wait()
    shutil.rmtree(store)
    shutil.copytree(image, store, ignore=shutil.ignore_patterns("*.draft"))
    return last


def losses(disk: Path, folder: Path, cuts: int, *, lies: bool = False) -> Iterator[int]:
    """Acknowledged entries that are not there after each of so many cuts."""
    store, image = folder / "store", folder / "image"
    last = 0
    for k in range(cuts):
        acknowledged = cut(disk, store, image, last + 1, 1 + 7 * k % 60, lies)
        journal = Journal(store)
        found = [e.position.revision for e in journal.read_after()]
        assert journal.damaged is None
        assert found == list(range(found[0], found[-1] + 1)) if found else True
        assert all(e.position == Position(1, int.from_bytes(e.payload[:8], "little")) for e in journal.read_after())
        gone = max(0, acknowledged - (found[-1] if found else 0))
        last = max([last, *found])
        journal.close()
        # What the opening has written is on the disk too.
        shutil.rmtree(image)
        shutil.copytree(store, image)
        yield gone


def test_a_power_cut_loses_nothing_that_was_acknowledged(disk: Path, tmp_path: Path) -> None:
    assert sum(losses(disk, tmp_path, 4)) == 0


def test_a_disk_that_lies_loses_what_was_acknowledged(disk: Path, tmp_path: Path) -> None:
    """The proof of the proof: without fsync the same test fails."""
    assert sum(losses(disk, tmp_path, 2, lies=True)) > 0


@pytest.mark.heavy
def test_two_hundred_power_cuts_lose_nothing(disk: Path, tmp_path: Path) -> None:
    with proof("power cuts", "nothing that was acknowledged is lost", "cuts", "tests/faults/test_power_cut.py") as tally:
        for gone in losses(disk, tmp_path, 200):
            assert gone == 0
            tally.count += 1
