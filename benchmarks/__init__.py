"""Ours beside the peers: each benchmark compares the answers first, then the time, in one run."""
