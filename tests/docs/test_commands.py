"""Every command that is printed runs as it is printed: those of the documents, of the program, and of the page.

All are read by the program's own parser. The commands of the README and of the guide are run too, one after another, in a folder with the
files that they name, against endpoints that answer anything; and then those that were printed on the way as what to do next. What
is only read stands in `ONLY_READ`, with the reason.
"""

import io
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.docs.printed import (
    DOCUMENTS,
    FENCE,
    ROOT,
    PrintedCommand,
    collect_from_documents,
    collect_from_page,
    collect_from_program,
    commands_of_text,
    find_problem,
    unmarked_in_program,
    words_in,
)
from tests.docs.sandbox import answer_anything, log_request, write_grades, write_sandbox

from ratchet.cli.app import main
from ratchet.cli.show import print_command
from ratchet.testing import ScriptedServer

ONLY_READ = {
    r"(serve|work)\b": "waits for requests until it is stopped",
    r"logs --follow": "waits for requests until it is stopped",
    r"keys add": "would ask for a key in what follows; tests/gateway runs it",
    r"try dspy": "DSPy takes too long; tests/levers runs it",
    r"try tune \w+ --base": "trains a model; tests/levers runs it",
    r"forget \w+": "needs a fine-tune; tests/levers makes one",
    r"adapters (add|export)": "needs a fine-tune; tests/gateway makes one",
    r"models (add|remove)": "fetches a model; tests/models runs it",
    r"import-answers|ab tickets --a champion --b old-bot|grade \w+ --pairs|agreement|rank \w+ --people": "needs files of one's own; tests/cli/test_brought.py runs it",
    r"knowledge score .*--run": "needs a ranking from elsewhere; tests/measure/test_trec.py has one",
    r"try model .*local:nano": "loads a local model; tests/levers runs it",
}
"""Commands that are only read, by how they begin, and why."""
PLANNED = {r"try tune", r"climb .*\btune\b"}
"""Commands that would train: they are run with `--dry-run`."""
OUTCOMES = {
    r"gate ": {0, 9},
    r"drift ": {0, 8},
}
"""What a command may end with beside 0, as the guide says."""


TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = set(PROJECT["optional-dependencies"])


class Terminal:
    """A folder in which commands run, and what they print."""

    def __init__(self, folder: Path, monkeypatch, capsys) -> None:
        self.folder, self._monkeypatch, self._capsys = folder, monkeypatch, capsys
        self.printed: dict[str, str] = {}
        """Commands that were printed, each with the one that printed it first."""
        self.ran: set[str] = set()

    def run(self, text: str) -> str:
        """Run a command, check its exit code, note what it prints as what to do next, and return its output."""
        self._monkeypatch.setattr("sys.argv", ["ratchet", *words_in(text)])
        self._monkeypatch.setattr("sys.stdin", io.StringIO(replies_to(text)))
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        output, errors = self._capsys.readouterr()
        code = ended.value.code or 0
        assert code in outcomes_of(text), f"ratchet {text}: {code}\n{output[-500:]}\n{errors}"
        for command in commands_of_text(output + errors, ""):
            self.printed.setdefault(command.text, text)
        self.ran.add(" ".join(words_in(text)))
        return output


def replies_to(text: str) -> str:
    """Return what a person types while a command runs."""
    return "n\n" * 9 if "--manual" in text else "pass\n" * 99


def outcomes_of(text: str) -> set[int]:
    """Return the exit codes that a command may end with."""
    return next((codes for begin, codes in OUTCOMES.items() if re.match(begin, text)), {0})


def is_only_read(text: str) -> bool:
    """Return whether a command is not run here."""
    return any(re.match(begin, text) for begin in ONLY_READ)


@pytest.fixture
def terminal(tmp_path, monkeypatch, capsys):
    """Give a terminal in a folder with the files that the documents name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "60")  # no command is broken by a narrow terminal
    monkeypatch.setenv("RATCHET_PASSWORD", "correct horse battery")
    with ScriptedServer(answer_anything) as server:
        write_sandbox(tmp_path, server.url)
        terminal = Terminal(tmp_path, monkeypatch, capsys)
        for task in ("mytask", "tickets"):
            terminal.run(f"import tickets.csv --task {task}")
        terminal.run("knowledge add docs/ --name handbook")
        yield terminal


def keep_passages(terminal: Terminal) -> None:
    """Begin the ladder anew with a champion that is shown passages."""
    terminal.run("ladder mytask --clear")
    terminal.run("climb mytask --levers decoding --start facts.yaml --max-calls 200")


def grade_by_judge(terminal: Terminal) -> None:
    """Make the judge's task the metric, as `ratchet judge` says, and write a person's grades for stored answers."""
    path = terminal.folder / "tasks" / "tickets.yaml"
    task = yaml.safe_load(path.read_text())
    task["metric"] = {"name": "judge", "options": {"task": "tickets-judge"}}
    path.write_text(yaml.safe_dump(task))
    terminal.run("measure tickets")
    write_grades(terminal.folder, json.loads(terminal.run("trials tickets --json")))


def score_by_label(terminal: Terminal) -> None:
    """Take the judge out again."""
    path = terminal.folder / "tasks" / "tickets.yaml"
    path.write_text(
        yaml.safe_dump(yaml.safe_load(path.read_text()) | {"metric": {"name": "label"}})
    )


def save_program(terminal: Terminal) -> None:
    """Write a program as DSPy saves it."""
    terminal.run("export start --task tickets --to dspy --out dspy")
    (terminal.folder / "dspy" / "program.json").rename(terminal.folder / "program.json")


def serve_another(task: str) -> Callable[[Terminal], object]:
    """Return what makes another candidate than the champion the release."""
    return lambda terminal: terminal.run(f"promote {task} --candidate terse.yaml")


BEFORE: dict[str, Callable[[Terminal], object]] = {
    "rag mytask": keep_passages,
    "grade tickets grades.csv": grade_by_judge,
    "try prompt tickets": score_by_label,
    "import-dspy": save_program,
    "logs --export": lambda terminal: log_request(terminal.folder, "tickets"),
    "promote mytask --canary": serve_another("mytask"),
    "promote tickets --canary": serve_another("tickets"),
}
"""What a reader has done before a command of a page, by how the command begins; each is done once."""


@pytest.mark.local
@pytest.mark.parametrize("page", ["README.md", "docs/guide.md"])
def test_the_commands_of_a_page_run_one_after_another(page: str, terminal: Terminal) -> None:
    """Each ends well, or as the guide says; so do the commands that are printed on the way."""
    commands = [
        command.text
        for command in collect_from_documents()
        if command.place.startswith(f"{page}:") and not command.is_mention
    ]
    assert len(commands) >= 40
    waiting = dict(BEFORE)
    for text in commands:
        for begin in [begin for begin in waiting if text.startswith(begin)]:
            waiting.pop(begin)(terminal)
        if not is_only_read(text):
            is_planned = any(re.match(begin, text) for begin in PLANNED)
            terminal.run(f"{text.partition(' #')[0]} --dry-run" if is_planned else text)
    for text, origin in list(terminal.printed.items()):
        assert not find_problem(PrintedCommand(text, f"printed by ratchet {origin}"))
        has_place = re.search(r"\b[A-Z]{4,}\b|…", text)  # for what a reader fills in
        if text not in terminal.ran and not has_place and not is_only_read(text):
            terminal.run(text)


def test_commands_of_documents_are_as_printed() -> None:
    """Each command of a document or of an example's script is one that the program reads."""
    commands = list(collect_from_documents())

    assert len(commands) > 150
    assert not [problem for command in commands if (problem := find_problem(command))]


