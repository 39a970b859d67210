"""The part of MATLAB in which case files are written: assignments of numbers, matrices and text, and arithmetic on them.

A program is read statement by statement; each assigns to a name (`mpc.bus` is one name), to some elements of a matrix
(`mpc.bus(:, [PD QD]) = ...`) or to several names at once (`[PQ, PV] = idx_bus`); an `if` chooses among statements. What
cannot be read is remembered, and told only if a later statement needs it. Nothing is ever executed but arithmetic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from grid_models.errors import InvalidInput, Issue
from grid_models.formats.matlab_expression import CONTINUED, Expression, Matrix, Unreadable, Value

_LOOPS = ("for", "while", "switch", "try", "do", "parfor", "unwind_protect")
_ENDS = ("end", "endif", "endfor", "endwhile", "endswitch", "end_try_catch", "end_unwind_protect")
_PLAIN = frozenset("0123456789.,;+-eE \t\r\nInfaN")


@dataclass
class Program:
    """What a case file assigned.

    Args:
        values: name -> value; `mpc.bus` is one name.
        row_lines: name -> line of each row of a matrix that was written out.
        unread: name -> line and reason of what could not be read.
        function: name of the function, empty for a script.
    """

    values: dict[str, Value] = field(default_factory=dict)
    row_lines: dict[str, list[int]] = field(default_factory=dict)
    unread: dict[str, tuple[int, str]] = field(default_factory=dict)
    function: str = ""


def run(text: str, libraries: Mapping[str, Mapping[str, float]], file: str = "") -> Program:
    r"""Read a case file.

    Args:
        text: its content.
        libraries: functions that return named constants (`idx_bus`), each its names and values in order.
        file: for messages.

    Raises:
        InvalidInput: a statement that is none, or one that alters a matrix in a way that cannot be read.

    >>> float(run("a = [1 2; 3 4];\na(:, 2) = a(:, 2) / 2;", {}).values["a"][1, 1])
    2.0
    """
    program, blocks = Program(), _Blocks()
    line = 0
    for line, statement in _statements(text):
        try:
            if blocks.take(statement, program):
                continue
            if statement == "return":
                return program
            _execute(program, statement, line, libraries)
        except Unreadable as error:
            raise InvalidInput([Issue("", "", (), str(error), file=file, line=line)]) from None
    if not blocks.closed:
        raise InvalidInput([Issue("", "", (), "an `if` has no `end`", file=file, line=line)])
    return program


class _Blocks:
    """The `if`s around a statement, and what else of theirs wants an `end`."""

    def __init__(self) -> None:
        self._open: list[tuple[bool, bool]] = []  # whether the present branch is read, whether one was

    @property
    def closed(self) -> bool:
        """Whether every `if` has had its `end`."""
        return not self._open

    def take(self, statement: str, program: Program) -> bool:
        """Whether a statement is dealt with: it belongs to an `if`, or stands in a branch that is not read."""
        reading = all(live for live, _ in self._open)
        match = re.match(r"([A-Za-z]\w*)(.*)", statement, re.DOTALL)
        word, condition = match.groups() if match else ("", "")
        if word == "if":
            holds = reading and _holds(program, condition)
            self._open.append((holds, holds or not reading))
        elif word in _LOOPS and not reading:
            self._open.append((False, True))
        elif word in ("elseif", "else") and self._open:
            had = self._open.pop()[1]
            outside = all(live for live, _ in self._open)
            holds = outside and not had and (word == "else" or _holds(program, condition))
            self._open.append((holds, had or holds))
        elif word in _ENDS and self._open:
            self._open.pop()
        else:
            return not reading
        return True


def _holds(program: Program, condition: str) -> bool:
    value = Expression(program.values, program.unread, condition).value()
    if not isinstance(value, np.ndarray):
        raise Unreadable("text stands where a condition is needed")
    return bool(value.size and value.all())


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Statements with the line on which each begins; comments are gone, rows keep their newlines."""
    begun, depth, in_block = 0, 0, False
    parts: list[str] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        mark = raw.strip()
        if in_block or mark in ("%{", "#{"):
            in_block = mark not in ("%}", "#}")
            if parts:
                parts.append("\n")
            continue
        code, continued = _code(raw)
        if not parts and not code.strip():
            continue
        begun = begun if parts else number
        bare = re.sub(r"\"[^\"]*\"|(?<![\w)\]}'])'[^']*'", "", code) if "'" in code or '"' in code else code
        depth += sum(map(bare.count, "([{")) - sum(map(bare.count, ")]}"))
        parts.append(code + (CONTINUED if continued else "\n"))
        if depth <= 0 and not continued:
            yield from _split(begun, "".join(parts))
            parts, depth = [], 0
    if parts:
        yield from _split(begun, "".join(parts))


def _code(line: str) -> tuple[str, bool]:
    """The line without its comment, and whether it goes on in the next."""
    if "'" in line or '"' in line:
        at = next((at for at, c in _outside_text(line) if c in "%#"), len(line))
        line = line[:at]
    else:
        line = re.split(r"[%#]", line, maxsplit=1)[0]
    code, dots, _ = line.partition("...")
    return code, bool(dots)


def _outside_text(line: str) -> Iterator[tuple[int, str]]:
    """The characters that stand in no quoted text; after an operand a quote transposes."""
    quote, before = "", " "
    for at, c in enumerate(line):
        if quote:
            quote = "" if c == quote else quote
        elif c == '"' or (c == "'" and not (before.isalnum() or before in ")]}'_.")):
            quote = c
        else:
            yield at, c
        before = c


