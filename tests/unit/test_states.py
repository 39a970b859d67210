"""Which state is the one of a time, where some are kept and others are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from grid_models.state import Position
from tests.simulation.small_twin import POWER, SECOND, T0, estimate, parts
from twin.asides import Asides
from twin.errors import TooOld
from twin.estimators import Given
from twin.journal import Journal
from twin.port import AsOf, PublishedState
from twin.records import Records
from twin.states import States
from twin.window import Window


@pytest.fixture
def states(tmp_path: Path) -> Iterator[States]:
    """Nothing is on record: what is not kept cannot be computed again."""
    journal, asides = Journal(tmp_path), Asides()
    yield States(parts(), Records(journal), asides, lambda network: T0 + 10 * SECOND)
    asides.close()
    journal.close()


async def test_a_frame_between_two_instants_of_the_grid_stands_for_no_later_instant(states: States) -> None:
    """After a restart a frame may be kept, as it was corrected, and the instant behind it not, as it stayed what it was."""
    for revision, instant_us in enumerate((T0 + SECOND * 29 // 20, T0 + 10 * SECOND), start=1):
        state = estimate("power", POWER, Given(Window(parts().catalogue).in_force(instant_us, "power")))
        states.publish(PublishedState(Position(1, revision), instant_us, state, correction=True))

    async def found(second: float) -> float:
        published = await states.get("power", AsOf(T0 + round(second * SECOND)))
        return (published.state.valid_time_us - T0) / SECOND

    assert [await found(t) for t in (1.45, 1.9, 10, 10.9)] == [1.45, 1.45, 10, 10]
    with pytest.raises(TooOld, match="no state at or before"):
        await found(2.3)
