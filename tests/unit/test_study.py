"""The words of a what-if in Python: the same answer as solving the patched network by hand, and pictures of it."""

import asyncio

import matplotlib as mpl
import numpy as np
import pytest

import twin
from grid_models.errors import InvalidInput
from grid_models.formats import read
from grid_models.scenario import Patch, apply
from solvers.solution import Unsolvable
from solvers.solve import solve

mpl.use("Agg")

OPEN_LINE = '[[change]]\nset = { element = "line 2", column = "in_service", value = false }\n'


def test_words_and_patch_are_the_same_change() -> None:
    study = twin.open("pandapower:case9")
    by_words = study.edit("line 2", in_service=False).scale("load *", p_mw=1.1)
    by_patch = study.patch(OPEN_LINE + '[[change]]\nscale = { element = "load *", column = "p_mw", factor = 1.1 }')
    assert by_words.changes == by_patch.changes
    network = read("pandapower:case9")
    expected = solve(apply(network, by_patch.changes)).unwrap()
    for run in (by_words.run(), asyncio.run(by_words.run_async())):
        assert np.array_equal(run.data["bus_vm_pu"], expected["bus_vm_pu"])
    assert study.changes == Patch()
    assert study.run().compare().empty
    assert by_words.run().compare(by_words.run()).empty
    assert not by_words.run().compare().empty


def test_what_cannot_be_is_named() -> None:
    study = twin.open("pandapower:case9")
    with pytest.raises(InvalidInput, match="there is no such line"):
        study.edit("line 99", in_service=False).run()
    with pytest.raises(InvalidInput, match="time of day"):
        study.edit("line 2", at="noon", in_service=False)
    with pytest.raises(Unsolvable, match="VOLTAGE_COLLAPSE"):
        study.scale("load *", p_mw=50.0, q_mvar=50.0).run()


@pytest.mark.parametrize(
    ("base", "duration", "branch", "points"),
    [("pandapower:mv_oberrhein", 0.0, "line_loading_percent", "bus_vm_pu"), ("epyt:Net1", 7200.0, "link_flow_m3_per_s", "")],
)
def test_pictures_hold_what_was_found(base: str, duration: float, branch: str, points: str) -> None:
    study = twin.open(base)
    run = study.run(duration)
    drawn = run.plot(branch)
    values = run.data[branch].isel(time=-1) if duration else run.data[branch]
    assert any(
        np.array_equal(c.get_array(), values.values, equal_nan=True) for c in drawn.collections if c.get_array() is not None
    )
    assert run.plot(points).figure.axes[1].get_ylabel()  # the colour bar names column and unit
    assert len(study.plot().lines) == 2
    with pytest.raises(InvalidInput, match="no column of numbers"):
        run.plot("nothing")


def test_a_notebook_shows_what_was_asked_and_found() -> None:
    study = twin.open("pandapower:case9").edit("line 2", in_service=False)
    assert "line 2: in_service = false" in study._repr_html_()
    run = study.run()
    assert "SOLVED" in run._repr_html_()
    comparison = run.compare()
    assert "line_p_from_mw" in comparison._repr_html_()
    assert comparison.plot().get_title(loc="left").startswith(f"{len(comparison.rows)} differences")


def test_lost_supply_is_told_once_and_before_all_else() -> None:
    study = twin.open("pandapower:mv_oberrhein")
    run, before = study.edit("line 7", in_service=False).run(), study.run()
    dead = [str(bus) for bus in run.data["bus"].values[np.isnan(run.data["bus_vm_pu"].values)]]
    comparison = run.compare(before)
    assert comparison.violated[0] == f"bus {', '.join(dead[:5])} and {len(dead) - 5} more: without supply"
    assert np.isfinite(comparison.rows.head(20)["difference"]).all()
    assert set(comparison.rows.query("column == 'bus_vm_pu' and after != after")["element"]) == set(dead)
    assert before.compare(run).relieved[0] == comparison.violated[0]
