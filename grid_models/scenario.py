"""Patches: named changes to a network, as an engineer writes them.

    [[change]]
    at = "18:00"                      # or after = "2h"; absent = at once
    set = { element = "line 7", column = "in_service", value = false }

    [[change]]
    scale = { element = "load *", column = "p_mw", factor = 1.2 }

Verbs: `set`, `scale`, `create` (`{ table, id, fields }`), `remove` (`{ element }`). An element is its table and its id:
pandapower's index or a unique name, an .inp id, or `*` for all. The grammar is docs/patch.schema.json.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_models.columns import COLUMNS, Column, Role
from grid_models.errors import InvalidInput, Issue
from grid_models.network import Network
from grid_models.power.network import PowerNetwork
from grid_models.tables import Table, frozen

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SPAN_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Change:
    """One change.

    Args:
        verb: `set`, `scale`, `create` or `remove`.
        table: element table.
        id: the element's id or name, `*` for all.
        column: the column that is set or scaled.
        value: the new value, or the factor.
        fields: column -> value of a created element.
        clock_s: time of day at which it happens, None where not given [s].
        after_s: time since the scenario's start, None where not given [s].
    """

    verb: str
    table: str
    id: str
    column: str = ""
    value: Any = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    clock_s: float | None = None
    after_s: float | None = None

    @staticmethod
    def from_table(number: int, entry: Mapping[str, Any]) -> Change:
        """One `[[change]]` table, as the grammar has it.

        Args:
            number: of the change, from 1, for the error.
            entry: the table.

        Raises:
            InvalidInput: it is none.
        """
        try:
            return _change(entry)
        except ValueError as error:
            raise InvalidInput([Issue("change", "", (number,), str(error))]) from None

    def told(self) -> str:
        """The change on one line."""
        when = "" if self.after_s is None and self.clock_s is None else f" ({_toml(self).splitlines()[1]})"
        match self.verb:
            case "set":
                return f"{self.table} {self.id}: {self.column} = {_literal(self.value)}{when}"
            case "scale":
                return f"{self.table} {self.id}: {self.column} times {_literal(self.value)}{when}"
            case _:
                return f"{self.verb} {self.table} {self.id}{when}"

    def due_s(self, start_clock_s: float) -> float:
        """Seconds after a scenario's start at which the change happens.

        >>> Change("remove", "line", "7", clock_s=3600.0).due_s(start_clock_s=82800.0)
        7200.0
        """
        if self.after_s is not None:
            return self.after_s
        return 0.0 if self.clock_s is None else (self.clock_s - start_clock_s) % 86400.0


@dataclass(frozen=True)
class Patch:
    """Changes in the order in which they are applied."""

    changes: tuple[Change, ...] = ()

    @staticmethod
    def from_toml(text: str, file: str = "") -> Patch:
        """Read a patch.

        Raises:
            InvalidInput: not TOML, or changes that are none; all of them at once, by number.
        """
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InvalidInput([Issue("", "", (), f"is not TOML: {error}", file=file)]) from None
        unknown = set(document) - {"change"}
        issues = [Issue("patch", key, (), "is unknown; a patch holds [[change]] tables", file=file) for key in unknown]
        changes: list[Change] = []
        for number, entry in enumerate(document.get("change", []), start=1):
            try:
                changes.append(_change(entry))
            except ValueError as error:
                issues.append(Issue("change", "", (number,), str(error), file=file))
        if issues:
            raise InvalidInput(issues)
        return Patch(tuple(changes))

    def to_toml(self) -> str:
        """Write it as TOML; reading it again gives the same patch."""
        return "\n".join(_toml(change) for change in self.changes)

    def by_time(self, start_clock_s: float = 0.0) -> list[tuple[float, Patch]]:
        """The changes grouped by when they happen [s after start], earliest first."""
        due = [(c.due_s(start_clock_s), c) for c in self.changes]
        return [(t, Patch(tuple(c for when, c in due if when == t))) for t in sorted({t for t, _ in due})]


def apply(network: Network, patch: Patch) -> Network:
    """The network with all changes made, whatever their time; what is untouched is shared.

    Args:
        network: the base; it is not changed.
        patch: the changes.

    Returns:
        A network of the same kind.

    Raises:
        InvalidInput: elements, columns or values that do not exist or cannot be; all of them at once.
    """
    issues: list[Issue] = []
    tables = dict(network.tables)
    rederive = False
    for number, change in enumerate(patch.changes, start=1):
        try:
            tables[change.table] = _applied(tables, change)
        except ValueError as error:
            issues.append(Issue("change", f"{change.table} {change.id}", (number,), str(error)))
            continue
        column = COLUMNS.get(f"{change.table}_{change.column}")
        rederive |= change.verb in ("create", "remove") or (column is not None and column.role is Role.PARAMETER)
    if issues:
        raise InvalidInput(issues)
    edited = replace(network, tables=tables)
    if rederive and isinstance(edited, PowerNetwork):
        from grid_models.formats.pandapower import rederived

        return rederived(edited)
    return edited


def affected(network: Network, change: Change) -> NDArray[np.int64]:
    """Rows of its table that a `set` or `scale` speaks of.

    Raises:
        ValueError: there is no such element.
    """
    return _rows(network.tables[change.table], change)


def _applied(tables: Mapping[str, Table], change: Change) -> Table:
    if change.table not in tables:
        raise ValueError(f"there is no table {change.table}; there are {', '.join(sorted(tables))}")
    table = tables[change.table]
    if change.verb == "create":
        return _created(table, change)
    rows = _rows(table, change)
    if change.verb == "remove":
        keep = np.setdiff1d(np.arange(table.size), rows)
        return Table(frozen(table.index[keep]), {n: frozen(c[keep]) for n, c in table.items()})
    declared = COLUMNS.get(f"{change.table}_{change.column}")
    if declared is not None and declared.role is Role.RESULT:
        raise ValueError(f"{change.column} is a result and cannot be set")
    if change.column not in table:
        if declared is None or declared.default is None:
            raise ValueError(f"there is no column {change.column}; there are {', '.join(sorted(table))}")
        table = Table(table.index, {**table.columns, change.column: frozen(np.full(table.size, declared.default))})
    return table.replace(change.column, rows, _value(table, rows, change, declared))


def _rows(table: Table, change: Change) -> NDArray[np.int64]:
    if change.id == "*":
        return np.arange(table.size)
    as_index = table.index.astype(str) == change.id
    if as_index.any():
        return np.flatnonzero(as_index)
    if "name" in table:
        named = np.flatnonzero(table["name"].astype(str) == change.id)
        if len(named) == 1:
            return named
        if len(named) > 1:
            raise ValueError(f"{len(named)} elements bear this name; give the index")
    shown = ", ".join(map(str, table.index[:5].tolist()))
    raise ValueError(f"there is no such {change.table}; ids begin with {shown}")


def _value(table: Table, rows: NDArray[np.int64], change: Change, declared: Column | None) -> Any:
    column = table[change.column]
    if change.verb == "scale":
        if column.dtype.kind not in "fiu":
            raise ValueError(f"{change.column} is no number and cannot be scaled")
        return column[rows] * float(change.value)
    value = change.value
    if column.dtype.kind == "b" and not isinstance(value, bool):
        raise ValueError(f"{change.column} takes true or false, not {value!r}")
    if column.dtype.kind in "fiu":
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise ValueError(f"{change.column} takes a finite number, not {value!r}")
        if declared is not None and not declared.lower <= value <= declared.upper:
            raise ValueError(f"{change.column} must lie in [{declared.lower:g}, {declared.upper:g}] {declared.unit}")
    if declared is not None and declared.dtype == "array":
        return _cells(change.column, value, len(rows))
    if column.dtype.kind in "OU":
        if not isinstance(value, str):
            raise ValueError(f"{change.column} takes text, not {value!r}")
        known = sorted({str(v) for v in column.tolist()})
        if change.column == "status" and value not in ("open", "closed", "active", "check_valve"):
            raise ValueError(f"status must be open, closed or active, not {value!r}; here are {', '.join(known)}")
    return value


def _cells(column: str, value: Any, count: int) -> NDArray[np.object_]:
    """The same list of numbers for `count` elements (a pattern's multipliers, a curve's points)."""
    numbers = value if isinstance(value, list) else [None]
    if not numbers or any(isinstance(v, bool) or not isinstance(v, int | float) or not np.isfinite(v) for v in numbers):
        raise ValueError(f"{column} takes a list of finite numbers, not {value!r}")
    cells: NDArray[np.object_] = np.empty(count, dtype=object)
    for row in range(count):
        cells[row] = frozen(np.array(value, dtype=np.float64))
    return cells


def _created(table: Table, change: Change) -> Table:
    label: int | str = int(change.id) if table.index.dtype.kind == "i" else change.id
    if label in table.index.tolist():
        raise ValueError("exists already")
    unknown = set(change.fields) - set(table)
    if unknown:
        raise ValueError(f"there are no columns {', '.join(sorted(unknown))}")
    columns = {}
    for name, column in table.items():
        declared = COLUMNS.get(f"{change.table}_{name}")
        if name in change.fields:
            value = change.fields[name]
            if declared is not None and declared.dtype == "array":
                value = _cells(name, value, 1)[0]
        elif declared is not None and declared.default is not None:
            value = declared.default
        elif column.dtype.kind == "f":
            value = np.nan
        elif column.dtype.kind in "OU":
            value = ""
        else:
            raise ValueError(f"needs a value for {name}")
        grown = np.empty(table.size + 1, dtype=column.dtype if column.dtype.kind != "U" else object)
        grown[:-1], grown[-1] = column, value
        columns[name] = frozen(grown)
    return Table(frozen(np.append(table.index, label)), columns)


def _change(entry: Any) -> Change:
    if not isinstance(entry, dict):
        raise ValueError("is no table")  # noqa: TRY004 - the caller turns every ValueError into an issue
    verbs = [v for v in ("set", "scale", "create", "remove") if v in entry]
    unknown = set(entry) - {"at", "after", "set", "scale", "create", "remove"}
    if len(verbs) != 1 or unknown:
        raise ValueError(f"needs exactly one of set, scale, create, remove, besides at or after; has {', '.join(entry)}")
    verb, body = verbs[0], entry[verbs[0]]
    wanted = {
        "set": {"element", "column", "value"},
        "scale": {"element", "column", "factor"},
        "create": {"table", "id", "fields"},
        "remove": {"element"},
    }[verb]
    if not isinstance(body, dict) or set(body) != wanted:
        raise ValueError(f"{verb} needs exactly {', '.join(sorted(wanted))}")
    if "at" in entry and "after" in entry:
        raise ValueError("has both at and after")
    clock_s, after_s = _clock(entry.get("at")), _span(entry.get("after"))
    if verb == "create":
        return Change(verb, str(body["table"]), str(body["id"]), fields=dict(body["fields"]), clock_s=clock_s, after_s=after_s)
    table, _, label = str(body["element"]).partition(" ")
    if not label:
        raise ValueError(f'element must be a table and an id, such as "line 7", is {body["element"]!r}')
    value = body.get("value", body.get("factor"))
    if verb == "scale" and (isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)):
        raise ValueError(f"factor must be a finite number, is {value!r}")
    return Change(verb, table, label, str(body.get("column", "")), value, clock_s=clock_s, after_s=after_s)


def _clock(text: Any) -> float | None:
    if text is None:
        return None
    match = _CLOCK.fullmatch(str(text))
    if match is None:
        raise ValueError(f'at must be a time of day such as "18:00", is {text!r}')
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return 3600.0 * hours + 60.0 * minutes + seconds


def _span(text: Any) -> float | None:
    if text is None:
        return None
    parts = _SPAN.findall(str(text))
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f'after must be a duration such as "2h" or "90m", is {text!r}')
    return sum(float(number) * _SPAN_S[unit] for number, unit in parts)


def _toml(change: Change) -> str:
    lines = ["[[change]]"]
    if change.clock_s is not None:
        seconds = int(change.clock_s)
        lines.append(f'at = "{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"')
    if change.after_s is not None:
        lines.append(f'after = "{change.after_s:g}s"')
    element = f"element = {_literal(f'{change.table} {change.id}')}"
    match change.verb:
        case "set":
            lines.append(f"set = {{ {element}, column = {_literal(change.column)}, value = {_literal(change.value)} }}")
        case "scale":
            lines.append(f"scale = {{ {element}, column = {_literal(change.column)}, factor = {_literal(change.value)} }}")
        case "create":
            inner = ", ".join(f"{name} = {_literal(value)}" for name, value in change.fields.items())
            place = f"table = {_literal(change.table)}, id = {_literal(change.id)}"
            lines.append(f"create = {{ {place}, fields = {{ {inner} }} }}")
        case _:
            lines.append(f"remove = {{ {element} }}")
    return "\n".join(lines) + "\n"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(_literal(v) for v in value)}]"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
