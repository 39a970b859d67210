"""State estimation with its bad-data test, beside power-grid-model and pandapower."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.grid_peers import power_grid_model_grid
from benchmarks.row import Row
from benchmarks.timing import interleaved
from grid_models.formats import read
from grid_models.formats.pandapower import from_pandapower, to_pandapower
from grid_models.power.bus_branch import BusBranch
from grid_models.power.network import PowerNetwork
from solvers.power.estimation import estimate
from solvers.power.estimation_plan import Meters, prepare
from solvers.power.load_flow import load_flow
from solvers.power.measurement_functions import Kind
from solvers.power.metering import estimate_measured
from solvers.power.newton import LoadFlow
from solvers.solution import Status

TITLE = "State estimation beside the peers"
TEXT = (
    "Every bus has a voltage meter (0.4 %) and a power meter, every branch a power meter at its from end (0.01 pu), with "
    "normal noise; thread CPU time for one set of readings, one core, from a flat start, all prepared that does not depend on "
    "the readings. Ours has tested every meter for bad data and given every voltage its sigma; power-grid-model (Newton's "
    "method, twenty sets in a batch) and pandapower's `estimate` have not. With a bad meter: one reading is off by 30 sigma, "
    "found and removed by ours and by pandapower's `remove_bad_data`; power-grid-model knows no such test, its time is that "
    "without. Beside pandapower ours takes the same measurement table and makes result tables, too. The difference is the "
    "largest of |V|."
)
CASES = ("case118", "1-MV-urban--0-sw", "case1354pegase")
_SIGMA_V, _SIGMA_S = 0.004, 0.01  # [pu]
_NO_INJECTION = 1e-5  # [pu]
_SETS = 20
Floats = NDArray[np.float64]


def run(quick: bool) -> Iterator[Row]:
    """Rows of the table."""
    for name in CASES[:1] if quick else CASES:
        network = read(f"simbench:{name}" if "--" in name else f"pandapower:{name}")
        assert isinstance(network, PowerNetwork)
        flow = load_flow(network).unwrap()
        yield from _beside_power_grid_model(name, flow)
        if name != "case1354pegase":  # pandapower's takes minutes there
            yield from _beside_pandapower(name, network)


def _beside_power_grid_model(name: str, flow: LoadFlow) -> Iterator[Row]:
    model = flow.model
    sets = _readings(flow, _SETS)
    meters = [_meters(model, readings) for readings in sets]
    plan = prepare(model, meters[0].kind, meters[0].place)
    found = [estimate(plan, m, model.v_start) for m in meters]
    assert {f.status for f in found} <= {Status.SOLVED, Status.BAD_DATA}
    clean = [k for k, f in enumerate(found) if f.status is Status.SOLVED]
    bad = [_spoilt(m, k) for k, m in enumerate(meters)]
    assert all(estimate(plan, m, model.v_start).status is Status.BAD_DATA for m in bad)
    jobs = {
        "ours": lambda: [estimate(plan, m, model.v_start) for m in meters],
        "bad": lambda: [estimate(plan, m, model.v_start) for m in bad],
    }
    jobs["peer"] = peer = _power_grid_model(model, sets)
    vm = peer()
    difference = max(float(np.abs(np.abs(found[k].value.v) - vm[k]).max()) for k in clean)
    times = interleaved(jobs, rounds=5)
    note = f"{len(meters[0].kind)} readings of {model.n_bus} buses; theirs tests none"
    for job, mine in (("one estimate, meters tested", "ours"), ("one estimate, a bad meter found and removed", "bad")):
        yield Row(
            job, name, times[mine] / _SETS, "power-grid-model", times["peer"] / _SETS, difference, "pu", 1.0, 3.0, note
        )  # fmt: skip


def _readings(flow: LoadFlow, n: int) -> list[tuple[Floats, Floats, Floats]]:
    """Noisy |V| (n_bus,), injections P, Q (n_bus, 2) and flows P, Q (n_branch, 2), each several times [pu]."""
    m, v, rng = flow.model, flow.v, np.random.default_rng(7)
    f, t = m.branch_from, m.branch_to
    near, far = v[f] * np.conj(m.y_ff * v[f] + m.y_ft * v[t]), v[t] * np.conj(m.y_tf * v[f] + m.y_tt * v[t])
    drawn = np.abs(v) ** 2 * np.conj(m.y_shunt)
    np.add.at(drawn, f, near)
    np.add.at(drawn, t, far)
    pairs = [np.stack([s.real, s.imag], axis=1) for s in (drawn, near)]

    def noisy(true: Floats, sigma: float) -> Floats:
        return true + sigma * rng.standard_normal(true.shape)

    return [(noisy(np.abs(v), _SIGMA_V), noisy(pairs[0], _SIGMA_S), noisy(pairs[1], _SIGMA_S)) for _ in range(n)]


def _meters(model: BusBranch, readings: tuple[Floats, Floats, Floats]) -> Meters:
    vm, at_bus, at_from = readings
    n, m = model.n_bus, len(model.branch_from)
    bus, branch = np.arange(n), Meters.at_from(model, np.arange(m))
    kind = np.repeat([Kind.V, Kind.P, Kind.Q, Kind.P, Kind.Q], [n, n, n, m, m])
    return Meters(
        kind=kind.astype(np.int64),
        place=np.concatenate([bus, bus, bus, branch, branch]),
        value=np.concatenate([vm, at_bus[:, 0], at_bus[:, 1], at_from[:, 0], at_from[:, 1]]),
        sigma=np.where(kind == Kind.V, _SIGMA_V, _SIGMA_S),
        removable=np.ones(len(kind), dtype=bool),
    )


def _spoilt(meters: Meters, k: int) -> Meters:
    value = meters.value.copy()
    at = (37 * k + 11) % len(value)
    value[at] += 30.0 * meters.sigma[at]
    return Meters(meters.kind, meters.place, value, meters.sigma, meters.removable)


def _power_grid_model(model: BusBranch, sets: list[tuple[Floats, Floats, Floats]]) -> Any:
    """Its estimator over all sets as a job that returns |V| (n_set, n_bus); the same pi branches, at 1 kV and 1 MVA."""
    from power_grid_model import CalculationMethod, LoadGenType, MeasuredTerminalType, PowerGridModel, initialize_array

    n, m = model.n_bus, len(model.branch_from)
    grid = power_grid_model_grid(model)
    node, branch = grid["node"], grid["generic_branch"]
    load = initialize_array("input", "sym_load", n)
    load["id"], load["node"], load["status"], load["type"] = 4_000_000 + np.arange(n), np.arange(n), 1, LoadGenType.const_power
    volt = initialize_array("input", "sym_voltage_sensor", n)
    volt["id"], volt["measured_object"], volt["u_sigma"] = 5_000_000 + np.arange(n), np.arange(n), 1e3 * _SIGMA_V
    power = initialize_array("input", "sym_power_sensor", n + m)
    power["id"] = 6_000_000 + np.arange(n + m)
    power["measured_object"] = np.concatenate([node["id"], branch["id"]])
    power["measured_terminal_type"] = np.repeat([MeasuredTerminalType.node, MeasuredTerminalType.branch_from], [n, m])
    power["p_sigma"] = power["q_sigma"] = 1e6 * _SIGMA_S  # `power_sigma` would be that of |S|
    volts = initialize_array("update", "sym_voltage_sensor", (len(sets), n))
    powers = initialize_array("update", "sym_power_sensor", (len(sets), n + m))
    volts["id"], powers["id"] = volt["id"], power["id"]
    for i, (vm, at_bus, at_from) in enumerate(sets):
        both = 1e6 * np.concatenate([at_bus, at_from])
        volts["u_measured"][i], powers["p_measured"][i], powers["q_measured"][i] = 1e3 * vm, both[:, 0], both[:, 1]
    volt["u_measured"], power["p_measured"], power["q_measured"] = (
        volts["u_measured"][0], powers["p_measured"][0], powers["q_measured"][0],
    )  # fmt: skip
    grid |= {"sym_load": load, "sym_voltage_sensor": volt, "sym_power_sensor": power}
    engine = PowerGridModel(grid, system_frequency=50.0)

    def job() -> Any:
        answer = engine.calculate_state_estimation(
            update_data={"sym_voltage_sensor": volts, "sym_power_sensor": powers},
            calculation_method=CalculationMethod.newton_raphson, error_tolerance=1e-8, max_iterations=50, threading=-1,
        )  # fmt: skip
        return answer["node"]["u_pu"]

    return job


def _beside_pandapower(name: str, network: PowerNetwork) -> Iterator[Row]:
    """From a measurement table to result tables, a sound set of readings and one with a bad meter."""
    import pandapower.estimation as peer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for spoilt in (False, True):
            net = _measured(network, spoilt)
            told = from_pandapower(net)
            ours = estimate_measured(told)
            assert ours.status is (Status.BAD_DATA if spoilt else Status.SOLVED)

            measured = net.measurement.copy()

            def theirs(net: Any = net, spoilt: bool = spoilt, measured: Any = measured) -> Any:
                if not spoilt:
                    return peer.estimate(net, init="flat", zero_injection=None)
                net.measurement = measured.copy()  # it takes the bad one out of the caller's table
                return peer.remove_bad_data(net, init="flat", rn_max_threshold=4.5)

            job = "tables in, tables out" + (", a bad meter found and removed" if spoilt else "")
            try:
                theirs()
            except KeyError as error:
                times = interleaved({"ours": lambda t=told: estimate_measured(t)}, rounds=3)
                yield Row(
                    job, name, times["ours"], "pandapower", float("nan"), note=f"it ends with a KeyError: {str(error)[:40]}"
                )
                continue
            difference = float(np.nanmax(np.abs(ours.value.values["bus_vm_pu"] - net.res_bus_est.vm_pu.values)))
            times = interleaved({"ours": lambda t=told: estimate_measured(t), "theirs": theirs}, rounds=3)
            yield Row(job, name, times["ours"], "pandapower", times["theirs"], difference, "pu")


def _measured(network: PowerNetwork, spoilt: bool) -> Any:
    """A pandapower network with the readings as its measurement table."""
    import pandapower as pp

    net = to_pandapower(network)
    net.measurement = net.measurement.drop(net.measurement.index)
    pp.runpp(net, calculate_voltage_angles=True, tolerance_mva=1e-9)
    rng = np.random.default_rng(7)
    sigma = _SIGMA_S * net.sn_mva
    for bus in net.bus.index[net.res_bus.vm_pu.notna()]:
        vm, p, q = net.res_bus.loc[bus, ["vm_pu", "p_mw", "q_mvar"]]
        pp.create_measurement(net, "v", "bus", vm + _SIGMA_V * rng.standard_normal(), _SIGMA_V, bus)
        shunt = net.shunt.bus == bus  # an admittance, not an injection
        fed = any((net[table].bus == bus).any() for table in ("load", "sgen", "gen", "ext_grid"))
        own, noise = (sigma, sigma) if fed else (_NO_INJECTION * net.sn_mva, 0.0)  # ours knows where nothing is injected
        p, q = p - net.res_shunt.p_mw[shunt].sum(), q - net.res_shunt.q_mvar[shunt].sum()
        pp.create_measurement(net, "p", "bus", p + noise * rng.standard_normal(), own, bus)
        pp.create_measurement(net, "q", "bus", q + noise * rng.standard_normal(), own, bus)
    for table, side in (("line", "from"), ("trafo", "hv")):
        results = net[f"res_{table}"]
        for element in results.index[net[table].in_service]:
            for what, unit in (("p", "mw"), ("q", "mvar")):
                reading = results.loc[element, f"{what}_{side}_{unit}"] + sigma * rng.standard_normal()
                pp.create_measurement(net, what, table, reading, sigma, element, side=side)
    if spoilt:
        flow = net.measurement.index[(net.measurement.element_type == "line") & (net.measurement.measurement_type == "p")][11]
        net.measurement.loc[flow, "value"] += 30.0 * sigma
    return net
