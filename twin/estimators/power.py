"""The power network's estimator: measurements in force -> weighted least squares -> pandapower's result columns.

Beside the meters every bus has a prior injection (power_injections.py); the estimate moves it within its sigma.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_models.columns import COLUMNS
from grid_models.measurements import Catalogue, SwitchPosition
from grid_models.power.bus_branch import PQ, PV, SLACK, BusBranch, bus_branch
from grid_models.power.network import PowerNetwork
from grid_models.state import NetworkState, Origin, Residuals
from grid_models.tables import Table, frozen
from solvers.power.estimation import Estimate, estimate
from solvers.power.estimation_plan import Meters, Plan, prepare, version
from solvers.power.measurement_functions import Kind
from solvers.power.results import results
from solvers.solution import Solution, Status, Unsolvable
from twin.estimators import Given, InForce
from twin.estimators.failure import failed
from twin.estimators.power_injections import ZERO_SIGMA_MW, Expected, Injections
from twin.estimators.power_points import ADJUSTED, Points, resolve

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]
Index = NDArray[np.int64]

PUBLISHED = (
    "bus_vm_pu", "bus_va_degree", "bus_p_mw", "bus_q_mvar", "bus_energised",
    "line_p_from_mw", "line_q_from_mvar", "line_i_ka", "line_loading_percent", "line_energised",
    "trafo_p_hv_mw", "trafo_q_hv_mvar", "trafo_loading_percent", "trafo_energised",
    "load_p_mw", "load_q_mvar", "sgen_p_mw", "sgen_q_mvar",
    "ext_grid_p_mw", "ext_grid_q_mvar", "gen_p_mw", "gen_q_mvar",
)  # fmt: skip

# A generator holds its voltage about as well as its regulator is set.
_HELD_SIGMA_PU = 0.01
_KEPT = 16


@dataclass(frozen=True, eq=False)
class _Topology:
    """A network with one set of switch positions."""

    network: PowerNetwork
    model: BusBranch
    branch_of: Index  # (n_equivalent,) its branch in the model, -1 where out


class _Recent:
    """The newest few results of a pure function; a cache changes how long a step takes, never what it gives.

    A past state may be asked for, on a thread of its own, while the next one is computed.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = Lock()

    def get_or_make(self, key: Hashable, make: Callable[[], Any]) -> Any:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made


class _Rows:
    """Collects measurements in their own units, and hands them out in pu."""

    def __init__(self) -> None:
        self._parts: list[tuple[NDArray[Any], ...]] = []

    def add(
        self,
        kind: Kind | Index,
        place: Index,
        value: Floats,
        sigma: Floats,
        *,
        base: Floats | None = None,
        uid: NDArray[np.uint32] | None = None,
        removable: NDArray[np.bool_] | None = None,
    ) -> None:
        n = len(place)
        unit = np.ones(n) if base is None else base
        self._parts.append(
            (
                np.broadcast_to(np.asarray(kind, dtype=np.int64), (n,)),
                place,
                value / unit,
                sigma / unit,
                np.ones(n, dtype=bool) if removable is None else removable,
                np.zeros(n, dtype=np.uint32) if uid is None else uid,
                unit,
            )
        )

    def meters(self) -> tuple[Meters, NDArray[np.uint32], Floats]:
        kind, place, value, sigma, removable, uid, base = (np.concatenate(c) for c in zip(*self._parts, strict=True))
        return Meters(kind, place.astype(np.int64), value, sigma, removable), uid, base


