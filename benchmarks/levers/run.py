"""Search for demonstrations on real sets: DSPy's random search over its full grid, and the same programs raced, side by side.

    python benchmarks/levers/run.py                       # all sets, ten seeds; writes results.json after each
    python benchmarks/levers/run.py --sets banking77 --seeds 2
    python benchmarks/levers/run.py --seeds 20            # goes on: runs that results.json has are not made again

Needs the extras `local`, `embed` and `dspy`, and the real sets in ../shared/data. In each run, on one split of the data:

- DSPy's own BootstrapFewShotWithRandomSearch makes its programs and scores each of them on all validation examples.
- The same programs are raced on the same examples. Answers of the model are remembered, so that both see the same ones; the calls
  that each asks for are counted, those for bootstrapping on both sides.
- Our lever `demos` makes candidates of its own (random sets, and the nearest to each input) and races them.

What each ends with, and the start, answers the test examples, which nobody saw.
"""

import argparse
import asyncio
import contextlib
import io
import json
import logging
import math
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import dspy
import numpy as np
from dspy import lm15
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.levers.sets import SETS, RealSet

from ratchet import Candidate, Demonstration, DemosLever, Example, Task, Workbench
from ratchet.answer import Prompt, gather, parse_answer
from ratchet.ladder import climb
from ratchet.measure import race
from ratchet.metrics import make_metric
from ratchet.models import NANO, ChatModel, ChatReply, ChatRequest, ModelPool, ToolCall
from ratchet.models.local import LocalModel
from ratchet.store import find_candidate
from ratchet.tuning import TrainingData, TuningSettings, conversations_of, train

HERE = Path(__file__).parent
PROGRAMS, SHOWN = 16, 4
"""DSPy's own number of candidate programs, beside which it tries three more; demonstrations a program."""
SCREEN = 80
"""Train examples that our lever races on, at most: the others are what it shows."""
TOLERANCE = 0.02
EPOCHS = 4.0
ANSWER = "answer"


class Remembered:
    """A model whose answers are remembered, and whose calls are counted for whoever asks."""

    def __init__(self, model: ChatModel) -> None:
        self._model, self._known = model, dict[str, asyncio.Future[ChatReply]]()
        self.name, self.concurrency = model.name, 64
        self.calls = 0

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Return the reply, of the model or of before."""
        self.calls += 1
        key = repr(request)
        if key not in self._known:
            self._known[key] = asyncio.ensure_future(self._model.chat(request))
        return await self._known[key]

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | ChatReply]:
        """Return the reply in one piece."""
        yield await self.chat(request)

    def count_tokens(self, request: ChatRequest) -> tuple[int, bool]:
        """Count by the model's own tokenizer."""
        return self._model.count_tokens(request)

    def price(self, *_: int) -> float | None:
        """Return 0."""
        return 0.0

    async def close(self) -> None:
        """The model is closed by who opened it."""


