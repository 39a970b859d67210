"""Writing .inp files: the source text, in which only the sections that changed are written anew.

Everything else (title, comments, quality, report, map) stays as its author wrote it, and a network that was only read
goes out as it came in. EPANET's own writer is not used: 2.3.5 keeps four decimals of patterns and curves, writes a
pump's kW as hp, and writes fill times that it cannot read back.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from grid_models.errors import InvalidInput, Issue
from grid_models.formats.epanet import read_text
from grid_models.formats.epanet_sections import SECTIONS
from grid_models.formats.epanet_text import InpText, section_name
from grid_models.network import Network
from grid_models.water.network import WaterNetwork
from grid_models.water.validation import validate

# Sections that tell one story and are written together, so that an old line cannot contradict a new one.
_TOGETHER = (
    ("JUNCTIONS", "DEMANDS"),
    ("PIPES", "PUMPS", "VALVES", "STATUS"),
    ("TIMES",),
    ("OPTIONS",),
)
# What of a rewritten section is not ours: lines that begin like this are kept.
_NOT_OURS = {
    "OPTIONS": ("QUALITY", "DIFFUSIVITY", "TOLERANCE", "MAP", "HYDRAULICS"),
    "TIMES": ("QUALITY",),
}


def write_inp(network: Network, path: str | Path) -> None:
    """Write a network as an .inp file (UTF-8), in the units its options name.

    Args:
        network: read from an .inp and edited, or made in code.
        path: the file; one that exists is replaced.

    Raises:
        InvalidInput: the network is not one that EPANET could read back.
        OSError: the file cannot be written.
    """
    if not isinstance(network, WaterNetwork):
        message = "is a power network; an .inp holds a water network"
        raise InvalidInput([Issue("", "", (), message, file=network.name)])
    Path(path).write_text(inp_text(network), encoding="utf-8", newline="\n")


def inp_text(network: WaterNetwork) -> str:
    """The text of `write_inp`.

    Raises:
        InvalidInput: the network is not one that EPANET could read back.
    """
    issues = [*validate(network), *_unwritable(network)]
    if issues:
        raise InvalidInput(issues)
    if not network.source:
        rows = {name: write(network) for name, write in SECTIONS.items()}
        blocks = [f"[{name}]\n" + "".join(f"{row}\n" for row in rows[name]) for name in rows if rows[name]]
        return f"[TITLE]\n{network.name}\n\n" + "\n".join(blocks) + "\n[END]\n"
    source = read_text(InpText(network.source), network.name)
    changed = _changed_sections(source, network)
    removed = (
        set(source.node_ids.tolist()) - set(network.node_ids.tolist()),
        set(source.link_ids.tolist()) - set(network.link_ids.tolist()),
    )
    if not changed:
        return network.source
    return "\n".join(_edited(network.source, changed, *removed))


def _unwritable(network: WaterNetwork) -> Iterator[Issue]:
    """What an .inp has no words for."""
    patterns = network.tables["pattern"].index.tolist()
    default = network.options.default_pattern or ("1" if "1" in patterns else "")
    demand = network.tables["demand"]
    bare = (demand["pattern"] == "") & (demand["base_m3_per_s"] != 0)
    if default and bare.any():
        nodes = tuple(demand["node"][bare].tolist())
        yield Issue("demand", "pattern", nodes, f"must be named: an .inp reads none as the default pattern {default}")
    for table in ("junction", "reservoir", "tank", "pipe", "pump", "valve", "pattern", "curve"):
        ids = network.tables[table].index.tolist()
        bad = [i for i in ids if not i or len(i.encode()) > 31 or any(c.isspace() or c in ';"[' for c in i)]
        if bad:
            yield Issue(table, "", tuple(bad), "an .inp takes ids of 1 to 31 bytes without spaces, quotes, ; and [")


def _changed_sections(source: WaterNetwork, network: WaterNetwork) -> dict[str, list[str]]:
    new = {name: write(network) for name, write in SECTIONS.items()}
    changed = {name for name, write in SECTIONS.items() if write(source) != new[name]}
    for group in _TOGETHER:
        if changed & set(group):
            changed |= set(group)
    return {name: new[name] for name in SECTIONS if name in changed}


def _edited(text: str, changed: dict[str, list[str]], gone_nodes: set[str], gone_links: set[str]) -> Iterator[str]:
    """The lines of `text`, with each changed section written anew where it first stood."""
    written: set[str] = set()
    for name, lines in _with_missing(_chunks(text), changed):
        if name not in changed:
            yield from (line for line in lines if not _names_removed(name, line, gone_nodes, gone_links))
        elif name not in written:
            written.add(name)
            yield from _header(lines)
            yield from _kept(name, lines)
            yield from changed[name]
            yield ""


_Chunk = tuple[str, list[str]]


def _chunks(text: str) -> list[_Chunk]:
    """Sections in the file's order, each with its heading and its lines; what stands before the first has no name."""
    chunks: list[_Chunk] = [("", [])]
    for line in text.split("\n"):
        name = section_name(line)
        if name and chunks[-1][0] != "END":
            chunks.append((name, []))
        chunks[-1][1].append(line)
    return chunks


def _with_missing(chunks: list[_Chunk], changed: dict[str, list[str]]) -> list[_Chunk]:
    """Empty sections added where the source has none; EPANET wants nodes before links, and links before their users."""
    rank = {name: k for k, name in enumerate(SECTIONS)}
    out = list(chunks)
    for name, rows in changed.items():
        if rows and all(name != other for other, _ in out):
            later = (k for k, (other, _) in enumerate(out) if rank.get(other, -1) > rank[name] or other == "END")
            out.insert(next(later, len(out)), (name, [f"[{name}]"]))
    return out


def _header(lines: list[str]) -> list[str]:
    """The heading with the comments below it, which name the columns."""
    n = next((i for i, line in enumerate(lines[1:], start=1) if not line.lstrip().startswith(";")), len(lines))
    return lines[:n]


def _kept(name: str, lines: list[str]) -> list[str]:
    keys = _NOT_OURS.get(name, ())
    return [line for line in lines if line.split() and line.split()[0].upper() in keys]


def _names_removed(name: str, line: str, gone_nodes: set[str], gone_links: set[str]) -> bool:
    tokens = line.split(";", 1)[0].split()
    if not tokens or not (gone_nodes or gone_links):
        return False
    match name:
        case "QUALITY" | "SOURCES" | "MIXING" | "COORDINATES":
            return tokens[0] in gone_nodes
        case "VERTICES":
            return tokens[0] in gone_links
        case "TAGS":
            return tokens[1:2] != [] and tokens[1] in (gone_nodes if tokens[0].upper() == "NODE" else gone_links)
        case "REACTIONS":
            return tokens[0].upper() in ("BULK", "WALL", "TANK") and tokens[1] in gone_nodes | gone_links
        case _:
            return False
