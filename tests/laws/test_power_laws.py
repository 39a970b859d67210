"""Laws that every load flow obeys, whatever the network: on random networks of pi branches."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_models.power.bus_branch import PQ, PV, SLACK, BusBranch
from solvers.power.admittance import Injections, factor, pairs, prepare
from solvers.power.newton import Scratch, Voltages, _mismatch, _rotate, solve
from solvers.solution import Solution, Status
from tests.oracles import power as oracle


def random_model(n: int, seed: int, *, islands: int = 1) -> BusBranch:
    """A tree per island and some loops; transformers with ratio and shift, shunts, loads of all three kinds."""
    rng = np.random.default_rng(seed)
    island = np.r_[np.arange(islands), rng.integers(0, islands, n - islands)]
    links = []
    for i in range(islands, n):
        earlier = np.flatnonzero(island[:i] == island[i])
        links += [(int(rng.choice(earlier)), i) for _ in range(1 + int(rng.random() < 0.4))]
    begin, end = np.array(links, dtype=np.int64).reshape(-1, 2).T
    m = len(begin)
    y = 1 / (rng.uniform(0.001, 0.02, m) + 1j * rng.uniform(0.005, 0.05, m))
    tap = np.where(rng.random(m) < 0.2, rng.uniform(0.95, 1.05, m) * np.exp(1j * rng.uniform(-0.1, 0.1, m)), 1.0)
    shunt = y + 0.5j * rng.uniform(0.0, 0.02, m)
    kind = np.where(rng.random(n) < 0.2, PV, PQ).astype(np.int8)
    kind[:islands] = SLACK
    v_set = np.where(kind == PQ, 1.0, rng.uniform(0.98, 1.03, n))
    load = rng.uniform(0.0, 0.1, n) + 1j * rng.uniform(-0.02, 0.05, n)
    return BusBranch(
        sn_mva=100.0,
        node_bus=np.arange(n),
        bus_node=np.arange(n),
        bus_kind=kind,
        bus_island=island,
        branch_row=np.arange(m),
        branch_from=begin,
        branch_to=end,
        y_ff=shunt / np.abs(tap) ** 2,
        y_ft=-y / np.conj(tap),
        y_tf=-y / tap,
        y_tt=shunt,
        y_shunt=1j * rng.uniform(-0.05, 0.05, n) * (rng.random(n) < 0.2),
        s_power=-load + np.where(kind == PV, 0.2, 0.0),
        s_current=-0.3 * load * (rng.random(n) < 0.3),
        v_start=v_set.astype(complex),
        v_set=v_set,
        slack_weight=(kind == SLACK).astype(float),
        q_min=np.full(n, -np.inf),
        q_max=np.full(n, np.inf),
        dead_nodes=np.zeros(0, dtype=np.int64),
    )


def solved(model: BusBranch) -> Solution[Voltages]:
    plan = prepare(model)
    injections = Injections(model.s_power, model.s_current)
    return solve(plan, factor(plan, model), Scratch(plan), injections, model.v_start)


def has_a_solution(model: BusBranch) -> bool:
    """Whether the oracle finds one: stiff machines on resistive lines may ask for more than these carry."""
    with np.errstate(all="ignore"):
        try:
            v = oracle.load_flow(model)
        except np.linalg.LinAlgError:
            return False
        missing = oracle.missing_power(model, oracle.admittance(model), v)
    asked = np.r_[missing.real[model.bus_kind != SLACK], missing.imag[model.bus_kind == PQ]]
    return bool(np.max(np.abs(asked), initial=0.0) < 1e-10)


networks = st.builds(
    lambda n, seed, islands: random_model(max(n, islands), seed, islands=islands),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
).filter(has_a_solution)
# Each example costs a millisecond; the deadline would only measure the first compilation.
lawful = settings(deadline=None, max_examples=50)


@lawful
@given(networks)
def test_agrees_with_the_dense_oracle(model: BusBranch) -> None:
    solution = solved(model)
    assert solution.status is Status.SOLVED
    # Both stop at a mismatch of 1e-10 and less; the worst inverse Jacobian here has entries of about 1.
    np.testing.assert_allclose(solution.value.v, oracle.load_flow(model), atol=1e-9)


@lawful
@given(networks)
def test_power_balances_at_every_bus_and_set_points_hold(model: BusBranch) -> None:
    solution = solved(model)
    v = solution.value.v
    missing = oracle.missing_power(model, oracle.admittance(model), v)
    assert np.max(np.abs(missing.real[model.bus_kind != SLACK]), initial=0.0) <= 1e-8
    assert np.max(np.abs(missing.imag[model.bus_kind == PQ]), initial=0.0) <= 1e-8
    held = model.bus_kind != PQ
    np.testing.assert_allclose(np.abs(v[held]), model.v_set[held], rtol=1e-14)
    np.testing.assert_array_equal(v[model.bus_kind == SLACK], model.v_start[model.bus_kind == SLACK])


@lawful
@given(networks, st.randoms(use_true_random=False))
def test_the_numbering_of_buses_does_not_matter(model: BusBranch, random: object) -> None:
    n = len(model.bus_kind)
    old = np.array(random.sample(range(n), n), dtype=np.int64)  # type: ignore[attr-defined]  # old number of each new
    new = np.argsort(old)
    shuffled = replace(
        model,
        **{name: getattr(model, name)[old] for name in ("bus_kind", "y_shunt", "s_power", "s_current", "v_start")},
        branch_from=new[model.branch_from],
        branch_to=new[model.branch_to],
    )
    np.testing.assert_allclose(solved(shuffled).value.v, solved(model).value.v[old], atol=1e-9)


@lawful
@given(networks, st.floats(-3.0, 3.0))
def test_turning_every_slack_turns_every_voltage(model: BusBranch, angle: float) -> None:
    turned = replace(model, v_start=model.v_start * np.exp(1j * angle))
    np.testing.assert_allclose(solved(turned).value.v, solved(model).value.v * np.exp(1j * angle), atol=1e-9)


@lawful
@given(networks)
def test_islands_do_not_feel_each_other(model: BusBranch) -> None:
    together = solved(model).value.v
    outside = model.bus_island != 0
    changed = replace(model, s_power=np.where(outside, 0.5 * model.s_power, model.s_power))
    np.testing.assert_allclose(solved(changed).value.v[~outside], together[~outside], atol=1e-9)


@lawful
@given(networks)
def test_the_jacobian_is_the_derivative_of_the_mismatch(model: BusBranch) -> None:
    plan = prepare(model)
    n = plan.symbolic.n
    y = factor(plan, model).y
    s_power, s_current = pairs(model.s_power[plan.bus]), pairs(model.s_current[plan.bus])
    rng = np.random.default_rng(n)
    v = pairs((model.v_start * np.exp(1j * rng.uniform(-0.2, 0.2, len(plan.bus))))[plan.bus]).copy()

    def at(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a, residual = np.zeros((n + 2 * plan.symbolic.n_upper, 4)), np.zeros((n, 2))
        _mismatch(plan.is_pv, plan.ptr, plan.col, plan.slot, plan.fill, y, s_power, s_current, v, a, residual)
        return a, residual

    a, _ = at(v)
    J = dense(plan.symbolic, a)
    direction = rng.normal(size=(n, 2))
    direction[plan.is_pv != 0, 1] = 0.0  # |V| is held there
    h = 1e-6
    ahead, behind = v.copy(), v.copy()
    _rotate(v[:n].copy(), direction, h, ahead)
    _rotate(v[:n].copy(), direction, -h, behind)
    slope = -(at(ahead)[1] - at(behind)[1]) / (2 * h)
    # Central differences: truncation h^2 times third derivatives (1e3 pu admittances), rounding 1e-16 * 1e3 / h.
    np.testing.assert_allclose((J @ direction.ravel()).reshape(n, 2), slope, atol=1e-5)


def dense(sym: object, a: np.ndarray) -> np.ndarray:
    n, up, uj = sym.n, sym.up, sym.uj  # type: ignore[attr-defined]
    J = np.zeros((2 * n, 2 * n))
    for k in range(n):
        J[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = a[k].reshape(2, 2)
        for x in range(up[k], up[k + 1]):
            j = uj[x]
            J[2 * k : 2 * k + 2, 2 * j : 2 * j + 2] = a[n + x].reshape(2, 2)
            J[2 * j : 2 * j + 2, 2 * k : 2 * k + 2] = a[n + len(uj) + x].reshape(2, 2)
    return J


def test_newton_converges_quadratically() -> None:
    model = random_model(60, 11)
    plan = prepare(model)
    y = factor(plan, model)
    errors = []
    exact = solved(model).value.v
    for steps in range(1, 5):
        reached = solve(
            plan,
            y,
            Scratch(plan),
            Injections(model.s_power, model.s_current),
            model.v_start,
            tolerance_pu=np.inf,
            max_iterations=steps,
        )
        errors.append(np.max(np.abs(reached.value.v - exact)))
    clear = [(a, b) for a, b in pairwise(errors) if b > 1e-13]
    assert len(clear) >= 2
    assert all(b < 10.0 * a**2 for a, b in clear)


@pytest.mark.parametrize("islands", [1, 2])
def test_a_network_of_slacks_alone_is_solved(islands: int) -> None:
    model = random_model(islands, 0, islands=islands)
    assert solved(model).status is Status.SOLVED
