"""What the element tables inject into the nodes, in MW and Mvar, before topology is known.

Signs: consumption is positive for loads, storages, motors, wards and shunts; generation is positive for sgen, gen and
ext_grid, as in pandapower.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid_models.power.network import PowerNetwork
from grid_models.power.thyristors import susceptance
from grid_models.tables import Table

Index = NDArray[np.int64]
Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class Injected:
    """Consumption per element row; out of service counts zero.

    Args:
        node: (n,) node of each consuming row.
        consumed_mva: (n,) P + jQ consumed at constant power [MVA].
        shunt_node: (m,) node of each shunt row.
        shunt_mva: (m,) P + jQ consumed at 1 pu [MVA].
        load_node: (k,) node of each load in service.
        current_p, impedance_p, current_q, impedance_q: (k,) shares of constant current and impedance [1].
    """

    node: Index
    consumed_mva: Complex
    shunt_node: Index
    shunt_mva: Complex
    load_node: Index
    current_p: Floats
    impedance_p: Floats
    current_q: Floats
    impedance_q: Floats


@dataclass(frozen=True, eq=False)
class Sources:
    """Everything that holds a voltage, in service only.

    Args:
        node: (n,) node.
        vm_pu: (n,) held voltage.
        va_rad: (n,) angle of a slack.
        p_mw: (n,) scheduled generation; 0 for ext_grid.
        is_slack: (n,).
        slack_weight: (n,).
        q_min_mvar: (n,) least reactive generation; -inf where it has no limit.
        q_max_mvar: (n,) greatest.
    """

    node: Index
    vm_pu: Floats
    va_rad: Floats
    p_mw: Floats
    is_slack: NDArray[np.bool_]
    slack_weight: Floats
    q_min_mvar: Floats
    q_max_mvar: Floats


def motor_mva(table: Table) -> Complex:
    """(n,) P + jQ of motors from their mechanical power [MVA]."""
    loading = table["loading_percent"] / 100.0 * table.column("scaling", 1.0)
    p = table["pn_mech_mw"] / table["efficiency_percent"] * 100.0 * loading
    s = p / table["cos_phi"]
    return np.asarray(p + 1j * np.sqrt(np.maximum(s**2 - p**2, 0.0)))


def asymmetric_mva(table: Table) -> Complex:
    """(n,) sum of the three phases [MVA]."""
    p = sum(table[f"p_{phase}_mw"] for phase in "abc")
    q = sum(table[f"q_{phase}_mvar"] for phase in "abc")
    return np.asarray((p + 1j * q) * table.column("scaling", 1.0))


def element_mva(table: Table, element: str) -> Complex:
    """(n,) P + jQ of a constant-power element in pandapower's own direction [MVA]."""
    if element == "motor":
        return motor_mva(table)
    if element.startswith("asymmetric"):
        return asymmetric_mva(table)
    if element.endswith("ward"):
        return np.asarray(table["ps_mw"] + 1j * table["qs_mvar"])
    return np.asarray((table["p_mw"] + 1j * table["q_mvar"]) * table.column("scaling", 1.0))


def shunt_mva(network: PowerNetwork) -> Complex:
    """(n,) P + jQ that each row of the shunt table consumes at 1 pu of its bus [MVA]."""
    table = network.tables["shunt"]
    node = network.node_of(table["bus"])
    vn_bus = network.equivalents.node_vn_kv[node]
    vn = table.column("vn_kv", np.nan).astype(float)
    ratio = np.where(np.isfinite(vn), (vn_bus / vn) ** 2, 1.0)
    power = (table["p_mw"] + 1j * table["q_mvar"]) * table.column("step", 1)
    by_table, row = shunt_steps(network.tables)
    if by_table.any():
        steps = network.tables["shunt_characteristic_table"]
        power[by_table] = steps["p_mw"][row] + 1j * steps["q_mvar"][row]
    return np.asarray(power * ratio)


