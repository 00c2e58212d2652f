"""Local models stay loaded between pieces of work, on whatever loop each runs, and are let go of at the end."""

import asyncio
import gc
import shutil
import threading

import pytest

import ratchet
from ratchet.models import NANO, ChatRequest, ModelPool, ModelSession
from ratchet.testing import ScriptedModel

pytest.importorskip("torch")
pytestmark = pytest.mark.local

REQUEST = ChatRequest(messages=[{"role": "user", "content": "Repeat: red"}], max_tokens=20)


class Session(ModelSession):
    """Pools in a folder."""

    def __init__(self, root, **ready):
        super().__init__()
        self.root, self.own = root, ready

    def pool(self):
        return ModelPool(root=self.root, ready={**self.open_models.ready(), **self.own})


def ask(session, name="local:nano"):
    """Return the model that was asked, and what it said."""

    async def work(pool):
        model = pool.model(name)
        return model, (await model.chat(REQUEST)).text

    return session.with_pool(work)


def running():
    """Return the threads of local models."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("ratchet-local:")]


def ended(threads):
    """Return whether threads end."""
    for thread in threads:
        thread.join(timeout=30)
    return not any(thread.is_alive() for thread in threads)


def test_calls_share_a_model_that_is_loaded_once(tmp_path):
    """Each call has a loop of its own; the model and its thread are those of the first."""
    before = set(running())
    with Session(tmp_path) as session:
        (first, text), (second, again) = ask(session), ask(session)
        threads = [thread for thread in running() if thread not in before]

    assert first is second
    assert text == again == "red"
    assert len(threads) == 1
    assert ended(threads)


async def test_calls_from_within_a_loop_share_it_too(tmp_path):
    """As in a notebook, where each call runs in a thread of its own."""
    with Session(tmp_path) as session:
        models = {ask(session)[0] for _ in range(2)}
        both = await asyncio.gather(*(asyncio.to_thread(ask, session) for _ in range(3)))

    assert len(models | {model for model, _ in both}) == 1
    assert {text for _, text in both} == {"red"}


def test_a_session_that_is_gone_lets_go(tmp_path):
    """Without a call of close the thread and the weights go with the session."""
    before = set(running())
    session = Session(tmp_path)
    ask(session)
    threads = [thread for thread in running() if thread not in before]
    del session
    gc.collect()

    assert len(threads) == 1
    assert ended(threads)


def test_a_closed_session_loads_again(tmp_path):
    """The next piece of work is answered by a fresh model."""
    session = Session(tmp_path)
    first, _ = ask(session)
    session.close()
    second, text = ask(session)
    session.close()

    assert second is not first
    assert text == "red"


def test_weights_that_were_written_anew_are_loaded_anew(tmp_path):
    """A folder whose files changed between two calls is not answered for by the old weights."""
    shutil.copytree(NANO, tmp_path / "m")
    with Session(tmp_path) as session:
        first, _ = ask(session, "local:m")
        again, _ = ask(session, "local:m")
        (tmp_path / "m" / "config.json").write_text(
            (tmp_path / "m" / "config.json").read_text() + "\n"
        )
        second, _ = ask(session, "local:m")

    assert again is first
    assert second is not first


def test_models_that_are_handed_over_and_failures_change_nothing(tmp_path):
    """A scripted model is never stopped, and work that fails still leaves the local model open."""
    with Session(tmp_path, scripted=ScriptedModel(["hi"])) as session:
        _, said = ask(session, "scripted")
        first, _ = ask(session)

        async def fail(pool):
            await pool.model("local:nano").chat(REQUEST)
            raise ValueError("broken")

        with pytest.raises(ValueError, match="broken"):
            session.with_pool(fail)
        second, _ = ask(session)

    assert said == "hi"
    assert first is second


def test_a_workbench_loads_a_model_once():
    """Several measurements are answered by one model."""
    task = ratchet.Task(
        name="copy",
        instructions="Repeat.",
        inputs=(ratchet.InputField(name="text"),),
        metric=ratchet.MetricSpec(name="exact"),
        models=ratchet.Roles(student="local:nano"),
    )
    examples = [
        ratchet.Example(inputs={"text": word}, reference=word, split="dev")
        for word in ("red", "blue")
    ]
    before = set(running())
    with ratchet.Workbench.of(task, examples) as bench:
        bench.measure(bench.start())
        bench.measure(bench.start().changed(system="Again."))
        threads = [thread for thread in running() if thread not in before]

    assert len(threads) == 1
    assert ended(threads)
