"""pandapower networks: every table with its own columns, the equivalents from pandapower itself.

Reads pandapower's JSON of any version it can read, its packaged networks, and, through them, what pandapower converts.
Exports by editing the JSON that was read, so that what this project does not know survives.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from grid_models.errors import InvalidInput, Issue
from grid_models.formats.pandapower_controllers import not_run, tap_control, write_back
from grid_models.formats.pandapower_equivalents import equivalents
from grid_models.import_report import ImportReport, Note
from grid_models.power.network import BRANCH_BUSES, BUS_ELEMENTS, PowerNetwork
from grid_models.tables import Array, Table, frozen

_MODELLED = frozenset(
    (*BUS_ELEMENTS, *BRANCH_BUSES, "bus", "switch", "measurement", "trafo_characteristic_table", "shunt_characteristic_table")
)
# Made here from pandapower's controllers; no table of its own there.
_TAP_CONTROL = "tap_control"
_LEFT_OUT = {
    "poly_cost": "costs do not enter a load flow",
    "pwl_cost": "costs do not enter a load flow",
    "group": "groups do not enter a load flow",
    "characteristic": "characteristics belong to controllers, which are not run",
    "q_capability_curve_table": "limits by capability curves are not kept",
    "q_capability_characteristic": "limits by capability curves are not kept",
    "bus_geodata": "coordinates do not enter a load flow",
    "line_geodata": "coordinates do not enter a load flow",
}


def read_json(path: Path) -> PowerNetwork:
    """Read a pandapower JSON file.

    Raises:
        InvalidInput: not JSON, not a pandapower network, or elements that cannot be modelled.
    """
    import json

    import pandapower as pp

    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        message = f"is not JSON: {error.msg} (column {error.colno})"
        raise InvalidInput([Issue("", "", (), message, file=str(path), line=error.lineno)]) from None
    except RecursionError:
        raise InvalidInput([Issue("", "", (), "is no network: it is nested too deeply", file=str(path))]) from None
    if not isinstance(document, dict) or "pandapower" not in str(document.get("_class", document.get("_module", ""))):
        raise InvalidInput([Issue("", "", (), "is JSON, but not a pandapower network", file=str(path))])
    try:
        net = pp.from_json_string(text)
    except (KeyError, ValueError, TypeError, AttributeError, UserWarning) as error:
        raise InvalidInput([Issue("", "", (), f"pandapower cannot read it: {error}", file=str(path))]) from None
    return from_pandapower(net, file=str(path))


def read_packaged(name: str) -> PowerNetwork:
    """One of the networks that pandapower ships, such as `case118` or `mv_oberrhein`.

    Raises:
        InvalidInput: there is none of that name.
    """
    import pandapower.networks as pn

    maker = getattr(pn, name, None)
    if not callable(maker) or name.startswith("_"):
        known = ", ".join(sorted(n for n in dir(pn) if n.startswith(("case", "mv_", "create_cigre"))))
        raise InvalidInput([Issue("pandapower network", "", (name,), f"is unknown; among others there are {known}")])
    net = maker()
    if isinstance(net, tuple):
        net = net[0]
    return from_pandapower(net, file=f"pandapower:{name}")


def from_pandapower(net: Any, file: str = "") -> PowerNetwork:
    """Freeze a pandapower net.

    Args:
        net: a pandapowerNet; it is not changed.
        file: where it came from, for messages.

    Raises:
        InvalidInput: dangling references, impossible values, or elements that cannot be modelled; all at once.

    >>> import pandapower.networks as pn
    >>> from_pandapower(pn.case9()).tables["bus"].size
    9
    """
    from dataclasses import replace

    import pandapower as pp

    from grid_models.power.validation import validate_tables

    blank = pp.create_empty_network()
    misshapen = [
        name for name in blank if hasattr(blank[name], "columns") and name in net and not hasattr(net[name], "columns")
    ]
    if misshapen:
        raise InvalidInput([Issue(name, "", (), f"must be a table, is {net[name]!s:.40}", file=file) for name in misshapen])
    tables = {name: _table(net[name]) for name in _filled(net) if name in _MODELLED}
    regulated = tap_control(net)
    if regulated is not None:
        tables[_TAP_CONTROL] = regulated
    bases = (("sn_mva", net.sn_mva), ("f_hz", net.f_hz))
    issues = [Issue("network", n, (), f"must be a positive number, is {v}") for n, v in bases if not _positive(v)]
    issues += validate_tables(tables)
    if issues:
        raise InvalidInput([replace(i, file=file) for i in issues])
    return PowerNetwork(
        name=str(net.get("name") or file or "power"),
        tables=tables,
        sn_mva=float(net.sn_mva),
        frequency_hz=float(net.f_hz),
        equivalents=equivalents(net),
        source=pp.to_json(net),
        report=_report(net),
    )


def to_pandapower(network: PowerNetwork) -> Any:
    """The network as a pandapowerNet: the one it was read from, with the tables as they are now."""
    import pandapower as pp

    net = pp.from_json_string(network.source)
    for name, table in network.tables.items():
        if name == _TAP_CONTROL:
            write_back(net, table)
            continue
        frame = net[name]
        if not np.array_equal(frame.index.to_numpy(), table.index):
            frame = net[name] = frame.reindex(table.index)
        for column, values in table.items():
            frame[column] = _as_before(values, frame[column]) if column in frame else values
    for name in list(net):
        if name in _MODELLED and name not in network.tables:
            net[name] = net[name].iloc[:0]
    return net


def write_json(network: PowerNetwork, path: Path) -> None:
    """Write pandapower's JSON."""
    import pandapower as pp

    pp.to_json(to_pandapower(network), str(path))


