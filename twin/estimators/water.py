"""The water network's estimator: measured inflows, levels, pressures and smart meters -> heads, flows, demands.

A metered pump enters as its measured flow; a pump without electrical supply stands still whatever the model believes,
unless its own meter shows that it runs. Leaks and closed pipes that the network's watch has found are part of the model from
then on: what they lose is drawn at their nodes beside the consumers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_models.columns import COLUMNS
from grid_models.coupling import PumpSupply
from grid_models.measurements import Catalogue, SwitchPosition
from grid_models.state import NetworkState, Origin, Residuals
from grid_models.water.network import WaterNetwork
from solvers.solution import Solution, Status
from solvers.water.closures import first_order, switched
from solvers.water.estimation import (
    Instruments,
    Prediction,
    head_sigma,
    predict,
    prior_demand,
    update,
    weigh,
)
from solvers.water.leak_search.readings import Sensors
from solvers.water.plan import CLOSED, OPEN, Floats, Index, WaterPlan, prepare
from solvers.water.sensitivity import Linear
from solvers.water.steady import Boundary, Hydraulics, Scratch, demand_at, initial_boundary, steady
from solvers.water.zones import zones
from twin.estimators import Given, InForce
from twin.estimators.failure import failed
from twin.estimators.water_fork import forked, pattern_seconds
from twin.estimators.water_points import resolve

PUBLISHED = (
    "node_head_m", "node_pressure_m", "node_demand_m3_per_s", "node_supplied",
    "link_flow_m3_per_s", "link_velocity_m_per_s", "link_headloss_m", "link_status", "tank_level_m",
)  # fmt: skip
# A consumer's demand wanders around its profile by some ten percent; a zone's sum does so far less.
_DEMAND_SPREAD = 0.1
_LEAK_SPREAD = 0.2  # share of a found leak's flow that may be wrong
_SUSPECT = 5.0
_RUNS_SIGMAS = 5.0  # of its flow meter, beyond which a pump evidently runs


@dataclass(frozen=True, eq=False)
class LeakView:
    """What a watch for leaks and closures looks at.

    Args:
        residual: (n_instrument,) measured less predicted; NaN where not measured.
        prediction: of the instruments, with signatures.
        noise: (n_instrument, n_instrument) covariance of the model's own: consumers wander around their profiles, and a
            zone's balance is as good as its flow meters.
        closing: (links, None or rows of them) -> what closing them would change, as in `solvers.water.closures`.
        opening: (n_instrument, n_closed) what opening each of the closed links again would change.
    """

    residual: Floats
    prediction: Prediction
    noise: Floats
    closing: Callable[[Index, Index | None], Floats]
    opening: Floats


class _Work(local):
    """Each thread's own work space: a past state may be asked for while the next one is computed."""

    def __init__(self, plan: WaterPlan) -> None:
        self.scratch = Scratch(plan)


