"""The door: every row that is refused or marked has its reason, and the others count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from grid_models.measurements import Catalogue, Flag, Rows, TimeQuality, Validity
from tests.simulation.small_twin import CATALOGUE, POWER, SECOND, T0, rows, signal
from twin.intake import Admission, admit
from twin.port import RowFault
from twin.window import Window


def mask(catalogue: Catalogue, uids: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.append(np.isin(catalogue.uid, uids), False)


def admitted(batch: Rows, *, window: Window | None = None, now: float = 0, catalogue: Catalogue = CATALOGUE) -> Admission:
    now_us = T0 + round(now * SECOND)
    return admit(
        batch, catalogue, mask(catalogue, POWER), Window(catalogue) if window is None else window,
        receive_us=now_us + 5, now_us=now_us, oldest_us=now_us - 10 * SECOND, outranked=mask(catalogue, ()),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("batch", "fault"),
    [
        (rows((99, 0, 1.0)), RowFault.UNKNOWN_SIGNAL),
        (rows((11, 0, 1.0)), RowFault.NOT_CLAIMED),
        (rows((1, 0, float("nan"))), RowFault.NOT_FINITE),
        (rows((1, 0, float("-inf"))), RowFault.NOT_FINITE),
        (rows((1, 0, 1.0), validity=0), RowFault.BAD_QUALITY),
        (rows((1, 0, 1.0), validity=4), RowFault.BAD_QUALITY),
        (rows((1, 0, 1.0), quality=9), RowFault.BAD_QUALITY),
        (rows((1, 0, 1.0), flags=64), RowFault.BAD_QUALITY),
        (rows((1, -1.8e9, 1.0)), RowFault.BAD_TIME),
    ],
)
def test_a_bad_row_is_refused_by_name_and_its_neighbours_count(batch: Rows, fault: RowFault) -> None:
    mixed = Rows.concatenate([rows((2, 0, 5.0)), batch, rows((3, 0, 6.0))])
    result = admitted(mixed)
    assert [(e.row, e.signal, e.fault) for e in result.errors(1)[0]] == [(1, int(batch.signal[0]), fault)]
    assert result.history.value.tolist() == [5.0, 6.0]
    assert len(result.window) == 2


def test_a_value_outside_its_plausible_range_is_admitted_and_marked() -> None:
    result = admitted(rows((1, 0, 5000.0), (2, 0, 1000.0)))
    assert result.history.validity.tolist() == [Validity.QUESTIONABLE, Validity.GOOD]
    assert result.tally().questionable == 1
    assert result.errors(1)[0] == []


def test_a_worse_validity_stays_as_it_came() -> None:
    assert admitted(rows((1, 0, 5000.0), validity=3)).history.validity.tolist() == [Validity.INVALID]


@pytest.mark.parametrize("flags", range(32))
def test_every_combination_of_flags_reaches_history_unchanged(flags: int) -> None:
    result = admitted(rows((1, 0, 1.0), flags=flags))
    assert result.history.flags.tolist() == [flags]
    assert len(result.window) == (0 if flags & Flag.TEST else 1)  # TEST goes to history only


def test_the_publishers_direction_is_turned_into_ours() -> None:
    turned = Catalogue(1, tuple(replace(s, sign=-1) for s in CATALOGUE.signals))
    assert admitted(rows((1, 0, 3.0)), catalogue=turned).history.value.tolist() == [-3.0]


def test_bounds_hold_in_our_direction() -> None:
    one_way = Catalogue(1, (signal(1, "power", sign=-1, lower=0.0, upper=10.0),))
    result = admitted(rows((1, 0, -3.0), (1, 1, 3.0)), catalogue=one_way)
    assert result.history.validity.tolist() == [Validity.GOOD, Validity.QUESTIONABLE]


def test_a_clock_ahead_is_kept_told_and_no_longer_synced() -> None:
    result = admitted(rows((1, 4.9, 1.0), (2, 60, 1.0)))
    assert result.history.time_quality.tolist() == [TimeQuality.SYNCED, TimeQuality.UNSYNCED]
    assert result.lead == 60 * SECOND
    assert result.history.source_time_us.tolist() == [T0 + round(4.9 * SECOND), T0 + 60 * SECOND]


def test_a_row_without_time_stands_at_now_and_never_in_1970() -> None:
    result = admitted(rows((1, 0, 1.0), quality=TimeQuality.NONE), now=7)
    assert result.history.source_time_us.tolist() == [0]
    assert result.history.receive_time_us.tolist() == [T0 + 7 * SECOND]
    assert len(result.window) == 1


def test_identities_of_rows_without_time_are_signal_and_sequence() -> None:
    window = Window(CATALOGUE)
    first = rows((1, 0, 1.0, 5), quality=TimeQuality.NONE)
    assert len(admitted(first, window=window, now=1).history) == 1
    assert admitted(first, window=window, now=30).tally().duplicate == 1
    other = admitted(rows((1, 0, 2.0, 5), quality=TimeQuality.NONE), window=window, now=30)
    assert [e.fault for e in other.errors(1)[0]] == [RowFault.CONFLICT]
    window.forget(T0 + 40 * SECOND)
    assert len(admitted(first, window=window, now=60).history) == 1


def test_a_duplicate_within_one_batch_counts_once() -> None:
    result = admitted(rows((1, 0, 1.0), (1, 0, 1.0), (1, 0, 2.0), (1, 0, 2.0, 1)))
    assert (len(result.history), result.tally().duplicate) == (2, 1)
    assert [(e.row, e.fault) for e in result.errors(1)[0]] == [(2, RowFault.CONFLICT)]


def test_a_late_row_goes_to_history_only() -> None:
    result = admitted(rows((1, 9.9, 1.0), (1, 10, 2.0)), now=20)
    assert result.history.value.tolist() == [1.0, 2.0]
    assert result.window.value.tolist() == [2.0]
    assert [e.fault for e in result.errors(1)[0]] == [RowFault.TOO_LATE]


def test_a_thousand_errors_are_counted_and_a_hundred_listed() -> None:
    result = admitted(rows(*((99, 0, 1.0) for _ in range(1000))))
    assert (len(result.errors(1)[0]), result.errors(1)[1]) == (100, 900)


def test_an_empty_batch_is_nothing() -> None:
    result = admitted(Rows.empty())
    assert (len(result.history), result.errors(1)[0], result.lead) == (0, [], None)
