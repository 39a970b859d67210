"""What rots silently: one jit policy, documented settings, errors, statuses, alarms, commands; solvers that are our own."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [
    p for package in ("grid_models", "solvers", "twin") for p in (ROOT / package).rglob("*.py") if "api/v1" not in str(p)
]


def test_only_one_file_calls_the_compiler() -> None:
    callers = [
        p for p in SOURCES if re.search(r"\bnumba\b|\bllvmlite\b", p.read_text()) and _imports(p) & {"numba", "llvmlite"}
    ]
    adding_types = [ROOT / "solvers" / "lending.py", ROOT / "solvers" / "linalg" / "vector.py"]
    assert sorted(callers) == [ROOT / "solvers" / "accelerate.py", *adding_types]
    assert not [p for p in adding_types if "njit" in p.read_text()]
    assert not [p for p in SOURCES if "parallel=True" in p.read_text() and p.name != "accelerate.py"]


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_no_room_is_a_drawer() -> None:
    names = {part for p in SOURCES for part in p.relative_to(ROOT).with_suffix("").parts}
    assert not names & {"utils", "util", "common", "helpers", "manager", "misc"}


def test_no_file_names_this_machine() -> None:
    texts = [p for p in SOURCES + list((ROOT / "docs").rglob("*.md")) if re.search(r"/(home|root|work)/", p.read_text())]
    assert not texts


def test_every_setting_is_documented() -> None:
    from twin.config import Config, NetworkConfig, PumpConfig, TlsConfig

    text = (ROOT / "docs" / "settings.md").read_text()
    keys = [*Config.model_fields, *(f"networks.{k}" for k in NetworkConfig.model_fields)]
    keys += [f"pumps.{k}" for k in PumpConfig.model_fields]
    keys += [f"tls.{k}" for k in TlsConfig.model_fields]
    assert [k for k in keys if f"`{k}`" not in text] == []


def test_every_error_and_status_is_documented() -> None:
    from solvers.solution import Status
    from twin import errors

    text = (ROOT / "docs" / "errors.md").read_text()
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.TwinError)]
    missing = [c.__name__ for c in classes if f"| `{c.__name__}` | `{c.grpc_code}` | {c.exit_status} |" not in text]
    assert missing == []
    assert [s.name for s in Status if f"| `{s.name}` |" not in text] == []


def test_every_alarm_is_documented() -> None:
    text = (ROOT / "docs" / "alarms.md").read_text()
    rooms = (
        "alarms.py",
        "limits.py",
        "leak_watch.py",
        "search_watch.py",
        "plausibility.py",
        "clocks.py",
        "by_hand.py",
        "field_book.py",
        "rebinding.py",
        "engine.py",
    )
    sources = "".join((ROOT / "twin" / name).read_text() for name in rooms)
    codes = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', sources)) - {"NOT_TOPICAL"}
    assert codes
    assert sorted(c for c in codes if f"`{c}`" not in text) == []


def test_every_command_is_in_the_readme_and_says_what_it_does() -> None:
    from twin.cli.app import COMMANDS

    text = (ROOT / "README.md").read_text()
    assert [c for c in COMMANDS.values() if f"twin {c}" not in text and f"make {c}" not in text] == []
    shown = subprocess.run(
        [sys.executable, "-m", "twin", "--help"], capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout
    assert [c for c in COMMANDS.values() if c not in shown] == []


def test_every_method_has_its_derivation() -> None:
    text = "".join(p.read_text() for p in (ROOT / "docs" / "algorithms").glob("*.md"))
    methods = ("newton.py", "estimation.py", "gradient.py", "leaks.py", "seasonal.py", "ldl.py", "extended.py")
    assert [m for m in methods if m not in text] == []


@pytest.mark.parametrize(
    "job",
    [
        "solve(read('pandapower:case9')).unwrap()",
        "solve(read('wntr:Net1'), duration_s=3600.0).unwrap()",
        "estimate_once(two_bus())",
        "estimate_once(looped_town(3, 3))",
    ],
)
def test_solvers_are_our_own(job: str) -> None:
    """pandapower's load flow and EPANET's hydraulics raise; everything still solves."""
    guard = """
from solvers.solve import solve
from grid_models.formats import read
from twin.warm import estimate_once
from grid_models.library.power import two_bus
from grid_models.library.water import looped_town
import pandapower, pandapower.run, pandapower.powerflow
from epanet import toolkit
def refuse(*args, **kwargs): raise AssertionError("not our own solver")
pandapower.runpp = pandapower.run.runpp = pandapower.powerflow._powerflow = refuse
for name in ("solveH", "openH", "initH", "runH", "nextH", "solveQ"): setattr(toolkit, name, refuse)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", guard + job], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_client_needs_no_solver() -> None:
    """A forecaster's environment stays clean: the client imports neither pandapower nor numba nor EPANET."""
    code = (
        "import sys, twin.client; print([m for m in ('numba', 'pandapower', 'epanet', 'duckdb', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
