"""A client of the real service that knows the contract (`proto/baseline.binpb`) and nothing else of ours.

    python foreign_client.py baseline.binpb ADDRESS

Streams 40 minutes of voltages of pandapower's case9 in, waits until they are durable, and prints what it watched as JSON.
"""

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

START_US = 1_773_014_400_000_000
MINUTE_US = 60_000_000
PACKAGE = "twin.api.v1"


def contract(path: Path) -> descriptor_pool.DescriptorPool:
    files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool


def main() -> None:
    pool = contract(Path(sys.argv[1]))
    channel = grpc.insecure_channel(sys.argv[2])

    def message(name: str) -> type:
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))

    def method(service: str, name: str) -> Callable[..., Any]:
        rpc = pool.FindServiceByName(f"{PACKAGE}.{service}").FindMethodByName(name)
        answer = message_factory.GetMessageClass(rpc.output_type)
        calls = {(0, 0): channel.unary_unary, (0, 1): channel.unary_stream, (1, 1): channel.stream_stream}
        kind = calls[bool(rpc.client_streaming), bool(rpc.server_streaming)]
        return kind(f"/{PACKAGE}.{service}/{name}", lambda m: m.SerializeToString(), answer.FromString)

    network = "twins/-/networks/power"
    kinds, revisions, last = [], [], {}

    def watch() -> None:
        answers = method("StateService", "WatchStates")(message("WatchStatesRequest")(network=network), timeout=120)
        for answer in answers:
            kinds.append(answer.WhichOneof("kind"))
            if kinds[-1] == "frame":
                frame = answer.frame
                revisions.append((frame.position.epoch, frame.position.revision))
                last.update({c.name: list(c.f64) for c in frame.columns}, valid=frame.valid_time.seconds)
                if frame.valid_time.seconds * 1_000_000 >= START_US + 39 * MINUTE_US:
                    answers.cancel()
                    return

    reader = threading.Thread(target=watch, daemon=True)
    reader.start()
    request = message("IngestRequest")
    opening = request()
    revision = method("CatalogService", "GetTwin")(message("GetTwinRequest")(name="twins/-"), timeout=30).catalog_revision
    claim = {"twin": "twins/-", "publisher": "foreign", "publisher_epoch": 1, "catalog_revision": revision}
    for name, value in claim.items():
        setattr(opening.open, name, value)
    for uid in range(1, 10):
        opening.open.signals.add(uid=uid, unit="pu", sign=1)

    def batches() -> object:
        yield opening
        for minute in range(40):
            one = request()
            one.batch.batch_id = minute + 1
            rows = one.batch.rows
            rows.signal.extend(range(1, 10))
            rows.value.extend([1.0 + minute / 1000] * 9)
            rows.source_time_us.append(START_US + minute * MINUTE_US)
            yield one

    durable = pool.FindEnumTypeByName(f"{PACKAGE}.AckLevel").values_by_name["ACK_LEVEL_DURABLE"].number
    acknowledged = 0
    for answer in method("IngestService", "Ingest")(batches(), timeout=120):
        if answer.WhichOneof("kind") == "ack" and answer.ack.level == durable:
            acknowledged = max(acknowledged, answer.ack.through_batch_id)
    reader.join(30)
    ours = [m for m in sys.modules if m.split(".")[0] in ("twin", "grid_models", "solvers")]
    told = {"kinds": kinds, "revisions": revisions, "durable": acknowledged, "last": last, "ours": ours}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
