"""The tune lever: the champion's own prompts, learnt by weights — a LoRA on this machine, or a job at a provider."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from ratchet.answer import Prompt, gather, starting_candidate, with_model
from ratchet.core import Budget, Candidate, Example, Json
from ratchet.core.errors import BudgetError, TuningError, UsageError
from ratchet.levers.accepted import accepted
from ratchet.levers.lever import Evidence, LeverEstimate
from ratchet.measure import Forgetting, Probe, forgetting, mean_score, probes_for, texts_for
from ratchet.metrics import Judged
from ratchet.metrics.metric import references_are_answers
from ratchet.models import ChatRequest, ModelPool, local_folder
from ratchet.store.adapters import name_adapter, size_of
from ratchet.tuning import (
    Launch,
    Listener,
    Row,
    TrainingData,
    TuningSettings,
    conversations_of,
    estimate_training,
    estimated_tokens,
    read_file,
    train_hosted,
    train_on,
)

__all__ = ["TuneLever", "forgotten"]

MOST_SCORED = 64
"""Examples that a model in training is scored on."""
KINDS = {"lora": "LoRA", "qlora": "LoRA beside four-bit weights", "full": "all weights"}


class TuneLever:
    """Propose the champion with fine-tuned weights.

    Demonstrations are left out of the training prompts: the weights learn what they show, and the prompt stays short.

    Args:
        settings: How to train.
        prune: Propose a second fine-tune that is trained and served without the instructions, a short tag in their place.
        replay: Mix in so many chats of the base's own practice, as a share of the examples, against forgetting; only for bases that
            ship some, as local:nano does.
        base: The model that learns, a local one or one at an endpoint that tunes; the champion's own if left out.
        distil: Train on the answers that the task's teacher gives to the champion's prompt, where the metric scores them 1, instead of
            the references.
        launch: On how many processes, and where; one on this machine if left out.
    """

    name = "tune"

    def __init__(
        self,
        settings: TuningSettings | None = None,
        *,
        prune: bool = False,
        distil: bool = False,
        replay: float = 0.0,
        base: str | None = None,
        launch: Launch | None = None,
    ) -> None:
        self._settings, self._launch = settings or TuningSettings(), launch or Launch()
        self._prune, self._distil, self._replay, self._base = prune, distil, replay, base

    async def estimate(self, champion: Candidate, evidence: Evidence) -> LeverEstimate:
        """Return time and memory after a short calibration, or the provider's price by an estimate of the tokens."""
        plain = self._variants(champion, evidence)
        calls = len(evidence.learnable) if self._distil else 0
        if not plain[0].model.startswith("local:"):
            tokens = round(
                sum(
                    estimated_tokens(conversations_of(Prompt(evidence.task, c), evidence.learnable))
                    for c in plain
                )
                * max(1, round(self._settings.epochs))
            )
            endpoint, _ = evidence.pool.endpoint(plain[0].model)
            price = endpoint.price.training if endpoint.price else None
            note = f"≈{tokens:,} tokens at the provider" + (
                "" if price is not None else "; no price: set training in the endpoint's price"
            )
            cost = None if price is None else tokens * price / 1e6
            return LeverEstimate(candidates=len(plain), calls=calls, cost_usd=cost, note=note)
        base = local_folder(plain[0].model, evidence.root)
        data = await self._data(plain[0], evidence, evidence.learnable)
        found = await asyncio.to_thread(estimate_training, base, data, self._settings)
        note = (
            f"{found.steps} steps, {found.tokens:,} tokens, about {found.memory_gb:.1f} GB"
            f"{' with layers computed twice' if found.checkpointing else ''}, {found.trained_parameters:,} parameters trained; {'; '.join(found.reasons)}"
        )
        return LeverEstimate(
            candidates=len(plain),
            calls=calls,
            seconds=found.seconds * len(plain),
            cost_usd=0.0,
            note=note,
        )

    async def propose(
        self, champion: Candidate, evidence: Evidence, budget: Budget
    ) -> AsyncIterator[Candidate]:
        """Yield the tuned candidates."""
        if not self._distil and not references_are_answers(evidence.bench.metric):
            raise TuningError(
                f"the references of task {evidence.task.name!r} say what an answer must be like, and are none that could be learnt; learn a teacher's with --distil"
            )
        rows = (
            await self._taught(champion, evidence, budget)
            if self._distil
            else references_of(evidence)
        )
        for plain in self._variants(champion, evidence):
            if budget.is_spent():
                return
            if plain.model.startswith("local:"):
                tuned = await self._local(plain, evidence, rows, budget)
            else:
                tuned = await self._hosted(plain, evidence, rows, budget)
            if tuned.id not in evidence.tried:
                yield tuned

    def _variants(self, champion: Candidate, evidence: Evidence) -> list[Candidate]:
        """Return the candidates whose prompts are learnt, as they are without weights of their own."""
        plain = champion.changed(
            model=self._base or champion.model,
            demonstrations=(),
            nearest=None,
            adapter=None,
            note="",
        )
        return [plain, plain.changed(system=f"[{evidence.task.name}]")] if self._prune else [plain]

    async def _local(
        self, plain: Candidate, evidence: Evidence, rows: list[Example], budget: Budget
    ) -> Candidate:
        held: list[Example] = []
        if self._settings.best == "score":
            rows = rows[:]
            Random(self._settings.seed).shuffle(rows)
            count = min(MOST_SCORED, max(1, round(self._settings.validation * len(rows))))
            rows, held = rows[count:], rows[:count]
        kind = KINDS[self._settings.weights]
        kept = len(evidence.unlearnt)
        left = f"; {kept} more are left out, so that it can be diagnosed" if kept else ""
        evidence.say(f"tune: {kind} on {len(rows)} examples{pruned(plain, evidence)}{left}")
        result = await asyncio.to_thread(
            train_on,
            self._launch,
            local_folder(plain.model, evidence.root),
            await self._data(plain, evidence, rows, held),
            self._settings,
            adapters=evidence.files / "adapters",
            listener=Listener(
                watch=evidence.watch.trains if evidence.watch else None,
                score=await self._scorer(plain, evidence, held) if held else None,
            ),
        )
        budget.charge(tokens=result.tokens, cost_usd=0.0)
        note = f"{kind} on {len(rows)} examples, {result.steps} steps{pruned(plain, evidence)}"
        if self._settings.weights == "full":
            folder = (evidence.files / "adapters" / result.adapter).relative_to(evidence.root)
            tuned = plain.changed(model=f"local:{folder.as_posix()}", note=note)
        else:
            tuned = plain.changed(adapter=result.adapter, note=note)
        if evidence.bench.engine is not None:  # so that it can be asked for, taken away and merged
            name_adapter(
                evidence.bench.engine,
                f"{evidence.task.name}-{result.adapter.rpartition('_')[-1][:8]}",
                adapter=tuned.adapter or "",
                base=tuned.model,
                source=f"ratchet try tune {evidence.task.name}",
                size=size_of(evidence.files / "adapters" / result.adapter),
            )
        found = await forgotten(evidence.pool, tuned, evidence.root)
        evidence.say(f"tune: {found.sentence}")
        return tuned

    async def _hosted(
        self, plain: Candidate, evidence: Evidence, rows: list[Example], budget: Budget
    ) -> Candidate:
        endpoint, model = evidence.pool.endpoint(plain.model)
        data = await self._data(plain, evidence, rows)
        price = endpoint.price.training if endpoint.price else None
        tokens = estimated_tokens(data.rows) * max(1, round(self._settings.epochs))
        if (
            price is not None
            and budget.cost_usd is not None
            and budget.dollars + tokens * price / 1e6 > budget.cost_usd
        ):
            raise BudgetError(
                f"fine-tuning {model} would cost about ${tokens * price / 1e6:.2f}, more than what is left of the budget of ${budget.cost_usd:.2f}"
            )
        evidence.say(
            f"tune: {model} on {len(rows)} examples at {endpoint.base_url}{pruned(plain, evidence)}"
        )
        run = await asyncio.to_thread(
            train_hosted,
            endpoint,
            model,
            data.rows,
            self._settings,
            folder=evidence.files / "hosted",
            watch=evidence.watch.trains if evidence.watch else None,
        )
        budget.charge(
            tokens=run.tokens, cost_usd=None if price is None else run.tokens * price / 1e6
        )
        name = f"{plain.model.partition('/')[0]}/{run.model}"
        return plain.changed(
            model=name,
            note=f"{model} fine-tuned on {len(rows)} examples, job {run.job}{pruned(plain, evidence)}",
        )

    async def _scorer(
        self, plain: Candidate, evidence: Evidence, held: list[Example]
    ) -> Callable[[Any, Any], float]:
        """Return what scores a model in training: its answers to examples that are held back, by the task's own metric."""
        metric = evidence.bench.metric
        if isinstance(metric, Judged):
            raise TuningError(
                "the best checkpoint cannot be chosen by a judge; choose it by the loss"
            )
        prompt = Prompt(evidence.task, plain)
        requests = await asked_all(prompt, held, evidence.pool)

        def score(model: Any, tokenizer: Any) -> float:
            from ratchet.models.local import replies_of

            return mean_score(prompt, metric, held, replies_of(model, tokenizer, requests))

        return score

    async def _data(
        self,
        plain: Candidate,
        evidence: Evidence,
        rows: list[Example],
        held: Sequence[Example] = (),
    ) -> TrainingData:
        provenance: dict[str, Json] = {"task": evidence.task.name, "candidate": plain.plain()}
        if self._distil:
            provenance["teacher"] = evidence.task.models.teacher
        prompt = Prompt(evidence.task, plain)
        taught: list[Row] = [
            *conversations_of(prompt, rows, await asked_all(prompt, rows, evidence.pool))
        ]
        if self._replay:
            provenance["replay"] = self._replay
            taught += replayed(plain.model, evidence, round(self._replay * len(rows)))
        return TrainingData(
            base=plain.model,
            rows=taught,
            validation=conversations_of(prompt, held, await asked_all(prompt, held, evidence.pool)),
            provenance=provenance,
        )

    async def _taught(
        self, champion: Candidate, evidence: Evidence, budget: Budget
    ) -> list[Example]:
        """Return the train examples with the teacher's answers in place of the references, where these have the full score.

        The teacher is asked with the champion's own prompt, demonstrations and passages, as that is what was found to work.
        """
        teacher = evidence.task.models.teacher
        if teacher is None:
            raise TuningError(
                f"task {evidence.task.name!r} names no teacher to learn from; set models.teacher in its file"
            )
        temperature = evidence.pool.start_temperature(teacher)
        shown = with_model(champion, teacher, temperature=temperature).changed(
            note="the champion's prompt, asked of the teacher"
        )
        if (
            champion.system == f"[{evidence.task.name}]"
        ):  # learnt by weights that the teacher does not have
            shown = shown.changed(system=starting_candidate(evidence.task).system, note=shown.note)
        found = await accepted(self.name, shown, evidence, evidence.learnable, budget)
        if not found:
            raise TuningError(
                f"the metric accepts none of the answers of {teacher}: none has the full score, so there is nothing to learn from it; "
                "try a stronger teacher, or a champion whose prompt it understands better"
            )
        known = {example.id: example for example in evidence.learnable}
        return [known[t.example_id].model_copy(update={"reference": t.answer}) for t in found]


