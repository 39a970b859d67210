"""What columns a power table must have and what kind of value stands in them; checked before anything is computed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from grid_models.errors import Issue
from grid_models.power.network import BRANCH_BUSES, BUS_ELEMENTS
from grid_models.tables import Array, Table

_PQ = ("p_mw", "q_mvar")
_WARD = ("ps_mw", "qs_mvar", "pz_mw", "qz_mvar")
_WINDINGS = tuple(f"{name}_{side}_{unit}" for side in ("hv", "mv", "lv") for name, unit in (("vn", "kv"), ("sn", "mva")))
# table -> columns that must be there and hold finite numbers
_NUMBERS: Mapping[str, tuple[str, ...]] = {
    "bus": ("vn_kv",),
    "line": ("length_km", "r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km"),
    "trafo": ("sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "vkr_percent", "pfe_kw", "i0_percent", "shift_degree"),
    "trafo3w": (*_WINDINGS, *(f"{n}_{side}_percent" for n in ("vk", "vkr") for side in ("hv", "mv", "lv"))),
    "impedance": ("rft_pu", "xft_pu", "rtf_pu", "xtf_pu", "sn_mva"),
    "load": (*_PQ, "scaling"),
    "sgen": (*_PQ, "scaling"),
    "storage": _PQ,
    "shunt": _PQ,
    "shunt_characteristic_table": ("id_characteristic", "step", *_PQ),
    "ward": _WARD,
    "xward": (*_WARD, "r_ohm", "x_ohm", "vm_pu"),
    "gen": ("p_mw", "vm_pu"),
    "ext_grid": ("vm_pu",),
    "svc": ("x_l_ohm", "x_cvar_ohm", "set_vm_pu", "thyristor_firing_angle_degree"),
    "tcsc": ("x_l_ohm", "x_cvar_ohm", "set_p_to_mw", "thyristor_firing_angle_degree"),
    "ssc": ("r_ohm", "x_ohm", "set_vm_pu", "vm_internal_pu"),
    "dcline": ("p_mw", "loss_percent", "loss_mw", "vm_from_pu", "vm_to_pu"),
}
# table -> columns that must be there and name elements by whole numbers
_IDS: Mapping[str, tuple[str, ...]] = {**dict.fromkeys(BUS_ELEMENTS, ("bus",)), **BRANCH_BUSES, "switch": ("bus", "element")}
# table -> columns that must be there and hold true or false
_FLAGS: Mapping[str, tuple[str, ...]] = {"switch": ("closed",)}


# Further columns that are numbers wherever they stand, or nothing: by their units, and some by name.
_MEASURED = re.compile(
    r".*_(mw|mvar|mva|kw|pu|ka|kv|km|ohm|percent|degree|cos_phi)(_per_km)?"
    r"|df|parallel|scaling|step|slack_weight|tap_(pos|neutral|min|max)"
)


def shapes(tables: Mapping[str, Table]) -> Iterator[Issue]:
    """Columns that are missing, and values of the wrong kind, by element."""
    for name, table in tables.items():
        if table.index.dtype.kind not in "iu":
            bad = _no_id(table.index)
            yield Issue(name, "index", tuple(table.index[bad].tolist()), "must be whole numbers")
        flags = _FLAGS.get(name, ("in_service",) if "in_service" in table else ())
        for columns, wrong, must in (
            (_IDS.get(name, ()), _no_id, "must be the number of an element"),
            (_NUMBERS.get(name, ()), _no_number, "must be a finite number"),
            (flags, _no_flag, "must be true or false"),
        ):
            for column in columns:
                if column not in table:
                    yield Issue(name, column, (), "this column is missing")
                    continue
                bad = wrong(table[column])
                if bad.any():
                    first = table[column][bad][0]
                    yield Issue(name, column, tuple(table.index[bad].tolist()), f"{must}, is {first!s}")
        for column in [c for c in table if c not in _NUMBERS.get(name, ()) and _MEASURED.fullmatch(c)]:
            bad = np.array([not (cell is None or isinstance(cell, int | float)) for cell in table[column].tolist()], dtype=bool)
            if bad.any():
                first = table[column][bad][0]
                yield Issue(name, column, tuple(table.index[bad].tolist()), f"must be a number, is {first!s}")


def _numbers(column: Array) -> NDArray[np.float64]:
    """(n,) as floats, nan where a cell is no number."""
    if column.dtype.kind in "fiub":
        return column.astype(np.float64)
    out = np.full(len(column), np.nan)
    for row, cell in enumerate(column.tolist()):
        if isinstance(cell, int | float) and not isinstance(cell, bool):
            out[row] = cell
    return out


def _no_number(column: Array) -> NDArray[np.bool_]:
    return np.asarray(~np.isfinite(_numbers(column)))


def _no_id(column: Array) -> NDArray[np.bool_]:
    numbers = _numbers(column)
    return np.asarray(~np.isfinite(numbers) | (numbers != np.floor(numbers)))


def _no_flag(column: Array) -> NDArray[np.bool_]:
    """0 and 1 count as false and true."""
    if column.dtype.kind == "b":
        return np.zeros(len(column), dtype=bool)
    return np.array([not (isinstance(cell, bool | np.bool_) or cell in (0, 1)) for cell in column.tolist()], dtype=bool)
