"""Laws that every hydraulic state obeys, whatever the network: on random small networks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from grid_models.formats.epanet import read_inp, read_text
from grid_models.formats.epanet_packaged import packaged_file
from grid_models.formats.epanet_text import InpText
from grid_models.water.network import LinkKind, WaterNetwork
from grid_models.water.testing import inp_texts, water_networks
from solvers.solution import Solution, Status
from solvers.water.extended import Simulation
from solvers.water.plan import ACTIVE, CLOSED, PRV, WaterPlan, prepare
from solvers.water.residuals import residuals
from solvers.water.sensitivity import Linear
from solvers.water.steady import Boundary, Hydraulics, Scratch, initial_boundary, steady
from tests.oracles import water as oracle

# Each example costs milliseconds; the deadline would only measure the first compilation.
lawful = settings(deadline=None, max_examples=60)


def solved(network: WaterNetwork) -> tuple[WaterPlan, Boundary, Solution[Hydraulics]]:
    plan = prepare(network)
    boundary = initial_boundary(network)
    return plan, boundary, steady(plan, Scratch(plan), boundary)


@lawful
@given(water_networks())
def test_every_residual_vanishes(network: WaterNetwork) -> None:
    plan, boundary, solution = solved(network)
    assert solution.status.usable
    left = residuals(plan, boundary, solution.value)
    assert left.hold, left


@lawful
@given(water_networks())
def test_mass_balances_and_every_open_link_obeys_the_law_of_the_manual(network: WaterNetwork) -> None:
    _, boundary, solution = solved(network)
    found = solution.value
    H, q = found.head_m, found.flow_m3_per_s
    net = -boundary.demand_m3_per_s
    np.add.at(net, network.link_to, q)
    np.add.at(net, network.link_from, -q)
    alive = found.supplied & (network.node_table == 0)
    # The iteration ends at 1e-9 of the sum of flows, which is below 0.1 m3/s here.
    np.testing.assert_allclose(net[alive], 0.0, atol=1e-10)
    for k in np.flatnonzero(found.status > CLOSED):
        kind, ends = network.link_kind[k], (network.link_from[k], network.link_to[k])
        if not found.supplied[list(ends)].all() or (found.status[k] == ACTIVE and kind in (LinkKind.PRV, LinkKind.FCV)):
            continue
        expected = oracle.loss(network, k, q[k], boundary.setting[k])
        # 1e-7 m is where the iteration stops; below the least gradient of 1e-6 s/m2 a straight line stands for the law.
        assert H[ends[0]] - H[ends[1]] == pytest.approx(expected, abs=2e-7 + 2e-6 * abs(q[k]))


@settings(deadline=None, max_examples=25)
@given(water_networks(max_junctions=4))
def test_agrees_with_the_dense_oracle(network: WaterNetwork) -> None:
    _, boundary, solution = solved(network)
    found = solution.value
    assume(found.supplied.all() and not (found.status < CLOSED).any())
    held = (found.status == ACTIVE) & np.isin(network.link_kind, (LinkKind.PRV, LinkKind.PSV, LinkKind.FCV))
    H, q = oracle.balanced(network, boundary.demand_m3_per_s, boundary.head_m, found.status > CLOSED, held, boundary.setting)
    flowing = np.abs(q) > 1e-5  # where nothing flows, neither flow nor the oracle's Jacobian is well determined
    np.testing.assert_allclose(found.head_m, H, atol=1e-5)
    np.testing.assert_allclose(found.flow_m3_per_s[flowing], q[flowing], atol=1e-6)


def whole(plan: WaterPlan) -> WaterPlan:
    """The same plan, its reduction never used."""
    graph = plan.reduction.graph._replace(removed=np.zeros(0, dtype=np.int64))
    return replace(plan, reduction=plan.reduction._replace(graph=graph))


@lawful
@given(water_networks())
def test_without_its_trees_and_series_a_network_has_the_same_answer(network: WaterNetwork) -> None:
    plan, boundary, solution = solved(network)
    expected = steady(whole(plan), Scratch(plan), boundary)
    assert solution.status is expected.status
    assert solution.culprits == expected.culprits
    # Both stop at 1e-7 m of residual; a few links in series add up.
    np.testing.assert_allclose(solution.value.head_m, expected.value.head_m, atol=1e-5)
    np.testing.assert_array_equal(solution.value.status > CLOSED, expected.value.status > CLOSED)


@pytest.mark.parametrize("name", ["ky4", "L-TOWN"])
def test_most_of_a_town_is_trees_and_series(name: str) -> None:
    network = read_inp(packaged_file("epyt", name))
    plan, boundary, solution = solved(network)
    assert len(plan.reduction.graph.node) < 0.4 * len(network.node_ids)
    expected = steady(whole(plan), Scratch(plan), boundary).value
    np.testing.assert_allclose(solution.value.head_m, expected.head_m, atol=1e-6)
    np.testing.assert_allclose(solution.value.flow_m3_per_s, expected.flow_m3_per_s, atol=1e-8)


@lawful
@given(water_networks())
def test_power_into_the_network_is_lost_or_delivered(network: WaterNetwork) -> None:
    _, _, solution = solved(network)
    found = solution.value
    H = np.where(found.supplied, found.head_m, 0.0)
    q, fixed = found.flow_m3_per_s, network.node_table > 0
    entering = np.zeros(len(H))
    np.add.at(entering, network.link_from, q)
    np.add.at(entering, network.link_to, -q)
    lost = float(q @ (H[network.link_from] - H[network.link_to]))
    delivered = float((H * found.demand_m3_per_s)[~fixed].sum())
    # A link's head loss is right within 1e-7 m, a junction's balance within 1e-9 of the sum of flows, which at rest is
    # round-off.
    slack = (1e-7 + 1e-9 * float(np.abs(H).max())) * max(float(np.abs(q).sum()), 1e-9)
    assert float((H * entering)[fixed].sum()) == pytest.approx(lost + delivered, abs=slack)


@settings(deadline=None, max_examples=30)
@given(inp_texts(), st.randoms(use_true_random=False))
def test_the_order_of_the_file_does_not_matter(text: str, random: object) -> None:
    network = read_text(InpText(text), "net")
    shuffled = read_text(InpText(shuffle(text, random)), "net")
    _, _, one = solved(network)
    _, _, other = solved(shuffled)
    assert one.status is other.status
    heads = dict(zip(shuffled.node_ids.tolist(), other.value.head_m.tolist(), strict=True))
    for label, head in zip(network.node_ids.tolist(), one.value.head_m.tolist(), strict=True):
        # Both stop at 1e-7 m of residual; a few links in series add up.
        assert heads[label] == pytest.approx(head, abs=1e-5, nan_ok=True)


def shuffle(text: str, random: object) -> str:
    """The same file with the lines of its tables in another order."""
    out = []
    for block in text.split("[")[1:]:
        name, _, body = block.partition("]")
        lines = [line for line in body.split("\n") if line.strip()]
        if name in ("JUNCTIONS", "PIPES", "DEMANDS"):
            random.shuffle(lines)  # type: ignore[attr-defined]
        out.append(f"[{name}]\n" + "\n".join(lines) + "\n")
    return "".join(out)


@settings(deadline=None, max_examples=30)
@given(water_networks(), st.integers(0, 10**6))
def test_sensitivities_are_differences(network: WaterNetwork, seed: int) -> None:
    plan, boundary, solution = solved(network)
    found = solution.value
    assume(found.supplied.all())
    node = int(np.random.default_rng(seed).integers(0, network.n_junction))
    linear = Linear(plan, Scratch(plan), boundary, found)
    step = 1e-7
    heads = []
    for sign in (1, -1):
        demand = boundary.demand_m3_per_s.copy()
        demand[node] += sign * step
        moved = steady(plan, Scratch(plan), replace(boundary, demand_m3_per_s=demand), found, accuracy=1e-12).value
        assume((moved.status == found.status).all())
        heads.append(moved.head_m)
    slope = (heads[0] - heads[1]) / (2 * step)
    answer = linear.heads(np.arange(len(found.head_m)))[:, node]
    still = np.abs(found.flow_m3_per_s[found.status > CLOSED]).min(initial=1.0) < 1e-4
    assume(not still)  # a law has no tangent to speak of where the flow turns
    np.testing.assert_allclose(answer, slope, rtol=2e-2, atol=2.0)


@settings(deadline=None, max_examples=20)
@given(water_networks())
def test_a_run_in_pieces_is_the_run(network: WaterNetwork) -> None:
    end = network.options.duration_s
    straight, paused = Simulation(network), Simulation(network)
    while True:
        straight.solve()
        paused.solve()
        paused = Simulation(network, paused.state)
        assert paused.state.time_s == straight.state.time_s
        for name in ("head_m", "flow_m3_per_s", "status", "demand_m3_per_s", "emitted_m3_per_s"):
            one, other = getattr(straight.state.found, name), getattr(paused.state.found, name)
            assert one.tobytes() == other.tobytes(), name
        if straight.state.time_s >= end:
            break
        straight.step(end)
        paused.step(end)


CASES = {
    "prv": (" V A B 200 PRV 20 0", Status.SOLVED),
    "psv feeding a dead end": (" V A B 200 PSV 90 0", Status.VALVE_CANNOT_HOLD),
    "fcv above the demand": (" V A B 200 FCV 50 0", Status.SOLVED),
    "fcv below the demand": (" V A B 200 FCV 1 0", Status.SUPPLY_LIMITED),
    "valve the wrong way": (" V B A 200 PRV 20 0", Status.NO_SUPPLY),
    "gpv": (" V A B 200 GPV loss 0", Status.SOLVED),
}


@pytest.mark.parametrize("case", CASES)
def test_a_valve_ends_in_a_named_state(case: str) -> None:
    valve, expected = CASES[case]
    text = f"""[RESERVOIRS]\n R 60\n[JUNCTIONS]\n A 10\n B 5 5\n[PIPES]\n P R A 100 200 130\n[VALVES]\n{valve}
