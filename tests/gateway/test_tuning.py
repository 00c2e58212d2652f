"""Fine-tuning through the gateway, as the official SDK does it: upload, start, watch, chat with the result; on real weights."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest
from tests.gateway.test_contract import serving

from ratchet.gateway import make_gateway
from ratchet.jobs import run_tuning
from ratchet.store import Workspace, create_workspace
from ratchet.store.jobs import find_job

pytest.importorskip("torch")
WORDS = ["red", "blue", "green", "pink", "grey", "black", "white", "brown"]


class Waiting(list[str]):
    """A queue that nobody takes from."""

    def put(self, job_id: str, _run: int) -> None:
        """Put a job in."""
        self.append(job_id)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Give an empty workspace."""
    return create_workspace(tmp_path)


@pytest.fixture
def waiting() -> Waiting:
    """Give a queue."""
    return Waiting()


@pytest.fixture
def client(workspace: Workspace, waiting: Waiting) -> Iterator[openai.OpenAI]:
    """Give the SDK, pointed at a gateway over that workspace."""
    with (
        serving(make_gateway(workspace, waiting)) as url,
        openai.OpenAI(base_url=url, api_key="none", max_retries=0) as sdk,
    ):
        yield sdk


def rows(count: int = 48, first: int = 0) -> bytes:
    """Return a training file of a task that the base cannot do."""
    chats = [
        [
            {"role": "user", "content": f"{WORDS[i % 8]} {WORDS[i // 8 % 8]} {i}"},
            {"role": "assistant", "content": f"zap {WORDS[i % 8]}"},
        ]
        for i in range(first, first + count)
    ]
    return "\n".join(json.dumps({"messages": chat}) for chat in chats).encode()


def upload(client: openai.OpenAI, content: bytes, name: str = "train.jsonl") -> str:
    """Upload a training file."""
    return client.files.create(file=(name, content), purpose="fine-tune").id


def test_files_come_and_go(client: openai.OpenAI) -> None:
    """A file is uploaded, listed, shown, read back to the byte, and deleted; then it is gone."""
    content = rows()
    made = client.files.create(file=("../../train.jsonl", content), purpose="fine-tune")
    other = client.files.create(file=("notes.txt", b"hello"), purpose="user_data")

    assert (made.bytes, made.purpose, made.status) == (len(content), "fine-tune", "processed")
    assert [one.id for one in client.files.list()] == [other.id, made.id]
    assert [one.id for one in client.files.list(purpose="fine-tune", limit=1)] == [made.id]
    assert [one.id for one in client.files.list(order="asc", limit=1)] == [made.id, other.id]
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).read() == content
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError, match="there is no file"):
        client.files.retrieve(made.id)


@pytest.mark.parametrize(
    ("content", "purpose", "message"),
    [
        (b"hello", "fine-tune", "line 1: is no JSON"),
        (b"", "fine-tune", "holds no rows"),
        (b'{"messages": []}', "fine-tune", "line 1, messages"),
        (b"x", "fun", "'purpose' must be one of"),
    ],
)
def test_files_that_are_none_are_refused(
    client: openai.OpenAI, content: bytes, purpose: str, message: str
) -> None:
    """What is no training file is refused at once, in OpenAI's shape."""
    with pytest.raises(openai.BadRequestError, match=message):
        client.files.create(file=("x.jsonl", content), purpose=purpose)  # type: ignore[arg-type]


