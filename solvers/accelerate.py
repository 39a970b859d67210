"""The one jit policy: every kernel of this project is compiled here and nowhere else.

numba's disk cache watches only the file of the function that is called first. After a change in a callee that lives
elsewhere it would serve the old machine code, and so a wrong answer. Therefore the kernels of a module live in a cache
folder whose name is a hash of that module and of all modules of ours that it imports, directly or not, of numba and
llvmlite, and of the processor: an edit of anything that a kernel can see opens a new, empty folder, and an edit of
anything else compiles nothing. `nogil` leaves the event loop alone; `parallel=True` is forbidden, since numba's
workqueue layer aborts the process when two threads enter it. What a function is, `kernel` or `part` of one, stands in
its source; no other option differs, because numba's cache key ignores them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import llvmlite
import numba
from llvmlite import binding as llvm

P = ParamSpec("P")
R = TypeVar("R")

ROOT = Path(__file__).parent.parent
IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+((?:solvers|grid_models)[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]*)"
    r"|import[ \t]+((?:solvers|grid_models)[\w.]*))",
    re.MULTILINE,
)


def cache_root() -> Path:
    """The folder of all machine code: `TWIN_CACHE`, or `~/.cache/city-twin`."""
    return Path(os.environ.get("TWIN_CACHE", Path.home() / ".cache" / "city-twin"))


def cache_folder(source: Path) -> Path:
    """The folder for the machine code of one module, in exactly this version of all that it imports, on this machine.

    Args:
        source: The module's file.
    """
    h = sha256(_machine())
    for file in sorted(_closure(source)):
        h.update(_digest(file))
    return cache_root() / h.hexdigest()[:20]


def _closure(source: Path) -> set[Path]:
    seen: set[Path] = set()
    waiting = [source]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting.extend(_imports(file))
    return seen


@cache
def _imports(source: Path) -> tuple[Path, ...]:
    """The files of ours that a file imports, with the packages that lead to them."""
    return tuple({file for name in _names(source.read_text("utf-8")) for file in _files(name)})


def _names(text: str) -> Iterator[str]:
    for package, members, module in IMPORT.findall(text):
        yield package or module
        yield from (f"{package}.{name}" for name in re.findall(r"[A-Za-z_]\w*", members) if package)


def _files(name: str) -> Iterator[Path]:
    path = ROOT.joinpath(*name.split("."))
    if path.with_suffix(".py").is_file():
        yield path.with_suffix(".py")
    while path != ROOT:
        if (path / "__init__.py").is_file():
            yield path / "__init__.py"
        path = path.parent


@cache
def _digest(source: Path) -> bytes:
    return sha256(source.name.encode() + b" " + source.read_bytes()).digest()


@lru_cache(maxsize=1)
def _machine() -> bytes:
    features = llvm.get_host_cpu_features().flatten()
    return f"{numba.__version__} {llvmlite.__version__} {llvm.get_host_cpu_name()} {features}".encode()


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a module-level function without the interpreter lock, cached on disk.

    Division by zero gives inf or nan as in numpy, so that a diverging lane ends as a status and not as an exception.
    """
    return _compiled(function)


def part(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that kernels alone call: without an entry from Python, which takes as long to compile as itself.

    A call from Python raises or worse; where a test wants one, it is a kernel.
    """
    return _compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def _compiled(function: Callable[P, R], **options: bool) -> Callable[P, R]:
    # The folder is set only while the dispatcher is made: other users of numba in this process keep their own.
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder(Path(function.__code__.co_filename)))
    try:
        return cast("Callable[P, R]", numba.njit(nogil=True, cache=True, error_model="numpy", **options)(function))
    finally:
        numba.config.CACHE_DIR = before
