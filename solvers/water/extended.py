"""Extended period: hydraulics from instant to instant, with tanks, patterns, controls and rules.

Between two instants the flows are held, so a tank's volume changes by its inflow times the step. A step ends at the first
of: the hydraulic step, the next step of a pattern, the next report, a tank that runs full or empty, a simple control's
hour or the level that it watches, and, where there are rules, one of their sub-steps that changes something. These are
EPANET's rules for time (Rossman et al. 2020, ch. 3 and app. D), so that switches act at the same seconds.

A `Simulation` can be stopped after any step; `state` holds all it needs to go on, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from grid_models.water.controls import SimpleControl
from grid_models.water.network import LinkKind, WaterNetwork
from solvers.solution import Solution, Stats, Status
from solvers.water.plan import ACTIVE, CLOSED, OPEN, Floats, Index, WaterPlan, prepare
from solvers.water.rules import applied
from solvers.water.steady import (
    Boundary,
    Hydraulics,
    Scratch,
    demand_at,
    initial_boundary,
    pattern_at,
    steady,
)
from solvers.water.tanks import Tanks

_DAY_S = 86400
_LEVEL_TOLERANCE_M = 0.0005 * 0.3048
_FLOW_TOLERANCE = 0.0001 * 0.028317
_ROUNDING = 1e-12  # of volumes, which EPANET and we turn from feet and back in different order
_MOST_REPEATS = 10  # of a junction's pressure switch within one instant


@dataclass(frozen=True, eq=False)
class SimulationState:
    """All that a simulation knows between two steps.

    Args:
        time_s: since the start.
        tank_level_m: (n_tank,).
        status: (n_link,) codes of gradient.py, as controls have set them.
        setting: (n_link,).
        found: the last solution, None before the first.
    """

    time_s: int
    tank_level_m: Floats
    status: Index
    setting: Floats
    found: Hydraulics | None


@dataclass(frozen=True, eq=False)
class Trace:
    """A run, at its report times.

    Args:
        time_s: (n_time,) since the start.
        values: column -> (n_time, n).
    """

    time_s: Floats
    values: dict[str, NDArray[np.generic]]


class Simulation:
    """Steps a network through time.

    Args:
        network: the network.
        state: where to begin; the network's own start unless told.
    """

    def __init__(self, network: WaterNetwork, state: SimulationState | None = None) -> None:
        self.network = network
        self.plan: WaterPlan = prepare(network)
        self.tanks = Tanks(network)
        self._scratch = Scratch(self.plan)
        first = initial_boundary(network)
        level = np.asarray(network.tables["tank"]["initial_level_m"], dtype=np.float64)
        self.state = state or SimulationState(0, level, first.status, first.setting, None)
        self._at = {c: (network.links([c.link])[0], network.nodes([c.node])[0]) for c in network.controls}

    def solve(self) -> Solution[Hydraulics]:
        """The hydraulics at the present instant, after its controls; pressure switches repeat it until they rest."""
        self.state = self._controlled(self.state)
        for _ in range(_MOST_REPEATS):
            solution = steady(self.plan, self._scratch, self.boundary(), self.state.found)
            switched = self._pressure_switched(replace(self.state, found=solution.value))
            settled = switched.status is self.state.status
            self.state = switched
            if settled:
                break
        return solution

    def step(self, until_s: float) -> None:
        """Advance to the next instant at which something may change, and not beyond `until_s`."""
        found = self.state.found
        assert found is not None
        inflow = self._tank_inflow(found)
        dt = self._next_step(inflow, until_s)
        if self.network.rules:
            self._step_with_rules(inflow, dt)
            return
        level = self.tanks.after(self.state.tank_level_m, inflow, dt)
        self.state = replace(self.state, time_s=self.state.time_s + dt, tank_level_m=level)

    def boundary(self) -> Boundary:
        """What is asked of the hydraulics at the present instant."""
        network, state = self.network, self.state
        base = initial_boundary(network, state.time_s)
        head = base.head_m
        head[network.tank_node] = network.tables["tank"]["elevation_m"] + state.tank_level_m
        setting = state.setting.copy()
        pump = network.tables["pump"]
        for i, link in enumerate(network.pump_link.tolist()):
            if str(pump["speed_pattern"][i]):
                setting[link] = pattern_at(network, str(pump["speed_pattern"][i]), state.time_s)
        return Boundary(demand_at(network, state.time_s), head, state.status, setting)

    def _tank_inflow(self, found: Hydraulics) -> Floats:
        """(n_tank,) net inflow [m3/s]."""
        laws, out = self.plan.laws, np.zeros(len(self.plan.laws.row))
        np.add.at(out, laws.end, found.flow_m3_per_s)
        np.add.at(out, laws.start, -found.flow_m3_per_s)
        return np.asarray(out[self.network.tank_node])

    def _next_step(self, inflow: Floats, until_s: float) -> int:
        options, now = self.network.options, self.state.time_s
        pattern = options.pattern_step_s - (now + options.pattern_start_s) % options.pattern_step_s
        dt = min(options.hydraulic_step_s, pattern)
        report = options.report_start_s - now
        if report <= 0:
            report = options.report_step_s - (now - options.report_start_s) % options.report_step_s
        dt = min(dt, report, int(until_s - now))
        dt = min(dt, self.tanks.time_to_limit(self.state.tank_level_m, inflow))
        return max(1, min([dt, *self._control_times(inflow)]))

    def _control_times(self, inflow: Floats) -> list[int]:
        """Seconds until each simple control may act."""
        out = []
        clock = self.state.time_s + self.network.options.start_clocktime_s
        for control in self.network.controls:
            if not control.enabled:
                continue
            wait = 0
            if control.condition == "time":
                wait = int(control.value) - self.state.time_s
            elif control.condition == "clock_time":
                now = clock % _DAY_S
                wait = int(control.value) - now if now < control.value else _DAY_S - now + int(control.value)
            else:
                wait = self._time_to_level(control, inflow)
            if wait > 0 and self._would_change(control):
                out.append(wait)
        return out

    def _time_to_level(self, control: SimpleControl, inflow: Floats) -> int:
        tank = np.flatnonzero(self.network.tank_node == self._at[control][1])
        if not len(tank):
            return 0
        i = int(tank[0])
        level, q = float(self.state.tank_level_m[i]), float(inflow[i])
        rising = control.condition == "above" and q > _FLOW_TOLERANCE and level < control.value
        falling = control.condition == "below" and q < -_FLOW_TOLERANCE and level > control.value
        if not (rising or falling):
            return 0
        volume = self.tanks.volume(i, control.value) - self.tanks.volume(i, level)
        return int(np.floor(volume / q + 0.5))

    def _would_change(self, control: SimpleControl) -> bool:
        link = self._at[control][0]
        status, setting = _target(self.plan, link, control)
        now = self.state.setting[link]
        same_setting = setting is None or setting == now or (np.isnan(setting) and np.isnan(now))
        return bool(status != self.state.status[link] or not same_setting)

    def _controlled(self, state: SimulationState) -> SimulationState:
        """Simple controls on time and tank levels, in the file's order."""
        clock = (state.time_s + self.network.options.start_clocktime_s) % _DAY_S
        status, setting = state.status.copy(), state.setting.copy()
        for control in self.network.controls:
            if not control.enabled:
                continue
            link, node = self._at[control]
            due = False
            if control.condition == "time":
                due = state.time_s == int(control.value)
            elif control.condition == "clock_time":
                due = clock == int(control.value)
            elif len(tank := np.flatnonzero(self.network.tank_node == node)):
                due = self._level_due(control, int(tank[0]), state)
            if due:
                code, value = _target(self.plan, link, control)
                status[link] = code
                if value is not None:
                    setting[link] = value
        return replace(state, status=status, setting=setting)

    def _level_due(self, control: SimpleControl, tank: int, state: SimulationState) -> bool:
        # EPANET compares volumes, with the volume that one second's inflow makes as its margin.
        inflow = 0.0 if state.found is None else float(self._tank_inflow(state.found)[tank])
        have = self.tanks.volume(tank, float(state.tank_level_m[tank]))
        want = self.tanks.volume(tank, control.value)
        margin = abs(inflow) + _ROUNDING * (abs(have) + abs(want))
        return have <= want + margin if control.condition == "below" else have >= want - margin

    def _pressure_switched(self, state: SimulationState) -> SimulationState:
        """Controls on a junction's pressure; returns the same status array where none acts."""
        found = state.found
        assert found is not None
        status, setting = state.status, state.setting
        for control in self.network.controls:
            link, node = self._at[control]
            if not control.enabled or control.condition not in ("below", "above") or node in self.network.tank_node:
                continue
            pressure = found.head_m[node] - self.plan.laws.elevation[node]
            below = control.condition == "below" and pressure <= control.value + _LEVEL_TOLERANCE_M
            above = control.condition == "above" and pressure >= control.value - _LEVEL_TOLERANCE_M
            if not (below or above):
                continue
            code, value = _target(self.plan, link, control)
            if code != status[link] or (value is not None and value != setting[link]):
                status, setting = status.copy(), setting.copy()
                status[link] = code
                if value is not None:
                    setting[link] = value
        return replace(state, status=status, setting=setting)

    def _step_with_rules(self, inflow: Floats, dt: int) -> None:
        """Sub-steps of the rule step; stop at the first at which a rule changes something."""
        options = self.network.options
        sub = max(1, min(options.rule_step_s, dt))
        end = self.state.time_s + dt
        first = sub - self.state.time_s % sub
        step = min(first, dt)
        while self.state.time_s < end:
            level = self.tanks.after(self.state.tank_level_m, inflow, step)
            self.state = replace(self.state, time_s=self.state.time_s + step, tank_level_m=level)
            changed = applied(self.network, self.plan, self.state)
            if changed is not None:
                self.state = replace(self.state, status=changed[0], setting=changed[1])
                return
            step = min(sub, end - self.state.time_s)


