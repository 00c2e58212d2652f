"""Hosted fine-tuning through the official SDK: the provider is our own server, in a workspace of its own."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gateway.test_contract import serving

import ratchet
from ratchet.core import Budget
from ratchet.core.errors import AccessError, TuningError
from ratchet.gateway import make_gateway
from ratchet.jobs import run_tuning
from ratchet.levers import LeverEstimate, TuneLever
from ratchet.metrics import ExactMatch
from ratchet.models import ChatRequest, ModelPool
from ratchet.store import EndpointSettings, Workspace, create_workspace
from ratchet.store.jobs import list_jobs
from ratchet.testing import ScriptedModel
from ratchet.tuning import Conversation, TuningSettings, train_hosted

pytest.importorskip("torch")
pytestmark = [pytest.mark.local, pytest.mark.slow]
WORDS = ["red", "blue", "green", "pink", "grey", "black", "white", "brown"]


class AtOnce:
    """A queue whose jobs begin as they come."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def put(self, job_id: str, _run: int) -> None:
        """Put a job in."""
        threading.Thread(target=run_tuning, args=(self._workspace, job_id)).start()


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Workspace]]:
    """Give a provider's address, and what is behind it."""
    workspace = create_workspace(tmp_path_factory.mktemp("provider"))
    with serving(make_gateway(workspace, AtOnce(workspace))) as url:
        yield url, workspace


def bench_in(folder: Path, model: str, url: str = "", **models: ScriptedModel) -> ratchet.Workbench:
    """Return a workbench on a task that the base cannot do."""
    workspace = create_workspace(folder)
    settings = (
        f'[endpoints.far]\nbase_url = "{url}"\nprice = {{ input = 0, output = 0, training = 2 }}\n'
    )
    (folder / "ratchet.toml").write_text(settings, "utf-8")
    task = ratchet.Task(
        name="odd",
        instructions="Do it.",
        inputs=(ratchet.InputField(name="text"),),
        metric=ratchet.MetricSpec(name="exact"),
        models=ratchet.Roles(student=model, teacher="local:teacher" if models else None),
    )
    examples = [
        ratchet.Example(
            inputs={"text": f"{WORDS[i % 8]} {WORDS[i // 8 % 8]} {i}"},
            reference=f"zap {WORDS[i % 8]}",
            split="dev" if i % 4 == 0 else "train",
        )
        for i in range(96)
    ]
    return ratchet.Workbench(
        task,
        examples,
        metric=ExactMatch(),
        engine=workspace.database,
        files=workspace.files,
        workspace=workspace,
        models={f"local:{name}": model for name, model in models.items()},
    )


def conversations(count: int = 64) -> list[Conversation]:
    """Return what is trained on."""
    return [
        Conversation(
            (
                {"role": "user", "content": f"{WORDS[i % 8]} {WORDS[i // 8 % 8]} {i}"},
                {"role": "assistant", "content": f"zap {WORDS[i % 8]}"},
            )
        )
        for i in range(count)
    ]


def test_a_job_is_started_followed_and_found_again(
    provider: tuple[str, Workspace], tmp_path: Path
) -> None:
    """Uploaded, trained, losses told; run again it is the same job, and a lost answer is followed by the kept id."""
    url, behind = provider
    endpoint = EndpointSettings(base_url=url)
    settings = TuningSettings(epochs=3)
    seen = []

    run = train_hosted(
        endpoint,
        "local:nano",
        conversations(),
        settings,
        folder=tmp_path,
        watch=seen.append,
        poll_s=0.2,
    )
    count = len(list_jobs(behind.database))
    again = train_hosted(endpoint, "local:nano", conversations(), settings, folder=tmp_path)
    (kept,) = tmp_path.glob("*.json")
    kept.write_text(f'{{"job": "{run.job}"}}', "utf-8")  # as if killed while it waited
    followed = train_hosted(endpoint, "local:nano", conversations(), settings, folder=tmp_path)

    assert run.model
    assert run.model.startswith("ft:nano:")
    assert run.tokens > 0
    assert again == followed == run
    assert len(list_jobs(behind.database)) == count
    assert any(progress.loss is not None for progress in seen)


