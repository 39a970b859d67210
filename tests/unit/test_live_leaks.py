"""The live detector where noise moves all sensors together: it is no leak, and a leak beside it is found and placed."""

from __future__ import annotations

import numpy as np

from solvers.water.leak_memory import Memory, Observation, Settings
from solvers.water.leaks import step

SENSORS, PIPES, SIGMA, TAU, FLOW = 12, 40, 0.01, 0.006, 0.006


def found(together: bool, leaking: int = -1, seed: int = 4) -> list[int]:
    """Pipes called leaking in 240 steps, a leak beginning in the 200th; whether the detector is told what moves together."""
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
        out += [x.pipe for x in verdict.started]
    return out


def test_what_moves_all_sensors_together_is_no_leak() -> None:
    assert [found(together=True, seed=s) for s in range(6)] == [[]] * 6
    assert any(found(together=False, seed=s) for s in range(6))  # sensor by sensor, the same noise is one


def test_a_leak_beside_it_is_found_and_placed() -> None:
    for pipe in (7, 19, 33):
        assert found(together=True, leaking=pipe, seed=pipe) == [pipe]
