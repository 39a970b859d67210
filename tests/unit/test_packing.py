"""Packed values come back as they were, and reading executes nothing."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from grid_models.measurements import Rows, SignalKind, TimeQuality
from grid_models.state import Position
from tests.simulation.small_twin import rows
from twin.packing import Unreadable, packed, unpacked

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(plain)
def test_plain_values_come_back(value: object) -> None:
    assert unpacked(packed(value)) == value


@given(npst.arrays(npst.scalar_dtypes().filter(lambda d: d.kind in "biufcSU"), npst.array_shapes(min_side=0)))
def test_arrays_come_back_with_dtype_shape_and_bits(array: np.ndarray) -> None:
    back, other = unpacked(packed((array, np.arange(3))))
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert other.tolist() == [0, 1, 2]


@pytest.mark.parametrize("item", [0.0, -0.0, np.nan, np.float32(2.5), np.uint8(3), np.int64(-1), True, "ab", 1j])
def test_an_array_that_repeats_an_item_holds_it_once_and_comes_back(item: object) -> None:
    array = np.full((40, 50), item)
    data = packed(array)
    back = unpacked(data)
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert (len(data) < 200) == (array.dtype.itemsize <= 8)
    almost = array.copy()
    almost[17, 3] = -item if isinstance(item, float) else np.zeros(1, dtype=array.dtype)[0]  # differs, if only in its sign
    assert unpacked(packed(almost)).tobytes() == almost.tobytes()


def test_dataclasses_tuples_with_names_and_enums_come_back() -> None:
    some: Rows = rows((1, 0, 2.0), (3, 1.5, float("inf")))
    back = unpacked(packed({"rows": some, "at": Position(2, 3), "kind": SignalKind.SWITCH, "o": TimeQuality.NONE}))
    assert isinstance(back["rows"], Rows)
    assert back["rows"].value.tolist() == [2.0, float("inf")]
    assert back["at"] == Position(2, 3)
    assert type(back["at"]) is Position
    assert back["kind"] is SignalKind.SWITCH


def test_a_float_of_numpy_and_nan_come_back() -> None:
    back = unpacked(packed((np.float64(0.1), float("nan"), -0.0)))
    assert back[0] == 0.1
    assert np.isnan(back[1])
    assert np.signbit(back[2])


def document(value: object) -> bytes:
    head = json.dumps(value).encode()
    return struct.pack("<I", len(head)) + head


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        document({"!": "z"}),
        document({"!": "e", "c": "os:system", "n": "x"}),
        document({"!": "c", "c": "subprocess:Popen", "n": ["args"], "v": ["true"]}),
        document({"!": "n", "c": "twin.packing:import_module", "v": ["os"]}),
        document({"!": "n", "c": "twin.journal:os.system", "v": ["true"]}),
        document({"!": "c", "c": "twin.journal:Journal", "n": ["folder"], "v": ["/nowhere"]}),
        document({"!": "a", "d": "<f8", "s": [3], "o": 0}),
        document({"!": "a", "d": "|O", "s": [1], "o": 0}),
        document({"!": "a", "d": "<f8", "s": [-1], "o": 0}),
    ],
)
def test_what_is_no_packed_value_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        unpacked(data)


def test_what_cannot_be_packed_is_named() -> None:
    with pytest.raises(TypeError, match="cannot pack object"):
        packed(object())
