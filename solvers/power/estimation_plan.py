"""Where meters look, and the pattern of their gain matrix: what an estimate needs once for a placement (estimation.py)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from grid_models.power.bus_branch import SLACK, BusBranch
from solvers.linalg.symbolic import Symbolic, symbolic
from solvers.power.admittance import pairs
from solvers.power.measurement_functions import Complex, Floats, Index, Kind, Rows

_FINEST = 1e-8  # leaves the voltages half of the figures that there are


@dataclass(frozen=True, eq=False)
class Meters:
    """Measurements on a bus-branch form, in pu.

    Args:
        kind: (m,) Kind.
        place: (m,) where: see `at_bus`, `at_from`, `at_to`.
        value: (m,) [pu].
        sigma: (m,) standard deviation [pu].
        removable: (m,) whether it may be called bad data; not so for what is known by construction.
    """

    kind: Index
    place: Index
    value: Floats
    sigma: Floats
    removable: NDArray[np.bool_]

    @staticmethod
    def at_bus(bus: Index) -> Index:
        """Place of V, and of the injection P, Q, of buses."""
        return np.asarray(bus)

    @staticmethod
    def at_from(model: BusBranch, branch: Index) -> Index:
        """Place of P, Q, I into branches at their from end."""
        return np.asarray(model.n_bus + 2 * branch)

    @staticmethod
    def at_to(model: BusBranch, branch: Index) -> Index:
        """Place of P, Q, I into branches at their to end."""
        return np.asarray(model.n_bus + 2 * branch + 1)


@dataclass(frozen=True, eq=False)
class Plan:
    """What depends on topology, admittances and the placement of meters, not on their readings.

    Args:
        version: of all these.
        by_row: (m,) the meters, row by row.
        rows: what they look at.
        factor: the pattern of the gain matrix, by bus.
        finest: (m,) sigma [pu] below which a meter's weight drowns others in rounding; it counts as no sharper.
        n_bus: buses of the model.
    """

    version: str
    by_row: Index
    rows: Rows
    factor: Symbolic
    finest: Floats
    n_bus: int


def version(model: BusBranch, kind: Index, place: Index) -> str:
    """What a plan depends on, as a hash."""
    h = sha256(model.topology_version.encode())
    h.update(model.parameter_version.encode())
    h.update(np.ascontiguousarray(kind).tobytes())
    h.update(np.ascontiguousarray(place).tobytes())
    return h.hexdigest()


def prepare(model: BusBranch, kind: Index, place: Index) -> Plan:
    """Order and analyse the gain matrix of a placement of meters.

    Args:
        model: the live network.
        kind: (m,) Kind.
        place: (m,) as in `Meters`.
    """
    # A voltage meter looks at its bus alone, so it shares no row with the bus's injection.
    alone = np.where(kind == Kind.V, model.n_bus + 2 * len(model.branch_row) + place, place)
    places, row = np.unique(alone, return_inverse=True)
    center, pointer, bus, y = _rows(model, places)
    n = model.n_bus
    seen = csr_array((np.ones(len(bus), dtype=np.int8), bus, pointer), shape=(len(places), n))
    adjacency = csr_array((seen.T @ seen) != 0)
    adjacency.sort_indices()
    factor = symbolic(adjacency.indptr, adjacency.indices)
    position = factor.inverse
    owner = np.repeat(np.arange(len(places)), np.diff(pointer))
    ascending = np.lexsort((position[bus], owner))
    bus, y = bus[ascending], y[ascending]
    own = np.flatnonzero(bus == center[owner])
    _, once = np.unique(owner[own], return_index=True)
    slack = np.flatnonzero(model.bus_kind == SLACK)
    _, first_slack = np.unique(model.bus_island[slack], return_index=True)
    is_reference = np.zeros(n, dtype=np.int8)
    is_reference[position[slack[first_slack]]] = 1
    pair, slot = _pairs(factor, pointer, bus)
    by_row = np.argsort(row, kind="stable")
    admittance = np.maximum.reduceat(np.abs(y), pointer[:-1]) if len(places) else np.zeros(0)
    rows = Rows(
        kind=np.asarray(kind, dtype=np.int64)[by_row],
        first=np.searchsorted(row[by_row], np.arange(len(places) + 1)),
        center=position[center],
        own=own[once],
        pointer=pointer,
        bus=position[bus],
        y=pairs(y).ravel(),
        pair=pair,
        slot=slot,
        is_reference=is_reference,
    )
    return Plan(version(model, kind, place), by_row, rows, factor, _FINEST * admittance[row[by_row]], n)


def _rows(model: BusBranch, places: Index) -> tuple[Index, Index, Index, Complex]:
    """Center, pointer, bus and admittance of the rows that the places look at."""
    n, n_branch = model.n_bus, len(model.branch_row)
    f, t = model.branch_from, model.branch_to
    diagonal = np.arange(n)
    admittance = coo_array(
        (
            np.concatenate([model.y_ff, model.y_ft, model.y_tf, model.y_tt, model.y_shunt]),
            (np.concatenate([f, f, t, t, diagonal]), np.concatenate([f, t, f, t, diagonal])),
        ),
        shape=(n, n),
    ).tocsr()
    inner, branch_end = places < n, (places >= n) & (places < n + 2 * n_branch)
    branch, side = np.divmod(np.where(branch_end, places - n, 0), 2)
    if n_branch:
        at_branch = np.where(side == 0, f[branch], t[branch])
        far = np.where(side == 0, t[branch], f[branch])
        near_y = np.where(side == 0, model.y_ff[branch], model.y_tt[branch])
        far_y = np.where(side == 0, model.y_ft[branch], model.y_tf[branch])
    else:
        at_branch = far = np.zeros(len(places), dtype=np.int64)
        near_y = far_y = np.zeros(len(places), dtype=np.complex128)
    center = np.where(inner, places, np.where(branch_end, at_branch, places - n - 2 * n_branch))
    length = np.where(inner, np.diff(admittance.indptr)[np.where(inner, places, 0)], np.where(branch_end, 2, 1))
    pointer = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    bus = np.empty(pointer[-1], dtype=np.int64)
    y = np.zeros(pointer[-1], dtype=np.complex128)
    first = pointer[:-1]
    owner = np.repeat(np.arange(len(places)), length)
    within = np.arange(pointer[-1]) - first[owner]
    of_bus = inner[owner]
    source = admittance.indptr[places[owner[of_bus]]] + within[of_bus]
    bus[of_bus], y[of_bus] = admittance.indices[source], admittance.data[source]
    bus[first[branch_end]], y[first[branch_end]] = at_branch[branch_end], near_y[branch_end]
    bus[first[branch_end] + 1], y[first[branch_end] + 1] = far[branch_end], far_y[branch_end]
    loop = first[branch_end & (at_branch == far)]  # both ends in one bus: one entry has all of it
    y[loop], y[loop + 1] = y[loop] + y[loop + 1], 0.0
    alone = ~inner & ~branch_end
    bus[first[alone]] = center[alone]
    return center.astype(np.int64), pointer, bus, y


def _pairs(factor: Symbolic, pointer: Index, bus: Index) -> tuple[Index, Index]:
    """Where each row's products go: pointer and first number of the block of the pairs i <= j of its entries."""
    width = np.diff(pointer)
    count = width * (width + 1) // 2
    pair = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    slot = np.empty(pair[-1], dtype=np.int64)
    for w in np.unique(width):
        rows = np.flatnonzero(width == w)
        i, j = np.triu_indices(int(w))
        left, right = pointer[rows][:, None] + i, pointer[rows][:, None] + j
        where = factor.position(bus[left].ravel(), bus[right].ravel())
        slot[(pair[rows][:, None] + np.arange(len(i))).ravel()] = 4 * where
    return pair, slot
