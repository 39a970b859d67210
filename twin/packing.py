"""Values as bytes: dataclasses, tuples, dicts, numbers, text and numpy arrays, without pickle.

A JSON document of the structure, then the raw bytes of the arrays; of one that repeats an item, that item. Reading executes
nothing: a dataclass is rebuilt only if it is declared in one of this project's packages.
"""

from __future__ import annotations

import json
import struct
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib import import_module
from typing import Any

import numpy as np

_HOME = ("grid_models.", "solvers.", "twin.")
_ALIGN = 8
_LEAST = 4  # items of an array that is worth a look


class Unreadable(ValueError):
    """Bytes that are not a packed value."""


def packed(value: Any) -> bytes:
    """Pack a value.

    >>> unpacked(packed({"a": (1, 2.5, "x"), "b": np.arange(3)}))["a"]
    (1, 2.5, 'x')
    """
    arrays: list[bytes] = []
    size = 0

    def plain(v: Any) -> Any:
        nonlocal size
        if v is None or type(v) in (bool, int, float, str):
            return v
        if isinstance(v, bytes):
            return {"!": "b", "v": v.hex()}
        if isinstance(v, np.generic):
            return plain(v.item())
        if isinstance(v, np.ndarray):
            if v.dtype == object:
                return {"!": "o", "v": [plain(x) for x in v.tolist()]}
            alike = _alike(v)
            data = (v.ravel()[:1] if alike else np.ascontiguousarray(v)).tobytes()
            data += b"\0" * (-len(data) % _ALIGN)
            arrays.append(data)
            size += len(data)
            return {"!": "r" if alike else "a", "d": v.dtype.str, "s": list(v.shape), "o": size - len(data)}
        if isinstance(v, Enum):
            return {"!": "e", "c": f"{type(v).__module__}:{type(v).__qualname__}", "n": v.name}
        if is_dataclass(v) and not isinstance(v, type):
            names = [f.name for f in fields(v)]
            body = [plain(getattr(v, n)) for n in names]
            return {"!": "c", "c": f"{type(v).__module__}:{type(v).__qualname__}", "n": names, "v": body}
        if isinstance(v, tuple) and hasattr(v, "_fields"):
            return {"!": "n", "c": f"{type(v).__module__}:{type(v).__qualname__}", "v": [plain(x) for x in v]}
        if isinstance(v, tuple):
            return {"!": "t", "v": [plain(x) for x in v]}
        if isinstance(v, list):
            return [plain(x) for x in v]
        if hasattr(v, "items"):
            return {"!": "m", "v": [[plain(k), plain(x)] for k, x in v.items()]}
        raise TypeError(f"cannot pack {type(v).__name__}")

    head = json.dumps(plain(value), separators=(",", ":")).encode()
    head += b" " * (-(len(head) + 4) % _ALIGN)
    return struct.pack("<I", len(head)) + head + b"".join(arrays)


def _alike(v: np.ndarray) -> bool:
    """Whether an array repeats one item in every bit: then it is written once."""
    if v.size < _LEAST or v.dtype.itemsize not in (1, 2, 4, 8):
        return False
    bits = v.ravel().view(f"u{v.dtype.itemsize}")
    return bool(bits[0] == bits[-1] and bits[0] == bits[v.size // 2] and (bits == bits[0]).all())


def unpacked(data: bytes) -> Any:
    """Rebuild a packed value; arrays are read-only views of `data`, or their own.

    Raises:
        Unreadable: the bytes are not a packed value.
    """
    try:
        (length,) = struct.unpack_from("<I", data)
        document = json.loads(data[4 : 4 + length])
        return _rebuilt(document, memoryview(data)[4 + length :])
    except (ValueError, KeyError, TypeError, AttributeError, ImportError, IndexError, struct.error) as error:
        raise Unreadable(f"not a packed value: {error}") from error


def _rebuilt(v: Any, arrays: memoryview) -> Any:
    if isinstance(v, list):
        return [_rebuilt(x, arrays) for x in v]
    if not isinstance(v, dict):
        return v
    match v["!"]:
        case "a" | "r":
            dtype, shape = np.dtype(v["d"]), tuple(v["s"])
            if min(shape, default=0) < 0:
                raise ValueError("a shape is not negative")
            n = (1 if v["!"] == "r" else int(np.prod(shape))) * dtype.itemsize
            items = np.frombuffer(arrays[v["o"] : v["o"] + n], dtype=dtype)
            return (items.repeat(int(np.prod(shape))) if v["!"] == "r" else items).reshape(shape)
        case "o":
            out = np.empty(len(v["v"]), dtype=object)
            out[:] = [_rebuilt(x, arrays) for x in v["v"]]
            return out
        case "b":
            return bytes.fromhex(v["v"])
        case "t":
            return tuple(_rebuilt(x, arrays) for x in v["v"])
        case "m":
            return {_rebuilt(k, arrays): _rebuilt(x, arrays) for k, x in v["v"]}
        case "e":
            return _known(v["c"])[v["n"]]
        case "n":
            return _known(v["c"])(*(_rebuilt(x, arrays) for x in v["v"]))
        case "c":
            body = {n: _rebuilt(x, arrays) for n, x in zip(v["n"], v["v"], strict=True)}
            return _known(v["c"])(**body)
    raise ValueError(f"unknown tag {v['!']!r}")


def _known(name: str) -> Any:
    module, _, qualified = name.partition(":")
    if not module.startswith(_HOME):
        raise ValueError(f"{name} is not one of ours")
    found = getattr(import_module(module), qualified)
    # Only types of values: nothing that a module merely imports, no function, no class that does things.
    is_value = isinstance(found, type) and (
        is_dataclass(found) or issubclass(found, Enum) or (issubclass(found, tuple) and hasattr(found, "_fields"))
    )
    if not is_value or found.__module__ != module:
        raise ValueError(f"{name} is no type of value")
    return found
