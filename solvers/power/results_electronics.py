"""Result columns of SVC, SSC and TCSC as in pandapower's res_ tables: q consumed is positive, nan where there is no voltage."""

from __future__ import annotations

import numpy as np

from grid_models.power.injections import controlled, svc_mva
from grid_models.power.thyristors import firing_angle_degree
from grid_models.tables import Array
from solvers.power.flows import ComplexArray, FloatArray, Flows


def passive_shunts(flows: Flows) -> tuple[ComplexArray, dict[str, Array]]:
    """What SSCs, and SVCs that do not regulate, consume.

    Returns:
        (n_node,) complex [MVA], and the columns of `ssc`.
    """
    consumed = np.zeros(len(flows.v), dtype=np.complex128)
    columns: dict[str, Array] = {}
    tables = flows.network.tables
    if "svc" in tables and tables["svc"].size:
        np.add.at(consumed, flows.node(tables["svc"]["bus"]), _fixed(flows))
    if "ssc" in tables and tables["ssc"].size:
        rows = flows.rows("ssc")
        node = flows.node(tables["ssc"]["bus"])
        np.add.at(consumed, node, flows.s_from[rows])
        live = flows.live[rows]
        v, inner = (np.where(live, values, np.nan + 1j * np.nan) for values in (flows.v[node], flows.v_to[rows]))
        columns = {
            "ssc_q_mvar": flows.s_from[rows].imag,
            "ssc_vm_internal_pu": np.abs(inner),
            "ssc_va_internal_degree": np.degrees(np.angle(inner)),
            "ssc_vm_pu": np.abs(v),
            "ssc_va_degree": np.degrees(np.angle(v)),
            "ssc_energised": live,
        }
    return consumed, columns


def svc_results(flows: Flows, fed: ComplexArray) -> dict[str, Array]:
    """Columns of `svc`, its angle and reactance nan where reactive power is left out.

    Args:
        flows: of the solved network.
        fed: (n_svc,) complex [MVA], what those that regulate feed in, 0 for the others.
    """
    table = flows.network.tables["svc"]
    active = flows.active("svc")
    node = flows.node(table["bus"])
    v = np.where(active, flows.v[node], np.nan + 1j * np.nan)
    q_mvar = _fixed(flows).imag - fed.imag
    vn_kv = flows.network.equivalents.node_vn_kv[node]
    b = np.where(flows.linear, np.nan, q_mvar / (np.abs(v) * vn_kv) ** 2)
    return {
        "svc_thyristor_firing_angle_degree": _angle(b, flows, "svc"),
        "svc_x_ohm": _inverse(b),
        "svc_q_mvar": q_mvar,
        "svc_vm_pu": np.abs(v),
        "svc_va_degree": np.degrees(np.angle(v)),
        "svc_energised": active,
    }


def tcsc_results(flows: Flows, ends: dict[str, Array]) -> dict[str, Array]:
    """Columns of `tcsc` besides the powers, losses and currents at its `ends`."""
    rows = flows.rows("tcsc")
    equivalents = flows.network.equivalents
    y = equivalents.y_ft.copy()
    y[flows.model.branch_row] = flows.model.y_ft
    b = y[rows].imag * flows.model.sn_mva / equivalents.node_vn_kv[equivalents.from_node[rows]] ** 2
    columns = {name: values for name, values in ends.items() if not name.startswith("i_")}
    return columns | {
        "i_ka": ends["i_from_ka"],
        "thyristor_firing_angle_degree": _angle(b, flows, "tcsc"),
        "x_ohm": _inverse(b),
        "energised": flows.live[rows],
    }


def _fixed(flows: Flows) -> ComplexArray:
    """(n_svc,) consumed by SVCs at their own firing angle [MVA]; nothing where reactive power is left out."""
    table = flows.network.tables["svc"]
    vm = np.nan_to_num(np.abs(flows.v[flows.node(table["bus"])]))
    fixed = flows.active("svc") & ~controlled(flows.network, "svc") & (not flows.linear)
    return np.where(fixed, svc_mva(flows.network) * vm**2, 0.0)


def _angle(b: FloatArray, flows: Flows, element: str) -> FloatArray:
    table = flows.network.tables[element]
    return np.where(np.isnan(b), np.nan, firing_angle_degree(np.nan_to_num(b), table["x_l_ohm"], table["x_cvar_ohm"]))


def _inverse(b: FloatArray) -> FloatArray:
    return np.divide(1.0, b, out=np.full_like(b, np.inf), where=b != 0)
