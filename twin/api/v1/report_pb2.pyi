from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReportKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPORT_KIND_UNSPECIFIED: _ClassVar[ReportKind]
    REPORT_KIND_CITIZEN: _ClassVar[ReportKind]
    REPORT_KIND_LOGGER: _ClassVar[ReportKind]
    REPORT_KIND_DISPATCHED: _ClassVar[ReportKind]
    REPORT_KIND_CONFIRMED: _ClassVar[ReportKind]
    REPORT_KIND_REJECTED: _ClassVar[ReportKind]
    REPORT_KIND_REPAIRED: _ClassVar[ReportKind]
REPORT_KIND_UNSPECIFIED: ReportKind
REPORT_KIND_CITIZEN: ReportKind
REPORT_KIND_LOGGER: ReportKind
REPORT_KIND_DISPATCHED: ReportKind
REPORT_KIND_CONFIRMED: ReportKind
REPORT_KIND_REJECTED: ReportKind
REPORT_KIND_REPAIRED: ReportKind

class Report(_message.Message):
    __slots__ = ("name", "kind", "network", "alarm", "author", "source", "text", "happen_time", "pipes", "node", "point", "level", "count_time", "create_time")
    class Point(_message.Message):
        __slots__ = ("x", "y", "radius")
        X_FIELD_NUMBER: _ClassVar[int]
        Y_FIELD_NUMBER: _ClassVar[int]
        RADIUS_FIELD_NUMBER: _ClassVar[int]
        x: float
        y: float
        radius: float
        def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ..., radius: _Optional[float] = ...) -> None: ...
    class Level(_message.Message):
        __slots__ = ("level_db", "background_db", "deviation_db")
        LEVEL_DB_FIELD_NUMBER: _ClassVar[int]
        BACKGROUND_DB_FIELD_NUMBER: _ClassVar[int]
        DEVIATION_DB_FIELD_NUMBER: _ClassVar[int]
        level_db: float
        background_db: float
        deviation_db: float
        def __init__(self, level_db: _Optional[float] = ..., background_db: _Optional[float] = ..., deviation_db: _Optional[float] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    ALARM_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HAPPEN_TIME_FIELD_NUMBER: _ClassVar[int]
    PIPES_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    COUNT_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: ReportKind
    network: str
    alarm: str
    author: str
    source: str
    text: str
    happen_time: _timestamp_pb2.Timestamp
    pipes: _containers.RepeatedScalarFieldContainer[str]
    node: str
    point: Report.Point
    level: Report.Level
    count_time: _timestamp_pb2.Timestamp
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[ReportKind, str]] = ..., network: _Optional[str] = ..., alarm: _Optional[str] = ..., author: _Optional[str] = ..., source: _Optional[str] = ..., text: _Optional[str] = ..., happen_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., pipes: _Optional[_Iterable[str]] = ..., node: _Optional[str] = ..., point: _Optional[_Union[Report.Point, _Mapping]] = ..., level: _Optional[_Union[Report.Level, _Mapping]] = ..., count_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateReportRequest(_message.Message):
    __slots__ = ("parent", "report", "request_id", "validate_only")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    parent: str
    report: Report
    request_id: str
    validate_only: bool
    def __init__(self, parent: _Optional[str] = ..., report: _Optional[_Union[Report, _Mapping]] = ..., request_id: _Optional[str] = ..., validate_only: bool = ...) -> None: ...

class ListReportsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListReportsResponse(_message.Message):
    __slots__ = ("reports", "next_page_token")
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    reports: _containers.RepeatedCompositeFieldContainer[Report]
    next_page_token: str
    def __init__(self, reports: _Optional[_Iterable[_Union[Report, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