async def asked_all(
    prompt: Prompt, examples: Sequence[Example], pool: ModelPool
) -> list[ChatRequest]:
    """Return the requests that a candidate sends, passages looked up."""
    return [(await gather(prompt, example, pool)).request for example in examples]


async def forgotten(
    pool: ModelPool, tuned: Candidate, root: Path, probes: Sequence[Probe] | None = None
) -> Forgetting:
    """Return what a fine-tune forgot of its base.

    Args:
        pool: Where the models are.
        tuned: The fine-tune.
        root: The folder that names of local models are meant from.
        probes: What is asked; left out, the base's own probes, else general ones.
    Raises: UsageError if it is no fine-tune.
    """
    base = untuned(tuned, root)
    if base is None:
        raise UsageError(
            f"{tuned.id} is no fine-tune: it has no adapter, and its weights were not trained here; name one with --candidate"
        )
    asked = probes or probes_for(base.model, root)
    return await forgetting(pool, base, tuned, asked, texts=texts_for(base.model, root))


def references_of(evidence: Evidence) -> list[Example]:
    """Return the train examples that have a reference to learn.

    Raises: TuningError if none has.
    """
    rows = [example for example in evidence.learnable if evidence.task.is_labelled(example)]
    if not rows:
        raise TuningError(
            f"none of the {len(evidence.learnable)} train examples of task {evidence.task.name!r} has a reference to learn; import answers, or learn a teacher's with --distil"
        )
    if len(rows) < len(evidence.learnable):
        evidence.say(
            f"tune: {len(evidence.learnable) - len(rows)} train examples have no reference, and are left out"
        )
    return rows


def untuned(tuned: Candidate, root: Path) -> Candidate | None:
    """Return a fine-tune with the weights that it was made from; None where it is no fine-tune."""
    if tuned.adapter:
        return tuned.changed(adapter=None)
    if not tuned.model.startswith("local:"):
        return None
    told = local_folder(tuned.model, root) / "provenance.json"
    if not told.is_file():
        return None
    return tuned.changed(model=json.loads(told.read_text("utf-8"))["base"])


def replayed(model: str, evidence: Evidence, count: int) -> list[Row]:
    """Return chats of a base's own practice.

    Raises: TuningError if it ships none, or fewer.
    """
    path = (
        local_folder(model, evidence.root) / "replay.jsonl" if model.startswith("local:") else None
    )
    found = read_file(path, "supervised") if path and path.is_file() else []
    if len(found) < count:
        raise TuningError(
            f"{model} ships {len(found)} chats of its practice, and {count} are wanted; lower the share of replay"
        )
    return found[:count]


def pruned(plain: Candidate, evidence: Evidence) -> str:
    """Return how a note tells of a prompt without its instructions."""
    return ", instructions left out" if plain.system == f"[{evidence.task.name}]" else ""
