"""Pandapower's measurement table: estimated as pandapower estimates it, and bound to the model or refused by name."""

import warnings
from typing import Any

import numpy as np
import pytest

from grid_models.errors import InvalidInput
from grid_models.formats.pandapower import from_pandapower
from solvers.power.metering import estimate_measured
from solvers.solution import Status

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pandapower as pp
    import pandapower.networks as pn
    from pandapower.estimation import estimate as pandapower_estimate


def has_element(net: Any, bus: int) -> bool:
    return any((net[element].bus == bus).any() for element in ("load", "sgen", "gen", "ext_grid"))


def measured(net: Any, seed: int, noise: float = 1.0) -> Any:
    """Every voltage, injection (shunts are admittances, not injections) and flow, with noise of the meters' own sigma."""
    rng = np.random.default_rng(seed)
    pp.runpp(net, tolerance_mva=1e-9)

    def add(what: str, element: str, value: float, sigma: float, number: int, side: str | None = None) -> None:
        reading = value + noise * sigma * rng.standard_normal()
        pp.create_measurement(net, what, element, reading, sigma, number, side=side)

    for bus in net.bus.index:
        add("v", "bus", net.res_bus.vm_pu[bus], 0.004, bus)
        if has_element(net, bus):
            add("p", "bus", net.res_bus.p_mw[bus] - net.res_shunt.p_mw[net.shunt.bus == bus].sum(), 0.5, bus)
            add("q", "bus", net.res_bus.q_mvar[bus] - net.res_shunt.q_mvar[net.shunt.bus == bus].sum(), 0.5, bus)
        else:  # ours knows that nothing is injected there; pandapower is told
            add("p", "bus", 0.0, 1e-4, bus)
            add("q", "bus", 0.0, 1e-4, bus)
    for line in net.line.index:
        add("p", "line", net.res_line.p_from_mw[line], 0.5, line, "from")
        add("q", "line", net.res_line.q_to_mvar[line], 0.5, line, "to")
        add("i", "line", net.res_line.i_from_ka[line], 0.01, line, "from")
    for trafo in net.trafo.index:
        add("p", "trafo", net.res_trafo.p_hv_mw[trafo], 0.5, trafo, "hv")
    return net


@pytest.mark.parametrize("name", ["case9", "case14", "case39"])
def test_agrees_with_pandapower(name: str) -> None:
    net = measured(getattr(pn, name)(), seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert pandapower_estimate(net, init="flat", tolerance=1e-9, zero_injection=None)["success"]
    answer = estimate_measured(from_pandapower(net))
    assert answer.status is Status.SOLVED
    values = answer.value.values
    np.testing.assert_allclose(values["bus_vm_pu"], net.res_bus_est.vm_pu, atol=1e-6)
    np.testing.assert_allclose(values["line_p_from_mw"], net.res_line_est.p_from_mw, atol=1e-3)


def test_exact_readings_give_the_load_flow_and_a_wrong_one_is_named() -> None:
    net = measured(pn.case9(), seed=0, noise=0.0)
    exact = estimate_measured(from_pandapower(net))
    np.testing.assert_allclose(exact.value.values["bus_vm_pu"], net.res_bus.vm_pu, atol=1e-8)
    np.testing.assert_allclose(exact.value.values["bus_va_degree"], net.res_bus.va_degree, atol=1e-6)
    np.testing.assert_allclose(exact.value.values["measurement_residual"], 0.0, atol=1e-5)
    wrong = int(net.measurement.index[(net.measurement.element_type == "line") & (net.measurement.measurement_type == "p")][2])
    net.measurement.loc[wrong, "value"] += 20.0
    answer = estimate_measured(from_pandapower(net))
    assert answer.status is Status.BAD_DATA
    assert answer.culprits == (f"measurement {wrong}",)
    np.testing.assert_allclose(answer.value.values["bus_vm_pu"], net.res_bus.vm_pu, atol=1e-6)
    assert answer.value.values["measurement_residual"][wrong] == pytest.approx(20.0, abs=1e-3)


def test_buses_that_a_switch_joins_have_one_injection() -> None:
    net = pp.create_empty_network()
    a, b, c = (pp.create_bus(net, 20.0) for _ in range(3))
    pp.create_ext_grid(net, a)
    pp.create_line(net, a, b, 2.0, "NAYY 4x150 SE")
    pp.create_switch(net, b, c, et="b", closed=True)
    pp.create_load(net, b, 0.4, 0.1)
    pp.create_load(net, c, 0.2, 0.05)
    pp.runpp(net, tolerance_mva=1e-9)
    pp.create_measurement(net, "v", "bus", 1.0, 0.001, a)
    for bus, p, q in ((b, 0.4, 0.1), (c, 0.2, 0.05)):
        pp.create_measurement(net, "p", "bus", p, 0.01, bus)
        pp.create_measurement(net, "q", "bus", q, 0.01, bus)
    answer = estimate_measured(from_pandapower(net))
    np.testing.assert_allclose(answer.value.values["bus_vm_pu"], net.res_bus.vm_pu, atol=1e-8)
    # Half of the sum says nothing about the sum.
    net.measurement = net.measurement[net.measurement.element != c]
    blind = estimate_measured(from_pandapower(net))
    assert blind.status is Status.UNOBSERVABLE
    assert blind.culprits == (f"bus {b}",)


def test_what_cannot_be_bound_is_told_all_at_once() -> None:
    net = pn.case9()
    pp.create_measurement(net, "v", "bus", 1.0, 0.01, 0)
    pp.create_measurement(net, "p", "line", 1.0, 0.01, 0, side="from")
    net.measurement.loc[1, "side"] = "hv"
    pp.create_measurement(net, "q", "bus", 1.0, 0.0, 1)
    pp.create_measurement(net, "va", "bus", 1.0, 0.01, 1)
    with pytest.raises(InvalidInput) as caught:
        estimate_measured(from_pandapower(net))
    assert [issue.ids for issue in caught.value.issues] == [(1,), (2,), (3,)]
    with pytest.raises(InvalidInput, match="no measurements"):
        estimate_measured(from_pandapower(pn.case9()))


def test_an_empty_bus_between_short_lines_does_not_drown_the_voltage_meters() -> None:
    net = pp.create_empty_network(sn_mva=1.0)
    pp.create_buses(net, 5, vn_kv=10.0)
    pp.create_ext_grid(net, 0)
    for k in range(4):  # two metres each: 1e5 pu
        pp.create_line_from_parameters(net, k, k + 1, 0.002, r_ohm_per_km=0.2, x_ohm_per_km=0.1, c_nf_per_km=250, max_i_ka=0.4)
    pp.create_load(net, 4, p_mw=2.0, q_mvar=0.5)
    answer = estimate_measured(from_pandapower(measured(net, seed=3)))
    assert answer.status is Status.SOLVED
    # The mean of five voltage meters of sigma 0.004, of which each bus tells the same.
    np.testing.assert_allclose(answer.value.values["bus_vm_sigma_pu"], 0.004 / 5**0.5, rtol=1e-3)
    readings = net.measurement.value[net.measurement.measurement_type == "v"]
    np.testing.assert_allclose(answer.value.values["bus_vm_pu"], readings.mean(), atol=1e-4)
