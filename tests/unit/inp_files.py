"""An .inp file with everything in it, and what the tests of its reader and writer share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grid_models.errors import InvalidInput
from grid_models.formats.epanet import read_text
from grid_models.formats.epanet_text import InpText
from grid_models.water.network import WaterNetwork

FULL = """
[JUNCTIONS]
 J 0.123456789 0
 K 1 0.123456789
 A 2 0
 B 3 0
[RESERVOIRS]
 R 250
[TANKS]
 T 10 1.23456789 0 5 10.123456789 0
[PIPES]
 P R J 10.123456789 300.123456789 130.123456789 0.123456789
 Q R A 10 300 130 0 CV
 S A T 10 300 130 0 Closed
[PUMPS]
 U J A POWER 10.123456789
 W J A HEAD C SPEED 1.123456789 PATTERN a
[VALVES]
 V A B 300 PRV 20.123456789 0
 Y J K 300 FCV 1.123456789 0
 G J K 300 GPV loss 0
[STATUS]
 V CLOSED
 Y OPEN
 U CLOSED
[PATTERNS]
 a 1.123456789 2.123456789e-5
[CURVES]
 C 1.123456789 2.123456789
 loss 0 0
 loss 10 2.5
[DEMANDS]
 K 0.123456789 a ;homes
 K 0.2
[EMITTERS]
 A 0.123456789
[LEAKAGE]
 P 100 10
[CONTROLS]
 LINK P OPEN IF NODE T BELOW 1.123456789
 LINK V 1.123456789 AT TIME 1.123456789
 LINK V OPEN AT CLOCKTIME 3:12 pm
 LINK W 1.123456789 IF NODE K ABOVE 8
 LINK Y CLOSED AT TIME 8:00:01
[RULES]
RULE 1
IF TANK T LEVEL > 1.123456789
OR JUNCTION K PRESSURE <= 7.5
OR TANK T FILLTIME > 1.123456789
AND SYSTEM CLOCKTIME > 3:12:01 PM
AND LINK V STATUS IS ACTIVE
THEN PUMP W SETTING IS 1.123456789
AND VALVE Y SETTING IS 2
ELSE PIPE P STATUS IS CLOSED
PRIORITY 3
[QUALITY]
 J 0.5
[SOURCES]
 J MASS 2
[REACTIONS]
 BULK P -0.5
[ENERGY]
 GLOBAL PRICE 0.123456789
[TIMES]
 DURATION 24:00:07
 PATTERN TIMESTEP 0:05
 QUALITY TIMESTEP 0:01
[OPTIONS]
 UNITS LPS
 QUALITY Chlorine mg/L
 PRESSURE KPA
 DEMAND MULTIPLIER 1.123456789
 DEMAND MODEL PDA
 REQUIRED PRESSURE 200
 VISCOSITY 1.123456789
[TAGS]
 LINK P old
[COORDINATES]
 J 1.5 2.5
[VERTICES]
 P 1 1
[END]
"""


def read(text: str) -> WaterNetwork:
    return read_text(InpText(text, "net.inp"), "net")


def lines_of(failure: pytest.ExceptionInfo[InvalidInput]) -> list[tuple[str, int | None]]:
    return [(issue.component, issue.line) for issue in failure.value.issues]


def assert_same(a: WaterNetwork, b: WaterNetwork, rtol: float) -> None:
    """Same ids, text and options; floats to `rtol`."""
    for name, table in a.tables.items():
        other = b.tables[name]
        assert table.index.tolist() == other.index.tolist(), name
        for column, values in table.items():
            if values.dtype.kind == "f":
                np.testing.assert_allclose(other[column], values, rtol=rtol, atol=0, err_msg=f"{name} {column}")
            elif len(values) and isinstance(values[0], np.ndarray):
                for mine, theirs in zip(values, other[column], strict=True):
                    np.testing.assert_allclose(theirs, mine, rtol=rtol, atol=0, err_msg=f"{name} {column}")
            else:
                assert values.tolist() == other[column].tolist(), f"{name} {column}"
    assert [(c.link, c.status, c.condition, c.node, c.enabled) for c in a.controls] == [
        (c.link, c.status, c.condition, c.node, c.enabled) for c in b.controls
    ]
    np.testing.assert_allclose([c.value for c in b.controls], [c.value for c in a.controls], rtol=rtol)
    assert len(a.rules) == len(b.rules)
    for mine, theirs in zip(a.rules, b.rules, strict=True):
        assert [replace(p, value=None) for p in mine.premises] == [replace(p, value=None) for p in theirs.premises]
        values = [p.value or 0.0 for p in mine.premises]
        np.testing.assert_allclose([p.value or 0.0 for p in theirs.premises], values, rtol=rtol)
        assert [(x.link, x.status) for x in mine.then] == [(x.link, x.status) for x in theirs.then]
