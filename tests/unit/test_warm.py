"""The rehearsal before a service answers: what it leaves out would be compiled on the event loop, for seconds."""

import ast
import subprocess
import sys
from pathlib import Path

import twin

COUNTED = """
import importlib, sys
from twin.warm import take_once
take_once()
for entry in sys.argv[1:]:
    module, name = entry.split(":")
    print(entry, len(getattr(importlib.import_module(module), name).signatures))
"""


def test_taking_rows_once_readies_every_kernel_of_the_intake() -> None:
    kernels = [
        f"twin.{path.stem}:{function.name}"
        for path in sorted(Path(twin.__file__).parent.glob("*.py"))
        for function in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(function, ast.FunctionDef) and "kernel" in map(ast.unparse, function.decorator_list)
    ]
    assert len(kernels) >= 5
    done = subprocess.run([sys.executable, "-c", COUNTED, *kernels], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == [f"{name} 1" for name in kernels]
