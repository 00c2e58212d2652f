"""The command line: a thin face over the workbench. Every table has `--json`; every error ends with its own exit code."""

import contextlib
import importlib
import sys
from pathlib import Path
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

RECORDED = (
    "climb",
    "curate",
    "diagnose",
    "final",
    "import",
    "import-evals",
    "import-promptfoo",
    "knowledge",
    "ladder",
    "synth",
    "try",
    "wheel",
)
"""Commands that examples, knowledge and rungs come from: the workspace's history has them."""

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
        _remember_command(end.code if isinstance(end, SystemExit) else INTERRUPTED)
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


def _remember_command(code: object) -> None:
    """Write down the command line in the workspace's history, if it made something that a report tells of."""
    words = sys.argv[1:]
    if code not in (None, 0, INTERRUPTED) or not words or words[0] not in RECORDED:
        return
    is_read_only = {"--help", "--dry-run"} & set(words)
    if is_read_only or (words[0] == "ladder" and "--clear" not in words):
        return
    if words[0] == "knowledge" and words[1:2] != ["add"]:
        return
    store = importlib.import_module("ratchet.store")
    with contextlib.suppress(RatchetError):
        store.add_command(store.find_workspace(Path()), words)
