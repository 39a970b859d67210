"""The text of an .inp file: decoded, cut into sections, searched for what EPANET's own parser lets pass.

EPANET reads `nan`, `inf` and `1e400` as numbers, stops a line at a NUL byte, and takes a line that ends too early for
a shorter kind of line (half a tank becomes a reservoir). All of these become issues here, before it sees the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from grid_models.errors import Issue

_SECTIONS = (
    "TITLE", "JUNCTIONS", "RESERVOIRS", "TANKS", "PIPES", "PUMPS", "VALVES", "CONTROLS", "RULES", "DEMANDS",
    "SOURCES", "EMITTERS", "PATTERNS", "CURVES", "QUALITY", "STATUS", "ROUGHNESS", "ENERGY", "REACTIONS", "MIXING",
    "REPORT", "TIMES", "OPTIONS", "COORDINATES", "VERTICES", "LABELS", "BACKDROP", "TAGS", "LEAKAGE", "END",
)  # fmt: skip
_HEADINGS = {f"[{name}]": name for name in _SECTIONS}


def section_name(line: str) -> str:
    """The section that a line opens, in capitals; empty for every other line.

    >>> section_name(" [Pipes] ;links"), section_name(" P1 J1 J2")
    ('PIPES', '')
    """
    stripped = line.strip()
    if not stripped.startswith("["):
        return ""
    word = stripped.split(maxsplit=1)[0].upper()
    known = next((name for heading, name in _HEADINGS.items() if word.startswith(heading)), None)
    return known or word.strip("[]") or "["


# Section -> fewest tokens of a line, positions that must hold a number.
_SHAPES: dict[str, tuple[int, slice]] = {
    "JUNCTIONS": (2, slice(1, 3)),
    "RESERVOIRS": (2, slice(1, 2)),
    "TANKS": (2, slice(1, 7)),
    "PIPES": (6, slice(3, 7)),
    "VALVES": (6, slice(3, 4)),
    "PUMPS": (5, slice(0)),
    "DEMANDS": (2, slice(1, 2)),
    "EMITTERS": (2, slice(1, 2)),
    "LEAKAGE": (2, slice(1, 3)),
    "PATTERNS": (2, slice(1, None)),
    "CURVES": (3, slice(1, 3)),
    "STATUS": (2, slice(1, 2)),
    "COORDINATES": (3, slice(1, 3)),
    "VERTICES": (3, slice(1, 3)),
    "QUALITY": (2, slice(1, None)),
    "SOURCES": (2, slice(2, 3)),
    "CONTROLS": (6, slice(2, 3)),
    "RULES": (2, slice(0)),
    "TIMES": (2, slice(0)),
    "OPTIONS": (2, slice(0)),
    "ENERGY": (3, slice(0)),
    "REACTIONS": (3, slice(-1, None)),
}
_NUMBER_LIKE = re.compile(r"[+-]?(nan(\(.*\))?|inf(inity)?|0x[0-9a-f.]+(p[+-]?\d+)?|(\d+\.?\d*|\.\d+)(e[+-]?\d+)?)$", re.I)
_CLOCK = re.compile(r"\d+(\.\d*)?(:\d+(\.\d*)?){0,2}$")
_ERROR = re.compile(r"Error (\d+): (.*)")
_QUOTED_SECTION = re.compile(r"\[(\w+)\]")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of data: number from 1, section without brackets, tokens without the comment."""

    number: int
    section: str
    tokens: tuple[str, ...]