def shunt_steps(tables: Mapping[str, Table]) -> tuple[NDArray[np.bool_], Index]:
    """Which shunts draw what a table says of their step, and that table's row for each of these; -1 where it has none."""
    shunt, steps = tables["shunt"], tables.get("shunt_characteristic_table")
    by_table = shunt.marked("step_dependency_table")
    rows: dict[tuple[float, float], int] = {}
    if steps is not None:
        rows = {key: row for row, key in enumerate(zip(steps["id_characteristic"], steps["step"], strict=True))}
    asked = zip(shunt.column("id_characteristic_table", np.nan)[by_table], shunt.column("step", 1)[by_table], strict=True)
    return by_table, np.array([rows.get(key, -1) for key in asked], dtype=np.int64)


def svc_mva(network: PowerNetwork) -> Complex:
    """(n,) P + jQ that each SVC consumes at 1 pu of its bus at its own firing angle [MVA]."""
    table = network.tables["svc"]
    vn_kv = network.equivalents.node_vn_kv[network.node_of(table["bus"])]
    b = susceptance(table["thyristor_firing_angle_degree"], table["x_l_ohm"], table["x_cvar_ohm"])
    return np.asarray(1j * b * vn_kv**2)


def controlled(network: PowerNetwork, element: str) -> NDArray[np.bool_]:
    """(n,) whether each row of a table regulates."""
    return network.tables[element].column("controllable", True).astype(bool)


def injected(network: PowerNetwork) -> Injected:
    """Collect the consumption of every table."""
    node: list[Index] = []
    power: list[Complex] = []
    for element in ("load", "sgen", "storage", "motor", "ward", "xward", "asymmetric_load", "asymmetric_sgen"):
        if element in network.tables:
            table = network.tables[element]
            sign = -1.0 if element.endswith("sgen") else 1.0
            node.append(network.node_of(table["bus"]))
            power.append(sign * element_mva(table, element) * network.in_service(element))
    shunt_node: list[Index] = []
    shunt: list[Complex] = []
    if "shunt" in network.tables:
        shunt_node.append(network.node_of(network.tables["shunt"]["bus"]))
        shunt.append(shunt_mva(network) * network.in_service("shunt"))
    for element in ("ward", "xward"):
        if element in network.tables:
            table = network.tables[element]
            shunt_node.append(network.node_of(table["bus"]))
            shunt.append((table["pz_mw"] + 1j * table["qz_mvar"]) * network.in_service(element))
    if "svc" in network.tables:
        fixed = network.in_service("svc") & ~controlled(network, "svc")
        shunt_node.append(network.node_of(network.tables["svc"]["bus"]))
        shunt.append(svc_mva(network) * fixed)
    load_node, shares = _voltage_dependence(network)
    nowhere, nothing = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.complex128)]
    return Injected(
        np.concatenate(nowhere + node),
        np.concatenate(nothing + power),
        np.concatenate(nowhere + shunt_node),
        np.concatenate(nothing + shunt),
        load_node,
        *shares,
    )


def _voltage_dependence(network: PowerNetwork) -> tuple[Index, list[Floats]]:
    if "load" not in network.tables:
        return np.zeros(0, dtype=np.int64), [np.zeros(0)] * 4
    table, alive = network.tables["load"], network.in_service("load")
    names = ("const_i_p_percent", "const_z_p_percent", "const_i_q_percent", "const_z_q_percent")
    shares = [np.nan_to_num(table.column(name, 0.0).astype(float))[alive] / 100.0 for name in names]
    return network.node_of(table["bus"])[alive], shares


def sources(network: PowerNetwork) -> Sources:
    """Collect external grids, generators, both ends of DC lines, SVCs in control, inner sources of extended wards and SSCs."""
    rows = [*_ext_grids(network), *_generators(network), *_dc_lines(network)]
    rows += [*_controlled_shunts(network), *_inner(network, "xward", "vm_pu"), *_inner(network, "ssc", "vm_internal_pu")]
    if not rows:
        none = np.zeros(0)
        return Sources(none.astype(np.int64), none, none, none, none.astype(bool), none, none, none)
    node, vm, va, p, slack, weight, low, high = (np.concatenate([r[i] for r in rows]) for i in range(8))
    return Sources(node.astype(np.int64), vm, va, p, slack.astype(bool), weight, low, high)


Row = tuple[Index, Floats, Floats, Floats, NDArray[np.bool_], Floats, Floats, Floats]


