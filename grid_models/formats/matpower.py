"""MATPOWER case files (`.m`, `.mat`), read in their own terms.

A branch from f to t with series admittance y = 1 / (r + jx), charging b and tap a = ratio exp(j angle) on its from side
is, per unit on baseMVA (MATPOWER User's Manual, section 3.2),

    y_ff = (y + jb/2) / |a|^2,   y_ft = -y / conj(a),   y_tf = -y / a,   y_tt = y + jb/2,     ratio 0 means 1.

It becomes a `line` where it has no tap, a `trafo` with the tap on its hv side, which is always the from side, where it
has; and an `impedance` where pandapower's transformer cannot hold its charging. Each keeps its row in the file as index,
as generators do; buses keep their numbers. Bus types follow MATPOWER's `bustypes`, set-points its `runpf`: a bus holds
its voltage only if a generator in service stands there; the last of several set-points counts; the reference's own
first generator takes what is left.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_models.formats.matpower_case import (
    BASE_KV,
    BR_B,
    BR_R,
    BR_STATUS,
    BR_X,
    BS,
    BUS_I,
    BUS_TYPE,
    F_BUS,
    GEN_BUS,
    GEN_STATUS,
    GS,
    ISOLATED,
    PD,
    PG,
    PMAX,
    PMIN,
    PQ,
    PV,
    QD,
    QG,
    QMAX,
    QMIN,
    RATE_A,
    REF,
    SHIFT,
    T_BUS,
    TAP,
    VA,
    VG,
    VM,
    VMAX,
    VMIN,
    ZONE,
    Case,
    Floats,
    check,
    load_mat,
    parse_m,
)  # fmt: skip
from grid_models.import_report import ImportReport, Note
from grid_models.power.network import PowerNetwork

Index = NDArray[np.int64]
Flags = NDArray[np.bool_]

_UNUSED = {
    "gencost": "costs do not enter a load flow",
    "dclinecost": "costs do not enter a load flow",
    "dcline": "MATPOWER's own load flow leaves them out too, unless toggle_dcline adds them",
    "areas": "areas do not enter a load flow",
}
_UNKNOWN = "is no part of MATPOWER's load flow"
_UNLIMITED = 99999.0  # pandapower's own word for no limit
_FREQUENCY_HZ = 50.0  # a case file gives none; it turns susceptances into capacitances and back
_BASE_KV = 1.0  # where a case file gives none; per unit it has no effect


def read_m(path: Path) -> PowerNetwork:
    """Read a MATPOWER `.m` file, statements that convert units included.

    Raises:
        InvalidInput: no MATPOWER case, statements that cannot be read, or contradictory data; with file and line.
    """
    return to_network(parse_m(path.read_text(encoding="utf-8", errors="replace"), str(path)))


def read_mat(path: Path) -> PowerNetwork:
    """Read a MATLAB `.mat` file that holds an `mpc` structure.

    Raises:
        InvalidInput: it is none, or its data contradict themselves.
    """
    return to_network(load_mat(path))


def to_network(case: Case) -> PowerNetwork:
    """Turn a case into a network.

    Args:
        case: as MATPOWER sees it.

    Returns:
        The network, with its import report.

    Raises:
        InvalidInput: dangling references, values that are no numbers, branches without impedance; all at once.
    """
    import pandapower as pp

    from grid_models.formats.pandapower import from_pandapower

    check(case)
    net = pp.create_empty_network(name=case.name, f_hz=_FREQUENCY_HZ, sn_mva=case.base_mva)
    net.user_pf_options = {"trafo_model": "pi"}
    defaulted = [*_buses(net, case)]
    defaulted += _machines(net, case)
    dropped = [*_branches(net, case)]
    dropped += [Note(name, tuple(range(1, rows + 1)), _UNUSED.get(name, _UNKNOWN)) for name, rows in case.other.items()]
    source = {"bus": len(case.bus), "gen": len(case.gen), "branch": len(case.branch), **case.other}
    became = {"bus": len(net.bus), "gen": len(net.gen) + len(net.sgen) + len(net.ext_grid)}
    became["branch"] = len(net.line) + len(net.trafo) + len(net.impedance)
    report = ImportReport(source, became, (), tuple(dropped))
    mapped = {kind: n - report.count(tuple(defaulted), kind) for kind, n in became.items()}
    return replace(
        from_pandapower(net, file=case.file or case.name),
        report=replace(report, mapped=mapped, defaulted=tuple(defaulted)),
    )


def _kv(case: Case) -> Floats:
    """(n_bus,) base voltage; `_BASE_KV` where there is none [kV]."""
    return np.where(case.bus[:, BASE_KV] > 0, case.bus[:, BASE_KV], _BASE_KV)


def _numbers(case: Case) -> Index:
    return case.bus[:, BUS_I].astype(np.int64)


def _rows_of(case: Case, bus: Floats) -> Index:
    """Rows of buses given by number."""
    numbers = _numbers(case)
    order = np.argsort(numbers, kind="stable")
    return np.asarray(order[np.searchsorted(numbers[order], bus.astype(np.int64))])


def _buses(net: Any, case: Case) -> list[Note]:
    import pandapower as pp

    bus, alive = case.bus, case.bus[:, BUS_TYPE] != ISOLATED
    numbers = _numbers(case)
    pp.create_buses(
        net, len(bus), _kv(case), index=numbers, name=case.names.get("bus_name"), in_service=alive,
        zone=bus[:, ZONE].astype(np.int64).astype(str), max_vm_pu=bus[:, VMAX], min_vm_pu=bus[:, VMIN],
        **({"vm_start_pu": bus[:, VM], "va_start_degree": bus[:, VA]} if _says_where_to_begin(bus) else {}),
    )  # fmt: skip
    loads = (bus[:, PD] != 0) | (bus[:, QD] != 0)
    if loads.any():
        pp.create_loads(
            net, numbers[loads], bus[loads, PD], bus[loads, QD], index=numbers[loads], in_service=alive[loads]
        )  # fmt: skip
    shunts = (bus[:, GS] != 0) | (bus[:, BS] != 0)
    if shunts.any():
        pp.create_shunts(
            net, numbers[shunts], -bus[shunts, BS], bus[shunts, GS], vn_kv=_kv(case)[shunts], index=numbers[shunts],
            in_service=alive[shunts],
        )  # fmt: skip
    nowhere = bus[:, BASE_KV] <= 0
    if not nowhere.any():
        return []
    reason = f"has no base voltage and was given {_BASE_KV:g} kV; per unit this has no effect"
    return [Note("bus", tuple(numbers[nowhere].tolist()), reason)]


def _says_where_to_begin(bus: Floats) -> bool:
    """Whether the voltages of a case are more than 1 pu at one angle, which a flat start knows better."""
    return bool((bus[:, VM] != 1.0).any() or (bus[:, VA] != bus[0, VA]).any())


def kinds(case: Case) -> tuple[NDArray[np.int64], str]:
    """(n_bus,) PQ, PV, REF or ISOLATED as MATPOWER's `bustypes` has it; and a word where the reference moved."""
    declared = case.bus[:, BUS_TYPE].astype(np.int64)
    held = np.zeros(len(case.bus), dtype=bool)
    held[_rows_of(case, case.gen[case.gen[:, GEN_STATUS] > 0, GEN_BUS])] = True
    kind = np.where((declared != ISOLATED) & ~held, PQ, declared)
    if not (kind == REF).any() and (kind == PV).any():
        first = int(np.flatnonzero(kind == PV)[0])
        kind[first] = REF
        number = int(case.bus[first, BUS_I])
        return kind, f"became the reference: no bus of type 3 has a generator in service, and MATPOWER takes bus {number}"
    return kind, ""


