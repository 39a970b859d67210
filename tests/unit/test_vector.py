"""Vectors of lanes: the same numbers as in plain Python, and vector instructions in the machine code."""

import re

import numba
import numpy as np
import pytest
from llvmlite import binding as llvm

from solvers.accelerate import kernel
from solvers.linalg import vector
from solvers.linalg.vector import (
    aligned,
    f32x16,
    f64x8,
    f64x16,
    fence,
    fma,
    fnma,
    larger,
    load,
    magnitude,
    misfit,
    narrow,
    pick,
    power,
    root,
    store,
    stream,
    turned,
    widen,
)


def every_operation(a: np.ndarray, out: np.ndarray) -> None:
    x, y, z = load(f64x8(0.0), a, 0), load(f64x8(0.0), a, 1), load(f64x8(0.0), a, 2)
    two = f64x8(2)
    store(out, 0, x + y)
    store(out, 1, x - y * two)
    store(out, 2, -(x / y))
    store(out, 3, fma(x, y, z))
    store(out, 4, fnma(x, y, z))
    store(out, 5, larger(magnitude(x), y))
    store(out, 6, root(magnitude(z)))
    store(out, 7, pick(x, y, z, two))
    store(out, 8, power(z, 0.852))
    x += y
    x *= z
    x -= two
    x /= y
    store(out, 9, x)


def through_float32(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    x = narrow(load(f64x16(0.0), a, 0))
    y = load(f32x16(0.0), b, 0)
    store(out, 0, widen(fma(x, y, f32x16(0.5))))


def inner(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    total = f64x8(0.0)
    for i in range(len(a)):
        total = fma(load(total, a, i), load(total, b, i), total)
    store(out, 0, total)


def through_memory(a: np.ndarray, flat: np.ndarray, far: np.ndarray) -> None:
    x = f64x8(0.0)
    x = load(x, a.ravel(), 3)
    store(flat, 1, x)
    first = misfit(far)
    stream(far, first, x)
    fence()
    y = turned(x, x + x, x, x, x, x, x, -x)
    store(flat, 9, y[0])
    store(flat, 17, y[7])


compiled = kernel(every_operation)
compiled_memory = kernel(through_memory)
compiled_inner = kernel(inner)
compiled_float32 = kernel(through_float32)


def test_every_operation_gives_what_plain_python_gives() -> None:
    rng = np.random.default_rng(1)
    a = rng.standard_normal((3, 8)) * 10.0 ** rng.integers(-6, 6, (3, 8))
    out, plain = aligned((10, 8)), aligned((10, 8))
    compiled(a, out)
    every_operation(a, plain)
    # One rounding where plain Python has two: relative to the larger operand.
    np.testing.assert_allclose(out, plain, rtol=4e-15, atol=1e-15 * np.abs(a).max() ** 2)


def test_what_is_moved_arrives_where_plain_python_puts_it() -> None:
    a, far = aligned((4, 8)), aligned((4, 8)).ravel()
    a[:] = np.random.default_rng(2).standard_normal((4, 8))
    for begin in range(8):
        rows = [(f, np.zeros(25), far.copy()[begin:]) for f in (compiled_memory, through_memory)]
        for f, flat, line in rows:
            f(a, flat, line)
        assert rows[0][1].tobytes() == rows[1][1].tobytes()
        assert (rows[0][2].ctypes.data + 8 * misfit(rows[0][2])) % 64 == 0
        assert np.flatnonzero(rows[0][2]).tolist() == list(range(misfit(rows[0][2]), misfit(rows[0][2]) + 8))
    x = a.ravel()[3:11]
    assert rows[0][1][9:17].tolist() == [x[0], 2 * x[0], x[0], x[0], x[0], x[0], x[0], -x[0]]
    assert rows[0][1][17:25].tolist() == [x[7], 2 * x[7], x[7], x[7], x[7], x[7], x[7], -x[7]]


@pytest.mark.parametrize("exponent", [0.852, 1.852, -0.148, 0.5, 2.0])
def test_power_is_right_over_many_magnitudes(exponent: float) -> None:
    x = np.geomspace(1e-30, 1e30, 8 * 500).reshape(-1, 8)
    out = np.zeros_like(x)
    kernel_power(x, exponent, out)
    exact = np.array([[float(v) ** exponent for v in row] for row in x.tolist()])
    assert np.abs(out / exact - 1.0).max() < 4e-14  # the exponent's own rounding grows with log2 |x| = 100


def raise_all(x: np.ndarray, exponent: float, out: np.ndarray) -> None:
    for i in range(len(x)):
        store(out, i, power(load(f64x8(0.0), x, i), exponent))


kernel_power = kernel(raise_all)


def test_float32_lanes() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((1, 16)), rng.standard_normal((1, 16)).astype(np.float32)
    out = np.zeros((1, 16))
    compiled_float32(a, b, out)
    np.testing.assert_allclose(out, a.astype(np.float32) * b + 0.5, rtol=3e-7, atol=3e-7)


def test_the_machine_code_has_packed_fused_operations() -> None:
    features = llvm.get_host_cpu_features()
    if not features.get("fma") or numba.config.CPU_NAME == "generic":
        pytest.skip("this processor has no fused multiply-add; the code is right there, only slower")
    # Machine code from the disk cache cannot be looked at, so that this is compiled anew, by the same options.
    fresh = numba.njit(nogil=True, error_model="numpy")(compiled_inner.py_func)  # type: ignore[attr-defined]
    a = np.zeros((4, 8))
    fresh(a, a, np.zeros((1, 8)))
    source = next(iter(fresh.inspect_asm().values()))
    assert len(re.findall(r"vfn?m(?:add|sub)\d*pd", source)) >= 1
    assert not re.findall(r"vfn?m(?:add|sub)\d*sd", source)


def test_rows_begin_on_cache_lines() -> None:
    assert aligned((3, 8)).ctypes.data % 64 == 0
    assert aligned((5, 16), np.float32).dtype == np.float32
    assert vector.aligned((0, 8)).shape == (0, 8)
