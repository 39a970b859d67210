"""Tuples of arrays that kernels take as one pointer: a network's numbers and a worker's space are hundreds of arrays.

A tuple that is handed over by value costs seven words for each array at every call, its unboxing in every kernel's entry and
as much again to compile. Lent, it is one table of words, the arrays' addresses and shapes, that functions pass on by address:

    words of an array      where its values begin, its sizes
    words of a number      its bits
    words of a tuple       those of its members, one after the other

    lent = lend(solver)              in Python, once; `lent.net` is the tuple's own
    solve(lent)                      a kernel; within it `solver.net.kind[k]` reads as ever, and so it does in plain Python
    parts = borrowed(Parts(...))     in a kernel, of a tuple made there; holds as long as the function that borrows

What is lent is not owned: no reference is counted, the caller holds the arrays as long as the kernel runs, and a tuple's
words never change. All arrays lie in C order.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin, lower_getattr_generic
from numba.core.typing import templates
from numba.extending import NativeValue, models, register_model, type_callable, unbox

T = TypeVar("T")

_WORD = ir.IntType(64)


class _Borrowed(types.Type):  # type: ignore[misc]  # numba ships no annotations: its base class is Any to mypy
    """A pointer to the words of a tuple."""

    def __init__(self, of: types.NamedTuple | types.NamedUniTuple) -> None:
        self.of = of
        whole = f"{of.instance_class.__module__} {of.fields} {of.name}"
        super().__init__(name=f"{of.instance_class.__name__}@{sha256(whole.encode()).hexdigest()[:12]}")


_KINDS: dict[tuple[Any, ...], _Borrowed] = {}  # of all tuples lent so far; numba takes a millisecond to find a large one's


def _as_pointer(manager: Any, kind: _Borrowed) -> Any:
    """How machine code holds it."""
    return models.PrimitiveModel(manager, kind, _WORD.as_pointer())


class _Lent:
    """A tuple with its words; attributes are the tuple's."""

    def __init__(self, value: Any, kind: _Borrowed, words: Any) -> None:
        self._value = value
        self._numba_type_ = kind
        self._words = words
        self._address = words.ctypes.data
        self.__dict__.update(zip(kind.of.fields, value, strict=True))  # so that reading one costs no call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._value, name)


def lend(value: T) -> T:
    """The same named tuple, of arrays, numbers and such tuples, as one pointer for kernels.

    Raises:
        TypeError: something in it is none of these, or an array lies in another order.
    """
    shape: list[Any] = []
    words: list[int] = []
    _collect(value, shape, words)
    kind = _KINDS.get(key := tuple(shape))
    if kind is None:
        kind = _KINDS[key] = _Borrowed(numba.typeof(value))
        _check(kind.of)
    return cast("T", _Lent(value, kind, np.array(words, dtype=np.uint64)))


def borrowed(value: T) -> T:
    """The same named tuple by reference: made in a kernel, until the function that calls this returns; lent, as it is."""
    return value


def _size(kind: Any) -> int:
    """Words of a type."""
    if isinstance(kind, types.BaseTuple):
        return sum(map(_size, kind.types))
    return 1 + kind.ndim if isinstance(kind, types.Array) else 1


def _collect(value: Any, shape: list[Any], words: list[int]) -> None:
    """What decides a value's type, and its words."""
    if isinstance(value, np.ndarray):
        shape += (value.dtype, value.ndim, value.flags.num)
        words += (value.ctypes.data, *value.shape)
        return
    shape.append(type(value))
    if isinstance(value, tuple):
        for member in value:
            _collect(member, shape, words)
    else:
        words.append(int(np.float64(value).view(np.uint64)) if isinstance(value, float) else int(value) % (1 << 64))


def _check(kind: Any) -> None:
    if isinstance(kind, types.BaseTuple):
        for member in kind.types:
            _check(member)
    elif not (kind.layout == "C" if isinstance(kind, types.Array) else kind in (types.int64, types.float64, types.boolean)):
        raise TypeError(f"cannot lend a {kind}")


def _unbox(_kind: Any, lent: Any, c: Any) -> NativeValue:
    number = c.pyapi.object_getattr_string(lent, "_address")
    address = c.pyapi.long_as_longlong(number)
    c.pyapi.decref(number)
    return NativeValue(c.builder.inttoptr(address, _WORD.as_pointer()))