def rederived(network: PowerNetwork) -> PowerNetwork:
    """The same tables with their equivalents made anew: after a change of a length, an impedance, a tap."""
    from dataclasses import replace

    return replace(network, equivalents=equivalents(to_pandapower(network)))


def _positive(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and bool(0 < value < np.inf)


def _filled(net: Any) -> list[str]:
    """The names of all tables with rows, results left out."""
    return [name for name in net if not name.startswith(("res_", "_")) and hasattr(net[name], "columns") and len(net[name])]


def _report(net: Any) -> ImportReport:
    """Every row of every table: part of the network, or left out for a reason."""
    source = {name: len(net[name]) for name in _filled(net)}
    left_out = {name: _LEFT_OUT.get(name, "is no table of a load flow") for name in source if name not in _MODELLED}
    left_out.pop("controller", None)
    dropped = [Note(name, tuple(net[name].index.tolist()), why) for name, why in left_out.items()]
    dropped += not_run(net) if "controller" in source else []
    report = ImportReport(source, {}, (), tuple(dropped))
    mapped = {name: n - report.count(report.dropped, name) for name, n in source.items()}
    return ImportReport(source, {name: n for name, n in mapped.items() if n}, (), report.dropped)


def _table(frame: Any) -> Table:
    return Table(frozen(frame.index.to_numpy()), {str(c): _column(frame[c]) for c in frame.columns})


def _column(series: Any) -> Array:
    import pandas as pd

    values = series.to_numpy()
    if values.dtype != object:
        return frozen(values)
    missing = pd.isna(values)
    present = values[~missing].tolist()
    if present and all(isinstance(v, bool | np.bool_) for v in present):
        return frozen(np.where(missing, False, values).astype(bool))
    if all(isinstance(v, int | float | np.number) and not isinstance(v, bool) for v in present):
        return frozen(np.where(missing, np.nan, values).astype(np.float64))
    return frozen(np.where(missing, None, values))


def _as_before(values: Array, old: Any) -> Any:
    import pandas as pd

    series = pd.Series(values, index=old.index)
    try:
        return series.astype(old.dtype)
    except (TypeError, ValueError):
        return series
