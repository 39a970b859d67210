"""Generate the stubs in twin/api/v1 and docs/api.md from the .proto files: `make proto`.

Run by a Python that has grpcio-tools 1.71.2, the dependency floor: stubs of a newer one refuse older runtimes.
`--baseline` also accepts the present contract as the one that later changes are checked against.
"""

from __future__ import annotations

import re
import sys
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from grpc_tools import protoc

PINNED = "1.71.2"
PROTO = Path(__file__).resolve().parent
ROOT = PROTO.parent
SOURCES = sorted(PROTO.glob("twin/api/v1/*.proto"))


def include_paths() -> list[str]:
    """Ours, protobuf's own types, and google.rpc's."""
    import google.rpc

    common = Path(next(iter(google.rpc.__path__))).parent.parent
    return [f"-I{PROTO}", f"-I{resources.files('grpc_tools') / '_proto'}", f"-I{common}"]


def stubs(out: Path) -> None:
    """Write messages, their type stubs and services below `out`."""
    command = ["protoc", *include_paths(), f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"]
    if protoc.main([*command, *map(str, SOURCES)]) != 0:
        sys.exit("protoc failed")


def descriptor_set(out: Path) -> None:
    """Write the contract as a FileDescriptorSet with everything it imports."""
    if protoc.main(["protoc", *include_paths(), "--include_imports", f"--descriptor_set_out={out}", *map(str, SOURCES)]):
        sys.exit("protoc failed")


def document() -> str:
    """The services, messages and enums in Markdown, from the comments."""
    head = "# The API\n\nGenerated from `proto/` by `make proto`; edit the comments there.\n"
    return "\n".join([head, *(_document(s.read_text(encoding="utf-8")) for s in SOURCES)]).rstrip() + "\n"


def _document(text: str) -> str:
    head, _, body = text.partition("syntax =")
    lines = [_prose(head.splitlines())]
    comment: list[str] = []
    depth = 0
    for line in body.splitlines()[2:]:
        stripped = line.strip()
        if stripped.startswith("//"):
            comment.append(stripped)
            continue
        if (opened := re.match(r"(service|message|enum) (\w+) {", stripped)) is not None:
            level = "##" if opened[1] == "service" else "###"
            lines.append(f"\n{level} {opened[1]} {opened[2]}\n\n{_prose(comment)}")
            depth += 1
        elif (rpc := re.match(r"rpc (\w+)\((.*?)\) returns \((.*?)\);", stripped)) is not None:
            lines.append(f"\n### {rpc[1]}\n\n`{rpc[2]}` -> `{rpc[3]}`\n\n{_prose(comment, breaks=True)}")
        elif (field := re.match(r"([\w<>, .]+?) (\w+) = \d+;\s*(?://\s*(.*))?", stripped)) is not None:
            lines.append(f"- `{field[2]}` ({field[1]}): {field[3] or ''}".rstrip(": "))
        elif (value := re.match(r"(\w+) = (\d+);\s*(?://\s*(.*))?", stripped)) is not None:
            lines.append(f"- `{value[1]}` = {value[2]}" + (f": {value[3]}" if value[3] else ""))
        comment = []
    return "\n".join(lines)


def _prose(comment: list[str], *, breaks: bool = False) -> str:
    text = "\n".join(line.strip().removeprefix("//").removeprefix(" ") for line in comment)
    if breaks:
        text = re.sub(r"\n(Codes|First message|Overflow|Limits):", r"\n- **\1:**", text)
        text = text.replace("\n- **Codes", "\n\n- **Codes", 1)
    return text.strip() + "\n"


if __name__ == "__main__":
    if version("grpcio-tools") != PINNED:
        sys.exit(f"needs grpcio-tools {PINNED}, not {version('grpcio-tools')}: use `make proto`")
    stubs(ROOT)
    (ROOT / "docs" / "api.md").write_text(document(), encoding="utf-8")
    if "--baseline" in sys.argv[1:]:
        descriptor_set(PROTO / "baseline.binpb")
