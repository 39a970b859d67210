"""Ending with whoever started us: a parent holds the other end of standard input, and its death, even by kill -9, closes it."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Thread


def at_end_of_input(action: Callable[[], object]) -> None:
    """Call `action` from a thread of its own when standard input ends."""

    def wait() -> None:
        # Not `sys.stdin`: its lock, held by a thread that waits, would not let the interpreter end.
        while os.read(0, 4096):
            pass
        action()

    Thread(target=wait, name="end-of-input", daemon=True).start()
