"""MATPOWER files against a load flow that follows MATPOWER's manual, and the ways in which files can be wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
from pandapower.converter.pypower.to_ppc import to_ppc
from scipy.io import savemat

from grid_models.errors import InvalidInput
from grid_models.formats import read, write
from grid_models.formats.matpower import to_network
from grid_models.formats.matpower_case import parse_m
from grid_models.power.network import PowerNetwork
from grid_models.validation import validate
from solvers.plan import RebuildReason
from solvers.power.load_flow import load_flow
from solvers.power.results import results
from tests.oracles import matpower as oracle

pytestmark = pytest.mark.filterwarnings("ignore")  # pandapower speaks of pandas' future while it converts

BUS = [
    "1 3 0 0 0 0 1 1 5 110 1 1.1 0.9",
    "2 2 40 10 0 0 1 1 0 110 1 1.1 0.9",
    "3 1 30 5 0 19 1 1 0 20 1 1.1 0.9",
    "40 1 20 8 1 -2 1 1 0 20 1 1.1 0.9",
]
GEN = ["1 0 0 90 -90 1.03 100 1 200 0", "2 25 0 60 -60 1.01 100 1 90 0"]
BRANCH = [
    "1 2 0.01 0.08 0.03 120 0 0 0 0 1 -360 360",
    "2 3 0.002 0.11 0 60 0 0 0.97 -4 1 -360 360",
    "3 40 0.03 0.06 0.01 0 0 0 0 0 1 -360 360",
    "40 1 0.004 0.12 -0.02 0 0 0 1.04 0 1 -360 360",
]


def text(bus=BUS, gen=GEN, branch=BRANCH, after: str = "", base: str = "100") -> str:
    def matrix(name: str, rows: list[str]) -> list[str]:
        return [f"mpc.{name} = [", *(f"\t{row};" for row in rows), "];"]

    head = ["function mpc = case_test", "%CASE_TEST  four buses", "mpc.version = '2';", f"mpc.baseMVA = {base};"]
    return "\n".join([*head, *matrix("bus", bus), *matrix("gen", gen), *matrix("branch", branch), after, ""])


def numbers(rows: list[str]) -> np.ndarray:
    return np.array([[float(cell) for cell in row.split()] for row in rows])


def network(written: str) -> PowerNetwork:
    return to_network(parse_m(written, "case_test.m"))


def voltages(model: PowerNetwork) -> np.ndarray:
    solution = load_flow(model)
    assert solution.status.usable, solution
    node_bus = solution.value.model.node_bus
    return np.where(node_bus >= 0, np.append(solution.value.v, np.nan)[node_bus], np.nan)


def assert_follows_the_manual(model: PowerNetwork, bus, gen, branch, base: float = 100.0, start=None) -> None:
    assert model.report.unaccounted == {}
    expected = oracle.load_flow(base, bus, gen, branch, start=start)
    # Both stop below 1e-10 pu of power; the least stiff bus here turns that into 1e-9 pu of voltage.
    np.testing.assert_allclose(voltages(model), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "name",
    [
        "case9",
        "case14",
        "case24_ieee_rts",
        "case39",
        "case57",
        "case118",
        "case145",
        "case300",
        "case2869pegase",
        "case6495rte",
    ],
)
def test_a_case_written_from_pandapower_follows_the_manual(name: str, tmp_path: Path) -> None:
    ppc = to_ppc(getattr(pn, name)(), init="flat", calculate_voltage_angles=True, trafo_model="pi")
    bus, gen, branch = (np.real(ppc[k])[:, :n] for k, n in (("bus", 13), ("gen", 10), ("branch", 13)))
    rows = [[" ".join(repr(float(x)) for x in row) for row in matrix] for matrix in (bus, gen, branch)]
    file = tmp_path / f"{name}.m"
    file.write_text(text(*rows, base=repr(float(ppc["baseMVA"]))))
    model = read(file)
    # From a flat start the plain Newton method of the oracle does not reach the French cases' solution.
    start = voltages(model) if name.endswith("rte") else None
    assert_follows_the_manual(model, bus, gen, branch, float(ppc["baseMVA"]), start)


def test_it_begins_at_the_voltages_of_the_file_and_flat_where_they_lead_nowhere(tmp_path: Path) -> None:
    ppc = to_ppc(pn.case118(), init="flat", calculate_voltage_angles=True, trafo_model="pi")
    bus, gen, branch = (np.real(ppc[k])[:, :n] for k, n in (("bus", 13), ("gen", 10), ("branch", 13)))

    def solved(vm: np.ndarray, va: np.ndarray) -> Any:
        bus[:, 7], bus[:, 8] = vm, va
        rows = [[" ".join(repr(float(x)) for x in row) for row in matrix] for matrix in (bus, gen, branch)]
        (tmp_path / "case.m").write_text(text(*rows, base=repr(float(ppc["baseMVA"]))))
        return load_flow(read(tmp_path / "case.m"))

    flat = solved(np.ones(len(bus)), np.zeros(len(bus)))
    v = flat.value.v
    again = solved(np.abs(v), np.degrees(np.angle(v)))
    assert again.stats.iterations < flat.stats.iterations
    np.testing.assert_allclose(again.value.v, v, atol=1e-9)
    lost = solved(np.full(len(bus), 0.2), np.where(bus[:, 1] == 3, 0.0, np.linspace(0.0, 3000.0, len(bus))))
    assert lost.stats.rebuilt[-1] == RebuildReason.HARDER_START.value
    np.testing.assert_allclose(lost.value.v, v, atol=1e-9)


def test_four_buses_with_taps_shifts_shunts_and_charging() -> None:
    model = network(text())
    assert_follows_the_manual(model, numbers(BUS), numbers(GEN), numbers(BRANCH))
    assert model.tables["trafo"].index.tolist() == [2, 4]
    assert model.tables["trafo"]["hv_bus"].tolist() == [2, 40]  # the tap's side, even where its voltage is lower


def test_an_export_solves_to_the_same_voltages_in_pandapower(tmp_path: Path) -> None:
    branch = [*BRANCH, "1 3 0.01 0.2 0.05 0 0 0 1.02 10 1 -360 360", "1 40 0.5 0 0 0 0 0 0.99 0 1 -360 360"]
    model = network(text(branch=branch))
    assert model.tables["impedance"].index.tolist() == [5, 6]
    assert_follows_the_manual(model, numbers(BUS), numbers(GEN), numbers(branch))
    for name in ("case.json", "case.twin"):
        write(model, tmp_path / name)
    assert read(tmp_path / "case.twin").revision == model.revision
    assert read(tmp_path / "case.twin").report == model.report
    net = pp.from_json(str(tmp_path / "case.json"))
    # From a flat start: its DC start divides by the reactance that branch 6 does not have.
    pp.runpp(net, tolerance_mva=1e-9, calculate_voltage_angles=True, init="flat")
    found = net.res_bus.vm_pu.to_numpy() * np.exp(1j * np.deg2rad(net.res_bus.va_degree.to_numpy()))
    np.testing.assert_allclose(found, voltages(model), rtol=0, atol=1e-9)


def test_results_bear_pandapowers_names() -> None:
    model = network(text())
    flow = load_flow(model).value
    found = results(model, flow.model, flow.v)
    v, y = voltages(model), oracle.two_ports(numbers(BRANCH))
    into = v[1] * np.conj(y[1][0] * v[1] + y[1][1] * v[2]) * 100.0
    assert found["trafo_p_hv_mw"][0] == pytest.approx(into.real, abs=1e-7)
    assert found["trafo_q_hv_mvar"][0] == pytest.approx(into.imag, abs=1e-7)
    lost = sum(found[f"{table}_pl_mw"].sum() for table in ("line", "trafo"))
    fed = found["ext_grid_p_mw"].sum() + found["gen_p_mw"].sum()
    assert fed == pytest.approx(lost + found["load_p_mw"].sum() + found["shunt_p_mw"].sum(), abs=1e-6)


UNITS = """
%% convert branch impedances from Ohms to p.u.
[PQ, PV, REF, NONE, BUS_I, BUS_TYPE, PD, QD, GS, BS, BUS_AREA, VM, ...
    VA, BASE_KV, ZONE, VMAX, VMIN, LAM_P, LAM_Q, MU_VMAX, MU_VMIN] = idx_bus;