def _row(
    node: Index, vm: Floats, va: Floats, p: Floats, slack: NDArray[np.bool_], weight: Floats,
    low: Floats | None = None, high: Floats | None = None,
) -> Row:  # fmt: skip
    unlimited = np.full(len(node), np.inf)
    return node, vm, va, p, slack, weight, -unlimited if low is None else low, unlimited if high is None else high


def _range(table: Table, alive: NDArray[np.bool_], quantity: str) -> tuple[Floats, Floats]:
    """Reactive limits of a table's rows in service; a missing one is none."""
    low, high = (table.column(f"{end}_{quantity}", np.nan).astype(np.float64)[alive] for end in ("min", "max"))
    return np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)


def _ext_grids(network: PowerNetwork) -> list[Row]:
    if "ext_grid" not in network.tables:
        return []
    table, alive = network.tables["ext_grid"], network.in_service("ext_grid")
    n = int(alive.sum())
    angle = np.deg2rad(np.nan_to_num(table.column("va_degree", 0.0)[alive]))
    weight = np.nan_to_num(table.column("slack_weight", 1.0)[alive])
    node = network.node_of(table["bus"][alive])
    return [_row(node, table["vm_pu"][alive], angle, np.zeros(n), np.ones(n, dtype=bool), weight)]


def _generators(network: PowerNetwork) -> list[Row]:
    if "gen" not in network.tables:
        return []
    table, alive = network.tables["gen"], network.in_service("gen")
    p = (table["p_mw"] * table.column("scaling", 1.0))[alive]
    slack = table.column("slack", False)[alive].astype(bool)
    weight = np.nan_to_num(table.column("slack_weight", 0.0)[alive])
    node = network.node_of(table["bus"][alive])
    return [_row(node, table["vm_pu"][alive], np.zeros(len(p)), p, slack, weight, *_range(table, alive, "q_mvar"))]


def dc_line_mw(table: Table) -> tuple[Floats, Floats]:
    """(n,) power injected at the from bus and at the to bus by each DC line [MW]."""
    p = np.abs(table["p_mw"])
    received = p * (1 - table["loss_percent"] / 100.0) - table["loss_mw"]
    forward = table["p_mw"] > 0
    return np.where(forward, -p, received), np.where(forward, received, -p)


def _dc_lines(network: PowerNetwork) -> list[Row]:
    if "dcline" not in network.tables:
        return []
    table, alive = network.tables["dcline"], network.in_service("dcline")
    n = int(alive.sum())
    none, no = np.zeros(n), np.zeros(n, dtype=bool)
    ends = zip(("from", "to"), dc_line_mw(table), strict=True)
    return [
        _row(
            network.node_of(table[f"{side}_bus"][alive]),
            table[f"vm_{side}_pu"][alive],
            none,
            p[alive],
            no,
            none,
            *_range(table, alive, f"q_{side}_mvar"),
        )
        for side, p in ends
    ]


def _controlled_shunts(network: PowerNetwork) -> list[Row]:
    if "svc" not in network.tables:
        return []
    table, alive = network.tables["svc"], network.in_service("svc") & controlled(network, "svc")
    n = int(alive.sum())
    node = network.node_of(table["bus"][alive])
    return [_row(node, table["set_vm_pu"][alive], np.zeros(n), np.zeros(n), np.zeros(n, dtype=bool), np.zeros(n))]


def _inner(network: PowerNetwork, element: str, voltage: str) -> list[Row]:
    """Sources of no active power at the nodes behind the impedances of `xward` or `ssc`."""
    if element not in network.tables:
        return []
    eq, alive = network.equivalents, network.in_service(element)
    rows = eq.rows_of(element)
    rows = rows[alive[eq.row[rows]]]
    n = len(rows)
    held = network.tables[element][voltage][eq.row[rows]]
    return [_row(eq.to_node[rows], held, np.zeros(n), np.zeros(n), np.zeros(n, dtype=bool), np.zeros(n))]


def ward_weights(network: PowerNetwork) -> Floats:
    """(n,) share of each extended ward in a distributed slack; it is taken at the ward's bus, not behind its impedance."""
    weight = network.tables["xward"].column("slack_weight", 0.0).astype(np.float64)
    return np.nan_to_num(weight) * network.in_service("xward")
