from google.protobuf import duration_pb2 as _duration_pb2
from google.rpc import status_pb2 as _status_pb2
from twin.api.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AckLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACK_LEVEL_UNSPECIFIED: _ClassVar[AckLevel]
    ACK_LEVEL_RECEIVED: _ClassVar[AckLevel]
    ACK_LEVEL_DURABLE: _ClassVar[AckLevel]
    ACK_LEVEL_ESTIMATED: _ClassVar[AckLevel]

class Snapshot(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SNAPSHOT_NONE: _ClassVar[Snapshot]
    SNAPSHOT_BEGIN: _ClassVar[Snapshot]
    SNAPSHOT_END: _ClassVar[Snapshot]

class RowFault(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROW_FAULT_UNSPECIFIED: _ClassVar[RowFault]
    ROW_FAULT_UNKNOWN_SIGNAL: _ClassVar[RowFault]
    ROW_FAULT_NOT_CLAIMED: _ClassVar[RowFault]
    ROW_FAULT_NOT_FINITE: _ClassVar[RowFault]
    ROW_FAULT_BAD_QUALITY: _ClassVar[RowFault]
    ROW_FAULT_BAD_TIME: _ClassVar[RowFault]
    ROW_FAULT_CONFLICT: _ClassVar[RowFault]
    ROW_FAULT_TOO_LATE: _ClassVar[RowFault]
    ROW_FAULT_REBOUND: _ClassVar[RowFault]
    ROW_FAULT_OUTRANKED: _ClassVar[RowFault]
ACK_LEVEL_UNSPECIFIED: AckLevel
ACK_LEVEL_RECEIVED: AckLevel
ACK_LEVEL_DURABLE: AckLevel
ACK_LEVEL_ESTIMATED: AckLevel
SNAPSHOT_NONE: Snapshot
SNAPSHOT_BEGIN: Snapshot
SNAPSHOT_END: Snapshot
ROW_FAULT_UNSPECIFIED: RowFault
ROW_FAULT_UNKNOWN_SIGNAL: RowFault
ROW_FAULT_NOT_CLAIMED: RowFault
ROW_FAULT_NOT_FINITE: RowFault
ROW_FAULT_BAD_QUALITY: RowFault
ROW_FAULT_BAD_TIME: RowFault
ROW_FAULT_CONFLICT: RowFault
ROW_FAULT_TOO_LATE: RowFault
ROW_FAULT_REBOUND: RowFault
ROW_FAULT_OUTRANKED: RowFault

class IngestRequest(_message.Message):
    __slots__ = ("open", "batch", "keep_alive")
    class Open(_message.Message):
        __slots__ = ("twin", "publisher", "publisher_epoch", "priority", "catalog_revision", "signals", "ack", "lease")
        TWIN_FIELD_NUMBER: _ClassVar[int]
        PUBLISHER_FIELD_NUMBER: _ClassVar[int]
        PUBLISHER_EPOCH_FIELD_NUMBER: _ClassVar[int]
        PRIORITY_FIELD_NUMBER: _ClassVar[int]
        CATALOG_REVISION_FIELD_NUMBER: _ClassVar[int]
        SIGNALS_FIELD_NUMBER: _ClassVar[int]
        ACK_FIELD_NUMBER: _ClassVar[int]
        LEASE_FIELD_NUMBER: _ClassVar[int]
        twin: str
        publisher: str
        publisher_epoch: int
        priority: int
        catalog_revision: int
        signals: _containers.RepeatedCompositeFieldContainer[IngestRequest.ClaimedSignal]
        ack: AckLevel
        lease: _duration_pb2.Duration
        def __init__(self, twin: _Optional[str] = ..., publisher: _Optional[str] = ..., publisher_epoch: _Optional[int] = ..., priority: _Optional[int] = ..., catalog_revision: _Optional[int] = ..., signals: _Optional[_Iterable[_Union[IngestRequest.ClaimedSignal, _Mapping]]] = ..., ack: _Optional[_Union[AckLevel, str]] = ..., lease: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...
    class ClaimedSignal(_message.Message):
        __slots__ = ("uid", "unit", "sign")
        UID_FIELD_NUMBER: _ClassVar[int]
        UNIT_FIELD_NUMBER: _ClassVar[int]
        SIGN_FIELD_NUMBER: _ClassVar[int]
        uid: int
        unit: str
        sign: int
        def __init__(self, uid: _Optional[int] = ..., unit: _Optional[str] = ..., sign: _Optional[int] = ...) -> None: ...
    class Batch(_message.Message):
        __slots__ = ("batch_id", "rows", "snapshot")
        BATCH_ID_FIELD_NUMBER: _ClassVar[int]
        ROWS_FIELD_NUMBER: _ClassVar[int]
        SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
        batch_id: int
        rows: _common_pb2.MeasurementBatch
        snapshot: Snapshot
        def __init__(self, batch_id: _Optional[int] = ..., rows: _Optional[_Union[_common_pb2.MeasurementBatch, _Mapping]] = ..., snapshot: _Optional[_Union[Snapshot, str]] = ...) -> None: ...
    class KeepAlive(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    OPEN_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    KEEP_ALIVE_FIELD_NUMBER: _ClassVar[int]
    open: IngestRequest.Open
    batch: IngestRequest.Batch
    keep_alive: IngestRequest.KeepAlive
    def __init__(self, open: _Optional[_Union[IngestRequest.Open, _Mapping]] = ..., batch: _Optional[_Union[IngestRequest.Batch, _Mapping]] = ..., keep_alive: _Optional[_Union[IngestRequest.KeepAlive, _Mapping]] = ...) -> None: ...

class IngestResponse(_message.Message):
    __slots__ = ("opened", "ack", "refused")
    class Opened(_message.Message):
        __slots__ = ("position", "last_durable_batch_id", "max_in_flight_batches", "max_rows", "lateness")
        POSITION_FIELD_NUMBER: _ClassVar[int]
        LAST_DURABLE_BATCH_ID_FIELD_NUMBER: _ClassVar[int]
        MAX_IN_FLIGHT_BATCHES_FIELD_NUMBER: _ClassVar[int]
        MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
        LATENESS_FIELD_NUMBER: _ClassVar[int]
        position: _common_pb2.Position
        last_durable_batch_id: int
        max_in_flight_batches: int
        max_rows: int
        lateness: _duration_pb2.Duration
        def __init__(self, position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ..., last_durable_batch_id: _Optional[int] = ..., max_in_flight_batches: _Optional[int] = ..., max_rows: _Optional[int] = ..., lateness: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...
    class Ack(_message.Message):
        __slots__ = ("through_batch_id", "level", "position", "admitted", "duplicate", "questionable", "errors", "notice")
        THROUGH_BATCH_ID_FIELD_NUMBER: _ClassVar[int]
        LEVEL_FIELD_NUMBER: _ClassVar[int]
        POSITION_FIELD_NUMBER: _ClassVar[int]
        ADMITTED_FIELD_NUMBER: _ClassVar[int]
        DUPLICATE_FIELD_NUMBER: _ClassVar[int]
        QUESTIONABLE_FIELD_NUMBER: _ClassVar[int]
        ERRORS_FIELD_NUMBER: _ClassVar[int]
        NOTICE_FIELD_NUMBER: _ClassVar[int]
        through_batch_id: int
        level: AckLevel
        position: _common_pb2.Position
        admitted: int
        duplicate: int
        questionable: int
        errors: IngestResponse.RowErrors
        notice: str
        def __init__(self, through_batch_id: _Optional[int] = ..., level: _Optional[_Union[AckLevel, str]] = ..., position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ..., admitted: _Optional[int] = ..., duplicate: _Optional[int] = ..., questionable: _Optional[int] = ..., errors: _Optional[_Union[IngestResponse.RowErrors, _Mapping]] = ..., notice: _Optional[str] = ...) -> None: ...
    class RowErrors(_message.Message):
        __slots__ = ("row", "signal", "fault", "message", "not_listed", "batch_id")
        ROW_FIELD_NUMBER: _ClassVar[int]
        SIGNAL_FIELD_NUMBER: _ClassVar[int]
        FAULT_FIELD_NUMBER: _ClassVar[int]
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        NOT_LISTED_FIELD_NUMBER: _ClassVar[int]
        BATCH_ID_FIELD_NUMBER: _ClassVar[int]
        row: _containers.RepeatedScalarFieldContainer[int]
        signal: _containers.RepeatedScalarFieldContainer[int]
        fault: _containers.RepeatedScalarFieldContainer[RowFault]
        message: _containers.RepeatedScalarFieldContainer[str]
        not_listed: int
        batch_id: _containers.RepeatedScalarFieldContainer[int]
        def __init__(self, row: _Optional[_Iterable[int]] = ..., signal: _Optional[_Iterable[int]] = ..., fault: _Optional[_Iterable[_Union[RowFault, str]]] = ..., message: _Optional[_Iterable[str]] = ..., not_listed: _Optional[int] = ..., batch_id: _Optional[_Iterable[int]] = ...) -> None: ...
    class Refused(_message.Message):
        __slots__ = ("batch_id", "status")
        BATCH_ID_FIELD_NUMBER: _ClassVar[int]
        STATUS_FIELD_NUMBER: _ClassVar[int]
        batch_id: int
        status: _status_pb2.Status
        def __init__(self, batch_id: _Optional[int] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...
    OPENED_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    opened: IngestResponse.Opened
    ack: IngestResponse.Ack
    refused: IngestResponse.Refused
    def __init__(self, opened: _Optional[_Union[IngestResponse.Opened, _Mapping]] = ..., ack: _Optional[_Union[IngestResponse.Ack, _Mapping]] = ..., refused: _Optional[_Union[IngestResponse.Refused, _Mapping]] = ...) -> None: ...
