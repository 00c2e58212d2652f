"""The names that candidates go by on the command line."""

import json
import shlex
from pathlib import Path

import pytest

from ratchet.testing import ScriptedServer


@pytest.fixture
def folder(workspace: Path) -> Path:
    """Give the folder of the task's own candidates, with a plain one and a careful one in it."""
    made = workspace / "tasks" / "tickets"
    made.mkdir()
    (workspace / "careful.yaml").rename(made / "careful.yaml")
    (made / "plain.yaml").write_text('system: "Plainly. {{instructions}}"\nnote: without frills\n')
    return made


def id_of(ratchet, name: str, *words: str) -> str:
    return json.loads(ratchet("show", name, "--task", "tickets", "--json", *words).stdout)["id"]


def test_a_file_goes_by_path_stem_and_label_from_anywhere(
    ratchet, workspace: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path from the workspace, from the task's folder and from here, with or without ending, and the label are one."""
    (workspace / "notes").mkdir()
    (workspace / "notes" / "own.md").write_text("Own words. {{instructions}}")

    names = ("tasks/tickets/plain.yaml", "tasks/tickets/plain", "plain.yaml", "plain")
    ids = {id_of(ratchet, name) for name in (*names, "without frills", str(folder / "plain.yaml"))}
    monkeypatch.chdir(workspace / "notes")
    below = {id_of(ratchet, name) for name in (*names, "without frills")}

    assert len(ids) == 1
    assert below == ids
    own = ("own", "own.md", "./own.md", "notes/own", "notes/own.md")
    assert len({id_of(ratchet, name) for name in own} - ids) == 1


def test_every_command_takes_the_same_names(
    ratchet, workspace: Path, folder: Path, server: ScriptedServer
) -> None:
    """A stem or a label will do wherever a candidate is asked for, and answers are bought once."""
    ratchet("ab", "tickets", "--a", "plain", "--b", "careful")
    calls = server.calls
    words = "without frills"

    measured = json.loads(ratchet("measure", "tickets", "--candidate", words, "--json").stdout)
    ratchet("trials", "tickets", "--candidate", words)
    ratchet("gate", "tickets", "--candidate", "careful")
    ratchet("race", "tickets", "--candidate", words, "--candidate", "careful")
    ratchet("rank", "tickets", "--candidate", words, "--candidate", "careful")
    ratchet("export", "careful", "--out", "out")
    ratchet("promote", "tickets", "--candidate", "careful")

    assert measured["candidate"] == id_of(ratchet, "plain")
    assert server.calls <= calls + 20  # the gate asks the start too


def test_a_label_of_what_is_stored_alone_is_a_name(ratchet, workspace: Path, folder: Path) -> None:
    """A candidate whose file is gone goes by its label, and by the beginning of its id."""
    ratchet("measure", "tickets", "--candidate", "plain")
    known = id_of(ratchet, "plain")
    (folder / "plain.yaml").unlink()

    assert id_of(ratchet, "without frills") == known
    assert id_of(ratchet, known[:9]) == known
    assert id_of(ratchet, known) == known


def test_an_edited_file_means_what_it_holds_now(ratchet, workspace: Path, folder: Path) -> None:
    """What was measured before under the same label does not stand in a file's way."""
    ratchet("measure", "tickets", "--candidate", "careful")
    before = id_of(ratchet, "careful")
    (folder / "careful.yaml").write_text('system: "Read very carefully. {{instructions}}"\n')

    after = id_of(ratchet, "careful")
    (folder / "careful.yaml").unlink()

    assert after != before
    assert id_of(ratchet, "careful") == before


def test_an_ambiguous_name_lists_what_it_may_mean(ratchet, workspace: Path, folder: Path) -> None:
    """Two files, two labels, or two ids: the matches with their ids are shown, and none is chosen."""
    (folder / "other.yaml").write_text('system: "Otherwise."\nnote: careful\n')
    (workspace / "plain.yaml").write_text('system: "Here."\n')

    labels = ratchet("measure", "tickets", "--candidate", "careful", code=2).words
    paths = ratchet("measure", "tickets", "--candidate", "plain.yaml", code=2).words

    for name in ("tasks/tickets/careful.yaml", "tasks/tickets/other"):
        assert f"{id_of(ratchet, name)} (file {name.removesuffix('.yaml')}.yaml)" in labels
    assert "'careful' names 2 candidates" in labels
    assert f"{id_of(ratchet, './plain.yaml')} (file plain.yaml)" in paths
    assert f"{id_of(ratchet, 'tasks/tickets/plain.yaml')} (file tasks/tickets/plain.yaml)" in paths


def test_ambiguous_stored_labels_and_ids_are_listed(ratchet, workspace: Path, folder: Path) -> None:
    """The same label of two stored candidates, and an id's beginning that fits several, name none of them."""
    ids = []
    for text in ("Read carefully.", "Answer carefully."):
        (folder / "careful.yaml").write_text(f'system: "{text} {{{{instructions}}}}"\n')
        ratchet("measure", "tickets", "--candidate", "careful")
        ids.append(id_of(ratchet, "careful"))
    (folder / "careful.yaml").unlink()

    label = ratchet("show", "careful", code=2).words
    prefix = ratchet("show", "c_", code=2).words

    assert all(one in label and one in prefix for one in ids)


def test_an_unknown_name_says_where_it_looked(ratchet, workspace: Path, folder: Path) -> None:
    """The names that there are, and the nearest; a path that is not there names the folders."""
    said = ratchet("measure", "tickets", "--candidate", "carefull", code=2).words
    path = ratchet("measure", "tickets", "--candidate", "plane.yaml", code=4).words
    empty = ratchet("measure", "tickets", "--candidate", "", code=2).words

    assert "Did you mean 'careful'?" in said
    assert "'without frills'" in said
    assert "there is no file plane.yaml in" in path
    assert str(folder) in path
    assert "Did you mean 'plain.yaml'?" in path
    assert "no candidate" in empty


def test_one_of_a_grid_goes_by_its_label(ratchet, workspace: Path, folder: Path) -> None:
    """`grid: style=terse` names it; the file's name means several, and says their labels."""
    (folder / "grid.yaml").write_text(
        'system: "Be {{style}}. {{instructions}}"\nvariables:\n  style: [terse, warm]\n'
    )

    one, other = (id_of(ratchet, f"grid: style={style}") for style in ("terse", "warm"))
    said = ratchet("show", "grid", "--task", "tickets", code=4).words

    assert one != other
    assert "'grid: style=terse'" in said


def test_a_broken_file_beside_it_hides_no_other(ratchet, workspace: Path, folder: Path) -> None:
    """It is an error where it is named, and nowhere else."""
    (folder / "broken.yaml").write_text("system: [")

    assert id_of(ratchet, "without frills") == id_of(ratchet, "plain")
    assert "broken.yaml is no YAML" in ratchet("show", "broken", "--task", "tickets", code=4).words


def test_a_file_starts_from_any_candidate(ratchet, workspace: Path, folder: Path) -> None:
    """`from` gives all parts that the file leaves out; the id is that of the result, and follows the champion."""
    ratchet("climb", "tickets", "--levers", "prompt", "--templates", "tasks/tickets/careful.yaml")
    (folder / "warm.yaml").write_text("from: champion\ndecoding: {temperature: 0.7}\n")
    (folder / "warmer.yaml").write_text("from: warm\ndecoding: {temperature: 1.2}\n")
    (folder / "same.yaml").write_text("from: careful\n")
    (folder / "grid.yaml").write_text(
        'from: warm\nsystem: "Carefully, {{how}}."\nvariables:\n  how: [now, then]\n'
    )

    shown = {
        name: json.loads(ratchet("show", name, "--task", "tickets", "--json").stdout)["candidate"]
        for name in ("champion", "warm", "warmer", "grid: how=now", "same")
    }

    assert shown["warm"]["system"] == shown["champion"]["system"]
    assert [shown[n]["decoding"]["temperature"] for n in ("warm", "warmer", "grid: how=now")] == [0.7, 1.2, 0.7]  # fmt: skip
    assert id_of(ratchet, "same") == id_of(ratchet, "careful") == id_of(ratchet, "champion")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("from: warm\n", "warm.yaml starts from itself"),
        ("from: back\n", "starts from itself: warm.yaml from back.yaml from warm.yaml"),
        ("from: 3\n", "`from` names the candidate to start from, as `from: champion`; got 3"),
        ("from: nobody\n", "from: no candidate has the name 'nobody'"),
        ("from: gone.yaml\n", "there is no file gone.yaml"),
    ],
)
def test_a_start_that_is_none_is_refused(
    ratchet, workspace: Path, folder: Path, text: str, said: str
) -> None:
    """A circle, a value that is no name, and a name that nothing has are errors that say so."""
    (folder / "warm.yaml").write_text(text)
    (folder / "back.yaml").write_text("from: warm\n")

    assert said in ratchet("show", "warm", "--task", "tickets", code=4).words


