"""A client that knows the .proto and nothing else of ours: the wire does what its comments say."""

from __future__ import annotations

import asyncio

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.edge.memory_twin import BUSES, LINES, START_US, MemoryTwin
from twin.api.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    common_pb2,
    event_pb2,
    event_pb2_grpc,
    history_pb2,
    history_pb2_grpc,
    ingest_pb2,
    ingest_pb2_grpc,
    scenario_pb2,
    scenario_pb2_grpc,
    state_pb2,
    state_pb2_grpc,
)
from twin.edge.server import EdgeServer

TWIN = "twins/test"
NETWORK = f"{TWIN}/networks/mv"


def opening(**changes: object) -> ingest_pb2.IngestRequest:
    claim = {"twin": TWIN, "publisher": "scada", "publisher_epoch": 1, "catalog_revision": 7, **changes}
    return ingest_pb2.IngestRequest(open=ingest_pb2.IngestRequest.Open(**claim))  # type: ignore[arg-type]


def batch(number: int, **columns: object) -> ingest_pb2.IngestRequest:
    rows = common_pb2.MeasurementBatch(**columns)  # type: ignore[arg-type]
    return ingest_pb2.IngestRequest(batch=ingest_pb2.IngestRequest.Batch(batch_id=number, rows=rows))


async def ingest(channel: grpc.aio.Channel, *requests: ingest_pb2.IngestRequest) -> list[ingest_pb2.IngestResponse]:
    call = ingest_pb2_grpc.IngestServiceStub(channel).Ingest(iter(requests), timeout=5)
    return [response async for response in call]


async def refusal(call: object) -> grpc.aio.AioRpcError:
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call  # type: ignore[misc]  # a unary call is awaitable
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call was answered")


async def test_measurements_go_in_and_come_out_of_history(core: MemoryTwin, channel: grpc.aio.Channel) -> None:
    answers = await ingest(
        channel,
        opening(),
        batch(1, signal=[100, 101], value=[1.0, 1.02], source_time_us=[START_US], flags=bytes([4, 16])),
        batch(2, signal=[102], value=[0.99], source_time_us=[START_US + 10], validity=b"\2", sequence=[9]),
    )
    assert answers[0].opened.max_rows == 1000
    durable = [a.ack for a in answers[1:] if a.ack.level == ingest_pb2.ACK_LEVEL_DURABLE]
    assert [a.through_batch_id for a in durable] == [1, 2]
    assert core.closed == ["scada"]
    request = history_pb2.ReadMeasurementsRequest(twin="twins/-", signal=[100, 101, 102])
    request.start_time.FromMicroseconds(START_US)
    request.end_time.FromMicroseconds(START_US + 11)
    chunks = [c.rows async for c in history_pb2_grpc.HistoryServiceStub(channel).ReadMeasurements(request)]
    assert [list(c.signal) for c in chunks] == [[100, 101], [102]]
    assert (list(chunks[0].source_time_us), chunks[0].flags) == ([START_US] * 2, bytes([4, 16]))
    assert (chunks[1].validity, list(chunks[1].sequence), chunks[1].time_quality) == (b"\2", [9], b"\1")


async def test_bad_rows_are_refused_in_band_and_the_others_count(channel: grpc.aio.Channel) -> None:
    answers = await ingest(
        channel, opening(), batch(1, signal=[100, 999, 101], value=[1.0, 1.0, float("nan")], source_time_us=[START_US])
    )
    ack = next(a.ack for a in answers if a.ack.level == ingest_pb2.ACK_LEVEL_RECEIVED)
    assert ack.admitted == 1
    assert list(ack.errors.row) == [1, 2]
    assert list(ack.errors.fault) == [ingest_pb2.ROW_FAULT_UNKNOWN_SIGNAL, ingest_pb2.ROW_FAULT_NOT_FINITE]


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"signal": [100, 101, 102], "value": [1.0, 2.0]}, "rows.value"),
        ({"signal": [100, 101], "source_time_us": [START_US]}, "rows.value"),
        ({"value": [1.0]}, "rows.signal"),
        ({"signal": [100], "value": [1.0], "time_quality": b"\1"}, "rows.source_time_us"),
        ({"signal": [100] * 1001, "value": [1.0], "source_time_us": [1]}, "rows"),
        ({"signal": [100, 101, 102], "value": [1.0], "flags": b"\0\0"}, "rows.flags"),
    ],
)
async def test_a_malformed_batch_is_refused_by_column_and_the_stream_goes_on(
    channel: grpc.aio.Channel, columns: dict[str, object], field: str
) -> None:
    good = batch(2, signal=[100], value=[1.0], source_time_us=[START_US])
    answers = await ingest(channel, opening(), batch(1, **columns), good)
    refused = [a.refused for a in answers if a.WhichOneof("kind") == "refused"]
    assert [(r.batch_id, r.status.code) for r in refused] == [(1, 3)]
    assert refused[0].status.message.startswith(field)
    assert answers[-1].ack.through_batch_id == 2


