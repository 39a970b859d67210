from google.protobuf import timestamp_pb2 as _timestamp_pb2
from twin.api.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_KIND_UNSPECIFIED: _ClassVar[EventKind]
    EVENT_KIND_ALARM: _ClassVar[EventKind]
    EVENT_KIND_LEAK: _ClassVar[EventKind]
    EVENT_KIND_CORRECTION: _ClassVar[EventKind]
    EVENT_KIND_CATALOGUE: _ClassVar[EventKind]
    EVENT_KIND_SERVICE: _ClassVar[EventKind]
    EVENT_KIND_MANUAL: _ClassVar[EventKind]

class Transition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRANSITION_UNSPECIFIED: _ClassVar[Transition]
    TRANSITION_RAISED: _ClassVar[Transition]
    TRANSITION_UPDATED: _ClassVar[Transition]
    TRANSITION_CLEARED: _ClassVar[Transition]
    TRANSITION_ACKNOWLEDGED: _ClassVar[Transition]
EVENT_KIND_UNSPECIFIED: EventKind
EVENT_KIND_ALARM: EventKind
EVENT_KIND_LEAK: EventKind
EVENT_KIND_CORRECTION: EventKind
EVENT_KIND_CATALOGUE: EventKind
EVENT_KIND_SERVICE: EventKind
EVENT_KIND_MANUAL: EventKind
TRANSITION_UNSPECIFIED: Transition
TRANSITION_RAISED: Transition
TRANSITION_UPDATED: Transition
TRANSITION_CLEARED: Transition
TRANSITION_ACKNOWLEDGED: Transition

class Event(_message.Message):
    __slots__ = ("name", "sequence", "position", "valid_time", "known_time", "kind", "transition", "alarm", "code", "network", "elements", "message", "cause", "candidates", "figures", "evidence")
    class FiguresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    VALID_TIME_FIELD_NUMBER: _ClassVar[int]
    KNOWN_TIME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TRANSITION_FIELD_NUMBER: _ClassVar[int]
    ALARM_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    ELEMENTS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    sequence: int
    position: _common_pb2.Position
    valid_time: _timestamp_pb2.Timestamp
    known_time: _timestamp_pb2.Timestamp
    kind: EventKind
    transition: Transition
    alarm: str
    code: str
    network: str
    elements: _containers.RepeatedScalarFieldContainer[str]
    message: str
    cause: str
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    figures: _containers.ScalarMap[str, float]
    evidence: _containers.RepeatedCompositeFieldContainer[Evidence]
    def __init__(self, name: _Optional[str] = ..., sequence: _Optional[int] = ..., position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ..., valid_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., known_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[_Union[EventKind, str]] = ..., transition: _Optional[_Union[Transition, str]] = ..., alarm: _Optional[str] = ..., code: _Optional[str] = ..., network: _Optional[str] = ..., elements: _Optional[_Iterable[str]] = ..., message: _Optional[str] = ..., cause: _Optional[str] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., figures: _Optional[_Mapping[str, float]] = ..., evidence: _Optional[_Iterable[_Union[Evidence, _Mapping]]] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ("signal", "report", "sigma", "unit", "trace", "text")
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    SIGMA_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    signal: str
    report: str
    sigma: float
    unit: str
    trace: _containers.RepeatedScalarFieldContainer[float]
    text: str
    def __init__(self, signal: _Optional[str] = ..., report: _Optional[str] = ..., sigma: _Optional[float] = ..., unit: _Optional[str] = ..., trace: _Optional[_Iterable[float]] = ..., text: _Optional[str] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("element", "probability", "flow_m3_per_h", "distance_m")
    ELEMENT_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    FLOW_M3_PER_H_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_M_FIELD_NUMBER: _ClassVar[int]
    element: str
    probability: float
    flow_m3_per_h: float
    distance_m: float
    def __init__(self, element: _Optional[str] = ..., probability: _Optional[float] = ..., flow_m3_per_h: _Optional[float] = ..., distance_m: _Optional[float] = ...) -> None: ...

class WatchEventsRequest(_message.Message):
    __slots__ = ("twin", "after_sequence", "live_only")
    TWIN_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LIVE_ONLY_FIELD_NUMBER: _ClassVar[int]
    twin: str
    after_sequence: int
    live_only: bool
    def __init__(self, twin: _Optional[str] = ..., after_sequence: _Optional[int] = ..., live_only: bool = ...) -> None: ...

class WatchEventsResponse(_message.Message):
    __slots__ = ("event", "sync", "heartbeat")
    class Sync(_message.Message):
        __slots__ = ("sequence",)
        SEQUENCE_FIELD_NUMBER: _ClassVar[int]
        sequence: int
        def __init__(self, sequence: _Optional[int] = ...) -> None: ...
    class Heartbeat(_message.Message):
        __slots__ = ("sequence", "server_time")
        SEQUENCE_FIELD_NUMBER: _ClassVar[int]
        SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
        sequence: int
        server_time: _timestamp_pb2.Timestamp
        def __init__(self, sequence: _Optional[int] = ..., server_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    EVENT_FIELD_NUMBER: _ClassVar[int]
    SYNC_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    event: Event
    sync: WatchEventsResponse.Sync
    heartbeat: WatchEventsResponse.Heartbeat
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ..., sync: _Optional[_Union[WatchEventsResponse.Sync, _Mapping]] = ..., heartbeat: _Optional[_Union[WatchEventsResponse.Heartbeat, _Mapping]] = ...) -> None: ...

class ListEventsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token", "network")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    network: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., network: _Optional[str] = ...) -> None: ...

class ListEventsResponse(_message.Message):
    __slots__ = ("events", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class AcknowledgeEventRequest(_message.Message):
    __slots__ = ("alarm", "author", "comment")
    ALARM_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    alarm: str
    author: str
    comment: str
    def __init__(self, alarm: _Optional[str] = ..., author: _Optional[str] = ..., comment: _Optional[str] = ...) -> None: ...
