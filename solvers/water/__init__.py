"""Water: steady and extended-period hydraulics, estimation, leaks."""