@dataclass(frozen=True)
class InpText:
    r"""The text of an .inp file.

    Args:
        text: decoded, with `\n` line ends.
        file: the name issues give.
    """

    text: str
    file: str = ""

    @classmethod
    def decode(cls, raw: bytes, file: str = "") -> InpText:
        """Text from bytes: UTF-8 with or without mark, else Windows-1252 (what EPANET's own Windows program writes)."""
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            try:
                text = raw.decode("cp1252")
            except UnicodeDecodeError:
                text = raw.decode("latin-1")
        return cls(text.replace("\r\n", "\n").replace("\r", "\n"), file)

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """Every line that holds data, up to [END]."""
        return tuple(self._walk())

    def _walk(self) -> Iterator[Line]:
        section = ""
        for number, raw in enumerate(self.text.split("\n"), start=1):
            name = section_name(raw)
            if name == "END":
                return
            section = name or section
            tokens = tuple(raw.split(";", 1)[0].split())
            if tokens and not name:
                yield Line(number, section, tokens)

    @cached_property
    def headings(self) -> dict[str, int]:
        """Section -> the number of the line that opens it first."""
        out: dict[str, int] = {}
        for number, raw in enumerate(self.text.split("\n"), start=1):
            out.setdefault(section_name(raw), number)
        return out

    @cached_property
    def definitions(self) -> dict[tuple[str, str], int]:
        """(section, id) -> the number of the line that defines it; a control's id is its place in the section."""
        out: dict[tuple[str, str], int] = {}
        controls = 0
        for line in self.lines:
            label = line.tokens[0]
            if line.section == "CONTROLS":
                controls += 1
                label = str(controls)
            elif line.section == "RULES":
                label = line.tokens[1] if label.upper() == "RULE" else ""
            out.setdefault((line.section, label), line.number)
        return out

    def line_of(self, section: str, label: str) -> int:
        """Where an element is defined; else where its section begins, else the first line."""
        for place in (section, "JUNCTIONS"):  # a demand may stand with its junction
            if (place, label) in self.definitions:
                return self.definitions[place, label]
        return self.headings.get(section, 1)

    def issue(self, line: Line, field: str, message: str) -> Issue:
        """An issue about one line, named by its section and first token."""
        return Issue(f"[{line.section}]", field, (line.tokens[0],), message, file=self.file, line=line.number)

    def issues(self) -> list[Issue]:
        """Everything wrong that EPANET itself would let pass."""
        if "\0" in self.text:
            return [self._nul()]
        if not self.lines:
            return [Issue("[JUNCTIONS]", "", (), "the file holds no network", file=self.file, line=1)]
        out: list[Issue] = []
        for line in self.lines:
            out += self._line_issues(line)
        return out + self._half_tanks() + self._cut_off()

    def _half_tanks(self) -> list[Issue]:
        """Tanks that EPANET would take for reservoirs; two items are the old way to write a real reservoir."""
        tanks = [line for line in self.lines if line.section == "TANKS"]
        reservoirs_only = all(len(line.tokens) == 2 for line in tanks)
        halves = [line for line in tanks if len(line.tokens) < 6 and not reservoirs_only]
        return [self.issue(line, "", f"the line ends early: {len(line.tokens)} of at least 6 items") for line in halves]

    def _cut_off(self) -> list[Issue]:
        """A last line without its end, in a file without [END]: the rest of the file is missing."""
        last = self.text.rsplit("\n", 1)[-1]
        if not last.split(";")[0].strip() or last.lstrip().startswith("[") or "[END]" in self.text.upper():
            return []
        return [self.issue(self.lines[-1], "", "the file ends in the middle of this line; [END] should close it")]

    def _nul(self) -> Issue:
        number = self.text.count("\n", 0, self.text.index("\0")) + 1
        names = [section_name(raw) for raw in self.text.split("\n")[:number]]
        section = next((name for name in reversed(names) if name), "TITLE")
        message = "holds a NUL byte; save the file as plain text (UTF-8)"
        return Issue(f"[{section}]", "", (), message, file=self.file, line=number)

    def _line_issues(self, line: Line) -> Iterator[Issue]:
        if line.section not in _SHAPES:
            return
        fewest, numeric = _SHAPES[line.section]
        if line.section == "SOURCES" and len(line.tokens) == 2 and not _NUMBER_LIKE.match(line.tokens[1]):
            fewest = 3  # a kind of source without its strength: EPANET 2.3.5 reads past the end of the line
        if len(line.tokens) < fewest:
            yield self.issue(line, "", f"the line ends early: {len(line.tokens)} of at least {fewest} items")
        for token in (*line.tokens[numeric], *_keyed_numbers(line)):
            if _NUMBER_LIKE.match(token) and not _is_finite(token):
                yield self.issue(line, "", f"{token} is not a finite decimal number")
        for token in _clock_tokens(line):
            if not _CLOCK.match(token):
                yield self.issue(line, "", f"{token} is not a time; write hours, or h:mm, or h:mm:ss")

    def engine_issues(self, report: str) -> list[Issue]:
        """What EPANET's report file says about its own refusal, with section and line.

        Args:
            report: the text of the report file, read after the project was closed.
        """
        rows = [row.strip() for row in report.split("\n")]
        out: list[Issue] = []
        for row, following in zip(rows, [*rows[1:], ""], strict=True):
            match = _ERROR.search(row)
            if match is None or match[1] == "200":
                continue
            out.append(self._engine_issue(match[1], match[2].strip(), following))
        return out

    def _engine_issue(self, code: str, message: str, quoted: str) -> Issue:
        reason = re.sub(r" (in \[\w+\] section|in following line of .*):?$", "", message)
        if code == "299":  # the quoted line is the unknown heading itself
            at = next((k for k, raw in enumerate(self.text.split("\n"), 1) if raw.strip() == quoted), 1)
            return Issue(quoted, "", (), f"unknown section (EPANET error {code})", file=self.file, line=at)
        match = _QUOTED_SECTION.search(message)
        in_rule = "of Rule" in message or "RULES" in message
        section = "RULES" if in_rule else match[1].upper() if match else ""
        wanted = tuple(quoted.split(";", 1)[0].split())
        whole = (x.number for x in self.lines if x.tokens == wanted and section in ("", x.section))
        number = next(whole, None)
        if number is None and wanted:
            number = next((x.number for x in self.lines if x.tokens[: len(wanted)] == wanted), None)
        if number is None:
            number = self.headings.get(section, 1)
        ids = wanted[:1] if not in_rule else tuple(re.findall(r"of Rule ([^:]+):", message))
        return Issue(f"[{section or 'TITLE'}]", "", ids, f"{reason} (EPANET error {code})", self.file, number)