def _type_of_borrowed(_context: Any) -> Any:
    return lambda value: value if isinstance(value, _Borrowed) else _Borrowed(value)


@templates.infer_getattr
class _Members(templates.AttributeTemplate):  # type: ignore[misc]  # numba ships no annotations: its base class is Any to mypy
    key = _Borrowed

    def generic_resolve(self, kind: _Borrowed, name: str) -> Any:
        if name not in kind.of.fields:
            return None
        member = kind.of.types[kind.of.fields.index(name)]
        return _Borrowed(member) if isinstance(member, types.BaseTuple) else member


def _borrow(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Write a tuple's words where the function keeps them."""
    [kind], [value] = signature.args, values
    if isinstance(kind, _Borrowed):
        return value
    words = cgutils.alloca_once(builder, _WORD, size=_size(kind))
    _write(context, builder, kind, value, words, 0)
    # What is read through the result is read after what was written: the compiler cannot see that both are one.
    pointer = words.type
    same = ir.InlineAsm(ir.FunctionType(pointer, [pointer]), "", "=r,0,~{memory}", side_effect=True)
    return builder.call(same, [words])


def _write(context: Any, builder: Any, kind: Any, value: Any, words: Any, at: int) -> None:
    if isinstance(kind, types.BaseTuple):
        for i, member in enumerate(kind.types):
            _write(context, builder, member, builder.extract_value(value, i), words, at)
            at += _size(member)
    elif isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        word = [builder.ptrtoint(array.data, _WORD), *cgutils.unpack_tuple(builder, array.shape)]
        for i, part in enumerate(word):
            builder.store(part, _at(builder, words, at + i))
    elif kind == types.float64:
        builder.store(builder.bitcast(value, _WORD), _at(builder, words, at))
    else:
        builder.store(context.cast(builder, value, kind, types.int64), _at(builder, words, at))


def _at(builder: Any, words: Any, offset: int) -> Any:
    return builder.gep(words, [ir.Constant(ir.IntType(32), offset)])


def _read(builder: Any, where: Any) -> Any:
    """A word, which no write to an array can have changed: it need not be read again."""
    word = builder.load(where)
    word.set_metadata("invariant.load", builder.module.add_metadata([]))
    return word


def _member(context: Any, builder: Any, kind: _Borrowed, words: Any, name: str) -> Any:
    index = kind.of.fields.index(name)
    member, offset = kind.of.types[index], sum(map(_size, kind.of.types[:index]))
    where = _at(builder, words, offset)
    if isinstance(member, types.BaseTuple):
        return where
    if isinstance(member, types.Array):
        return _array(context, builder, member, words, offset)
    word = _read(builder, where)
    if member == types.float64:
        return builder.bitcast(word, ir.DoubleType())
    return context.cast(builder, word, types.int64, member)


def _array(context: Any, builder: Any, kind: Any, words: Any, offset: int) -> Any:
    """An array without owner."""
    array = context.make_array(kind)(context, builder)
    element = context.get_data_type(kind.dtype).as_pointer()
    data = _read(builder, builder.bitcast(_at(builder, words, offset), element.as_pointer()))
    shape = [_read(builder, _at(builder, words, offset + 1 + i)) for i in range(kind.ndim)]
    size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    item, count = ir.Constant(_WORD, size), ir.Constant(_WORD, 1)
    strides: list[Any] = []
    for length in reversed(shape):
        strides.insert(0, builder.mul(item, count))
        count = builder.mul(count, length)
    array.data, array.itemsize, array.nitems = data, item, count
    array.shape = cgutils.pack_array(builder, shape)
    array.strides = cgutils.pack_array(builder, strides)
    array.meminfo = cgutils.get_null_value(array.meminfo.type)
    array.parent = cgutils.get_null_value(array.parent.type)
    return array._getvalue()


register_model(_Borrowed)(_as_pointer)
unbox(_Borrowed)(_unbox)
type_callable(borrowed)(_type_of_borrowed)
lower_builtin(borrowed, types.Any)(_borrow)
lower_getattr_generic(_Borrowed)(_member)
