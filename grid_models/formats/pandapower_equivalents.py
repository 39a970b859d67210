"""Ask pandapower for the pi equivalent of every branch.

pandapower converts a copy of the network in which everything is in service and no switch is left but those with an
impedance, so that every element keeps its own row and every bus its own node. Element modelling (tap changers,
three-winding stars, temperature, parallel systems) stays where it is maintained; topology is ours.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np

from grid_models.errors import InvalidInput, Issue
from grid_models.power.network import Equivalents
from grid_models.power.thyristors import susceptance
from grid_models.tables import frozen

# Converters between AC and DC grids are refused by name, not approximated.
UNSUPPORTED = ("vsc", "vsc_stacked", "vsc_bipolar", "bus_dc", "line_dc", "b2b_vsc")

INJECTING = (
    "ext_grid", "gen", "sgen", "load", "storage", "motor", "shunt", "ward", "dcline", "asymmetric_load", "asymmetric_sgen",
    "svc", "tcsc", "ssc",
)  # fmt: skip


def equivalents(net: Any) -> Equivalents:
    """The pi equivalents of a pandapower net.

    Args:
        net: a pandapowerNet; it is not changed.

    Raises:
        InvalidInput: elements that have no fixed equivalent, or data that pandapower cannot convert.
    """
    from pandapower.auxiliary import _add_auxiliary_elements
    from pandapower.pd2ppc import _pd2ppc
    from pandapower.pypower.idx_brch import F_BUS, SHIFT, T_BUS
    from pandapower.pypower.idx_bus import BASE_KV
    from pandapower.pypower.makeYbus import branch_vectors

    issues = [
        Issue(name, "", tuple(net[name].index), "is not modelled: there are no DC grids here")
        for name in UNSUPPORTED
        if name in net and len(net[name])
    ]
    if issues:
        raise InvalidInput(issues)
    whole = _everything_in_service(net)
    _options(whole)
    _add_auxiliary_elements(whole)
    whole._pd2ppc_lookups = {
        name: np.array([], dtype=np.int64) for name in ("bus", "bus_dc", "ext_grid", "gen", "branch", "branch_dc")
    }
    try:
        ppc, _ = _pd2ppc(whole)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, ArithmeticError, UserWarning) as error:
        message = f"pandapower cannot make equivalents of its branches: {type(error).__name__}: {error}"
        raise InvalidInput([Issue("network", "", (), message)]) from error
    branch = ppc["branch"]
    y_tt, y_ff, y_ft, y_tf = branch_vectors(branch, len(branch))[:4]
    lookup = whole._pd2ppc_lookups["bus"]
    bus_ids = np.concatenate([net.bus.index.to_numpy(), *whole._pd2ppc_lookups.get("aux", {}).values()]).astype(np.int64)
    node_of_ppc = np.full(len(ppc["bus"]), -1, dtype=np.int64)
    node_of_ppc[lookup[bus_ids]] = np.arange(len(bus_ids))
    element, row, part = _rows(whole, net, len(branch))
    made = Equivalents(
        element=frozen(element),
        row=frozen(row),
        part=frozen(part),
        from_node=frozen(node_of_ppc[branch[:, F_BUS].real.astype(np.int64)]),
        to_node=frozen(node_of_ppc[branch[:, T_BUS].real.astype(np.int64)]),
        y_ff=frozen(y_ff),
        y_ft=frozen(y_ft),
        y_tf=frozen(y_tf),
        y_tt=frozen(y_tt),
        shift_rad=frozen(_shift_rad(element, np.deg2rad(branch[:, SHIFT].real), y_ft, y_tf)),
        node_vn_kv=frozen(ppc["bus"][lookup[bus_ids], BASE_KV]),
    )
    return _with_electronics(made, net)


def _with_electronics(eq: Equivalents, net: Any) -> Equivalents:
    """Series capacitors at their own firing angles, and compensators' impedances to a node of their own behind them.

    pandapower adds these while solving (newtonpf.py), not to its branches.
    """
    node_of = {bus: node for node, bus in enumerate(net.bus.index.tolist())}
    added: list[tuple[str, Any, Any, Any]] = []
    vn_kv = eq.node_vn_kv
    if "tcsc" in net and len(net.tcsc):
        start, end = ([node_of[bus] for bus in net.tcsc[side]] for side in ("from_bus", "to_bus"))
        angle, x_l, x_c = (
            net.tcsc[name].to_numpy(float) for name in ("thyristor_firing_angle_degree", "x_l_ohm", "x_cvar_ohm")
        )
        added.append(("tcsc", start, end, -1j * susceptance(angle, x_l, x_c) * vn_kv[start] ** 2 / net.sn_mva))
    if "ssc" in net and len(net.ssc):
        start = [node_of[bus] for bus in net.ssc.bus]
        y = 1.0 / (net.ssc.r_ohm.to_numpy(float) + 1j * net.ssc.x_ohm.to_numpy(float))
        added.append(("ssc", start, len(vn_kv) + np.arange(len(start)), y * vn_kv[start] ** 2 / net.sn_mva))
        vn_kv = np.concatenate([vn_kv, vn_kv[start]])
    for element, start, end, y in added:
        n = len(start)
        nothing = {"element": [element] * n, "row": np.arange(n), "part": np.zeros(n, dtype=np.int8), "shift_rad": np.zeros(n)}
        more = nothing | {"from_node": start, "to_node": end, "y_ff": y, "y_ft": -y, "y_tf": -y, "y_tt": y}
        joined = {name: np.concatenate([getattr(eq, name), values]) for name, values in more.items()}
        kept = {
            name: frozen(values.astype(getattr(eq, name).dtype if name != "element" else str))
            for name, values in joined.items()
        }
        eq = replace(eq, **kept)
    return replace(eq, node_vn_kv=frozen(vn_kv)) if added else eq


def _shift_rad(element: Any, shift: Any, y_ft: Any, y_tf: Any) -> Any:
    """Impedances that differ by direction may turn the voltage too: y_ft / y_tf = exp(2j shift)."""
    turned = (element == "impedance") & (y_ft != y_tf)
    return np.where(turned, 0.5 * np.angle(y_ft * np.conj(y_tf)), shift)


def _everything_in_service(net: Any) -> Any:
    import pandapower as pp

    whole = deepcopy(net)
    for name in whole:
        table = whole[name]
        if not name.startswith(("res_", "_")) and hasattr(table, "columns") and "in_service" in table.columns:
            table["in_service"] = True
    # What injects has no part in a branch, and pandapower would compare set-points of machines that never run together.
    for name in INJECTING:
        if name in whole:
            whole[name] = whole[name].iloc[:0]
    with_impedance = (whole.switch.et == "b") & (whole.switch.z_ohm > 0)
    whole.switch = whole.switch[with_impedance].copy()
    whole.switch["closed"] = True
    pp.create_ext_grid(whole, whole.bus.index[0])
    return whole


def _options(whole: Any) -> None:
    from pandapower.auxiliary import _init_runpp_options

    # Of what a net prescribes for its load flow, only this changes admittances.
    trafo_model = whole.user_pf_options.get("trafo_model", "t")
    whole.user_pf_options = {}
    _init_runpp_options(
        whole,
        algorithm="nr",
        calculate_voltage_angles=True,
        init="flat",
        max_iteration="auto",
        tolerance_mva=1e-8,
        trafo_model=trafo_model,
        trafo_loading="current",
        enforce_p_lims=False,
        enforce_q_lims=False,
        check_connectivity=False,
        voltage_depend_loads=False,
        numba=False,
        lightsim2grid=False,
    )


def _rows(whole: Any, net: Any, n: int) -> tuple[Any, Any, Any]:
    element = np.full(n, "", dtype=object)
    row, part = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int8)
    for name, (start, end) in whole._pd2ppc_lookups["branch"].items():
        size = end - start
        element[start:end] = name
        row[start:end] = np.arange(size)
        if name == "trafo3w":
            windings = size // 3
            row[start:end] = np.tile(np.arange(windings), 3)
            part[start:end] = np.repeat([0, 1, 2], windings)
        elif name == "switch":
            row[start:end] = np.flatnonzero(np.isin(net.switch.index, whole.switch.index))
    return element.astype(str), row, part