def _split(line: int, text: str) -> Iterator[tuple[int, str]]:
    """Cut at semicolons, commas and newlines outside of brackets and text."""
    if re.match(r"\s*[\w.]+\s*=\s*\[", text) and re.search(r"\]\s*;?\s*\Z", text) and text.count("[") == 1:
        yield line, text.strip().rstrip(";")  # a matrix written out: the common and the large case
        return
    depth, start, begun = 0, 0, line
    for at, c in _outside_text(text):
        if c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        elif depth <= 0 and c in ";,\n":
            if text[start:at].strip():
                yield begun, text[start:at].strip()
            start, begun = at + 1, line + _newlines(text[: at + 1])
    if text[start:].strip():
        yield begun, text[start:].strip()


def _newlines(text: str) -> int:
    return text.count("\n") + text.count(CONTINUED)


def _execute(program: Program, statement: str, line: int, libraries: Mapping[str, Mapping[str, float]]) -> None:
    word = re.match(r"[A-Za-z]\w*|", statement)
    first = word.group() if word else ""
    if first == "function":
        match = re.match(r"function\s+(?:\[?[\w\s,]*\]?\s*=\s*)?(\w+)", statement)
        program.function = match.group(1) if match else ""
    elif first in (*_LOOPS, "if", "elseif", "else"):
        raise Unreadable(
            f"`{first}` is not read, only assignments and `if`; run the file in MATLAB or Octave and save mpc as .mat"
        )
    elif statement in ("end", "endfunction"):
        pass
    elif statement in libraries:
        program.values |= {name: np.array([[value]]) for name, value in libraries[statement].items()}
    elif several := re.match(r"\[([\w\s,~\f]+)\]\s*=(?!=)\s*(\w+)\s*$", statement):
        _unpack(program, several.group(1), several.group(2), libraries)
    elif single := re.match(r"([A-Za-z]\w*(?:\.[A-Za-z]\w*)*)\s*=(?!=)", statement):
        _assign(program, single.group(1), statement[single.end() :], line)
    elif re.match(r"[A-Za-z][\w.]*\s*\(", statement) and re.search(r"\)\s*=(?!=)", statement):
        _assign_part(program, statement)
    else:
        raise Unreadable(f"is no statement that can be read: {statement[:60]!r}")


def _unpack(program: Program, names: str, library: str, libraries: Mapping[str, Mapping[str, float]]) -> None:
    if library not in libraries:
        raise Unreadable(f"{library} is unknown; known are {', '.join(libraries)}")
    wanted = re.findall(r"[\w~]+", names)
    values = list(libraries[library].values())
    if len(wanted) > len(values):
        raise Unreadable(f"{library} returns {len(values)} values, not {len(wanted)}")
    program.values |= {n: np.array([[v]]) for n, v in zip(wanted, values, strict=False) if n != "~"}


def _assign(program: Program, name: str, text: str, line: int) -> None:
    if any(known.startswith(f"{name}.") for known in program.values):
        raise Unreadable(f"{name} is given as a whole, after parts of it; one file cannot take over another's case")
    for known in (program.values, program.row_lines, program.unread):
        known.pop(name, None)
    body = text.strip()
    line += _newlines(text[: text.index(body)]) if body else 0
    if body.startswith("[") and body.endswith("]") and _PLAIN.issuperset(body[1:-1]) and not re.search(r"[-+]\s", body):
        try:
            program.values[name], program.row_lines[name] = _matrix(body[1:-1], line)
        except Unreadable as error:
            program.unread[name] = (error.offset, str(error))
        return
    expression = Expression(program.values, program.unread, body)
    try:
        program.values[name] = expression.value()
    except Unreadable as error:
        program.unread[name] = (line + expression.line_offset, str(error))
    else:
        program.row_lines[name] = [line + offset for offset in expression.row_offsets]


def _matrix(inside: str, line: int) -> tuple[Matrix, list[int]]:
    """A matrix that holds nothing but numbers, and the line of each row; `Unreadable.offset` is a line here."""
    rows: list[list[float]] = []
    lines: list[int] = []
    for number, text in enumerate(inside.split("\n"), start=line):
        for cells in text.replace(",", " ").split(";"):
            try:
                row = [float(cell) for cell in cells.split()]
            except ValueError:
                raise Unreadable(f"is no row of numbers: {cells.strip()[:60]!r}", number) from None
            if row and rows and len(row) != len(rows[0]):
                raise Unreadable(f"has a row of {len(row)} numbers among rows of {len(rows[0])}", number)
            if row:
                rows.append(row)
                lines.append(number)
    return (np.array(rows) if rows else np.zeros((0, 0))), lines


def _assign_part(program: Program, statement: str) -> None:
    """`A(i, j) = value`: into a matrix that is there already."""
    match = re.match(r"[\w.]+", statement)
    assert match is not None
    name = match.group()
    if name not in program.values:
        line, why = program.unread.get(name, (0, "it was never assigned"))
        raise Unreadable(f"alters {name}, which could not be read" + (f" in line {line}" if line else "") + f": {why}")
    target = program.values[name]
    if not isinstance(target, np.ndarray):
        raise Unreadable(f"alters {name}, which is no matrix")
    expression = Expression(program.values, program.unread, statement[match.end() :])
    rows, columns = expression.indices(target)
    expression.expect("=")
    value = expression.value()
    if not isinstance(value, np.ndarray):
        raise Unreadable(f"assigns text to {name}")
    if value.size == 0:
        raise Unreadable(f"deletes from {name}, which is not read")
    if value.size != 1 and value.shape != (len(rows), len(columns)):
        raise Unreadable(f"assigns {value.shape[0]} x {value.shape[1]} values to {len(rows)} x {len(columns)}")
    changed = target.copy()
    changed[np.ix_(rows, columns)] = value
    program.values[name] = changed