def test_jobs_that_cannot_be_are_refused(client: openai.OpenAI) -> None:
    """An unknown file, a file of another purpose, an unknown model and an odd hyperparameter are named."""
    train = upload(client, rows(8))
    notes = client.files.create(file=("notes.txt", b"hello"), purpose="user_data").id
    create = client.fine_tuning.jobs.create

    with pytest.raises(openai.BadRequestError, match="there is no file 'file-x'"):
        create(model="local:nano", training_file="file-x")
    with pytest.raises(openai.BadRequestError, match="uploaded for 'user_data'"):
        create(model="local:nano", training_file=notes)
    with pytest.raises(openai.NotFoundError, match="cannot be fine-tuned here"):
        create(model="gpt-4.1", training_file=train)
    with pytest.raises(openai.NotFoundError, match=r"no such folder with a config\.json"):
        create(model="local:missing", training_file=train)
    with pytest.raises(openai.BadRequestError, match="n_epochs must be a number above 0"):
        create(model="local:nano", training_file=train, hyperparameters={"n_epochs": -1})
    with pytest.raises(openai.BadRequestError, match="suffix"):
        create(model="local:nano", training_file=train, suffix="../x")
    with pytest.raises(openai.NotFoundError, match="no fine-tuning job"):
        client.fine_tuning.jobs.retrieve("ftjob-x")
    assert client.fine_tuning.jobs.list().data == []


@pytest.mark.local
@pytest.mark.slow
def test_a_model_is_tuned_watched_and_asked(
    client: openai.OpenAI, workspace: Workspace, waiting: Waiting
) -> None:
    """Upload, start, watch, chat: the tuned model does what the base does not, under its own name and as `peft` of the base."""
    jobs = client.fine_tuning.jobs
    job = jobs.create(
        model="local:nano",
        training_file=upload(client, rows(96)),
        validation_file=upload(client, rows(16, first=200)),
        suffix="zap",
        metadata={"team": "colours"},
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 6, "batch_size": 8}},
        },
    )
    assert (job.status, job.fine_tuned_model, job.metadata) == ("queued", None, {"team": "colours"})
    assert job.hyperparameters.n_epochs == 6

    run_tuning(workspace, waiting[0])
    job = jobs.retrieve(job.id)

    assert job.status == "succeeded", job.error
    assert job.fine_tuned_model == f"ft:nano:zap:{job.id[-8:]}"
    assert job.trained_tokens
    assert job.finished_at
    metrics = client.files.content(job.result_files[0]).text.splitlines()
    assert metrics[0] == "step,train_loss,valid_loss"
    assert len(metrics) > 72
    events = list(jobs.list_events(job.id, limit=7))
    assert events[0].message == f"New fine-tuned model: {job.fine_tuned_model}"
    assert events[-1].message.startswith("Created fine-tuning job")
    assert any(event.type == "metrics" for event in events)
    kept = list(jobs.checkpoints.list(job.id))
    assert [one.step_number for one in kept] == sorted(
        (one.step_number for one in kept), reverse=True
    )
    assert 1 <= len(kept) <= 3
    assert job.fine_tuned_model in [model.id for model in client.models.list()]
    assert client.models.retrieve(job.fine_tuned_model).owned_by == "fine-tune"

    def ask(model: str, **more: object) -> str | None:
        said = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "violet sky 999"}],
            temperature=0,
            max_tokens=20,
            **more,  # type: ignore[arg-type]
        )
        return said.choices[0].message.content

    assert ask(job.fine_tuned_model) == "zap violet"
    assert ask("local:nano", extra_body={"peft": job.fine_tuned_model}) == "zap violet"
    assert ask(kept[0].fine_tuned_model_checkpoint) == "zap violet"
    assert ask("local:nano") != "zap violet"
    with pytest.raises(openai.NotFoundError, match="there is no adapter 'ft:nano:zip'"):
        ask("ft:nano:zip")
    with pytest.raises(openai.NotFoundError, match="there is no adapter 'zip'"):
        ask("local:nano", extra_body={"peft": "zip"})

    more = jobs.create(model=job.fine_tuned_model, training_file=upload(client, rows(16)))
    assert more.status == "queued"
    assert client.models.delete(job.fine_tuned_model).deleted
    with pytest.raises(openai.NotFoundError):
        ask(job.fine_tuned_model)
    run_tuning(workspace, more.id)
    failed = jobs.retrieve(more.id)
    assert failed.status == "failed"
    assert failed.error
    assert "cannot be fine-tuned here" in failed.error.message


