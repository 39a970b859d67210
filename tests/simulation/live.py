"""The service on a store, for tests: started and started again, with rows played to it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from grid_models.measurements import Rows
from tests.simulation.small_twin import SECOND, T0, claim, parts, rows
from twin.assembly import Parts
from twin.journal import Journal
from twin.lease import Lease
from twin.port import AckLevel, Batch
from twin.service import TwinService
from twin.stream import Stream


class Start:
    """Starts the service on one store, stopping the one before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: TwinService | None = None

    async def __call__(self, some: Parts | None = None) -> TwinService:
        await self.stop()
        self.running = TwinService("small", some or parts(), Lease(self.folder), Journal(self.folder))
        await self.running.start()
        return self.running

    async def stop(self) -> None:
        if self.running is not None:
            await self.running.stop()
            self.running = None


async def reached(stream: Stream, level: AckLevel, batch: int) -> None:
    async def wait() -> None:
        async for ack in stream.acks():
            if ack.level is level and ack.through_batch_id >= batch:
                return

    await asyncio.wait_for(wait(), 10)


async def play(twin: TwinService, first: int, last: int, epoch: int = 1) -> Stream:
    """A row each second for power, each other second for water, until states cover them."""
    stream = await twin.open_publisher(claim(epoch=epoch))
    await go_on(stream, first, last, stream.opened.last_durable_batch_id)
    return stream


async def go_on(stream: Stream, first: int, last: int, done: int) -> None:
    for n, t in enumerate(range(first, last), start=done + 1):
        await stream.submit(Batch(n, rows((1, t, float(t)), *(((11, t, 1.0),) if t % 2 == 0 else ()))))
    await reached(stream, AckLevel.ESTIMATED, done + last - first)


async def history(twin: TwinService, uid: int = 1, known_us: int | None = None) -> list[float]:
    found = [r async for r in twin.read_measurements((uid,), T0, T0 + 10**6 * SECOND, known_us)]
    return Rows.concatenate(found).value.tolist()
