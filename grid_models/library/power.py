"""Small power networks, made in code, the same every time."""

from __future__ import annotations

from typing import Any

from grid_models.formats.pandapower import from_pandapower
from grid_models.power.network import PowerNetwork


def two_bus(load_mw: float = 1.0) -> PowerNetwork:
    """A source, a line, a load.

    >>> two_bus().tables["load"]["p_mw"].tolist()
    [1.0]
    """
    import pandapower as pp

    net = _empty()
    a, b = (pp.create_bus(net, 20.0, name=name) for name in "AB")
    pp.create_ext_grid(net, a)
    _line(net, a, b, 5.0)
    pp.create_load(net, b, load_mw, 0.2 * load_mw)
    return from_pandapower(net)


def ring(n: int = 6) -> PowerNetwork:
    """A ring of `n` stations fed at one of them, opened half-way by a switch.

    >>> ring(4).tables["switch"]["closed"].tolist()
    [False]
    """
    import pandapower as pp

    net = _empty()
    buses = [pp.create_bus(net, 20.0, name=f"station {i}") for i in range(n)]
    pp.create_ext_grid(net, buses[0])
    for i in range(n):
        line = _line(net, buses[i], buses[(i + 1) % n], 2.0)
        if i == n // 2:
            pp.create_switch(net, buses[i], line, et="l", closed=False)
    for i, bus in enumerate(buses[1:], start=1):
        pp.create_load(net, bus, 0.3 + 0.05 * i, 0.1, name=f"load {i}")
    return from_pandapower(net)


def _empty() -> Any:
    import pandapower as pp

    return pp.create_empty_network(sn_mva=10.0)


def _line(net: Any, a: int, b: int, length_km: float) -> int:
    import pandapower as pp

    return int(
        pp.create_line_from_parameters(
            net, a, b, length_km, r_ohm_per_km=0.16, x_ohm_per_km=0.12, c_nf_per_km=270.0, max_i_ka=0.36
        )
    )
