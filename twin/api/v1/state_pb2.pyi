from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from twin.api.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Selection(_message.Message):
    __slots__ = ("columns", "elements", "single_precision", "sigma", "origin", "residuals")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ELEMENTS_FIELD_NUMBER: _ClassVar[int]
    SINGLE_PRECISION_FIELD_NUMBER: _ClassVar[int]
    SIGMA_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    RESIDUALS_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    elements: _containers.RepeatedCompositeFieldContainer[ElementSelection]
    single_precision: bool
    sigma: bool
    origin: bool
    residuals: bool
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., elements: _Optional[_Iterable[_Union[ElementSelection, _Mapping]]] = ..., single_precision: bool = ..., sigma: bool = ..., origin: bool = ..., residuals: bool = ...) -> None: ...

class ElementSelection(_message.Message):
    __slots__ = ("dimension", "ids")
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    dimension: str
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, dimension: _Optional[str] = ..., ids: _Optional[_Iterable[str]] = ...) -> None: ...

class StateFrame(_message.Message):
    __slots__ = ("network", "position", "previous_sent", "valid_time", "known_time", "model_revision", "parameter_revision", "freshness", "solver_status", "iterations", "accuracy", "oldest_source_time", "newest_source_time", "stale_inputs", "manual_inputs", "correction", "merged", "part", "last_part", "columns", "residuals")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_SENT_FIELD_NUMBER: _ClassVar[int]
    VALID_TIME_FIELD_NUMBER: _ClassVar[int]
    KNOWN_TIME_FIELD_NUMBER: _ClassVar[int]
    MODEL_REVISION_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_REVISION_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    SOLVER_STATUS_FIELD_NUMBER: _ClassVar[int]
    ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    OLDEST_SOURCE_TIME_FIELD_NUMBER: _ClassVar[int]
    NEWEST_SOURCE_TIME_FIELD_NUMBER: _ClassVar[int]
    STALE_INPUTS_FIELD_NUMBER: _ClassVar[int]
    MANUAL_INPUTS_FIELD_NUMBER: _ClassVar[int]
    CORRECTION_FIELD_NUMBER: _ClassVar[int]
    MERGED_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    LAST_PART_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    RESIDUALS_FIELD_NUMBER: _ClassVar[int]
    network: str
    position: _common_pb2.Position
    previous_sent: _common_pb2.Position
    valid_time: _timestamp_pb2.Timestamp
    known_time: _timestamp_pb2.Timestamp
    model_revision: str
    parameter_revision: int
    freshness: _common_pb2.Freshness
    solver_status: _common_pb2.SolverStatus
    iterations: int
    accuracy: float
    oldest_source_time: _timestamp_pb2.Timestamp
    newest_source_time: _timestamp_pb2.Timestamp
    stale_inputs: int
    manual_inputs: int
    correction: bool
    merged: int
    part: int
    last_part: bool
    columns: _containers.RepeatedCompositeFieldContainer[_common_pb2.Column]
    residuals: Residuals
    def __init__(self, network: _Optional[str] = ..., position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ..., previous_sent: _Optional[_Union[_common_pb2.Position, _Mapping]] = ..., valid_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., known_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., model_revision: _Optional[str] = ..., parameter_revision: _Optional[int] = ..., freshness: _Optional[_Union[_common_pb2.Freshness, str]] = ..., solver_status: _Optional[_Union[_common_pb2.SolverStatus, _Mapping]] = ..., iterations: _Optional[int] = ..., accuracy: _Optional[float] = ..., oldest_source_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., newest_source_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., stale_inputs: _Optional[int] = ..., manual_inputs: _Optional[int] = ..., correction: bool = ..., merged: _Optional[int] = ..., part: _Optional[int] = ..., last_part: bool = ..., columns: _Optional[_Iterable[_Union[_common_pb2.Column, _Mapping]]] = ..., residuals: _Optional[_Union[Residuals, _Mapping]] = ...) -> None: ...

