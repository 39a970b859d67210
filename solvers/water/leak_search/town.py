"""A network as its instruments see it, hour by hour: what they should read, and how a leak anywhere would change that.

Outputs, in this order:

    head       pressure meters [m]
    flow       flow meters of links that carry water into a balanced zone [m3/h]; one per zone is left out, since the
               demands are scaled to their sum
    balance    metered inflow less what the tanks of a zone gain, where every other border of the zone is a tank with a
               measured level [m3/h]; the model says: factor * demand + leaks

Demands: base * exp(a_row) * pattern(t) * exp(c_pattern' h(t)) with h six harmonics (week, day and their halves and
thirds, cosine and sine), scaled zone by zone to the metered balance (zones.py); smart-metered nodes as measured. Pipes:
resistance * exp(k). Leaks draw half at each end of their pipe.

Signature of a leak at node j: the sensitivity of the outputs to a demand there, the balances kept (estimation.py).
Flows are in m3/h here, as people who look for leaks speak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid_models.water.network import WaterNetwork
from solvers.water.estimation import balanced, prior_demand
from solvers.water.leak_search.readings import HOURS_PER_WEEK, Hours, Sensors
from solvers.water.plan import CLOSED, Floats, Index, prepare
from solvers.water.sensitivity import Linear
from solvers.water.steady import Boundary, Hydraulics, Scratch, initial_boundary, steady
from solvers.water.zones import Zones, zones

M3_PER_H = 1.0 / 3600.0
_HARMONICS = (1.0, 2.0, 3.0, 7.0, 14.0, 21.0)  # per week
_MOST_ITERATIONS = 60
_ACCURACY = 1e-5  # of flows; heads follow to 0.01 mm, far below what a meter tells


@dataclass(frozen=True, eq=False)
class Parameters:
    """What calibration learns.

    Args:
        resistance: (n_pipe,) ln of the factor on each pipe's resistance.
        base: (n_demand,) ln of the factor on each row of the demand table.
        harmonics: (n_pattern, 12) c.
        balance: (n_balance,) factor on the demands of each balance.
    """

    resistance: Floats
    base: Floats
    harmonics: Floats
    balance: Floats


@dataclass(frozen=True, eq=False)
class View:
    """One hour as the model sees it.

    Args:
        reading: (n_output,) what the instruments should show.
        demand_m3_per_h: (n_node,) without leaks.
        free_m3_per_h: (n_node,) of it, what the zones' balances may move.
        inflow_m3_per_h: consumption of the balanced zones.
        boundary: what was solved.
        found: the solution.
    """

    reading: Floats
    demand_m3_per_h: Floats
    free_m3_per_h: Floats
    inflow_m3_per_h: float
    boundary: Boundary
    found: Hydraulics


@dataclass(frozen=True, eq=False)
class _Given:
    """One hour's readings by node, demands by pattern beside them; (n_node,) in m3/h."""

    nominal: Floats
    metered: NDArray[np.bool_]
    read: Floats
    flow: Floats
    level: Floats


