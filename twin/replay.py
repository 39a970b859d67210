"""Recompute states from the journal, without a service: for `twin replay`, for as-of queries, and as proof.

The same engine takes the same rows in the same order; its Estimate effects are performed at once. What comes out equals
what was published, bit for bit on one build and CPU class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from grid_models.measurements import Rows
from grid_models.state import NetworkState
from twin.assembly import Parts
from twin.effects import Append, Effect, Estimate, Publish
from twin.engine import Engine, digest
from twin.journal import Entry, EntryKind
from twin.packing import unpacked
from twin.port import PublishedState


@dataclass(frozen=True)
class Comparison:
    """A recomputed state against the journal.

    Args:
        published: the recomputed state.
        equal: whether its digest is the one that was published; None where nothing was published for its instant.
    """

    published: PublishedState
    equal: bool | None


def recompute(
    parts: Parts, entries: Iterable[Entry], known_us: int | None = None, until_us: int | None = None
) -> Iterator[PublishedState]:
    """Every state that the journal's measurements give, corrections included, in the order of computation.

    Args:
        parts: models and catalogue.
        entries: of the journal, from its beginning.
        known_us: only measurements received up to here, Unix us; None = all.
        until_us: stop when nothing can change the states up to here any more, Unix us; None = at the end.
    """
    engine = Engine(parts.setup(epoch=0))
    for entry in entries:
        match entry.kind:
            case EntryKind.ROWS:
                body = unpacked(entry.payload)
                if until_us is not None and body["oldest"] > until_us:
                    yield from _performed(parts, engine, engine.advance(body["now"]))
                    return
                rows: Rows = body["rows"]
                if known_us is not None:
                    rows = rows.take(rows.receive_time_us <= known_us)
                yield from _performed(parts, engine, engine.readmit(rows, body["now"], body["oldest"]))
            case EntryKind.TOPICAL:
                body = unpacked(entry.payload)
                yield from _performed(parts, engine, engine.reorphan(body["signals"], body["time"], topical=body["topical"]))
            case EntryKind.STATE:
                yield from _performed(parts, engine, engine.advance(unpacked(entry.payload)["now"]))


def compared(parts: Parts, entries: Iterable[Entry]) -> Iterator[Comparison]:
    """Recompute, and hold every final state against the digest in the journal."""
    kept = list(entries)
    published: dict[tuple[str, int], bytes] = {}
    for entry in kept:
        if entry.kind is EntryKind.STATE:
            body = unpacked(entry.payload)
            published[body["network"], body["instant"]] = bytes(body["digest"])
    final: dict[tuple[str, int], PublishedState] = {}
    for state in recompute(parts, kept):
        final[state.state.network, state.state.valid_time_us] = state
    for key, state in sorted(final.items(), key=lambda item: item[0][1]):
        yield Comparison(state, published[key] == digest(state.state) if key in published else None)


def measurements(entries: Iterable[Entry]) -> Iterator[Rows]:
    """The admitted rows of a journal."""
    for entry in entries:
        if entry.kind is EntryKind.ROWS:
            yield unpacked(entry.payload)["rows"]


def _performed(parts: Parts, engine: Engine, effects: list[Effect]) -> Iterator[PublishedState]:
    waiting = list(effects)
    while waiting:
        effect = waiting.pop(0)
        if isinstance(effect, Append):
            waiting += engine.committed(effect.entry.position)
        elif isinstance(effect, Publish):
            yield effect.published
        elif isinstance(effect, Estimate):
            waiting += engine.estimated(effect.network, estimated(parts, effect))


def estimated(parts: Parts, request: Estimate) -> NetworkState:
    """Perform an Estimate effect."""
    return parts.estimators[request.network].step(request.measured, request.previous, request.coupled)
