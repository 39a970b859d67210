"""One load flow near a base case: its own equations solved, and full Newton where the base case's Jacobian does not serve."""

from dataclasses import replace

import numpy as np
import pytest

from grid_models.formats import read
from grid_models.power.network import PowerNetwork
from solvers.plan import RebuildReason
from solvers.power import near as kernels
from solvers.power.admittance import Injections
from solvers.power.base import base_of
from solvers.power.load_flow import load_flow
from solvers.power.near import Scratch, lay_flat, solve_near
from solvers.power.newton import Scratch as NewtonScratch
from solvers.power.newton import solve
from solvers.solution import Status
from tests.laws.test_batch_load_flow import mismatch, scenarios, solved


@pytest.mark.parametrize("name", ["case9", "case118", "mv_oberrhein", "GBreducednetwork", "case1354pegase"])
def test_it_solves_its_own_equations_without_factoring_anything(name: str) -> None:
    flow, base = solved(name)
    scratch = Scratch(base, lay_flat(base))
    for s_power in scenarios(flow, 5, 0.1, seed=3):
        found = solve_near(scratch, s_power)
        assert (found.status, found.stats.rebuilt) == (Status.SOLVED, ())
        # 1e-8 pu is what it promises; rounding of the check's own sums is less.
        assert mismatch(flow, found.value.v, s_power) < 1.1e-8
        assert np.abs(found.value.mismatch).max() <= np.sqrt(2) * found.stats.residual
        held = flow.model.bus_kind > 0
        np.testing.assert_allclose(np.abs(found.value.v[held]), np.abs(flow.v[held]), atol=1e-13)


def test_what_was_solved_before_changes_no_bit() -> None:
    flow, base = solved("case118")
    some = scenarios(flow, 4, 0.2, seed=8)
    used, flat = Scratch(base, lay_flat(base)), lay_flat(base)
    for s_power in (*some, *some[::-1]):
        np.testing.assert_array_equal(solve_near(used, s_power).value.v, solve_near(Scratch(base, flat), s_power).value.v)


def test_far_from_the_base_case_newton_solves_it_and_says_so() -> None:
    flow, base = solved("case118")
    scratch = Scratch(base, lay_flat(base))
    heavy = np.where(flow.model.s_power.real < 0, 1.9 * flow.model.s_power, flow.model.s_power)
    found = solve_near(scratch, heavy)
    assert found.stats.rebuilt[0] == RebuildReason.FAR_FROM_BASE.value
    full = solve(base.plan, base.factor, NewtonScratch(base.plan), Injections(heavy, base.s_current), base.v, flat=base.v)
    np.testing.assert_array_equal(found.value.v, full.value.v)
    assert solve_near(scratch, 40.0 * flow.model.s_power).status is Status.NOT_CONVERGED


def test_a_bus_that_was_passive_may_inject() -> None:
    flow, base = solved("case1354pegase")
    s_power = flow.model.s_power.copy()
    s_power[base.core.bus[-1]] -= 0.1
    found = solve_near(Scratch(base, lay_flat(base)), s_power)
    assert found.stats.rebuilt == (RebuildReason.FAR_FROM_BASE.value,)
    assert mismatch(flow, found.value.v, s_power) < 1.1e-8


def test_a_network_uses_it_while_its_constant_power_alone_differs() -> None:
    network = read("pandapower:case118")
    assert isinstance(network, PowerNetwork)
    base = base_of(load_flow(network).unwrap())
    near = Scratch(base, lay_flat(base))

    def edited(table: str, column: str, factor: float) -> PowerNetwork:
        old = network.tables[table]
        return replace(network, tables={**network.tables, table: old.replace(column, slice(None), factor * old[column])})

    heavier = edited("load", "p_mw", 1.03)
    found, alone = load_flow(heavier, near=near), load_flow(heavier)
    assert RebuildReason.ANOTHER_BASE.value not in found.stats.rebuilt
    # Both balance to 1e-8 pu; a weak bus answers with some times that.
    np.testing.assert_allclose(found.value.v, alone.value.v, atol=1e-7)
    assert found.stats.iterations > alone.stats.iterations - 2
    out = network.tables["line"].replace("in_service", slice(0, 1), np.zeros(1, dtype=bool))
    for other in (edited("gen", "vm_pu", 1.001), replace(network, tables={**network.tables, "line": out})):
        found = load_flow(other, near=near)
        assert RebuildReason.ANOTHER_BASE.value in found.stats.rebuilt
        np.testing.assert_array_equal(found.value.v, load_flow(other).value.v)


def test_the_kernels_run_in_plain_python_and_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    flow, base = solved("case9")
    (s_power,) = scenarios(flow, 1, 0.1, seed=2)
    compiled = solve_near(Scratch(base, lay_flat(base)), s_power)
    for name in ("_near", "_missing", "_turn"):
        monkeypatch.setattr(kernels, name, getattr(kernels, name).py_func)
    plain = solve_near(Scratch(base, lay_flat(base)), s_power)
    np.testing.assert_allclose(plain.value.v, compiled.value.v, atol=1e-12)
    assert plain.stats.iterations == compiled.stats.iterations
