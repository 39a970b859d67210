"""The jit policy, in fresh processes: never a stale answer, never a second compilation."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import solvers.accelerate

CALLEE = """
from solvers.accelerate import kernel

@kernel
def grow(x: float) -> float:
    return {factor} * x
"""
CALLER = """
from solvers.accelerate import kernel
from solvers.callee import grow

@kernel
def grow_twice(x: float) -> float:
    return grow(grow(x))
"""
RUN = """
import json
from solvers.caller import grow_twice

answer = grow_twice(1.0)
print(json.dumps([answer, sum(grow_twice.stats.cache_misses.values()), sum(grow_twice.stats.cache_hits.values())]))
"""


def identity(x: float) -> float:
    return x


def run(tree: Path) -> list[float]:
    environment = {**os.environ, "PYTHONPATH": str(tree), "TWIN_CACHE": str(tree / "cache")}
    done = subprocess.run([sys.executable, "-c", RUN], env=environment, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_edited_callee_is_seen_and_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    package = tmp_path / "solvers"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(solvers.accelerate.__file__, package / "accelerate.py")
    (package / "callee.py").write_text(CALLEE.format(factor=3.0))
    (package / "caller.py").write_text(CALLER)
    assert run(tmp_path) == [9.0, 1, 0]
    assert run(tmp_path) == [9.0, 0, 1]
    (package / "callee.py").write_text(CALLEE.format(factor=5.0))
    assert run(tmp_path) == [25.0, 1, 0]


def test_only_what_a_module_imports_can_make_it_compile_again(tmp_path: Path) -> None:
    package = tmp_path / "solvers"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(solvers.accelerate.__file__, package / "accelerate.py")
    (package / "callee.py").write_text(CALLEE.format(factor=3.0))
    (package / "caller.py").write_text(CALLER)
    assert run(tmp_path) == [9.0, 1, 0]
    (package / "stranger.py").write_text("NOBODY = 1")
    assert run(tmp_path) == [9.0, 0, 1]
    (package / "constant.py").write_text("FACTOR = 7.0")
    (package / "callee.py").write_text("from solvers.constant import (\n    FACTOR,\n)" + CALLEE.format(factor="FACTOR"))
    assert run(tmp_path) == [49.0, 1, 0]
    (package / "constant.py").write_text("FACTOR = 8.0")
    assert run(tmp_path) == [64.0, 1, 0]


def test_the_folder_of_other_users_of_numba_is_left_alone() -> None:
    import numba

    before = numba.config.CACHE_DIR
    solvers.accelerate.kernel(identity)
    assert before == numba.config.CACHE_DIR
