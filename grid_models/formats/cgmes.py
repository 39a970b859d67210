"""CGMES (CIM) models: a `.zip` of profiles, read through pandapower's converter, with an account of every object.

CGMES 2.4.15 and 3.0. pandapower 3.5.6 stops at 3.0 with `'DataFrame' object has no attribute 'inService'`: it looks for
the in-service flag of lines, series compensators and equivalent branches among their equipment data, but 3.0 states
it in the steady-state profile, and only where it is not the default (true). It is put where pandapower looks.
"""

from __future__ import annotations

import logging
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from grid_models.errors import InvalidInput, Issue
from grid_models.formats.pandapower import from_pandapower
from grid_models.import_report import ImportReport, Note
from grid_models.power.network import PowerNetwork

_FLAGGED = ("ACLineSegment", "DCLineSegment", "EquivalentBranch", "SeriesCompensator")
_REASONS: Mapping[str, str] = {
    "SvVoltage": "is another program's solution", "SvPowerFlow": "is another program's solution",
    "SvInjection": "is another program's solution", "SvStatus": "is another program's solution",
    "SvTapStep": "is another program's solution", "SvShuntCompensatorSections": "is another program's solution",
    "TopologicalIsland": "is another program's solution; islands are found anew",
    "FullModel": "tells about the file, not about the network",
    "VoltageLevel": "is a container; its elements carry what a load flow needs",
    "Substation": "is a container; its elements carry what a load flow needs",
    "Line": "is a container; its elements carry what a load flow needs",
    "Bay": "is a container; its elements carry what a load flow needs",
    "OperationalLimitSet": "only the lowest current limit of each element is kept",
    "OperationalLimitType": "only the lowest current limit of each element is kept",
    "CurrentLimit": "only the lowest current limit of each element is kept",
    "ActivePowerLimit": "only current limits are kept", "ApparentPowerLimit": "only current limits are kept",
    "VoltageLimit": "only current limits are kept",
    "GeneratingUnit": "its limits are those of its machine", "ControlArea": "interchange does not enter a load flow",
    "TieFlow": "interchange does not enter a load flow", "EnergyArea": "load groups do not enter a load flow",
    "ConformLoadGroup": "load groups do not enter a load flow", "NonConformLoadGroup": "load groups do not enter a load flow",
    "LoadArea": "load groups do not enter a load flow", "SubLoadArea": "load groups do not enter a load flow",
}  # fmt: skip
_UNKNOWN = "pandapower's converter has no element for it"
# Parts that have no row of their own: they count as mapped where what they refer to is.
_PARTS = (
    "Terminal", "PowerTransformerEnd", "RatioTapChanger", "PhaseTapChangerTabular", "PhaseTapChangerLinear",
    "PhaseTapChangerSymmetrical", "PhaseTapChangerAsymmetrical", "RatioTapChangerTable", "RatioTapChangerTablePoint",
    "PhaseTapChangerTable", "PhaseTapChangerTablePoint", "RegulatingControl", "TapChangerControl", "CurveData",
    "ReactiveCapabilityCurve", "GeneratingUnit", "NuclearGeneratingUnit", "HydroGeneratingUnit", "ThermalGeneratingUnit",
    "SolarGeneratingUnit", "WindGeneratingUnit", "ConnectivityNode", "TopologicalNode", "BusbarSection",
    "NonlinearShuntCompensatorPoint",
)  # fmt: skip


def read_cgmes(path: Path) -> PowerNetwork:
    """Read a CGMES model.

    Args:
        path: a `.zip` of its profiles (at least equipment, steady state and topology).

    Raises:
        InvalidInput: no archive, no CGMES profiles in it, or what pandapower's converter cannot read.
    """
    from pandapower.converter.cim.cim2pp.from_cim import from_cim_dict
    from pandapower.converter.cim.cim_classes import CimParser

    version = _version(path)
    parser = CimParser(cgmes_version=version)
    with _quiet():
        try:
            parser.parse_files(str(path))
            objects = _objects(parser.get_cim_dict())
            parser.prepare_cim_net()
            flagged = _in_service(parser.get_cim_dict()) if version == "3.0" else {}
            parser.set_cim_data_types()
            net = from_cim_dict(parser, cim_version=version, ignore_errors=False)
        except (KeyError, ValueError, TypeError, AttributeError, IndexError, SyntaxError, UserWarning) as error:
            message = f"pandapower's converter cannot read it as CGMES {version}: {type(error).__name__}: {error}"
            raise InvalidInput([Issue("", "", (), message, file=str(path))]) from error
    defaulted = [*_reference(net)]
    defaulted += [
        Note(kind, tuple(ids), "has no inService in the steady-state profile; true is the default")
        for kind, ids in flagged.items()
    ]
    nowhere = net.bus.index[~(net.bus.vn_kv > 0)]
    if len(nowhere):
        message = "has no BaseVoltage in the archive; add the boundary profile (EQ_BD)"
        ids = tuple(net.bus.origin_id.reindex(nowhere).astype(str))
        raise InvalidInput([Issue("TopologicalNode", "vn_kv", ids, message, file=str(path))])
    network = from_pandapower(net, file=str(path))
    return replace(network, report=_report(objects, _cells(net), defaulted))


