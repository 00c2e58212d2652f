"""Every command of ours that the documents, the program and the page print, collected, and read as a terminal would.

A command is written in one of three ways, so that a reader, and this file, know where it ends: as a line of a fenced block, between
backticks, or in plain text up to a semicolon, a comma, a bracket or the end. In the program's own texts a value that is filled in
when it is printed (`{task}`) becomes a word of its kind.
"""

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer

from ratchet.cli.app import app

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "ratchet"
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    *sorted((ROOT / "benchmarks").rglob("*.md")),
    *sorted(SOURCE.rglob("*.md")),
]
SCRIPTS = [
    path
    for folder in ("examples", "benchmarks", "nano")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".sh", ".bash", ".py")
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`ratchet\s([^`]+)`")
PLAIN = re.compile(r"(?:(?<=: )|(?<=\bor )|(?<=\band )|(?<=\n)|^)ratchet (?=([^\n]*))")
END = re.compile(r"""((?:"[^"]*"|'[^']*'|[^"';,)(`])*?)(?:[;,)(`]|\.(?=\s|$)|: |$)""")
VALUES = {"path": "careful.yaml", "place": "careful.yaml", "export": "graded.jsonl", "kind": "lora"}
"""What stands for a value that is filled in, by a part of its name; 1 for all others."""


@dataclass(frozen=True)
class PrintedCommand:
    """A command as somebody reads it."""

    text: str
    """What follows `ratchet`."""
    place: str
    """The file and the line, for messages."""
    is_mention: bool = False
    """Whether prose names the command, as in "`ratchet show` prints it"; then it may lack its arguments."""

    def __str__(self) -> str:
        return f"{self.place}: ratchet {self.text}"


def collect_from_documents() -> Iterator[PrintedCommand]:
    """Yield the commands of all documents, then those of the scripts that they name."""
    for path in DOCUMENTS:
        name, text = str(path.relative_to(ROOT)), path.read_text("utf-8")
        for found in FENCE.finditer(text):
            if found[1] not in ("yaml", "py", "python", "json", "toml"):
                yield from commands_of_lines(found[2], name, line_of(text, found.start(2)))
        for found in INLINE.finditer(prose_of(text)):
            words = " ".join(found[1].split())
            yield PrintedCommand(words, f"{name}:{line_of(text, found.start())}", is_mention=True)
    for path in SCRIPTS:
        name, text = str(path.relative_to(ROOT)), path.read_text("utf-8")
        if path.suffix != ".py":
            yield from commands_of_lines(text, name, 1)
        else:
            yield from commands_of_module(path, name)


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the parsed code of a file."""
    return ast.parse(path.read_text("utf-8"))


@cache
def program() -> Any:
    """Return the program's command line, as its library reads it."""
    return typer.main.get_command(app)


def prose_of(text: str) -> str:
    """Return a page without its fenced blocks; what remains stands where it stood."""
    return FENCE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def line_of(text: str, position: int) -> int:
    """Return the number of the line that a position is on."""
    return text.count("\n", 0, position) + 1


def commands_of_lines(text: str, name: str, first: int) -> Iterator[PrintedCommand]:
    """Yield the commands of a shell's lines; `step` of our scripts prints what it runs."""
    for number, line in enumerate(text.splitlines(), first):
        found = re.match(r"\s*(?:\$ |step )?ratchet (.+)", line)
        if found:
            yield PrintedCommand(found[1], f"{name}:{number}")


def collect_from_program() -> Iterator[PrintedCommand]:
    """Yield the commands that the program prints: in what it says, in errors, in its help, and in the settings that `init` writes."""
    for path in sorted(SOURCE.rglob("*.py")):
        yield from commands_of_module(path, str(path.relative_to(ROOT)))
    for path in sorted((SOURCE / "cli").glob("*.py")):
        yield from commands_of_calls(tree_of(path), path)
    for ending in ("yaml", "json", "toml"):
        for path in sorted(SOURCE.rglob(f"*.{ending}")):
            if path.stat().st_size < 1_000_000:
                yield from commands_of_text(path.read_text("utf-8"), str(path.relative_to(ROOT)))


def commands_of_module(path: Path, name: str) -> Iterator[PrintedCommand]:
    """Yield the commands in the texts of a Python file; those of docstrings are mentions."""
    tree = tree_of(path)
    within: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            within |= {id(part) for part in node.values}
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            within.add(id(node.value))
            if isinstance(node.value.value, str):
                for found in INLINE.finditer(node.value.value):
                    yield PrintedCommand(found[1], f"{name}:{node.lineno}", is_mention=True)
    for node in ast.walk(tree):
        if id(node) not in within and (text := text_of(node)):
            yield from commands_of_text(text, f"{name}:{node.lineno}")


def text_of(node: ast.AST) -> str:
    """Return the text of a string in code, with a word for each value that is filled in; nothing where it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return ""
    parts = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value))
        else:
            names = re.findall(r"\w+", ast.unparse(part.value))
            parts.append(next((VALUES[name] for name in names if name in VALUES), "1"))
    return "".join(parts)


def commands_of_text(text: str, place: str) -> Iterator[PrintedCommand]:
    """Yield the commands of a text that is shown to a user."""
    for found in INLINE.finditer(text):
        yield PrintedCommand(found[1], place)
    for found in PLAIN.finditer(text):
        words = END.match(found[1])
        if words and re.match(r"[a-z]", words[1]):
            yield PrintedCommand(words[1].strip(), place)


def unmarked_in_program() -> list[str]:
    """Return the texts of the program in which a command stands so that nobody knows where it begins or ends."""
    names = "|".join(map(re.escape, program().commands))
    anywhere = re.compile(rf"\bratchet (?=(?:{names})\b)")
    problems = []
    for path in sorted(SOURCE.rglob("*.py")):
        tree = tree_of(path)
        prose = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        inner = {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in n.values}
        for node in ast.walk(tree):
            text = "" if id(node) in prose | inner else text_of(node)
            marked = len(list(commands_of_text(text, "")))
            if len(anywhere.findall(text)) > marked:
                problems.append(f"{path.relative_to(ROOT)}:{node.lineno}: {text}")
    return problems


def collect_from_page() -> Iterator[PrintedCommand]:
    """Yield the commands behind the page's buttons, and those that it shows beside them.

    A call of `begin`, `hint`, `running` or `start_run` takes the words of a command; a list or tuple that it unpacks is looked up where
    the same function builds it, with all that may be added to it.
    """
    for path in sorted((SOURCE / "web").glob("*.py")):
        yield from commands_of_calls(tree_of(path), path)


def commands_of_calls(tree: ast.Module, path: Path) -> Iterator[PrintedCommand]:
    """Yield the commands whose words a call takes, each call once."""
    seen: set[int] = set()
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and id(node) not in seen:
                words = words_of_call(node, function)
                seen |= {id(node)} if words else set()
                if words:
                    place = f"{path.relative_to(ROOT)}:{node.lineno}"
                    yield PrintedCommand(shlex.join(words), place)


def words_of_call(call: ast.Call, function: ast.AST) -> list[str]:
    """Return the words of the command that a call starts or shows; none where it does neither."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    skipped = {"print_command": 0, "hint": 0, "begin": 1, "running": 1, "start_run": 2}.get(name)
    if skipped is None:
        return []
    given = call.args[skipped : skipped + 1] if name == "start_run" else call.args[skipped:]
    words = [word for part in given for word in words_of(part, function)]
    return words if words and re.fullmatch(r"[a-z][a-z-]*", words[0]) else []


def words_of(node: ast.AST, function: ast.AST) -> list[str]:
    """Return the words that an expression gives, all that it may give where it depends."""
    if isinstance(node, ast.Starred):
        return words_of(node.value, function)
    if isinstance(node, ast.List | ast.Tuple):
        return [word for part in node.elts for word in words_of(part, function)]
    if isinstance(node, ast.IfExp):
        return [*words_of(node.body, function), *words_of(node.orelse, function)]
    if isinstance(node, ast.GeneratorExp):
        return words_of(node.elt, function)
    if isinstance(node, ast.Name) and node.id == "words":
        return [word for value in values_of_words(function) for word in words_of(value, function)]
    return [text_of(node) or VALUES.get(ast.unparse(node), "1")]


def values_of_words(function: ast.AST) -> list[ast.AST]:
    """Return what a function puts into its list `words`, in order."""
    values: list[ast.AST] = []
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id="words")], value=value):
                values.append(value)
            case ast.AugAssign(target=ast.Name(id="words"), value=value):
                values.append(value)
            case ast.Assign(
                targets=[ast.Tuple(elts=[ast.Name(id="words"), *_])],
                value=ast.Tuple(elts=[value, *_]),
            ):
                values.append(value)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="words"), attr="append")):
                values += node.args
    return values


def words_in(text: str) -> list[str]:
    """Return a command's words as a shell parts them, its comment left out."""
    return shlex.split(text, comments=True)


def find_problem(command: PrintedCommand) -> str:
    """Return what is wrong with a command by the program's own parser; nothing where it parses.

    A mention may lack arguments, but neither its name nor an option that it names may be unknown.
    """
    try:
        parse(words_in(command.text))
    except typer.Exit:
        return ""
    except Exception as error:
        if not hasattr(error, "format_message"):  # what the parser says of a user's words
            raise
        is_incomplete = error.format_message().startswith("Missing")
        return (
            "" if command.is_mention and is_incomplete else f"{command}: {error.format_message()}"
        )
    return ""


def parse(words: list[str]) -> None:
    """Read a command's words as the program does before it calls the command."""
    command, parent, name = program(), None, "ratchet"
    while True:
        context = command.make_context(name, words, parent=parent)
        if not hasattr(command, "resolve_command"):
            return
        words = [*context._protected_args, *context.args]
        if not words and command.invoke_without_command:
            return
        name, command, words = command.resolve_command(context, words)
        parent = context
