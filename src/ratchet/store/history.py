"""The commands that made what is in a workspace, in order: a line of JSON each in `.ratchet/history.jsonl`, only ever appended to.

A report prints them, so that whoever reads it can do the same again. They are kept beside the database, as they are typed in
a folder; a workspace whose history is lost works as before.
"""

import json
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from ratchet.store.trials import now
from ratchet.store.workspace import Workspace

__all__ = ["Command", "add_command", "load_commands"]

_FILE = "history.jsonl"
_RUNGS = ("climb", "try")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command line that ran to its end."""

    at: str
    """When it ended, UTC, ISO 8601."""
    words: tuple[str, ...]
    """The command line, without the program's name."""

    @property
    def text(self) -> str:
        """Return the line as it is typed into a shell."""
        return shlex.join(("ratchet", *self.words))

    @property
    def clears_ladder(self) -> bool:
        """Return whether it forgot the rungs that there were."""
        return self.words[0] == "ladder" and "--clear" in self.words


def add_command(workspace: Workspace, words: Sequence[str]) -> None:
    """Append a command line; where the folder cannot be written nothing is, as what the command did stands all the same."""
    line = json.dumps(asdict(Command(at=now(), words=tuple(words))), ensure_ascii=False) + "\n"
    with suppress(OSError), (workspace.files / _FILE).open("a", encoding="utf-8") as file:
        file.write(line)


def load_commands(workspace: Workspace, task: str) -> list[Command]:
    """Return the commands that made what there is of a task, each once, the oldest first; those of knowledge bases are of all tasks.

    Those whose rungs `ladder --clear` forgot are left out. Lines that are no commands are passed over.
    """
    found: dict[tuple[str, ...], Command] = {}
    try:
        lines = (workspace.files / _FILE).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    for line in lines:
        command = _command_of(line)
        if command is None or not (_is_of(command, task) or command.words[0] == "knowledge"):
            continue
        if command.clears_ladder:
            found = {words: one for words, one in found.items() if words[0] not in _RUNGS}
        else:
            found.setdefault(command.words, command)
    return list(found.values())


def _command_of(line: str) -> Command | None:
    try:
        body = json.loads(line)
        words = tuple(str(word) for word in body["words"])
        return Command(at=str(body["at"]), words=words) if words else None
    except (ValueError, KeyError, TypeError):
        return None


def _is_of(command: Command, task: str) -> bool:
    words = command.words[1:]
    return task in words or f"--task={task}" in words
