"""The demo: a city, its hidden truth in another process, and what the twin finds out about it over gRPC."""
