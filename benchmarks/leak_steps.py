"""What a step of the search for leaks costs: `python -m benchmarks.leak_steps NETWORK.inp --history DIR --year DIR`.

The search takes in whole hours. All work of an hour falls on the five-minute step that completes it, so that step's time is
the hour's; the other eleven only add up a mean. What the live search keeps of itself each week is packed at the end, and taken
up again, as after a restart. Time of this thread, on one core, learning and reading aside.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import thread_time

import numpy as np

from grid_models.formats import read
from grid_models.water.network import WaterNetwork
from solvers.water.leak_search.saving import recall, saved
from twin.learnt import learn
from twin.packing import packed, unpacked
from twin.scada_year import in_common, read_year

_STEPS_AN_HOUR = 12


def main() -> int:
    """Search one year and print what its hours cost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leak_steps", description=__doc__.split("\n", 1)[0])
    parser.add_argument("network")
    parser.add_argument("--history", type=Path, required=True, help="a year folder with the flows of its leaks")
    parser.add_argument("--year", type=Path, required=True)
    a = parser.parse_args()
    network = read(a.network)
    assert isinstance(network, WaterNetwork)
    past, year = in_common(read_year(a.history, network), read_year(a.year, network))
    learnt, first_s = learn(network, past, lambda _, __: None), float(year.hours.start_s[0])
    search = learnt.search(network, first_s)
    taken = np.empty(len(year.hours))
    for h in range(len(taken)):
        begun = thread_time()
        search.step(year.hours[h])
        taken[h] = 1e3 * (thread_time() - begun)
    middle, late, worst = np.quantile(taken[24:], (0.5, 0.99, 1.0))  # the first day compiles kernels
    sys.stdout.write(
        f"{len(taken)} hours in {taken.sum() / 1e3:.0f} s: an hour {taken[24:].mean():.1f} ms, median {middle:.1f} ms, "
        f"99 % below {late:.0f} ms, worst {worst:.0f} ms; a five-minute step {taken[24:].mean() / _STEPS_AN_HOUR:.2f} ms\n"
    )
    begun = thread_time()
    pieces = [packed(piece) for piece in saved(search)]
    packing = thread_time() - begun
    recall(learnt.search(network, first_s), map(unpacked, pieces))
    size, whole = sum(map(len, pieces)) / 1e6, thread_time() - begun
    sys.stdout.write(f"kept: {size:.0f} MB, packed in {packing:.2f} s, taken up again in {whole - packing:.2f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