[CURVES]\n loss 0 0\n loss 10 5\n[OPTIONS]\n UNITS LPS\n[END]\n"""
    plan, boundary, solution = solved(read_text(InpText(text), case))
    assert solution.status is expected, (solution.status, solution.culprits)
    left = residuals(plan, boundary, solution.value)
    assert left.hold, left


POWERED = {
    "delivers": (" P B C 100 200 130", "", Status.SOLVED),
    "leads nowhere": (" P B C 100 200 130 0 Closed", "", Status.PUMP_CANNOT_DELIVER),
    "has nothing to take": ("", " Q R C 100 200 130\n P C B 100 200 130", Status.NO_SUPPLY),
    "before a prv that must open": ("", " Q R C 2000 100 130", Status.SOLVED),
}


@pytest.mark.parametrize("case", POWERED)
def test_a_pump_of_constant_power_runs_where_water_can_come_and_go(case: str) -> None:
    behind, beside, expected = POWERED[case]
    valve = " V B C 200 PRV 55 0" if "prv" in case else ""
    suction = " S X A 10 200 130\n" if "nothing" in case else " S R A 10 200 130\n"
    drawn = 0 if "nowhere" in case else 5
    text = f"""[JUNCTIONS]\n A 0\n B 0\n C 0 {drawn}\n X 0 1\n[RESERVOIRS]\n R 60\n[PIPES]\n{suction}{behind}
{beside}\n X R X 10 200 130 0 {"Closed" if "nothing" in case else "Open"}\n[PUMPS]\n U A B POWER 5\n[VALVES]\n{valve}
[OPTIONS]\n UNITS LPS\n[END]\n"""
    plan, boundary, solution = solved(read_text(InpText(text), case))
    assert solution.status is expected, (solution.status, solution.culprits)
    assert solution.stats.iterations < 40
    left = residuals(plan, boundary, solution.value)
    assert left.hold, left


def test_residuals_tell_a_wrong_answer() -> None:
    text = """[RESERVOIRS]\n R 60\n[JUNCTIONS]\n A 10\n B 5 5\n[PIPES]\n P R A 100 200 130\n[VALVES]\n V A B 200 PRV 20 0
