"""The command line: a thin face over the workbench. Every table has `--json`; every error ends with its own exit code."""

import importlib
import sys
from typing import Annotated

import typer
from rich.markup import escape

from ratchet import __version__
from ratchet.cli import (
    adapters,
    agreeing,
    climbing,
    comparing,
    diagnosing,
    exchanging,
    gating,
    grounding,
    judging,
    knowledge,
    measuring,
    models,
    people,
    serving,
    synthesis,
    tasks,
    tuning,
    wheeling,
)
from ratchet.core.errors import RatchetError

__all__ = ["app", "main"]

INTERRUPTED = 130
"""The exit code of a process that Ctrl-C ended, by the shell's custom."""

app = typer.Typer(
    name="ratchet",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Measure where a model stands on your task, find what makes it better, keep only what is proven.",
)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Say the version, if asked."""
    if version:
        print(f"ratchet {__version__}")
        raise typer.Exit


for module in (
    tasks,
    synthesis,
    measuring,
    exchanging,
    knowledge,
    comparing,
    diagnosing,
    climbing,
    gating,
    grounding,
    judging,
    agreeing,
    tuning,
    adapters,
    models,
    serving,
    people,
    wheeling,
):
    module.add_to(app)


def main() -> None:
    """Run a command; a known error prints its message and ends with its exit code, Ctrl-C keeps what was bought."""
    try:
        app()
    except RatchetError as error:
        show = importlib.import_module("ratchet.cli.show")
        show.err.print(
            f"[red]{type(error).__name__.removesuffix('Error')} error:[/] {escape(str(error))}",
            soft_wrap=True,  # a path that is broken in its middle is of no use
        )
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, SystemExit) as end:  # typer turns Ctrl-C into an exit without words
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        print(
            "\nstopped; every answer that came back is kept, run the same command again to go on",
            file=sys.stderr,
        )
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
