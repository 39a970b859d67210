"""How a load flow ends, and what of an earlier one it uses again."""

from dataclasses import replace

import numpy as np
import pytest

from grid_models.power.bus_branch import PQ, SLACK, BusBranch
from solvers.plan import RebuildReason, Reuse, StaleVersion, size_bytes
from solvers.power.admittance import Injections, factor, prepare
from solvers.power.dc import dc_start
from solvers.power.newton import Scratch, Voltages, solve
from solvers.solution import Solution, Status
from tests.oracles import power as oracle


def feeder(n: int, load: complex) -> BusBranch:
    """A slack, then n - 1 buses in a row with a reactance of 0.1 pu between neighbours and the load at the end."""
    y = np.full(n - 1, 1 / 0.1j)
    kind = np.full(n, PQ, dtype=np.int8)
    kind[0] = SLACK
    s_power = np.zeros(n, dtype=complex)
    s_power[-1] = -load
    return BusBranch(
        sn_mva=1.0,
        node_bus=np.arange(n),
        bus_node=np.arange(n),
        bus_kind=kind,
        bus_island=np.zeros(n, dtype=np.int64),
        branch_row=np.arange(n - 1),
        branch_from=np.arange(n - 1),
        branch_to=np.arange(1, n),
        y_ff=y,
        y_ft=-y,
        y_tf=-y,
        y_tt=y,
        y_shunt=np.zeros(n, dtype=complex),
        s_power=s_power,
        s_current=np.zeros(n, dtype=complex),
        v_start=np.ones(n, dtype=complex),
        v_set=np.ones(n),
        slack_weight=(kind == SLACK).astype(float),
        q_min=np.full(n, -np.inf),
        q_max=np.full(n, np.inf),
        dead_nodes=np.zeros(0, dtype=np.int64),
    )


def solved(model: BusBranch, start: np.ndarray | None = None) -> Solution[Voltages]:
    plan = prepare(model)
    injections = Injections(model.s_power, model.s_current)
    first = model.v_start if start is None else start
    return solve(plan, factor(plan, model), Scratch(plan), injections, first, flat=model.v_start)


def test_two_buses_meet_the_closed_form() -> None:
    p, x = 1.5, 0.1
    v = solved(feeder(2, p)).value.v[1]
    # |V|^2 = (1 + sqrt(1 - 4 p^2 x^2)) / 2 for a unity power factor load behind a reactance.
    assert abs(v) ** 2 == pytest.approx((1 + np.sqrt(1 - 4 * p**2 * x**2)) / 2, abs=1e-12)
    assert abs(v) * np.sin(-np.angle(v)) == pytest.approx(p * x, abs=1e-12)


def test_more_load_than_the_line_can_carry_names_the_bus() -> None:
    solution = solved(feeder(4, 2.0))  # the limit is 1 / (2 * 0.3) = 1.67 pu
    assert solution.status is Status.NOT_CONVERGED
    assert not solution.status.usable
    assert "bus-branch bus 3" in solution.culprits
    assert solution.stats.residual > 1e-3 or np.isnan(solution.stats.residual)


def test_close_to_the_limit_is_still_solved() -> None:
    solution = solved(feeder(4, 1.666))
    assert solution.status is Status.SOLVED
    assert abs(solution.value.v[3]) == pytest.approx(np.sqrt(0.5), abs=0.02)


def test_a_bad_start_is_replaced_and_said_so() -> None:
    model = feeder(3, 1.0)
    good = solved(model)
    assert good.stats.rebuilt == ()
    bad = solved(model, np.array([1.0, 1e-9, -1e-9], dtype=complex))
    assert bad.status is Status.SOLVED
    assert bad.stats.rebuilt == (RebuildReason.HARDER_START.value,)
    np.testing.assert_allclose(bad.value.v, good.value.v, atol=1e-9)


def test_no_voltage_at_all_is_no_solution_where_nothing_is_drawn() -> None:
    """V = 0 balances an unloaded bus to the last bit; a start close to it must not end there."""
    solution = solved(feeder(3, 0.0), np.array([1.0, 1e-9, -1e-9], dtype=complex))
    assert solution.status is Status.SOLVED
    np.testing.assert_allclose(np.abs(solution.value.v), 1.0, atol=1e-9)


def test_of_two_solutions_the_one_with_the_higher_voltages_counts() -> None:
    p, x = 1.5, 0.1
    low = np.sqrt((1 - np.sqrt(1 - 4 * p**2 * x**2)) / 2)
    angle = -np.arcsin(p * x / low)
    solution = solved(feeder(2, p), np.array([1.0, low * np.exp(1j * angle)]))
    assert abs(solution.value.v[1]) > 0.9


