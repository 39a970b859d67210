"""The real power network, as far as the twin is concerned: pandapower, disturbed, and never asked by the twin.

Loads differ from the model by 10 % each and follow their own weather; the meters' errors differ from their declared
class by 10 %. Nothing here is imported by the twin's own code.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_models.measurements import Signal, SwitchPosition
from twin.demo import city
from twin.demo.schedule import Disturbance

_RESULT = {"vm_pu": "vm_pu", "p_mw": "p_{}mw", "q_mvar": "q_{}mvar", "i_ka": "i_{}ka"}


class PowerTruth:
    """Steps the real network through the day and reads its meters.

    Args:
        seed: draws the disturbance of loads and meters.
        signals: the point list; those of the power network are read.
        events: what goes wrong.
    """

    def __init__(self, seed: int, signals: Iterable[Signal], events: tuple[Disturbance, ...]) -> None:
        self._rng = np.random.default_rng([seed, 2])
        self.net = city.power_net()
        self._events = events
        self._nominal_p = self.net.load.p_mw.to_numpy() * self._rng.normal(1.0, 0.1, len(self.net.load)).clip(0.6, 1.4)
        self._nominal_q = self.net.load.q_mvar.to_numpy() * self._rng.normal(1.0, 0.1, len(self.net.load))
        self._nominal_sun = self.net.sgen.p_mw.to_numpy() * self._rng.normal(1.0, 0.1, len(self.net.sgen)).clip(0.6, 1.4)
        self._weather = np.zeros(len(self.net.load))
        self._cloud = 0.0
        self._closed = self.net.switch.closed.to_numpy().copy()
        self._extra: dict[Disturbance, NDArray[np.float64]] = {}
        self._signals = [s for s in signals if s.network == city.POWER]
        self._class = self._rng.uniform(0.9, 1.1, len(self._signals))
        self.pump_running = True

    def step(self, t_s: float) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
        """Solve the network at `t_s` seconds after midnight and read every meter.

        Returns:
            uids (n,) and values (n,) in the signals' units; a dead meter's row is left out.
        """
        self._set_injections(t_s)
        self._set_switches(t_s)
        self._solve()
        for event in self._events:
            if event.code == "LINE_OVERLOAD" and event.running(t_s):
                self._overload(event)
        return self._read(t_s)

    @property
    def pump_supplied(self) -> bool:
        """Whether the pumping station's bus has voltage."""
        return bool(np.isfinite(self.net.res_bus.vm_pu.at[city.PUMP_BUS]))

    def overloaded(self) -> dict[str, float]:
        """The lines and transformers that truly carry more than they may, and how much of their limit [%]."""
        out: dict[str, float] = {}
        for table in ("line", "trafo"):
            loading = self.net[f"res_{table}"].loading_percent
            out |= {f"{table} {i}": float(loading[i]) for i in loading.index[loading > 100.0]}
        return out

    def _set_injections(self, t_s: float) -> None:
        hour = t_s / 3600.0 % 24
        rng = self._rng
        self._weather = 0.97 * self._weather + rng.normal(0.0, 0.008, len(self._weather))
        self._cloud = 0.98 * self._cloud + rng.normal(0.0, 0.02)
        share = city.daily_load(hour) * (1.0 + self._weather)
        self.net.load["p_mw"] = self._nominal_p * share
        self.net.load["q_mvar"] = self._nominal_q * share
        pump = self.net.load.name == city.PUMP
        self.net.load.loc[pump, "p_mw"] = city.PUMP_P_MW * self.pump_running
        self.net.load.loc[pump, "q_mvar"] = 0.5 * city.PUMP_P_MW * self.pump_running
        self.net.sgen["p_mw"] = self._nominal_sun * city.daily_sun(hour) * float(np.clip(0.8 + self._cloud, 0.1, 1.0))

    def _set_switches(self, t_s: float) -> None:
        closed = self._closed.copy()
        for event in self._events:
            if event.code == "PUMP_WITHOUT_SUPPLY" and event.running(t_s):
                closed[(self.net.switch.et == "l") & (self.net.switch.element == event.place)] = False
        self.net.switch["closed"] = closed

    def _solve(self) -> None:
        import pandapower as pp

        pp.runpp(self.net, tolerance_mva=1e-7, init="dc")

    def _overload(self, event: Disturbance) -> None:
        """Grow one consumer until the most loaded line on its way carries `event.size` of its rating.

        It is sized at the event's first instant and then keeps its size.
        """
        at = (self.net.load.index == event.place).astype(float)
        if event not in self._extra:
            way = [line for line, _ in city.way_up(self.net.load.bus.at[event.place])]
            added_mw = 0.0
            for _ in range(8):
                missing = event.size - self.net.res_line.loading_percent.loc[way].max() / 100.0
                added_mw += missing * self.net.line.max_i_ka.loc[way].min() * 20.0 * 3**0.5
                self._solve_with(at * added_mw)
            self._extra[event] = at * added_mw
        self._solve_with(self._extra[event])

    def _solve_with(self, added_mw: NDArray[np.float64]) -> None:
        before = self.net.load.p_mw.copy()
        self.net.load["p_mw"] = before + added_mw
        self._solve()
        self.net.load["p_mw"] = before

    def _read(self, t_s: float) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
        uids, values = [], []
        for signal, error in zip(self._signals, self._class, strict=True):
            value = self._true_value(signal)
            if not np.isfinite(value):
                continue
            value += self._rng.normal(0.0, signal.sigma * error) if signal.sigma else 0.0
            for event in self._events:
                if event.code == "BAD_METER" and event.place == signal.uid and event.running(t_s):
                    value += event.size
            uids.append(signal.uid)
            values.append(value)
        return np.array(uids, dtype=np.uint32), np.array(values)

    def _true_value(self, signal: Signal) -> float:
        row = int(signal.element)
        if signal.table == "switch":
            closed = bool(self.net.switch.closed.at[row])
            return float(SwitchPosition.CLOSED if closed else SwitchPosition.OPEN)
        side = f"{signal.side}_" if signal.side else ""
        results: Any = self.net[f"res_{signal.table}"]
        return float(results.at[row, _RESULT[signal.quantity].format(side)])
