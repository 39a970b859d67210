"""The power network: element tables, pi equivalents, and the bus-branch form."""