def test_tables_show_names_that_can_be_typed_back(ratchet, workspace: Path, folder: Path) -> None:
    """Each candidate of the front goes by the name that stands there, and by the id beside it."""
    ratchet("ab", "tickets", "--a", "start", "--b", "careful", "--b", "plain")

    shown = ratchet("front", "tickets").stdout

    for name in ("start", "careful", "without frills"):
        assert f"{name} ({id_of(ratchet, name)})" in shown


def test_the_commands_of_a_report_run_as_printed(
    ratchet, workspace: Path, folder: Path, tickets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What "Do it again" lists makes the same ladder in an empty workspace, by the very lines."""
    (workspace / "my tickets.csv").write_bytes(tickets.read_bytes())
    ratchet("import", "my tickets.csv", "--task", "support", "--answer", "label")
    task = workspace / "tasks" / "support.yaml"
    task.write_text(task.read_text().replace("local:nano", "mock/m"))
    ratchet("climb", "support", "--levers", "prompt", "--templates", "tasks/tickets/*.yaml")
    ratchet("climb", "support", "--dry-run", "--levers", "demos")
    ratchet("measure", "support", "--candidate", "nobody", code=2)
    ratchet("ladder", "support", "--report", "report.json")
    report = json.loads((workspace / "report.json").read_text())

    ratchet("ladder", "support", "--clear")
    for line in report["reproduce"][1:]:
        ratchet(*shlex.split(line)[1:])
    again = json.loads(ratchet("ladder", "support", "--json").stdout)

    assert report["reproduce"] == [
        "ratchet import 'my tickets.csv' --task support --answer label",
        "ratchet climb support --levers prompt --templates 'tasks/tickets/*.yaml'",
        "ratchet ladder support --report report.html",
    ]
    assert [s["candidate_id"] for s in again] == [s["candidate_id"] for s in report["steps"]]


def test_what_comes_next_runs_as_printed(ratchet, workspace: Path, folder: Path) -> None:
    """Each command that another one names as the next does run, with files whose names have spaces."""
    (workspace / "more rows.csv").write_text("text,label\nkabel kador shipping,shipping\n")
    (workspace / "suite.yaml").write_text(
        "prompts: ['Label {{text}}']\nproviders: [mock/m]\n"
        "tests:\n" + "".join(f"  - vars: {{text: kabel {n}}}\n    assert: [{{type: equals, value: billing}}]\n" for n in range(12))
    )  # fmt: skip
    done = [
        ratchet("import", "more rows.csv", "--task", "tickets"),
        ratchet("measure", "tickets"),
        ratchet("climb", "tickets", "--levers", "prompt"),
        ratchet("import-promptfoo", "suite.yaml", "--task", "suite"),
    ]

    lines = [line for one in done for line in one.stdout.splitlines() if line.startswith("next: ")]
    for line in lines:
        ratchet(*shlex.split(line.removeprefix("next: "))[1:])

    assert len(lines) == 3