class Town:
    """A network with its instruments and parameters; one worker's, since it keeps the last solution as a start.

    Args:
        network: the network.
        sensors: what is measured.

    Raises:
        InvalidInput: sensors that the network does not have; all at once.
    """

    def __init__(self, network: WaterNetwork, sensors: Sensors) -> None:
        sensors.check(network)
        self.network, self.sensors = network, sensors
        self._nominal_plan = prepare(network)
        self._scratch = Scratch(self._nominal_plan)
        laws = self._nominal_plan.laws
        self.pipe = network.pipe_link
        self.pipe_ends = laws.start[self.pipe], laws.end[self.pipe]
        self.pipe_ids = tuple(str(i) for i in network.link_ids[self.pipe])
        self._node = network.nodes(list(sensors.pressure))
        self._meter = network.links(list(sensors.flow))
        self._level = network.tables["tank"].rows(list(sensors.level))
        self._drawn = network.nodes(list(sensors.drawn))
        self._is_pump = np.isin(self._meter, network.pump_link)
        self.zones: Zones = zones(self._nominal_plan, self._meter)
        self._shown = self._independent_meters()
        self._balance_zone, self._balance_tanks, self._balance_meters = self._tank_balances()
        of_node = self.zones.of_node
        self._inside = [np.flatnonzero(of_node == zone) for zone in self._balance_zone]
        self._served = np.flatnonzero(self.zones.balanced[of_node] & (of_node >= 0))
        self._area_m2 = np.pi * network.tables["tank"]["diameter_m"] ** 2 / 4.0
        self._pattern_names, self._pattern_of, self._profile = self._profiles()
        self.parameters = Parameters(
            np.zeros(len(self.pipe)),
            np.zeros(network.tables["demand"].size),
            np.zeros((len(self._pattern_names), 2 * len(_HARMONICS))),
            np.ones(len(self._balance_zone)),
        )
        self._last: Hydraulics | None = None
        self._scale: Floats = np.ones(len(self.zones.balanced))
        self._apply(self.parameters)

    def with_parameters(self, parameters: Parameters) -> Town:
        """The same town with other parameters."""
        out = object.__new__(Town)
        out.__dict__.update(self.__dict__)
        out._scratch = Scratch(self._nominal_plan)  # a copy of its own kind
        out._apply(parameters)
        return out

    @property
    def solved(self) -> tuple[Hydraulics | None, Floats]:
        """The last solution and its scales, from which the next solve starts: what this worker remembers."""
        return self._last, self._scale

    @solved.setter
    def solved(self, value: tuple[Hydraulics | None, Floats]) -> None:
        self._last, self._scale = value

    @property
    def n_head(self) -> int:
        """Outputs that are heads; they come first."""
        return len(self._node)

    @property
    def n_balance(self) -> int:
        """Outputs that are balances; they come last."""
        return len(self._balance_zone)

    @property
    def n_output(self) -> int:
        """All outputs."""
        return len(self._node) + len(self._shown) + len(self._balance_zone)

    @property
    def output_names(self) -> tuple[str, ...]:
        """For messages."""
        flows = tuple(self.sensors.flow[i] for i in self._shown)
        return (*self.sensors.pressure, *flows, *(f"balance of zone {z}" for z in self._balance_zone))

    @property
    def zone_of_output(self) -> Index:
        """(n_output,) zone that each output tells about."""
        meters = np.maximum(self.zones.to_zone, self.zones.from_zone)[self._shown]
        return np.concatenate([self.zones.of_node[self._node], meters, self._balance_zone])

    @property
    def zone_of_pipe(self) -> Index:
        """(n_pipe,) zone of each pipe's ends, -1 where it leaves one."""
        a, b = (self.zones.of_node[ends] for ends in self.pipe_ends)
        return np.where((a == b) | (b < 0), a, np.where(a < 0, b, -1))

    @property
    def balance_shares(self) -> Floats:
        """(n_balance, n_pipe) how much of a leak at each pipe counts in each balance."""
        start, end = self.pipe_ends
        of_node = self.zones.of_node
        shares = [0.5 * (of_node[start] == z) + 0.5 * (of_node[end] == z) for z in self._balance_zone]
        return np.array(shares).reshape(self.n_balance, len(self.pipe))

    def measured(self, hours: Hours) -> Floats:
        """(n, n_output) what the instruments showed; nan where they did not; (n_output,) of one hour."""
        elevation = self._plan.laws.elevation[self._node]
        flow, gain = hours.flow_m3_per_h, hours.level_gain_m
        balances = [
            np.nan_to_num(flow) @ sign
            + 0.0 * flow[..., sign != 0].sum(axis=-1)
            - gain[..., tanks] @ self._area_m2[self._level[tanks]]
            for sign, tanks in zip(self._balance_meters, self._balance_tanks, strict=True)
        ]
        shown = [hours.pressure_m + elevation, flow[..., self._shown], *(np.expand_dims(b, -1) for b in balances)]
        return np.concatenate(shown, axis=-1)

    def view(self, hour: Hours, leaks: Floats) -> View:
        """Predict one hour.

        Args:
            hour: its readings.
            leaks: (n_pipe,) [m3/h].
        """
        return self._solved(self._given(hour), leaks)

    def readings_with(self, hour: Hours, leaks: Floats, pipes: Index, amounts: Floats) -> Floats:
        """(n_output, n) what the instruments should show with one leak more, each in turn.

        Args:
            hour: its readings.
            leaks: (n_pipe,) [m3/h].
            pipes: (n,) where the one more is.
            amounts: (n,) its flow [m3/h].
        """
        given = self._given(hour)
        out = np.empty((self.n_output, len(pipes)))
        for i, (pipe, amount) in enumerate(zip(pipes.tolist(), amounts.tolist(), strict=True)):
            more = leaks.copy()
            more[pipe] += amount
            out[:, i] = self._solved(given, more).reading
        return out

    def _given(self, hour: Hours) -> _Given:
        """What an hour's readings say by themselves."""
        n = len(self._plan.laws.row)
        read, metered = np.zeros(n), np.zeros(n, dtype=bool)
        drawn = hour.drawn_m3_per_h
        known = np.isfinite(drawn)
        read[self._drawn[known]], metered[self._drawn[known]] = drawn[known], True
        return _Given(self.nominal(int(hour.hour_of_week)), metered, read, hour.flow_m3_per_h, hour.level_m)

    def _solved(self, given: _Given, leaks: Floats) -> View:
        """Hydraulics with demands that keep the metered balances."""
        lost = np.zeros(len(given.nominal))
        flowing = np.flatnonzero(leaks)
        for ends in self.pipe_ends:
            np.add.at(lost, ends[flowing], 0.5 * leaks[flowing])
        demand, self._scale = prior_demand(
            self.zones, given.nominal, given.metered, given.read, given.flow, lost, self._scale
        )  # fmt: skip
        boundary = self._boundary(given.level, given.flow, demand + lost)
        solution = steady(self._plan, self._scratch, boundary, self._last, accuracy=_ACCURACY, trials=_MOST_ITERATIONS)
        found = solution.value
        self._last = found if solution.status.usable else None
        of_balance = [
            factor * demand[inside].sum() + lost[inside].sum()
            for inside, factor in zip(self._inside, self.parameters.balance, strict=True)
        ]
        shown = found.flow_m3_per_s[self._meter[self._shown]] / M3_PER_H
        reading = np.concatenate([found.head_m[self._node], shown, of_balance])
        free = np.where(given.metered, 0.0, demand)
        return View(reading, demand, free, float(demand[self._served].sum()), boundary, found)

    def pipe_pressure(self, view: View) -> Floats:
        """(n_pipe,) mean pressure of each pipe's ends, at least 1 m [m]."""
        pressure = np.nan_to_num(view.found.head_m - self._plan.laws.elevation)
        start, end = self.pipe_ends
        return np.maximum(0.5 * (pressure[start] + pressure[end]), 1.0)

    def sensitivity(self, view: View) -> tuple[Floats, Floats]:
        """How the outputs answer, the last `view` being this one.

        Returns:
            (n_output, n_node) per m3/h drawn, the balances kept; (n_output, n_pipe) per ln of resistance.
        """
        by_demand = self._by_demand(view)
        start, end = self.pipe_ends
        q = view.found.flow_m3_per_s[self.pipe] / M3_PER_H / (self._plan.laws.exponent or 2.0)
        by_resistance = (by_demand[:, end] - by_demand[:, start]) * q
        for row, link in enumerate(self._meter[self._shown].tolist()):
            by_resistance[self.n_head + row, self.pipe == link] -= q[self.pipe == link]
        none = np.zeros((self.n_balance, len(self.pipe)))
        return self._kept(by_demand, view), np.concatenate([by_resistance, none])

    def _by_demand(self, view: View) -> Floats:
        """(n_output less balances, n_node) per m3/h drawn, balances not kept."""
        linear = Linear(self._plan, self._scratch, view.boundary, view.found)
        links = self._meter[self._shown]
        return np.concatenate([linear.heads(self._node) * M3_PER_H, linear.flows(links)])

    def _kept(self, by_demand: Floats, view: View) -> Floats:
        """(n_output, n_node) the same with the zones' balances kept."""
        of_balance = np.zeros((self.n_balance, by_demand.shape[1]))
        for row, inside in zip(of_balance, self._inside, strict=True):
            row[inside] = 1.0
        return np.concatenate([balanced(by_demand, self.zones, view.free_m3_per_h)[0], of_balance])

    def signatures(self, view: View) -> Floats:
        """(n_output, n_pipe) change of the outputs per m3/h of leak, the last `view` being this one."""
        by_node = self._kept(self._by_demand(view), view)
        start, end = self.pipe_ends
        return 0.5 * (by_node[:, start] + by_node[:, end])

    def nominal(self, hour_of_week: int) -> Floats:
        """(n_node,) demands by base and pattern [m3/h]."""
        total = np.bincount(self.network.demand_node, self.row_demand(hour_of_week), len(self._plan.laws.row))
        return total.astype(np.float64)

    def row_demand(self, hour_of_week: int) -> Floats:
        """(n_demand,) of each row of the demand table [m3/h]."""
        profile = self._profile[:, hour_of_week] * np.exp(self.parameters.harmonics @ harmonics(hour_of_week))
        return self._base * profile[self._pattern_of]

    @property
    def pattern_of_row(self) -> Index:
        """(n_demand,) number of the pattern of each row of the demand table."""
        return self._pattern_of

    def _apply(self, parameters: Parameters) -> None:
        laws = self._nominal_plan.laws
        resistance = laws.resistance.copy()
        resistance[self.pipe] *= np.exp(parameters.resistance)
        self._plan = self._nominal_plan.with_resistance(resistance)
        table = self.network.tables["demand"]
        base = table["base_m3_per_s"] * self.network.options.demand_multiplier / M3_PER_H
        self._base = base * np.exp(parameters.base)
        self.parameters = parameters
        self._last = None
        self._scale = np.ones(len(self.zones.balanced))
        self._start = initial_boundary(self.network)

    def _boundary(self, level: Floats, flow: Floats, drawn: Floats) -> Boundary:
        """Held heads from measured levels; metered pumps as what they take and give."""
        head, status = self._start.head_m.copy(), self._start.status.copy()
        tank = self.network.tables["tank"]
        known = np.isfinite(level)
        at = self._level[known]
        head[self.network.tank_node[at]] = tank["elevation_m"][at] + level[known]
        demand = drawn.copy()
        pumps = self._meter[self._is_pump]
        pumped = np.nan_to_num(flow[self._is_pump])
        np.add.at(demand, self._plan.laws.start[pumps], pumped)
        np.add.at(demand, self._plan.laws.end[pumps], -pumped)
        status[pumps] = CLOSED
        return Boundary(demand * M3_PER_H, head, status, self._start.setting)

    def _independent_meters(self) -> Index:
        """Flow meters, pumps aside, but for the last one into each balanced zone."""
        shown = np.flatnonzero(~self._is_pump)
        for zone in np.flatnonzero(self.zones.balanced):
            borders = [i for i in shown if zone in (self.zones.to_zone[i], self.zones.from_zone[i])]
            if borders:
                shown = shown[shown != borders[-1]]
        return shown

    def _tank_balances(self) -> tuple[Index, list[Index], list[Floats]]:
        """Zones whose borders are meters and measured tanks.

        Returns:
            The zones; for each the rows of its tanks in `Sensors.level`, and the sign with which each flow meter counts.
        """
        laws, network, of_node = self._nominal_plan.laws, self.network, self.zones.of_node
        metered = np.isin(np.arange(len(laws.kind)), self._meter)
        held = laws.row < 0
        border = ~metered & (held[laws.start] != held[laws.end])
        tank_end = np.where(held[laws.start], laws.start, laws.end)
        inner_end = np.where(held[laws.start], laws.end, laws.start)
        level_node = network.tank_node[self._level]
        found, tanks, signs = [], [], []
        for zone in np.flatnonzero(~self.zones.balanced).tolist():
            mine = np.unique(tank_end[border & (of_node[inner_end] == zone)])
            inside = np.append(np.flatnonzero(of_node == zone), mine)
            enters = np.isin(laws.end[self._meter], inside).astype(np.float64)
            sign = enters - np.isin(laws.start[self._meter], inside)
            if np.isin(mine, level_node).all() and (sign > 0).any():
                found.append(zone)
                tanks.append(np.flatnonzero(np.isin(level_node, mine)))
                signs.append(sign)
        return np.array(found, dtype=np.int64), tanks, signs

    def _profiles(self) -> tuple[tuple[str, ...], Index, Floats]:
        """Patterns of the demand table, which each row has, and their hourly means over a week."""
        network = self.network
        names, of_row = np.unique(network.tables["demand"]["pattern"].astype(str), return_inverse=True)
        table, step = network.tables["pattern"], network.options.pattern_step_s
        within = np.arange(0, 3600, min(step, 3600)) + 0.5 * min(step, 3600)
        instant = np.arange(HOURS_PER_WEEK)[:, None] * 3600.0 + within + network.options.pattern_start_s
        profile = np.ones((len(names), HOURS_PER_WEEK))
        for i, name in enumerate(names.tolist()):
            if name:
                factors = np.asarray(table["multipliers"][int(table.rows([name])[0])], dtype=np.float64)
                profile[i] = factors[(instant // step).astype(np.int64) % len(factors)].mean(axis=1)
        return tuple(names.tolist()), of_row.astype(np.int64), profile


def harmonics(hour_of_week: int) -> Floats:
    """(12,) cosines and sines of the week, the day, and their halves and thirds."""
    angle = 2.0 * np.pi * np.array(_HARMONICS) * (hour_of_week + 0.5) / HOURS_PER_WEEK
    return np.concatenate([np.cos(angle), np.sin(angle)])
