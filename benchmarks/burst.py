"""Ten minutes of a burst: whether it is held, and what it leaves on the disk."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.service_load import MEANWHILE, Caller, Source, cores, percentiles, point_list, ready, served, truth, used_s
from grid_models.formats import read

TITLE = "A burst of ten minutes"
TEXT = """A service with its estimator running each second (`pandapower:case1354pegase`) on one core, four publishers on
another, over the loopback: messages of 10,000 rows of 10,000 signals, as fast as the service takes them, all DURABLE; values
are noise to their last bit. Rows may come 5 s late: at such a rate what the window holds is memory. The disk is looked at when
the last row is DURABLE, and again when the archive has all of them; beside it stands what docs/store.md foretells."""
HEAD = ("job", "measured", "target, or foretold")
_NETWORK = "pandapower:case1354pegase"
_PUBLISHERS, _ROWS = 4, 10_000
_PREPARED = 60  # messages of each publisher, sent again and again: more than a row group of the archive holds
_SEALED_WITHIN_S = 900.0


def run(quick: bool) -> Iterator[tuple[str, ...]]:
    """Send, then wait for the archive."""
    service, load = cores()
    os.sched_setaffinity(0, load)
    seconds = 20.0 if quick else 600.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        signals = point_list(_NETWORK, 10_000)
        values, share = truth(_NETWORK, signals), len(signals) // _PUBLISHERS
        with served(folder, {"power": (read(_NETWORK), 1.0)}, signals, service, lateness_s="5") as (address, process):
            sources = [
                Source(address, f"p{k}", folder, signals[k * share : (k + 1) * share], values[k * share : (k + 1) * share])
                for k in range(_PUBLISHERS)
            ]
            for source in sources:
                source.prepare(_PREPARED, _ROWS, 0.0)
            threads = [threading.Thread(target=s.play, kwargs={"seconds": seconds}) for s in sources]
            begun, used = time.perf_counter(), used_s(process)
            with Caller(address) as caller:
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            took, used = time.perf_counter() - begun, used_s(process) - used
            rows = sum(s.admitted for s in sources)
            slices = _per_slice(sources, begun, took)
            yield "rows, all DURABLE", f"{rows / 1e6:,.0f} M in {took:.0f} s, {rows / took / 1e6:.2f} M/s", ">= 1 M/s"
            yield "in each tenth of the time", " ".join(f"{s / 1e6:.2f}" for s in slices) + " M/s", ""
            waits = np.concatenate([s.latencies_s() for s in sources])
            yield "batch sent -> DURABLE, with 16 MB in flight for each publisher", percentiles(waits), ""
            yield "GetTwin beside it", percentiles(caller.took_s), ""
            yield "processor of the service", f"{used / rows * 1e9:.0f} us for 1,000 rows", ""
            store = folder / "store"
            sizes, free = _sizes(store), shutil.disk_usage(folder).free
            yield "journal then", _each(sizes["journal"], rows), "20 to 40 bytes a value"
            peak = _settled(store)
            sizes = _sizes(store)
            yield "archive, once all is in it", _each(sizes["archive"], rows), "about 10 bytes a value"
            yield "past", _each(sizes["past"], rows), ""
            yield "archive complete after", peak, ""
            yield "disk free beside it", f"{free / 2**30:.0f} GiB", ""
    yield MEANWHILE, ready(service | load), "2: the service and its load"


def _per_slice(sources: list[Source], begun: float, took: float) -> np.ndarray:
    """Rows a second that became DURABLE in each tenth of the time."""
    counts = np.zeros(10)
    for source in sources:
        through = np.array(sorted(source.durable_s))
        at = np.minimum(((np.array([source.durable_s[t] for t in through]) - begun) / took * 10).astype(int), 9)
        np.add.at(counts, at, np.diff(through, prepend=0) * _ROWS)
    return counts / (took / 10)


def _sizes(store: Path) -> dict[str, int]:
    parts = {"journal": "journal.*", "archive": "archive/*.duckdb*", "past": "past/*"}
    return {part: sum(f.stat().st_size for f in store.glob(pattern)) for part, pattern in parts.items()}


def _settled(store: Path) -> str:
    """Wait until the archive grows no more."""
    begun, seen, since = time.perf_counter(), "", time.perf_counter()
    while time.perf_counter() - begun < _SEALED_WITHIN_S:
        now = (store / "archive" / "sealed").read_text("utf-8")
        # A state each second is an entry of the journal: what is sealed moves on, but by one at a time.
        revision = int(now.split()[1])
        if seen and revision - int(seen.split()[1]) < 50 and time.perf_counter() - since > 5:
            return f"{since - begun:.0f} s"
        if not seen or revision - int(seen.split()[1]) >= 50:
            seen, since = now, time.perf_counter()
        time.sleep(0.5)
    return f"more than {_SEALED_WITHIN_S:.0f} s"


def _each(size: int, rows: int) -> str:
    return f"{size / 2**30:.2f} GiB, {size / rows:.1f} bytes a value"
