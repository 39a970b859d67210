"""A process that reads .inp texts and solves what it read, so that a crash of the parser is seen and not suffered.

One text comes in and one answer goes out by pickle: ("refused", issues), ("answered", status, culprits and the largest head),
or ("failed", traceback).
"""

import pickle
import sys
import traceback
from typing import BinaryIO

import numpy as np

from grid_models.errors import InvalidInput
from grid_models.formats.epanet import read_text
from grid_models.formats.epanet_text import InpText
from solvers.water.extended import Simulation


def answer(raw: bytes) -> tuple[str, object]:
    """What becomes of one file."""
    try:
        network = read_text(InpText.decode(raw, "mutated.inp"), "mutated")
        found = Simulation(network).solve()
    except InvalidInput as refusal:
        return "refused", [(i.component, i.line, i.message) for i in refusal.issues]
    except Exception:  # noqa: BLE001 -- any but a refusal is what the test looks for; it goes there whole
        return "failed", traceback.format_exc()
    return "answered", (found.status.name, found.culprits, float(np.nanmax(np.abs(found.value.head_m), initial=0.0)))


def main(given: BinaryIO, told: BinaryIO) -> None:
    """Answer until the other end is closed."""
    while True:
        try:
            raw = pickle.load(given)
        except EOFError:
            return
        pickle.dump(answer(raw), told)
        told.flush()


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
