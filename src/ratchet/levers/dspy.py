"""DSPy's optimisers as a lever: they search on train in their own way, and what they end with is judged by our verdict.

The optimiser runs on a thread of its own; each call that it makes is asked of our model, and charged to our budget. It never sees
dev or test: what it validates on is a part of train. Of the optimisers, GEPA is the package `gepa`, by DSPy's own adapter.
"""

import asyncio
import contextlib
import importlib
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from random import Random
from typing import Any, Literal, get_args

from ratchet.answer import parse_answer, written_answer
from ratchet.core import Budget, Candidate, Example, Score, Task
from ratchet.core.errors import BudgetError, ReplyError, UsageError
from ratchet.exchange import program_candidate
from ratchet.exchange.dspy import ANSWER, need_dspy, program_of
from ratchet.levers.accepted import FULL
from ratchet.levers.kept import KeptReplies
from ratchet.levers.lever import Evidence, LeverEstimate
from ratchet.measure import check_priced
from ratchet.metrics import Judged, Metric
from ratchet.metrics.metric import references_are_answers
from ratchet.models import ChatModel, ChatReply, ChatRequest

__all__ = ["DspyLever", "Optimiser"]

Optimiser = Literal["random-search", "mipro", "gepa"]
LONGEST = 2000
"""Tokens of what is written about prompts."""
MANY = 10**9
"""Answers without DSPy's form are wrong answers, however many."""


