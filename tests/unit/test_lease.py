"""One twin writes to a store, and each has an epoch of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from twin.errors import Unavailable
from twin.lease import Lease

_HOLDER = """
import sys
from pathlib import Path
from twin.lease import Lease
lease = Lease(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_every_lease_has_a_higher_epoch(tmp_path: Path) -> None:
    epochs = []
    for _ in range(3):
        lease = Lease(tmp_path)
        epochs.append(lease.epoch)
        lease.release()
    assert epochs == [1, 2, 3]


def test_another_process_is_refused_naming_the_holder_until_it_dies(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(Unavailable, match=f"in use by process {holder.pid}"):
        Lease(tmp_path)
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    lease = Lease(tmp_path)
    assert lease.epoch == 2
    lease.release()


def test_a_refused_lease_uses_no_epoch(tmp_path: Path) -> None:
    first = Lease(tmp_path)
    with pytest.raises(Unavailable):
        Lease(tmp_path)
    first.release()
    second = Lease(tmp_path)
    assert second.epoch == first.epoch + 1
    second.release()
