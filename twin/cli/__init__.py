"""The command `twin`: one file a command.

Exit status: 0 done; 1 our own fault; 2 bad input, said on stderr with file, line or element; 3 well-formed but
unsolvable, with the named reason; 4 the service is unreachable, busy, or denies.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line; the base install answers with what to install."""
    # numpy's matrix products on threads of their own wait for each other, busily, on cores that the twin's own threads need;
    # and their sums would depend on how many cores there are. Read when numpy is imported, so before all else.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        import typer  # noqa: F401 - the base install is the client alone and has no command line
    except ModuleNotFoundError:
        sys.stderr.write("twin: the command needs the service extra: pip install 'city-twin[service]'\n")
        sys.exit(2)
    from twin.cli.app import run

    run()
