"""A MATPOWER case in its own terms: the matrices of an `.m` or `.mat` file, and what can be wrong with them.

Rows and columns are MATPOWER's (User's Manual, appendix B), counted from 0 here and from 1 in messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_models.errors import InvalidInput, Issue
from grid_models.formats.matlab import run
from grid_models.formats.matlab_expression import Value
from grid_models.formats.matpower_names import LIBRARIES

Floats = NDArray[np.float64]

BUS_I, BUS_TYPE, PD, QD, GS, BS, AREA, VM, VA, BASE_KV, ZONE, VMAX, VMIN = range(13)
GEN_BUS, PG, QG, QMAX, QMIN, VG, _, GEN_STATUS, PMAX, PMIN = range(10)
F_BUS, T_BUS, BR_R, BR_X, BR_B, RATE_A, _, _, TAP, SHIFT, BR_STATUS = range(11)
PQ, PV, REF, ISOLATED = 1, 2, 3, 4

# matrix -> least number of columns, and the columns that a load flow reads
_MATRICES = {
    "bus": (13, (BUS_I, BUS_TYPE, PD, QD, GS, BS, VM, VA, BASE_KV)),
    "gen": (10, (GEN_BUS, PG, QG, VG, GEN_STATUS)),
    "branch": (11, (F_BUS, T_BUS, BR_R, BR_X, BR_B, TAP, SHIFT, BR_STATUS)),
}


@dataclass(frozen=True)
class Case:
    """A case as MATPOWER sees it: matrices in MATPOWER's own columns.

    Args:
        name: of the case.
        base_mva: base power.
        bus, gen, branch: rows by MATPOWER's columns.
        other: what else the file holds: name -> number of rows; a load flow has no use for it.
        names: `bus_name`, `branch_name`, `gen_name` where given.
        lines: matrix -> line of each row in the file, where known.
        file: where it was read from.
    """

    name: str
    base_mva: float
    bus: Floats
    gen: Floats
    branch: Floats
    other: Mapping[str, int]
    names: Mapping[str, list[str]]
    lines: Mapping[str, list[int]]
    file: str = ""

    def issue(self, matrix: str, column: str, row: int, message: str) -> Issue:
        """A fault of a row, counted from 0, with its line if it is known."""
        lines = self.lines.get(matrix, [])
        return Issue(matrix, column, (row + 1,), message, self.file, lines[row] if row < len(lines) else None)


def parse_m(text: str, file: str = "") -> Case:
    """Read the text of an `.m` file.

    Raises:
        InvalidInput: no MATPOWER case, or statements that cannot be read; with file and line.
    """
    program = run(text, LIBRARIES, file)
    prefix = "mpc." if any(name.startswith("mpc.") for name in (*program.values, *program.unread)) else ""
    n = len(prefix)
    fields = {name[n:]: value for name, value in program.values.items() if name.startswith(prefix)}
    lines = {name[n:]: rows for name, rows in program.row_lines.items() if name.startswith(prefix)}
    unread = {name[n:]: why for name, why in program.unread.items() if name.startswith(prefix)}
    return _case(fields, lines, unread, program.function or Path(file).stem, file)


def load_mat(path: Path) -> Case:
    """Read a MATLAB `.mat` file that holds an `mpc` structure.

    Raises:
        InvalidInput: it it is none, or lacks a matrix.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path, squeeze_me=False, struct_as_record=True)
    except NotImplementedError:
        message = "is MATLAB 7.3 (HDF5), which is not read; save it with -v7"
        raise InvalidInput([Issue("", "", (), message, file=str(path))]) from None
    except (ValueError, TypeError, OSError, EOFError, MatReadError) as error:
        raise InvalidInput([Issue("", "", (), f"is no MATLAB file: {error}", file=str(path))]) from None
    fields = {name: value for name, value in content.items() if not name.startswith("__")}
    for value in list(fields.values()):
        if value.dtype.names and "branch" in value.dtype.names and value.size == 1:
            fields = {name: value[name].flat[0] for name in value.dtype.names}
            break
    return _case({name: _plain(value) for name, value in fields.items()}, {}, {}, path.stem, str(path))


