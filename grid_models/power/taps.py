"""Tap changers: what a position does to a transformer's equivalent.

A changer with voltage step d [1] at the angle alpha turns its winding's voltage by n(p) = 1 + d (p - neutral) exp(j alpha);
an ideal phase shifter by n(p) = exp(j (p - neutral) step), or, stepped in per cent, by twice the arc sine of half of it.
Between two positions everything on that side of the equivalent changes by k = n(new) / n(old), currents and voltages alike:

    at the from side:  y_ff / |k|^2,  y_ft / conj(k),  y_tf / k,  y_tt,          shift + arg k
    at the to side:    y_ff,  y_ft / k,  y_tf / conj(k),  y_tt / |k|^2,          shift - arg k

Three-winding transformers have the changer at the terminal of a winding, or at its star point, where it works on the
winding's other side, and inversely. Where a table of characteristics tells ratio and impedance of each position, there is
no such factor, and pandapower makes the equivalents anew.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from grid_models.power.network import PowerNetwork
from grid_models.tables import Table, frozen

Index = NDArray[np.int64]
Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]

_WINDINGS = ("hv", "mv", "lv")


def positions(table: Table, rows: Index) -> Floats:
    """(n,) tap positions; the neutral one where none is given."""
    at, neutral = (_numbers(table, name, rows) for name in ("tap_pos", "tap_neutral"))
    return np.where(np.isnan(at), neutral, at)


def by_table(table: Table, rows: Index) -> NDArray[np.bool_]:
    """(n,) whether a table of characteristics tells what a position does."""
    return table.marked("tap_dependency_table")[rows]


def turned(table: Table, rows: Index, position: Floats) -> Complex:
    """(n,) the factor n by which a changer turns the voltage of its winding at a position."""
    neutral, per_cent, degree = (
        np.nan_to_num(_numbers(table, name, rows)) for name in ("tap_neutral", "tap_step_percent", "tap_step_degree")
    )
    kind = table.column("tap_changer_type", "")[rows].astype(str)
    steps = position - neutral
    ideal = np.where(degree != 0, np.deg2rad(steps * degree), 2 * np.arcsin(np.clip(steps * per_cent / 200.0, -1.0, 1.0)))
    ratio = 1.0 + steps * per_cent / 100.0 * np.exp(1j * np.deg2rad(degree))
    return np.select([kind == "Ideal", np.isin(kind, ("Ratio", "Symmetrical"))], [np.exp(1j * ideal), ratio], 1.0)


def retap(network: PowerNetwork, element: str, rows: Index, position: Floats) -> PowerNetwork:
    """The network with tap changers at other positions, its equivalents changed with them.

    Args:
        network: as its tables stand.
        element: `trafo` or `trafo3w`.
        rows: (n,) rows of that table, each once.
        position: (n,) new positions; whole numbers for changers with steps.

    >>> import numpy as np
    >>> from grid_models.formats.pandapower import read_packaged
    >>> network = read_packaged("mv_oberrhein")
    >>> retap(network, "trafo", np.array([0]), np.array([3.0])).tables["trafo"]["tap_pos"].tolist()
    [3.0, -3.0]
    """
    table = network.tables[element]
    column = table["tap_pos"].astype(np.float64)
    column[rows] = position
    moved = replace(
        network, tables={**network.tables, element: Table(table.index, {**table.columns, "tap_pos": frozen(column)})}
    )
    if by_table(table, rows).any():
        from grid_models.formats.pandapower import rederived

        return rederived(moved)
    k = turned(table, rows, position) / turned(table, rows, positions(table, rows))
    side = table["tap_side"][rows].astype(str)
    part = np.zeros(len(rows), dtype=np.int64)
    at_from = side == "hv"
    if element == "trafo3w":
        part = np.array([_WINDINGS.index(s) for s in side], dtype=np.int64)
        star = table.column("tap_at_star_point", False)[rows].astype(bool)
        # At the star point pandapower takes a changer without an angle for none.
        k = np.where(star & np.isnan(_numbers(table, "tap_step_degree", rows)), 1.0, k)
        k, at_from = np.where(star, 1.0 / k, k), at_from ^ star
    eq = network.equivalents
    at = eq.rows_of(element)[rows + part * table.size]
    changed = {name: getattr(eq, name).copy() for name in ("y_ff", "y_ft", "y_tf", "y_tt", "shift_rad")}
    square = np.abs(k) ** 2
    changed["y_ff"][at] /= np.where(at_from, square, 1.0)
    changed["y_tt"][at] /= np.where(at_from, 1.0, square)
    changed["y_ft"][at] /= np.where(at_from, np.conj(k), k)
    changed["y_tf"][at] /= np.where(at_from, k, np.conj(k))
    changed["shift_rad"][at] += np.where(at_from, 1.0, -1.0) * np.angle(k)
    return replace(moved, equivalents=replace(eq, **{name: frozen(values) for name, values in changed.items()}))


def _numbers(table: Table, name: str, rows: Index) -> Floats:
    return np.asarray(table.column(name, np.nan)[rows], dtype=np.float64)
