"""The real water network, as far as the twin is concerned: EPANET on L-TOWN, disturbed, never asked by the twin.

Roughness and every node's demand differ from the model by 10 %; consumption has its own weather. A burst is a new
orifice in the middle of a pipe; a pump without supply stands still.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from epanet import toolkit as en
from numpy.typing import NDArray

from grid_models.measurements import Signal, SwitchPosition
from twin.demo import city
from twin.demo.schedule import Disturbance

STEP_S = 300
_BURST_HEAD_M = 40.0
_FELT_AT_S = 10 * 3600
_M3H = 1.0 / 3600.0  # L-TOWN is in CMH


def felt_closures(signals: Iterable[Signal], sigmas: float) -> dict[str, float]:
    """Pipes whose closing leaves nobody without water and moves some pressure sensor clearly, at ten in the morning.

    Args:
        signals: the point list.
        sigmas: of a sensor, by which it must move.

    Returns:
        pipe -> largest move [m].
    """
    project = en.createproject()
    en.open(project, str(city.water_inp()), os.devnull, "")
    en.setstatusreport(project, en.NO_REPORT)
    _begin_at(project, _FELT_AT_S)
    meters = [s for s in signals if s.network == city.WATER and s.quantity == "pressure_m"]
    at = [en.getnodeindex(project, s.element) for s in meters]
    sigma = np.array([s.sigma for s in meters])
    nodes = range(1, en.getcount(project, en.NODECOUNT) + 1)
    junctions = [n for n in nodes if en.getnodetype(project, n) == en.JUNCTION]
    links = range(1, en.getcount(project, en.LINKCOUNT) + 1)
    en.openH(project)

    def pressures() -> NDArray[np.float64]:
        en.initH(project, en.NOSAVE)
        en.runH(project)
        return np.array([en.getnodevalue(project, n, en.PRESSURE) for n in at])

    undisturbed, out = pressures(), {}
    for link in links:
        if en.getlinktype(project, link) != en.PIPE:
            continue
        en.setlinkvalue(project, link, en.INITSTATUS, 0)
        move = np.abs(pressures() - undisturbed)
        if (move > sigmas * sigma).any() and min(en.getnodevalue(project, n, en.PRESSURE) for n in junctions) > 0:
            out[str(en.getlinkid(project, link))] = float(move.max())
        en.setlinkvalue(project, link, en.INITSTATUS, 1)
    en.closeH(project)
    en.close(project)
    en.deleteproject(project)
    return out


def _begin_at(project: Any, t_s: int) -> None:
    """Make the network's own state at `t_s` its first one."""
    pump = en.getlinkindex(project, city.PUMP)
    tanks = [n for n in range(1, en.getcount(project, en.NODECOUNT) + 1) if en.getnodetype(project, n) == en.TANK]
    en.settimeparam(project, en.DURATION, t_s)
    en.openH(project)
    en.initH(project, en.NOSAVE)
    en.runH(project)
    while en.nextH(project):
        en.runH(project)
    for tank in tanks:
        en.setnodevalue(project, tank, en.TANKLEVEL, en.getnodevalue(project, tank, en.PRESSURE))
    en.setlinkvalue(project, pump, en.INITSTATUS, int(en.getlinkvalue(project, pump, en.FLOW) > 1e-6))
    en.closeH(project)
    en.settimeparam(project, en.PATTERNSTART, t_s)