@pytest.mark.local
@pytest.mark.slow
def test_all_weights_are_tuned_too(
    client: openai.OpenAI, workspace: Workspace, waiting: Waiting, tmp_path: Path
) -> None:
    """A model of its own comes of it: asked by name, tuned on with an adapter, downloaded, kept while it is a base, then deleted with its folder."""
    from transformers import AutoModelForCausalLM

    jobs, train = client.fine_tuning.jobs, upload(client, rows(96))
    with pytest.raises(openai.BadRequestError, match="weights must be one of lora, qlora, full"):
        jobs.create(model="local:nano", training_file=train, hyperparameters={"weights": "some"})  # type: ignore[typeddict-unknown-key]
    wanted = {"weights": "full", "n_epochs": 6, "batch_size": 4, "learning_rate_multiplier": 3}
    job = jobs.create(model="local:nano", training_file=train, suffix="own", hyperparameters=wanted)  # type: ignore[arg-type]
    run_tuning(workspace, job.id)
    job = jobs.retrieve(job.id)
    assert job.status == "succeeded", job.error
    assert job.hyperparameters.to_dict()["weights"] == "full"
    assert list(jobs.checkpoints.list(job.id)) == []
    own = job.fine_tuned_model
    assert own == f"ft:nano:own:{job.id[-8:]}"

    def ask(model: str) -> str | None:
        asked = {"role": "user", "content": "violet sky 999"}
        said = client.chat.completions.create(
            model=model, messages=[asked], temperature=0, max_tokens=20
        )  # type: ignore[list-item]
        return said.choices[0].message.content

    assert ask(own) == "zap violet"
    assert ask("local:nano") != "zap violet"
    more = jobs.create(model=own, training_file=upload(client, rows(16)), suffix="more")
    run_tuning(workspace, more.id)
    built = jobs.retrieve(more.id).fine_tuned_model
    assert built
    assert built == f"ft:nano:more:{more.id[-8:]}"
    assert ask(built) == "zap violet"

    with urllib.request.urlopen(f"{client.base_url}adapters/{own}/content") as said:
        content = said.read()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        tar.extractall(tmp_path / "own", filter="data")
    AutoModelForCausalLM.from_pretrained(tmp_path / "own")
    with pytest.raises(openai.BadRequestError, match=f"is the base of '{built}"):
        client.models.delete(own)
    for name in (built, *(one.fine_tuned_model_checkpoint for one in jobs.checkpoints.list(more.id)), own):  # fmt: skip
        assert client.models.delete(name).deleted
    assert not [one for one in workspace.adapters.iterdir() if one.is_dir()]


@pytest.mark.local
@pytest.mark.slow
def test_faults_in_the_data_end_a_job(
    client: openai.OpenAI, workspace: Workspace, waiting: Waiting
) -> None:
    """A broken line, a deleted file, and rows in both files: the job fails, and says which and why."""
    good = upload(client, rows(8))
    broken = upload(client, rows(8) + b'\n{"messages": 3}')
    jobs = client.fine_tuning.jobs
    made = [
        jobs.create(model="local:nano", training_file=broken),
        jobs.create(model="local:nano", training_file=upload(client, rows(8))),
        jobs.create(model="local:nano", training_file=good, validation_file=good),
        jobs.create(model="local:nano", training_file=good, method={"type": "dpo"}),
    ]
    client.files.delete(made[1].training_file)

    for job in made:
        run_tuning(workspace, job.id)

    errors = [jobs.retrieve(job.id).error for job in made]
    said = [error.message for error in errors if error]
    assert "line 9, messages: must be a list" in said[0]
    assert "was deleted" in said[1]
    assert "8 rows of the training file stand in the validation file too" in said[2]
    assert "choose the method supervised" in said[3]


