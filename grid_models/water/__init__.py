"""The water network: nodes, links, patterns, curves, controls, in SI units."""
