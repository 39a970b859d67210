"""Reads the comments of the .proto files: what the contract promises in words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "proto").glob("twin/api/v1/*.proto"))
# Every call may also end by the caller's own doing.
ALWAYS = frozenset({"OK", "CANCELLED", "DEADLINE_EXCEEDED"})


@dataclass(frozen=True)
class Described:
    """A field or an rpc with the comment that stands before it or behind it."""

    owner: str
    name: str
    type: str
    comment: str


def rpcs() -> list[Described]:
    found, comment, service = [], [], ""
    for line in _lines():
        if line.startswith("//"):
            comment.append(line.lstrip("/ "))
            continue
        if opened := re.match(r"service (\w+)", line):
            service = opened[1]
        if rpc := re.match(r"rpc (\w+)\((.*?)\)", line):
            found.append(Described(service, rpc[1], rpc[2], "\n".join(comment)))
        comment = []
    return found


def fields() -> list[Described]:
    found, owner = [], ""
    for line in _lines():
        if opened := re.match(r"message (\w+)", line):
            owner = opened[1]
        field = re.match(r"((?:repeated )?(?:map<[^>]*>|[\w.]+)) (\w+) = \d+;\s*(?://\s*(.*))?$", line)
        if field:
            found.append(Described(owner, field[2], field[1], field[3] or ""))
    return found


def listed_codes(service: str, rpc: str) -> set[str]:
    """The status codes that an rpc's comment lists, and those that every call may end with."""
    for found in rpcs():
        if (found.owner, found.name) == (service, rpc):
            text = found.comment.split("Codes:", 1)[1].split("First message:", 1)[0]
            return set(re.findall(r"\b[A-Z][A-Z_]+[A-Z]\b", text)) | ALWAYS
    raise AssertionError(f"{service}.{rpc} stands in no .proto")


def _lines() -> list[str]:
    return [line.strip() for source in SOURCES for line in source.read_text(encoding="utf-8").splitlines()]
