"""What a solved load flow means for each element: pandapower's result columns, names and signs unchanged.

Branch powers are positive into the branch, loads' positive as consumed, generators' positive as fed in. Where there is
no voltage, voltages and currents are nan and powers are 0, as in pandapower (whose voltage-dependent loads turn to nan
there, and with them the power of other buses; ours do not); `{element}_energised` tells a true 0 from a dead one.
"""

from __future__ import annotations

import numpy as np

from grid_models.power.bus_branch import BusBranch
from grid_models.power.injections import element_mva, shunt_mva, ward_weights
from grid_models.power.network import PowerNetwork
from grid_models.tables import Array, Table
from solvers.power.flows import ComplexArray, FloatArray, Flows, branch_flows
from solvers.power.results_branch import branch_results
from solvers.power.results_electronics import passive_shunts
from solvers.power.results_machines import machine_results

_CONSUMERS = ("load", "motor", "sgen", "storage", "ward", "xward", "asymmetric_load", "asymmetric_sgen", "shunt")


def results(network: PowerNetwork, model: BusBranch, v: ComplexArray, p_from: FloatArray | None = None) -> dict[str, Array]:
    """Every result column of every element table with rows.

    Args:
        network: the element tables.
        model: the bus-branch form that was solved.
        v: (n_bus,) complex [pu].
        p_from: (n_branch,) active power of a linear load flow [pu] (dc_flow.py); reactive powers are 0 then.

    Returns:
        "{element}_{column}" -> (n_element,), columns as in pandapower's res_ tables, and "{element}_energised".
    """
    flows = branch_flows(network, model, v, p_from)
    out: dict[str, Array] = {}
    consumed = np.zeros(len(flows.v), dtype=np.complex128)
    for element in _CONSUMERS:
        if element in network.tables and network.tables[element].size:
            power, columns = _consumer(flows, element)
            out |= {f"{element}_{name}": values for name, values in columns.items()}
            node = flows.node(network.tables[element]["bus"])
            np.add.at(consumed, node, -power if element.endswith("sgen") else power)
    electronics, columns = passive_shunts(flows)
    consumed += electronics
    out |= columns
    fed, columns = machine_results(flows, consumed)
    out |= columns | branch_results(flows)

    n = network.tables["bus"].size
    power = np.where(network.in_service("bus"), (consumed - fed)[:n], np.nan + 1j * np.nan)
    voltage = flows.v[:n]
    bus = {
        "bus_vm_pu": np.abs(voltage),
        "bus_va_degree": np.degrees(np.angle(voltage)),
        "bus_p_mw": power.real,
        "bus_q_mvar": power.imag,
        "bus_energised": model.node_bus[:n] >= 0,
    }
    return bus | out


def _consumer(flows: Flows, element: str) -> tuple[ComplexArray, dict[str, Array]]:
    """Power of each element (consumed; fed in for sgen) and its result columns."""
    table = flows.network.tables[element]
    active = flows.active(element)
    vm = np.nan_to_num(np.abs(flows.v[flows.node(table["bus"])]))
    at = np.ones_like(vm) if flows.linear else vm
    columns: dict[str, Array] = {}
    if element == "load":
        power = _load_power(table, at) * active
    elif element == "shunt":
        power = at**2 * shunt_mva(flows.network) * active
    else:
        power = element_mva(table, element) * active
    if element.endswith("ward"):
        power = power + at**2 * (table["pz_mw"] + 1j * table["qz_mvar"]) * active
    if flows.linear:
        power = power.real.astype(np.complex128)
    if element in ("ward", "xward", "shunt"):
        columns = {"vm_pu": vm}
    if element == "xward":
        rows = flows.rows("xward")
        power = power + flows.s_from[rows]
        if flows.model.distributed_slack:
            bus = flows.model.node_bus[flows.node(table["bus"])]
            unit = np.where(bus >= 0, flows.model.slack_unit[bus], 0.0) * flows.model.sn_mva
            power = power - unit * ward_weights(flows.network)
        columns |= {
            "va_internal_degree": np.degrees(np.angle(flows.v_to[rows])),
            "vm_internal_pu": np.abs(flows.v_to[rows]),
        }
    return power, {"p_mw": power.real, "q_mvar": power.imag, **columns, "energised": active}


def _load_power(table: Table, vm: FloatArray) -> ComplexArray:
    """Constant power, current and impedance parts at the present voltage [MVA]."""
    share = {name: table.column(f"const_{name}_percent", 0.0) / 100.0 for name in ("z_p", "i_p", "z_q", "i_q")}
    p_factor = 1.0 - share["z_p"] - share["i_p"] + share["i_p"] * vm + share["z_p"] * vm**2
    q_factor = 1.0 - share["z_q"] - share["i_q"] + share["i_q"] * vm + share["z_q"] * vm**2
    power: ComplexArray = (table["p_mw"] * p_factor + 1j * (table["q_mvar"] * q_factor)) * table["scaling"]
    return power
