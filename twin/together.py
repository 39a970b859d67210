"""Batches that go through the door together, and what their publisher hears of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from grid_models.state import Position
from twin.intake import Admission
from twin.port import Ack, AckLevel, Batch, Snapshot


def runs(batches: Sequence[Batch]) -> Iterator[list[Batch]]:
    """Consecutive batches together, one that brackets a snapshot or does not follow the one before by itself."""
    run: list[Batch] = []
    for batch in batches:
        plain = batch.snapshot is Snapshot.NONE and run and run[-1].snapshot is Snapshot.NONE
        if run and not (plain and batch.batch_id == run[-1].batch_id + 1):
            yield run
            run = []
        run.append(batch)
    if run:
        yield run


def received(run: Sequence[Batch], admission: Admission, position: Position, notice: str) -> Iterator[Ack]:
    """RECEIVED for batches that came in together: one ack for each that has faults, and one for the others up to it."""
    begin = counted = 0
    for batch in run:
        end = begin + len(batch.rows)
        last = batch is run[-1]
        if last or admission.fault[begin:end].any():
            tally, (errors, more) = admission.tally(counted, end), admission.errors(begin, end)
            yield Ack(
                AckLevel.RECEIVED, batch.batch_id, position, tally.admitted, tally.duplicate, tally.questionable, errors,
                notice if last else "", more,
            )  # fmt: skip
            counted = end
        begin = end


def may_join(before: Ack, ack: Ack) -> bool:
    """Whether an ack may be told together with the next one: it is of the same level, and names no row and nothing else."""
    return before.level is ack.level and not before.errors and not before.notice


def joined(before: Ack, ack: Ack) -> Ack:
    """Two acks of a level as one."""
    return replace(
        ack,
        through_batch_id=max(before.through_batch_id, ack.through_batch_id),
        admitted=before.admitted + ack.admitted,
        duplicate=before.duplicate + ack.duplicate,
        questionable=before.questionable + ack.questionable,
    )
