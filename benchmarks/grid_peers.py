"""Networks as the peers of the power benchmarks take them."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from grid_models.formats.pandapower import to_pandapower
from grid_models.power.bus_branch import SLACK, BusBranch
from grid_models.power.network import PowerNetwork


def power_grid_model_grid(model: BusBranch) -> dict[str, Any]:
    """power-grid-model's input for a bus-branch form, without loads: the same pi branches, at 1 kV and 1 MVA."""
    from power_grid_model import initialize_array

    n, m = model.n_bus, len(model.branch_from)
    k = np.sqrt((model.y_tt / model.y_ff).real)
    theta = np.angle(model.y_ft / model.y_tf) / 2
    theta += np.where((-model.y_tf * np.exp(1j * theta)).real < 0, np.pi, 0.0)
    series = -model.y_tf * k * np.exp(1j * theta)
    node = initialize_array("input", "node", n)
    node["id"], node["u_rated"] = np.arange(n), 1e3
    branch = initialize_array("input", "generic_branch", m)
    branch["id"], branch["from_node"], branch["to_node"] = 1_000_000 + np.arange(m), model.branch_from, model.branch_to
    branch["from_status"] = branch["to_status"] = 1
    branch["r1"], branch["x1"] = (1 / series).real, (1 / series).imag
    charging = 2 * (model.y_tt - series)
    branch["g1"], branch["b1"] = charging.real, charging.imag
    branch["k"], branch["theta"] = k, theta
    shunt = initialize_array("input", "shunt", n)
    shunt["id"], shunt["node"], shunt["status"] = 2_000_000 + np.arange(n), np.arange(n), 1
    shunt["g1"], shunt["b1"] = model.y_shunt.real, model.y_shunt.imag
    slack = np.flatnonzero(model.bus_kind == SLACK)
    source = initialize_array("input", "source", len(slack))
    source["id"], source["node"], source["status"] = 3_000_000 + np.arange(len(slack)), slack, 1
    source["u_ref"], source["u_ref_angle"] = np.abs(model.v_start[slack]), np.angle(model.v_start[slack])
    source["sk"] = 1e20
    return {"node": node, "generic_branch": branch, "shunt": shunt, "source": source}


def powsybl_network(network: PowerNetwork) -> Any:
    """pypowsybl's network, by way of a MATPOWER file."""
    import pandapower as pp
    import pypowsybl
    from pandapower.converter.matpower.to_mpc import to_mpc

    net = to_pandapower(network)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        pp.runpp(net, calculate_voltage_angles=True)
        file = Path(folder) / "network.mat"
        to_mpc(net, str(file), init="results")
        return pypowsybl.network.load(str(file))
