"""The contract on the wire does not rot: generated code, baseline, comments, and that nothing commands a process."""

from __future__ import annotations

import importlib.util
import re
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from tests.house.proto_sources import ROOT, SOURCES, fields, listed_codes, rpcs

PINNED = "1.71.2"
NUMERIC = re.compile(r"^(repeated )?(double|float|u?int(32|64)|s(int|fixed)(32|64)|fixed(32|64))$|, double>$")
SERVED = {f"{r.owner}.{r.name}" for r in rpcs()}
# An rpc with one of these words in its name would be a command to the process (CONTRACT.md, 18).
COMMANDING = re.compile(r"(?i)command|control|operate|actuate|write|trip|switch|setpoint|execute|dispatch")


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("proto_generate", ROOT / "proto" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def need_pinned_tools() -> None:
    try:
        found = version("grpcio-tools")
    except PackageNotFoundError:
        found = "none"
    if found != PINNED:
        pytest.skip(f"needs grpcio-tools {PINNED}, found {found}: `make proto` has it")


def present() -> descriptor_pb2.FileDescriptorSet:
    """The contract as the committed stubs have it."""
    files = descriptor_pb2.FileDescriptorSet()
    for source in SOURCES:
        module = import_module(f"twin.api.v1.{source.stem}_pb2")
        module.DESCRIPTOR.CopyToProto(files.file.add())
    return files


def surface(files: descriptor_pb2.FileDescriptorSet) -> dict[str, tuple[Any, ...]]:
    """Everything that a client may rely on: fields by number, enum values by number, rpcs."""
    found: dict[str, tuple[Any, ...]] = {}

    def messages(prefix: str, many: Any) -> None:
        for m in many:
            for f in m.field:
                oneof = m.oneof_decl[f.oneof_index].name if f.HasField("oneof_index") else ""
                found[f"{prefix}{m.name} field {f.number}"] = (f.name, f.type, f.type_name, f.label, oneof)
            messages(f"{prefix}{m.name}.", m.nested_type)
            enums(f"{prefix}{m.name}.", m.enum_type)

    def enums(prefix: str, many: Any) -> None:
        for e in many:
            found.update({f"{prefix}{e.name} value {v.number}": (v.name,) for v in e.value})

    for file in files.file:
        if file.package == "twin.api.v1":
            messages("", file.message_type)
            enums("", file.enum_type)
            for s in file.service:
                for m in s.method:
                    kinds = (m.input_type, m.output_type, m.client_streaming, m.server_streaming)
                    found[f"rpc {s.name}.{m.name}"] = kinds
    return found


def broken(before: descriptor_pb2.FileDescriptorSet, now: descriptor_pb2.FileDescriptorSet) -> list[str]:
    """What `before` promised and `now` does not keep."""
    kept = surface(now)
    return [name for name, what in surface(before).items() if kept.get(name) != what]


def baseline() -> descriptor_pb2.FileDescriptorSet:
    return descriptor_pb2.FileDescriptorSet.FromString((ROOT / "proto" / "baseline.binpb").read_bytes())


def test_nothing_of_the_baseline_is_removed_or_retyped() -> None:
    assert surface(baseline())
    assert broken(baseline(), present()) == []


def test_the_check_sees_a_removed_a_renamed_and_a_retyped_field() -> None:
    changed = baseline()
    message = next(m for f in changed.file if f.name.endswith("state.proto") for m in f.message_type if m.field)
    before = baseline()
    del message.field[0]
    assert len(broken(before, changed)) == 1
    message.field[0].name += "_x"
    message.field[1].type = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
    assert len(broken(before, changed)) == 3


def test_the_committed_stubs_are_those_of_the_sources(tmp_path: Path) -> None:
    need_pinned_tools()
    generator().stubs(tmp_path)
    for made in sorted((tmp_path / "twin" / "api" / "v1").iterdir()):
        assert made.read_text() == (ROOT / "twin" / "api" / "v1" / made.name).read_text(), made.name


def test_the_api_page_is_that_of_the_sources() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for rpc in rpcs():
        assert f"### {rpc.name}\n" in text
    for field in fields():
        assert f"- `{field.name}` ({field.type}): {field.comment}" in text, field


@pytest.mark.parametrize("rpc", rpcs(), ids=lambda r: f"{r.owner}.{r.name}")
def test_every_rpc_lists_codes_first_message_overflow_and_limits(rpc: Any) -> None:
    for heading in ("Codes:", "First message:", "Overflow:", "Limits:"):
        assert heading in rpc.comment, heading
    codes = listed_codes(rpc.owner, rpc.name)
    assert codes >= {"INVALID_ARGUMENT", "NOT_FOUND", "UNAVAILABLE", "RESOURCE_EXHAUSTED"}
    assert not codes & {"UNKNOWN", "INTERNAL"}


def test_every_field_has_a_comment_and_every_number_a_unit() -> None:
    described = fields()
    assert len(described) > 150
    for field in described:
        assert field.comment, f"{field.owner}.{field.name}"
        if NUMERIC.search(field.type):
            where = f"{field.owner}.{field.name} ({field.type}): {field.comment}"
            assert re.search(r"\[[^\]]+\]|uid", field.comment), where


def test_every_field_is_seen_by_the_reader_of_comments() -> None:
    described = {(f.owner, f.name) for f in fields()}
    nested = {f.name for f in fields()}
    for name, (field, *_) in surface(present()).items():
        if " field " in name and "Entry" not in name:
            owner = name.split(" ")[0].split(".")[-1]
            assert (owner, field) in described or field in nested, name


def test_every_rpc_is_served_and_none_commands_the_process() -> None:
    for name in surface(present()):
        if name.startswith("rpc "):
            service, rpc = name.removeprefix("rpc ").split(".")
            module = import_module(f"twin.edge.{service.removesuffix('Service').lower()}")
            assert callable(getattr(getattr(module, service), rpc)), name
            assert not COMMANDING.search(rpc), name
