"""`python -m benchmarks NAME`: one benchmark, as a table, as a page in docs/tables, and as JSON.

A benchmark is a module of this folder with

- `TITLE` and `TEXT`: what the page says above its table,
- `run(quick) -> Iterator[Row]`; or, where the page is no comparison of times, `HEAD` and `run(quick)` that yields
  sequences of text.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks.row import HEAD, Row, markdown
from benchmarks.timing import pin_to_one_core, this_machine

ROOM = Path(__file__).parent
PAGES = ROOM.parent / "docs" / "tables"
MACHINERY = {"__main__", "row", "timing"}


def names() -> list[str]:
    """Every benchmark there is."""
    found = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name not in MACHINERY]
    return [name for name in found if "\ndef run(" in _source(name)]


def _source(name: str) -> str:
    file = ROOM / f"{name}.py"
    return file.read_text("utf-8") if file.is_file() else ""


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("name", nargs="?", choices=names(), help="which benchmark; all are listed without it")
    parser.add_argument("--quick", action="store_true", help="the small sizes only, and no page is written")
    parser.add_argument("--json", type=Path, help="write the rows there too")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 200)
    if arguments.name is None:
        for name in names():
            console.print(f"{name:16} {importlib.import_module(f'benchmarks.{name}').TITLE}")
        return 0
    module = importlib.import_module(f"benchmarks.{arguments.name}")
    head = getattr(module, "HEAD", HEAD)
    if head is HEAD:
        pin_to_one_core()
    rows, records = [], []
    for row in module.run(arguments.quick):
        cells = tuple(row.cells() if isinstance(row, Row) else row)
        rows.append(cells)
        records.append(row.record() if isinstance(row, Row) else dict(zip(head, cells, strict=True)))
        console.print("  ".join(cells), style="dim", highlight=False)
    table = Table(*head, title=module.TITLE)
    for cells in rows:
        table.add_row(*cells)
    console.print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(records, indent=1), "utf-8")
    if not arguments.quick:
        PAGES.mkdir(exist_ok=True)
        page = PAGES / f"{arguments.name}.md"
        command = f"python -m benchmarks {arguments.name}"
        page.write_text(markdown(module.TITLE, module.TEXT, command, this_machine(), head, rows), "utf-8")
        console.print(f"written to {page.relative_to(ROOM.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