def _machines(net: Any, case: Case) -> list[Note]:
    """Generators: at the reference the first one as ext_grid; others by the kind of their bus."""
    import pandapower as pp

    gen = case.gen
    kind, moved = kinds(case)
    at = _rows_of(case, gen[:, GEN_BUS])
    on = (gen[:, GEN_STATUS] > 0) & (kind[at] != ISOLATED)
    buses, rows = gen[:, GEN_BUS].astype(np.int64), np.arange(1, len(gen) + 1)
    held = np.ones(len(case.bus))
    held[at[on]] = gen[on, VG]  # of several at a bus the last counts
    vm = np.where(on, held[at], gen[:, VG])
    first = np.zeros(len(gen), dtype=bool)
    first[np.unique(np.where(on & (kind[at] == REF), at, -1), return_index=True)[1]] = True
    first &= on & (kind[at] == REF)
    names = np.array(case.names.get("gen_name", [None] * len(gen)), dtype=object)
    for row in np.flatnonzero(first).tolist():
        pp.create_ext_grid(
            net, int(buses[row]), float(vm[row]), float(case.bus[at[row], VA]), index=int(rows[row]), name=names[row],
            max_p_mw=gen[row, PMAX], min_p_mw=gen[row, PMIN], max_q_mvar=gen[row, QMAX], min_q_mvar=gen[row, QMIN],
        )  # fmt: skip
    fixed = (kind[at] == PQ) & on
    for create, mine in ((pp.create_gens, ~first & ~fixed), (pp.create_sgens, fixed)):
        if mine.any():
            held_or_fed = {"vm_pu": vm[mine]} if create is pp.create_gens else {"q_mvar": gen[mine, QG]}
            create(
                net, buses[mine], gen[mine, PG], index=rows[mine], name=names[mine], in_service=on[mine],
                max_p_mw=gen[mine, PMAX], min_p_mw=gen[mine, PMIN], max_q_mvar=gen[mine, QMAX], min_q_mvar=gen[mine, QMIN],
                **held_or_fed,
            )  # fmt: skip
    return [Note("gen", tuple(rows[first].tolist()), moved)] if moved and first.any() else []


