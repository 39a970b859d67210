"""Mapped, defaulted and dropped objects add up to those of the source, whatever the format."""

import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest

from grid_models.errors import InvalidInput
from grid_models.formats import read
from grid_models.power.network import PowerNetwork
from solvers.power.load_flow import load_flow
from twin.cli.validate import command

pytestmark = pytest.mark.filterwarnings("ignore")  # pandapower's converters speak of pandas' future

CIM = {"2.4.15": "http://iec.ch/TC57/2013/CIM-schema-cim16#", "3.0": "http://iec.ch/TC57/CIM100#"}
PROFILES = {
    "2.4.15": "http://entsoe.eu/CIM/{}/3/1",
    "3.0": "http://iec.ch/TC57/ns/CIM/{}-EU/3.0",
}
NAMES = {
    "2.4.15": {"EQ": "EquipmentCore", "SSH": "SteadyStateHypothesis", "TP": "Topology"},
    "3.0": {"EQ": "CoreEquipment", "SSH": "SteadyStateHypothesis", "TP": "Topology"},
}


def element(kind: str, identity: str, how: str, **fields: object) -> str:
    """One object; a field that begins with # is a reference. Field names are `Class.attribute` with __ for the dot."""
    lines = [f'<cim:{kind} rdf:{how}="{identity if how == "ID" else "#" + identity}">']
    for name, value in fields.items():
        tag = name.replace("__", ".")
        reference = str(value).startswith("#")
        lines.append(f'<cim:{tag} rdf:resource="{value}"/>' if reference else f"<cim:{tag}>{value}</cim:{tag}>")
    return "\n".join([*lines, f"</cim:{kind}>"])


def profile(version: str, name: str, body: list[str]) -> str:
    uri = PROFILES[version].format(NAMES[version][name])
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cim="{CIM[version]}"',
            ' xmlns:md="http://iec.ch/TC57/61970-552/ModelDescription/1#">',
            f'<md:FullModel rdf:about="urn:uuid:{name}"><md:Model.profile>{uri}</md:Model.profile></md:FullModel>',
            *body,
            "</rdf:RDF>",
        ]
    )


def cgmes(path: Path, version: str, in_service: str = "") -> None:
    """Two buses, two lines, a machine, a load: by hand, as pypowsybl writes it, but smaller."""
    eq = [
        element("BaseVoltage", "_bv", "ID", BaseVoltage__nominalVoltage=110),
        element("GeographicalRegion", "_gr", "ID", IdentifiedObject__name="g"),
        element("SubGeographicalRegion", "_sg", "ID", SubGeographicalRegion__Region="#_gr"),
        element("Substation", "_s", "ID", Substation__Region="#_sg"),
        element("VoltageLevel", "_vl", "ID", VoltageLevel__Substation="#_s", VoltageLevel__BaseVoltage="#_bv"),
        element("GeneratingUnit", "_gu", "ID", GeneratingUnit__minOperatingP=0, GeneratingUnit__maxOperatingP=90),
        element("RegulatingControl", "_rc", "ID", RegulatingControl__Terminal="#_tg",
                RegulatingControl__mode=f"#{CIM[version]}RegulatingControlModeKind.voltage"),
        element("SynchronousMachine", "_g", "ID", Equipment__EquipmentContainer="#_vl", RotatingMachine__GeneratingUnit="#_gu",
                RegulatingCondEq__RegulatingControl="#_rc", RotatingMachine__ratedU=110, SynchronousMachine__minQ=-60,
                SynchronousMachine__maxQ=60),
        element("EnergyConsumer", "_c", "ID", Equipment__EquipmentContainer="#_vl"),
        element("Terminal", "_tg", "ID", Terminal__ConductingEquipment="#_g", ACDCTerminal__sequenceNumber=1),
        element("Terminal", "_tc", "ID", Terminal__ConductingEquipment="#_c", ACDCTerminal__sequenceNumber=1),
    ]  # fmt: skip
    ssh = [
        element("SynchronousMachine", "_g", "about", RotatingMachine__p=-20, RotatingMachine__q=0,
                SynchronousMachine__referencePriority=0, RegulatingCondEq__controlEnabled="true"),
        element("RegulatingControl", "_rc", "about", RegulatingControl__enabled="true", RegulatingControl__targetValue=112.2,
                RegulatingControl__discrete="false"),
        element("EnergyConsumer", "_c", "about", EnergyConsumer__p=20, EnergyConsumer__q=5),
        element("Terminal", "_tg", "about", ACDCTerminal__connected="true"),
        element("Terminal", "_tc", "about", ACDCTerminal__connected="true"),
    ]  # fmt: skip
    tp = [
        element("TopologicalNode", f"_n{i}", "ID", TopologicalNode__BaseVoltage="#_bv",
                TopologicalNode__ConnectivityNodeContainer="#_vl")
        for i in (1, 2)
    ]  # fmt: skip
    tp += [element("Terminal", t, "about", Terminal__TopologicalNode=n) for t, n in (("_tg", "#_n1"), ("_tc", "#_n2"))]
    for line in (1, 2):
        fields = {"r": 2, "x": 8, "bch": 1e-5, "gch": 0}
        eq.append(
            element("ACLineSegment", f"_l{line}", "ID", ConductingEquipment__BaseVoltage="#_bv",
                    **{f"ACLineSegment__{name}": value for name, value in fields.items()})
        )  # fmt: skip
        for end in (1, 2):
            name = f"_t{line}{end}"
            eq.append(
                element("Terminal", name, "ID", Terminal__ConductingEquipment=f"#_l{line}", ACDCTerminal__sequenceNumber=end)
            )
            ssh.append(element("Terminal", name, "about", ACDCTerminal__connected="true"))
            tp.append(element("Terminal", name, "about", Terminal__TopologicalNode=f"#_n{end}"))
    if in_service:
        ssh.append(element("Equipment", in_service, "about", Equipment__inService="false"))
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in (("EQ", eq), ("SSH", ssh), ("TP", tp)):
            archive.writestr(f"case_{name}.xml", profile(version, name, body))


