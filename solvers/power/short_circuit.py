"""Short-circuit currents after IEC 60909, computed by pandapower; here stand only its seam and its refusals.

Initial current at each bus, as if the fault were there:  I_k" = c V_n / (sqrt(3) |Z_k|),  c the voltage factor.

Reference: IEC 60909-0:2016; pandapower's `shortcircuit.calc_sc`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from grid_models.errors import InvalidInput, Issue
from grid_models.power.bus_branch import bus_branch
from grid_models.power.network import PowerNetwork
from grid_models.tables import Array, frozen
from solvers.solution import Solution, Status

FAULTS = ("3ph", "2ph", "1ph")
CASES = ("max", "min")
# What a source must tell so that its contribution is known.
_NEEDED = {
    "max": {"ext_grid": ("s_sc_max_mva", "rx_max"), "gen": ("vn_kv", "xdss_pu", "cos_phi", "sn_mva")},
    "min": {
        "ext_grid": ("s_sc_min_mva", "rx_min"),
        "gen": ("vn_kv", "xdss_pu", "cos_phi", "sn_mva"),
        "line": ("endtemp_degree",),
    },
}


@dataclass(frozen=True, eq=False)
class ShortCircuit:
    """Currents and impedances of a fault at each bus.

    Args:
        columns: "bus_{column}" -> (n_bus,), columns as in pandapower's `res_bus_sc`; nan where dead.
    """

    columns: Mapping[str, Array]


def short_circuit(network: PowerNetwork, fault: str = "3ph", case: str = "max") -> Solution[ShortCircuit]:
    """The short circuit at every bus.

    Args:
        network: with the short-circuit data of its sources (and, for the least currents, of its lines).
        fault: `3ph`, `2ph` or `1ph`.
        case: `max` or `min` currents.

    Returns:
        Status SOLVED, or DEAD_ISLANDS or NO_SLACK with the buses that no source reaches.

    Raises:
        InvalidInput: data that are missing, by element and column, or that pandapower refuses.

    >>> import pandapower as pp
    >>> from grid_models.formats.pandapower import from_pandapower
    >>> net = pp.create_empty_network()
    >>> _ = pp.create_ext_grid(net, pp.create_bus(net, 110.0), s_sc_max_mva=1000.0, rx_max=0.1)
    >>> float(short_circuit(from_pandapower(net)).unwrap().columns["bus_ikss_ka"][0].round(3))  # 1000 / (110 sqrt(3))
    5.249
    """
    from pandapower.shortcircuit import calc_sc

    from grid_models.formats.pandapower import to_pandapower

    given = (("fault", fault, FAULTS), ("case", case, CASES))
    issues = [Issue("short circuit", name, (), f"must be {' or '.join(k)}, is {v!r}") for name, v, k in given if v not in k]
    issues = issues or _missing(network, case)
    if issues:
        raise InvalidInput(issues)
    net = to_pandapower(network)
    model = bus_branch(network)
    alive = model.node_bus[: len(net.bus)] >= 0
    dead = tuple(f"bus {bus}" for bus in net.bus.index[~alive & network.in_service("bus")].tolist())
    if not alive.any():
        return Solution(ShortCircuit({}), Status.NO_SLACK, culprits=dead)
    # pandapower has peak and thermal currents only for faults far from generators.
    far = fault != "1ph" and not ("gen" in network.tables and network.in_service("gen").any())
    try:
        with np.errstate(all="ignore"):
            calc_sc(net, fault=fault, case=case, ip=far, ith=far)
    except (KeyError, ValueError, TypeError, AttributeError, NotImplementedError, UserWarning) as error:
        message = f"pandapower cannot compute it: {type(error).__name__}: {error}"
        raise InvalidInput([Issue("short circuit", fault, (), message)]) from error
    found = net.res_bus_sc.reindex(net.bus.index)
    columns = {f"bus_{name}": frozen(np.where(alive, found[name].to_numpy(np.float64), np.nan)) for name in found.columns}
    columns["bus_energised"] = frozen(alive)
    return Solution(ShortCircuit(columns), Status.DEAD_ISLANDS if dead else Status.SOLVED, culprits=dead)


def _missing(network: PowerNetwork, case: str) -> list[Issue]:
    """A fault of every element in service that leaves a needed column out."""
    issues = []
    for element, columns in _NEEDED[case].items():
        if element not in network.tables:
            continue
        table, alive = network.tables[element], network.in_service(element)
        for column in columns:
            values = np.asarray(table.column(column, np.nan), dtype=np.float64)
            ids = tuple(table.index[alive & np.isnan(values)].tolist())
            if ids:
                issues.append(Issue(element, column, ids, "is needed for short-circuit currents"))
    return issues
