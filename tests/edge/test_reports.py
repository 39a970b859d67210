"""What the field says, over the wire: a burst's alarm, an operator at the command line, a city's CSV, a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from grid_models.measurements import Rows
from tests.edge.memory_twin import START_US, MemoryTwin
from tests.simulation.test_what_was_found_is_carried import MONDAY_US, STEP_US, readings, town
from twin.cli import report as command
from twin.cli.app import guarded
from twin.client import AsyncTwinClient, ClientError, FieldReport, Level, Point, ReportKind, TwinClient
from twin.edge.server import EdgeServer
from twin.journal import Journal
from twin.lease import Lease
from twin.port import AckLevel, Transition, TwinEvent
from twin.service import TwinService

_WAIT_S = 60.0


async def test_a_report_comes_back_as_it_was_and_page_by_page(core: MemoryTwin, server: EdgeServer) -> None:
    draft = FieldReport(
        ReportKind.LOGGER, "mv", "desk", "loud", "logger 7", point=Point(1.0, 2.0, 3.0), level=Level(48.0, 30.0, 1.5)
    )

    def play() -> None:
        with TwinClient(f"localhost:{server.port}") as client:
            entered = client.report(draft)
            assert (entered.point, entered.level, entered.source) == (draft.point, draft.level, "logger 7")
            assert (entered.report_id, entered.counts_us) == ("1-1", START_US)
            client.report(draft, validate_only=True)
            assert client.reports() == (entered,)

    await asyncio.to_thread(play)
    assert core.field[0].request_id
    async with AsyncTwinClient(f"localhost:{server.port}") as client:
        assert len(await client.reports()) == 1
        for wrong, field in (
            (FieldReport(ReportKind.CITIZEN, "mv", "", "wet", pipes=("1",)), "report.author"),
            (FieldReport(ReportKind.CITIZEN, "mv", "me", " ", pipes=("1",)), "report.text"),
            (FieldReport(ReportKind.CITIZEN, "mv", "me", "wet", alarm_id="x", pipes=("1",)), "report.alarm"),
            (FieldReport(ReportKind.REPAIRED, "", "me", "wet"), "report.alarm"),
            (FieldReport(ReportKind.LOGGER, "mv", "me", "loud", pipes=("1",)), "report.level"),
            (FieldReport(ReportKind.LOGGER, "mv", "me", "loud", level=Level(1.0, 1.0, 0.0)), "report.level"),
            (FieldReport(ReportKind.CITIZEN, "mv", "me", "wet", point=Point(1.0, float("nan"), 1.0)), "report.point"),
        ):
            with pytest.raises(ClientError, match=field) as caught:
                await client.report(wrong)
            assert caught.value.code == "INVALID_ARGUMENT"


async def test_an_operator_and_a_city_report_on_a_burst_and_a_restart_keeps_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin, edge = await _started(tmp_path)
    base = f"grpc://localhost:{edge.port}/water"
    rows = readings()
    file = tmp_path / "reports.csv"

    async def ran(action: Callable[[], int]) -> tuple[int, str, str]:
        status = await asyncio.to_thread(guarded, action)
        told = capsys.readouterr()
        return status, " ".join(told.out.split()), told.err

    async with AsyncTwinClient(f"localhost:{edge.port}") as client:
        await _play(client, 0, rows[:54], epoch=1)
        raised = await _told(client, Transition.RAISED)
        assert len(raised.evidence) == 5
        assert all(e.signal and e.trace for e in raised.evidence)

        file.write_text("id,time,text,pipe\n1,2026-03-02T04:20,wet,E202\n2,2026-03-02T04:20,wet,E999\n3,2027-01-01,wet,E202\n")
        status, _, err = await ran(lambda: command.import_(base, file, "desk"))
        assert status == 2
        assert "reports.csv:3: report 2: water has no pipe 'E999'" in err
        assert "reports.csv:4: report 3: report.happen_time: lies ahead of the twin's clock" in err
        assert twin.reports() == []
        file.write_text("id,time,text,x,y,radius\n1,2026-03-02T04:20,wet,500,410,30\n2,2026-03-02T04:20,wet,480,400,30\n")
        for _ in range(2):  # the second time they are there
            status, out, _ = await ran(lambda: command.import_(base, file, "desk"))
            assert (status, out.endswith("2 reports, 2 entered")) == (0, True)
        assert [r.pipes for r in twin.reports()] == [("E202",), ("E202",)]

        status, _, err = await ran(lambda: command.add(base, "rejected", "crew", "dry", alarm="LEAK/water/7#7"))
        assert status == 2
        assert f"no alarm 'LEAK/water/7#7'; open are {raised.alarm_id}" in err
        assert (await ran(lambda: command.add(base, "singing", "crew", "dry")))[0] == 2
        status, out, _ = await ran(lambda: command.add(base, "rejected", "crew", "dry", alarm=raised.alarm_id, pipe=["N101"]))
        assert status == 0
        assert f"on {raised.alarm_id}: rejected by crew at pipe N101: dry" in out
        before = twin.reports()
    await edge.stop(0.0)
    await twin.stop()

    twin, edge = await _started(tmp_path)
    base = f"grpc://localhost:{edge.port}/water"
    assert twin.reports() == before
    status, out, _ = await ran(lambda: command.list_(base))
    assert (status, out.count("citizen by desk at pipe E202: wet")) == (0, 2)
    async with AsyncTwinClient(f"localhost:{edge.port}") as client:
        await ran(lambda: command.add(base, "repaired", "crew", "clamped", alarm=raised.alarm_id))
        await _play(client, 54, rows[54:60], epoch=2)
        over = await _told(client, Transition.CLEARED)
        assert (over.alarm_id, over.message) == (raised.alarm_id, "the leak near pipe E202 has been repaired")
        with pytest.raises(ClientError, match="is over") as caught:
            await client.report(FieldReport(ReportKind.REPAIRED, "", "crew", "again", alarm_id=raised.alarm_id))
        assert caught.value.code == "FAILED_PRECONDITION"
    await edge.stop(0.0)
    await twin.stop()


async def _started(folder: Path) -> tuple[TwinService, EdgeServer]:
    twin = TwinService("small", town(), Lease(folder / "store"), Journal(folder / "store"))
    await twin.start()
    edge = EdgeServer(twin, "localhost:0")
    await edge.start()
    return twin, edge


async def _play(client: AsyncTwinClient, first: int, batches: list[Rows], epoch: int) -> None:
    async with client.publish("scada", epoch=epoch, ack=AckLevel.ESTIMATED) as stream:
        for k, rows in enumerate(batches, start=first):
            number = await stream.send(rows.signal, rows.value, MONDAY_US + k * STEP_US)
        await stream.wait(number)


async def _told(client: AsyncTwinClient, transition: Transition) -> TwinEvent:
    async with asyncio.timeout(_WAIT_S):
        async for event in client.events():
            if event.code == "LEAK" and event.transition is transition:
                return event
    raise AssertionError(transition)
