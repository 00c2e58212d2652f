"""The commands that made what is in a workspace."""

from pathlib import Path

from ratchet.store import add_command, create_workspace, load_commands


def texts(workspace, task: str = "t") -> list[str]:
    return [command.text for command in load_commands(workspace, task)]


def test_commands_come_back_in_order_and_once(tmp_path: Path) -> None:
    """Those of the task alone, quoted as a shell takes them; one that ran twice is one."""
    workspace = create_workspace(tmp_path)
    for words in (
        ["import", "my file.csv", "--task", "t"],
        ["import", "other.csv", "--task=other"],
        ["climb", "t", "--levers", "prompt"],
        ["climb", "t", "--levers", "prompt"],
        ["knowledge", "add", "docs", "--name", "handbook"],
    ):
        add_command(workspace, words)

    assert texts(workspace) == [
        "ratchet import 'my file.csv' --task t",
        "ratchet climb t --levers prompt",
        "ratchet knowledge add docs --name handbook",
    ]
    assert texts(workspace, "other")[0] == "ratchet import other.csv --task=other"


def test_rungs_that_were_forgotten_were_made_by_nothing(tmp_path: Path) -> None:
    """`ladder --clear` takes back what climbed before it, not what brought the examples."""
    workspace = create_workspace(tmp_path)
    for words in (["import", "a.csv", "--task", "t"], ["climb", "t"], ["ladder", "t", "--clear"], ["try", "demos", "t"]):  # fmt: skip
        add_command(workspace, words)

    assert texts(workspace) == ["ratchet import a.csv --task t", "ratchet try demos t"]


def test_a_history_that_is_damaged_or_gone_is_no_error(tmp_path: Path) -> None:
    """Lines that are no commands are passed over; without the file there are none."""
    workspace = create_workspace(tmp_path)
    assert texts(workspace) == []
    add_command(workspace, ["climb", "t"])
    with (workspace.files / "history.jsonl").open("a") as file:
        file.write('{"at": 1}\nnonsense\n[]\n{"at": "x", "words": []}\n{"at": "x", "wo')

    assert texts(workspace) == ["ratchet climb t"]
