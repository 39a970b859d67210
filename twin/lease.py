"""One living writer to a store: a lock that dies with its process, and an epoch that grows with every take-over."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from twin.errors import Unavailable


class Lease:
    """The right to write to a store folder, held until `release` or the end of the process.

    Args:
        folder: the store's folder; it is made if it is not there.

    Raises:
        Unavailable: another process holds it; the message names it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / "lease", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 64, 0).decode(errors="replace").split()
            os.close(self._file)
            pid = holder[1] if len(holder) > 1 else "unknown"
            raise Unavailable(f"the store {folder} is in use by process {pid}; one twin writes to a store") from None
        before = os.pread(self._file, 64, 0).decode(errors="replace").split()
        self.epoch = int(before[0]) + 1 if before else 1
        text = f"{self.epoch} {os.getpid()}\n".encode()
        os.pwrite(self._file, text.ljust(64), 0)
        # The epoch must outlive a power cut: a revision is never reused with other content.
        os.fsync(self._file)

    def release(self) -> None:
        """Let another process write."""
        fcntl.flock(self._file, fcntl.LOCK_UN)
        os.close(self._file)
