"""What the search for leaks keeps in mind between hours: evidence without a place, and jumps whose shadow something may be."""

import numpy as np

from solvers.water.leak_search.shadows import Shadows
from solvers.water.leak_search.strongest import Change
from solvers.water.leak_search.waiting import Waiting


def test_evidence_without_a_place_is_asked_ever_more_seldom_until_it_grows() -> None:
    waiting, asked = Waiting(), list[int]()
    for h in range(100, 210):
        waiting.see(h, 8.0)
        if h >= waiting.until:
            asked.append(h)
            waiting.put_off(h)
    gaps = np.diff(asked).tolist()
    assert gaps == sorted(gaps)
    assert set(gaps) == {1, 3, 6, 12}
    waiting.see(210, 1.2 * 8.0)
    assert waiting.until > 210
    waiting.see(211, 1.4 * 8.0)
    assert waiting.until <= 211
    assert waiting.since == 100
    waiting.see(220, 7.0)  # nothing was seen for nine hours: this is something else, however small
    assert (waiting.since, waiting.grown) == (220, 220)


def test_a_jump_shadows_its_own_zone_for_days() -> None:
    shadows = Shadows(np.array([0, 0, 1]))
    shadows.see(0, 30.0, 0)
    assert [shadows.largest_near(h, 1) for h in (1, 96, 144, 240)] == [30.0, 30.0, 15.0, 0.0]
    assert shadows.largest_near(1, 2) == 0.0


def test_only_strong_evidence_long_after_a_much_larger_jump_is_no_shadow() -> None:
    shadows = Shadows(np.array([0, 0, 1]))
    shadows.see(0, 30.0, 0)
    weak, small, large = (Change(z, 4, 1, flow, is_drop=False) for z, flow in ((14.0, 5.0), (16.0, 5.0), (16.0, 20.0)))
    assert [shadows.leaves(h, small) for h in (10, 48, 49)] == [False, False, True]
    assert shadows.leaves(10, large)
    assert not shadows.leaves(49, weak)
