"""Load flow: a thousand load scenarios over one topology, and one warm solve, beside the fastest public engines."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.grid_peers import power_grid_model_grid, powsybl_network
from benchmarks.row import Row
from benchmarks.timing import interleaved, peak_gbytes, peak_gflops
from grid_models.formats import read
from grid_models.formats.compiled import write_compiled
from grid_models.formats.pandapower import from_pandapower, to_pandapower
from grid_models.power.network import PowerNetwork
from solvers.power.admittance import Injections, factor, prepare
from solvers.power.base import Base, base_of
from solvers.power.batch import Batch, run_batch
from solvers.power.load_flow import load_flow
from solvers.power.near import Scratch as NearScratch
from solvers.power.near import lay_flat, solve_near
from solvers.power.newton import LoadFlow, Scratch, solve
from solvers.power.regroup import LANES
from solvers.solution import Status

TITLE = "Load flow beside the peers"
TEXT = (
    "Batch: loads of each scenario vary by 10 % independently; time per scenario, thread CPU time, one core, every engine from "
    "the solved base case (warm), to 1e-8 pu. Both engines get loads and sum them up themselves. The difference is the largest "
    "|dV| to the peer's answer. lightsim2grid is its C++ time-series engine with KLU, as it comes and with its chord policy; "
    "power-grid-model its batch with Newton's method and with iterative current. Share of the peak: the operations that the "
    "method needs, over what one core does at best in fused multiply-adds of float64 (float32 counts half). Share of the "
    "memory's: the bytes that pass if no cache holds anything between two sweeps, over what a copy of 512 MiB moves; above "
    "100 % caches serve."
)
_SCENARIOS = {"case118": 1000, "case1354pegase": 1000, "case2869pegase": 320, "case9241pegase": 128}
MESHED = tuple(_SCENARIOS)
SIMBENCH = ("1-MV-urban--0-sw", "1-MVLV-rural-all-0-sw")
TOLERANCE_PU = 1e-8
# Method, floor and target warm, floor and target from a flat start.
_PGM = (("newton_raphson", (20.0, 50.0), (20.0, 20.0)), ("iterative_current", (12.0, 30.0), (12.0, 12.0)))
Complex = NDArray[np.complex128]


def run(quick: bool) -> Iterator[Row]:
    """Rows of the table."""
    for name in MESHED[:2] if quick else MESHED:
        yield from _meshed(name, 200 if quick else _SCENARIOS[name])
    for n in (1_000,) if quick else (1_000, 10_000):
        yield from _radial(n, 100 if quick else 320)
    for name in SIMBENCH[:1] if quick else SIMBENCH:
        yield from _simbench(name, 100 if quick else 320)
    for name in MESHED[:1] if quick else MESHED[:2]:
        yield _beside_powsybl(name)
    yield _first_solve()
    if not quick:
        yield from _scaling()


def _meshed(name: str, n: int) -> Iterator[Row]:
    network = read(f"pandapower:{name}")
    assert isinstance(network, PowerNetwork)
    flow = load_flow(network).unwrap()
    factors = _factors(n, network.tables["load"].size)
    base = base_of(flow)
    at, consumed = _loads(network, flow)
    peer, voltages = _lightsim(network, factors)
    chord, _ = _lightsim(network, factors, chord=True)
    batch = run_batch(base, consumed * (1.0 - factors), at=at)
    assert {s.name for s in batch.status} == {"SOLVED"}
    difference = _difference(flow, batch.v(slice(0, 8)), voltages)

    def ours() -> Any:
        return run_batch(base, consumed * (1.0 - factors), at=at, out=batch)

    times = interleaved({"ours": ours, "peer": peer, "chord": chord}, rounds=5)
    note = "" if difference < 1e-6 else "its reader models this case differently; "
    note += f"{_share(base, batch, times['ours']):.0%} of the peak"
    large = name != "case118"
    for job, policy, floor, target in (("peer", "", 20.0, 50.0 * large), ("chord", ", chord policy", 0.0, 30.0 * large)):
        yield Row(
            f"{n} load scenarios", name, times["ours"] / n, f"lightsim2grid time series{policy}", times[job] / n, difference,
            "pu", floor, target, note,
        )  # fmt: skip
    yield from _one(name, network, flow, at, consumed)


def _loads(network: PowerNetwork, flow: LoadFlow) -> tuple[NDArray[np.int64], Complex]:
    """The model bus of each load, and what it consumes [pu]; every load of these networks is in service."""
    load = network.tables["load"]
    bus = flow.model.node_bus[network.node_of(load["bus"])]
    assert (network.in_service("load") & (bus >= 0)).all()
    return bus, (load["p_mw"] + 1j * load["q_mvar"]) * load.column("scaling", 1.0) / network.sn_mva


def _share(base: Base, batch: Batch, seconds: float) -> float:
    """Operations that the chord method needs, over what the core could have done in that time."""
    plan = base.core.plan
    mismatch = 8 * len(plan.col) + 30 * plan.symbolic.n
    substitution = (16 * plan.symbolic.n_upper + 8 * plan.symbolic.n) / 2  # float32
    needed = float((batch.iterations * (mismatch + substitution + 12 * plan.symbolic.n)).sum())
    return needed / seconds / (1e9 * peak_gflops())


def _traffic(base: Base, batch: Batch, seconds: float) -> float:
    """Bytes that pass if nothing stays in a cache between two sweeps, over what main memory could have moved in that time."""
    plan = base.core.plan
    n, shared = plan.symbolic.n, 20 * len(plan.col) + 40 * plan.symbolic.n_upper + 60 * plan.symbolic.n
    # Of each lane: voltages read twice and written, injections and residuals read, residuals written twice and read.
    passed = float((batch.iterations * (80 * n + shared / LANES)).sum()) + batch.n_scenario * 32 * len(plan.bus)
    return passed / seconds / (1e9 * peak_gbytes())


def _factors(n: int, n_load: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).uniform(0.9, 1.1, (n, n_load))


def _lightsim(network: PowerNetwork, factors: NDArray[np.float64], *, chord: bool = False) -> tuple[Any, Complex]:
    """lightsim2grid's time series as a job, and its voltages by its own bus numbers."""
    from lightsim2grid.algorithm import NR_KLU, RefactorPolicyType
    from lightsim2grid.timeSerie import TimeSeriesCPP

    model, net = _lightsim_model(network)
    v0 = model.ac_pf(np.ones(model.total_bus(), dtype=complex), 30, TOLERANCE_PU)
    engine = TimeSeriesCPP(model)
    if chord:
        algorithm = NR_KLU()
        algorithm.set_refactor_policy(RefactorPolicyType.Chord)
        engine.set_algo_config(algorithm.get_config())
    n = len(factors)
    gen_p = np.tile(np.concatenate([net.gen.p_mw.values, np.zeros(len(model.get_generators()) - len(net.gen))]), (n, 1))
    sgen_p = np.tile(net.sgen.p_mw.values, (n, 1))
    load_p, load_q = net.load.p_mw.values * factors, net.load.q_mvar.values * factors

    def job() -> Any:
        return engine.compute_Vs(gen_p, sgen_p, load_p, load_q, v0, 60, TOLERANCE_PU)

    job()
    assert engine.get_status() == 1
    return job, np.asarray(engine.get_voltages())