class PowerEstimator:
    """Implements `twin.estimators.Estimator` for a power network.

    Args:
        model: the network.
        catalogue: the twin's signals.
        network: its name in the catalogue and in states.

    Raises:
        InvalidInput: signals that the model does not know.
    """

    def __init__(self, model: PowerNetwork, catalogue: Catalogue, network: str) -> None:
        self.model = _constant_power(model)
        self.network = network
        self._points: Points = resolve(self.model, catalogue, network)
        self._injections = Injections(self.model, self._points)
        self._names = {s.uid: s.name for s in catalogue.signals}
        self._topologies, self._plans = _Recent(), _Recent()
        self.columns: Mapping[str, tuple[str, str, str]] = {
            name: (element, COLUMNS[name].unit, COLUMNS[name].text)
            for name in PUBLISHED
            if (element := _element(name)) in model.tables
        }
        self.dims: Mapping[str, tuple[str, ...]] = {
            element: tuple(str(i) for i in model.tables[element].index.tolist())
            for element in {c[0] for c in self.columns.values()}
        }

    def step(self, given: Given) -> NetworkState:
        """Estimate the state at `given.measured.valid_time_us`; see `Estimator.step`.

        Pumps are metered like any load, and nothing looks for what the model does not know: `coupled` and `found` tell it
        nothing.
        """
        measured = given.measured
        closed, unknown = self._positions(measured)
        topology = self._topologies.get_or_make(closed.tobytes(), lambda: self._process(closed))
        if not topology.model.n_bus:
            return failed(self, given, Status.NO_SLACK)
        expected = self._injections.expected(measured)
        meters, uids, base = self._meters(measured, topology, expected)
        key = version(topology.model, meters.kind, meters.place)
        plan: Plan = self._plans.get_or_make(key, lambda: prepare(topology.model, meters.kind, meters.place))
        solution = estimate(plan, meters, self._start(topology, given.previous))
        if not solution.status.usable and solution.status is not Status.UNOBSERVABLE:
            return failed(self, given, solution.status, solution.culprits)
        return self._state(measured, topology, expected, meters, uids, base, solution, closed, unknown)

    def fork(self, state: NetworkState) -> PowerNetwork:
        """The model with `state` as its injections, source voltages and switch positions."""
        if "v" not in state.memory:  # no instant up to this one could be estimated
            raise Unsolvable(Status[state.status], state.culprits)
        tables = dict(self.model.tables)
        if "switch" in tables:
            closed = np.asarray(state.memory["switch_closed"])
            tables["switch"] = tables["switch"].replace("closed", slice(None), closed)
        for element in ADJUSTED:
            if element in tables and f"{element}_p" in state.memory:
                power = state.memory[f"{element}_p"] + 1j * state.memory[f"{element}_q"]
                tables[element] = _with_power(tables[element], power)
        v = state.memory["v"]
        for element in ("ext_grid", "gen"):
            if element in tables:
                at = v[self.model.node_of(tables[element]["bus"])]
                live = np.isfinite(at)
                tables[element] = tables[element].replace("vm_pu", live, np.abs(at[live]))
                if element == "ext_grid":
                    tables[element] = tables[element].replace("va_degree", live, np.angle(at[live], deg=True))
                else:
                    p = np.asarray(state.values["gen_p_mw"])[live] / tables[element].column("scaling", 1.0)[live]
                    tables[element] = tables[element].replace("p_mw", live, p)
        return replace(self.model, tables=tables)

    def _positions(self, measured: InForce) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
        """(n_switch,) positions, and the names of switches whose position is not known; those keep the model's."""
        if "switch" not in self.model.tables:
            return np.zeros(0, dtype=bool), ()
        closed = self.model.tables["switch"]["closed"].astype(bool).copy()
        value, known = measured.of(self._points.switch_uid)[:2]
        decided = known & np.isin(value, (SwitchPosition.OPEN, SwitchPosition.CLOSED))
        closed[self._points.switch_row[decided]] = value[decided] == SwitchPosition.CLOSED
        undecided = np.isin(self._points.switch_uid, measured.signal) & ~decided
        return closed, tuple(self._names[int(uid)] for uid in self._points.switch_uid[undecided])

    def _process(self, closed: NDArray[np.bool_]) -> _Topology:
        tables = dict(self.model.tables)
        if "switch" in tables:
            tables["switch"] = tables["switch"].replace("closed", slice(None), closed)
        network = replace(self.model, tables=tables)
        model = bus_branch(network)
        branch_of = np.full(len(network.equivalents.row), -1, dtype=np.int64)
        branch_of[model.branch_row] = np.arange(len(model.branch_row))
        return _Topology(network, model, branch_of)

    def _start(self, topology: _Topology, previous: NetworkState | None) -> Complex:
        """The previous voltages where there are any: the same answer, sooner."""
        start = topology.model.v_start.copy()
        if previous is not None and "v" in previous.memory:
            node = topology.model.bus_node
            known = node >= 0
            before = np.where(known, previous.memory["v"][np.maximum(node, 0)], np.nan)
            if np.isfinite(before[known]).all():
                start = np.where(known, before, start)
        return start

    def _meters(self, measured: InForce, topology: _Topology, expected: Expected) -> tuple[Meters, NDArray[np.uint32], Floats]:
        """Everything the estimate is made from; the signal (0: none) and the unit's base of each row."""
        model, points, sn = topology.model, self._points, self.model.sn_mva
        rows = _Rows()
        value, known, sigma = measured.of(points.bus_uid)
        bus = model.node_bus[points.bus_node]
        use = known & (bus >= 0) & np.isfinite(sigma)
        rows.add(Kind.V, bus[use], value[use], sigma[use], uid=points.bus_uid[use])

        value, known, sigma = measured.of(points.flow_uid)
        branch = topology.branch_of[points.flow_row]
        use = known & (branch >= 0) & np.isfinite(sigma)
        place = np.where(points.flow_to, Meters.at_to(model, branch), Meters.at_from(model, branch))
        base = points.flow_base[use]
        rows.add(points.flow_kind[use], place[use], value[use], sigma[use], base=base, uid=points.flow_uid[use])

        injected, sigma_p, sigma_q, has = self._injections.at_buses(model, expected)
        for kind, at, values, sigmas in (
            (Kind.P, np.flatnonzero(model.bus_kind != SLACK), injected.real, sigma_p),
            (Kind.Q, np.flatnonzero(model.bus_kind == PQ), injected.imag, sigma_q),
        ):
            width = np.where(has[at], sigmas[at], ZERO_SIGMA_MW)
            rows.add(kind, at, values[at], width, base=np.full(len(at), sn), removable=has[at])
        held = np.flatnonzero(model.bus_kind == PV)
        rows.add(Kind.V, held, model.v_set[held], np.full(len(held), _HELD_SIGMA_PU))
        return rows.meters()

    def _state(
        self,
        measured: InForce,
        topology: _Topology,
        expected: Expected,
        meters: Meters,
        uids: NDArray[np.uint32],
        base: Floats,
        solution: Solution[Estimate],
        closed: NDArray[np.bool_],
        unknown: tuple[str, ...],
    ) -> NetworkState:
        found, model = solution.value, topology.model
        powers = self._injections.spread(model, expected, meters, found)
        tables = dict(topology.network.tables)
        for element, power in powers.items():
            tables[element] = _with_power(tables[element], power)
        columns = results(replace(topology.network, tables=tables), model, found.v)
        node_v = np.where(model.node_bus >= 0, found.v[model.node_bus], np.nan)
        n_bus_row = self.model.tables["bus"].size
        bus = model.node_bus[:n_bus_row]
        dead = self.model.tables["bus"].index[bus < 0]
        memory: dict[str, NDArray[Any]] = {"v": node_v, "switch_closed": closed, "dead_bus": dead}
        for element, power in powers.items():
            memory |= {f"{element}_p": power.real.copy(), f"{element}_q": power.imag.copy()}
        signals = np.flatnonzero(uids)
        element_rows = self._element_residuals(measured, powers, meters, found, model)
        residuals = Residuals(
            np.concatenate([uids[signals], element_rows.signal]),
            np.concatenate([(meters.value * base)[signals], element_rows.value]),
            np.concatenate([(found.reading * base)[signals], element_rows.estimate]),
            np.concatenate([found.normalised[signals], element_rows.normalised]),
            np.concatenate([found.suspect[signals], element_rows.suspect]),
        )
        suspects = tuple(self._names[int(u)] for u in residuals.signal[residuals.suspect])
        status = solution.status
        if status is Status.BAD_DATA and not suspects:
            status = Status.SOLVED  # only pseudo-measurements gave way: consumers changed, no meter is wrong
        if status is Status.SOLVED and len(model.dead_nodes):
            status = Status.DEAD_ISLANDS
        used = np.isin(measured.signal, uids[signals]) & (measured.source_time_us > 0)
        metered_v = np.isin(np.arange(n_bus_row), self._points.bus_node)
        return NetworkState(
            network=self.network,
            valid_time_us=measured.valid_time_us,
            model_revision=self.model.revision,
            parameter_revision=0,
            values={name: np.asarray(columns[name], dtype=np.float64) for name in self.columns},
            sigma={"bus_vm_pu": np.where(bus >= 0, found.sigma_vm[bus], np.nan)},
            origin={
                "bus_vm_pu": np.where(metered_v, Origin.MEASURED, Origin.ESTIMATED).astype(np.uint8),
                **{
                    f"{e}_p_mw": np.where(expected.metered[e], Origin.MEASURED, Origin.PSEUDO).astype(np.uint8)
                    for e in powers
                    if f"{e}_p_mw" in self.columns
                },
            },
            residuals=residuals,
            status=status.name,
            culprits=(*solution.culprits, *suspects, *unknown),
            iterations=solution.stats.iterations,
            accuracy=found.objective / max(found.freedom, 1),
            oldest_source_us=int(measured.source_time_us[used].min(initial=np.iinfo(np.int64).max)) if used.any() else 0,
            newest_source_us=int(measured.source_time_us[used].max(initial=0)),
            stale_inputs=int(measured.stale.sum()),
            manual_inputs=int(measured.manual.sum()),
            memory=memory,
        )

    def _element_residuals(
        self, measured: InForce, powers: Mapping[str, Complex], meters: Meters, found: Estimate, model: BusBranch
    ) -> Residuals:
        """Residuals of the meters that entered through their bus's injection; the bus's verdict is theirs."""
        p = self._points
        value, known, sigma = measured.of(p.element_uid)
        at_bus = {int(Kind.P): np.full(model.n_bus, -1), int(Kind.Q): np.full(model.n_bus, -1)}
        for kind, row_of in at_bus.items():
            mine = np.flatnonzero((meters.kind == kind) & (meters.place < model.n_bus))
            row_of[meters.place[mine]] = mine
        estimate_of, row = np.full(len(value), np.nan), np.full(len(value), -1)
        for position, element in enumerate(ADJUSTED):
            if element not in powers:
                continue
            mine = np.flatnonzero(p.element_table == position)
            power = powers[element][p.element_row[mine]]
            estimate_of[mine] = np.where(p.element_reactive[mine], power.imag, power.real)
            bus = model.node_bus[self.model.node_of(self.model.tables[element]["bus"])][p.element_row[mine]]
            kinds = np.where(p.element_reactive[mine], int(Kind.Q), int(Kind.P))
            row[mine] = [at_bus[k][b] if b >= 0 else -1 for k, b in zip(kinds.tolist(), bus.tolist(), strict=True)]
        use = known & np.isfinite(sigma) & (row >= 0)
        row = row[use]
        return Residuals(p.element_uid[use], value[use], estimate_of[use], found.normalised[row], found.suspect[row])


def _with_power(table: Table, power: Complex) -> Table:
    scaling = table.column("scaling", 1.0)
    own = np.where(scaling != 0, power / np.where(scaling != 0, scaling, 1.0), 0.0)
    columns = {**table.columns, "p_mw": frozen(own.real), "q_mvar": frozen(own.imag)}
    return Table(table.index, columns)


def _constant_power(model: PowerNetwork) -> PowerNetwork:
    """An estimate asks what a load draws now, not how it would change with voltage."""
    if "load" not in model.tables:
        return model
    load = model.tables["load"]
    zero = {n: frozen(np.zeros(load.size)) for n in load if n.startswith(("const_z_", "const_i_"))}
    return replace(model, tables={**model.tables, "load": Table(load.index, {**load.columns, **zero})})


def _element(column: str) -> str:
    return "ext_grid" if column.startswith("ext_grid_") else column.split("_", 1)[0]
