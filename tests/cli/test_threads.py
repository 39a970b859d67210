"""The command leaves the cores to the twin's own threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COUNTED = """
import os, sys
from contextlib import suppress
from twin.cli import main
sys.argv = ["twin", "--help"]
with suppress(SystemExit):
    main()
import numpy as np
a = np.ones((600, 600))
before = len(os.listdir("/proc/self/task"))
a @ a
print("threads", before, len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux lists a process its native threads")
def test_a_product_of_matrices_runs_on_the_thread_that_asks_for_it() -> None:
    done = subprocess.run([sys.executable, "-c", COUNTED], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "threads 1 1"
