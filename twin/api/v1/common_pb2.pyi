from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Validity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VALIDITY_UNSPECIFIED: _ClassVar[Validity]
    VALIDITY_GOOD: _ClassVar[Validity]
    VALIDITY_QUESTIONABLE: _ClassVar[Validity]
    VALIDITY_INVALID: _ClassVar[Validity]

class TimeQuality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TIME_QUALITY_UNSPECIFIED: _ClassVar[TimeQuality]
    TIME_QUALITY_SYNCED: _ClassVar[TimeQuality]
    TIME_QUALITY_UNSYNCED: _ClassVar[TimeQuality]
    TIME_QUALITY_NONE: _ClassVar[TimeQuality]

class Flag(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FLAG_UNSPECIFIED: _ClassVar[Flag]
    FLAG_NOT_TOPICAL: _ClassVar[Flag]
    FLAG_SUBSTITUTED: _ClassVar[Flag]
    FLAG_BLOCKED: _ClassVar[Flag]
    FLAG_OVERFLOW: _ClassVar[Flag]
    FLAG_TEST: _ClassVar[Flag]

class SwitchPosition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SWITCH_POSITION_INTERMEDIATE: _ClassVar[SwitchPosition]
    SWITCH_POSITION_OPEN: _ClassVar[SwitchPosition]
    SWITCH_POSITION_CLOSED: _ClassVar[SwitchPosition]
    SWITCH_POSITION_FAULTY: _ClassVar[SwitchPosition]

class Origin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORIGIN_UNSPECIFIED: _ClassVar[Origin]
    ORIGIN_MEASURED: _ClassVar[Origin]
    ORIGIN_ESTIMATED: _ClassVar[Origin]
    ORIGIN_PSEUDO: _ClassVar[Origin]
    ORIGIN_FORECAST: _ClassVar[Origin]

class Freshness(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FRESHNESS_UNSPECIFIED: _ClassVar[Freshness]
    FRESHNESS_FRESH: _ClassVar[Freshness]
    FRESHNESS_STALE: _ClassVar[Freshness]
VALIDITY_UNSPECIFIED: Validity
VALIDITY_GOOD: Validity
VALIDITY_QUESTIONABLE: Validity
VALIDITY_INVALID: Validity
TIME_QUALITY_UNSPECIFIED: TimeQuality
TIME_QUALITY_SYNCED: TimeQuality
TIME_QUALITY_UNSYNCED: TimeQuality
TIME_QUALITY_NONE: TimeQuality
FLAG_UNSPECIFIED: Flag
FLAG_NOT_TOPICAL: Flag
FLAG_SUBSTITUTED: Flag
FLAG_BLOCKED: Flag
FLAG_OVERFLOW: Flag
FLAG_TEST: Flag
SWITCH_POSITION_INTERMEDIATE: SwitchPosition
SWITCH_POSITION_OPEN: SwitchPosition
SWITCH_POSITION_CLOSED: SwitchPosition
SWITCH_POSITION_FAULTY: SwitchPosition
ORIGIN_UNSPECIFIED: Origin
ORIGIN_MEASURED: Origin
ORIGIN_ESTIMATED: Origin
ORIGIN_PSEUDO: Origin
ORIGIN_FORECAST: Origin
FRESHNESS_UNSPECIFIED: Freshness
FRESHNESS_FRESH: Freshness
FRESHNESS_STALE: Freshness

class Position(_message.Message):
    __slots__ = ("epoch", "revision")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    revision: int
    def __init__(self, epoch: _Optional[int] = ..., revision: _Optional[int] = ...) -> None: ...

class AsOf(_message.Message):
    __slots__ = ("valid_time", "known_time")
    VALID_TIME_FIELD_NUMBER: _ClassVar[int]
    KNOWN_TIME_FIELD_NUMBER: _ClassVar[int]
    valid_time: _timestamp_pb2.Timestamp
    known_time: _timestamp_pb2.Timestamp
    def __init__(self, valid_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., known_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class At(_message.Message):
    __slots__ = ("position", "as_of")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    position: Position
    as_of: AsOf
    def __init__(self, position: _Optional[_Union[Position, _Mapping]] = ..., as_of: _Optional[_Union[AsOf, _Mapping]] = ...) -> None: ...

class MeasurementBatch(_message.Message):
    __slots__ = ("signal", "value", "source_time_us", "receive_time_us", "validity", "time_quality", "sequence", "flags")
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TIME_US_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_TIME_US_FIELD_NUMBER: _ClassVar[int]
    VALIDITY_FIELD_NUMBER: _ClassVar[int]
    TIME_QUALITY_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    signal: _containers.RepeatedScalarFieldContainer[int]
    value: _containers.RepeatedScalarFieldContainer[float]
    source_time_us: _containers.RepeatedScalarFieldContainer[int]
    receive_time_us: _containers.RepeatedScalarFieldContainer[int]
    validity: bytes
    time_quality: bytes
    sequence: _containers.RepeatedScalarFieldContainer[int]
    flags: bytes
    def __init__(self, signal: _Optional[_Iterable[int]] = ..., value: _Optional[_Iterable[float]] = ..., source_time_us: _Optional[_Iterable[int]] = ..., receive_time_us: _Optional[_Iterable[int]] = ..., validity: _Optional[bytes] = ..., time_quality: _Optional[bytes] = ..., sequence: _Optional[_Iterable[int]] = ..., flags: _Optional[bytes] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("name", "dimension", "offset", "f64", "f32", "i64", "u8", "text", "sigma", "origin")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    F64_FIELD_NUMBER: _ClassVar[int]
    F32_FIELD_NUMBER: _ClassVar[int]
    I64_FIELD_NUMBER: _ClassVar[int]
    U8_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SIGMA_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    name: str
    dimension: str
    offset: int
    f64: _containers.RepeatedScalarFieldContainer[float]
    f32: _containers.RepeatedScalarFieldContainer[float]
    i64: _containers.RepeatedScalarFieldContainer[int]
    u8: bytes
    text: _containers.RepeatedScalarFieldContainer[str]
    sigma: _containers.RepeatedScalarFieldContainer[float]
    origin: bytes
    def __init__(self, name: _Optional[str] = ..., dimension: _Optional[str] = ..., offset: _Optional[int] = ..., f64: _Optional[_Iterable[float]] = ..., f32: _Optional[_Iterable[float]] = ..., i64: _Optional[_Iterable[int]] = ..., u8: _Optional[bytes] = ..., text: _Optional[_Iterable[str]] = ..., sigma: _Optional[_Iterable[float]] = ..., origin: _Optional[bytes] = ...) -> None: ...

class Topology(_message.Message):
    __slots__ = ("model_revision", "dimensions")
    MODEL_REVISION_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    model_revision: str
    dimensions: _containers.RepeatedCompositeFieldContainer[Dimension]
    def __init__(self, model_revision: _Optional[str] = ..., dimensions: _Optional[_Iterable[_Union[Dimension, _Mapping]]] = ...) -> None: ...

class Dimension(_message.Message):
    __slots__ = ("name", "ids", "size")
    NAME_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    name: str
    ids: _containers.RepeatedScalarFieldContainer[str]
    size: int
    def __init__(self, name: _Optional[str] = ..., ids: _Optional[_Iterable[str]] = ..., size: _Optional[int] = ...) -> None: ...

class SolverStatus(_message.Message):
    __slots__ = ("name", "text", "advice", "culprits", "culprits_not_listed")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    CULPRITS_FIELD_NUMBER: _ClassVar[int]
    CULPRITS_NOT_LISTED_FIELD_NUMBER: _ClassVar[int]
    name: str
    text: str
    advice: str
    culprits: _containers.RepeatedScalarFieldContainer[str]
    culprits_not_listed: int
    def __init__(self, name: _Optional[str] = ..., text: _Optional[str] = ..., advice: _Optional[str] = ..., culprits: _Optional[_Iterable[str]] = ..., culprits_not_listed: _Optional[int] = ...) -> None: ...
