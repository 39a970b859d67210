"""Pandapower's own `measurement` table as meters of the bus-branch form, and the estimate that follows from it.

A bus measurement of p or q is what is consumed there (pandapower's direction), so the injection of a bus is its
negative. Buses fused by closed switches have one injection, the sum of theirs: it is metered only where each of them
that has an element is measured. A second reading of one quantity at one bus joins the first by weight. A bus without
any element is a meter too: nothing is injected there.

Reference: A. Abur, A. Gomez Exposito, "Power System State Estimation" (2004), ch. 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid_models.errors import InvalidInput, Issue
from grid_models.power.bus_branch import BusBranch, bus_branch
from grid_models.power.injections import sources
from grid_models.power.network import PowerNetwork
from grid_models.tables import Array, Table
from solvers.power.estimation import Estimate, estimate
from solvers.power.estimation_plan import Meters, prepare
from solvers.power.flows import branch_flows
from solvers.power.measurement_functions import Complex, Floats, Index, Kind
from solvers.power.results_branch import branch_results
from solvers.solution import Solution, Status

NO_INJECTION_SIGMA_PU = 1e-6
_KIND = {"v": Kind.V, "p": Kind.P, "q": Kind.Q, "i": Kind.I}
# element -> side -> (winding of a trafo3w, whether it is the equivalent's to end)
_ENDS: Mapping[str, Mapping[str, tuple[int, bool]]] = {
    "line": {"from": (0, False), "to": (0, True)},
    "trafo": {"hv": (0, False), "lv": (0, True)},
    "trafo3w": {"hv": (0, False), "mv": (1, True), "lv": (2, True)},
}


@dataclass(frozen=True, eq=False)
class Metered:
    """The meters that a measurement table makes.

    Args:
        meters: in pu; those of the table first, then the buses without elements.
        of_row: (n_measurement,) the meter that each row of the table feeds, -1 where it feeds none.
        base: (n_measurement,) unit of the row per pu, with the sign that turns it into the meter's direction.
        is_sum: (n_meter,) whether a meter is the sum of several rows' places: then no row has a reading of its own.
    """

    meters: Meters
    of_row: Index
    base: Floats
    is_sum: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class MeteredEstimate:
    """What `estimate_measured` found.

    Args:
        model: the bus-branch form.
        found: voltages, residuals of the meters.
        values: "{element}_{column}" and "measurement_{column}" -> (n,).
    """

    model: BusBranch
    found: Estimate
    values: dict[str, Array]


def estimate_measured(network: PowerNetwork, threshold: float = 4.5) -> Solution[MeteredEstimate]:
    """Estimate a network from its own `measurement` table.

    Args:
        network: with a `measurement` table.
        threshold: normalised residual beyond which a reading is bad [1].

    Returns:
        SOLVED, BAD_DATA naming measurements, UNOBSERVABLE naming buses, NO_SLACK, NOT_CONVERGED.

    Raises:
        InvalidInput: no measurement, or some that cannot be bound to the model; all at once.

    Reference:
        A. Abur, A. Gomez Exposito (2004), ch. 5 (largest normalised residual).
    """
    model = bus_branch(network)
    metered = meters_of(network, model)
    meters = metered.meters
    if not model.n_bus:
        return Solution(MeteredEstimate(model, _nothing(), {}), Status.NO_SLACK)
    answer = estimate(prepare(model, meters.kind, meters.place), meters, model.v_start, threshold=threshold)
    found = answer.value
    values = _network_values(network, model, found) | _table_values(network.tables["measurement"], metered, found)
    if answer.status is Status.UNOBSERVABLE:
        bus = network.tables["bus"].index
        node = model.bus_node[[int(name.split()[1]) for name in answer.culprits]]
        culprits = tuple(f"bus {bus[k]}" for k in node if 0 <= k < len(bus))
    else:
        suspect = values["measurement_suspect"]
        culprits = tuple(f"measurement {i}" for i in network.tables["measurement"].index[suspect])
    return Solution(MeteredEstimate(model, found, values), answer.status, answer.stats, culprits)


def meters_of(network: PowerNetwork, model: BusBranch) -> Metered:
    """Bind the measurement table to the model.

    Raises:
        InvalidInput: rows that measure what the model does not have.
    """
    table = network.tables.get("measurement")
    if table is None or not table.size:
        raise InvalidInput([Issue("measurement", "", (), "the network has no measurements")])
    place, kind, base = _bound(network, model, table)
    z, sigma = table["value"] / base, table["std_dev"] / np.abs(base)
    # Readings of one quantity at one node join by weight.
    key = np.stack([kind, place], axis=1)
    live = place >= 0
    joint, of_row = np.unique(key[live], axis=0, return_inverse=True)
    weight = np.bincount(of_row, 1.0 / sigma[live] ** 2, len(joint))
    value = np.bincount(of_row, z[live] / sigma[live] ** 2, len(joint)) / weight
    return _at_buses(network, model, joint, value, 1.0 / np.sqrt(weight), _scatter(live, of_row), base)


def _bound(network: PowerNetwork, model: BusBranch, table: Table) -> tuple[Index, Index, Floats]:
    """Where each row looks: a node (buses still unfused) or beyond them a branch end; -1 where that is dead."""
    n = len(table.index)
    place, kind, base = np.full(n, -1, dtype=np.int64), np.zeros(n, dtype=np.int64), np.ones(n)
    branch_of = np.full(len(network.equivalents.row), -1, dtype=np.int64)
    branch_of[model.branch_row] = np.arange(len(model.branch_row))
    issues: list[Issue] = []
    columns = [table[name].tolist() for name in ("measurement_type", "element_type", "element", "side", "std_dev")]
    for i, (what, element, number, side, std_dev) in enumerate(zip(*columns, strict=True)):
        try:
            kind[i], place[i], base[i] = _one(network, branch_of, what, element, int(number), side)
            if not std_dev > 0.0:
                raise ValueError(f"std_dev is {std_dev}, not positive")
        except ValueError as error:
            issues.append(Issue("measurement", str(what), (int(table.index[i]),), str(error)))
    if issues:
        raise InvalidInput(issues)
    return place, kind, base


def _one(network: PowerNetwork, branch_of: Index, what: str, element: str, number: int, side: object) -> tuple[int, int, float]:
    if what not in _KIND:
        raise ValueError(f"{what} cannot be estimated with; known are {', '.join(_KIND)}")
    kind = _KIND[what]
    if element not in network.tables or number not in network.tables[element].index:
        raise ValueError(f"the network has no {element} {number}")
    if element == "bus":
        if kind is Kind.I:
            raise ValueError("a bus has no current")
        node = int(network.node_of(np.array([number]))[0])
        return kind, node, 1.0 if kind is Kind.V else -network.sn_mva
    if kind is Kind.V or element not in _ENDS:
        raise ValueError(f"{element} has no meter for {what}")
    row, at_to, node = _end(network, element, number, side)
    base = network.sn_mva / (3**0.5 * float(network.equivalents.node_vn_kv[node])) if kind is Kind.I else network.sn_mva
    branch = int(branch_of[row])
    return kind, network.n_node + 2 * branch + at_to if branch >= 0 else -1, base


def _end(network: PowerNetwork, element: str, number: int, side: object) -> tuple[int, bool, int]:
    """Row of the equivalents, whether it is its to end, and the node there; `side` is a name or a bus."""
    table, eq = network.tables[element], network.equivalents
    row = int(table.rows([number])[0])
    sides = _ENDS[element]
    if side not in sides:
        named = [name for name in sides if str(int(table[f"{name}_bus"][row])) == str(side).removesuffix(".0")]
        if not named:
            raise ValueError(f"needs a side ({', '.join(sides)}, or the bus there), has {side!r}")
        side = named[0]
    part, at_to = sides[str(side)]
    at = int(eq.rows_of(element)[row + part * table.size])
    return at, at_to, int((eq.to_node if at_to else eq.from_node)[at])


def _scatter(live: NDArray[np.bool_], of_row: Index) -> Index:
    out = np.full(len(live), -1, dtype=np.int64)
    out[live] = of_row
    return out


def _at_buses(
    network: PowerNetwork, model: BusBranch, joint: Index, value: Floats, sigma: Floats, of_row: Index, base: Floats
) -> Metered:
    """Gather node meters at the buses of the model, and add the buses where nothing is injected."""
    has_element = _has_element(network)
    kind, place = joint.T
    keep_kind: list[int] = []
    keep_place: list[int] = []
    keep_value: list[float] = []
    keep_sigma: list[float] = []
    new = np.full(len(joint), -1, dtype=np.int64)

    def add(rows: Index, k: int, at: int, z: float, s: float) -> None:
        new[rows] = len(keep_kind)
        keep_kind.append(k)
        keep_place.append(at)
        keep_value.append(z)
        keep_sigma.append(s)

    bus = np.where(place < network.n_node, model.node_bus[np.minimum(place, network.n_node - 1)], -1)
    for m in np.flatnonzero(place >= network.n_node):
        add(np.array([m]), int(kind[m]), model.n_bus + int(place[m]) - network.n_node, value[m], sigma[m])
    for m in np.flatnonzero((kind == Kind.V) & (bus >= 0)):
        add(np.array([m]), Kind.V, int(bus[m]), value[m], sigma[m])
    node_bus = model.node_bus
    for k in (Kind.P, Kind.Q):
        mine = np.flatnonzero((kind == k) & (bus >= 0))
        for b in np.unique(bus[mine]):
            rows = mine[bus[mine] == b]
            if set(np.flatnonzero((node_bus == b) & has_element)) <= set(place[rows].tolist()):
                add(rows, k, int(b), float(value[rows].sum()), float(np.sqrt((sigma[rows] ** 2).sum())))
    n_read = len(keep_kind)
    empty = np.setdiff1d(np.arange(model.n_bus), node_bus[has_element & (node_bus >= 0)])
    for k in (Kind.P, Kind.Q):
        keep_kind += [int(k)] * len(empty)
        keep_place += empty.tolist()
    keep_value += [0.0] * (2 * len(empty))
    keep_sigma += [NO_INJECTION_SIGMA_PU] * (2 * len(empty))
    meters = Meters(
        np.array(keep_kind, dtype=np.int64),
        np.array(keep_place, dtype=np.int64),
        np.array(keep_value),
        np.array(keep_sigma),
        np.arange(len(keep_kind)) < n_read,
    )
    is_sum = np.bincount(new[new >= 0], minlength=len(keep_kind)) > 1
    return Metered(meters, np.where(of_row >= 0, new[of_row], -1), base, is_sum)


def _has_element(network: PowerNetwork) -> NDArray[np.bool_]:
    """(n_node,) where something in service may consume or feed in; shunts belong to the admittances."""
    out = np.zeros(network.n_node, dtype=bool)
    out[sources(network).node] = True
    for element in ("load", "sgen", "storage", "motor", "ward", "xward", "asymmetric_load", "asymmetric_sgen"):
        if element in network.tables:
            out[network.node_of(network.tables[element]["bus"][network.in_service(element)])] = True
    return out


def _network_values(network: PowerNetwork, model: BusBranch, found: Estimate) -> dict[str, Array]:
    """Voltages with their sigma, and what flows, as the load flow names it."""
    flows = branch_flows(network, model, found.v)
    n = network.tables["bus"].size
    bus = model.node_bus[:n]
    sigma = np.where(bus >= 0, found.sigma_vm[bus], np.nan)
    voltage = flows.v[:n]
    return {
        "bus_vm_pu": np.abs(voltage),
        "bus_va_degree": np.degrees(np.angle(voltage)),
        "bus_energised": bus >= 0,
        "bus_vm_sigma_pu": sigma,
        **branch_results(flows),
    }


def _table_values(table: Table, metered: Metered, found: Estimate) -> dict[str, Array]:
    """What each row of the measurement table should have read, in its own unit."""
    of_row, base = metered.of_row, metered.base
    used = of_row >= 0
    estimated = np.where(used & ~metered.is_sum[of_row], found.reading[of_row] * base, np.nan)
    return {
        "measurement_value": table["value"].astype(float),
        "measurement_sigma": table["std_dev"].astype(float),
        "measurement_estimate": estimated,
        "measurement_residual": table["value"] - estimated,
        "measurement_normalised_residual": np.where(used, found.normalised[of_row], np.nan),
        "measurement_suspect": used & found.suspect[of_row],
    }


def _nothing() -> Estimate:
    none = np.zeros(0)
    v: Complex = none.astype(np.complex128)
    return Estimate(v, none, none, none, none.astype(bool), none, 0.0, 0)
