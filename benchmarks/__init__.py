"""Ours beside the peers: `python -m benchmarks NAME` measures and writes a page of docs/tables."""

import os

# Jobs are pinned to one core: a second thread for matrix products would only wait there. Read when numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