[OPTIONS]\n UNITS LPS\n[END]\n"""
    plan, boundary, solution = solved(read_text(InpText(text), "net"))
    found = solution.value
    valve = int(np.flatnonzero(plan.laws.kind == PRV)[0])
    leaky = found.flow_m3_per_s.copy()
    leaky[0] += 1e-4
    assert residuals(plan, boundary, replace(found, flow_m3_per_s=leaky)).mass > 1e-3
    lifted = found.head_m.copy()
    lifted[0] += 0.01
    assert residuals(plan, boundary, replace(found, head_m=lifted)).head_m == pytest.approx(0.01, rel=1e-3)
    shut = found.status.copy()
    shut[valve] = CLOSED
    assert residuals(plan, boundary, replace(found, status=shut)).broken
    assert residuals(plan, boundary, replace(found, supplied=np.array([True, False, True]))).broken


def test_water_that_nobody_draws_stands_level() -> None:
    pipes = "".join(f" {a}{b} {a} {b} 90 200 130\n" for a, b in ("RA", "AB", "BC", "CR"))
    ring = f"[JUNCTIONS]\n A 7\n B 7\n C 7\n[RESERVOIRS]\n R 7\n[PIPES]\n{pipes}[OPTIONS]\n UNITS LPS\n HEADLOSS H-W\n[END]\n"
    network = read_text(InpText(ring), "ring")
    np.testing.assert_allclose(Simulation(network).solve().value.head_m, 7.0, atol=1e-9)
