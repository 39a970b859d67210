"""Explicit vectors of lanes for kernels: one scenario in each lane, one instruction for all.

A loop over lanes does not become vector code by itself (its bounds, its aliasing and the reductions stand in the way);
a value of vector type does, on every processor: the compiler splits it into whatever registers there are. The width is
part of the type, not of the machine, and every operation is IEEE in each lane, `fma` included, so that AVX-512, AVX2
and a processor without either give the same bits.

    x = f64x8(0.0)                  all lanes 0.0; also f64x16, f32x16
    x = load(x, a, row)             lanes of row `row` of a (rows, width) array, as many as x has
    store(a, row, x)                of a one-dimensional array: the lanes from element `row` on, for both
    stream(a, at, x)                likewise, past the caches; to where a line of memory begins, and after `misfit(a)` one does
    fence()                         before other threads read what was streamed
    turned(x0, ..., x7)             eight vectors: the first lanes, the second lanes, ...
    x + y, x - y, x * y, x / y, -x
    fma(x, y, z)  fnma(x, y, z)     x y + z,  z - x y
    larger(x, y), magnitude(x), root(x)
    pick(x, y, a, b)                a where x < y, else b (also where x or y is nan)
    exceeds(x, y)                   whether x > y in any lane
    power(x, n)                     |x|^n for a scalar n, to 3e-15 of itself; x normal and not 0
    narrow(x), widen(x)             f64 <-> f32

Each is a plain Python function over numpy arrays of that width as well, so that the source of a kernel also runs
without a compiler, for a debugger or as its own oracle.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing import templates
from numba.extending import lower_builtin, models, register_model
from numpy.typing import NDArray

Vector = Any  # NDArray of one row in plain Python, a register in a kernel
_ALIGNMENT = 64


class _Lanes(types.Type):  # type: ignore[misc]  # numba publishes no types
    """A fixed number of floating-point lanes."""

    def __init__(self, bits: int, width: int) -> None:
        self.bits = bits
        self.width = width
        super().__init__(name=f"f{bits}x{width}")

    @property
    def element(self) -> ir.Type:
        return ir.DoubleType() if self.bits == 64 else ir.FloatType()

    @property
    def llvm(self) -> ir.VectorType:
        return ir.VectorType(self.element, self.width)

    def all(self, value: float) -> ir.Constant:
        return ir.Constant(self.llvm, [float(value)] * self.width)


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]  # numba publishes no types
    def __init__(self, manager: Any, lanes: _Lanes) -> None:
        super().__init__(manager, lanes, lanes.llvm)


_F64X8, _F64X16, _F32X16 = _Lanes(64, 8), _Lanes(64, 16), _Lanes(32, 16)


def f64x8(value: float) -> Vector:
    """Eight equal lanes of float64."""
    return np.full(8, value)


def f64x16(value: float) -> Vector:
    """Sixteen equal lanes of float64."""
    return np.full(16, value)


def f32x16(value: float) -> Vector:
    """Sixteen equal lanes of float32."""
    return np.full(16, value, dtype=np.float32)


def load(like: Vector, array: NDArray[np.floating], row: int) -> Vector:
    """The lanes of one row of a C-contiguous (rows, width) array, or from one element on, as a vector of the type of `like`."""
    return array[row].copy() if array.ndim == 2 else array[row : row + len(like)].copy()


def store(array: NDArray[np.floating], row: int, x: Vector) -> None:
    """Write a vector to one row of a C-contiguous (rows, width) array, or from one element on."""
    array[row if array.ndim == 2 else slice(row, row + len(x))] = x


def stream(array: NDArray[np.floating], at: int, x: Vector) -> None:
    """Write a vector past the caches, from an element on that lies where a cache line begins."""
    store(array, at, x)


def misfit(array: NDArray[np.floating]) -> int:
    """How many elements of a one-dimensional array lie before the first cache line that begins in it."""
    return -array.ctypes.data % _ALIGNMENT // array.itemsize


def fence() -> None:
    """Let all that was streamed be in memory."""


def turned(*x: Vector) -> tuple[Vector, ...]:
    """Of eight vectors of eight lanes: the first lanes of all, the second ones, ..."""
    return tuple(np.stack(x).T.copy())


def fma(x: Vector, y: Vector, z: Vector) -> Vector:
    """Lane-wise x y + z with one rounding (two in plain Python)."""
    return x * y + z


def fnma(x: Vector, y: Vector, z: Vector) -> Vector:
    """Lane-wise z - x y with one rounding (two in plain Python)."""
    return z - x * y


def larger(x: Vector, y: Vector) -> Vector:
    """The larger of both in each lane; the other where one is nan."""
    return np.fmax(x, y)


def magnitude(x: Vector) -> Vector:
    """|x| in each lane."""
    return np.abs(x)


def root(x: Vector) -> Vector:
    """Square root of each lane."""
    return np.sqrt(x)


def pick(x: Vector, y: Vector, a: Vector, b: Vector) -> Vector:
    """The lane of `a` where x < y, else that of `b`."""
    return np.where(x < y, a, b)


def exceeds(x: Vector, y: Vector) -> bool:
    """Whether x > y in any lane."""
    return bool((x > y).any())


def power(x: Vector, exponent: float) -> Vector:
    """|x|^exponent in each lane; every x normal and not 0."""
    return np.abs(x) ** exponent


def narrow(x: Vector) -> Vector:
    """float32 lanes of float64 lanes."""
    return x.astype(np.float32)


def widen(x: Vector) -> Vector:
    """float64 lanes of float32 lanes."""
    return x.astype(np.float64)


def aligned(shape: tuple[int, ...], dtype: Any = np.float64) -> NDArray[Any]:
    """A zeroed array whose rows begin where a cache line does."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + _ALIGNMENT, dtype=np.uint8)
    begin = -raw.ctypes.data % _ALIGNMENT
    rows: NDArray[Any] = raw[begin : begin + size].view(dtype).reshape(shape)
    return rows


