"""Many injections at once: the same answers as one by one, to the last bit whatever the grouping."""

import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import binding as llvm

from grid_models.formats import read
from solvers.accelerate import kernel
from solvers.linalg.vector import aligned
from solvers.power import chord as kernels
from solvers.power.admittance import Injections
from solvers.power.base import Base, base_of
from solvers.power.batch import LANES, run_batch
from solvers.power.load_flow import load_flow
from solvers.power.newton import LoadFlow, Scratch, solve
from solvers.solution import Status


@cache
def solved(name: str) -> tuple[LoadFlow, Base]:
    flow = load_flow(read(f"pandapower:{name}")).unwrap()
    return flow, base_of(flow)


def scenarios(flow: LoadFlow, n: int, spread: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    s = np.tile(flow.model.s_power, (n, 1))
    consumes = s.real < 0
    return np.where(consumes, s * rng.uniform(1 - spread, 1 + spread, s.shape), s)


def mismatch(flow: LoadFlow, v: np.ndarray, s_power: np.ndarray) -> float:
    """From the branches' own admittances: nothing of the solver's layout."""
    m = flow.model
    drawn = np.zeros(m.n_bus, dtype=complex)
    np.add.at(drawn, m.branch_from, v[m.branch_from] * np.conj(m.y_ff * v[m.branch_from] + m.y_ft * v[m.branch_to]))
    np.add.at(drawn, m.branch_to, v[m.branch_to] * np.conj(m.y_tf * v[m.branch_from] + m.y_tt * v[m.branch_to]))
    drawn += np.abs(v) ** 2 * np.conj(m.y_shunt)
    left = s_power + m.s_current * np.abs(v) - drawn
    pq, pv = m.bus_kind == 0, m.bus_kind == 1
    return max(np.abs(left[pq | pv].real).max(), np.abs(left[pq].imag).max(initial=0.0))


@pytest.mark.parametrize("name", ["case9", "case118", "mv_oberrhein", "GBreducednetwork"])
def test_every_scenario_solves_its_own_equations(name: str) -> None:
    flow, base = solved(name)
    s_power = scenarios(flow, 37, 0.2, seed=1)
    batch = run_batch(base, s_power)
    assert all(status is Status.SOLVED for status in batch.status)
    for v, s in zip(batch.v(), s_power, strict=True):
        # 1e-8 pu is what it promises; rounding of the check's own sums is less.
        assert mismatch(flow, v, s) < 1.1e-8
        held = flow.model.bus_kind > 0
        np.testing.assert_allclose(np.abs(v[held]), np.abs(flow.v[held]), atol=1e-13)


@given(cut=st.integers(1, 49), threads=st.integers(1, 3), seed=st.integers(0, 5))
@settings(max_examples=12, deadline=None)
def test_bits_depend_on_no_neighbour_grouping_or_thread(cut: int, threads: int, seed: int) -> None:
    flow, base = solved("case30")
    s_power = scenarios(flow, 50, 0.3, seed)
    whole = run_batch(base, s_power).v()
    with ThreadPoolExecutor(threads) as pool:
        parts = [run_batch(base, part, pool=pool).v() for part in (s_power[:cut], s_power[cut:])]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    order = np.random.default_rng(seed).permutation(50)
    np.testing.assert_array_equal(run_batch(base, s_power[order]).v(), whole[order])


def test_a_lane_that_the_chord_cannot_solve_is_solved_by_newton_and_one_without_solution_is_named() -> None:
    flow, base = solved("case118")
    s_power = np.tile(flow.model.s_power, (5, 1))
    s_power[1] = np.where(flow.model.s_power.real < 0, 1.9 * flow.model.s_power, flow.model.s_power)
    s_power[3] *= 40.0  # far beyond what the lines can carry
    batch = run_batch(base, s_power, max_iterations=6)
    assert [status.name for status in batch.status] == ["SOLVED", "SOLVED", "SOLVED", "NOT_CONVERGED", "SOLVED"]
    assert mismatch(flow, batch.v()[1], s_power[1]) < 1.1e-8
    alone = solve(base.plan, base.factor, Scratch(base.plan), Injections(s_power[1], flow.model.s_current), base.v, flat=base.v)
    np.testing.assert_array_equal(batch.v()[1], alone.value.v)
    np.testing.assert_array_equal(batch.v()[0], batch.v()[4])
    # The neighbour that went astray left no trace.
    np.testing.assert_array_equal(batch.v()[2], run_batch(base, s_power[2:3], max_iterations=6).v()[0])


def test_a_flat_start_ends_in_the_same_state() -> None:
    flow, base = solved("case118")
    s_power = scenarios(flow, 20, 0.1, seed=4)
    warm, flat = run_batch(base, s_power), run_batch(base, s_power, start=flow.model.v_start)
    np.testing.assert_allclose(flat.v(), warm.v(), atol=1e-7)
    assert flat.iterations.mean() > warm.iterations.mean()


def test_the_kernels_run_in_plain_python_and_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    flow, base = solved("case9")
    s_power = scenarios(flow, 3, 0.1, seed=2)
    compiled = run_batch(base, s_power)
    for name in ("chord", "spread_lanes", "_inject", "eliminate_lanes", "return_lanes", "follow_lanes"):
        monkeypatch.setattr(kernels, name, getattr(kernels, name).py_func)
    monkeypatch.setattr("solvers.power.batch.chord", kernels.chord)
    plain = run_batch(base, s_power)
    np.testing.assert_allclose(plain.v(), compiled.v(), atol=1e-9)
    np.testing.assert_array_equal(plain.iterations, compiled.iterations)


def test_no_scenario_and_no_free_bus_are_no_special_cases() -> None:
    flow, base = solved("case9")
    assert run_batch(base, np.zeros((0, flow.model.n_bus), dtype=complex)).v().shape == (0, 9)
    assert aligned((0, LANES)).shape == (0, LANES)


def test_changes_at_some_buses_are_full_injections_and_old_memory_serves_again() -> None:
    flow, base = solved("case118")
    full = scenarios(flow, 20, 0.1, seed=6)
    at = np.flatnonzero(flow.model.s_power.real < 0)
    # Twice the same bus: each column adds its half. Halves and their sums round alike.
    change = np.concatenate([full[:, at] - flow.model.s_power[at]] * 2, axis=1) / 2
    by_change = run_batch(base, change, at=np.r_[at, at])
    np.testing.assert_allclose(by_change.v(), run_batch(base, full).v(), atol=1e-12)
    v = by_change.v()
    again = run_batch(base, change, at=np.r_[at, at], out=run_batch(base, full))
    np.testing.assert_array_equal(again.v(), v)
    with pytest.raises(ValueError, match="out: has lanes of shape"):
        run_batch(base, full[:3], out=again)


def test_passive_buses_leave_unless_told_to_stay_and_one_that_injects_after_all_is_solved() -> None:
    flow, base = solved("case1354pegase")
    passive = base.core.bus[len(base.core.plan.bus) :]
    assert len(passive) > 300
    assert not flow.model.s_power[passive].any()
    s_power = scenarios(flow, 3, 0.05, seed=7)
    s_power[1, passive[0]] -= 0.1
    batch = run_batch(base, s_power)
    kept = run_batch(base_of(flow, injects=np.ones(flow.model.n_bus, dtype=bool)), s_power)
    assert [s.name for s in batch.status] == [s.name for s in kept.status] == ["SOLVED"] * 3
    np.testing.assert_allclose(batch.v(), kept.v(), atol=1e-7)
    for v, s in zip(batch.v(), s_power, strict=True):
        assert mismatch(flow, v, s) < 1.1e-8


def test_the_sweeps_are_packed_fused_operations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not llvm.get_host_cpu_features().get("fma") or numba.config.CPU_NAME == "generic":
        pytest.skip("no fused multiply-add to be had; the code is right there, only slower")
    monkeypatch.setenv("TWIN_CACHE", str(tmp_path))  # code from the cache cannot be looked into
    _, base = solved("case9")
    sym, n_bus = base.core.plan.symbolic, len(base.core.plan.bus)
    residual, lane, v = aligned((2 * sym.n, LANES), np.float32), aligned((3, LANES)), aligned((2 * n_bus, LANES))
    fresh = kernel(kernels.return_lanes.py_func)
    fresh(sym.up, sym.uj, base.upper, residual, lane, v)
    (code,) = fresh.inspect_asm().values()
    # Written out: four of a block, two of the pivot in float32; four of the rotation in float64. None may be scalar.
    assert len(re.findall(r"vfn?m(?:add|sub)\d*ps", code)) >= 6
    assert len(re.findall(r"vfn?m(?:add|sub)\d*pd", code)) >= 4
    assert not re.findall(r"vfn?m(?:add|sub)\d*s[sd]", code)