class Residuals(_message.Message):
    __slots__ = ("signal", "value", "estimate", "normalised", "suspect")
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    NORMALISED_FIELD_NUMBER: _ClassVar[int]
    SUSPECT_FIELD_NUMBER: _ClassVar[int]
    signal: _containers.RepeatedScalarFieldContainer[int]
    value: _containers.RepeatedScalarFieldContainer[float]
    estimate: _containers.RepeatedScalarFieldContainer[float]
    normalised: _containers.RepeatedScalarFieldContainer[float]
    suspect: bytes
    def __init__(self, signal: _Optional[_Iterable[int]] = ..., value: _Optional[_Iterable[float]] = ..., estimate: _Optional[_Iterable[float]] = ..., normalised: _Optional[_Iterable[float]] = ..., suspect: _Optional[bytes] = ...) -> None: ...

class GetStateRequest(_message.Message):
    __slots__ = ("network", "selection", "at")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    network: str
    selection: Selection
    at: _common_pb2.At
    def __init__(self, network: _Optional[str] = ..., selection: _Optional[_Union[Selection, _Mapping]] = ..., at: _Optional[_Union[_common_pb2.At, _Mapping]] = ...) -> None: ...

class GetStateResponse(_message.Message):
    __slots__ = ("frame", "topology")
    FRAME_FIELD_NUMBER: _ClassVar[int]
    TOPOLOGY_FIELD_NUMBER: _ClassVar[int]
    frame: StateFrame
    topology: _common_pb2.Topology
    def __init__(self, frame: _Optional[_Union[StateFrame, _Mapping]] = ..., topology: _Optional[_Union[_common_pb2.Topology, _Mapping]] = ...) -> None: ...

class WatchStatesRequest(_message.Message):
    __slots__ = ("network", "selection", "resume_after", "min_interval")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    RESUME_AFTER_FIELD_NUMBER: _ClassVar[int]
    MIN_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    network: str
    selection: Selection
    resume_after: _common_pb2.Position
    min_interval: _duration_pb2.Duration
    def __init__(self, network: _Optional[str] = ..., selection: _Optional[_Union[Selection, _Mapping]] = ..., resume_after: _Optional[_Union[_common_pb2.Position, _Mapping]] = ..., min_interval: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WatchStatesResponse(_message.Message):
    __slots__ = ("frame", "topology", "sync", "heartbeat")
    class Sync(_message.Message):
        __slots__ = ("position",)
        POSITION_FIELD_NUMBER: _ClassVar[int]
        position: _common_pb2.Position
        def __init__(self, position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ...) -> None: ...
    class Heartbeat(_message.Message):
        __slots__ = ("position", "server_time")
        POSITION_FIELD_NUMBER: _ClassVar[int]
        SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
        position: _common_pb2.Position
        server_time: _timestamp_pb2.Timestamp
        def __init__(self, position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ..., server_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    FRAME_FIELD_NUMBER: _ClassVar[int]
    TOPOLOGY_FIELD_NUMBER: _ClassVar[int]
    SYNC_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    frame: StateFrame
    topology: _common_pb2.Topology
    sync: WatchStatesResponse.Sync
    heartbeat: WatchStatesResponse.Heartbeat
    def __init__(self, frame: _Optional[_Union[StateFrame, _Mapping]] = ..., topology: _Optional[_Union[_common_pb2.Topology, _Mapping]] = ..., sync: _Optional[_Union[WatchStatesResponse.Sync, _Mapping]] = ..., heartbeat: _Optional[_Union[WatchStatesResponse.Heartbeat, _Mapping]] = ...) -> None: ...

class ReadStatesRequest(_message.Message):
    __slots__ = ("network", "selection", "start_time", "end_time", "known_time")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    KNOWN_TIME_FIELD_NUMBER: _ClassVar[int]
    network: str
    selection: Selection
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    known_time: _timestamp_pb2.Timestamp
    def __init__(self, network: _Optional[str] = ..., selection: _Optional[_Union[Selection, _Mapping]] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., known_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReadStatesResponse(_message.Message):
    __slots__ = ("frame", "topology")
    FRAME_FIELD_NUMBER: _ClassVar[int]
    TOPOLOGY_FIELD_NUMBER: _ClassVar[int]
    frame: StateFrame
    topology: _common_pb2.Topology
    def __init__(self, frame: _Optional[_Union[StateFrame, _Mapping]] = ..., topology: _Optional[_Union[_common_pb2.Topology, _Mapping]] = ...) -> None: ...
