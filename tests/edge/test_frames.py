"""What readers of one selection share."""

from __future__ import annotations

import gc

from twin.edge.frames import Frames
from twin.edge.selection import Selected


def chosen(*columns: str) -> Selected:
    return Selected(columns, (), single=False, sigma=False, origin=False, residuals=False)


def test_equal_selections_are_one_object_for_as_long_as_somebody_has_it() -> None:
    """Who asks for something else each time must not fill our memory with what was asked for."""
    frames = Frames()
    one = frames.shared(chosen("a"))
    assert frames.shared(chosen("a")) is one
    for k in range(100):
        assert frames.shared(chosen("a", str(k))) is not one
    gc.collect()
    assert list(frames._selections) == [one]
