from google.protobuf import duration_pb2 as _duration_pb2
from twin.api.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SignalKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SIGNAL_KIND_UNSPECIFIED: _ClassVar[SignalKind]
    SIGNAL_KIND_ANALOG: _ClassVar[SignalKind]
    SIGNAL_KIND_SWITCH: _ClassVar[SignalKind]
    SIGNAL_KIND_STEP: _ClassVar[SignalKind]
    SIGNAL_KIND_COUNTER: _ClassVar[SignalKind]
    SIGNAL_KIND_EVENT: _ClassVar[SignalKind]

class Update(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UPDATE_UNSPECIFIED: _ClassVar[Update]
    UPDATE_CYCLIC: _ClassVar[Update]
    UPDATE_SPONTANEOUS: _ClassVar[Update]
SIGNAL_KIND_UNSPECIFIED: SignalKind
SIGNAL_KIND_ANALOG: SignalKind
SIGNAL_KIND_SWITCH: SignalKind
SIGNAL_KIND_STEP: SignalKind
SIGNAL_KIND_COUNTER: SignalKind
SIGNAL_KIND_EVENT: SignalKind
UPDATE_UNSPECIFIED: Update
UPDATE_CYCLIC: Update
UPDATE_SPONTANEOUS: Update

class GetTwinRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class Twin(_message.Message):
    __slots__ = ("name", "catalog_revision", "networks", "issues")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CATALOG_REVISION_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    catalog_revision: int
    networks: _containers.RepeatedScalarFieldContainer[str]
    issues: _containers.RepeatedCompositeFieldContainer[Issue]
    def __init__(self, name: _Optional[str] = ..., catalog_revision: _Optional[int] = ..., networks: _Optional[_Iterable[str]] = ..., issues: _Optional[_Iterable[_Union[Issue, _Mapping]]] = ...) -> None: ...

class Issue(_message.Message):
    __slots__ = ("component", "field", "ids", "message")
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    component: str
    field: str
    ids: _containers.RepeatedScalarFieldContainer[str]
    message: str
    def __init__(self, component: _Optional[str] = ..., field: _Optional[str] = ..., ids: _Optional[_Iterable[str]] = ..., message: _Optional[str] = ...) -> None: ...

class ListNetworksRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListNetworksResponse(_message.Message):
    __slots__ = ("networks", "next_page_token")
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    networks: _containers.RepeatedCompositeFieldContainer[Network]
    next_page_token: str
    def __init__(self, networks: _Optional[_Iterable[_Union[Network, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetNetworkRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class Network(_message.Message):
    __slots__ = ("name", "kind", "model_revision", "cycle", "dimensions", "columns", "ready", "position")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MODEL_REVISION_FIELD_NUMBER: _ClassVar[int]
    CYCLE_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    model_revision: str
    cycle: _duration_pb2.Duration
    dimensions: _containers.RepeatedCompositeFieldContainer[_common_pb2.Dimension]
    columns: _containers.RepeatedCompositeFieldContainer[ColumnInfo]
    ready: str
    position: _common_pb2.Position
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., model_revision: _Optional[str] = ..., cycle: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., dimensions: _Optional[_Iterable[_Union[_common_pb2.Dimension, _Mapping]]] = ..., columns: _Optional[_Iterable[_Union[ColumnInfo, _Mapping]]] = ..., ready: _Optional[str] = ..., position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ...) -> None: ...

class ColumnInfo(_message.Message):
    __slots__ = ("name", "dimension", "unit", "text")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    dimension: str
    unit: str
    text: str
    def __init__(self, name: _Optional[str] = ..., dimension: _Optional[str] = ..., unit: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class ListSignalsRequest(_message.Message):
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

class ListSignalsResponse(_message.Message):
    __slots__ = ("signals", "next_page_token", "catalog_revision")
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CATALOG_REVISION_FIELD_NUMBER: _ClassVar[int]
    signals: _containers.RepeatedCompositeFieldContainer[Signal]
    next_page_token: str
    catalog_revision: int
    def __init__(self, signals: _Optional[_Iterable[_Union[Signal, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., catalog_revision: _Optional[int] = ...) -> None: ...

class GetSignalRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class Signal(_message.Message):
    __slots__ = ("name", "uid", "display_name", "network", "kind", "table", "element", "quantity", "side", "unit", "sign", "sigma", "lower", "upper", "update", "ttl", "hold")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    SIGN_FIELD_NUMBER: _ClassVar[int]
    SIGMA_FIELD_NUMBER: _ClassVar[int]
    LOWER_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    name: str
    uid: int
    display_name: str
    network: str
    kind: SignalKind
    table: str
    element: str
    quantity: str
    side: str
    unit: str
    sign: int
    sigma: float
    lower: float
    upper: float
    update: Update
    ttl: _duration_pb2.Duration
    hold: _duration_pb2.Duration
    def __init__(self, name: _Optional[str] = ..., uid: _Optional[int] = ..., display_name: _Optional[str] = ..., network: _Optional[str] = ..., kind: _Optional[_Union[SignalKind, str]] = ..., table: _Optional[str] = ..., element: _Optional[str] = ..., quantity: _Optional[str] = ..., side: _Optional[str] = ..., unit: _Optional[str] = ..., sign: _Optional[int] = ..., sigma: _Optional[float] = ..., lower: _Optional[float] = ..., upper: _Optional[float] = ..., update: _Optional[_Union[Update, str]] = ..., ttl: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., hold: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...
