"""MATLAB's expressions on float64 matrices of two dimensions, text, and lists (cells): a recursive-descent evaluator.

Precedence as in MATLAB, from loose to tight: or, and, comparison, range, sum, product, sign, power, transpose. Inside of
brackets a space separates elements: `[1 -2]` holds two numbers, `[1 - 2]` one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Value = Matrix | str | list[Any]

CONTINUED = "\f"
"""Stands where a line was continued: white space that counts as a line."""

_TOKEN = re.compile(
    r"(?P<space>[ \t\r\f]+)"
    r"|(?P<number>(?:\d+(?:\.(?![*/^'])\d*)?|\.\d+)(?:[eEdD][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z]\w*(?:\.[A-Za-z]\w*)*)"
    r"|(?P<text>\"[^\"\n]*\")"
    r"|(?P<operator>\.\*|\./|\.\^|==|~=|<=|>=|&&|\|\||[-+*/^<>&|~()\[\]{},;:='\n])"
)
_LEVELS = (("|", "||"), ("&", "&&"), ("<", "<=", ">", ">=", "==", "~="), (":",), ("+", "-"), ("*", "/", ".*", "./"))
_NAMED = {"pi": np.pi, "inf": np.inf, "Inf": np.inf, "nan": np.nan, "NaN": np.nan, "eps": 2.0**-52, "true": 1.0, "false": 0.0}
_OPERATORS: Mapping[str, Callable[[Matrix, Matrix], Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, ".*": np.multiply, "/": np.divide, "./": np.divide,
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal, "~=": np.not_equal,
    "&": np.logical_and, "&&": np.logical_and, "|": np.logical_or, "||": np.logical_or,
}  # fmt: skip
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "sqrt": np.sqrt, "abs": np.abs, "exp": np.exp, "log": np.log, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2, "log10": np.log10,
    "isinf": np.isinf, "isnan": np.isnan, "isempty": lambda a: a.size == 0, "any": lambda a: a.any(axis=0 if len(a) > 1 else 1),
    "all": lambda a: a.all(axis=0 if len(a) > 1 else 1),
    "round": np.round, "floor": np.floor, "ceil": np.ceil, "sign": np.sign, "deg2rad": np.deg2rad, "rad2deg": np.rad2deg,
    "max": np.maximum, "min": np.minimum, "sum": lambda a: a.sum(axis=0 if len(a) > 1 else 1),
    "zeros": lambda m, n: np.zeros((int(m.item()), int(n.item()))),
    "ones": lambda m, n: np.ones((int(m.item()), int(n.item()))),
    "numel": np.size, "length": lambda a: max(a.shape), "size": lambda a, k: a.shape[int(k.item()) - 1],
    "find": lambda a: np.flatnonzero(a.ravel(order="F"))[:, None] + 1.0,
}  # fmt: skip


class Unreadable(ValueError):
    """A statement or value outside of the part of MATLAB that is read."""

    def __init__(self, message: str, offset: int = 0) -> None:
        self.offset = offset
        super().__init__(message)


class Token(NamedTuple):
    """One token: its kind, its text, and whether a space stands before it."""

    kind: str
    text: str
    spaced: bool


class Expression:
    """One expression; each method consumes tokens and returns a value.

    Args:
        values: name -> value.
        unread: name -> line and reason of what could not be read.
        text: what stands right of the equals sign.

    >>> float(Expression({}, {}, "12 / sqrt(4) - 2^2").value()[0, 0])
    2.0
    """

    def __init__(self, values: Mapping[str, Value], unread: Mapping[str, tuple[int, str]], text: str) -> None:
        self.values = values
        self.unread = unread
        self.at = 0
        self.in_brackets = False
        self.row_offsets: list[int] = []
        self._lines: list[int] = []  # of each token, counted from 0
        self._tokens = list(self._scan(text))

    @property
    def line_offset(self) -> int:
        """Lines between the beginning of the text and the token where reading stands."""
        return self._lines[min(self.at, len(self._lines) - 1)] if self._lines else 0

    def value(self) -> Value:
        """The value of everything that is left."""
        result = self._binary(0)
        if self.at < len(self._tokens):
            raise Unreadable(f"cannot be read from {self._tokens[self.at].text!r} on")
        return result

    def expect(self, text: str) -> None:
        """Consume one operator."""
        if not self._take(text):
            found = self._tokens[self.at].text if self.at < len(self._tokens) else "the end"
            raise Unreadable(f"expected {text!r}, found {found!r}")

    def indices(self, target: Matrix) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of `(i, j)`, `(:, j)`, or `(i)` into a vector, counted from 0."""
        self.expect("(")
        outer, self.in_brackets = self.in_brackets, False
        first = self._index(target.shape[0] if not self._is_single(target) else target.size)
        if self._take(")"):
            if min(target.shape) > 1:
                raise Unreadable("one index into a matrix is not read; write (row, column)")
            none = np.zeros(1, dtype=np.int64)
            found = (none, first) if target.shape[0] == 1 else (first, none)
        else:
            self.expect(",")
            found = (first, self._index(target.shape[1]))
            self.expect(")")
        self.in_brackets = outer
        return found

    def _is_single(self, target: Matrix) -> bool:
        """Whether a lone index follows, up to its closing bracket."""
        depth = 0
        for token in self._tokens[self.at :]:
            if token.kind == "operator" and token.text in "([{":
                depth += 1
            elif token.kind == "operator" and token.text in ")]}":
                if depth == 0:
                    return bool(min(target.shape) == 1)
                depth -= 1
            elif depth == 0 and token.kind == "operator" and token.text == ",":
                return False
        return False

    def _index(self, n: int) -> NDArray[np.int64]:
        if self._peek(":") and (self._peek(")", 1) or self._peek(",", 1)):
            self.at += 1
            return np.arange(n)
        index = _numbers(self._binary(0)).ravel()
        if not np.all((index >= 1) & (index <= n) & (index == np.round(index))):
            raise Unreadable(f"there is no element {index.tolist()[:3]} among {n}")
        return index.astype(np.int64) - 1

    def _peek(self, text: str, ahead: int = 0) -> bool:
        place = self.at + ahead
        if place >= len(self._tokens):
            return False
        return self._tokens[place].kind == "operator" and self._tokens[place].text == text

    def _take(self, *texts: str) -> str:
        for text in texts:
            if self._peek(text):
                self.at += 1
                return text
        return ""

    def _begins_element(self) -> bool:
        """Inside of brackets: whether the sign ahead begins a new element."""
        after = self._tokens[self.at + 1].spaced if self.at + 1 < len(self._tokens) else True
        return self.in_brackets and self._tokens[self.at].spaced and not after

    def _binary(self, level: int) -> Value:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while self.at < len(self._tokens) and self._tokens[self.at].kind == "operator":
            text = self._tokens[self.at].text
            if text not in _LEVELS[level] or (text in "+-" and self._begins_element()):
                break
            self.at += 1
            left = _apply(text, _numbers(left), _numbers(self._binary(level + 1)))
        return left

    def _unary(self) -> Value:
        sign = self._take("-", "+", "~")
        if not sign:
            return self._power()
        operand = _numbers(self._unary())
        return -operand if sign == "-" else operand if sign == "+" else (operand == 0).astype(np.float64)

    def _power(self) -> Value:
        base = self._postfix()
        while operator := self._take("^", ".^"):
            exponent = _numbers(self._unary() if self._peek("-") else self._postfix())
            number = _numbers(base)
            if operator == "^" and (number.size > 1 or exponent.size > 1):
                raise Unreadable("powers of matrices are not read; .^ is the power of each element")
            base = np.asarray(number**exponent, dtype=np.float64)
        return base

    def _postfix(self) -> Value:
        value = self._primary()
        while self._peek("'") and not self._tokens[self.at].spaced:
            self.at += 1
            value = _numbers(value).T
        return value

    def _primary(self) -> Value:
        if self.at >= len(self._tokens):
            raise Unreadable("ends in the middle of an expression")
        token = self._tokens[self.at]
        if token.kind == "operator" and token.text not in ("(", "[", "{"):
            raise Unreadable(f"{token.text!r} has no place there")
        if token.kind == "name":
            return self._named(token.text)
        self.at += 1
        if token.kind == "number":
            return np.array([[float(token.text.lower().replace("d", "e"))]])
        if token.kind == "text":
            return token.text
        if token.text == "(":
            outer, self.in_brackets = self.in_brackets, False
            value = self._binary(0)
            self.expect(")")
            self.in_brackets = outer
            return value
        return self._brackets("]" if token.text == "[" else "}")

    def _named(self, name: str) -> Value:
        called = self._peek("(", 1) and not (self.in_brackets and self._tokens[self.at + 1].spaced)
        if name in self.unread:
            line, why = self.unread[name]
            raise Unreadable(f"needs {name}, which could not be read in line {line}: {why}")
        if not (name in self.values or (name in _FUNCTIONS if called else name in _NAMED)):
            raise Unreadable(f"{name} is unknown")
        self.at += 1
        if name in self.values:
            value = self.values[name]
            if not called:
                return value
            matrix = _numbers(value)
            rows, columns = self.indices(matrix)
            return np.asarray(matrix[np.ix_(rows, columns)])
        return self._call(name) if called else np.array([[_NAMED[name]]])

    def _call(self, name: str) -> Value:
        self.expect("(")
        outer, self.in_brackets = self.in_brackets, False
        arguments = [_numbers(self._binary(0))]
        while self._take(","):
            arguments.append(_numbers(self._binary(0)))
        self.expect(")")
        self.in_brackets = outer
        try:
            result = np.asarray(_FUNCTIONS[name](*arguments), dtype=np.float64)
        except (TypeError, ValueError, IndexError) as error:
            raise Unreadable(f"{name}: {error}") from None
        return result if result.ndim == 2 else result.reshape(1, -1)

    def _brackets(self, closing: str) -> Value:
        outer, self.in_brackets = self.in_brackets, True
        rows: list[list[Value]] = [[]]
        offsets = [self.line_offset]
        while not self._peek(closing):
            if self.at >= len(self._tokens):
                raise Unreadable(f"{closing!r} is missing")
            if self._take(";", "\n"):
                rows.append([])
                offsets.append(self.line_offset)
            elif not self._take(","):
                rows[-1].append(self._binary(0))
        self.at += 1
        self.in_brackets = outer
        if not outer:
            self.row_offsets = [offset for row, offset in zip(rows, offsets, strict=True) if row]
        rows = [row for row in rows if row]
        if closing == "}":
            return [cell for row in rows for cell in row]
        if len(rows) == 1 and len(rows[0]) == 1 and isinstance(rows[0][0], str):
            return rows[0][0]
        try:
            return np.vstack([np.hstack([_numbers(cell) for cell in row]) for row in rows]) if rows else np.zeros((0, 0))
        except ValueError as error:
            raise Unreadable(f"its rows do not fit together: {error}") from None

    def _scan(self, text: str) -> Iterator[Token]:
        at, line, spaced, operand = 0, 0, False, False
        while at < len(text):
            if text[at] == "'" and not (operand and not spaced):
                match = re.compile(r"'((?:[^'\n]|'')*)'").match(text, at)  # a doubled quote stands for one
                if match is None:
                    raise Unreadable("a quote is not closed", line)
                token, at, operand = Token("text", match.group(1).replace("''", "'"), spaced), match.end(), True
            else:
                match = _TOKEN.match(text, at)
                if match is None:
                    raise Unreadable(f"{text[at]!r} is not read", line)
                kind, found, at = str(match.lastgroup), match.group(), match.end()
                if kind == "space":
                    spaced, line = True, line + found.count(CONTINUED)
                    continue
                token = Token(kind, found.strip('"') if kind == "text" else found, spaced)
                operand = kind != "operator" or found in ")]}'"
            self._lines.append(line)
            line += token.kind == "operator" and token.text == "\n"
            spaced = False
            yield token


def _numbers(value: Value) -> Matrix:
    if not isinstance(value, np.ndarray):
        raise Unreadable("text stands where a number is needed")
    return value


def _apply(operator: str, a: Matrix, b: Matrix) -> Matrix:
    if operator == ":":
        return np.arange(a.item(), b.item() + 0.5)[None, :]
    if operator == "/" and b.size > 1:
        raise Unreadable("division by a matrix is not read; ./ divides element by element")
    if operator == "*" and a.size > 1 and b.size > 1:
        raise Unreadable("products of matrices are not read; .* multiplies element by element")
    try:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(_OPERATORS[operator](a, b), dtype=np.float64)
    except ValueError as error:
        raise Unreadable(f"sizes do not fit: {error}") from None
