"""Power: load flow and state estimation."""
