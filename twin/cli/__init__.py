"""The command `twin`: one file a command.

Exit status: 0 done; 1 our own fault; 2 bad input, said on stderr with file, line or element; 3 well-formed but
unsolvable, with the named reason; 4 the service is unreachable, busy, or denies.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; the base install answers with what to install."""
    try:
        import typer  # noqa: F401 - the base install is the client alone and has no command line
    except ModuleNotFoundError:
        sys.stderr.write("twin: the command needs the service extra: pip install 'city-twin[service]'\n")
        sys.exit(2)
    from twin.cli.app import run

    run()
