"""A workspace: found from below, held by one process, and never left with half a file."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet.core import AnswerForm, InputField, MetricSpec, Roles, Score, Task, Trial
from ratchet.core.errors import BusyError, CandidateError, StoreError, TaskError, UsageError
from ratchet.store import (
    TrialWriter,
    Workspace,
    create_workspace,
    find_workspace,
    load_candidate,
    load_task,
    load_trials,
    open_database,
    write_text,
)

TASK = Task(
    name="t",
    instructions="Ünïcode: – “x”\nsecond line",
    inputs=(InputField(name="text"),),
    answer=AnswerForm(kind="label", labels=("yes", "no")),
    metric=MetricSpec(name="label"),
    models=Roles(student="mock/m"),
)


def test_a_workspace_is_made_once_and_found_from_below(tmp_path: Path) -> None:
    """A second `init` changes nothing, and any folder below belongs to the workspace."""
    create_workspace(tmp_path)
    (tmp_path / "ratchet.toml").write_text('[models]\ndefault = "mine/m"\n')
    (tmp_path / "a" / "b").mkdir(parents=True)

    create_workspace(tmp_path)

    found = find_workspace(tmp_path / "a" / "b")
    assert found.root == tmp_path.resolve()
    assert found.settings.models.default == "mine/m"
    assert (tmp_path / ".gitignore").read_text() == ".ratchet/\n"


def test_the_settings_that_init_writes_are_valid(tmp_path: Path) -> None:
    """The file that a new workspace gets can be read, and names the endpoint's key by its variable."""
    settings = create_workspace(tmp_path).settings

    assert settings.endpoints["openai"].key_env == "OPENAI_API_KEY"


def test_outside_of_a_workspace_the_remedy_is_named(tmp_path: Path) -> None:
    """A folder without ratchet.toml above it is refused."""
    with pytest.raises(UsageError, match="make one with: ratchet init"):
        find_workspace(tmp_path)


def test_a_task_file_round_trips(tmp_path: Path) -> None:
    """A task that was saved is the task that is loaded, under its name."""
    workspace = create_workspace(tmp_path)

    workspace.save_task(TASK)

    assert workspace.load_task("t") == TASK
    assert workspace.task_names() == ["t"]


def test_an_unknown_task_gets_a_suggestion(tmp_path: Path) -> None:
    """The tasks that there are, and the closest one, are named."""
    workspace = create_workspace(tmp_path)
    workspace.save_task(TASK.model_copy(update={"name": "tickets"}))

    with pytest.raises(TaskError, match=r"there are: tickets\. Did you mean 'tickets'\?"):
        workspace.load_task("ticket")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[models", "ratchet.toml"),
        (b"[modles]\n", "modles: there is no field of this name"),
        (b"[endpoints.a]\nkey_env = 'K'\n", "endpoints.a.base_url: Field required"),
        (b"[endpoints.a]\nbase_url = 'x'\nconcurrency = 0\n", "endpoints.a.concurrency"),
        (b"# caf\xe9\n", "ratchet.toml"),
    ],
    ids=["syntax", "name", "missing", "range", "encoding"],
)
def test_settings_that_are_wrong_are_said_where(tmp_path: Path, content: bytes, says: str) -> None:
    """A mistake in ratchet.toml is an error that names the file and the place."""
    (tmp_path / "ratchet.toml").write_bytes(content)

    with pytest.raises(UsageError) as caught:
        _ = Workspace(tmp_path).settings

    assert says in str(caught.value)
    assert "ratchet.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"name: t\ninstructions: x\n", r"has no metric; add for example"),
        (b"name: [", "is no YAML"),
        (b"name: a\nname: b\n", "'name' stands twice, the second time in line 2"),
        (b"a: {b: 1, c: 2, b: 3}\n", "'b' stands twice"),
        (b"a: " + b"[" * 5000 + b"]" * 5000, "nested too deep"),
        (b"a: " + b"9" * 6000 + b"\n", "is no YAML"),
        (b"- a\n- b\n", "expected names and values, got list"),
        (b"", "expected names and values, got NoneType"),
        (b"\xff\xfe\x00", "is no YAML"),
        (b"metric: {name: exact}\n", "name: Field required"),
        (b"!!python/object/apply:os.getcwd []\n", "is no YAML"),
    ],
)
def test_a_task_file_that_is_wrong_is_said_why(tmp_path: Path, content: bytes, says: str) -> None:
    """A task file that holds no task is refused with its path, and never run."""
    path = tmp_path / "t.yaml"
    path.write_bytes(content)

    with pytest.raises(TaskError, match=says) as caught:
        load_task(path)

    assert "t.yaml" in str(caught.value)