def test_linear_angles_undo_a_phase_shifter_in_a_loop() -> None:
    """A ring of three with 25 degrees in one branch: no flat start fits all three branches."""
    model = feeder(3, 0.3)
    shift = np.exp(1j * np.deg2rad(25.0))
    y = 1 / 0.1j
    ring = replace(
        model,
        branch_row=np.arange(3),
        branch_from=np.array([0, 1, 0]),
        branch_to=np.array([1, 2, 2]),
        y_ff=np.array([y, y, y]),
        y_ft=np.array([-y, -y, -y * shift]),
        y_tf=np.array([-y, -y, -y / shift]),
        y_tt=np.array([y, y, y]),
        v_start=np.exp(1j * np.deg2rad([0.0, 0.0, -25.0])),  # along the shifter first
    )
    plan = prepare(ring)
    values = factor(plan, ring)
    linear = dc_start(plan, values, Injections(ring.s_power, ring.s_current), ring.v_start)
    # By hand: the shifter drives 25 degrees round three equal reactances; the load splits 1 : 2.
    circulating = np.deg2rad(25.0) / 0.3
    expected = -np.array([0.0, 0.1 * (0.1 + circulating), 0.2 * (0.1 + circulating)])
    np.testing.assert_allclose(np.angle(linear), expected, atol=1e-12)
    solution = solved(ring)
    assert solution.status is Status.SOLVED
    assert solution.value.v[2] == pytest.approx(oracle.load_flow(ring)[2], abs=1e-9)


def test_a_current_proportional_load_draws_less_at_low_voltage() -> None:
    model = feeder(3, 0.0)
    model = replace(model, s_current=np.array([0, 0, -1.0 - 0.3j]))
    v = solved(model).value.v
    drawn = v * np.conj(np.array([[-10j, 10j, 0], [10j, -20j, 10j], [0, 10j, -10j]]) @ v)
    assert -drawn[2] == pytest.approx((1.0 + 0.3j) * abs(v[2]), abs=1e-9)
    assert abs(v[2]) < 1.0


def test_nothing_alive_is_no_slack() -> None:
    one = feeder(2, 0.0)
    empty = {name: getattr(one, name)[:0] for name in one.__dataclass_fields__ if isinstance(getattr(one, name), np.ndarray)}
    solution = solved(replace(one, **empty))
    assert solution.status is Status.NO_SLACK
    assert len(solution.value.v) == 0


def test_parts_of_different_versions_are_refused() -> None:
    short, long = feeder(3, 0.1), feeder(4, 0.1)
    plan = prepare(short)
    with pytest.raises(StaleVersion, match="make it anew"):
        factor(plan, long)
    with pytest.raises(StaleVersion):
        solve(
            plan,
            factor(prepare(long), long),
            Scratch(plan),
            Injections(short.s_power, short.s_current),
            short.v_start,
        )


def test_only_what_changed_is_made_again() -> None:
    reuse = Reuse(prepare, factor)
    model = feeder(5, 0.1)
    plan, values, reasons = reuse.find(model)
    assert reasons == (RebuildReason.FIRST_PLAN, RebuildReason.FIRST_FACTOR)
    assert reuse.find(replace(model, s_power=2 * model.s_power))[2] == ()
    other = replace(model, y_ff=1.1 * model.y_ff)
    same_plan, other_values, reasons = reuse.find(other)
    assert same_plan is plan
    assert reasons == (RebuildReason.PARAMETERS_CHANGED,)
    assert not np.array_equal(other_values.y, values.y)
    assert reuse.find(feeder(6, 0.1))[2] == (RebuildReason.TOPOLOGY_CHANGED, RebuildReason.FIRST_FACTOR)
    assert reuse.find(model)[2] == ()


def test_the_bound_on_bytes_drops_the_least_recently_used() -> None:
    plan = prepare(feeder(50, 0.1))
    reuse = Reuse(prepare, factor, bound_bytes=3 * size_bytes(plan))
    for n in range(50, 60):
        reuse.find(feeder(n, 0.1))
    assert reuse.find(feeder(59, 0.1))[2] == ()
    assert reuse.find(feeder(50, 0.1))[2] != ()


def test_plans_and_factors_cannot_be_written() -> None:
    model = feeder(3, 0.1)
    plan = prepare(model)
    with pytest.raises(ValueError, match="read-only"):
        plan.symbolic.perm[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        factor(plan, model).y[0, 0] = 1.0
