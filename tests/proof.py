"""What a heavy proof did, and how it ended: a row of docs/tables/proofs.md, written whichever way it ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.row import markdown
from benchmarks.timing import this_machine

PAGE = Path(__file__).parents[1] / "docs" / "tables" / "proofs.md"
TITLE = "Heavy proofs"
TEXT = "Each proof writes its row when it ends, held or not. The command in a row runs that one alone."
HEAD = ("proof", "what must hold", "done", "time", "verdict", "on", "command")


@dataclass
class Tally:
    """What a proof has done so far.

    Attributes:
        unit: What is counted.
        count: How many are done.
    """

    unit: str
    count: int = 0


@contextmanager
def proof(name: str, claim: str, unit: str, test: str, page: Path = PAGE) -> Iterator[Tally]:
    """Count what is done inside, and write down what became of it.

    Args:
        name: Of the proof; it has one row.
        claim: What must hold.
        unit: What is counted.
        test: Its node for pytest.
        page: Where the row goes.
    """
    tally, begun, verdict = Tally(unit), time.perf_counter(), "held"
    try:
        yield tally
    except BaseException as error:
        verdict = f"FAILED: {type(error).__name__} {error}".split("\n", 1)[0][:200]
        raise
    finally:
        minutes = (time.perf_counter() - begun) / 60
        day = time.strftime("%Y-%m-%d", time.gmtime())
        command = f"`python -m pytest -m heavy {test}`"
        _write(page, (name, claim, f"{tally.count:,} {unit}", f"{minutes:.1f} min", verdict, day, command))


def _write(page: Path, row: tuple[str, ...]) -> None:
    lines = page.read_text("utf-8").splitlines() if page.exists() else []
    rows = {cells[0]: cells for line in lines if line.startswith("| ") and (cells := line[2:-2].split(" | ")) != list(HEAD)}
    rows[row[0]] = [cell.replace("|", "/") for cell in row]
    page.write_text(markdown(TITLE, TEXT, "make proofs", this_machine(), HEAD, [rows[name] for name in sorted(rows)]), "utf-8")
