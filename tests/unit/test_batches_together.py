"""Batches that wait together are taken in at once and answered at once."""

from __future__ import annotations

import pytest

from tests.simulation.small_twin import (
    SECOND,
    T0,
    WATER,
    driver,
    rows,
)  # fmt: skip
from twin.errors import PreconditionFailed
from twin.journal import EntryKind
from twin.packing import unpacked
from twin.port import AckLevel, Batch, RowFault, Snapshot


def test_batches_taken_in_together_are_told_of_together_and_each_fault_by_its_batch() -> None:
    twin = driver(stream_clock=False).open()
    nan = float("nan")
    batches = [
        rows((1, 0, 1.0)),
        rows((1, 0.1, 2.0)),
        rows((2, 0, 1.0), (2, 0, nan), (77, 0, 1.0)),
        rows((3, 0, 1.0), (1, 0, 1.0), (3, 0, 2.0)),
    ]
    twin.perform(twin.engine.receive("scada", [Batch(n, b) for n, b in enumerate(batches, start=1)], T0 + SECOND))
    acks = [a for _, a in twin.acks if a.level is AckLevel.RECEIVED]
    assert [(a.through_batch_id, a.admitted, a.duplicate) for a in acks] == [(4, 4, 1)]
    assert [(e.batch_id, e.row, e.signal, e.fault) for e in acks[0].errors] == [
        (3, 1, 2, RowFault.NOT_FINITE),
        (3, 2, 77, RowFault.UNKNOWN_SIGNAL),
        (4, 2, 3, RowFault.CONFLICT),
    ]
    durable = [a for _, a in twin.acks if a.level is AckLevel.DURABLE]
    assert [(a.through_batch_id, a.admitted, a.duplicate) for a in durable] == [(4, 4, 1)]
    entries = [unpacked(e.payload) for e in twin.journal if e.kind is EntryKind.ROWS]
    assert [(e["batch"], len(e["rows"])) for e in entries] == [(4, 4)]


def test_what_was_taken_in_already_is_said_again_and_a_gap_takes_nothing_in() -> None:
    twin = driver(stream_clock=False).open()
    one, two, three = (Batch(n, rows((1, n, float(n)))) for n in (1, 2, 3))
    twin.perform(twin.engine.receive("scada", [one, two], T0 + 5 * SECOND))
    before = len(twin.acks)
    twin.perform(twin.engine.receive("scada", [two, three], T0 + 5 * SECOND))
    told = [a for _, a in twin.acks[before:] if a.level is not AckLevel.ESTIMATED]
    assert [(a.level.name, a.through_batch_id, a.admitted, a.duplicate) for a in told] == [
        ("DURABLE", 2, 0, 1), ("RECEIVED", 3, 1, 0), ("DURABLE", 3, 1, 0),
    ]  # fmt: skip
    written = len(twin.journal)
    with pytest.raises(PreconditionFailed, match="batch 5 came after 3; batch ids are consecutive"):
        twin.engine.receive("scada", [Batch(5, rows((1, 6, 1.0)))], T0 + 5 * SECOND)
    assert len(twin.journal) == written


def test_a_snapshot_is_not_mixed_with_the_batches_beside_it() -> None:
    twin = driver(stream_clock=False).open()
    marks = (Snapshot.NONE, Snapshot.NONE, Snapshot.BEGIN, Snapshot.NONE, Snapshot.END)
    batches = [Batch(n, rows((n % 3 + 1, 0, 1.0)), mark) for n, mark in enumerate(marks, start=1)]
    twin.perform(twin.engine.receive("scada", batches, T0 + SECOND))
    assert [unpacked(e.payload)["batch"] for e in twin.journal if e.kind is EntryKind.ROWS] == [2, 3, 4, 5]
    topical = [unpacked(e.payload) for e in twin.journal if e.kind is EntryKind.TOPICAL]
    assert [(t["signals"].tolist(), t["topical"]) for t in topical] == [([1, 2, 3], True), (sorted(WATER), False)]
