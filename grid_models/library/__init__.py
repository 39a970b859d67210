"""Small deterministic networks and the demo city."""
