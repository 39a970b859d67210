"""A load flow without solution says how far the load can grow and where the voltage gives way."""

from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest

from grid_models.formats.pandapower import from_pandapower
from grid_models.power.bus_branch import PQ
from solvers.power.admittance import factor, prepare
from solvers.power.load_flow import load_flow
from solvers.power.no_load import no_load
from solvers.solution import Status, Unsolvable
from tests.oracles.power import admittance


def feeder(p_mw: float, x_ohm: float = 10.0) -> Any:
    """A lossless line of 100 kV, 1 km, to a load without reactive power: it carries U^2 / (2 x) = 500 MW."""
    net = pp.create_empty_network(sn_mva=100.0)
    a, b = (pp.create_bus(net, 100.0) for _ in range(2))
    pp.create_ext_grid(net, a)
    pp.create_line_from_parameters(net, a, b, 1.0, 0.0, x_ohm, 0.0, 1.0)
    pp.create_load(net, b, p_mw)
    return net


@pytest.mark.parametrize("p_mw", [510.0, 625.0, 5000.0])
def test_the_nose_of_a_lossless_line_is_where_the_formula_has_it(p_mw: float) -> None:
    solution = load_flow(from_pandapower(feeder(p_mw)))
    assert solution.status is Status.VOLTAGE_COLLAPSE
    # The path stops within its last step, 0.1 % of the load, below the nose.
    assert 500.0 / p_mw - 2e-3 <= solution.stats.extra["carried"] <= 500.0 / p_mw
    assert solution.culprits[0] == "bus 1"
    with pytest.raises(Unsolvable, match=r"VOLTAGE_COLLAPSE.*\(bus 1.*carries .* % of its load"):
        solution.unwrap()


def test_close_below_the_nose_it_is_solved() -> None:
    assert load_flow(from_pandapower(feeder(499.0))).status is Status.SOLVED


def test_the_island_that_gives_way_is_named_not_its_healthy_neighbour() -> None:
    net = feeder(700.0)
    a, b, c = (pp.create_bus(net, 100.0) for _ in range(3))
    pp.create_ext_grid(net, a)
    for start, end in ((a, b), (b, c)):
        pp.create_line_from_parameters(net, start, end, 1.0, 0.1, 1.0, 0.0, 1.0)
    pp.create_load(net, c, 30.0)
    solution = load_flow(from_pandapower(net))
    assert solution.status is Status.VOLTAGE_COLLAPSE
    assert solution.culprits[0] == "bus 1"
    assert "an island of 2 of 5 buses" in solution.detail


def test_data_without_any_solution_are_told_apart_from_too_much_load() -> None:
    """Lines a hundred times too long, one with a negative reactance: their charging alone has no solution."""
    net = pn.case9()
    net.line.loc[0, "x_ohm_per_km"] *= -1
    net.line["x_ohm_per_km"] *= 100
    solution = load_flow(from_pandapower(net))
    assert solution.status is Status.CONTRADICTORY
    assert "even without load" in solution.detail
    assert np.isnan(solution.stats.extra["carried"])


def test_the_ill_conditioned_case_of_iwamoto_lies_just_beyond_its_nose() -> None:
    solution = load_flow(from_pandapower(pn.case11_iwamoto()))
    assert solution.status is Status.VOLTAGE_COLLAPSE
    assert 0.99 < solution.stats.extra["carried"] < 1.0
    # The operable branch starts at twice the nominal voltage; the other one comes up to the same nose from 0.
    assert "the lowest there is 0.8" in solution.detail


def test_without_load_the_voltages_are_linear() -> None:
    net = pn.case118()
    model = load_flow(from_pandapower(net)).value.model
    plan = prepare(model)
    v = no_load(plan, factor(plan, model), model.v_start)
    Y, free = admittance(model), model.bus_kind == PQ
    assert np.abs((Y @ v)[free]).max() < 1e-9
    np.testing.assert_array_equal(v[~free], model.v_start[~free])


def test_without_diagnosis_it_only_does_not_converge() -> None:
    assert load_flow(from_pandapower(feeder(600.0)), diagnose=False).status is Status.NOT_CONVERGED