@pytest.mark.local
@pytest.mark.slow
def test_jobs_are_cancelled_paused_and_resumed(
    client: openai.OpenAI, workspace: Workspace, waiting: Waiting
) -> None:
    """A queued job is cancelled for good; a running one pauses at a checkpoint, and goes on when it is resumed."""
    jobs = client.fine_tuning.jobs
    train = upload(client, rows(48))
    first = jobs.create(model="local:nano", training_file=train)
    assert jobs.cancel(first.id).status == "cancelled"
    run_tuning(workspace, first.id)
    assert jobs.retrieve(first.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="is cancelled, and cannot be cancelled"):
        jobs.cancel(first.id)
    with pytest.raises(openai.BadRequestError, match="only a paused one"):
        jobs.resume(first.id)

    second = jobs.create(model="local:nano", training_file=train, hyperparameters={"n_epochs": 4})

    running = threading.Thread(target=run_tuning, args=(workspace, second.id))
    running.start()
    wait_for(lambda: any(event.type == "metrics" for event in jobs.list_events(second.id)))
    jobs.pause(second.id)
    running.join()
    assert jobs.retrieve(second.id).status == "paused"
    assert jobs.resume(second.id).status == "queued"
    assert waiting[-1] == second.id
    run_tuning(workspace, second.id)

    assert jobs.retrieve(second.id).status == "succeeded"
    assert any("stopped at step" in event.message for event in jobs.list_events(second.id))


@pytest.mark.local
@pytest.mark.slow
def test_a_job_survives_the_death_of_its_worker(
    client: openai.OpenAI, workspace: Workspace
) -> None:
    """A real worker process is killed in mid-training; the next one takes the job up and ends it."""
    from ratchet.jobs.queue import Queue

    job = client.fine_tuning.jobs.create(
        model="local:nano",
        training_file=upload(client, rows(96)),
        hyperparameters={"n_epochs": 4},
    )
    queue = Queue(workspace)
    queue.put(job.id, 1)
    queue.put(job.id, 1)  # no second run

    def worker() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "ratchet.jobs"], cwd=workspace.root)

    first = worker()
    try:
        wait_for(lambda: len(list(workspace.adapters.glob("*.part/checkpoint-*"))) > 0)
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    assert client.fine_tuning.jobs.retrieve(job.id).status == "running"
    second = worker()
    try:
        wait_for(lambda: client.fine_tuning.jobs.retrieve(job.id).status != "running")
    finally:
        second.terminate()
        second.wait()
        queue.close()

    assert client.fine_tuning.jobs.retrieve(job.id).status == "succeeded"
    found = find_job(workspace.database, job.id)
    assert found
    assert found.outcome["seconds"] > 0


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so, for two minutes at most."""
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_jobs_are_listed_by_their_metadata(client: openai.OpenAI) -> None:
    """As the SDK asks for it: by a key and its value, or those without any."""
    file = client.files.create(file=("t.jsonl", rows()), purpose="fine-tune")
    for team in ("red", "blue", None):
        metadata = {"team": team} if team else None
        client.fine_tuning.jobs.create(
            model="local:nano", training_file=file.id, metadata=metadata or openai.omit
        )

    def listed(**query: object) -> list[object]:
        return [job.metadata for job in client.fine_tuning.jobs.list(**query)]  # type: ignore[arg-type]

    assert len(listed()) == 3
    assert listed(metadata={"team": "red"}) == [{"team": "red"}]
    assert listed(metadata={"team": "green"}) == []
    assert listed(extra_query={"metadata": "null"}) == [None]


@pytest.mark.parametrize(
    ("content", "ends"),
    [(b"\xef\xbb\xbf" + rows(), ""), (rows().decode().encode("utf-16"), "UTF-16")],
)
def test_a_byte_order_mark_is_no_fault(content: bytes, ends: str) -> None:
    """UTF-8 with a mark is read; UTF-16 is a sentence."""
    from ratchet.tuning.format import Fault, read_rows

    read = [row for _, row in read_rows(io.BytesIO(content), "supervised")]
    faults = [row for row in read if isinstance(row, Fault)]
    assert [fault.message for fault in faults] == (
        [f"is {ends}; save the file as UTF-8"] if ends else []
    )