async def test_rows_without_time_have_time_quality_none(core: MemoryTwin, channel: grpc.aio.Channel) -> None:
    await ingest(channel, opening(), batch(1, signal=[100], value=[1.0]))
    assert core.kept[0].time_quality.tolist() == [3]


async def test_a_wrong_claim_is_refused_with_the_signal_named(channel: grpc.aio.Channel) -> None:
    wrong = ingest_pb2.IngestRequest.ClaimedSignal(uid=101, unit="kV", sign=1)
    call = ingest_pb2_grpc.IngestServiceStub(channel).Ingest(iter([opening(signals=[wrong])]))
    error = await refusal(call)
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    status = rpc_status.from_call(error)
    details = error_details_pb2.BadRequest()
    assert any(d.Unpack(details) for d in status.details)
    assert "101" in details.field_violations[0].description


async def test_ingest_must_begin_with_open_and_have_one(channel: grpc.aio.Channel) -> None:
    stub = ingest_pb2_grpc.IngestServiceStub(channel)
    for requests in ([batch(1)], [opening(), opening()], [ingest_pb2.IngestRequest()], []):
        error = await refusal(stub.Ingest(iter(requests), timeout=5))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_broken_stream_closes_its_publisher(core: MemoryTwin, channel: grpc.aio.Channel) -> None:
    call = ingest_pb2_grpc.IngestServiceStub(channel).Ingest()
    await call.write(opening())
    await call.read()
    call.cancel()
    for _ in range(100):
        if core.closed:
            break
        await asyncio.sleep(0.02)
    assert core.closed == ["scada"]


async def test_watching_gives_ids_the_newest_state_sync_then_live_ones(core: MemoryTwin, channel: grpc.aio.Channel) -> None:
    core.publish()
    selection = state_pb2.Selection(sigma=True, origin=True, residuals=True)
    request = state_pb2.WatchStatesRequest(network=NETWORK, selection=selection)
    call = state_pb2_grpc.StateServiceStub(channel).WatchStates(request, timeout=5)
    topology, first, sync = [await call.read() for _ in range(3)]
    assert {d.name: tuple(d.ids) for d in topology.topology.dimensions} == {"bus": BUSES, "line": LINES}
    frame = first.frame
    columns = {c.name: c for c in frame.columns}
    assert list(columns["bus_vm_pu"].f64) == pytest.approx([1.0, 1.01, 1.02, 1.03, 1.04])
    assert columns["bus_vm_pu"].sigma[0] == pytest.approx(0.002)
    assert columns["bus_vm_pu"].origin == bytes([2] * 5)
    assert columns["bus_energised"].u8 == bytes([1, 0, 1, 0, 1])
    assert list(frame.residuals.signal) == [100, 101]
    assert frame.residuals.suspect == b"\0\1"
    assert (frame.solver_status.name, list(frame.solver_status.culprits)) == ("BAD_DATA", ["signal 101"])
    assert frame.solver_status.advice
    assert (frame.stale_inputs, frame.manual_inputs, frame.last_part) == (2, 1, True)
    assert not frame.HasField("previous_sent")
    assert sync.sync.position.revision == 1
    core.publish()
    live = await call.read()
    while live.WhichOneof("kind") == "heartbeat":
        live = await call.read()
    assert live.frame.position.revision == 2
    assert live.frame.previous_sent.revision == 1
    beat = await call.read()
    assert beat.heartbeat.position.revision == 2
    call.cancel()


