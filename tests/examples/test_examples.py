"""Every example runs: docstrings, the README's Python, the notebook."""

import doctest
import importlib
import pkgutil
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("grid_models", "solvers", "twin")


def _modules() -> list[str]:
    found = []
    for package in PACKAGES:
        for module in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
            if ">>>" in Path(module.module_finder.find_spec(module.name, None).origin or "").read_text():  # type: ignore[union-attr,call-arg]
                found.append(module.name)
    return found


@pytest.mark.parametrize("name", [m for m in _modules() if "api.v1" not in m and not m.endswith("__main__")])
def test_docstrings(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert tried
    assert not failed


def test_readme_solves() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    offline = [b for b in blocks if "TwinClient" not in b]
    assert offline
    for block in offline:
        exec(compile(block, "README.md", "exec"), {})


def test_notebook() -> None:
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    book = nbformat.read(ROOT / "docs" / "first-steps.ipynb", as_version=4)
    lines = sum(len(c.source.splitlines()) for c in book.cells if c.cell_type == "code")
    assert lines <= 20
    sys.path.insert(0, str(ROOT))
    client.NotebookClient(book, timeout=120, resources={"metadata": {"path": str(ROOT)}}).execute()
    assert any(out.get("data", {}).get("image/png") for c in book.cells if c.cell_type == "code" for out in c.outputs)