def _difference(flow: LoadFlow, ours: Complex, theirs: Complex) -> float:
    """Largest |d|V|| where both number the buses alike (lightsim2grid keeps pandapower's order)."""
    n = min(theirs.shape[1], len(flow.model.node_bus))
    bus = flow.model.node_bus[:n]
    live = (bus >= 0) & (np.abs(theirs[0, :n]) > 0)
    return float(np.abs(np.abs(ours[:, bus[live]]) - np.abs(theirs[: len(ours), :n][:, live])).max())


def _one(name: str, network: PowerNetwork, flow: LoadFlow, at: NDArray[np.int64], consumed: Complex) -> Iterator[Row]:
    """Every load 2 % up, then 2 % down, each time from the solved base case: ours near it and by full Newton."""
    plan, base = prepare(flow.model), base_of(flow)
    values, scratch, near = factor(plan, flow.model), Scratch(plan), NearScratch(base, lay_flat(base))
    change = np.zeros(flow.model.n_bus, dtype=np.complex128)
    np.add.at(change, at, 0.02 * consumed)
    moved = (flow.model.s_power - change, flow.model.s_power + change)
    peer, chord = _lightsim_one(network), _lightsim_one(network, chord=True)
    voltages = np.asarray(peer())[None, :]
    answer = solve_near(near, moved[0])
    assert answer.status is Status.SOLVED
    assert not answer.stats.rebuilt
    difference = _difference(flow, answer.value.v[None, :], voltages)
    turn = [0]

    def other() -> Complex:
        turn[0] ^= 1
        return moved[turn[0]]

    jobs = {
        "near": lambda: solve_near(near, other(), tolerance_pu=TOLERANCE_PU),
        "newton": lambda: solve(
            plan, values, scratch, Injections(other(), flow.model.s_current), flow.v, tolerance_pu=TOLERANCE_PU
        ),
        "peer": peer,
        "chord": chord,
    }
    times = interleaved(jobs, rounds=9)
    kept, pattern = "one load flow near a solved one", "one load flow, full Newton from a solved one"
    spent = f"{answer.stats.iterations} iterations"
    for job, mine, theirs, policy, floor, target, note in (
        (kept, "near", "peer", "", 3.0, 7.0, f"ours keeps the solved case's Jacobian, {spent}; theirs its pattern"),
        (kept, "near", "chord", ", chord policy", 0.0, 0.0, f"ours keeps the solved case's Jacobian, {spent}"),
        (pattern, "newton", "peer", "", 0.0, 0.0, "both keep the pattern and factor in each iteration"),
    ):
        yield Row(
            job, name, times[mine], f"lightsim2grid{policy}", times[theirs], difference, "pu", floor, target,
            note + ("" if difference < 1e-6 else "; its reader models this case differently"),
        )  # fmt: skip


