from google.protobuf import duration_pb2 as _duration_pb2
from twin.api.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Scenario(_message.Message):
    __slots__ = ("network", "at", "patch_toml", "changes")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    PATCH_TOML_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    network: str
    at: _common_pb2.At
    patch_toml: str
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    def __init__(self, network: _Optional[str] = ..., at: _Optional[_Union[_common_pb2.At, _Mapping]] = ..., patch_toml: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("after", "set", "scale", "create", "remove")
    class Set(_message.Message):
        __slots__ = ("element", "column", "value")
        ELEMENT_FIELD_NUMBER: _ClassVar[int]
        COLUMN_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        element: str
        column: str
        value: Scalar
        def __init__(self, element: _Optional[str] = ..., column: _Optional[str] = ..., value: _Optional[_Union[Scalar, _Mapping]] = ...) -> None: ...
    class Scale(_message.Message):
        __slots__ = ("element", "column", "factor")
        ELEMENT_FIELD_NUMBER: _ClassVar[int]
        COLUMN_FIELD_NUMBER: _ClassVar[int]
        FACTOR_FIELD_NUMBER: _ClassVar[int]
        element: str
        column: str
        factor: float
        def __init__(self, element: _Optional[str] = ..., column: _Optional[str] = ..., factor: _Optional[float] = ...) -> None: ...
    class Create(_message.Message):
        __slots__ = ("element", "fields")
        class FieldsEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: Scalar
            def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Scalar, _Mapping]] = ...) -> None: ...
        ELEMENT_FIELD_NUMBER: _ClassVar[int]
        FIELDS_FIELD_NUMBER: _ClassVar[int]
        element: str
        fields: _containers.MessageMap[str, Scalar]
        def __init__(self, element: _Optional[str] = ..., fields: _Optional[_Mapping[str, Scalar]] = ...) -> None: ...
    class Remove(_message.Message):
        __slots__ = ("element",)
        ELEMENT_FIELD_NUMBER: _ClassVar[int]
        element: str
        def __init__(self, element: _Optional[str] = ...) -> None: ...
    AFTER_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    CREATE_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    after: _duration_pb2.Duration
    set: Change.Set
    scale: Change.Scale
    create: Change.Create
    remove: Change.Remove
    def __init__(self, after: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., set: _Optional[_Union[Change.Set, _Mapping]] = ..., scale: _Optional[_Union[Change.Scale, _Mapping]] = ..., create: _Optional[_Union[Change.Create, _Mapping]] = ..., remove: _Optional[_Union[Change.Remove, _Mapping]] = ...) -> None: ...

class Scalar(_message.Message):
    __slots__ = ("number", "flag", "text", "whole", "numbers")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    number: float
    flag: bool
    text: str
    whole: int
    numbers: Numbers
    def __init__(self, number: _Optional[float] = ..., flag: bool = ..., text: _Optional[str] = ..., whole: _Optional[int] = ..., numbers: _Optional[_Union[Numbers, _Mapping]] = ...) -> None: ...

class Numbers(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class RunWhatIfRequest(_message.Message):
    __slots__ = ("scenario", "duration")
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    scenario: Scenario
    duration: _duration_pb2.Duration
    def __init__(self, scenario: _Optional[_Union[Scenario, _Mapping]] = ..., duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class RunSummary(_message.Message):
    __slots__ = ("solver_status", "violated", "relieved", "base", "patched", "time_us")
    SOLVER_STATUS_FIELD_NUMBER: _ClassVar[int]
    VIOLATED_FIELD_NUMBER: _ClassVar[int]
    RELIEVED_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    PATCHED_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    solver_status: _common_pb2.SolverStatus
    violated: _containers.RepeatedScalarFieldContainer[str]
    relieved: _containers.RepeatedScalarFieldContainer[str]
    base: _common_pb2.Topology
    patched: _common_pb2.Topology
    time_us: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, solver_status: _Optional[_Union[_common_pb2.SolverStatus, _Mapping]] = ..., violated: _Optional[_Iterable[str]] = ..., relieved: _Optional[_Iterable[str]] = ..., base: _Optional[_Union[_common_pb2.Topology, _Mapping]] = ..., patched: _Optional[_Union[_common_pb2.Topology, _Mapping]] = ..., time_us: _Optional[_Iterable[int]] = ...) -> None: ...

class RunPart(_message.Message):
    __slots__ = ("base", "patched", "last_part")
    BASE_FIELD_NUMBER: _ClassVar[int]
    PATCHED_FIELD_NUMBER: _ClassVar[int]
    LAST_PART_FIELD_NUMBER: _ClassVar[int]
    base: _containers.RepeatedCompositeFieldContainer[_common_pb2.Column]
    patched: _containers.RepeatedCompositeFieldContainer[_common_pb2.Column]
    last_part: bool
    def __init__(self, base: _Optional[_Iterable[_Union[_common_pb2.Column, _Mapping]]] = ..., patched: _Optional[_Iterable[_Union[_common_pb2.Column, _Mapping]]] = ..., last_part: bool = ...) -> None: ...

class RunWhatIfResponse(_message.Message):
    __slots__ = ("summary", "part")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    summary: RunSummary
    part: RunPart
    def __init__(self, summary: _Optional[_Union[RunSummary, _Mapping]] = ..., part: _Optional[_Union[RunPart, _Mapping]] = ...) -> None: ...

class ExportNetworkRequest(_message.Message):
    __slots__ = ("scenario",)
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    scenario: Scenario
    def __init__(self, scenario: _Optional[_Union[Scenario, _Mapping]] = ...) -> None: ...

class ExportNetworkResponse(_message.Message):
    __slots__ = ("file_name", "data")
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    file_name: str
    data: bytes
    def __init__(self, file_name: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class CompareStatesRequest(_message.Message):
    __slots__ = ("network", "before", "after", "page_size")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    network: str
    before: _common_pb2.At
    after: _common_pb2.At
    page_size: int
    def __init__(self, network: _Optional[str] = ..., before: _Optional[_Union[_common_pb2.At, _Mapping]] = ..., after: _Optional[_Union[_common_pb2.At, _Mapping]] = ..., page_size: _Optional[int] = ...) -> None: ...

class Comparison(_message.Message):
    __slots__ = ("column", "element", "before", "after", "difference", "rank", "not_listed", "violated", "relieved")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    NOT_LISTED_FIELD_NUMBER: _ClassVar[int]
    VIOLATED_FIELD_NUMBER: _ClassVar[int]
    RELIEVED_FIELD_NUMBER: _ClassVar[int]
    column: _containers.RepeatedScalarFieldContainer[str]
    element: _containers.RepeatedScalarFieldContainer[str]
    before: _containers.RepeatedScalarFieldContainer[float]
    after: _containers.RepeatedScalarFieldContainer[float]
    difference: _containers.RepeatedScalarFieldContainer[float]
    rank: _containers.RepeatedScalarFieldContainer[float]
    not_listed: int
    violated: _containers.RepeatedScalarFieldContainer[str]
    relieved: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, column: _Optional[_Iterable[str]] = ..., element: _Optional[_Iterable[str]] = ..., before: _Optional[_Iterable[float]] = ..., after: _Optional[_Iterable[float]] = ..., difference: _Optional[_Iterable[float]] = ..., rank: _Optional[_Iterable[float]] = ..., not_listed: _Optional[int] = ..., violated: _Optional[_Iterable[str]] = ..., relieved: _Optional[_Iterable[str]] = ...) -> None: ...
