"""A small city whose networks are solved for real: case9 and a pumped tank, its pump at a bus, and an hour of readings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np

from grid_models.formats import write
from grid_models.library.water import pumped_tank
from grid_models.measurements import Rows, Signal, SignalKind, Update
from tests.waiting import until
from twin.assembly import assemble
from twin.config import read_config
from twin.journal import Journal
from twin.lease import Lease
from twin.point_list import write_point_list
from twin.port import AckLevel, Batch, Claim, ClaimedSignal
from twin.service import TwinService

NETWORKS = ("power", "water")
NOON_US = 1_773_057_600_000_000  # 2026-03-09 12:00 UTC
MINUTE_US = 60_000_000
_SETTINGS = """
signals = "points.csv"
clock = "stream"
lateness_s = 600
[[networks]]
name = "power"
model = "pandapower:case9"
cycle_s = 60
[[networks]]
name = "water"
model = "water.twin"
cycle_s = 300
[[pumps]]
water = "water"
pump = "lift"
power = "power"
bus = 4
"""


def points() -> list[Signal]:
    def point(uid: int, network: str, table: str, element: object, quantity: str, unit: str, sigma: float) -> Signal:
        return Signal(
            uid, f"{table} {element} {quantity}", network, SignalKind.ANALOG, table, str(element), quantity, "", unit, 1,
            sigma, -1e4, 1e4, Update.CYCLIC, 600.0, 7200.0,
        )  # fmt: skip

    voltages = [point(1 + k, "power", "bus", k, "vm_pu", "pu", 0.002) for k in range(9)]
    loads = [point(20 + k, "power", "load", k, "p_mw", "MW", 1.0) for k in range(3)]
    pressure = point(30, "water", "junction", "street", "pressure_m", "m", 0.05)
    return [*voltages, *loads, pressure, point(31, "water", "tank", "tower", "level_m", "m", 0.01)]


def rows(minute: int) -> Rows:
    """Readings of a quiet hour: voltages, loads that breathe; with each instant of the water's grid a tank that falls."""
    breath = np.sin(minute / 10)
    water = (43.0, 3.0 - minute / 500) if minute % 5 == 0 else ()
    value = np.array([*np.full(9, 1.0 + 1e-3 * breath), *(90.0 + breath, 100.0, 125.0), *water])
    n = len(value)
    uids, times = np.array([p.uid for p in points()[:n]], np.uint32), np.full(n, NOON_US + minute * MINUTE_US)
    return Rows(
        uids, value, times, np.zeros(n, np.int64),
        np.full(n, 1, np.uint8), np.full(n, 1, np.uint8), np.zeros(n, np.uint8), np.zeros(n, np.uint64),
    )  # fmt: skip


def settings(folder: Path) -> Path:
    """Write point list, water network and settings; gives the settings' path."""
    folder.mkdir(exist_ok=True)
    write_point_list(points(), folder / "points.csv")
    write(pumped_tank(), folder / "water.twin")
    (folder / "twin.toml").write_text(_SETTINGS)
    return folder / "twin.toml"


async def started(path: Path) -> TwinService:
    """The city's service."""
    config = read_config(path)
    service = TwinService("city", assemble(config), Lease(config.store), Journal(config.store))
    await service.start()
    return service


async def played(service: TwinService, minutes: int, first: int = 0, epoch: int = 1) -> AsyncIterator[int]:
    """Send minute after minute, each once the states of the one before are out and seen; gives the minute that is out."""
    claimed = tuple(ClaimedSignal(p.uid, p.unit, p.sign) for p in service.catalogue.signals)
    claim = Claim("scada", epoch, 0, service.catalogue.revision, claimed, AckLevel.ESTIMATED)
    stream = await service.open_publisher(claim)
    acks = stream.acks()

    async def rest() -> bool:
        return all(chain.rests for chain in service._engine._chains.values())

    for minute in range(first, minutes):
        await stream.submit(Batch(minute - first + 1, rows(minute)))
        covered = 0
        while covered <= minute - first:
            ack = await asyncio.wait_for(anext(acks), 60)
            covered = ack.through_batch_id if ack.level is AckLevel.ESTIMATED else covered
        await until(rest)
        yield minute