def test_commands_that_the_program_prints_are_as_printed() -> None:
    """Each command in a message, a hint, an error or a help text is whole, with all that it needs."""
    commands = list(collect_from_program())

    assert len(commands) > 60
    assert not [problem for command in commands if (problem := find_problem(command))]


def test_commands_that_the_program_prints_can_be_told_from_prose() -> None:
    """Each stands between backticks, or behind a colon up to the end of its clause: a reader knows what to type."""
    assert not unmarked_in_program()


def test_commands_of_the_page_are_as_shown() -> None:
    """Each button starts, and each hint shows, a command that the program reads."""
    commands = list(collect_from_page())

    names = {words_in(command.text)[0] for command in commands}
    assert {"climb", "import", "try", "ab", "promote", "knowledge"} <= names
    assert not [problem for command in commands if (problem := find_problem(command))]


def test_what_is_only_read_is_still_printed() -> None:
    """An entry of the list of exceptions that fits no command is one too many."""
    texts = [command.text for command in [*collect_from_documents(), *collect_from_program()]]

    patterns = [*ONLY_READ, *OUTCOMES, *PLANNED, *BEFORE]
    assert not [begin for begin in patterns if not any(re.match(begin, text) for text in texts)]


def test_a_printed_command_can_be_copied(monkeypatch, capsys) -> None:
    """It stands in one line of a narrow terminal, and a name with spaces or brackets stays one word."""
    monkeypatch.setenv("COLUMNS", "20")

    print_command("import", "my tickets [new].csv", "--task", "tickets")

    line = "next: ratchet import 'my tickets [new].csv' --task tickets\n"
    assert capsys.readouterr().out == line


@pytest.mark.parametrize(
    "wrong",
    [
        "mesure tickets",
        "measure tickets --splits dev",
        "measure",
        "ab tickets --b terse.yaml",
        "race tickets --tolerance much",
        "tune curves tickets",
    ],
)
def test_a_command_that_does_not_exist_is_noticed(wrong: str) -> None:
    """A wrong name, option, value, or a missing argument is a problem that names the place."""
    assert find_problem(PrintedCommand(wrong, "page:1")).startswith("page:1: ")


def test_other_commands_of_documents_name_what_there_is() -> None:
    """`make` targets, Python files with their options, and extras that a document names exist."""
    pieces = [(path, piece) for path in DOCUMENTS for piece in code_of(path.read_text("utf-8"))]

    assert len(pieces) > 900
    assert not [f"{path.name}: {piece}" for path, piece in pieces if names_what_is_not(piece)]
    assert names_what_is_not("make nothing")
    assert names_what_is_not("python benchmarks/pii/run.py --nothing")
    assert names_what_is_not("pip install '.[nothing]'")


def code_of(text: str) -> list[str]:
    """Return the inline code of a page, and the lines of its blocks."""
    lines = [line for _, body in FENCE.findall(text) for line in body.splitlines()]
    return [*re.findall(r"`([^`\n]+)`", text), *lines]


def names_what_is_not(piece: str) -> bool:
    """Return whether a piece of code names a target, a file of ours, an option or an extra that does not exist."""
    made = re.match(r"make ([a-z]+)", piece)
    if made and made[1] not in TARGETS:
        return True
    extras = ",".join(re.findall(r"(?:ratchet|'\.|\"\.| \.)\[([a-z,]+)\]", piece))
    if extras and not EXTRAS.issuperset(extras.split(",")):
        return True
    called = re.match(r"(?:\S+/)?python (\w\S*\.py)((?: \S+)*)", piece)
    if not called:
        return False
    script = ROOT / called[1]
    source = script.read_text("utf-8") if script.is_file() else ""
    options = re.findall(r"(?<!\S)--[a-z-]+", called[2].partition("#")[0])
    return not source or any(f'"{option}"' not in source for option in options)