def _plain(value: Any) -> Value:
    array = np.asarray(value)
    if array.dtype == object:
        return [str(cell[0]) if np.size(cell) else "" for cell in array.ravel()]
    return str(array.flat[0]) if array.dtype.kind in "US" and array.size else np.atleast_2d(array.astype(np.float64))


def _case(
    fields: Mapping[str, Value],
    lines: Mapping[str, list[int]],
    unread: Mapping[str, tuple[int, str]],
    name: str,
    file: str,
) -> Case:
    issues = []
    matrices: dict[str, Floats] = {}
    for matrix in ("baseMVA", *_MATRICES):
        value = fields.get(matrix)
        if isinstance(value, np.ndarray):
            matrices[matrix] = value
        elif matrix in unread:
            issues.append(Issue(matrix, "", (), unread[matrix][1], file, unread[matrix][0]))
        else:
            issues.append(Issue(matrix, "", (), "is missing; a MATPOWER case has baseMVA, bus, gen and branch", file))
    if issues:
        raise InvalidInput(issues)
    base = matrices["baseMVA"]
    if base.size != 1 or not base.flat[0] > 0:
        issues.append(Issue("baseMVA", "", (), "must be one number greater than 0", file))
    for matrix, (least, _) in _MATRICES.items():
        if matrices[matrix].size and matrices[matrix].shape[1] < least:
            message = f"has {matrices[matrix].shape[1]} columns; MATPOWER's version 2 has at least {least}"
            issues.append(Issue(matrix, "", (), message, file, next(iter(lines.get(matrix, [])), None)))
        elif not matrices[matrix].size:
            matrices[matrix] = np.zeros((0, least))
    if issues:
        raise InvalidInput(issues)
    known = {"version", "baseMVA", *_MATRICES}
    names = {n: [str(cell) for cell in v] for n, v in fields.items() if isinstance(v, list) and n.endswith("_name")}
    other = {n: len(v) for n, v in fields.items() if isinstance(v, np.ndarray | list) and n not in known and n not in names}
    bus, gen, branch = (matrices[m] for m in _MATRICES)
    return Case(name, float(base.flat[0]), bus, gen, branch, other, names, lines, file)


def check(case: Case) -> None:
    """Look for dangling references, values that are no numbers, branches without impedance.

    Raises:
        InvalidInput: all that was found.
    """
    issues = list(_no_numbers(case)) or list(_contradictions(case))
    if issues:
        raise InvalidInput(issues)


def _no_numbers(case: Case) -> Iterator[Issue]:
    for matrix, (_, columns) in _MATRICES.items():
        values = getattr(case, matrix)[:, columns]
        for row in np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist():
            yield case.issue(matrix, "", row, "has a value that is no finite number")


def _contradictions(case: Case) -> Iterator[Issue]:
    numbers = case.bus[:, BUS_I]
    for row in np.flatnonzero((numbers != np.round(numbers)) | (numbers < 0)).tolist():
        yield case.issue("bus", "bus_i", row, f"must be a whole number, is {numbers[row]:g}")
    values, first = np.unique(numbers, return_index=True)
    for row in np.setdiff1d(np.arange(len(numbers)), first).tolist():
        yield case.issue("bus", "bus_i", row, f"bus {numbers[row]:g} appears more than once")
    for row in np.flatnonzero(~np.isin(case.bus[:, BUS_TYPE], (PQ, PV, REF, ISOLATED))).tolist():
        yield case.issue("bus", "type", row, f"must be 1, 2, 3 or 4, is {case.bus[row, BUS_TYPE]:g}")
    for matrix, column, label in (("gen", GEN_BUS, "bus"), ("branch", F_BUS, "fbus"), ("branch", T_BUS, "tbus")):
        bus = getattr(case, matrix)[:, column]
        for row in np.flatnonzero(~np.isin(bus, values)).tolist():
            yield case.issue(matrix, label, row, f"no such bus: {bus[row]:g}")
    branch = case.branch
    for row in np.flatnonzero((branch[:, BR_R] == 0) & (branch[:, BR_X] == 0) & (branch[:, BR_STATUS] > 0)).tolist():
        yield case.issue("branch", "x", row, "has neither resistance nor reactance; MATPOWER divides by zero here")