class OurPrompt(dspy.Adapter):
    """DSPy's programs in our plain prompts: the engine below makes the request, so both send the same."""

    def format(
        self, signature: Any, demos: list[Any], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Hand demonstrations and inputs on."""
        shown = [{k: v for k, v in demo.items() if k in signature.fields} for demo in demos]
        body = {"demos": shown, "inputs": inputs}
        return [{"role": "user", "content": json.dumps(body)}]

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:  # noqa: ARG002 - DSPy's signature
        """Take the whole reply."""
        return {ANSWER: completion}


class Engine:
    """Our model as DSPy's engine."""

    def __init__(self, start: Candidate, task: Task, model: Remembered, loop: Any) -> None:
        self._start, self._task, self._model, self._loop = start, task, model, loop

    def complete(self, request: Any) -> Any:
        """Answer, on our loop."""
        body = json.loads(request.messages[-1].text)
        asked = Prompt(self._task, candidate_of(self._start, self._task, body["demos"])).request(
            Example(inputs=body["inputs"], reference=None)
        )
        reply = asyncio.run_coroutine_threadsafe(self._model.chat(asked), self._loop).result()
        text = reply.tool_calls[0].arguments if reply.tool_calls else reply.text
        return lm15.Response(
            id=None,
            model="ratchet",
            message=lm15.Message.assistant([lm15.TextPart(text or " ")]),
            finish_reason="stop",
            usage=lm15.Usage(input_tokens=0, output_tokens=0, total_tokens=0),
        )

    def stream(self, request: Any) -> Any:
        """Answer in one piece."""
        return lm15.response_to_events(self.complete(request))

    def close(self) -> None:
        """Nothing is held."""


def candidate_of(start: Candidate, task: Task, demos: list[dict[str, Any]]) -> Candidate:
    """Return the start with a program's demonstrations."""
    shown = [
        Demonstration(inputs={n: demo[n] for n in task.input_names}, answer=answer_in(task, demo[ANSWER]))
        for demo in demos
    ]  # fmt: skip
    return start.changed(demonstrations=tuple(shown), note=f"{len(shown)} demonstrations")


def reply_with(task: Task, text: str) -> ChatReply:
    """Return the reply that says a text, as a tool call where the task wants one."""
    if task.answer.kind == "tool":
        return ChatReply(tool_calls=(ToolCall(name=str(task.answer.tool), arguments=text),))
    return ChatReply(text=text)


def answer_in(task: Task, text: str) -> Any:
    answer, failure = parse_answer(task, reply_with(task, text))
    return text if failure else answer


def full_grid(
    real: RealSet,
    start: Candidate,
    engine: Engine,
    learning: list[Example],
    held: list[Example],
) -> list[list[dict[str, Any]]]:
    """Return the demonstrations of all programs of DSPy's random search, the best first; runs on a thread."""
    task, metric = real.task, make_metric(real.task.metric)

    def score(gold: Any, pred: Any, trace: Any = None) -> float | bool:
        answer, failure = parse_answer(task, reply_with(task, str(pred[ANSWER])))
        value = 0.0 if failure else metric.score(gold.example, answer).value
        return value if trace is None else value >= 0.999

    def example_of(example: Example) -> Any:
        written = Prompt(task, start).answered(example)[-1]
        text = (
            written["tool_calls"][0]["function"]["arguments"]
            if "tool_calls" in written
            else written["content"]
        )
        return dspy.Example(**example.inputs, **{ANSWER: text}, example=example).with_inputs(*task.input_names)  # fmt: skip

    fields = {n: (str, dspy.InputField()) for n in task.input_names} | {
        ANSWER: (str, dspy.OutputField())
    }
    program = dspy.Predict(dspy.Signature(fields, task.instructions))
    search = dspy.BootstrapFewShotWithRandomSearch(
        score, max_bootstrapped_demos=SHOWN, max_labeled_demos=SHOWN, num_candidate_programs=PROGRAMS, num_threads=64
    )  # fmt: skip
    lm = dspy.LM("openai/ratchet", engine=engine, cache=False)
    with dspy.context(lm=lm, adapter=OurPrompt()), contextlib.redirect_stdout(io.StringIO()):
        best = search.compile(
            program, trainset=[example_of(e) for e in learning], valset=[example_of(e) for e in held]
        )  # fmt: skip
    ranked = sorted(best.candidate_programs, key=lambda one: -one["score"])
    return [
        [{k: v for k, v in dict(demo).items() if k in (*task.input_names, ANSWER)} for demo in one["program"].demos]
        for one in [{"program": best, "score": math.inf}, *ranked]
    ]  # fmt: skip


async def one_run(
    real: RealSet, start: Candidate, pool: ModelPool, local: ChatModel, seed: int
) -> dict[str, Any]:
    """Return what each way took and came to."""
    rng = Random(seed)
    examples = real.examples[real.tuned_on :]
    rng.shuffle(examples)
    test, rest = examples[: real.test], examples[real.test :]
    held, learning = rest[: real.validation], rest[real.validation : real.validation + 200]
    model = Remembered(local)
    loop = asyncio.get_running_loop()
    found: dict[str, Any] = {"seed": seed}

    started = time.monotonic()
    programs = await asyncio.to_thread(
        full_grid, real, start, Engine(start, real.task, model, loop), learning, held
    )
    dspy_calls = model.calls
    candidates = list(
        {c.id: c for c in (candidate_of(start, real.task, demos) for demos in programs)}.values()
    )
    theirs = candidates[0]  # DSPy's best stands first
    grid = (PROGRAMS + 3) * len(held)
    making = dspy_calls - grid  # bootstrapping

    split = [("train", learning), ("dev", held), ("test", test)]
    placed = [e.model_copy(update={"split": name}) for name, part in split for e in part]
    bench = Workbench.of(real.task, placed, models={"local:nano": model})
    model.calls = 0
    order = sorted(candidates, key=lambda c: c.id)  # nothing tells the race which DSPy found best
    raced = await race(
        bench.bench(pool=pool), [(c, model) for c in order], held, split="dev", tolerance=TOLERANCE, seed=seed
    )  # fmt: skip
    raced_calls = model.calls + making

    model.calls = 0
    lever = DemosLever(
        sizes=(2, 4), sets=7, nearest=(2, 4), screen=min(SCREEN, len(held)), seed=seed
    )
    ready = ModelPool(ready={"local:nano": model})
    steps = await climb(bench.ground(ready), [lever], start=start)
    lever_calls = model.calls
    proposed = find_candidate(bench.engine, steps[-1].candidate_id)
    kept = find_candidate(bench.engine, [s.candidate_id for s in steps if s.kept][-1])

    ends = {
        "start": start,
        "DSPy, full grid": theirs,
        "the same, raced": raced.pick.candidate,
        "lever demos, its proposal": proposed,
        "lever demos, kept if proven": kept,
    }
    scores: dict[str, float] = {}
    for name, candidate in ends.items():
        measured = await score_on(real, candidate, model, test, ready)
        scores[name] = measured
    await ready.close()
    found |= {
        "programs": len(candidates),
        "grid": grid,
        "making": making,
        "calls": {
            "DSPy, full grid": dspy_calls,
            "the same, raced": raced_calls,
            "lever demos, kept if proven": lever_calls,
        },
        "test": scores,
        "same pick": raced.pick.candidate.id == theirs.id,
        "seconds": round(time.monotonic() - started, 1),
    }
    return found


async def score_on(
    real: RealSet, candidate: Candidate, model: Remembered, test: list[Example], pool: ModelPool
) -> float:
    """Return the mean score on the test examples."""
    prompt, metric = Prompt(real.task, candidate), make_metric(real.task.metric)

    async def one(example: Example) -> float:
        answer, failure = prompt.read(
            await model.chat((await gather(prompt, example, pool)).request)
        )
        return 0.0 if failure else metric.score(example, answer).value

    return float(np.mean(await asyncio.gather(*map(one, test))))


def tuned(real: RealSet, start: Candidate, adapters: Path) -> Candidate:
    """Return the start with an adapter that was trained on the first examples, which no run uses."""
    if not real.tuned_on:
        return start
    prompt = Prompt(real.task, start)
    rows = conversations_of(prompt, real.examples[: real.tuned_on])
    result = train(
        NANO,
        TrainingData(base="local:nano", rows=rows),
        TuningSettings(epochs=EPOCHS),
        adapters=adapters,
    )
    return start.changed(adapter=result.adapter)


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return means over seeds, and 95 % t-intervals of the differences from DSPy's full grid, paired by seed."""
    base = np.array([run["test"]["DSPy, full grid"] for run in runs])
    found: dict[str, Any] = {"seeds": len(runs), "same pick": sum(run["same pick"] for run in runs)}
    for name in runs[0]["test"]:
        scores = np.array([run["test"][name] for run in runs])
        row: dict[str, Any] = {"test": round(float(scores.mean()), 4)}
        if name in runs[0]["calls"]:
            shares = [run["calls"][name] / run["calls"]["DSPy, full grid"] for run in runs]
            row |= {
                "calls": round(float(np.mean([run["calls"][name] for run in runs]))),
                "share": round(float(np.mean(shares)), 3),
            }
        change = scores - base
        if len(runs) > 1 and change.any():
            half = float(
                stats.t.ppf(0.975, len(runs) - 1) * change.std(ddof=1) / math.sqrt(len(runs))
            )
            row |= {"gain": round(float(change.mean()), 4), "low": round(float(change.mean()) - half, 4), "high": round(float(change.mean()) + half, 4)}  # fmt: skip
        found[name] = row
    return found


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sets", nargs="*", choices=list(SETS), default=["banking77", "prices", "presidio"]
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="The first seed, where processes with outputs of their own share the work.")  # fmt: skip
    parser.add_argument("--validation", type=int, help="Validation examples, in place of a set's own number; with another --output.")  # fmt: skip
    parser.add_argument(
        "--can", action="store_true", help="Only say what the start scores on each set."
    )
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    given = parser.parse_args()
    logging.getLogger("dspy").setLevel(logging.CRITICAL)
    before = json.loads(given.output.read_text()) if given.output.is_file() else {}
    results: dict[str, list[dict[str, Any]]] = {
        name: before.get(name, {}).get("runs", []) for name in SETS
    }
    with tempfile.TemporaryDirectory(prefix="ratchet-levers-") as folder:
        adapters = Path(folder)
        reals, starts = {}, {}
        for name in given.sets:
            real = SETS[name]()
            Random(7).shuffle(real.examples)
            distinct = list(
                {json.dumps(e.inputs, sort_keys=True): e for e in real.examples}.values()
            )
            size = given.validation or real.validation
            reals[name] = RealSet(real.task, distinct, real.tuned_on, size, real.test)
            workbench = Workbench.of(real.task, distinct[:200])
            starts[name] = tuned(
                reals[name], workbench.start().changed(model="local:nano"), adapters
            )
            print(f"{name}: {len(distinct)} examples, start {starts[name].id}", flush=True)
        local = LocalModel("local:nano", NANO, adapters=adapters)
        async with ModelPool() as pool:
            for seed in range(given.first, given.first + given.seeds):
                for name in given.sets:
                    if any(run["seed"] == seed for run in results[name]):
                        continue
                    if given.can:
                        real = reals[name]
                        score = await score_on(
                            real, starts[name], Remembered(local), real.examples[-real.test :], pool
                        )
                        print(f"{name}: the start scores {score:.3f}", flush=True)
                        continue
                    run = await one_run(reals[name], starts[name], pool, local, seed)
                    results[name].append(run)
                    print(name, json.dumps(run), flush=True)
                    body = {
                        name: {"summary": summary(runs), "runs": runs}
                        for name, runs in results.items()
                        if runs
                    }
                    given.output.write_text(json.dumps(body, indent=1) + "\n")
        await local.close()
    for name, runs in results.items():
        if runs:
            print(name, json.dumps(summary(runs), indent=1))


if __name__ == "__main__":
    asyncio.run(main())