def test_what_goes_wrong_there_is_told_here(
    provider: tuple[str, Workspace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that fails tells the provider's reason, a refusal its message, a missing key its variable, a dead server itself."""
    url, _ = provider
    endpoint = EndpointSettings(base_url=url, retries=0)
    too_long = [
        Conversation(
            ({"role": "user", "content": "x " * 4000}, {"role": "assistant", "content": "y"})
        )
    ]

    with pytest.raises(TuningError, match="failed: none of 1 training examples fits"):
        train_hosted(
            endpoint, "local:nano", too_long, TuningSettings(), folder=tmp_path, poll_s=0.1
        )
    with pytest.raises(TuningError, match="cannot be fine-tuned here"):
        train_hosted(endpoint, "gpt-9", conversations(4), TuningSettings(), folder=tmp_path)
    monkeypatch.delenv("FAR_KEY", raising=False)
    keyed = EndpointSettings(base_url=url, key_env="FAR_KEY")
    with pytest.raises(AccessError, match="FAR_KEY"):
        train_hosted(keyed, "local:nano", conversations(4), TuningSettings(), folder=tmp_path)
    dead = EndpointSettings(base_url="http://127.0.0.1:9/v1", retries=0)
    with pytest.raises(TuningError, match="does not answer"):
        train_hosted(dead, "local:nano", conversations(4), TuningSettings(), folder=tmp_path)


def test_the_lever_tunes_at_a_provider_and_without_instructions(
    provider: tuple[str, Workspace], tmp_path: Path
) -> None:
    """The champion's prompts are learnt at the endpoint, whole and pruned; the ladder judges both, and the price was told before."""
    url, _ = provider
    bench = bench_in(tmp_path, "far/local:nano", url)
    lever = TuneLever(TuningSettings(epochs=6), prune=True)

    async def estimated(pool: ModelPool) -> LeverEstimate:
        return await lever.estimate(bench.champion(), bench.ground(pool).evidence)

    estimate = bench.with_pool(estimated)
    steps = bench.climb([lever])

    assert estimate.candidates == 2
    assert 0.01 < (estimate.cost_usd or 0) < 1
    tuned = bench.champion()
    assert tuned.model.startswith("far/ft:nano:")
    assert [step.kept for step in steps].count(True) >= 2
    assert {step.what.endswith("instructions left out") for step in steps[1:]} == {True, False}
    assert bench.prompt(tuned).request(bench.split("dev")[0]).messages[0]["content"] in (
        "Do it.",
        "[odd]",
    )


def test_a_teacher_is_copied_where_the_metric_agrees(tmp_path: Path) -> None:
    """Of the teacher's answers only those that score are learnt; one that never scores is no teacher, and without one there is an error."""

    def teaches(request: ChatRequest) -> str:
        text = str(request.messages[-1]["content"])
        return f"zap {text.split(maxsplit=1)[0]}" if not text.startswith("red") else "no idea"

    teacher = ScriptedModel(teaches, name="local:teacher")
    bench = bench_in(tmp_path / "a", "local:nano", teacher=teacher)
    said: list[str] = []
    bench.watching.says = said.append  # type: ignore[method-assign]

    bench.climb([TuneLever(TuningSettings(epochs=1), distil=True)])

    train = bench.split("train")
    red = sum(str(example.inputs["text"]).startswith("red") for example in train)
    words = f"tune: {len(train) - red} of {len(train)} answers of local:teacher are accepted: they have the full score; {red} have less"
    assert any(line.startswith(words) for line in said)
    (folder,) = (tmp_path / "a" / ".ratchet" / "adapters").iterdir()
    assert '"teacher": "local:teacher"' in (folder / "provenance.json").read_text("utf-8")

    bench.champion = lambda: bench.start().changed(system="Copy the odd word.")  # type: ignore[method-assign]
    asked = len(teacher.requests)
    lever = TuneLever(distil=True)

    async def taught(pool: ModelPool) -> None:
        await lever._taught(bench.champion(), bench.ground(pool).evidence, Budget())

    bench.with_pool(taught)
    assert {r.messages[0]["content"] for r in teacher.requests[asked:]} == {"Copy the odd word."}

    useless = bench_in(
        tmp_path / "b", "local:nano", teacher=ScriptedModel(lambda _: "?", name="local:teacher")
    )
    with pytest.raises(TuningError, match="accepts none of the answers"):
        useless.climb([TuneLever(distil=True)])
    with pytest.raises(TuningError, match="names no teacher"):
        bench_in(tmp_path / "c", "local:nano").climb([TuneLever(distil=True)])


def test_the_best_checkpoint_is_chosen_by_the_tasks_own_score(tmp_path: Path) -> None:
    """The metric is taken on generated answers at each evaluation, told, and what is kept is the one that scored best; another base may learn."""
    ignorant = ScriptedModel(lambda _: "no idea", name="local:teacher")
    bench = bench_in(tmp_path, "local:teacher", teacher=ignorant)
    seen: list[float] = []
    bench.watching.trains = lambda progress: (
        seen.append(progress.score) if progress.score is not None else None
    )  # type: ignore[method-assign]

    settings = TuningSettings(epochs=4, best="score", evaluations=4)
    bench.climb([TuneLever(settings, base="local:nano")])

    assert len(seen) >= 3
    assert max(seen) >= 0.8
    assert bench.champion().adapter
    assert bench.champion().model == "local:nano"
    assert bench.measure().score >= 0.8
