"""Ours beside the peers: each benchmark compares the answers first, then the time, in one run."""

import os

# Jobs are pinned to one core: a second thread for matrix products would only wait there. Read when numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
