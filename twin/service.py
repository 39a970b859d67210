"""The living twin: performs the engine's effects and serves the port.

One event loop owns the engine. The journal writes on its own thread, estimates run on a pool whose kernels release the
interpreter lock, what-ifs on a pool of their own; all report back to the loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from time import time_ns
from typing import Any, TypeVar

import numpy as np

from grid_models.errors import Issue
from grid_models.measurements import Catalogue, Rows
from grid_models.scenario import Patch
from grid_models.state import Freshness, NetworkState, Position
from solvers.solution import Cancelled, Status
from twin import what_if
from twin.assembly import Parts
from twin.chain import digest
from twin.effects import Announce, Append, Effect, Estimate, Publish, Tell
from twin.engine import Engine
from twin.errors import Exhausted, NotFound, TooOld, TwinError, Unavailable
from twin.estimators.failure import repeated
from twin.history import History
from twin.journal import Entry, EntryKind, Journal
from twin.lease import Lease
from twin.packing import packed, unpacked
from twin.port import (
    AsOf,
    Batch,
    Claim,
    Delivery,
    ManualEntry,
    NetworkInfo,
    PublishedState,
    RunResult,
    TwinEvent,
)
from twin.publisher import Publisher
from twin.records import Records
from twin.replay import estimated, recompute
from twin.room import Room
from twin.stream import Stream

log = logging.getLogger(__name__)

_TICK_S = 0.2
_GATHER_S = 0.01  # what comes within it, after a batch that was taken in at once, is taken in together
_ROWS_AT_ONCE = 10_000  # or a few more: the loop has others to serve
_IN_FLIGHT_BYTES = 64 << 20  # of rows that are not yet durable

T = TypeVar("T")


class TwinService:
    """Implements `twin.port.Twin` on a store folder.

    Args:
        name: of the twin.
        parts: models, estimators, watches.
        lease: of the store.
        journal: of the store.
    """

    def __init__(self, name: str, parts: Parts, lease: Lease, journal: Journal) -> None:
        self.name = name
        self.parts = parts
        self._lease, self._journal = lease, journal
        self._records = Records(journal)
        self._engine = Engine(parts.setup(lease.epoch))
        self._history = History(self._records, parts.keep_us, lambda: self._engine.now_us)
        self._publishers = {network: Publisher() for network in parts.estimators}
        self._streams: dict[str, Stream] = {}
        self._room = Room(_IN_FLIGHT_BYTES)  # of all streams
        self._arrived: deque[tuple[str, Batch]] = deque()  # from which publisher
        self._intake: asyncio.TimerHandle | None = None
        self._intake_s = 0.0  # when it was last done
        self._events: list[TwinEvent] = []
        self._event_news = asyncio.Condition()
        self._live = ThreadPoolExecutor(max_workers=len(parts.estimators), thread_name_prefix="live")
        self._asides = ThreadPoolExecutor(max_workers=1, thread_name_prefix="what-if")
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: TwinError | None = None
        self._unwritten: deque[tuple[Position, asyncio.Future[None]]] = deque()
        self._written_to: deque[tuple[Position, TwinError | None]] = deque()  # from the journal's thread

    async def start(self) -> None:
        """Take up where the store's last epoch ended, and begin to live."""
        self._loop = asyncio.get_running_loop()
        for text in self._journal.report:
            log.error("journal report=%r", text)
        started = time_ns()
        models = {name: e.model.revision for name, e in self.parts.estimators.items()}
        self._events = [unpacked(payload) for payload in self._journal.events]
        await self._aside(lambda: self._engine.restore(self._records.newest(), models))
        log.info("restored epoch=%d seconds=%.2f", self._lease.epoch, (time_ns() - started) / 1e9)
        for network, publisher in self._publishers.items():
            publisher.dropped = self._engine.lived_until(network) >= 0
        begin = {"epoch": self._lease.epoch, "models": models, "catalogue": self.catalogue.revision}
        position = self._engine.begin()
        self._perform([Append(Entry(position, EntryKind.START, packed(begin)))])
        self._perform(self._engine.resume())
        self._keep(self._ticking())
        self._keep(self._history.keep_sealing())

    async def stop(self) -> None:
        """Write what is waiting and let go of the store."""
        for task in list(self._tasks):
            task.cancel()
        if self._intake is not None:
            self._intake.cancel()
        for name in list(self._streams):
            self._streams.pop(name).end()
        self._live.shutdown(wait=True, cancel_futures=True)
        self._asides.shutdown(wait=True, cancel_futures=True)
        self._history.close()
        assert self._loop is not None
        await self._loop.run_in_executor(None, self._journal.close)
        self._lease.release()

    # What the port asks

    @property
    def catalogue(self) -> Catalogue:
        """The signals at the current revision."""
        return self.parts.catalogue

    @property
    def event_sequence(self) -> int:
        """Sequence of the newest event."""
        return self._events[-1].sequence if self._events else 0

    def networks(self) -> tuple[NetworkInfo, ...]:
        """All networks."""
        cycles = {n.name: n.cycle_us / 1e6 for n in self.parts.networks}
        return tuple(
            NetworkInfo(name, self.parts.kinds[name], e.model.revision, cycles[name], e.dims, e.columns, self._readiness(name))
            for name, e in self.parts.estimators.items()
        )

    def position(self, network: str) -> Position:
        """The newest published position."""
        newest = self._publisher(network).newest
        return newest.position if newest else Position(self._lease.epoch, 0)

    async def open_publisher(self, claim: Claim) -> Stream:
        """Admit a publisher, or refuse its claim naming the signals."""
        if self._failure is not None:
            raise self._failure
        self._take_all_in()
        opened, effects = self._engine.open(claim)
        before = self._streams.pop(claim.publisher, None)
        if before is not None:
            before.end()
        stream = self._streams[claim.publisher] = Stream(self, claim, opened, self._room)
        self._perform(effects)
        return stream

    def watch_states(self, network: str, resume_after: Position | None, min_interval_s: float) -> AsyncIterator[Delivery]:
        """The newest state, then each next one; latest wins."""
        return self._publisher(network).watch(resume_after, min_interval_s)

    async def get_state(self, network: str, at: Position | AsOf | None) -> PublishedState:
        """The newest state, one revision, or as of two times.

        Raises:
            NotFound: nothing has been published yet, or no such position.
            TooOld: before the first measurement.
        """
        publisher = self._publisher(network)
        if at is None:
            if publisher.newest is None:
                raise NotFound(f"{network} has no state yet; it waits for its first measurements")
            return publisher.newest
        if isinstance(at, Position):
            found = next((p for p in publisher.kept if p.position == at), None)
            if found is None:
                raise NotFound(f"{network} keeps no state at position {tuple(at)}; the oldest is {self._oldest(network)}")
            return found
        kept = [
            p
            for p in publisher.kept
            if p.state.valid_time_us <= at.valid_time_us and (at.known_time_us is None or p.known_time_us <= at.known_time_us)
        ]
        cycle = next(n.cycle_us for n in self.parts.networks if n.name == network)
        if kept:
            best = max(kept, key=lambda p: (p.state.valid_time_us, p.position))
            caught_up = best.state.valid_time_us >= self._engine.lived_until(network)
            if at.valid_time_us - best.state.valid_time_us < cycle or (best is publisher.newest and caught_up):
                return best
        return await self._recomputed(network, at)

    async def read_states(
        self, network: str, start_us: int, end_us: int, known_us: int | None
    ) -> AsyncIterator[PublishedState]:
        """Every kept revision in [start, end), in order, none merged."""
        kept = list(self._publisher(network).kept)
        if kept and start_us < kept[0].state.valid_time_us and self._publisher(network).dropped:
            raise TooOld(f"{network} keeps states from {self._oldest(network)} on; use history for older ones")
        for published in kept:
            known = known_us is None or published.known_time_us <= known_us
            if start_us <= published.state.valid_time_us < end_us and known:
                yield published

    async def watch_events(self, after_sequence: int) -> AsyncIterator[TwinEvent]:
        """Every event after the given one, then live; gap-free."""
        at = next((i for i, e in enumerate(self._events) if e.sequence > after_sequence), len(self._events))
        while True:
            while at < len(self._events):
                at += 1
                yield self._events[at - 1]
            async with self._event_news:
                while at >= len(self._events):
                    await self._event_news.wait()

    async def acknowledge(self, alarm_id: str, author: str, comment: str) -> TwinEvent:
        """An operator has seen the alarm."""
        event, effects = self._engine.acknowledge(alarm_id, author, comment)
        await self._written(effects)
        return event

    async def enter_manual(self, draft: ManualEntry, *, validate_only: bool = False) -> ManualEntry:
        """Take an entry by hand; returns once it is on disk."""
        self._check_door()
        if validate_only:
            return self._engine.check_manual(draft)
        entry, effects = self._engine.enter(draft)
        await self._written(effects)
        return entry

    def manual_entries(self) -> list[ManualEntry]:
        """Entries in force or to come."""
        return self._engine.manual_entries()

    async def withdraw_manual(self, entry_id: str, author: str, reason: str) -> ManualEntry:
        """End an entry; returns once that is on disk."""
        self._check_door()
        entry, effects = self._engine.withdraw(entry_id, author, reason, time_ns() // 1000)
        await self._written(effects)
        return entry

    async def _written(self, effects: list[Effect]) -> None:
        """Perform effects and wait until the journal holds the first of them."""
        first = next((e.entry.position for e in effects if isinstance(e, Append)), None)
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if first is not None:
            self._unwritten.append((first, waiting))
        self._perform(effects)
        if first is not None:
            await waiting

    async def read_measurements(
        self, signals: tuple[int, ...], start_us: int, end_us: int, known_us: int | None
    ) -> AsyncIterator[Rows]:
        """Admitted rows by the time at which they stand: the archive's in order of time, then what is not sealed yet."""
        async for rows in self._history.read(signals, start_us, end_us, known_us):
            yield rows

    async def fork(self, network: str, at: Position | AsOf | None) -> Any:
        """The network carrying the state at that instant as its own injections and levels."""
        published = await self.get_state(network, at)
        return await self._aside(self.parts.estimators[network].fork, published.state)

    async def run_what_if(self, network: str, at: Position | AsOf | None, patch: Patch, duration_s: float) -> RunResult:
        """Fork, patch, solve, compare; writes nothing live."""
        published = await self.get_state(network, at)
        fork = await self._aside(self.parts.estimators[network].fork, published.state)
        return await self._stoppable(partial(what_if.run, fork, patch, duration_s, published.state.valid_time_us))

    def check(self) -> tuple[Issue, ...]:
        """What is wrong with the twin right now."""
        issues = [Issue("journal", "", (), text) for text in self._journal.report]
        if self._journal.full:
            issues.append(Issue("journal", "", (), "the disk is full"))
        if self._history.trouble:
            issues.append(Issue("archive", "", (), self._history.trouble))
        if self._failure is not None:
            issues.append(Issue("journal", "", (), str(self._failure)))
        return tuple(issues)

    # What the engine wants

    def receive(self, publisher: str, batch: Batch) -> None:
        """Give a batch to the engine: at once, or with all that come within the next moment where many do.

        Raises:
            Exhausted: the journal's disk is full.
        """
        assert self._loop is not None
        self._check_door()
        self._arrived.append((publisher, batch))
        if self._intake is None:
            pause_s = max(0.0, self._intake_s + _GATHER_S - self._loop.time())
            self._intake = self._loop.call_later(pause_s, self._take_in)

    def _take_in(self) -> None:
        """Let what has arrived through the door, each publisher's batches together; much of it in several turns."""
        assert self._loop is not None
        taken: dict[str, list[Batch]] = {}
        rows = 0
        while self._arrived and rows < _ROWS_AT_ONCE:
            publisher, batch = self._arrived.popleft()
            taken.setdefault(publisher, []).append(batch)
            rows += len(batch.rows)
        self._intake, self._intake_s = None, self._loop.time()
        if self._arrived:
            self._intake = self._loop.call_later(0.0, self._take_in)
        for publisher, batches in taken.items():
            try:
                self._perform(self._engine.receive(publisher, batches, time_ns() // 1000))
            except TwinError as error:
                self._end_stream(publisher, error)
            except Exception:  # a fault of ours in one batch: its sender must not wait for ever, the others live on
                log.exception("intake failed publisher=%s batch=%d", publisher, batches[0].batch_id)
                reason = "the batch could not be taken in, by a fault of ours; open the stream again"
                self._end_stream(publisher, Unavailable(reason))

    def _end_stream(self, publisher: str, reason: TwinError) -> None:
        if publisher in self._streams:
            self.close_stream(publisher, self._streams[publisher], reason)

    def _take_all_in(self) -> None:
        """Before streams come or go: what was handed in came before."""
        while self._arrived:
            if self._intake is not None:
                self._intake.cancel()
            self._take_in()

    def _check_door(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._journal.full:
            raise Exhausted("the journal's disk is full; send again when there is room, nothing acknowledged is lost")

    def close_stream(self, name: str, stream: Stream, reason: TwinError | None = None) -> None:
        """A stream has ended."""
        self._take_all_in()
        if self._streams.get(name) is stream:
            del self._streams[name]
            self._perform(self._engine.close(name))
        stream.end(reason)

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Append(entry):
                    self._journal.append(entry, partial(self._from_journal, entry.position))
                    self._records.noticed(entry)
                case Estimate():
                    self._keep(self._estimate(effect))
                case Publish(published):
                    self._keep(self._publishers[published.state.network].publish(published))
                case Announce(event):
                    self._keep(self._announce(event))
                case Tell(publisher, ack):
                    if publisher in self._streams:
                        self._streams[publisher].tell(ack)

    def _from_journal(self, position: Position, error: TwinError | None) -> None:
        """On the journal's thread: wake the loop, once for all that has been written since it last looked."""
        assert self._loop is not None
        self._written_to.append((position, error))
        if len(self._written_to) == 1 and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hear_journal)

    def _hear_journal(self) -> None:
        while self._written_to:
            position, error = self._written_to.popleft()
            while error is None and self._written_to and self._written_to[0][1] is None:
                position = self._written_to.popleft()[0]
            self._committed(position, error)

    def _committed(self, position: Position, error: TwinError | None) -> None:
        if error is not None:
            if self._failure is None:
                log.error("journal failed position=%s reason=%s", tuple(position), error)
            self._failure = error
        while self._unwritten and self._unwritten[0][0] <= position:
            waiting = self._unwritten.popleft()[1]
            if waiting.done():  # its caller has gone
                continue
            if error is None:
                waiting.set_result(None)
            else:
                waiting.set_exception(error)
        if error is None:
            self._perform(self._engine.committed(position))

    async def _estimate(self, request: Estimate) -> None:
        assert self._loop is not None
        try:
            state, seen = await self._loop.run_in_executor(self._live, self._computed, request)
        except Exception:  # a fault of ours in one instant of one network must not stop the others
            log.exception("estimate failed network=%s instant=%d", request.network, request.given.measured.valid_time_us)
            before = request.given.previous
            if before is None:
                self._perform(self._engine.failed(request.network))
                return
            state = repeated(before, request.given.measured.valid_time_us, Status.NOT_CONVERGED)
            seen = digest(state)
        self._perform(self._engine.estimated(request.network, state, seen))

    def _computed(self, request: Estimate) -> tuple[NetworkState, bytes]:
        state = estimated(self.parts, request)
        return state, digest(state)

    async def _announce(self, event: TwinEvent) -> None:
        async with self._event_news:
            self._events.append(event)
            self._event_news.notify_all()
        log.info(
            "event sequence=%d code=%s transition=%s %s",
            event.sequence,
            event.code,
            event.transition.name,
            event.message,
        )

    async def _ticking(self) -> None:
        while True:
            self._perform(self._engine.tick(time_ns() // 1000))
            await asyncio.sleep(_TICK_S)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _aside(self, function: Callable[..., T], *arguments: Any) -> T:
        assert self._loop is not None
        return await self._loop.run_in_executor(self._asides, partial(function, *arguments))

    async def _stoppable(self, function: Callable[[Cancelled], T]) -> T:
        """Run aside what may take long; it stops soon after whoever asked has gone."""
        gone = Event()
        try:
            return await self._aside(function, gone.is_set)
        finally:
            gone.set()

    async def _recomputed(self, network: str, at: AsOf) -> PublishedState:
        def search(cancelled: Cancelled) -> PublishedState | None:
            best = None
            entries = self._records.serving(at.valid_time_us, at.known_time_us)
            for published in recompute(self.parts, entries or (), at.known_time_us, at.valid_time_us):
                if cancelled():
                    break
                if published.state.network == network and published.state.valid_time_us <= at.valid_time_us:
                    best = published
            return best

        found = await self._stoppable(search)
        if found is None:
            raise TooOld(f"{network} has no state at or before this time; the oldest kept is {self._oldest(network)}")
        return found

    def _publisher(self, network: str) -> Publisher:
        if network not in self._publishers:
            raise NotFound(f"no network {network}; there are {', '.join(self._publishers)}")
        return self._publishers[network]

    def _oldest(self, network: str) -> str:
        kept = self._publisher(network).kept
        if not kept:
            return "none"
        return str(np.datetime64(kept[0].state.valid_time_us, "us"))

    def _readiness(self, network: str) -> str:
        """LIVE, READY (it has a state), FRESH (and the state is good)."""
        newest = self._publisher(network).newest
        if newest is None:
            return "LIVE"
        return "FRESH" if newest.state.freshness is Freshness.FRESH else "READY"
