"""The living twin: performs the engine's effects and serves the port.

One event loop owns the engine. The journal writes on its own thread, estimates run on a pool whose kernels release the
interpreter lock, what-ifs on a thread of their own; all report back to the loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import time_ns
from typing import Any

from grid_models.errors import InvalidInput, Issue
from grid_models.measurements import Catalogue, Rows
from grid_models.scenario import Patch
from grid_models.state import NetworkState, Position
from solvers.solution import Status
from twin import what_if
from twin.arrivals import Arrivals
from twin.asides import Asides
from twin.assembly import Parts
from twin.chain import digest
from twin.commits import Commits
from twin.effects import Announce, Append, Effect, Estimate, Learn, Publish, Tell
from twin.engine import Engine
from twin.errors import Exhausted, PreconditionFailed, TooOld, TwinError, Unavailable
from twin.estimators.failure import repeated
from twin.event_log import EventLog
from twin.field_report import FieldReport
from twin.history import History
from twin.journal import Entry, EntryKind, Journal
from twin.lease import Lease
from twin.packing import packed, unpacked
from twin.places import placed
from twin.port import AsOf, Batch, Claim, Delivery, ManualEntry, NetworkInfo, PublishedState, RunResult, TwinEvent
from twin.records import Records
from twin.replay import estimated
from twin.room import Room
from twin.states import States
from twin.stream import Stream
from twin.watching import Looked, looked

log = logging.getLogger(__name__)

_TICK_S = 0.2  # or earlier, when a state falls due
_SHORTEST_S = 0.001
_CONCLUDE_S = 0.02  # between two looks whether every state is final
_IN_FLIGHT_BYTES = 64 << 20  # of rows that are not yet durable


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
        self._lease, self._journal = lease, journal
        self._records = Records(journal)
        self._given, self.parts = parts, _in_force(parts, self._records.catalogue())
        self._engine = Engine(self.parts.setup(lease.epoch))
        self._commits = Commits(journal, lambda position: self._perform(self._engine.committed(position)))
        self._history = History(self._records, parts.keep_us, lambda: self._engine.now_us)
        self._asides = Asides()
        self._states = States(parts, self._records, self._asides, self._engine.lived_until)
        self._events = EventLog()
        self._streams: dict[str, Stream] = {}
        self._room = Room(_IN_FLIGHT_BYTES)  # of all streams
        self._arrivals = Arrivals(self._take_in)
        self._live = ThreadPoolExecutor(max_workers=len(parts.estimators), thread_name_prefix="live")
        self._tasks: set[asyncio.Task[None]] = set()
        self._rebinding = asyncio.Lock()
        self._misfits: tuple[Issue, ...] = ()  # of a point list that could not be taken

    async def start(self) -> None:
        """Take up where the store's last epoch ended, and begin to live."""
        for text in self._journal.report:
            log.error("journal report=%r", text)
        started = time_ns()
        models = {name: e.model.revision for name, e in self.parts.estimators.items()}
        self._events.recall(unpacked(payload) for payload in self._journal.events)
        await self._asides.run(lambda: self._engine.restore(self._records.newest(), models))
        log.info("restored epoch=%d seconds=%.2f", self._lease.epoch, (time_ns() - started) / 1e9)
        self._states.resume()
        begin = {"epoch": self._lease.epoch, "models": models, "catalogue": self.catalogue.revision}
        position = self._engine.begin()
        self._perform([Append(Entry(position, EntryKind.START, packed(begin)))])
        self._perform(self._engine.resume())
        self._keep(self._ticking())
        self._keep(self._history.keep_sealing())
        self._keep(self._rebound(self._given))  # where the list changed while nobody lived

    async def stop(self) -> None:
        """Write what is waiting and let go of the store."""
        for task in list(self._tasks):
            task.cancel()
        self._arrivals.cancel()
        for name in list(self._streams):
            self._streams.pop(name).end()
        self._live.shutdown(wait=True, cancel_futures=True)
        self._asides.close()
        self._history.close()
        await asyncio.get_running_loop().run_in_executor(None, self._journal.close)
        self._lease.release()

    # What the twin is

    @property
    def catalogue(self) -> Catalogue:
        """The signals at the current revision."""
        return self.parts.catalogue

    def networks(self) -> tuple[NetworkInfo, ...]:
        """All networks."""
        cycles = {n.name: n.cycle_us / 1e6 for n in self.parts.networks}
        return tuple(
            NetworkInfo(
                name, self.parts.kinds[name], e.model.revision, cycles[name], e.dims, e.columns, self._states.readiness(name)
            )
            for name, e in self.parts.estimators.items()
        )

    def check(self) -> tuple[Issue, ...]:
        """What is wrong with the twin right now."""
        issues = [Issue("journal", "", (), text) for text in self._journal.report]
        if self._journal.full:
            issues.append(Issue("journal", "", (), "the disk is full"))
        if self._history.trouble:
            issues.append(Issue("archive", "", (), self._history.trouble))
        if self._commits.failure is not None:
            issues.append(Issue("journal", "", (), str(self._commits.failure)))
        return (*issues, *self._misfits)

    # Another point list

    async def rebind(self) -> None:
        """Take the point list as it stands in its file now; one that cannot be used is named in `check`, the old one stays."""
        assert self.parts.bind is not None
        try:
            parts = await self._asides.run(self.parts.bind, None)
        except InvalidInput as error:
            log.warning("point list refused: %s", error)
            self._misfits = tuple(error.issues)
            return
        self._misfits = ()
        await self._rebound(parts)

    def rebind_soon(self) -> None:
        """Have it done."""
        self._keep(self.rebind())

    async def _rebound(self, parts: Parts) -> None:
        async with self._rebinding:
            if parts.catalogue.revision == self.catalogue.revision:
                self._perform(self._engine.over())
                return
            while True:
                refused = self._engine.refused(parts.catalogue)
                for publisher in refused:  # what it has handed in is of the list before; the others' batches may wait
                    self._arrivals.flush(publisher)
                self._perform(self._engine.conclude())
                if self._engine.concluded:
                    break
                await asyncio.sleep(_CONCLUDE_S)
            for publisher, names in refused.items():
                self._end_stream(publisher, _unbound(names))
            effects = self._engine.rebind(parts.setup(self._lease.epoch))
            self.parts = parts
            self._perform(effects + self._engine.over())

    # What comes in

    async def open_publisher(self, claim: Claim) -> Stream:
        """Admit a publisher, or refuse its claim naming the signals."""
        if self._commits.failure is not None:
            raise self._commits.failure
        self._arrivals.flush(claim.publisher)  # what it handed in on the stream before came before
        opened, effects = self._engine.open(claim)
        before = self._streams.pop(claim.publisher, None)
        if before is not None:
            before.end()
        stream = self._streams[claim.publisher] = Stream(self, claim, opened, self._room)
        self._perform(effects)
        return stream

    def receive(self, publisher: str, batch: Batch) -> None:
        """Give a batch to the engine: at once, or with all that come within the next moment where many do.

        Raises:
            Exhausted: the journal's disk is full.
        """
        self._check_door()
        self._arrivals.add(publisher, batch)

    def close_stream(self, name: str, stream: Stream, reason: TwinError | None = None) -> None:
        """A stream has ended."""
        self._arrivals.flush(name)
        if self._streams.get(name) is stream:
            del self._streams[name]
            self._perform(self._engine.close(name))
        stream.end(reason)

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

    async def report(self, draft: FieldReport, *, validate_only: bool = False) -> FieldReport:
        """Take a report from the field; returns once it is on disk."""
        self._check_door()
        if validate_only:
            return self._engine.check_report(draft, self._placed)
        report, effects = self._engine.report(draft, self._placed)
        await self._written(effects)
        return report

    def reports(self) -> list[FieldReport]:
        """Reports from the field that are kept."""
        return self._engine.reports()

    def _placed(self, draft: FieldReport) -> FieldReport:
        return placed(draft, self.parts.estimators[draft.network].model)

    async def acknowledge(self, alarm_id: str, author: str, comment: str) -> TwinEvent:
        """An operator has seen the alarm."""
        event, effects = self._engine.acknowledge(alarm_id, author, comment)
        await self._written(effects)
        return event

    def _check_door(self) -> None:
        if self._commits.failure is not None:
            raise self._commits.failure
        if self._journal.full:
            raise Exhausted("the journal's disk is full; send again when there is room, nothing acknowledged is lost")

    def _take_in(self, publisher: str, batches: list[Batch]) -> None:
        """Let a publisher's batches through the door."""
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

    async def _written(self, effects: list[Effect]) -> None:
        """Perform effects and wait until the journal holds the first of them."""
        self._perform(effects)
        first = next((e.entry.position for e in effects if isinstance(e, Append)), None)
        if first is not None:
            await self._commits.holds(first)

    # What goes out

    def position(self, network: str) -> Position:
        """The newest published position."""
        newest = self._states.newest(network)
        return newest.position if newest else Position(self._lease.epoch, 0)

    def watch_states(self, network: str, resume_after: Position | None, min_interval_s: float) -> AsyncIterator[Delivery]:
        """The newest state, then each next one; latest wins."""
        return self._states.watch(network, resume_after, min_interval_s)

    async def get_state(self, network: str, at: Position | AsOf | None) -> PublishedState:
        """The newest state, one revision, or as of two times; see `States.get`."""
        return await self._states.get(network, at)

    def read_states(self, network: str, start_us: int, end_us: int, known_us: int | None) -> AsyncIterator[PublishedState]:
        """Every kept revision in [start, end), in order, none merged."""
        return self._states.read(network, start_us, end_us, known_us)

    @property
    def event_sequence(self) -> int:
        """Sequence of the newest event, 0 where there is none."""
        return self._events.sequence

    def watch_events(self, after_sequence: int) -> AsyncIterator[TwinEvent]:
        """Every event after the given one, then live; gap-free."""
        return self._events.watch(after_sequence)

    def read_measurements(
        self, signals: tuple[int, ...], start_us: int, end_us: int, known_us: int | None
    ) -> AsyncIterator[Rows]:
        """Admitted rows by the time at which they stand: the archive's in order of time, then what is not sealed yet."""
        return self._history.read(signals, start_us, end_us, known_us)

    async def fork(self, network: str, at: Position | AsOf | None) -> Any:
        """The network carrying the state at that instant as its own injections and levels."""
        published = await self.get_state(network, at)
        return await self._asides.run(self.parts.estimators[network].fork, published.state)

    async def run_what_if(self, network: str, at: Position | AsOf | None, patch: Patch, duration_s: float) -> RunResult:
        """Fork, patch, solve, compare; writes nothing live."""
        published = await self.get_state(network, at)
        fork = await self._asides.run(self.parts.estimators[network].fork, published.state)
        return await self._asides.stoppable(partial(what_if.run, fork, patch, duration_s, published.state.valid_time_us))

    # What the engine wants

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Append(entry):
                    self._commits.append(entry)
                    self._records.noticed(entry)
                case Estimate():
                    self._keep(self._estimate(effect))
                case Learn():
                    self._keep(self._learn(effect))
                case Publish(published):
                    self._states.publish(published)
                case Announce(event):
                    self._events.announce(event)
                case Tell(publisher, ack):
                    if publisher in self._streams:
                        self._streams[publisher].tell(ack)

    async def _estimate(self, request: Estimate) -> None:
        try:
            state, seen = await asyncio.get_running_loop().run_in_executor(self._live, self._computed, request)
        except Exception:  # a fault of ours in one instant of one network must not stop the others
            instant, before = request.given.measured.valid_time_us, request.given.previous
            log.exception("estimate failed network=%s instant=%d", request.network, instant)
            if before is None:
                self._perform(self._engine.failed(request.network))
                return
            state = repeated(before, instant, Status.NOT_CONVERGED)
            seen = digest(state)
        self._perform(self._engine.estimated(request.network, state, seen))

    async def _learn(self, request: Learn) -> None:
        seen: Looked = {}
        try:
            seen = await asyncio.get_running_loop().run_in_executor(self._live, looked, self.parts.live_watches, request)
        except Exception:  # a fault of ours in a watch must not stop the network's states
            log.exception("watch failed network=%s instant=%d", request.network, request.state.valid_time_us)
        self._perform(self._engine.learned(request.network, seen))

    def _computed(self, request: Estimate) -> tuple[NetworkState, bytes]:
        state = estimated(self.parts, request)
        return state, digest(state)

    async def _ticking(self) -> None:
        while True:
            now_us = time_ns() // 1000
            self._perform(self._engine.tick(now_us))
            due_us = self._engine.due_us
            left_s = _TICK_S if due_us is None else (due_us - now_us) / 1e6
            await asyncio.sleep(min(max(left_s, _SHORTEST_S), _TICK_S))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _in_force(parts: Parts, revision: int | None) -> Parts:
    """The parts under the point list that the store ends with."""
    if revision is None:
        return parts
    try:
        return parts.of(revision)
    except TooOld as error:  # the models have changed, too: as with another model, all begins anew
        log.warning("point list taken anew: %s", error)
        return parts


def _unbound(names: list[str]) -> PreconditionFailed:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    text = f"signal {names[0]}{more} was bound anew or taken out; read the catalogue and open the stream again"
    return PreconditionFailed(text, [Issue("signal", "", (name,), "was bound anew or taken out") for name in names])
