"""Hypothesis strategies: small valid power networks, radial and meshed, with switches, islands and things out of service."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from grid_models.formats.pandapower import from_pandapower
from grid_models.power.network import PowerNetwork


@st.composite
def pandapower_nets(draw: st.DrawFn, most_buses: int = 9) -> Any:
    """A pandapower net that its own load flow solves: lightly loaded, one or two sources, perhaps dead parts."""
    import pandapower as pp

    n = draw(st.integers(2, most_buses))
    net = pp.create_empty_network(sn_mva=draw(st.sampled_from([1.0, 10.0, 100.0])))
    buses = [pp.create_bus(net, 20.0, name=f"bus {i}") for i in range(n)]
    pp.create_ext_grid(net, buses[0], vm_pu=draw(st.floats(0.98, 1.03)), va_degree=draw(st.sampled_from([0.0, 30.0])))
    ends = [(buses[draw(st.integers(0, i - 1))], buses[i]) for i in range(1, n)]
    for _ in range(draw(st.integers(0, 2))):
        a, b = draw(st.lists(st.sampled_from(buses), min_size=2, max_size=2, unique=True))
        ends.append((a, b))
    for a, b in ends:
        line = pp.create_line_from_parameters(
            net, a, b, draw(st.floats(0.1, 5.0)), r_ohm_per_km=0.2, x_ohm_per_km=0.12, c_nf_per_km=250.0, max_i_ka=0.3,
            in_service=draw(st.integers(0, 9)) > 0,
        )  # fmt: skip
        if draw(st.integers(0, 3)) == 0:
            pp.create_switch(net, draw(st.sampled_from([a, b])), line, et="l", closed=draw(st.booleans()))
    for bus in buses[1:]:
        if draw(st.booleans()):
            pp.create_load(net, bus, draw(st.floats(0.0, 0.5)), draw(st.floats(-0.1, 0.2)))
        if draw(st.integers(0, 3)) == 0:
            pp.create_sgen(net, bus, draw(st.floats(0.0, 0.5)))
    if n > 3 and draw(st.booleans()):
        tied = pp.create_bus(net, 20.0)
        pp.create_switch(net, buses[1], tied, et="b", closed=draw(st.booleans()))
        pp.create_load(net, tied, 0.1, 0.05)
    if n > 4 and draw(st.booleans()):
        net.bus.loc[buses[-1], "in_service"] = False
    if n > 2 and draw(st.booleans()):
        pp.create_gen(net, buses[-2], p_mw=draw(st.floats(0.0, 0.3)), vm_pu=1.0)
    return net


def power_networks(most_buses: int = 9) -> st.SearchStrategy[PowerNetwork]:
    """The same as frozen models."""
    return pandapower_nets(most_buses).map(from_pandapower)