def _register(
    function: Callable[..., Any], accepts: tuple[Any, ...], result: Callable[..., Any], emit: Callable[..., Any]
) -> None:
    """Teach the compiler one operation: which types it takes, what comes out, and its instructions."""

    def generic(_template: Any, arguments: tuple[Any, ...], _keywords: Any) -> Any:
        if len(arguments) == len(accepts) and all(isinstance(a, t) for a, t in zip(arguments, accepts, strict=True)):
            found = result(*arguments)
            return None if found is None else templates.signature(found, *arguments)
        return None

    template = type(f"{function.__name__}_of_lanes", (templates.AbstractTemplate,), {"key": function, "generic": generic})
    templates.infer(template)
    templates.infer_global(function, types.Function(template))

    lower_builtin(function, *accepts)(emit)


def _intrinsic(name: str, n: int, *, negate: bool = False) -> Callable[..., Any]:
    """Emit a call of LLVM's own `name` on n vectors; with `negate` the first one's sign is turned."""

    def emit(_context: Any, builder: Any, signature: Any, values: Any) -> Any:
        lanes = signature.args[0]
        kind = ir.FunctionType(lanes.llvm, [lanes.llvm] * n)
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{lanes.width}f{lanes.bits}")
        first = builder.fneg(values[0]) if negate else values[0]
        return builder.call(function, [first, *values[1:]])

    return emit