def test_a_candidate_file_takes_the_rest_from_the_defaults(tmp_path: Path) -> None:
    """Parts that the file leaves out come from the start, and an unknown part is refused."""
    path = tmp_path / "c.yaml"
    path.write_text("system: Be brief.\n")

    candidate = load_candidate(path, defaults={"model": "mock/m", "user": "{{text}}"})

    assert (candidate.model, candidate.system) == ("mock/m", "Be brief.")
    path.write_text("sytem: Be brief.\n")
    with pytest.raises(
        CandidateError, match=r"sytem: there is no field of this name.*Did you mean .system"
    ):
        load_candidate(path, defaults={"model": "mock/m", "user": "{{text}}"})


HOLD = """
import sys
from pathlib import Path
from ratchet.store import Workspace
with Workspace(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_workspace_is_held_by_one_process(tmp_path: Path) -> None:
    """A second process is refused at once, told who holds it and what to do; after the first one it may."""
    workspace = create_workspace(tmp_path)
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert first.stdout
    assert first.stdout.readline() == b"held\n"

    refused = pytest.raises(BusyError, match=rf"process {first.pid}\b.*wait until it ends")
    with refused, workspace.held():
        pytest.fail("held twice")

    first.kill()
    first.communicate()
    with workspace.held():
        assert (tmp_path / ".ratchet" / "lock").read_text().startswith("process ")


def test_a_file_is_replaced_whole_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    """Writing replaces the content and leaves no partial file."""
    path = tmp_path / "folder" / "a.txt"

    write_text(path, "one")
    write_text(path, "zwei ü")

    assert path.read_text("utf-8") == "zwei ü"
    assert list(path.parent.iterdir()) == [path]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of one megabyte; skip where mounting is not permitted."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small tmpfs is not permitted here; run the tests as root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_leaves_the_old_file(tiny_disk: Path) -> None:
    """A file that does not fit is an error with a remedy; what was there before stays, with nothing beside it."""
    path = tiny_disk / "a.txt"
    write_text(path, "old")

    with pytest.raises(StoreError, match="Free space"):
        write_text(path, "x" * 2_000_000)

    assert path.read_text() == "old"
    assert list(tiny_disk.iterdir()) == [path]


def test_a_full_disk_keeps_what_was_committed(
    tiny_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the database's disk fills, the error says so, and how much is lost; earlier trials stay readable, and each is whole."""
    monkeypatch.setattr("ratchet.store.writer.ROOM_S", 0.0)
    engine = open_database(f"sqlite:///{tiny_disk / 'ratchet.db'}")
    first = Trial(candidate_id="c", example_id="e_0", output="yes", score=Score(value=1))
    with TrialWriter(engine) as writer:
        writer.put(first, "m")

    full = pytest.raises(
        StoreError,
        match=r"The disk is full.* are lost, as there was no room beside the database either",
    )
    with full, TrialWriter(engine) as writer:
        for number in range(1, 100):
            output = "x" * 50_000
            writer.put(
                first.model_copy(update={"example_id": f"e_{number}", "output": output}), "m"
            )

    engine.dispose()
    again = open_database(f"sqlite:///{tiny_disk / 'ratchet.db'}")
    kept = load_trials(again, ["c"], metric_id="m")
    again.dispose()
    assert first in kept
    assert all(trial.score for trial in kept)
    assert len(kept) < 100