def voltage_at_the_load(lines: int) -> float:
    net = pp.create_empty_network(sn_mva=1.0)
    a, b = (pp.create_bus(net, 110.0) for _ in range(2))
    pp.create_ext_grid(net, a, vm_pu=1.02)
    pp.create_load(net, b, 20, 5)
    for _ in range(lines):
        pp.create_line_from_parameters(net, a, b, 1.0, 2.0, 8.0, 1e-5 / (2e-9 * np.pi * 50), 1.0)
    pp.runpp(net, tolerance_mva=1e-10)
    return float(net.res_bus.vm_pu.at[b])


@pytest.mark.parametrize("version", CIM)
def test_cgmes_is_read_with_every_object_accounted_for(version: str, tmp_path: Path) -> None:
    pytest.importorskip("lxml")
    cgmes(tmp_path / "case.zip", version)
    network = read(tmp_path / "case.zip")
    assert isinstance(network, PowerNetwork)
    assert network.report.unaccounted == {}
    rows = {row[0]: row[1:] for row in network.report.rows()}
    assert rows["Terminal"] == (6, 6, 0, 0)
    assert rows["SynchronousMachine"] == (1, 0, 1, 0)
    assert rows["ACLineSegment"] == ((2, 2, 0, 0) if version == "2.4.15" else (2, 0, 2, 0))
    assert all(note.reason for note in network.report.dropped)
    solution = load_flow(network)
    assert np.abs(solution.value.v).min() == pytest.approx(voltage_at_the_load(2), abs=1e-8)


def test_what_cgmes_3_says_out_of_service_is_out(tmp_path: Path) -> None:
    pytest.importorskip("lxml")
    cgmes(tmp_path / "case.zip", "3.0", in_service="_l2")
    network = read(tmp_path / "case.zip")
    assert isinstance(network, PowerNetwork)
    assert network.report.unaccounted == {}
    assert sorted(network.tables["line"]["in_service"].tolist()) == [False, True]
    assert np.abs(load_flow(network).value.v).min() == pytest.approx(voltage_at_the_load(1), abs=1e-8)