async def test_resuming_at_the_newest_position_gives_sync_at_once(core: MemoryTwin, channel: grpc.aio.Channel) -> None:
    core.publish()
    request = state_pb2.WatchStatesRequest(network=NETWORK, resume_after=common_pb2.Position(epoch=1, revision=1))
    call = state_pb2_grpc.StateServiceStub(channel).WatchStates(request, timeout=5)
    assert (await call.read()).WhichOneof("kind") == "sync"
    core.publish()
    core.publish()
    kinds = [await call.read() for _ in range(2)]
    assert [k.WhichOneof("kind") for k in kinds] == ["topology", "frame"]
    frame = kinds[1].frame
    assert frame.position.revision - frame.previous_sent.revision == frame.merged + 1
    call.cancel()


async def test_a_selection_is_what_comes_and_is_serialised_once(
    core: MemoryTwin, server: EdgeServer, channel: grpc.aio.Channel
) -> None:
    core.publish()
    selection = state_pb2.Selection(
        columns=["bus_vm_pu"],
        elements=[state_pb2.ElementSelection(dimension="bus", ids=["3", "1"])],
        single_precision=True,
    )
    request = state_pb2.GetStateRequest(network=NETWORK, selection=selection)
    stub = state_pb2_grpc.StateServiceStub(channel)
    answers = [[a async for a in stub.GetState(request)] for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert server.states.frames.serialised == 1
    (topology, frame) = answers[0]
    assert [list(d.ids) for d in topology.topology.dimensions] == [["3", "1"]]
    assert np.allclose(frame.frame.columns[0].f32, [1.03, 1.01])
    assert [c.name for c in frame.frame.columns] == ["bus_vm_pu"]


@pytest.mark.parametrize(
    ("selection", "field"),
    [
        (state_pb2.Selection(columns=["bus_vm_pu", "nope"]), "selection.columns[1]"),
        (state_pb2.Selection(columns=["bus_vm_pu", "bus_vm_pu"]), "selection.columns"),
        (state_pb2.Selection(elements=[state_pb2.ElementSelection(dimension="x")]), "selection.elements[0].dimension"),
        (
            state_pb2.Selection(elements=[state_pb2.ElementSelection(dimension="bus", ids=["77"])]),
            "selection.elements[0].ids",
        ),
    ],
)
async def test_a_wrong_selection_names_its_field(
    core: MemoryTwin, channel: grpc.aio.Channel, selection: state_pb2.Selection, field: str
) -> None:
    core.publish()
    request = state_pb2.GetStateRequest(network=NETWORK, selection=selection)
    error = await refusal(state_pb2_grpc.StateServiceStub(channel).GetState(request))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    details = error_details_pb2.BadRequest()
    assert any(d.Unpack(details) for d in rpc_status.from_call(error).details)
    assert details.field_violations[0].field == field


async def test_states_by_position_by_time_and_in_a_row(core: MemoryTwin, channel: grpc.aio.Channel) -> None:
    for _ in range(4):
        core.publish()
    stub = state_pb2_grpc.StateServiceStub(channel)
    at = common_pb2.At(position=common_pb2.Position(epoch=1, revision=2))
    answers = [a async for a in stub.GetState(state_pb2.GetStateRequest(network=NETWORK, at=at))]
    assert answers[-1].frame.position.revision == 2
    at = common_pb2.At()
    at.as_of.valid_time.FromMicroseconds(START_US + 2_500_000)
    answers = [a async for a in stub.GetState(state_pb2.GetStateRequest(network=NETWORK, at=at))]
    assert answers[-1].frame.position.revision == 3
    at.as_of.valid_time.FromMicroseconds(START_US - 1)
    error = await refusal(stub.GetState(state_pb2.GetStateRequest(network=NETWORK, at=at)))
    assert error.code() == grpc.StatusCode.OUT_OF_RANGE
    request = state_pb2.ReadStatesRequest(network=NETWORK)
    request.start_time.FromMicroseconds(START_US + 1_000_000)
    request.end_time.FromMicroseconds(START_US + 3_000_000)
    kinds = [a async for a in stub.ReadStates(request)]
    assert [k.WhichOneof("kind") for k in kinds] == ["topology", "frame", "frame"]
    assert [k.frame.position.revision for k in kinds[1:]] == [2, 3]


async def test_large_states_come_in_parts_of_a_mebibyte() -> None:
    core = MemoryTwin(tuple(str(i) for i in range(200_000)))
    published = core.publish()
    server = EdgeServer(core, "localhost:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"localhost:{server.port}") as channel:
            request = state_pb2.GetStateRequest(network=NETWORK, selection=state_pb2.Selection(sigma=True))
            frames = [a.frame async for a in state_pb2_grpc.StateServiceStub(channel).GetState(request)][1:]
    finally:
        await server.stop(0.0)
    assert len(frames) > 2
    assert max(f.ByteSize() for f in frames) <= 1 << 20
    assert [f.part for f in frames] == list(range(len(frames)))
    assert [f.last_part for f in frames] == [False] * (len(frames) - 1) + [True]
    pieces = [c for f in frames for c in f.columns if c.name == "bus_vm_pu"]
    assert pieces[1].offset == len(pieces[0].f64)
    assert np.array_equal(np.concatenate([np.asarray(p.f64) for p in pieces]), published.state.values["bus_vm_pu"])


async def test_events_are_gap_free_across_a_resume(core: MemoryTwin, channel: grpc.aio.Channel) -> None:
    for _ in range(3):
        core.tell()
    stub = event_pb2_grpc.EventServiceStub(channel)
    call = stub.WatchEvents(event_pb2.WatchEventsRequest(twin=TWIN, after_sequence=1), timeout=5)
    heard = [await call.read() for _ in range(3)]
    assert [h.WhichOneof("kind") for h in heard] == ["event", "event", "sync"]
    assert [h.event.sequence for h in heard[:2]] == [2, 3]
    assert heard[0].event.figures["loading_percent"] == 120.0
    answer = await stub.AcknowledgeEvent(event_pb2.AcknowledgeEventRequest(alarm=heard[0].event.alarm, author="shift lead"))
    assert answer.transition == event_pb2.TRANSITION_ACKNOWLEDGED
    live = await call.read()
    while live.WhichOneof("kind") == "heartbeat":
        live = await call.read()
    assert live.event.sequence == 4
    call.cancel()
    first = await stub.ListEvents(event_pb2.ListEventsRequest(parent=TWIN, page_size=3))
    rest = await stub.ListEvents(event_pb2.ListEventsRequest(parent=TWIN, page_token=first.next_page_token))
    assert [e.sequence for e in [*first.events, *rest.events]] == [1, 2, 3, 4]
    assert rest.next_page_token == ""
    for request, code in [
        (event_pb2.AcknowledgeEventRequest(alarm=f"{TWIN}/alarms/none", author="x"), grpc.StatusCode.NOT_FOUND),
        (event_pb2.AcknowledgeEventRequest(alarm=f"{TWIN}/alarms/a1"), grpc.StatusCode.INVALID_ARGUMENT),
    ]:
        assert (await refusal(stub.AcknowledgeEvent(request))).code() == code


async def test_the_catalogue_pages_through_all_signals(channel: grpc.aio.Channel) -> None:
    stub = catalog_pb2_grpc.CatalogServiceStub(channel)
    twin = await stub.GetTwin(catalog_pb2.GetTwinRequest(name="twins/-"))
    assert (twin.name, list(twin.networks), twin.issues[0].ids[0]) == (TWIN, [NETWORK], "101")
    uids, token = [], ""
    while True:
        page = await stub.ListSignals(catalog_pb2.ListSignalsRequest(parent=TWIN, page_size=2, page_token=token))
        uids += [s.uid for s in page.signals]
        token = page.next_page_token
        if not token:
            break
    assert uids == [100, 101, 102, 103, 104]
    one = await stub.GetSignal(catalog_pb2.GetSignalRequest(name=f"{TWIN}/signals/103"))
    assert (one.element, one.unit, one.ttl.seconds) == ("3", "pu", 30)
    network = (await stub.ListNetworks(catalog_pb2.ListNetworksRequest(parent=TWIN))).networks[0]
    assert [(d.name, d.size, len(d.ids)) for d in network.dimensions] == [("bus", 5, 0), ("line", 3, 0)]
    full = await stub.GetNetwork(catalog_pb2.GetNetworkRequest(name=NETWORK))
    assert tuple(full.dimensions[0].ids) == BUSES
    for name, code in [
        (f"{TWIN}/signals/9", grpc.StatusCode.NOT_FOUND),
        (f"{TWIN}/signals/-1", grpc.StatusCode.INVALID_ARGUMENT),
        ("twins/other/signals/100", grpc.StatusCode.NOT_FOUND),
    ]:
        assert (await refusal(stub.GetSignal(catalog_pb2.GetSignalRequest(name=name)))).code() == code


async def test_what_if_answers_with_both_sides_and_their_ids(core: MemoryTwin, channel: grpc.aio.Channel) -> None:
    core.publish()
    change = scenario_pb2.Change(
        set=scenario_pb2.Change.Set(element="line 10", column="in_service", value=scenario_pb2.Scalar(flag=False))
    )
    stub = scenario_pb2_grpc.ScenarioServiceStub(channel)
    scenario = scenario_pb2.Scenario(network=NETWORK, changes=[change])
    answers = [a async for a in stub.RunWhatIf(scenario_pb2.RunWhatIfRequest(scenario=scenario))]
    summary, part = answers[0].summary, answers[-1].part
    assert summary.solver_status.name == "SOLVED"
    assert {d.name: list(d.ids) for d in summary.patched.dimensions}["line"] == list(LINES[:2])
    assert part.last_part
    assert [c.name for c in part.base] == ["bus_vm_pu", "bus_energised", "line_loading_percent"]
    assert list(part.patched[1].f64) == [1.0, 2.0]
    for wrong in (
        scenario_pb2.Scenario(network=NETWORK, patch_toml="[[change]"),
        scenario_pb2.Scenario(network=NETWORK, patch_toml="[[change]]\nremove = {element = 'line 1'}", changes=[change]),
        scenario_pb2.Scenario(network=NETWORK, changes=[scenario_pb2.Change()]),
    ):
        error = await refusal(stub.RunWhatIf(scenario_pb2.RunWhatIfRequest(scenario=wrong)))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_comparing_a_state_with_itself_gives_nothing(core: MemoryTwin, channel: grpc.aio.Channel) -> None:
    core.publish()
    core.publish()
    stub = scenario_pb2_grpc.ScenarioServiceStub(channel)
    same = await stub.CompareStates(scenario_pb2.CompareStatesRequest(network=NETWORK))
    assert len(same.column) == 0
    before = common_pb2.At(position=common_pb2.Position(epoch=1, revision=1))
    other = await stub.CompareStates(scenario_pb2.CompareStatesRequest(network=NETWORK, before=before, page_size=2))
    assert list(other.column) == ["bus_vm_pu"] * 2
    assert np.allclose(other.difference, 0.001)
    assert other.not_listed == 3


async def test_a_watcher_of_a_twin_without_a_state_is_synced_at_once(core: MemoryTwin, channel: grpc.aio.Channel) -> None:
    request = state_pb2.WatchStatesRequest(network=NETWORK)
    call = state_pb2_grpc.StateServiceStub(channel).WatchStates(request)
    first = await asyncio.wait_for(call.read(), 5)
    assert first.WhichOneof("kind") == "sync"
    assert not first.sync.HasField("position")
    core.publish()
    kinds = []
    while "frame" not in kinds:
        kinds.append((await asyncio.wait_for(call.read(), 5)).WhichOneof("kind"))
    assert "sync" not in kinds
    call.cancel()
