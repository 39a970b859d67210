"""Ours and the peers by turns on one core, so that whatever slows the machine slows both."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from platform import machine, python_version
from statistics import median
from time import perf_counter, process_time, thread_time

import numpy as np
from numpy.typing import NDArray

from solvers.accelerate import kernel
from solvers.linalg.vector import aligned, f64x8, fma, store


def interleaved(
    jobs: Mapping[str, Callable[[], object]],
    rounds: int = 5,
    warm_up: int = 1,
    wall: bool = False,
    least_s: float = 0.02,
    every_thread: bool = False,
) -> dict[str, float]:
    """Run each job in turn, `rounds` times, and return the median time of one run of each [s].

    Args:
        jobs: What to run, by name; each does the same work.
        rounds: How often each is measured.
        warm_up: Runs of each before the first measurement.
        wall: Wall time instead of the CPU time of the calling thread: for jobs that use other threads or processes.
        every_thread: CPU time of the process instead: for jobs that leave their work to a pool.
        least_s: A job faster than this is repeated within a round until it takes so long.
    """
    clock = perf_counter if wall else process_time if every_thread else thread_time
    for job in jobs.values():
        for _ in range(warm_up):
            job()
    repeats = {name: _repeats(job, clock, least_s) for name, job in jobs.items()}
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            begun = clock()
            for _ in range(repeats[name]):
                job()
            times[name].append((clock() - begun) / repeats[name])
    return {name: median(taken) for name, taken in times.items()}


def _repeats(job: Callable[[], object], clock: Callable[[], float], least_s: float) -> int:
    begun = clock()
    job()
    return max(1, int(least_s / max(clock() - begun, 1e-7)))


def fused(out: NDArray[np.float64], n: int) -> None:
    """Ten independent chains of multiply-adds: more than two units times four cycles of latency."""
    a, b = f64x8(1.0000001), f64x8(1e-9)
    x0, x1, x2, x3, x4 = f64x8(0.0), f64x8(1.0), f64x8(2.0), f64x8(3.0), f64x8(4.0)
    x5, x6, x7, x8, x9 = f64x8(5.0), f64x8(6.0), f64x8(7.0), f64x8(8.0), f64x8(9.0)
    for _ in range(n):
        x0, x1, x2, x3, x4 = fma(x0, a, b), fma(x1, a, b), fma(x2, a, b), fma(x3, a, b), fma(x4, a, b)
        x5, x6, x7, x8, x9 = fma(x5, a, b), fma(x6, a, b), fma(x7, a, b), fma(x8, a, b), fma(x9, a, b)
    store(out, 0, x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8 + x9)


@cache
def peak_gflops() -> float:
    """What this core does at best in float64 [1e9 operations a second], measured."""
    run, out, n = kernel(fused), aligned((1, 8)), 1_000_000
    return n * 10 * 8 * 2 / 1e9 / interleaved({"peak": lambda: run(out, n)}, rounds=9)["peak"]


@cache
def peak_gbytes() -> float:
    """What this core copies at best from and to main memory, both counted [1e9 bytes a second], measured."""
    source = np.ones(1 << 26)
    target = np.empty_like(source)
    return 2 * source.nbytes / 1e9 / interleaved({"copy": lambda: np.copyto(target, source)}, rounds=5)["copy"]


def pin_to_one_core() -> None:
    """Keep this process on one core, where the system lets us."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def this_machine() -> str:
    """The processor, its vector width and the Python, in words."""
    name, flags = machine(), ""
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text("utf-8").splitlines() if cpuinfo.exists() else ():
        key, _, value = line.partition(":")
        name = value.strip() if key.strip() == "model name" else name
        flags = value if key.strip() == "flags" else flags
    width = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "128-bit vectors"
    return f"one core of {name} ({width}), Python {python_version()}"