[F_BUS, T_BUS, BR_R, BR_X, BR_B, RATE_A, RATE_B, RATE_C, ...
    TAP, SHIFT, BR_STATUS, PF, QF, PT, QT, MU_SF, MU_ST, ...
    ANGMIN, ANGMAX, MU_ANGMIN, MU_ANGMAX] = idx_brch;
Vbase = mpc.bus(1, BASE_KV) * 1e3;      %% in Volts
Sbase = mpc.baseMVA * 1e6;              %% in VA
mpc.branch(:, [BR_R BR_X]) = mpc.branch(:, [BR_R BR_X]) / (Vbase^2 / Sbase);

%% convert loads from kW to MW
mpc.bus(:, [PD, QD]) = mpc.bus(:, [PD, QD]) / 1e3;
"""


def test_trailing_statements_convert_units() -> None:
    bus = [row.replace(" 110 ", " 12/sqrt(3) ").replace(" 20 1 1.1", " 12/sqrt(3) 1 1.1") for row in BUS]
    branch = ["1 2 0.4 0.3 0 0 0 0 0 0 1 -360 360", "2 3 0.5 0.2 0 0 0 0 0 0 1 -360 360", "3 40 1 1 0 0 0 0 0 0 1 -360 360"]
    case = parse_m(text(bus, GEN[:1], branch, UNITS, base="50/3"))
    ohm = (12 / np.sqrt(3)) ** 2 / (50 / 3)
    np.testing.assert_allclose(case.branch[:, 2:4], numbers(branch)[:, 2:4] / ohm, rtol=1e-15)
    np.testing.assert_allclose(case.bus[:, 2], [0, 0.04, 0.03, 0.02], rtol=1e-15)
    assert_follows_the_manual(to_network(case), case.bus, case.gen, case.branch, 50 / 3)


def test_an_if_chooses_among_statements() -> None:
    after = """