class DspyLever:
    """Propose what an optimiser of DSPy makes of the champion's model.

    Args:
        optimiser: `random-search` (BootstrapFewShotWithRandomSearch), `mipro` (MIPROv2) or `gepa` (GEPA).
        candidates: How many programs or instructions it makes; for GEPA how many times the validation examples it may be scored.
        validation: Train examples that it validates on; it learns from the others.
        learning: Train examples that it learns from, at most.
        reasoned: Reason before the answer (ChainOfThought), instead of answering at once (Predict).
        proposer: Who writes instructions, for mipro and gepa; left out, the task's teacher, else the champion's own model.
        seed: Of the examples that it sees, and its own.
    """

    name = "dspy"

    def __init__(
        self,
        optimiser: Optimiser = "random-search",
        *,
        candidates: int = 8,
        validation: int = 50,
        learning: int = 200,
        reasoned: bool = False,
        proposer: str | None = None,
        seed: int = 0,
    ) -> None:
        if optimiser not in get_args(Optimiser):
            raise UsageError(
                f"there is no optimiser {optimiser!r}; there are {', '.join(get_args(Optimiser))}"
            )
        self._optimiser, self._candidates, self._seed = optimiser, candidates, seed
        self._validation, self._learning = validation, learning
        self._reasoned, self._proposer = reasoned, proposer

    async def estimate(self, _champion: Candidate, evidence: Evidence) -> LeverEstimate:
        """Return the calls of its full grid, which is what the optimisers take at most, roughly."""
        _, held = self._split(evidence)
        programs = self._candidates + (3 if self._optimiser == "random-search" else 0)
        return LeverEstimate(
            candidates=1,
            calls=programs * len(held),
            note=f"{self._optimiser}: {programs} programs on {len(held)} train examples, and what it takes to make them",
        )

    async def propose(
        self, champion: Candidate, evidence: Evidence, budget: Budget
    ) -> AsyncIterator[Candidate]:
        """Yield the program that the optimiser ends with; nothing where the budget ends first.

        Raises: UsageError without DSPy, for a metric with judges, or with too few train examples; CandidateError for a task that
            wants tool calls; ReplyError if no call gets a reply.
        """
        need_dspy()
        metric = evidence.bench.metric
        if isinstance(metric, Judged):
            raise UsageError(
                "the lever dspy scores thousands of answers as it goes, and this metric has judges; use a metric without, or the levers prompt and demos"
            )
        learning, held = self._split(evidence)
        if not references_are_answers(metric):
            raise UsageError(
                f"the references of task {evidence.task.name!r} say what an answer must be like, and DSPy shows them as answers; use the levers prompt and demos"
            )
        if evidence.train and not evidence.labelled:
            raise UsageError(
                f"no train example of task {evidence.task.name!r} has a reference, and DSPy's optimisers learn from them; import answers, or use the lever prompt"
            )
        if len(learning) < 2 or not held:
            raise UsageError(
                f"{len(evidence.train)} train examples are too few to learn from and to validate on; import more"
            )
        model = evidence.pool.model(champion.model)
        writer = evidence.pool.model(
            self._proposer or evidence.task.models.teacher or champion.model
        )
        for one in (model, writer):
            check_priced(budget, one, one.name)
        # A program is DSPy's own prompt from the task's words; it is run by the model with the adapter of the champion.
        student = Student(evidence.task, metric, self._reasoned)
        first = program_of(state_of(student.program(need_dspy())), evidence.task, where="the task")
        plain = program_candidate(first, evidence.task, champion, note="DSPy's own prompt")
        line = Line(
            asyncio.get_running_loop(),
            budget,
            KeptReplies(evidence.files / "dspy" / "replies.jsonl"),
        )
        engine, prompting = line.engine(model, plain), line.engine(writer, None)
        evidence.say(
            f"dspy: {self._optimiser} on {len(learning)} train examples, validated on {len(held)}"
        )
        try:
            state = await asyncio.to_thread(
                self._optimised,
                student,
                engine,
                prompting,
                learning,
                held,
            )
        except Exception as error:
            if not line.spent and not any(one.is_dead for one in (engine, prompting)):
                raise UsageError(
                    f"DSPy's {self._optimiser} failed on what {writer.name} wrote: {str(error).strip().splitlines()[0][:300]}"
                ) from error
        finally:
            line.close()
        for asked in (engine, prompting):
            if asked.is_dead and asked.gone:
                raise asked.gone
        if line.spent:  # DSPy counts calls that it was not given as wrong answers
            evidence.say(
                f"dspy: the budget ended after {line.calls} calls, before the optimiser did"
            )
            return
        evidence.say(f"dspy: {line.calls} calls")
        if self._optimiser != "random-search" and not prompting.replies:
            evidence.say(f"dspy: {writer.name} was never asked for an instruction")
        program = program_of(state, evidence.task, where="the optimised program")
        found = program_candidate(
            program, evidence.task, champion, note=f"DSPy's {self._optimiser}, {len(program.demos)} demonstrations"
        )  # fmt: skip
        if found.id in evidence.tried:
            evidence.say("dspy: the program was on the ladder before")
        else:
            yield found

    def _split(self, evidence: Evidence) -> tuple[list[Example], list[Example]]:
        """Return what is learnt from, and what is validated on: at most half of train."""
        pool = evidence.labelled
        Random(self._seed).shuffle(pool)
        count = min(self._validation, len(pool) // 2)
        return pool[count : count + self._learning], pool[:count]

    def _optimised(
        self,
        student: "Student",
        engine: "Engine",
        writer: "Engine",
        learning: list[Example],
        held: list[Example],
    ) -> dict[str, Any]:
        """Return the state of the optimised program; runs on a thread."""
        dspy = need_dspy()
        lm, prompting = (
            dspy.LM("openai/ratchet", engine=one, cache=False, num_retries=0, temperature=t, max_tokens=m)
            for one, t, m in ((engine, engine.temperature, engine.max_tokens), (writer, 1.0, LONGEST))
        )  # fmt: skip
        with (
            quiet(),
            dspy.context(lm=lm, adapter=dspy.ChatAdapter(use_json_adapter_fallback=False)),
        ):
            program = student.program(dspy)
            train, validation = (
                [student.example(dspy, e) for e in some] for some in (learning, held)
            )
            threads = max(1, min(32, engine.concurrency))
            if self._optimiser == "random-search":
                search = dspy.BootstrapFewShotWithRandomSearch(
                    student.accepts,
                    num_candidate_programs=self._candidates,
                    num_threads=threads,
                    max_errors=MANY,
                )
                best = search.compile(program, trainset=train, valset=validation)
            elif self._optimiser == "mipro":
                need("optuna", "MIPROv2")
                mipro = dspy.MIPROv2(
                    student.accepts,
                    prompt_model=prompting,
                    task_model=lm,
                    auto=None,
                    num_candidates=self._candidates,
                    num_threads=threads,
                    max_errors=MANY,
                    seed=self._seed,
                )
                best = mipro.compile(
                    program,
                    trainset=train,
                    valset=validation,
                    num_trials=max(2, 2 * self._candidates),
                    minibatch=len(validation) > 35,
                )
            else:
                need("gepa", "GEPA")
                gepa = dspy.GEPA(
                    student.told,
                    max_metric_calls=self._candidates * len(validation),
                    reflection_lm=prompting,
                    num_threads=threads,
                    seed=self._seed,
                )
                best = gepa.compile(program, trainset=train, valset=validation)
            return state_of(best)


class Student:
    """The task as DSPy sees it."""

    def __init__(self, task: Task, metric: Metric, reasoned: bool) -> None:
        self._task, self._metric, self._reasoned = task, metric, reasoned

    def program(self, dspy: Any) -> Any:
        """Return the program before it is optimised."""
        fields = {
            one.name: (str, dspy.InputField(desc=one.description or f"${{{one.name}}}"))
            for one in self._task.inputs
        }
        fields[ANSWER] = (str, dspy.OutputField(desc=form_in_words(self._task)))
        signature = dspy.Signature(fields, self._task.instructions)
        return dspy.ChainOfThought(signature) if self._reasoned else dspy.Predict(signature)

    def example(self, dspy: Any, example: Example) -> Any:
        """Return an example with its reference, and the means to score an answer to it."""
        found = dspy.Example(
            **example.inputs,
            **{ANSWER: written_answer(self._task, example.reference, 0)["content"]},
            ratchet_example=example,
        )
        return found.with_inputs(*self._task.input_names)

    def score(self, gold: Any, pred: Any) -> Score:
        """Return the task's own score of an answer."""
        example: Example = gold.ratchet_example
        answer, failure = parse_answer(
            self._task, ChatReply(text=str(getattr(pred, ANSWER, "") or ""))
        )
        return (
            self._metric.failed(example, failure)
            if failure
            else self._metric.score(example, answer)
        )

    def accepts(self, gold: Any, pred: Any, trace: Any = None) -> float | bool:
        """Return the score; where a demonstration is to be made of it, whether it is full."""
        value = self.score(gold, pred).value
        return value if trace is None else value >= FULL

    def told(self, gold: Any, pred: Any, *_: Any, **__: Any) -> Any:
        """Return the score with the metric's feedback, for GEPA."""
        score = self.score(gold, pred)
        return need_dspy().Prediction(
            score=score.value, feedback=score.feedback or f"{score.value:g}"
        )


class Line:
    """What connects DSPy's threads with our loop: each call is asked there, and charged.

    Args:
        loop: Where models are asked.
        budget: Who pays.
        kept: The replies of a run before, which cost nothing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, budget: Budget, kept: KeptReplies) -> None:
        self._loop, self._budget, self._kept = loop, budget, kept
        self.spent = self._closed = False

    @property
    def calls(self) -> int:
        """Return how many replies were bought."""
        return self._kept.bought

    def engine(self, model: ChatModel, plain: Candidate | None) -> "Engine":
        """Return an engine for DSPy; with a candidate its adapter and decoding are used."""
        return Engine(self, model, plain)

    def close(self) -> None:
        """Answer nobody any more: a thread that was left alone must end."""
        self._closed = True

    def ask(self, model: ChatModel, request: ChatRequest) -> ChatReply:
        """Return a reply, from any thread."""
        if self._closed or self.spent:
            raise BudgetError("the budget is spent")
        work = asyncio.run_coroutine_threadsafe(
            self._kept.ask(self._budget, model, request), self._loop
        )
        try:
            reply = work.result()
        except BudgetError:
            self.spent = True
            raise
        return reply


class Engine:
    """A model as DSPy's engine: one request, one response."""

    def __init__(self, line: Line, model: ChatModel, plain: Candidate | None) -> None:
        self._line, self._model = line, model
        self._adapter = plain.adapter if plain else None
        self._seed = plain.decoding.seed if plain else None
        self.temperature = plain.decoding.temperature if plain else 1.0
        self.max_tokens = plain.decoding.max_tokens if plain else LONGEST
        self.concurrency = model.concurrency
        self.replies = 0
        self.gone: ReplyError | None = None

    @property
    def is_dead(self) -> bool:
        """Return whether the model was asked, and never gave a reply."""
        return self.gone is not None and not self.replies

    def complete(self, request: Any) -> Any:
        """Answer a canonical request."""
        lm15 = importlib.import_module("dspy.lm15")
        messages = [{"role": m.role, "content": m.text or ""} for m in request.messages]
        if request.system is not None:
            system = request.system
            text = system if isinstance(system, str) else "".join(part.text for part in system)
            messages.insert(0, {"role": "system", "content": text})
        config = request.config
        temperature, most = (getattr(config, name, None) for name in ("temperature", "max_tokens"))
        asked = ChatRequest(
            messages=messages,
            adapter=self._adapter,
            seed=self._seed,
            temperature=self.temperature if temperature is None else min(2.0, temperature),
            max_tokens=self.max_tokens if most is None else most,
            optional=frozenset(("temperature",)),
        )
        try:
            reply = self._line.ask(self._model, asked)
        except ReplyError as error:
            self.gone = error
            raise
        self.replies += 1
        usage = reply.usage
        return lm15.Response(
            id=None,
            model=self._model.name,
            message=lm15.Message.assistant([lm15.TextPart(reply.text)]),
            finish_reason="length" if reply.finish_reason == "length" else "stop",
            usage=lm15.Usage(
                input_tokens=usage.prompt_tokens,
                output_tokens=usage.completion_tokens,
                total_tokens=usage.prompt_tokens + usage.completion_tokens,
            ),
        )

    def stream(self, request: Any) -> Any:
        """Answer as a stream, all at once."""
        return importlib.import_module("dspy.lm15").response_to_events(self.complete(request))

    def close(self) -> None:
        """Nothing is held."""


def need(package: str, who: str) -> None:
    """Raise UsageError if a package of an optimiser is missing."""
    try:
        importlib.import_module(package)
    except ImportError as missing:
        raise UsageError(
            f"{who} needs {package} ({missing}); install it with: pip install 'ratchet[dspy]'"
        ) from missing


def form_in_words(task: Task) -> str:
    """Return what an answer must look like, for DSPy's description of the field."""
    if task.answer.kind == "label":
        return f"one of: {', '.join(task.answer.labels)}"
    return "${answer}"


def state_of(program: Any) -> dict[str, Any]:
    """Return the state of a program's only predictor."""
    state = program.dump_state()
    return dict(state.get("predict", state))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep DSPy's printing, bars and log lines off the terminal, where ours are."""
    modules = [
        module for name, module in list(sys.modules.items()) if name.startswith(("dspy.", "gepa."))
    ]
    nothing: Callable[..., None] = lambda *_, **__: None  # noqa: E731
    bar = importlib.import_module("tqdm").tqdm
    logger, begin = logging.getLogger("dspy"), bar.__init__
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    bar.__init__ = lambda self, *given, **more: begin(self, *given, **{**more, "disable": True})
    for module in modules:
        module.print = nothing  # type: ignore[attr-defined]  # found before the built-in one
    try:
        yield
    finally:
        logger.setLevel(before)
        bar.__init__ = begin
        for module in modules:
            del module.print
