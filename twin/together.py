"""Batches that go through the door together, and what their publisher hears of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from grid_models.state import Position
from twin.intake import Admission
from twin.port import Ack, AckLevel, Batch, RowError, Snapshot

_ERRORS = 200  # of acks that are told as one


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


def received(run: Sequence[Batch], admission: Admission, position: Position, notice: str) -> Ack:
    """RECEIVED for batches that came in together."""
    errors: list[RowError] = []
    begin = unlisted = 0
    for batch in run:
        listed, more = admission.errors(batch.batch_id, begin, begin + len(batch.rows))
        errors += listed
        unlisted += more
        begin += len(batch.rows)
    tally = admission.tally()
    return Ack(
        AckLevel.RECEIVED, run[-1].batch_id, position, tally.admitted, tally.duplicate, tally.questionable, tuple(errors),
        notice, unlisted,
    )  # fmt: skip


def may_join(before: Ack, ack: Ack) -> bool:
    """Whether an ack may be told together with the next one: it is of the same level, has no news, and the list stays short."""
    return before.level is ack.level and not before.notice and len(before.errors) + len(ack.errors) <= _ERRORS


def joined(before: Ack, ack: Ack) -> Ack:
    """Two acks of a level as one."""
    return replace(
        ack,
        through_batch_id=max(before.through_batch_id, ack.through_batch_id),
        admitted=before.admitted + ack.admitted,
        duplicate=before.duplicate + ack.duplicate,
        questionable=before.questionable + ack.questionable,
        errors=before.errors + ack.errors,
        unlisted=before.unlisted + ack.unlisted,
    )
