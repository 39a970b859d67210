"""The published grammar of patches and the reader of patches say the same."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from grid_models.errors import InvalidInput
from grid_models.scenario import Change

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "patch.schema.json").read_text())

GOOD: list[dict[str, Any]] = [
    {"set": {"element": "line 7", "column": "in_service", "value": False}},
    {"at": "18:00", "set": {"element": "pump PUMP_1", "column": "status", "value": "closed"}},
    {"after": "1h30m", "scale": {"element": "load *", "column": "p_mw", "factor": 1.2}},
    {"create": {"table": "load", "id": "99", "fields": {"bus": 3, "p_mw": 1.0}}},
    {"remove": {"element": "pipe p 12"}},
    {"set": {"element": "pattern daily", "column": "multipliers", "value": [1.0, 0.5]}},
]
BAD: list[dict[str, Any]] = [
    {},
    {"set": {"element": "line 7", "column": "in_service"}},
    {"set": {"element": "line7", "column": "in_service", "value": False}},
    {"remove": {"element": "line 7"}, "set": {"element": "line 7", "column": "in_service", "value": False}},
    {"at": "six", "remove": {"element": "line 7"}},
    {"after": "2 hours", "remove": {"element": "line 7"}},
    {"at": "18:00", "after": "2h", "remove": {"element": "line 7"}},
    {"open": {"element": "line 7"}},
    {"scale": {"element": "load 3", "column": "p_mw", "factor": "much"}},
    {"remove": {"element": "line 7", "column": "in_service"}},
]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("entry", GOOD, ids=str)
def test_both_take_it(entry: dict[str, Any]) -> None:
    jsonschema.validate({"change": [entry]}, SCHEMA)
    Change.from_table(1, entry)


@pytest.mark.parametrize("entry", BAD, ids=str)
def test_both_refuse_it(entry: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"change": [entry]}, SCHEMA)
    with pytest.raises(InvalidInput):
        Change.from_table(1, entry)