def test_archives_that_are_no_cgmes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "case.zip").write_bytes(b"PK nothing")
    with pytest.raises(InvalidInput, match="is no zip archive"):
        read(tmp_path / "case.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InvalidInput, match="holds no CGMES profile"):
        read(tmp_path / "other.zip")
    with zipfile.ZipFile(tmp_path / "half.zip", "w") as archive:
        archive.writestr("case_EQ.xml", profile("2.4.15", "EQ", ["<cim:Terminal"]))
    with pytest.raises(InvalidInput, match="cannot read it as CGMES 2.4.15"):
        read(tmp_path / "half.zip")


def put(width: int, *fields: tuple[int, str]) -> str:
    row = [" "] * width
    for at, content in fields:
        row[at : at + len(content)] = content
    return "".join(row)


def ucte(reactance: str = "10.0", regulated: str = "BCCCCC21") -> str:
    def node(code: str, kind: str, voltage: str, load: str, generation: str) -> str:
        return put(128, (0, code), (22, "0"), (24, kind), (26, voltage), (33, load), (41, "5"), (49, generation), (57, "0"))

    return "\n".join(
        [
            "##C 2007.05.01", "##N", "##ZBE",
            node("BAAAAA11", "3", "400.0", "0", "0"), node("BBBBBB11", "0", "", "300.0", "0"),
            node("BCCCCC21", "2", "222.0", "100.0", "-200."), node("BCCCCC22", "0", "", "30.0", "0"),
            "##L",
            put(64, (0, "BAAAAA11"), (9, "BBBBBB11"), (18, "1"), (20, "0"), (22, "1.0"), (29, reactance), (36, "50.0"),
                (45, "2000")),
            put(64, (0, "BCCCCC21"), (9, "BCCCCC22"), (18, "1"), (20, "2"), (22, "0"), (29, "0"), (36, "0"), (45, "2000")),
            "##T",
            put(90, (0, "BCCCCC21"), (9, "BBBBBB11"), (18, "1"), (20, "0"), (22, "220.0"), (28, "400.0"), (34, "600."),
                (40, "0.20"), (47, "12.0"), (54, "-2.0"), (63, "0"), (70, "1000")),
            "##R", put(70, (0, regulated), (9, "BBBBBB11"), (18, "1"), (20, "1.0"), (26, "9"), (29, "2")),
            "##E", "BE FR 100",
        ]
    )  # fmt: skip


def test_ucte_is_read_with_every_row_accounted_for(tmp_path: Path) -> None:
    (tmp_path / "case.uct").write_text(ucte())
    network = read(tmp_path / "case.uct")
    assert isinstance(network, PowerNetwork)
    assert network.report.unaccounted == {}
    assert {row[0]: row[1:] for row in network.report.rows()} == {
        "node": (4, 4, 0, 0),
        "line": (2, 2, 0, 0),
        "transformer": (1, 1, 0, 0),
        "regulation": (1, 1, 0, 0),
        "exchange": (1, 0, 0, 1),
    }
    assert load_flow(network).status.usable


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (ucte(reactance="1o.0"), r"case\.uct:9: line BAAAAA11 BBBBBB11 1: reactance: must be a number .* is '1o.0'"),
        (ucte(regulated="BXXXXX21"), r"case\.uct:14: regulation .*: node: no such node: 'BXXXXX21'"),
        ("##C 2007\n", r"case\.uct: ##N: there are no nodes"),
    ],
)
def test_malformed_ucte_files_are_told_with_their_line(written: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "case.uct").write_text(written)
    with pytest.raises(InvalidInput, match=message):
        read(tmp_path / "case.uct")


def with_everything() -> Any:
    net = pn.example_multivoltage()
    pp.create_poly_cost(net, 0, "ext_grid", 1.0)
    pp.create_measurement(net, "v", "bus", 1.0, 0.01, int(net.bus.index[0]))
    return net


def test_pandapower_json_accounts_for_every_row_of_every_table(tmp_path: Path) -> None:
    pp.to_json(with_everything(), str(tmp_path / "case.json"))
    network = read(tmp_path / "case.json")
    assert isinstance(network, PowerNetwork)
    assert network.report.unaccounted == {}
    counted: Counter[str] = Counter()
    for name, table in json.loads((tmp_path / "case.json").read_text())["_object"].items():
        if isinstance(table, dict) and table.get("_class") == "DataFrame" and not name.startswith(("res_", "_")):
            counted[name] = len(json.loads(table["_object"])["index"]) if table["orient"] == "split" else 0
    assert dict(network.report.source) == {name: n for name, n in counted.items() if n}
    assert [note.kind for note in network.report.dropped] == ["poly_cost"]


def test_twin_validate_prints_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "case.uct").write_text(ucte())
    assert command(str(tmp_path / "case.uct")) == 0
    printed = capsys.readouterr().out
    assert "regulation" in printed
    assert "dropped: exchange" in printed
