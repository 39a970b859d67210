"""A compiled model: everything a solver needs in one file that opens in milliseconds and without pandapower or EPANET.

A zip of .npy arrays and one JSON document. Nothing in it is executable: object columns are stored as JSON.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, fields
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from grid_models.errors import InvalidInput, Issue
from grid_models.import_report import ImportReport, Note
from grid_models.network import Network
from grid_models.power.network import Equivalents, PowerNetwork
from grid_models.tables import Array, Table, frozen
from grid_models.water.controls import Action, Premise, Rule, SimpleControl
from grid_models.water.network import Options, WaterNetwork

_VERSION = 2


def write_compiled(network: Network, path: Path) -> None:
    """Write a network as a compiled model."""
    document: dict[str, Any] = {"version": _VERSION, "name": network.name, "tables": {}, "objects": {}}
    arrays: dict[str, Array] = {}

    def keep(key: str, values: Array) -> None:
        if values.dtype == object:
            document["objects"][key] = [v.tolist() if isinstance(v, np.ndarray) else v for v in values.tolist()]
        else:
            arrays[key] = values

    for name, table in network.tables.items():
        document["tables"][name] = list(table)
        keep(f"{name}/", table.index)
        for column in table:
            keep(f"{name}/{column}", table[column])
    if isinstance(network, PowerNetwork):
        document |= {"kind": "power", "sn_mva": network.sn_mva, "frequency_hz": network.frequency_hz}
        for f in fields(Equivalents):
            keep(f"equivalents/{f.name}", getattr(network.equivalents, f.name))
        document["report"] = asdict(network.report)
    elif isinstance(network, WaterNetwork):
        document |= {"kind": "water", "options": asdict(network.options)}
        document["controls"] = [asdict(c) for c in network.controls]
        document["rules"] = [asdict(r) for r in network.rules]
    document["source"] = getattr(network, "source", "")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("model.json", json.dumps(document))
        for key, values in arrays.items():
            text = BytesIO()
            np.lib.format.write_array(text, np.ascontiguousarray(values), allow_pickle=False)
            archive.writestr(f"{key}.npy", text.getvalue())


def read_compiled(path: Path) -> Network:
    """Read a compiled model.

    Raises:
        InvalidInput: it is none, or one of another version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            document = json.loads(archive.read("model.json"))
            arrays = {
                name[:-4]: frozen(np.lib.format.read_array(BytesIO(archive.read(name)), allow_pickle=False))
                for name in archive.namelist()
                if name.endswith(".npy")
            }
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise InvalidInput([Issue("", "", (), f"is no compiled model: {error}", file=str(path))]) from None
    if document.get("version") != _VERSION:
        message = f"is of version {document.get('version')}, this reads {_VERSION}; compile it again"
        raise InvalidInput([Issue("", "", (), message, file=str(path))])

    def column(key: str) -> Array:
        if key in arrays:
            return arrays[key]
        values = document["objects"][key]
        out = np.empty(len(values), dtype=object)
        out[:] = [np.array(v) if isinstance(v, list) else v for v in values]
        return frozen(out)

    tables = {
        name: Table(column(f"{name}/"), {c: column(f"{name}/{c}") for c in columns})
        for name, columns in document["tables"].items()
    }
    if document["kind"] == "power":
        equivalents = Equivalents(**{f.name: column(f"equivalents/{f.name}") for f in fields(Equivalents)})
        base = document["sn_mva"], document["frequency_hz"]
        return PowerNetwork(document["name"], tables, *base, equivalents, document["source"], _report(document["report"]))
    return WaterNetwork(
        document["name"],
        tables,
        Options(**document["options"]),
        tuple(SimpleControl(**c) for c in document["controls"]),
        tuple(_rule(r) for r in document["rules"]),
        document["source"],
    )


def _report(document: dict[str, Any]) -> ImportReport:
    defaulted, dropped = (
        tuple(Note(note["kind"], tuple(note["ids"]), note["reason"]) for note in document[name])
        for name in ("defaulted", "dropped")
    )
    return ImportReport(document["source"], document["mapped"], defaulted, dropped)


def _rule(document: dict[str, Any]) -> Rule:
    premises = tuple(Premise(**p) for p in document.pop("premises"))
    then, otherwise = (tuple(Action(**a) for a in document.pop(key)) for key in ("then", "otherwise"))
    return Rule(premises=premises, then=then, otherwise=otherwise, **document)
