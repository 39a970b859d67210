"""The one jit policy: every kernel of this project is compiled here and nowhere else.

numba's disk cache watches only the file of the function that is called first. After a change in a callee that lives
elsewhere it would serve the old machine code, and so a wrong answer. Therefore our kernels live in a cache folder
whose name is a hash of all kernel sources, of numba and llvmlite, and of the processor: an edit anywhere opens a new,
empty folder. `nogil` leaves the event loop alone; `parallel=True` is forbidden, since numba's workqueue layer aborts
the process when two threads enter it. The options never differ between kernels, because numba's cache key ignores
them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import llvmlite
import numba
from llvmlite import binding as llvm

P = ParamSpec("P")
R = TypeVar("R")


@lru_cache(maxsize=1)
def cache_folder() -> Path:
    """The folder that holds the machine code of exactly these sources on this machine.

    `TWIN_CACHE` names its parent (default: `~/.cache/city-twin`).
    """
    h = sha256()
    root = Path(__file__).parent
    for source in sorted(root.rglob("*.py")):
        content = source.read_bytes()
        h.update(f"{source.relative_to(root)} {len(content)} ".encode())
        h.update(content)
    h.update(f"{numba.__version__} {llvmlite.__version__} {llvm.get_host_cpu_name()}".encode())
    h.update(llvm.get_host_cpu_features().flatten().encode())
    parent = Path(os.environ.get("TWIN_CACHE", Path.home() / ".cache" / "city-twin"))
    return parent / h.hexdigest()[:20]


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a module-level function without the interpreter lock, cached on disk.

    Division by zero gives inf or nan as in numpy, so that a diverging lane ends as a status and not as an exception.
    """
    # The folder is set only while the dispatcher is made: other users of numba in this process keep their own.
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder())
    try:
        return cast("Callable[P, R]", numba.njit(nogil=True, cache=True, error_model="numpy")(function))
    finally:
        numba.config.CACHE_DIR = before