class WaterTruth:
    """Steps EPANET through the day and reads its instruments.

    Args:
        seed: draws the disturbance of roughness, demands and meters.
        signals: the point list; those of the water network are read.
        events: what goes wrong.
    """

    def __init__(self, seed: int, signals: Iterable[Signal], events: tuple[Disturbance, ...]) -> None:
        self._rng = np.random.default_rng([seed, 3])
        self._events = events
        self._signals = [s for s in signals if s.network == city.WATER]
        self._class = self._rng.uniform(0.9, 1.1, len(self._signals))
        self._project = en.createproject()
        en.open(self._project, str(city.water_inp()), os.devnull, "")
        en.setstatusreport(self._project, en.NO_REPORT)
        en.settimeparam(self._project, en.DURATION, 2 * 86400)
        self._disturb()
        self._burst_nodes = {e: self._split(e.place) for e in events if e.code == "LEAK"}
        self._closures = {e: en.getlinkindex(self._project, e.place) for e in events if e.code == "CLOSURE"}
        self._pump = en.getlinkindex(self._project, city.PUMP)
        self._where = [self._locate(s) for s in self._signals]
        en.openH(self._project)
        en.initH(self._project, en.NOSAVE)
        self._clock_s = 0

    def step(self, t_s: float, pump_supplied: bool) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
        """Advance to `t_s` seconds after midnight and read every instrument.

        Args:
            t_s: a multiple of `STEP_S`, growing from call to call.
            pump_supplied: whether the power network feeds the pumping station.

        Returns:
            uids (n,) and values (n,) in the signals' units.
        """
        while True:
            self._set_burst(self._clock_s)
            self._set_closures(self._clock_s)
            self._set_weather()
            self._set_supply(pump_supplied)
            en.runH(self._project)
            if self._clock_s >= t_s:
                break
            self._clock_s += int(en.nextH(self._project))
        return self._read()

    @property
    def pump_running(self) -> bool:
        """Whether the pump turns."""
        return bool(en.getlinkvalue(self._project, self._pump, en.FLOW) > 1e-6)

    def leak_flow_m3_per_h(self) -> float:
        """What all bursts lose now."""
        running = [node for event, node in self._burst_nodes.items() if event.running(self._clock_s)]
        return float(sum(en.getnodevalue(self._project, node, en.EMITTERFLOW) for node in running))

    def close(self) -> None:
        """Release EPANET."""
        en.closeH(self._project)
        en.close(self._project)
        en.deleteproject(self._project)

    def _disturb(self) -> None:
        rng, project = self._rng, self._project
        for link in range(1, en.getcount(project, en.LINKCOUNT) + 1):
            if en.getlinktype(project, link) == en.PIPE:
                roughness = en.getlinkvalue(project, link, en.ROUGHNESS)
                en.setlinkvalue(project, link, en.ROUGHNESS, roughness * float(rng.uniform(0.9, 1.1)))
        self._base: list[tuple[int, int, float]] = []
        for node in range(1, en.getcount(project, en.NODECOUNT) + 1):
            if en.getnodetype(project, node) == en.JUNCTION:
                factor = float(rng.uniform(0.9, 1.1))
                for category in range(1, en.getnumdemands(project, node) + 1):
                    base = en.getbasedemand(project, node, category) * factor
                    self._base.append((node, category, base))
        self._weather = np.zeros(len(self._base))

    def _set_weather(self) -> None:
        """Consumption wanders by some 5 % around its pattern, each consumer on its own, in steps of STEP_S."""
        if self._clock_s % STEP_S:
            return
        self._weather = 0.9 * self._weather + self._rng.normal(0.0, 0.03, len(self._weather))
        for (node, category, base), deviation in zip(self._base, self._weather, strict=True):
            en.setbasedemand(self._project, node, category, base * max(0.0, 1.0 + float(deviation)))

    def _split(self, pipe: str) -> int:
        """Put a junction into the middle of a pipe; its emitter is the burst."""
        project = self._project
        link = en.getlinkindex(project, pipe)
        start, end = en.getlinknodes(project, link)
        names = [en.getnodeid(project, n) for n in (start, end)]
        elevation = sum(en.getnodevalue(project, n, en.ELEVATION) for n in (start, end)) / 2
        values = {p: en.getlinkvalue(project, link, p) for p in (en.DIAMETER, en.LENGTH, en.ROUGHNESS)}
        node = en.addnode(project, f"burst_{pipe}", en.JUNCTION)
        en.setnodevalue(project, node, en.ELEVATION, elevation)
        en.deletelink(project, link, en.UNCONDITIONAL)
        for half, (a, b) in enumerate(((names[0], f"burst_{pipe}"), (f"burst_{pipe}", names[1]))):
            new = en.addlink(project, pipe if half == 0 else f"{pipe}_end", en.PIPE, a, b)
            for parameter, value in values.items():
                en.setlinkvalue(project, new, parameter, value / 2 if parameter == en.LENGTH else value)
        return int(en.getnodeindex(project, f"burst_{pipe}"))

    def _set_burst(self, t_s: float) -> None:
        for event, node in self._burst_nodes.items():
            coefficient = event.size / _BURST_HEAD_M**0.5 if event.running(t_s) else 0.0
            en.setnodevalue(self._project, node, en.EMITTER, coefficient)

    def _set_closures(self, t_s: float) -> None:
        for event, link in self._closures.items():
            en.setlinkvalue(self._project, link, en.STATUS, 0 if event.running(t_s) else 1)

    def _set_supply(self, supplied: bool) -> None:
        """Without supply the pump stands, and its level control cannot start it: EPANET knows no supply and would."""
        project = self._project
        if not supplied:
            en.setlinkvalue(project, self._pump, en.STATUS, 0)
        for control in range(1, en.getcount(project, en.CONTROLCOUNT) + 1):
            if en.getcontrol(project, control)[1] == self._pump:
                en.setcontrolenabled(project, control, int(supplied))

    def _locate(self, signal: Signal) -> int:
        if signal.table in ("junction", "tank"):
            return int(en.getnodeindex(self._project, signal.element))
        return int(en.getlinkindex(self._project, signal.element))

    def _read(self) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
        values = np.array([self._true_value(s, i) for s, i in zip(self._signals, self._where, strict=True)])
        noise = np.array([s.sigma for s in self._signals]) * self._class
        values += self._rng.normal(0.0, 1.0, len(values)) * noise
        return np.array([s.uid for s in self._signals], dtype=np.uint32), values

    def _true_value(self, signal: Signal, index: int) -> float:
        match signal.quantity:
            case "pressure_m":
                return float(en.getnodevalue(self._project, index, en.PRESSURE))
            case "level_m":
                return float(en.getnodevalue(self._project, index, en.PRESSURE))
            case "demand_m3_per_s":
                return float(en.getnodevalue(self._project, index, en.DEMAND)) * _M3H
            case "flow_m3_per_s":
                return float(en.getlinkvalue(self._project, index, en.FLOW)) * _M3H
            case _:
                return float(SwitchPosition.CLOSED if self.pump_running else SwitchPosition.OPEN)
