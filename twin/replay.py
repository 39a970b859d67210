"""Recompute states from the journal, without a service: for `twin replay`, for as-of queries, and as proof.

The same engine takes the same rows in the same order; its Estimate effects are performed at once. What comes out equals
what was published, bit for bit on one build and CPU class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from grid_models.measurements import Rows
from grid_models.state import NetworkState
from twin.assembly import Parts
from twin.chain import digest
from twin.checkpoint import Checkpoint
from twin.effects import Append, Effect, Estimate, Learn, Publish
from twin.engine import Engine
from twin.journal import Entry, EntryKind
from twin.packing import unpacked
from twin.port import PublishedState
from twin.watching import looked

_NEVER_US = 1 << 62


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

    Where the entries begin with a checkpoint, the states that it holds come first.

    Args:
        parts: models and catalogue; where the point list was another one, that one is taken.
        entries: of the record, from its beginning or from a checkpoint.
        known_us: only measurements received up to here, Unix us; None = all.
        until_us: stop when nothing can change the states up to here any more, Unix us; None = at the end.
    """
    engine = _reading(parts)
    for k, entry in enumerate(entries):
        match entry.kind:
            case EntryKind.START if k == 0:
                parts = parts.of(unpacked(entry.payload)["catalogue"])
                engine = _reading(parts)
            case EntryKind.CHECKPOINT if k == 0:
                checkpoint = unpacked(entry.payload)
                parts = parts.of(checkpoint.catalogue)
                engine = _recalled(parts, checkpoint)
                held = [link.published for c in checkpoint.chains.values() for link in c.links.values()]
                yield from sorted(held, key=lambda p: p.state.valid_time_us)
            case EntryKind.CHECKPOINT:
                checkpoint = unpacked(entry.payload)
                known = known_us is None or checkpoint.mark.heard_us <= known_us
                if checkpoint.catalogue != parts.catalogue.revision and known:
                    yield from _performed(parts, engine, engine.advance(checkpoint.now_us))
                    yield from _performed(parts, engine, engine.conclude())
                    parts = parts.of(checkpoint.catalogue)
                    engine = _recalled(parts, checkpoint)
                    yield from _performed(parts, engine, engine.advance(checkpoint.now_us))
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
            case EntryKind.MANUAL:
                body = unpacked(entry.payload)
                if known_us is None or body["made"] <= known_us:
                    yield from _performed(parts, engine, engine.reenter(body["entry"], body["now"]))
            case EntryKind.REPORT:
                body = unpacked(entry.payload)
                if known_us is None or body["made"] <= known_us:
                    yield from _performed(parts, engine, engine.rereport(body["report"], body["now"]))
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


def _reading(parts: Parts) -> Engine:
    """An engine that only reads: the checkpoints are there already, and nobody is told of leaks again."""
    return Engine(replace(parts.setup(epoch=0), keyframe_us=_NEVER_US, watches=parts.watches))


def _recalled(parts: Parts, checkpoint: Checkpoint) -> Engine:
    engine = _reading(parts)
    # Whoever replays has heard of no state yet, also of those that can still change.
    untold = {network: replace(memory, said={}) for network, memory in checkpoint.chains.items()}
    engine.recall(replace(checkpoint, chains=untold), {name: e.model.revision for name, e in parts.estimators.items()})
    return engine


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
        elif isinstance(effect, Learn):
            waiting += engine.learned(effect.network, looked(parts.watches, effect))


def estimated(parts: Parts, request: Estimate) -> NetworkState:
    """Perform an Estimate effect."""
    return parts.estimators[request.network].step(request.given)
