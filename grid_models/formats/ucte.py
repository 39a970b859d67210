"""UCTE-DEF files (`.uct`), read through pandapower's converter, with an account of every row.

Reference: UCTE data exchange format for load flow and three phase short circuit studies, version 02 (2007).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grid_models.errors import InvalidInput, Issue
from grid_models.formats.pandapower import from_pandapower
from grid_models.import_report import ImportReport, Note
from grid_models.power.network import PowerNetwork

_SECTIONS = {"##C": "comment", "##N": "node", "##L": "line", "##T": "transformer", "##R": "regulation",
             "##TT": "special transformer", "##E": "exchange"}  # fmt: skip
# section -> field -> columns that hold a number
_NUMBERS: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "node": {
        "type": (24, 25), "voltage": (26, 32), "active load": (33, 40), "reactive load": (41, 48),
        "active generation": (49, 56), "reactive generation": (57, 64),
    },
    "line": {"status": (20, 21), "resistance": (22, 28), "reactance": (29, 35), "susceptance": (36, 44)},
    "transformer": {
        "status": (20, 21), "rated voltage 1": (22, 27), "rated voltage 2": (28, 33), "nominal power": (34, 39),
        "resistance": (40, 46), "reactance": (47, 53), "susceptance": (54, 62),
    },
}  # fmt: skip
_BRANCH_TABLES = {"line": ("from_bus", "to_bus"), "impedance": ("from_bus", "to_bus"), "trafo": ("hv_bus", "lv_bus")}
_EXCHANGE = "exchange programmes do not enter a load flow"
_LOST = "pandapower's converter has no element for it"


@dataclass(frozen=True)
class _Row:
    """One row of a section."""

    line: int
    section: str
    text: str

    @property
    def ends(self) -> tuple[str, str]:
        """The nodes of a connection."""
        return self.text[0:8].strip(), self.text[9:17].strip()

    @property
    def name(self) -> str:
        """As messages name it: a node's code, or both ends and the order code."""
        return self.text[0:8].strip() if self.section == "node" else " ".join((*self.ends, self.text[18:19])).strip()


def read_ucte(path: Path) -> PowerNetwork:
    """Read a UCTE-DEF file.

    Raises:
        InvalidInput: no UCTE file, rows that are none (with their line), or what pandapower's converter cannot read.
    """
    from pandapower.converter.ucte import from_ucte

    rows = list(_rows(path))
    issues = [replace(issue, file=str(path)) for issue in _faults(rows)]
    if issues:
        raise InvalidInput(issues)
    logging.disable(logging.WARNING)
    try:
        net = from_ucte(str(path), slack_as_gen=False)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        message = f"pandapower's converter cannot read it: {type(error).__name__}: {error}"
        raise InvalidInput([Issue("", "", (), message, file=str(path))]) from error
    finally:
        logging.disable(logging.NOTSET)
    return replace(from_pandapower(net, file=str(path)), report=_report(rows, net))


def _rows(path: Path) -> Iterator[_Row]:
    section = ""
    for line, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        head = text.strip().split(" ")[0]
        if head.startswith("##C"):
            section = "comment"
        elif head in _SECTIONS:
            section = _SECTIONS[head]
        elif not head.startswith("##") and text.strip() and section != "comment":
            yield _Row(line, section, text)


def _faults(rows: list[_Row]) -> Iterator[Issue]:
    nodes = {row.name for row in rows if row.section == "node"}
    if not nodes:
        yield Issue("##N", "", (), "there are no nodes; a UCTE file has a section ##N")
        return
    for row in rows:
        if not row.section:
            yield Issue("", "", (), f"stands before any section: {row.text[:40]!r}", line=row.line)
            continue
        for field, (start, end) in _NUMBERS.get(row.section, {}).items():
            text = row.text[start:end].strip()
            if text and not _is_number(text):
                message = f"must be a number (columns {start + 1} to {end}), is {text!r}"
                yield Issue(row.section, field, (row.name,), message, line=row.line)
        if row.section in ("line", "transformer", "regulation"):
            for end_node in row.ends:
                if end_node not in nodes:
                    yield Issue(row.section, "node", (row.name,), f"no such node: {end_node!r}", line=row.line)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _report(rows: list[_Row], net: Any) -> ImportReport:
    """Nodes by their code; connections by their ends, as many as the tables hold between the same two."""
    code = net.bus.ucte_name.astype(str)
    left = Counter(
        tuple(sorted((code.at[a], code.at[b])))
        for table, (start, end) in _BRANCH_TABLES.items()
        for a, b in zip(net[table][start], net[table][end], strict=True)
    )
    left.update(tuple(sorted((code.at[a], code.at[b]))) for a, b in zip(net.switch.bus, net.switch.element, strict=True))
    nodes, connected = set(code), set(left)
    source: Counter[str] = Counter()
    mapped: Counter[str] = Counter()
    dropped = []
    for row in rows:
        source[row.section] += 1
        pair = tuple(sorted(row.ends))
        if row.section in ("line", "transformer"):
            kept = left[pair] > 0
            left[pair] -= 1
        else:
            kept = row.name in nodes if row.section == "node" else pair in connected
        if kept and row.section != "exchange":
            mapped[row.section] += 1
        else:
            dropped.append(Note(row.section, (row.name,), _EXCHANGE if row.section == "exchange" else _LOST))
    return ImportReport(dict(source), dict(mapped), (), tuple(dropped))