def _branches(net: Any, case: Case) -> list[Note]:
    """Lines, transformers, and impedances for what neither can hold."""
    branch = case.branch
    start, end = _rows_of(case, branch[:, F_BUS]), _rows_of(case, branch[:, T_BUS])
    isolated = case.bus[:, BUS_TYPE] == ISOLATED
    on = (branch[:, BR_STATUS] > 0) & ~isolated[start] & ~isolated[end]
    nothing = (branch[:, BR_R] == 0) & (branch[:, BR_X] == 0)
    kv = np.where(case.bus[:, BASE_KV] > 0, case.bus[:, BASE_KV], np.nan)
    other_level = kv[start] - kv[end]
    tapped = ~np.isin(branch[:, TAP], (0.0, 1.0)) | (branch[:, SHIFT] != 0) | (np.nan_to_num(other_level) != 0)
    # pandapower's transformer draws reactive power at no load, and finds x as sqrt(z^2 - r^2).
    fits = (branch[:, BR_B] <= 0) & (np.abs(branch[:, BR_X]) >= 0.01 * np.abs(branch[:, BR_R]))
    for create, mine in ((_lines, ~tapped), (_trafos, tapped & fits), (_impedances, tapped & ~fits)):
        rows = np.flatnonzero(mine & ~nothing)
        if len(rows):
            create(net, case, rows, _kv(case)[start[rows]], _kv(case)[end[rows]], on[rows])
    lost = np.flatnonzero(nothing) + 1
    reason = "is out of service and has neither resistance nor reactance"
    return [Note("branch", tuple(lost.tolist()), reason)] if len(lost) else []


def _names(case: Case, rows: Index) -> list[str | None]:
    names = case.names.get("branch_name")
    return [names[row] if names and row < len(names) else None for row in rows.tolist()]