heavy = 0; factor = 3;
if heavy
    mpc.bus(:, 3) = 9 * mpc.bus(:, 3);
    for k = 1:3, mpc.bus(k, 3) = 0; end
elseif any(mpc.bus(:, 3) > 30) && ~isinf(factor)
    if factor == 3, mpc.bus(:, 3) = 2 * mpc.bus(:, 3); else, mpc.bus(:, 3) = 5 * mpc.bus(:, 3); end
else
    mpc.bus(:, 3) = 7 * mpc.bus(:, 3);
end
mpc.bus(:, 4) = mpc.bus(:, 3) * sin(acos(0.8));
return
mpc.bus(:, 3) = 0;
"""
    load = network(text(after=after)).tables["load"]
    np.testing.assert_allclose(load["p_mw"], [80, 60, 40])
    np.testing.assert_allclose(load["q_mvar"], [48, 36, 24])


def test_a_mat_file_holds_the_same_case(tmp_path: Path) -> None:
    fields = {"version": "2", "baseMVA": 100.0, "bus": numbers(BUS), "gen": numbers(GEN), "branch": numbers(BRANCH)}
    savemat(tmp_path / "case_test.mat", {"mpc": fields})
    np.testing.assert_array_equal(voltages(read(tmp_path / "case_test.mat")), voltages(network(text())))
    (tmp_path / "broken.mat").write_bytes(b"no MATLAB file at all, but long enough for a header" * 9)
    with pytest.raises(InvalidInput, match="is no MATLAB file"):
        read(tmp_path / "broken.mat")


def test_a_reference_without_generator_gives_way_to_the_first_pv_bus() -> None:
    gen = [GEN[0].replace("100 1 200", "100 0 200"), GEN[1]]
    model = network(text(gen=gen))
    assert model.tables["ext_grid"]["bus"].tolist() == [2]
    assert model.report.defaulted[0].ids == (2,)
    assert_follows_the_manual(model, numbers(BUS), numbers(gen), numbers(BRANCH))


def test_generators_of_every_kind() -> None:
    """Two at the reference, two at a PV bus with other set-points, one at a PQ bus, one out of service."""
    gen = [
        *GEN,
        "1 30 0 9 -9 1.02 100 1 50 0",
        "2 10 0 60 -60 1.04 100 1 90 0",
        "3 6 2 9 -9 1.5 100 1 9 0",
        "40 9 9 9 9 1 100 0 9 0",
    ]
    model = network(text(gen=gen))
    assert_follows_the_manual(model, numbers(BUS), numbers(gen), numbers(BRANCH))
    assert model.tables["ext_grid"].index.tolist() == [1]
    assert model.tables["gen"].index.tolist() == [2, 3, 4, 6]
    assert model.tables["sgen"].index.tolist() == [5]
    flow = load_flow(model).value
    found = results(model, flow.model, flow.v)
    assert found["gen_p_mw"][1] == 30.0  # the first at the reference takes what is left, as in MATPOWER's pfsoln


def test_isolated_buses_take_their_branches_along() -> None:
    bus = [*BUS, "50 4 7 7 0 0 1 1 0 20 1 1.1 0.9"]
    branch = [*BRANCH, "40 50 0.01 0.01 0.3 0 0 0 0 0 1 -360 360"]
    assert_follows_the_manual(network(text(bus, branch=branch)), numbers(bus), numbers(GEN), numbers(branch))


def test_the_report_names_what_was_defaulted_and_dropped() -> None:
    bus = [row.replace(" 20 1 1.1", " 0 1 1.1") for row in BUS]
    branch = [*BRANCH, "1 2 0 0 0 0 0 0 0 0 0 -360 360"]
    after = "mpc.gencost = [2 0 0 3 0 1 0; 2 0 0 3 0 1 0];\nmpc.dcline = [1 3 1 10 9 0 0 1 1 0 20 -9 9 -9 9 0 0.1];"
    report = network(text(bus, branch=branch, after=after)).report
    assert report.unaccounted == {}
    assert {row[0]: row[1:] for row in report.rows()} == {
        "bus": (4, 2, 2, 0),
        "gen": (2, 2, 0, 0),
        "branch": (5, 4, 0, 1),
        "gencost": (2, 0, 0, 2),
        "dcline": (1, 0, 0, 1),
    }
    assert all(note.reason for note in (*report.defaulted, *report.dropped))
    assert_follows_the_manual(network(text(bus, branch=branch)), numbers(bus), numbers(GEN), numbers(BRANCH))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("hello\n", r"case\.m:1: is no statement that can be read"),
        ("function mpc = x\nmpc.baseMVA = 100;\n", r"case\.m: bus: is missing"),
        (text(bus=[*BUS[:3], "40 1 20 8"]), r"case\.m:9: bus: has a row of 4 numbers among rows of 13"),
        (text(bus=[*BUS[:3], BUS[3].replace("8", "x8")]), r"case\.m:9: bus: x8 is unknown"),
        (text(bus=[*BUS[:3], BUS[3].replace("8", "NaN")]), r"case\.m:9: bus 4: has a value that is no finite number"),
        (text(bus=[*BUS, BUS[0]]), r"case\.m:10: bus 5: bus_i: bus 1 appears more than once"),
        (text(bus=[*BUS[:3], "40 7" + BUS[3][4:]]), r"case\.m:9: bus 4: type: must be 1, 2, 3 or 4, is 7"),
        (text(gen=["8" + GEN[0][1:]]), r"case\.m:12: gen 1: bus: no such bus: 8"),
        (text(branch=["1 9 0.1 0.1 0 0 0 0 0 0 1"]), r"case\.m:16: branch 1: tbus: no such bus: 9"),
        (text(branch=["1 2 0 0 0 0 0 0 0 0 1"]), r"case\.m:16: branch 1: x: has neither resistance nor reactance"),
        (text(base="0"), r"case\.m: baseMVA: must be one number greater than 0"),
        (text(after="mpc.bus(:, 99) = 1;"), r"case\.m:21: there is no element \[99\.0\] among 13"),
        (text(after="if true\n"), r"case\.m:21: an `if` has no `end`"),
        (text(after="if unheard\nend\n"), r"case\.m:21: unheard is unknown"),
        (text(after="for k = 1:3\nend\n"), r"case\.m:21: `for` is not read"),
        (text(after="mpc = loadcase('case9');"), r"case\.m:21: mpc is given as a whole"),
        (text().split("0.02 0 0")[0], r"case\.m:19: branch: ends in the middle of an expression"),
    ],
)
def test_malformed_files_are_told_with_their_line(written: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "case.m"
    file.write_text(written)
    with pytest.raises(InvalidInput, match=message):
        read(file)


def test_no_source_at_all_is_told() -> None:
    model = network(text(gen=[row.replace("100 1 ", "100 0 ") for row in GEN]))
    assert "no source holds the voltage" in str(validate(model)[0])
