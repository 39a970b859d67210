"""The living copy: streamed measurements in, estimated states, alarms and answers out.

`twin.open(base)` begins a what-if (see `twin.study`); `twin.client` talks to a service and needs the base install only.
"""

from typing import Any

__all__ = ["open"]


def __getattr__(name: str) -> Any:
    # The solvers take seconds to import, and a client needs none of them.
    if name == "open":
        from twin.study import open as begin

        return begin
    raise AttributeError(f"module 'twin' has no attribute {name!r}")