def _target(plan: WaterPlan, link: int, control: SimpleControl) -> tuple[int, float | None]:
    """Status code and setting that a control asks for."""
    kind = plan.laws.kind[link]
    setting = control.setting
    if kind == LinkKind.PUMP:
        speed = setting if setting is not None else (1.0 if control.status == "open" else 0.0)
        return (CLOSED, None) if speed == 0.0 or control.status == "closed" else (OPEN, speed)
    if kind > LinkKind.PUMP:
        if setting is not None:
            return ACTIVE, setting
        return (CLOSED, np.nan) if control.status == "closed" else (OPEN, np.nan)
    return (CLOSED if control.status == "closed" else OPEN), None


def simulate(network: WaterNetwork, duration_s: float | None = None) -> Solution[Trace]:
    """Run a network through its duration.

    Args:
        network: the network.
        duration_s: instead of the network's own; 0 gives one instant.

    Returns:
        Results at report times; the gravest status of all instants, with its culprits and the largest residual.
    """
    run = Simulation(network)
    options = network.options
    end = float(options.duration_s if duration_s is None else duration_s)
    times: list[float] = []
    rows: list[dict[str, NDArray[np.generic]]] = []
    status = Status.SOLVED
    culprits: tuple[str, ...] = ()
    iterations, residual = 0, 0.0
    while True:
        solution = run.solve()
        now = run.state.time_s
        iterations += solution.stats.iterations
        residual = max(residual, solution.stats.residual)
        if _graver(solution.status, status):
            status, culprits = solution.status, solution.culprits
        since = now - options.report_start_s
        if since >= 0 and since % options.report_step_s == 0:
            times.append(float(now))
            rows.append(columns(run))
        if now >= end:
            break
        run.step(end)
    values = {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else {})}
    return Solution(Trace(np.array(times), values), status, Stats(iterations, residual), culprits)


