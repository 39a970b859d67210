"""Assembles the commands and turns every error into its exit status, never into a traceback."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable

import typer

from grid_models.errors import InvalidInput
from solvers.solution import Unsolvable
from twin.client.errors import ClientError
from twin.errors import TwinError

app = typer.Typer(
    help="A live digital twin of a city's power and water networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# A new command is one file in this folder with a function `command`, and one line here: module, then its name.
COMMANDS = {
    "demo": "demo",
    "serve": "serve",
    "solve": "solve",
    "estimate": "estimate",
    "screen": "screen",
    "validate": "validate",
    "what_if": "what-if",
    "compare": "compare",
    "export": "export",
    "forecast": "forecast",
    "leaks": "leaks",
    "replay": "replay",
    "report": "report",
    "signals": "signals",
    "compile": "compile",
    "warm": "warm",
}


def _load() -> None:
    for module, name in COMMANDS.items():
        loaded = importlib.import_module(f"twin.cli.{module}")
        if isinstance(loaded.command, typer.Typer):
            app.add_typer(loaded.command, name=name)
        else:
            app.command(name)(loaded.command)


def run() -> None:
    """Run the command line and exit."""
    _load()
    sys.exit(guarded(lambda: app(standalone_mode=False)))


def guarded(action: Callable[[], object]) -> int:
    """Run an action and return the exit status that its outcome means; errors are told on stderr.

    `TWIN_DEBUG=1` shows the traceback of a fault of ours.
    """
    try:
        outcome = action()
    except InvalidInput as error:
        return _say(str(error), 2)
    except Unsolvable as error:
        return _say(str(error), 3)
    except TwinError as error:
        return _say(str(error), error.exit_status)
    except ClientError as error:
        return _say(str(error), error.exit_status)
    except typer.Exit as error:
        return int(error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return _say("interrupted", 130)
    except BrokenPipeError:
        return 0
    except Exception as error:  # the last door: whatever falls through is a fault of ours and says so
        if type(error).__module__.startswith(("click", "typer")):
            return _usage(error)
        if os.environ.get("TWIN_DEBUG"):
            raise
        return _say(f"a fault of ours: {type(error).__name__}: {error} (TWIN_DEBUG=1 shows where)", 1)
    return outcome if isinstance(outcome, int) else 0


def _usage(error: Exception) -> int:
    show = getattr(error, "show", None)
    if show is not None:
        show()
        return 2
    return _say(str(error), 2)


def _say(message: str, status: int) -> int:
    for line in message.splitlines():
        sys.stderr.write(f"twin: {line}\n")
    return status
