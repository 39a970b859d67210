"""The live detector where noise moves all sensors together: it is no leak, and a leak beside it is found and placed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from solvers.water.leak_memory import Leak, Memory, Observation, Settings
from solvers.water.leaks import step

SENSORS, PIPES, SIGMA, TAU, FLOW = 12, 40, 0.01, 0.006, 0.006


def found(together: bool, leaking: int = -1, seed: int = 4) -> list[Leak]:
    """Leaks told in 240 steps, a leak beginning in the 200th; whether the detector is told what moves together."""
    rng = np.random.default_rng(seed)
    common = np.linspace(0.5, 1.0, SENSORS)  # what a misread inflow does to the sensors, near and far
    leak = -np.abs(rng.normal(15.0, 8.0, (SENSORS, PIPES)))
    leak[:, 0] = 8.0 * common  # a leak at the inlet looks like it
    spread = 0.03
    noise = spread**2 * np.outer(common, common)
    told = TAU**2 * np.eye(SENSORS) + (noise if together else np.diag(np.diag(noise)))
    memory, wander, out = Memory.empty(SENSORS, np.ones(SENSORS), Settings()), 0.0, []
    for k in range(240):
        wander = 0.9 * wander + rng.normal(0.0, spread * np.sqrt(1 - 0.9**2))
        residual = wander * common + rng.normal(0.0, SIGMA, SENSORS)
        if leaking >= 0 and k >= 200:
            residual += leak[:, leaking] * (FLOW - sum(x.flow for x in memory.leaks))
        seen = Observation(residual, np.full(SENSORS, SIGMA), told, np.ones(SENSORS), np.ones(3), leak)
        memory, verdict = step(memory, seen, np.full(PIPES, 100.0))
        out += verdict.started
    return out


def test_what_moves_all_sensors_together_is_no_leak() -> None:
    assert [found(together=True, seed=s) for s in range(6)] == [[]] * 6
    assert any(found(together=False, seed=s) for s in range(6))  # sensor by sensor, the same noise is one


def test_a_leak_beside_it_is_found_and_placed() -> None:
    for pipe in (7, 19, 33):
        (leak,) = found(together=True, leaking=pipe, seed=pipe)
        assert leak.pipe == pipe
        low, high = leak.interval
        assert low < FLOW < high
        assert high - low < 1.2 * FLOW


def test_a_size_that_may_be_one_of_two_has_an_interval_over_both() -> None:
    (leak,) = found(together=True, leaking=7, seed=7)
    either = np.zeros(PIPES)
    either[[7, 19]] = 0.93, 0.07
    sure = replace(leak, probability=either, flows=np.where(np.arange(PIPES) == 19, 0.02, 0.005), flow=0.005)
    low, high = sure.interval
    assert 0.003 < low < 0.005
    assert high > 0.015
    assert replace(sure, heard=np.where(np.arange(PIPES) == 7, 0.0, -9.0)).interval[1] < 0.008
