"""What goes wrong in the demo's day: one event of each kind, its place, size and hour drawn from a seed.

The schedule is known to the simulated city alone. The twin has to find out; the summary compares afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from grid_models.measurements import Signal
from twin.demo import city

DAY_S = 86400
_LEARNING_S = 5 * 3600  # the twin sees an undisturbed night first, as any plant does after commissioning


@dataclass(frozen=True)
class Disturbance:
    """One event of the hidden truth.

    Args:
        code: the alarm that must name it: `LINE_OVERLOAD`, `LEAK`, `BAD_METER`, `PUMP_WITHOUT_SUPPLY`, `CLOSURE`.
        element: what is struck (`load 8`, `pipe p461`, a signal's name, `pump PUMP_1`).
        start_s: seconds after midnight.
        end_s: seconds after midnight.
        size: the loading reached for an overload [1], m3/h at 40 m pressure for a leak, what is added to a bad meter
            in its own unit, 0 for a trip, m by which a closure moves some sensor.
        place: what the simulation needs to bring it about (a load, a pipe, a uid, a line).
    """

    code: str
    element: str
    start_s: int
    end_s: int
    size: float
    place: Any

    def running(self, t_s: float) -> bool:
        """Whether it is on at `t_s` seconds after midnight."""
        return self.start_s <= t_s < self.end_s


def schedule(seed: int, signals: tuple[Signal, ...], pipes: tuple[str, ...], pipe_length_m: Any) -> tuple[Disturbance, ...]:
    """Draw the day's four events.

    Args:
        seed: the demo's seed.
        signals: the point list.
        pipes: (n_pipe,) ids a burst may choose from.
        pipe_length_m: (n_pipe,) [m]; a burst is as likely on any metre of pipe.

    Returns:
        The events in order of their start.
    """
    rng = np.random.default_rng([seed, 1])
    trip = _trip(rng)
    events = [trip, _overload(rng, signals, trip), _burst(rng, pipes, pipe_length_m), _bad_meter(rng, signals, trip)]
    return tuple(sorted(events, key=lambda e: e.start_s))


def closure(seed: int, felt_m: Mapping[str, float]) -> Disturbance:
    """Draw a valve that someone closes for some hours without telling.

    Args:
        seed: the demo's seed.
        felt_m: pipe -> by how much closing it moves some pressure sensor; those that may be drawn.
    """
    rng = np.random.default_rng([seed, 5])
    pipe = str(rng.choice(sorted(felt_m)))
    start, end = _window(rng, _LEARNING_S / 3600 + 1, 17, rng.uniform(3.0, 5.0))
    return Disturbance("CLOSURE", f"pipe {pipe}", start, end, felt_m[pipe], pipe)


def _window(rng: np.random.Generator, earliest_h: float, latest_h: float, length_h: float) -> tuple[int, int]:
    start = 60 * round(rng.uniform(earliest_h, latest_h) * 60)
    return start, start + int(length_h * 3600)


def _trip(rng: np.random.Generator) -> Disturbance:
    """A line on the way to the pumping station trips; up to 24 stations lose supply with it."""
    lines = [line for line, bus in city.way_up(city.PUMP_BUS) if len(city.below(bus)) < 25]
    start, end = _window(rng, 6, 21, 0.75)
    return Disturbance("PUMP_WITHOUT_SUPPLY", f"pump {city.PUMP}", start, end, 0.0, int(rng.choice(lines)))


def _dead_buses(trip: Disturbance) -> set[int]:
    return next(city.below(bus) for _, bus, line in city.feeder_tree().edges(data="line") if line == trip.place)


def _overload(rng: np.random.Generator, signals: tuple[Signal, ...], trip: Disturbance) -> Disturbance:
    """A large metered consumer grows until a line on its way overloads; which one, the network decides."""
    lost = _dead_buses(trip)
    bus_of = city.power_net().load.bus
    loads = sorted({int(s.element) for s in signals if s.network == city.POWER and s.table == "load"})
    choices = [load for load in loads[:-1] if bus_of[load] not in lost and len(city.way_up(bus_of[load])) > 3]
    load = int(rng.choice(choices))
    start, end = _window(rng, _LEARNING_S / 3600 + 1, 21, rng.uniform(1.0, 2.0))
    return Disturbance("LINE_OVERLOAD", f"load {load}", start, end, float(rng.uniform(1.10, 1.2)), load)


def _burst(rng: np.random.Generator, pipes: tuple[str, ...], pipe_length_m: Any) -> Disturbance:
    share = np.asarray(pipe_length_m, dtype=float)
    pipe = str(rng.choice(np.array(pipes), p=share / share.sum()))
    start, _ = _window(rng, _LEARNING_S / 3600 + 1, 17, 0)
    return Disturbance("LEAK", f"pipe {pipe}", start, DAY_S, float(rng.uniform(20.0, 40.0)), pipe)


def _bad_meter(rng: np.random.Generator, signals: tuple[Signal, ...], trip: Disturbance) -> Disturbance:
    """A meter whose error the others can reveal: a voltage, or the active power of a feeder or transformer."""
    lost = _dead_buses(trip)
    lost_lines = {line for _, bus, line in city.feeder_tree().edges(data="line") if bus in lost}

    def in_service(s: Signal) -> bool:
        return not ((s.table == "bus" and int(s.element) in lost) or (s.table == "line" and int(s.element) in lost_lines))

    choices = [
        s
        for s in signals
        if s.network == city.POWER
        and in_service(s)
        and (s.quantity == "vm_pu" or (s.quantity == "p_mw" and s.table in ("line", "trafo")))
    ]
    signal = choices[int(rng.integers(len(choices)))]
    start, end = _window(rng, _LEARNING_S / 3600 + 1, 19, rng.uniform(2.0, 4.0))
    sign = float(rng.choice([-1.0, 1.0]))
    size = sign * (rng.uniform(15, 30) * signal.sigma)
    return Disturbance("BAD_METER", signal.name, start, end, float(size), signal.uid)
