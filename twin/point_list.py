"""The utility's point list as CSV, and the uids that it was allotted.

A store keeps every list that was ever read, by its revision: the past is computed again under the list of its time.

Columns: `name,network,kind,table,element,quantity,side,unit,sign,sigma,lower,upper,update,ttl_s,hold_s` and optionally
`uid`. A uid is allotted once to a name and never reused; the file `uids.csv` in the store remembers all of them.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from hashlib import sha256
from math import inf
from pathlib import Path

from grid_models.errors import InvalidInput, Issue
from grid_models.measurements import Catalogue, Signal, SignalKind, Update

_COLUMNS = (
    "name", "network", "kind", "table", "element", "quantity", "side", "unit", "sign", "sigma", "lower", "upper",
    "update", "ttl_s", "hold_s",
)  # fmt: skip
_UNITS = {
    "vm_pu": "pu", "p_mw": "MW", "q_mvar": "Mvar", "i_ka": "kA", "closed": "1", "status": "1",
    "pressure_m": "m", "level_m": "m", "flow_m3_per_s": "m3/s", "demand_m3_per_s": "m3/s",
}  # fmt: skip


def write_point_list(signals: Iterable[Signal], path: Path) -> None:
    """Write a point list."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((*_COLUMNS, "uid"))
        for s in signals:
            values = [getattr(s, name) for name in _COLUMNS]
            writer.writerow([v.name if isinstance(v, SignalKind | Update) else v for v in values] + [s.uid])


def read_point_list(path: Path, store: Path | None = None) -> Catalogue:
    """Read a point list and allot uids.

    Args:
        path: the CSV.
        store: folder that remembers allotted uids; without it, uids are those of the file, or the rows' numbers.

    Returns:
        The catalogue; its revision is a hash of the bindings, so that the same list has the same revision.

    Raises:
        InvalidInput: rows that are none, by line; all of them at once.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [c for c in _COLUMNS if c not in (reader.fieldnames or ())]
            if missing:
                raise InvalidInput([Issue("point list", c, (), "column is missing", file=str(path)) for c in missing])
            rows = list(reader)
    except OSError as error:
        raise InvalidInput([Issue("", "", (), f"cannot be read: {error.strerror}", file=str(path))]) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput([Issue("", "", (), f"is no CSV in UTF-8: {error}", file=str(path))]) from None
    allotted = _allotted(store)
    issues: list[Issue] = []
    signals: list[Signal] = []
    for line, row in enumerate(rows, start=2):
        try:
            signals.append(_signal(row, allotted))
        except ValueError as error:
            issues.append(Issue("signal", "", (row.get("name") or "",), str(error), file=str(path), line=line))
    names = [s.name for s in signals]
    twice = sorted({n for n in names if names.count(n) > 1}) if len(set(names)) < len(names) else []
    issues += [Issue("signal", "name", (n,), "appears more than once", file=str(path)) for n in twice]
    if issues:
        raise InvalidInput(issues)
    signals.sort(key=lambda s: s.uid)
    revision = int.from_bytes(sha256(repr(signals).encode()).digest()[:6], "big")
    if store is not None:
        _remember(store, allotted)
        _keep(store, revision, signals)
    return Catalogue(revision, tuple(signals))


def kept_point_list(store: Path, revision: int) -> Path:
    """Where a store keeps the list of a revision."""
    return store / "point_lists" / f"{revision}.csv"


def _signal(row: dict[str, str], allotted: dict[str, int]) -> Signal:
    quantity, unit = row["quantity"], row["unit"]
    if quantity not in _UNITS:
        raise ValueError(f"quantity {quantity!r} is unknown; known are {', '.join(_UNITS)}")
    if unit != _UNITS[quantity]:
        raise ValueError(
            f"unit {unit!r} does not fit {quantity}, which is in {_UNITS[quantity]}; nothing is converted silently"
        )
    numbers = {}
    for name in ("sigma", "lower", "upper", "ttl_s", "hold_s"):
        try:
            numbers[name] = float(row[name])
        except ValueError:
            raise ValueError(f"{name} must be a number, is {row[name]!r}") from None
    # A position has no standard deviation; a number without one would weigh infinitely.
    positional = row["kind"] in ("SWITCH", "EVENT") and numbers["sigma"] == 0
    if not (positional or 0 < numbers["sigma"] < inf):
        raise ValueError(f"sigma must be greater than 0, is {row['sigma']}")
    if not numbers["lower"] < numbers["upper"]:
        raise ValueError(f"lower must be below upper, is {row['lower']} with {row['upper']}")
    for name in ("ttl_s", "hold_s"):
        if not numbers[name] > 0:
            raise ValueError(f"{name} must be greater than 0, is {row[name]}")
    if row["sign"] not in ("1", "+1", "-1"):
        raise ValueError(f"sign must be 1 or -1, is {row['sign']!r}")
    name = row["name"]
    if name not in allotted:
        wanted = int(row["uid"]) if (row.get("uid") or "").isdigit() else 0
        allotted[name] = wanted if wanted and wanted not in allotted.values() else max(allotted.values(), default=0) + 1
    try:
        kind, update = SignalKind[row["kind"]], Update[row["update"]]
    except KeyError as error:
        raise ValueError(f"{error.args[0]!r} is no kind ({', '.join(SignalKind.__members__)}) or update") from None
    return Signal(
        allotted[name], name, row["network"], kind, row["table"], row["element"], quantity, row["side"], unit,
        int(row["sign"]), numbers["sigma"], numbers["lower"], numbers["upper"],
        update, numbers["ttl_s"], numbers["hold_s"],
    )  # fmt: skip


def _allotted(store: Path | None) -> dict[str, int]:
    if store is None or not (store / "uids.csv").exists():
        return {}
    with (store / "uids.csv").open(newline="", encoding="utf-8") as file:
        return {name: int(uid) for uid, name in csv.reader(file)}


def _keep(store: Path, revision: int, signals: Iterable[Signal]) -> None:
    path = kept_point_list(store, revision)
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        draft = path.with_suffix(".new")
        write_point_list(signals, draft)
        draft.replace(path)


def _remember(store: Path, allotted: dict[str, int]) -> None:
    store.mkdir(parents=True, exist_ok=True)
    draft = store / "uids.csv.new"
    with draft.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows((uid, name) for name, uid in allotted.items())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(store / "uids.csv")
