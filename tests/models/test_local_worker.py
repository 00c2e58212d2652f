"""Nobody waits for ever: whatever happens to the thread of a local model or to the loading of its weights, each request has its answer."""

import asyncio
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import Future

import pytest

from ratchet.core.errors import ReplyError, UnknownModelError
from ratchet.models import NANO, ChatReply, ChatRequest

pytest.importorskip("torch")
pytestmark = pytest.mark.local

REQUEST = ChatRequest(messages=[{"role": "user", "content": "Repeat: red"}], max_tokens=20)
WAIT_S = 20.0


class FakeEngine:
    """Answers at once; what it is told to do instead it does once."""

    def __init__(self, *, admit=None, step=None):
        self.faults = {"admit": admit, "step": step}
        self.running = []
        self.can_join = True

    def __len__(self):
        return len(self.running)

    def _fault(self, name):
        fault, self.faults[name] = self.faults[name], None
        if fault:
            fault()

    def admit(self, items):
        live = [item for item in items if item.future.set_running_or_notify_cancel()]
        if live:
            self._fault("admit")
        self.running += live

    def step(self):
        if self.running:
            self._fault("step")
        while self.running:
            self.running.pop().future.set_result(ChatReply(text="red"))

    def fail(self, error):
        for item in self.running:
            item.future.set_exception(error)
        self.running.clear()

    def likelihoods(self, texts, adapter):
        return [(0.0, 1) for _ in texts]


def local_model(monkeypatch, load, **settings):
    """Return a local model whose weights are loaded by `load`."""
    from ratchet.models.local import LocalModel

    model = LocalModel("local:nano", NANO, **settings)
    monkeypatch.setattr(model, "_load", load)
    return model


def raising(error):
    def fault():
        raise error

    return fault


def wait_until(is_so):
    while not is_so():
        time.sleep(0.01)


async def told(*waiting):
    """Return what each comes to, within a time that no answer needs."""
    return await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), WAIT_S)


@pytest.mark.parametrize("place", ["admit", "step"])
@pytest.mark.parametrize("error", [RuntimeError("no room"), SystemExit(3), MemoryError()])
async def test_a_thread_that_dies_tells_all_who_wait(monkeypatch, place, error):
    """An error that nobody foresaw, while requests are let in or answered: all are told, and the next request is answered."""
    engines = [FakeEngine(**{place: raising(error)}), FakeEngine()]
    model = local_model(monkeypatch, lambda: engines.pop(0))

    failed = await told(*(model.chat(REQUEST) for _ in range(5)))
    (again,) = await told(model.chat(REQUEST))

    assert {getattr(one, "kind", None) for one in failed} == {"crashed"}
    assert again.text == "red"
    await model.close()


async def test_a_load_that_fails_is_told_and_tried_anew(monkeypatch):
    """Who waited for it gets the error of the load; who comes next gets the model."""
    engines = [UnknownModelError("the folder is gone"), FakeEngine()]

    def load():
        engine = engines.pop(0)
        if isinstance(engine, Exception):
            raise engine
        return engine

    model = local_model(monkeypatch, load)

    first = await told(model.chat(REQUEST), model.likelihoods([(None, "x y")]))
    (again,) = await told(model.chat(REQUEST))

    assert all(isinstance(one, UnknownModelError) for one in first)
    assert again.text == "red"
    await model.close()


async def test_who_waits_too_long_for_weights_is_told_so(monkeypatch):
    """A load that does not end is no reason to wait for ever: the error names what is waited for and when to ask again."""
    go_on = threading.Event()

    def load():
        go_on.wait(WAIT_S)
        return FakeEngine()

    model = local_model(monkeypatch, load, load_timeout_s=0.1)

    early = await told(model.chat(REQUEST), model.likelihoods([(None, "x y")]))
    go_on.set()
    await asyncio.to_thread(wait_until, lambda: model._worker.is_loaded)
    (late,) = await told(model.chat(REQUEST))

    assert {one.kind for one in early} == {"loading"}
    assert "still being loaded after 0.1 s" in str(early[0])
    assert early[0].retry_after_s
    assert late.text == "red"
    await model.close()


async def test_one_who_gives_up_takes_nobody_along(monkeypatch):
    """A request that is cancelled while the weights are loaded leaves the load, and its neighbours, as they are."""
    go_on = threading.Event()
    loads = []

    def load():
        loads.append(1)
        go_on.wait(WAIT_S)
        return FakeEngine()

    model = local_model(monkeypatch, load)
    first, second = (asyncio.create_task(model.chat(REQUEST)) for _ in range(2))
    await asyncio.sleep(0.05)
    first.cancel()
    await asyncio.sleep(0.05)
    go_on.set()

    gone, answered = await told(first, second)

    assert isinstance(gone, asyncio.CancelledError)
    assert answered.text == "red"
    assert loads == [1]
    await model.close()


def test_a_stopped_thread_takes_nothing_more():
    """What comes after the word to stop is refused at the door, where it would lie in the queue for ever."""
    from ratchet.models.engine import Waiting
    from ratchet.models.local_worker import LocalWorker

    worker = LocalWorker("local:x", FakeEngine)
    worker.stop()

    assert not worker.put(Waiting(REQUEST, "", Future(), time.perf_counter()))
    worker.join()


async def test_a_model_that_is_stopped_again_and_again_answers_each_request(monkeypatch):
    """Requests and stops at random: each request is answered, and no thread stays."""
    threads = set(threading.enumerate())
    model = local_model(monkeypatch, FakeEngine)
    rng = random.Random(0)

    async def ask():
        await asyncio.sleep(rng.random() * 0.2)
        return await model.chat(REQUEST)

    async def stop():
        await asyncio.sleep(rng.random() * 0.2)
        model.stop()

    said = await told(*(ask() for _ in range(200)), *(stop() for _ in range(40)))

    assert [one.text for one in said[:200]] == ["red"] * 200
    await model.close()
    for thread in set(threading.enumerate()) - threads:
        if thread.name.startswith("ratchet-local"):
            thread.join(WAIT_S)
            assert not thread.is_alive()


async def test_real_weights_after_a_fault(monkeypatch):
    """A pass that fails in the middle of real answers fails those alone; the next is answered by the same weights."""
    from ratchet.models import ModelPool
    from ratchet.models.decode import Batch

    async with ModelPool() as pool:
        model = pool.model("local:nano")
        (before,) = await told(model.chat(REQUEST))
        step, faults = Batch.step, [RuntimeError("injected")]
        monkeypatch.setattr(
            Batch,
            "step",
            lambda self: raising(faults.pop())() if faults and len(self) else step(self),
        )
        (failed,) = await told(model.chat(REQUEST))
        (after,) = await told(model.chat(REQUEST))

    assert isinstance(failed, RuntimeError | ReplyError)
    assert before.text == after.text == "red"


def test_a_program_that_ends_after_a_local_model_ends_well():
    """Threads that let go of weights are waited for: the process ends with 0, and not by an abort."""
    program = "import ratchet\ntask = ratchet.Task(name='t', instructions='Repeat:', inputs=(ratchet.InputField(name='q'),), answer=ratchet.AnswerForm(kind='text'), metric=ratchet.MetricSpec(name='exact'), models=ratchet.Roles(student='local:nano'))\nexamples = [ratchet.Example(inputs={'q': f'word {n}'}, reference='x', split='dev') for n in range(8)]\nwith ratchet.Workbench.of(task, examples) as bench:\n    bench.measure()"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