def _splat(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    lanes = signature.return_type
    scalar = context.cast(builder, values[0], signature.args[0], types.float64)
    scalar = builder.fptrunc(scalar, lanes.element) if lanes.bits == 32 else scalar
    one = builder.insert_element(ir.Constant(lanes.llvm, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes.width), [0] * lanes.width)
    return builder.shuffle_vector(one, ir.Constant(lanes.llvm, ir.Undefined), everywhere)


def _address(context: Any, builder: Any, array: tuple[Any, Any], row: tuple[Any, Any], lanes: _Lanes) -> Any:
    data = context.make_array(array[0])(context, builder, array[1]).data
    number = context.cast(builder, row[1], row[0], types.int64)
    first = builder.mul(number, ir.Constant(ir.IntType(64), lanes.width if array[0].ndim == 2 else 1))
    return builder.bitcast(builder.gep(data, [first]), lanes.llvm.as_pointer())


def _load(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    lanes, array, row = signature.args
    return builder.load(_address(context, builder, (array, values[1]), (row, values[2]), lanes), align=lanes.bits // 8)


def _store(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    array, row, lanes = signature.args
    where = _address(context, builder, (array, values[0]), (row, values[1]), lanes)
    builder.store(values[2], where, align=lanes.bits // 8)
    return context.get_dummy_value()


def _stream(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    array, row, lanes = signature.args
    where = _address(context, builder, (array, values[0]), (row, values[1]), lanes)
    written = builder.store(values[2], where, align=_ALIGNMENT)
    written.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
    return context.get_dummy_value()


def _misfit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, values[0])
    beyond = builder.neg(builder.ptrtoint(array.data, ir.IntType(64)))
    left = builder.and_(beyond, ir.Constant(ir.IntType(64), _ALIGNMENT - 1))
    return builder.udiv(left, array.itemsize)


def _fence(context: Any, builder: Any, _signature: Any, _values: Any) -> Any:
    builder.fence("seq_cst")
    return context.get_dummy_value()


def _turned(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Thrice: of two vectors at distance 1, 2, 4 the pieces of that size change sides."""
    rows = list(values)
    for size in (1, 2, 4):
        upper = [k if not k & size else 8 + k - size for k in range(8)]
        lower = [k + size if not k & size else 8 + k for k in range(8)]
        for i in (i for i in range(8) if not i & size):
            x, y = rows[i], rows[i + size]
            rows[i], rows[i + size] = (
                builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(ir.IntType(32), 8), order)) for order in (upper, lower)
            )
    return context.make_tuple(builder, signature.return_type, rows)


def _pick(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", values[0], values[1]), values[2], values[3])


def _exceeds(_context: Any, builder: Any, signature: Any, values: Any) -> Any:
    lanes = signature.args[0].width
    which = builder.bitcast(builder.fcmp_ordered(">", values[0], values[1]), ir.IntType(lanes))
    return builder.icmp_unsigned("!=", which, ir.Constant(ir.IntType(lanes), 0))


def _power(_context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """2^(n log2|x|): the mantissa in [sqrt(1/2), sqrt 2) by the series of artanh, the result by that of 2^f, |f| <= 1/2."""
    lanes = signature.args[0]
    whole = ir.VectorType(ir.IntType(64), lanes.width)

    def bits(value: int) -> ir.Constant:
        return ir.Constant(whole, [value] * lanes.width)

    def call(name: str, *arguments: Any) -> Any:
        kind = ir.FunctionType(lanes.llvm, [lanes.llvm] * len(arguments))
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{lanes.width}f64"), arguments)

    root_half = 0x3FE6A09E667F3BCD  # the bits of sqrt(1/2)
    pattern = builder.and_(builder.bitcast(values[0], whole), bits(0x7FFFFFFFFFFFFFFF))
    exponent = builder.ashr(builder.sub(pattern, bits(root_half)), bits(52))
    mantissa = builder.bitcast(builder.sub(pattern, builder.shl(exponent, bits(52))), lanes.llvm)
    t = builder.fdiv(builder.fsub(mantissa, lanes.all(1)), builder.fadd(mantissa, lanes.all(1)))
    square = builder.fmul(t, t)
    series: Any = lanes.all(2 / math.log(2) / 19)
    for k in range(17, 0, -2):
        series = call("fma", series, square, lanes.all(2 / math.log(2) / k))
    logarithm = call("fma", series, t, builder.sitofp(exponent, lanes.llvm))
    y = builder.fmul(logarithm, _splat(_context, builder, lanes(signature.args[1]), [values[1]]))
    rounded = call("rint", y)
    fraction = builder.fsub(y, rounded)
    series = lanes.all(math.log(2) ** 12 / math.factorial(12))
    for k in range(11, -1, -1):
        series = call("fma", series, fraction, lanes.all(math.log(2) ** k / math.factorial(k)))
    scale = builder.shl(builder.add(builder.fptosi(rounded, whole), bits(1023)), bits(52))
    return builder.fmul(series, builder.bitcast(scale, lanes.llvm))


def _arithmetic(name: str) -> Callable[..., Any]:
    return lambda _context, builder, _signature, values: getattr(builder, name)(*values)


def _same(first: Any, *others: Any) -> Any:
    return first if all(other == first for other in others if isinstance(other, _Lanes)) else None


for _make, _type in ((f64x8, _F64X8), (f64x16, _F64X16), (f32x16, _F32X16)):
    _register(_make, (types.Number,), lambda _value, made=_type: made, _splat)
for _operators, _name in (
    ((operator.add, operator.iadd), "fadd"),
    ((operator.sub, operator.isub), "fsub"),
    ((operator.mul, operator.imul), "fmul"),
    ((operator.truediv, operator.itruediv), "fdiv"),
):
    for _operator in _operators:
        _register(_operator, (_Lanes, _Lanes), _same, _arithmetic(_name))
_register(operator.neg, (_Lanes,), _same, _arithmetic("fneg"))
_register(fma, (_Lanes,) * 3, _same, _intrinsic("fma", 3))
_register(fnma, (_Lanes,) * 3, _same, _intrinsic("fma", 3, negate=True))
_register(larger, (_Lanes,) * 2, _same, _intrinsic("maxnum", 2))
_register(magnitude, (_Lanes,), _same, _intrinsic("fabs", 1))
_register(root, (_Lanes,), _same, _intrinsic("sqrt", 1))
_register(pick, (_Lanes,) * 4, _same, _pick)
_register(exceeds, (_Lanes,) * 2, lambda *_: types.boolean, _exceeds)
_register(power, (_Lanes, types.Number), _same, _power)
_register(load, (_Lanes, types.Array, types.Integer), _same, _load)
_register(store, (types.Array, types.Integer, _Lanes), lambda *_: types.void, _store)
_register(stream, (types.Array, types.Integer, _Lanes), lambda *_: types.void, _stream)
_register(misfit, (types.Array,), lambda *_: types.int64, _misfit)
_register(fence, (), lambda *_: types.void, _fence)
_register(turned, (_Lanes,) * 8, lambda x, *_: types.UniTuple(x, 8), _turned)
_register(
    narrow,
    (_Lanes,),
    lambda x: _Lanes(32, x.width),
    lambda _context, builder, signature, values: builder.fptrunc(values[0], signature.return_type.llvm),
)
_register(
    widen,
    (_Lanes,),
    lambda x: _Lanes(64, x.width),
    lambda _context, builder, signature, values: builder.fpext(values[0], signature.return_type.llvm),
)
