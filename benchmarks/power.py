"""Load flow: a thousand load scenarios over one topology, and one warm solve, beside the fastest public engines."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.row import Row
from benchmarks.timing import interleaved
from grid_models.formats import read
from grid_models.formats.pandapower import from_pandapower, to_pandapower
from grid_models.power.network import PowerNetwork
from solvers.power.batch import base_of, run_batch
from solvers.power.newton import Injections, LoadFlow, Scratch, factor, load_flow, prepare, solve

TITLE = "Load flow beside the peers"
TEXT = (
    "Batch: loads of each scenario vary by 10 % independently; time per scenario, thread CPU time, one core, every engine from "
    "the solved base case (warm), to 1e-8 pu. The difference is the largest |dV| to the peer's answer. lightsim2grid is its "
    "C++ time-series engine with KLU; power-grid-model its batch with Newton's method and with iterative current."
)
MESHED = ("case118", "case1354pegase", "case2869pegase", "case9241pegase")
TOLERANCE_PU = 1e-8
Complex = NDArray[np.complex128]


def run(quick: bool) -> Iterator[Row]:
    """Rows of the table."""
    for name in MESHED[:2] if quick else MESHED:
        yield from _meshed(name, 200 if quick else 1000)
    for n in (1_000,) if quick else (1_000, 10_000):
        yield from _radial(n, 100 if quick else 1000)
    if not quick:
        yield from _scaling()


def _meshed(name: str, n: int) -> Iterator[Row]:
    network = read(f"pandapower:{name}")
    assert isinstance(network, PowerNetwork)
    flow = load_flow(network).unwrap()
    factors = _factors(n, network.tables["load"].size)
    s_power = _injections(network, flow, factors)
    base = base_of(flow)
    peer, voltages = _lightsim(network, factors)
    batch = run_batch(base, s_power)
    assert {s.name for s in batch.status} == {"SOLVED"}
    difference = _difference(flow, batch.v(slice(0, 8)), voltages)
    times = interleaved({"ours": lambda: run_batch(base, s_power), "peer": peer}, rounds=5)
    note = "" if difference < 1e-6 else "its reader models this case differently"
    yield Row(
        f"{n} load scenarios", name, times["ours"] / n, "lightsim2grid time series", times["peer"] / n, difference, "pu",
        20.0, 50.0 if name != "case118" else 0.0, note,
    )  # fmt: skip
    yield _one(name, network, flow)


def _factors(n: int, n_load: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).uniform(0.9, 1.1, (n, n_load))


def _injections(network: PowerNetwork, flow: LoadFlow, factors: NDArray[np.float64]) -> Complex:
    """(n_scenario, n_bus) with every load scaled by itself."""
    load = network.tables["load"]
    bus = flow.model.node_bus[network.node_of(load["bus"])]
    used = network.in_service("load") & (bus >= 0)
    power = (load["p_mw"] + 1j * load["q_mvar"]) * load.column("scaling", 1.0) / network.sn_mva
    out = np.tile(flow.model.s_power, (len(factors), 1))
    for scenario, factor_ in enumerate(factors):
        np.subtract.at(out[scenario], bus[used], (power * (factor_ - 1.0))[used])
    return out


def _lightsim(network: PowerNetwork, factors: NDArray[np.float64]) -> tuple[Any, Complex]:
    """lightsim2grid's time series as a job, and its voltages by its own bus numbers."""
    from lightsim2grid.gridmodel import init_from_pandapower
    from lightsim2grid.timeSerie import TimeSeriesCPP

    net = to_pandapower(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = init_from_pandapower(net)
    v0 = model.ac_pf(np.ones(model.total_bus(), dtype=complex), 30, TOLERANCE_PU)
    engine = TimeSeriesCPP(model)
    n = len(factors)
    gen_p = np.tile(np.concatenate([net.gen.p_mw.values, np.zeros(len(model.get_generators()) - len(net.gen))]), (n, 1))
    sgen_p = np.tile(net.sgen.p_mw.values, (n, 1))
    load_p, load_q = net.load.p_mw.values * factors, net.load.q_mvar.values * factors

    def job() -> Any:
        return engine.compute_Vs(gen_p, sgen_p, load_p, load_q, v0, 30, TOLERANCE_PU)

    job()
    return job, np.asarray(engine.get_voltages())


def _difference(flow: LoadFlow, ours: Complex, theirs: Complex) -> float:
    """Largest |d|V|| where both number the buses alike (lightsim2grid keeps pandapower's order)."""
    n = min(theirs.shape[1], len(flow.model.node_bus))
    bus = flow.model.node_bus[:n]
    live = (bus >= 0) & (np.abs(theirs[0, :n]) > 0)
    return float(np.abs(np.abs(ours[:, bus[live]]) - np.abs(theirs[: len(ours), :n][:, live])).max())


def _one(name: str, network: PowerNetwork, flow: LoadFlow) -> Row:
    from lightsim2grid.gridmodel import init_from_pandapower

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = init_from_pandapower(to_pandapower(network))
    v0 = model.ac_pf(np.ones(model.total_bus(), dtype=complex), 30, TOLERANCE_PU)
    plan = prepare(flow.model)
    values, scratch = factor(plan, flow.model), Scratch(plan)
    heavier = Injections(flow.model.s_power * 1.02, flow.model.s_current)
    net = to_pandapower(network)
    every = np.ones(len(net.load), dtype=bool)
    load_p, load_q = net.load.p_mw.values.astype(np.float32), net.load.q_mvar.values.astype(np.float32)
    turn = [0]

    def ours() -> Any:
        return solve(plan, values, scratch, heavier, flow.v, tolerance_pu=TOLERANCE_PU)

    def peer() -> Any:
        turn[0] ^= 1
        model.update_loads_p(every, np.float32(1.02 if turn[0] else 1.0) * load_p)
        model.update_loads_q(every, np.float32(1.02 if turn[0] else 1.0) * load_q)
        return model.ac_pf(v0, 30, TOLERANCE_PU)

    times = interleaved({"ours": ours, "peer": peer}, rounds=5)
    note = "every load moves by 2 % to and fro; the pattern is kept"
    return Row(
        "one load flow, pattern kept, warm",
        name,
        times["ours"],
        "lightsim2grid",
        times["peer"],
        floor=3.0,
        target=7.0,
        note=note,
    )


def radial(n: int) -> Any:
    """A pandapower network: feeders of a 10 kV town, a tree of n + 1 buses, deterministic."""
    import pandapower as pp

    rng = np.random.default_rng(5)
    net = pp.create_empty_network(sn_mva=1.0)
    pp.create_buses(net, n + 1, vn_kv=10.0)
    pp.create_ext_grid(net, 0)
    parent = np.array([0 if k % 250 == 0 else k - rng.integers(0, min(k % 250, 3)) for k in range(n)])
    parent = np.where(np.arange(n) % 250 == 0, 0, np.maximum(parent, 1 + np.arange(n) // 250 * 250))
    pp.create_lines_from_parameters(
        net, parent, np.arange(1, n + 1), length_km=rng.uniform(0.02, 0.1, n), r_ohm_per_km=0.2, x_ohm_per_km=0.1,
        c_nf_per_km=250.0, max_i_ka=0.4,
    )  # fmt: skip
    pp.create_loads(net, np.arange(1, n + 1), p_mw=rng.uniform(0.002, 0.02, n), q_mvar=rng.uniform(0.0005, 0.005, n))
    return net


def _radial(n: int, scenarios: int) -> Iterator[Row]:
    net = radial(n)
    network = from_pandapower(net)
    flow = load_flow(network).unwrap()
    factors = _factors(scenarios, n)
    s_power = _injections(network, flow, factors)
    base = base_of(flow)
    ours = run_batch(base, s_power)
    assert {s.name for s in ours.status} == {"SOLVED"}
    for method, floor, target in (("newton_raphson", 20.0, 50.0), ("iterative_current", 12.0, 30.0)):
        peer, vm = _power_grid_model(net, factors, method)
        difference = float(np.abs(np.abs(ours.v(slice(0, 8)))[:, flow.model.node_bus] - vm[:8]).max())
        times = interleaved({"ours": lambda: run_batch(base, s_power), "peer": peer}, rounds=3)
        yield Row(
            f"{scenarios} load scenarios, radial", f"{n + 1} buses", times["ours"] / scenarios, f"power-grid-model {method}",
            times["peer"] / scenarios, difference, "pu", floor, target, "it starts anew each time; ours from the base case",
        )  # fmt: skip


def _power_grid_model(net: Any, factors: NDArray[np.float64], method: str) -> tuple[Any, NDArray[np.float64]]:
    from power_grid_model import CalculationMethod, LoadGenType, PowerGridModel, initialize_array

    n = len(net.line)
    node = initialize_array("input", "node", n + 1)
    node["id"], node["u_rated"] = np.arange(n + 1), 10e3
    line = initialize_array("input", "line", n)
    line["id"], line["from_node"], line["to_node"] = 100_000 + np.arange(n), net.line.from_bus.values, net.line.to_bus.values
    line["from_status"] = line["to_status"] = 1
    line["r1"], line["x1"] = net.line.r_ohm_per_km * net.line.length_km, net.line.x_ohm_per_km * net.line.length_km
    line["c1"], line["tan1"] = net.line.c_nf_per_km * net.line.length_km * 1e-9, 0.0
    source = initialize_array("input", "source", 1)
    source["id"], source["node"], source["status"], source["u_ref"] = 300_000, 0, 1, 1.0
    source["sk"] = 1e20
    load = initialize_array("input", "sym_load", n)
    load["id"], load["node"], load["status"], load["type"] = (
        400_000 + np.arange(n),
        net.load.bus.values,
        1,
        LoadGenType.const_power,
    )
    load["p_specified"], load["q_specified"] = net.load.p_mw.values * 1e6, net.load.q_mvar.values * 1e6
    model = PowerGridModel({"node": node, "line": line, "source": source, "sym_load": load}, system_frequency=50.0)
    update = initialize_array("update", "sym_load", (len(factors), n))
    update["id"] = load["id"]
    update["p_specified"], update["q_specified"] = load["p_specified"] * factors, load["q_specified"] * factors

    def job() -> Any:
        return model.calculate_power_flow(
            update_data={"sym_load": update}, calculation_method=CalculationMethod[method], error_tolerance=TOLERANCE_PU,
            threading=-1, max_iterations=50,
        )  # fmt: skip

    return job, np.asarray(job()["node"]["u_pu"])


def _scaling() -> Iterator[Row]:
    """Time of one scenario over the size, the largest without a peer that stands it."""
    for n in (100, 1_000, 10_000, 100_000):
        network = from_pandapower(radial(n))
        flow = load_flow(network).unwrap()
        scenarios = max(32, min(1000, 2_000_000 // n))
        s_power = _injections(network, flow, _factors(scenarios, n))
        base = base_of(flow)
        times = interleaved({"ours": lambda b=base, s=s_power: run_batch(b, s)}, rounds=3)
        each = times["ours"] / scenarios
        yield Row(
            "scaling, radial", f"{n + 1} buses", each, "-", float("nan"), note=f"{1e9 * each / n:.1f} ns a bus and scenario"
        )