def _is_finite(token: str) -> bool:
    try:
        return math.isfinite(float(token))
    except ValueError:
        return False


def _keyed_numbers(line: Line) -> tuple[str, ...]:
    """Numbers that stand behind a keyword rather than at a fixed place."""
    tokens, upper = line.tokens, [t.upper() for t in line.tokens]
    match line.section:
        case "PUMPS":
            return tuple(tokens[i + 1] for i in range(3, len(tokens) - 1) if upper[i] in ("POWER", "SPEED"))
        case "VALVES":
            return tokens[6:7] if len(tokens) > 4 and upper[4] == "GPV" else tokens[5:7]
        case "CONTROLS" | "TIMES":
            return tokens[-1:]
        case "RULES":
            return tokens[-1:] if upper[0] != "RULE" else ()
        case "OPTIONS":
            return () if upper[0] in ("PATTERN", "MAP", "HYDRAULICS", "QUALITY") else tokens[-1:]
        case "ENERGY":
            return () if "PATTERN" in upper or "EFFIC" in upper[2:3] else tokens[-1:]
        case _:
            return ()


def _clock_tokens(line: Line) -> tuple[str, ...]:
    """Tokens that are times of the form h:mm:ss."""
    if line.section == "TIMES":
        return tuple(t for t in line.tokens[1:] if ":" in t)
    if line.section in ("CONTROLS", "RULES") and any("TIME" in t.upper() for t in line.tokens[2:]):
        return tuple(t for t in line.tokens[4:] if ":" in t)
    return ()