_GRAVITY = (
    Status.SOLVED, Status.NEGATIVE_PRESSURE, Status.PUMP_CANNOT_DELIVER, Status.VALVE_CANNOT_HOLD, Status.SUPPLY_LIMITED,
    Status.NO_SUPPLY, Status.VALVES_HUNT, Status.NOT_CONVERGED,
)  # fmt: skip


def _graver(a: Status, b: Status) -> bool:
    return _GRAVITY.index(a) > _GRAVITY.index(b)


def columns(run: Simulation) -> dict[str, NDArray[np.generic]]:
    """The result columns at a simulation's present instant."""
    laws, found = run.plan.laws, run.state.found
    assert found is not None
    head, flow = found.head_m, found.flow_m3_per_s
    demand = found.demand_m3_per_s + found.emitted_m3_per_s
    net = np.zeros(len(laws.row))
    np.add.at(net, laws.end, flow)
    np.add.at(net, laws.start, -flow)
    demand = np.where(laws.row < 0, net, demand)
    area = np.pi * laws.diameter**2 / 4.0
    codes = np.where(found.status <= CLOSED, 0, np.where(found.status == ACTIVE, 2, 1))
    return {
        "node_head_m": head,
        "node_pressure_m": head - laws.elevation,
        "node_demand_m3_per_s": demand,
        "node_supplied": found.supplied,
        "link_flow_m3_per_s": flow,
        "link_velocity_m_per_s": np.divide(np.abs(flow), area, out=np.zeros(len(flow)), where=area > 0),
        "link_headloss_m": head[laws.start] - head[laws.end],
        "link_status": codes.astype(np.int8),
        "link_setting": run.state.setting,
        "tank_level_m": run.state.tank_level_m,
    }