def _lightsim_one(network: PowerNetwork, *, chord: bool = False) -> Any:
    """One load flow of lightsim2grid from the base case's voltages, loads 2 % up at the first call, then down, up ..."""
    from lightsim2grid.algorithm import NR_KLU, RefactorPolicyType

    model, net = _lightsim_model(network)
    model.deactivate_result_computation()  # ours returns voltages, no tables
    v0 = model.ac_pf(np.ones(model.total_bus(), dtype=complex), 30, TOLERANCE_PU)
    if chord:  # from here on: its chord diverges from a flat start
        algorithm = NR_KLU()
        algorithm.set_refactor_policy(RefactorPolicyType.Chord)
        model.set_ac_algo_config(algorithm.get_config())
    every = np.ones(len(net.load), dtype=bool)
    load_p, load_q = net.load.p_mw.values.astype(np.float32), net.load.q_mvar.values.astype(np.float32)
    turn = [0]

    def job() -> Any:
        turn[0] ^= 1
        factor = np.float32(1.02 if turn[0] else 0.98)
        model.update_loads_p(every, factor * load_p)
        model.update_loads_q(every, factor * load_q)
        return model.ac_pf(v0, 30, TOLERANCE_PU)

    return job


def _lightsim_model(network: PowerNetwork) -> tuple[Any, Any]:
    from lightsim2grid.gridmodel import init_from_pandapower

    net = to_pandapower(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return init_from_pandapower(net), net


def _first_solve() -> Row:
    """CPU time of a fresh process that opens a compiled model and solves it, its machine code being on disk."""
    import pandapower as pp

    network = read("pandapower:case118")
    with tempfile.TemporaryDirectory() as folder:
        compiled, table = Path(folder) / "case118.twin", Path(folder) / "case118.json"
        assert isinstance(network, PowerNetwork)
        write_compiled(network, compiled)
        pp.to_json(to_pandapower(network), str(table))
        ours = (
            "from grid_models.formats import read; from solvers.power.load_flow import load_flow; "
            f"assert load_flow(read({str(compiled)!r})).status.usable"
        )
        theirs = f"import pandapower as pp; net = pp.from_json({str(table)!r}); pp.runpp(net)"
        _cpu(ours)  # fills the cache of machine code
        times = [(_cpu(ours), _cpu(theirs)) for _ in range(5)]
    note = "each in a process of its own; CPU time of all its threads"
    return Row(
        "import and first solve", "case118", median(t[0] for t in times), "pandapower", median(t[1] for t in times), note=note
    )


def _cpu(code: str) -> float:
    end = "; import resource; u = resource.getrusage(resource.RUSAGE_SELF); print(u.ru_utime + u.ru_stime)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code + end], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def radial(n: int, *, ties: bool = False) -> Any:
    """A pandapower network: feeders of a 10 kV town, a tree of n + 1 buses, deterministic; `ties` make rings."""
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
    if ties:
        ends = np.arange(250, n + 1, 250)
        for a, b in zip(ends[0::2], ends[1::2], strict=False):
            pp.create_line_from_parameters(
                net, int(a), int(b), length_km=0.1, r_ohm_per_km=0.2, x_ohm_per_km=0.1, c_nf_per_km=250.0, max_i_ka=0.4
            )
    pp.create_loads(net, np.arange(1, n + 1), p_mw=rng.uniform(0.002, 0.02, n), q_mvar=rng.uniform(0.0005, 0.005, n))
    return net


def _radial(n: int, scenarios: int) -> Iterator[Row]:
    yield from _beside_power_grid_model("radial", f"{n + 1} buses", from_pandapower(radial(n)), scenarios)


def _simbench(name: str, scenarios: int) -> Iterator[Row]:
    network = read(f"simbench:{name}")
    assert isinstance(network, PowerNetwork)
    yield from _beside_power_grid_model("SimBench", name, network, scenarios)


def _beside_power_grid_model(what: str, name: str, network: PowerNetwork, scenarios: int) -> Iterator[Row]:
    flow = load_flow(network).unwrap()
    at, consumed = _loads(network, flow)
    factors = _factors(scenarios, len(at))
    base = base_of(flow)
    change = consumed * (1.0 - factors)
    ours = run_batch(base, change, at=at)
    v_start = flow.model.v_start
    assert {s.name for s in run_batch(base, change, at=at, start=v_start).status} == {"SOLVED"}
    for method, warm, flat in _PGM:
        peer, vm = _power_grid_model(flow, at, consumed, factors, method)
        difference = float(np.abs(np.abs(ours.v(slice(0, 8))) - vm[:8]).max())
        jobs = {
            "warm": lambda: run_batch(base, consumed * (1.0 - factors), at=at, out=ours),
            "flat": lambda: run_batch(base, consumed * (1.0 - factors), at=at, out=ours, start=v_start),
            "peer": peer,
        }
        times = interleaved(jobs, rounds=3)
        for start, (floor, target) in (("warm", warm), ("flat", flat)):
            yield Row(
                f"{scenarios} load scenarios, {what}, {start}", name, times[start] / scenarios,
                f"power-grid-model {method}", times["peer"] / scenarios, difference, "pu", floor, target,
                "it starts anew each time" + ("; ours from the base case" if start == "warm" else ""),
            )  # fmt: skip


def _power_grid_model(
    flow: LoadFlow, at: NDArray[np.int64], consumed: Complex, factors: NDArray[np.float64], method: str
) -> tuple[Any, NDArray[np.float64]]:
    """Its batch as a job, and |V| (n_scenario, n_bus): our loads, and one more at each bus for all else that injects."""
    from power_grid_model import CalculationMethod, LoadGenType, PowerGridModel, initialize_array

    model, n = flow.model, len(at)
    rest = -model.s_power
    np.subtract.at(rest, at, consumed)
    others = np.flatnonzero(np.abs(rest) > 1e-12)
    load = initialize_array("input", "sym_load", n + len(others))
    load["id"], load["node"] = 4_000_000 + np.arange(len(load)), np.concatenate([at, others])
    load["status"], load["type"] = 1, LoadGenType.const_power
    mva = 1e6 * np.concatenate([consumed, rest[others]])
    load["p_specified"], load["q_specified"] = mva.real, mva.imag
    engine = PowerGridModel({**power_grid_model_grid(model), "sym_load": load}, system_frequency=50.0)
    update = initialize_array("update", "sym_load", (len(factors), n))
    update["id"] = load["id"][:n]
    update["p_specified"], update["q_specified"] = mva.real[:n] * factors, mva.imag[:n] * factors

    def job() -> Any:
        return engine.calculate_power_flow(
            update_data={"sym_load": update}, calculation_method=CalculationMethod[method], error_tolerance=TOLERANCE_PU,
            threading=-1, max_iterations=50,
        )  # fmt: skip

    return job, np.asarray(job()["node"]["u_pu"])


def _beside_powsybl(name: str) -> Row:
    """One load flow from a flat start; its Open Load Flow works on threads of its own, so CPU time of the process."""
    import pypowsybl.loadflow as powsybl

    network = read(f"pandapower:{name}")
    assert isinstance(network, PowerNetwork)
    flow = load_flow(network).unwrap()
    plan = prepare(flow.model)
    values, scratch = factor(plan, flow.model), Scratch(plan)
    injections, theirs = Injections(flow.model.s_power, flow.model.s_current), powsybl_network(network)
    settings = powsybl.Parameters(
        voltage_init_mode=powsybl.VoltageInitMode.UNIFORM_VALUES,
        distributed_slack=False,
        use_reactive_limits=False,
        provider_parameters={
            "newtonRaphsonStoppingCriteriaType": "PER_EQUATION_TYPE_CRITERIA",
            "maxActivePowerMismatch": "1e-6",  # MW and Mvar: 1e-8 pu of 100 MVA
            "maxReactivePowerMismatch": "1e-6",
            "slackBusSelectionMode": "LARGEST_GENERATOR",
        },
    )
    jobs = {
        "ours": lambda: solve(plan, values, scratch, injections, flow.model.v_start, tolerance_pu=TOLERANCE_PU),
        "peer": lambda: powsybl.run_ac(theirs, settings),
    }
    [answer] = jobs["peer"]()
    times = interleaved(jobs, rounds=5, warm_up=20, every_thread=True)  # its machine code gets better for a while
    note = f"{answer.status.name.lower()}; CPU time of all threads; its own network of the same MATPOWER file"
    return Row("one load flow, flat start", name, times["ours"], "pypowsybl", times["peer"], note=note)


def _scaling() -> Iterator[Row]:
    """Time of one scenario over the size, radial and with every two feeders closed to a ring."""
    for ties in (False, True):
        for n in (100, 1_000, 10_000, 100_000):
            if ties and n < 500:
                continue  # no two feeders
            network = from_pandapower(radial(n, ties=ties))
            flow = load_flow(network).unwrap()
            scenarios = max(32, min(1000, 2_000_000 // n))
            base = base_of(flow)
            at, consumed = _loads(network, flow)
            change = consumed * (1.0 - _factors(scenarios, n))
            batch = run_batch(base, change, at=at)
            times = interleaved({"ours": lambda b=base, c=change, a=at, o=batch: run_batch(b, c, at=a, out=o)}, rounds=3)
            each = times["ours"] / scenarios
            note = f"{1e9 * each / n:.1f} ns a bus and scenario, {_share(base, batch, times['ours']):.0%} of the peak; "
            note += f"{_traffic(base, batch, times['ours']):.0%} of the memory's"
            yield Row(f"scaling, {'rings' if ties else 'radial'}", f"{n + 1} buses", each, "-", float("nan"), note=note)
