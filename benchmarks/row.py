"""What a benchmark yields, and how it is shown: as a table on the terminal, as Markdown for the docs, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

HEAD = ("job", "size", "ours", "peer", "its time", "ratio", "floor", "target", "difference", "note")


@dataclass(frozen=True)
class Row:
    """One job of one size, ours beside one peer.

    Attributes:
        job: What was computed.
        size: Of which network, or how large.
        ours_s: Our time for one unit of work [s]; nan where only the peer was measured.
        peer: The peer and its settings.
        peer_s: Its time for the same unit [s].
        difference: Largest difference of the answers, in `unit`.
        unit: Unit of the difference.
        floor: The least ratio that is acceptable, 0 where none is set.
        target: The ratio we are after, 0 where none is set.
        note: What limits it, or what is not comparable.
    """

    job: str
    size: str
    ours_s: float
    peer: str
    peer_s: float
    difference: float = float("nan")
    unit: str = ""
    floor: float = 0.0
    target: float = 0.0
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.peer_s / self.ours_s

    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of `HEAD`."""
        verdict = (
            ""
            if not self.floor
            else " below its floor"
            if self.ratio < self.floor
            else ""
            if self.ratio < self.target
            else " reached"
        )
        return (
            self.job,
            self.size,
            seconds(self.ours_s),
            self.peer,
            seconds(self.peer_s),
            "" if self.ratio != self.ratio else f"{self.ratio:.3g}x{verdict}",
            f"{self.floor:g}x" if self.floor else "",
            f"{self.target:g}x" if self.target else "",
            "" if self.difference != self.difference else f"{self.difference:.1e} {self.unit}",
            self.note,
        )

    def record(self) -> dict[str, object]:
        """The row for JSON."""
        return {**asdict(self), "ratio": self.ratio}


def seconds(value: float) -> str:
    """A time with three figures and a fitting unit; nothing for nan."""
    if value != value:
        return ""
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def markdown(title: str, text: str, command: str, machine: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A page for docs/tables that says which command wrote it and on what machine."""
    lines = [f"# {title}", "", text, "", f"Written by `{command}` on {machine}.", ""]
    lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