@contextmanager
def _quiet() -> Iterator[None]:
    """Pandapower's converter logs each step and meets pandas' warnings; what matters is in the report."""
    logger = logging.getLogger("cim")
    before, logger.disabled = logger.level, True
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
        logger.disabled = False
        logger.setLevel(before)


def _version(path: Path) -> str:
    """3.0 where the files speak CIM 100, else 2.4.15."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".xml")]
            heads = [archive.open(name).read(4000) for name in names]
    except (zipfile.BadZipFile, OSError) as error:
        raise InvalidInput([Issue("", "", (), f"is no zip archive: {error}", file=str(path))]) from None
    if not any(b"/CIM-schema-cim" in head or b"/CIM100" in head for head in heads):
        raise InvalidInput([Issue("", "", (), "holds no CGMES profile (.xml with a CIM namespace)", file=str(path))])
    return "3.0" if any(b"/CIM100" in head for head in heads) else "2.4.15"


def _objects(cim: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, set[str]]]:
    """Class -> id -> the ids that it refers to, over all profiles."""
    found: dict[str, dict[str, set[str]]] = {}
    for classes in cim.values():
        for name, frame in classes.items():
            if "rdfId" not in frame:
                continue
            references = [c for c in frame.columns if c != "rdfId" and c[:1].isupper()]
            mine = found.setdefault(name, {})
            for row in frame[["rdfId", *references]].astype(object).to_numpy().tolist():
                mine.setdefault(str(row[0]), set()).update(str(cell) for cell in row[1:] if isinstance(cell, str))
    # Profiles repeat an object under a more general class (`Equipment` in the steady-state profile of 3.0).
    known = {identity for name, ids in found.items() if name not in ("Equipment",) for identity in ids}
    found = {n: {i: r for i, r in ids.items() if n != "Equipment" or i not in known} for n, ids in found.items()}
    return {name: ids for name, ids in found.items() if ids}


def _in_service(cim: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Give every element its flag; return class -> ids that state none."""
    stated: dict[str, str] = {}
    for frame in (f for f in cim["ssh"].values() if "inService" in f.columns):
        stated |= {i: flag for i, flag in zip(frame["rdfId"], frame["inService"], strict=True) if isinstance(flag, str)}
    silent: dict[str, list[str]] = {}
    for profile, names in (("eq", _FLAGGED), ("ssh", tuple(cim["ssh"]))):
        for name in names:
            frame = cim[profile][name]
            if not len(frame) or (profile == "ssh" and "inService" not in frame.columns):
                continue
            flags = [stated.get(identity) for identity in frame["rdfId"]]
            ids = [str(i) for i, flag in zip(frame["rdfId"], flags, strict=True) if flag is None]
            if ids and name != "Equipment":
                silent[name] = ids
            on = [flag is None or flag.lower() == "true" for flag in flags]
            frame["inService"] = np.array(on) if profile == "eq" else ["true" if flag else "false" for flag in on]
    return silent


def _reference(net: Any) -> Iterator[Note]:
    """Where no machine has a referencePriority, the one that feeds in most holds the angle."""
    if net.ext_grid.in_service.any() or net.gen.slack.any() or not net.gen.in_service.any():
        return
    largest = net.gen.p_mw.where(net.gen.in_service).idxmax()
    net.gen.loc[largest, "slack"] = True
    reason = "was made the reference: no machine has a referencePriority, and this one feeds in most"
    yield Note(str(net.gen.origin_class.at[largest]), (str(net.gen.origin_id.at[largest]),), reason)


def _cells(net: Any) -> set[str]:
    """Every text in every table: what became part of the network bears its id somewhere."""
    cells = set(net["CGMES"]["BaseVoltage"]["rdfId"].astype(str))
    for name in net:
        if name.startswith(("res_", "_")) or not hasattr(net[name], "columns"):
            continue
        for column in net[name].columns:
            if net[name][column].dtype == object:
                cells.update(cell for cell in net[name][column] if isinstance(cell, str))
    return cells


def _report(objects: Mapping[str, Mapping[str, set[str]]], cells: set[str], defaulted: list[Note]) -> ImportReport:
    whole = {identity for ids in objects.values() for identity in ids if identity in cells}
    referred = {target for ids in objects.values() for i, targets in ids.items() if i in whole for target in targets}
    for _ in range(3):  # a point refers to its table, that to its tap changer, that to its winding
        for name in _PARTS:
            ids = objects.get(name, {})
            grown = {i for i, targets in ids.items() if i in referred or not whole.isdisjoint(targets)}
            whole |= grown
            referred |= {target for i in grown for target in ids[i]}
    named: set[tuple[str, int | str]] = set()
    kept = []
    for note in defaulted:  # an object with two defaults counts once
        mine = tuple(i for i in note.ids if i in whole and (note.kind, i) not in named)
        named |= {(note.kind, i) for i in mine}
        kept += [replace(note, ids=mine)] if mine else []
    lost = {name: tuple(i for i in ids if i not in whole) for name, ids in objects.items()}
    dropped = [Note(name, ids, _REASONS.get(name, _UNKNOWN)) for name, ids in lost.items() if ids]
    source = {name: len(ids) for name, ids in objects.items()}
    report = ImportReport(source, {}, tuple(kept), tuple(dropped))
    left = {n: source[n] - len(lost[n]) - report.count(report.defaulted, n) for n in source}
    return replace(report, mapped=left)