def _lines(net: Any, case: Case, rows: Index, kv: Floats, to_kv: Floats, on: Flags) -> None:  # noqa: ARG001 - one signature
    import pandapower as pp

    branch = case.branch[rows]
    ohm = kv**2 / case.base_mva
    limited = branch[:, RATE_A] > 0
    pp.create_lines_from_parameters(
        net, branch[:, F_BUS].astype(np.int64), branch[:, T_BUS].astype(np.int64), length_km=1.0,
        r_ohm_per_km=branch[:, BR_R] * ohm, x_ohm_per_km=branch[:, BR_X] * ohm,
        c_nf_per_km=branch[:, BR_B] / ohm / (2e-9 * np.pi * _FREQUENCY_HZ),
        max_i_ka=np.where(limited, branch[:, RATE_A] / (np.sqrt(3) * kv), _UNLIMITED),
        index=rows + 1, name=_names(case, rows), in_service=on,
    )  # fmt: skip


def _trafos(net: Any, case: Case, rows: Index, kv: Floats, to_kv: Floats, on: Flags) -> None:
    import pandapower as pp

    branch = case.branch[rows]
    sn = np.where(branch[:, RATE_A] > 0, branch[:, RATE_A], _UNLIMITED)
    r, x = branch[:, BR_R], branch[:, BR_X]
    per_cent = 100.0 * sn / case.base_mva
    ratio = np.where(branch[:, TAP] == 0, 1.0, branch[:, TAP])
    pp.create_transformers_from_parameters(
        net, branch[:, F_BUS].astype(np.int64), branch[:, T_BUS].astype(np.int64), sn_mva=sn, vn_hv_kv=kv, vn_lv_kv=to_kv,
        vkr_percent=r * per_cent, vk_percent=np.copysign(np.hypot(r, x), x) * per_cent, pfe_kw=0.0,
        i0_percent=-branch[:, BR_B] * 100.0 * case.base_mva / sn, shift_degree=branch[:, SHIFT],
        tap_side="hv", tap_neutral=0, tap_pos=np.sign(ratio - 1.0).astype(np.int64),
        tap_step_percent=100.0 * np.abs(ratio - 1.0), tap_step_degree=0.0, tap_changer_type="Ratio",
        index=rows + 1, name=_names(case, rows), in_service=on,
    )  # fmt: skip


def _impedances(net: Any, case: Case, rows: Index, kv: Floats, to_kv: Floats, on: Flags) -> None:  # noqa: ARG001 - one signature
    import pandapower as pp

    branch = case.branch[rows]
    y_ff, y_ft, y_tf, y_tt = two_port(branch)
    z_ft, z_tf, at_f, at_t = -1.0 / y_ft, -1.0 / y_tf, y_ff + y_ft, y_tt + y_tf
    pp.create_impedances(
        net, branch[:, F_BUS].astype(np.int64), branch[:, T_BUS].astype(np.int64), sn_mva=case.base_mva,
        rft_pu=z_ft.real, xft_pu=z_ft.imag, rtf_pu=z_tf.real, xtf_pu=z_tf.imag,
        gf_pu=at_f.real, bf_pu=at_f.imag, gt_pu=at_t.real, bt_pu=at_t.imag,
        index=rows + 1, name=_names(case, rows), in_service=on,
    )  # fmt: skip


def two_port(branch: Floats) -> tuple[NDArray[np.complex128], ...]:
    """The admittances y_ff, y_ft, y_tf, y_tt of branch rows (n,) [pu]."""
    y = 1.0 / (branch[:, BR_R] + 1j * branch[:, BR_X])
    end = y + 0.5j * branch[:, BR_B]
    tap = np.where(branch[:, TAP] == 0, 1.0, branch[:, TAP]) * np.exp(1j * np.deg2rad(branch[:, SHIFT]))
    return end / np.abs(tap) ** 2, -y / np.conj(tap), -y / tap, end