class WaterEstimator:
    """Implements `twin.estimators.Estimator` for a water network.

    Args:
        model: the network.
        catalogue: the twin's signals.
        network: its name in the catalogue and in states.
        supplies: pumps and the buses that feed them.

    Raises:
        InvalidInput: signals that the model does not know; all of them at once.
    """

    def __init__(self, model: WaterNetwork, catalogue: Catalogue, network: str, supplies: tuple[PumpSupply, ...] = ()) -> None:
        self.model = model
        self.network = network
        self._supplies = supplies
        self.plan = prepare(model)
        self._work = _Work(self.plan)
        self._meters = resolve(model, catalogue, network)
        self._names = {s.uid: s.name for s in catalogue.signals}
        self.zones = zones(self.plan, self._meters.flow_link)
        self.balance_sigma = self.zones.inflow_sigma(self._meters.flow_sigma)
        self._pump_metered = np.isin(self._meters.flow_link, model.pump_link)
        self._area = np.pi * model.tables["tank"]["diameter_m"] ** 2 / 4.0
        self.columns: Mapping[str, tuple[str, str, str]] = {
            name: (name.split("_", 1)[0], COLUMNS[name].unit, COLUMNS[name].text) for name in PUBLISHED
        }
        self.dims: Mapping[str, tuple[str, ...]] = {
            "node": tuple(model.node_ids.tolist()),
            "link": tuple(model.link_ids.tolist()),
            "tank": tuple(str(i) for i in model.tables["tank"].index.tolist()),
        }

    @property
    def _scratch(self) -> Scratch:
        return self._work.scratch

    @property
    def instrument_uids(self) -> NDArray[np.uint32]:
        """(n_instrument,) pressure meters, then flow meters that are not imposed: the order of innovations."""
        return np.concatenate([self._meters.pressure_uid, self._meters.flow_uid[~self._pump_metered]])

    def instrument_name(self, position: int) -> str:
        """The signal's name of an instrument, by its place in `instrument_uids`."""
        return self._names[int(self.instrument_uids[position])]

    def sensors(self) -> Sensors:
        """What the point list measures, in the order of a state's `memory["read"]`."""
        meters, model = self._meters, self.model
        tanks = model.tables["tank"].index[meters.level_tank]
        at = (model.node_ids[meters.pressure_node], model.link_ids[meters.flow_link], tanks, model.node_ids[meters.demand_node])
        return Sensors(*(tuple(str(i) for i in ids) for ids in at))

    def zone_inflow(self, state: NetworkState) -> Floats:
        """(n_zone,) metered net inflow of each zone in a state [m3/s]; NaN where a border is not metered, or not read."""
        return np.where(self.zones.balanced, self.zones.inflow(state.memory["zone_flow"]), np.nan)

    def zone_meters(self, zone: int) -> list[str]:
        """Signals of the flow meters around a zone."""
        at = (self.zones.to_zone == zone) | (self.zones.from_zone == zone)
        return [self._names[int(uid)] for uid in self._meters.flow_uid[at]]

    def step(self, given: Given) -> NetworkState:
        """Estimate the state at `given.measured.valid_time_us`; see `Estimator.step`."""
        lost, closed = np.zeros(len(self.dims["node"])), np.zeros(0, dtype=np.int64)
        if given.found is not None:
            lost[given.found.node], closed = given.found.lost_m3_per_s, given.found.closed
        situation = self._situation(given, lost)
        prediction = self._predict(situation, _flows_of(given.previous), lost, closed)
        if not prediction.solution.status.usable:
            return self._failed(given, prediction.solution)
        weights = weigh(prediction, situation.spread, situation.instruments)
        change, innovation, normalised = update(prediction, weights, situation.instruments)
        demand = np.maximum(prediction.boundary.demand_m3_per_s + change, np.minimum(prediction.boundary.demand_m3_per_s, 0))
        boundary = replace(prediction.boundary, demand_m3_per_s=demand)
        solution = steady(self.plan, self._scratch, boundary, prediction.solution.value)
        if not solution.status.usable:
            return self._failed(given, solution)
        linear = Linear(self.plan, self._scratch, boundary, solution.value)
        sigma = head_sigma(linear, weights, situation.spread, situation.instruments, self.zones, situation.free)
        state = self._state(given.measured, situation, solution.value, boundary, innovation, normalised, sigma, solution.status,
                            solution.culprits, solution.stats.iterations)  # fmt: skip
        carried = {"lost": lost, "shut": closed}
        revision = 0 if given.found is None else given.found.revision
        return replace(state, parameter_revision=revision, memory={**state.memory, **carried})

    def leak_view(self, state: NetworkState, leaks: Floats, closed: Index) -> LeakView:
        """What the instruments should have shown at a state's instant, had these leaks flowed and these links been closed.

        Args:
            state: of this estimator, with its memory.
            leaks: (n_node,) [m3/s].
            closed: rows of links.
        """
        memory = state.memory
        situation = _Situation(
            nominal=memory["nominal"], metered=memory["metered"].astype(bool), value=memory["metered_value"],
            flow=memory["zone_flow"], before=memory["scale_before"], head=memory["fixed_head"], status=memory["status_set"],
            setting=memory["setting"], pump_flow=memory["pump_flow"], spread=memory["spread"], free=memory["free"],
            instruments=Instruments(
                self._meters.pressure_node, self._meters.flow_link[~self._pump_metered], memory["value"], memory["value_sigma"]
            ),
            unsupplied=(), scale=memory["scale"],
        )  # fmt: skip
        prediction = self._predict(situation, _flows_of(state), leaks, closed)
        residual = np.where(np.isfinite(situation.instruments.sigma), situation.instruments.value - prediction.reading, np.nan)
        wandering = prediction.signature * (_DEMAND_SPREAD * situation.free)
        opening = switched(self.plan, self._scratch, prediction, situation.instruments, closed, situation.status)
        closing = partial(self._closing, prediction, situation.instruments)
        # What the meters around a zone misread its consumers are made to draw: it does not average out within the hour.
        misread = prediction.together * self.balance_sigma
        noise = wandering @ wandering.T + misread @ misread.T
        return LeakView(residual, prediction, noise, closing, opening)

    def _closing(self, prediction: Prediction, instruments: Instruments, links: Index, which: Index | None) -> Floats:
        """Pictures of closed links: all to first order, or some exactly; see `solvers.water.closures`."""
        if which is not None:
            shut = np.full(len(self.dims["link"]), CLOSED)
            return switched(self.plan, self._scratch, prediction, instruments, links[which], shut)
        laws, found = self.plan.laws, prediction.solution.value
        ends = laws.start[links], laws.end[links]
        return first_order(prediction.linear, found.flow_m3_per_s[links], links, *ends, prediction.signature)

    def fork(self, state: NetworkState) -> WaterNetwork:
        """The model with `state`'s demands, leaks, tank levels, statuses, and the clock at its instant."""
        return forked(self.model, state)

    def _situation(self, given: Given, lost: Floats) -> _Situation:
        model, meters, measured, previous = self.model, self._meters, given.measured, given.previous
        n = len(self.dims["node"])
        seconds = pattern_seconds(measured.valid_time_us)
        boundary = initial_boundary(model, seconds)
        head, status, setting = boundary.head_m, boundary.status.copy(), boundary.setting
        level, known, _ = measured.of(meters.level_uid)
        tank = model.tables["tank"]
        if previous is not None:
            head[model.tank_node] = tank["elevation_m"] + np.asarray(previous.values["tank_level_m"])
        at = model.tank_node[meters.level_tank]
        head[at[known]] = tank["elevation_m"][meters.level_tank[known]] + level[known]
        position, told, _ = measured.of(meters.status_uid)
        stopped = told & (position == SwitchPosition.OPEN)
        status[meters.status_link[told]] = np.where(stopped[told], CLOSED, OPEN)
        unsupplied = self._unsupplied(given.coupled)
        status[model.links([p.pump for p in unsupplied])] = CLOSED
        flow, read, flow_sigma = measured.of(meters.flow_uid)
        # Whoever moves water runs, whatever the grid is believed to give: a mobile generator has no signal.
        runs = read & (np.abs(flow) > _RUNS_SIGMAS * flow_sigma) & ~np.isin(meters.flow_link, meters.status_link[stopped])
        standing = (status[meters.flow_link] <= CLOSED) & ~runs
        flow = np.where(read, np.where(standing, 0.0, flow), np.nan)
        imposed = self._pump_metered & read
        pump_flow = np.zeros(n)
        np.add.at(pump_flow, self.plan.laws.start[meters.flow_link[imposed]], flow[imposed])
        np.add.at(pump_flow, self.plan.laws.end[meters.flow_link[imposed]], -flow[imposed])
        status[meters.flow_link[imposed]] = CLOSED
        value, has = np.zeros(n), np.zeros(n, dtype=bool)
        drawn, drawn_known, _ = measured.of(meters.demand_uid)
        value[meters.demand_node[drawn_known]] = drawn[drawn_known]
        has[meters.demand_node[drawn_known]] = True
        nominal = demand_at(model, seconds)
        before = np.asarray(previous.memory["scale"]) if previous is not None else np.ones(len(self.zones.balanced))
        demand, scale = prior_demand(self.zones, nominal, has, value, flow, lost, before)
        free = np.where(has, 0.0, demand)
        spread = np.hypot(np.where(has, 0.02 * np.abs(value), _DEMAND_SPREAD * demand), _LEAK_SPREAD * lost)
        pressure, seen, pressure_sigma = measured.of(meters.pressure_uid)
        elevation = self.plan.laws.elevation[meters.pressure_node]
        others = ~self._pump_metered
        instruments = Instruments(
            meters.pressure_node,
            meters.flow_link[others],
            np.concatenate([np.where(seen, pressure + elevation, np.nan), np.where(read, flow, np.nan)[others]]),
            np.concatenate([np.where(seen, pressure_sigma, np.inf), np.where(read, flow_sigma, np.inf)[others]]),
        )
        return _Situation(
            nominal,
            has,
            value,
            flow,
            before,
            head,
            status,
            setting,
            pump_flow,
            spread,
            free,
            instruments,
            unsupplied,
            scale,
        )

    def _unsupplied(self, coupled: Mapping[str, NetworkState]) -> tuple[PumpSupply, ...]:
        """Pumps whose bus has no voltage."""
        out = []
        for supply in self._supplies:
            state = coupled.get(supply.power)
            if state is not None and "dead_bus" in state.memory and supply.bus in state.memory["dead_bus"]:
                out.append(supply)
        return tuple(out)

    def _predict(self, s: _Situation, start: Hydraulics | None, leaks: Floats, closed: Index) -> Prediction:
        status = np.array(s.status)
        status[closed] = CLOSED
        demand, _ = prior_demand(self.zones, s.nominal, s.metered, s.value, s.flow, leaks, s.before)
        boundary = Boundary(demand + leaks + s.pump_flow, s.head, status, s.setting)
        return predict(self.plan, self._scratch, self.zones, boundary, s.free, s.instruments, start)

    def _state(
        self, measured: InForce, s: _Situation, found: Hydraulics, boundary: Boundary, innovation: Floats,
        normalised: Floats, sigma: Floats, status: Status, culprits: tuple[str, ...], iterations: int,
    ) -> NetworkState:  # fmt: skip
        model, laws = self.model, self.plan.laws
        flow = found.flow_m3_per_s.copy()
        imposed = self._meters.flow_link[self._pump_metered]
        pump_flow = np.nan_to_num(s.flow[self._pump_metered])
        flow[imposed] = pump_flow
        link_status = np.where(found.status <= CLOSED, 0, np.where(found.status == OPEN, 1, 2)).astype(np.float64)
        link_status[imposed] = pump_flow > 0
        area = np.pi * laws.diameter**2 / 4.0
        head = found.head_m
        values = {
            "node_head_m": head,
            "node_pressure_m": head - laws.elevation,
            "node_demand_m3_per_s": boundary.demand_m3_per_s - s.pump_flow,
            "node_supplied": found.supplied.astype(np.float64),
            "link_flow_m3_per_s": flow,
            "link_velocity_m_per_s": np.divide(np.abs(flow), area, out=np.zeros(len(flow)), where=area > 0),
            "link_headloss_m": head[laws.start] - head[laws.end],
            "link_status": link_status,
            "tank_level_m": head[model.tank_node] - model.tables["tank"]["elevation_m"],
        }
        uids = self.instrument_uids
        instruments = s.instruments
        use = np.isfinite(innovation) & np.isfinite(instruments.sigma)
        shown = np.concatenate([laws.elevation[instruments.node], np.zeros(len(instruments.link))])
        predicted = np.concatenate([head[instruments.node], flow[instruments.link]])
        suspect = normalised > _SUSPECT
        residuals = Residuals(
            uids[use], (instruments.value - shown)[use], (predicted - shown)[use], normalised[use], suspect[use]
        )
        origin = np.full(len(head), Origin.ESTIMATED, dtype=np.uint8)
        origin[instruments.node[np.isfinite(instruments.sigma[: len(instruments.node)])]] = Origin.MEASURED
        used = measured.source_time_us[measured.source_time_us > 0]
        freedom = max(int(use.sum()), 1)
        memory: dict[str, NDArray[Any]] = {
            "scale": s.scale, "scale_before": s.before, "nominal": s.nominal, "metered": s.metered,
            "metered_value": s.value, "zone_flow": s.flow, "fixed_head": s.head, "status_set": s.status,
            "setting": s.setting, "pump_flow": s.pump_flow, "spread": s.spread, "free": s.free,
            "value": instruments.value, "value_sigma": instruments.sigma, "flow": found.flow_m3_per_s,
            "link_code": found.status, "read": self._meters.read(measured),
        }  # fmt: skip
        named = tuple(f"pump {p.pump}" for p in s.unsupplied)
        return NetworkState(
            network=self.network,
            valid_time_us=measured.valid_time_us,
            model_revision=model.revision,
            parameter_revision=0,
            values=values,
            sigma={"node_head_m": sigma, "node_pressure_m": sigma},
            origin={"node_pressure_m": origin},
            residuals=residuals,
            status=status.name,
            culprits=(*culprits, *named),
            iterations=iterations,
            accuracy=float((normalised[use] ** 2).sum() / freedom),
            oldest_source_us=int(used.min(initial=np.iinfo(np.int64).max)) if len(used) else 0,
            newest_source_us=int(used.max(initial=0)),
            stale_inputs=int(measured.stale.sum()),
            manual_inputs=int(measured.manual.sum()),
            memory=memory,
        )

    def _failed(self, given: Given, solution: Solution[Hydraulics]) -> NetworkState:
        memory = {"scale": np.ones(len(self.zones.balanced))}
        return failed(self, given, solution.status, solution.culprits, memory)


@dataclass(frozen=True, eq=False)
class _Situation:
    """Everything an instant's estimate starts from."""

    nominal: Floats
    metered: NDArray[np.bool_]
    value: Floats
    flow: Floats
    before: Floats
    head: Floats
    status: Index
    setting: Floats
    pump_flow: Floats
    spread: Floats
    free: Floats
    instruments: Instruments
    unsupplied: tuple[PumpSupply, ...]
    scale: Floats


def _flows_of(state: NetworkState | None) -> Hydraulics | None:
    """Where the last solve ended: a start for the next."""
    if state is None or "flow" not in state.memory:
        return None
    none = np.zeros(len(state.values["node_head_m"]))
    return Hydraulics(
        np.asarray(state.values["node_head_m"]), np.asarray(state.memory["flow"]), np.asarray(state.memory["link_code"]),
        none, none, none.astype(bool),
    )  # fmt: skip
