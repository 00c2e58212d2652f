"""The tune lever: a LoRA on the champion's own prompts, trained on the train split."""

import asyncio
from collections.abc import AsyncIterator

from ratchet.answer import Prompt
from ratchet.core import Budget, Candidate
from ratchet.levers.lever import Evidence, LeverEstimate
from ratchet.models import local_folder
from ratchet.tuning import LoraSettings, TrainingData, conversations_of, estimate_lora, train_lora

__all__ = ["TuneLever"]


class TuneLever:
    """Propose the champion with fine-tuned weights.

    Demonstrations are left out of the training prompts: the weights learn what they show, and the prompt stays short.
    """

    name = "tune"

    def __init__(self, settings: LoraSettings | None = None) -> None:
        self._settings = settings or LoraSettings()

    async def estimate(self, champion: Candidate, evidence: Evidence) -> LeverEstimate:
        """Return time and memory after a short calibration."""
        base = local_folder(champion.model, evidence.root)
        found = await asyncio.to_thread(
            estimate_lora,
            base,
            self._data(self._prompt(champion, evidence), evidence),
            self._settings,
        )
        note = f"{found.steps} steps, {found.tokens:,} tokens, about {found.memory_gb:.1f} GB, {found.trained_parameters:,} parameters trained"
        return LeverEstimate(candidates=1, calls=0, seconds=found.seconds, cost_usd=0.0, note=note)

    async def propose(
        self, champion: Candidate, evidence: Evidence, budget: Budget
    ) -> AsyncIterator[Candidate]:
        """Yield the tuned candidate; nothing for a model that is not local."""
        if not champion.model.startswith("local:"):
            evidence.say(
                f"tune: {champion.model} is no local model; hosted fine-tuning is not built yet"
            )
            return
        prompt = self._prompt(champion, evidence)
        base = local_folder(champion.model, evidence.root)
        evidence.say(f"tune: LoRA on {len(evidence.train)} examples")
        result = await asyncio.to_thread(
            train_lora,
            base,
            self._data(prompt, evidence),
            self._settings,
            adapters=evidence.files / "adapters",
            watch=evidence.watch.trains if evidence.watch else None,
        )
        budget.charge(tokens=result.tokens)
        note = f"LoRA on {len(evidence.train)} examples, {result.steps} steps"
        challenger = prompt.candidate.changed(adapter=result.adapter, note=note)
        if challenger.id not in evidence.tried:
            yield challenger

    def _data(self, prompt: Prompt, evidence: Evidence) -> TrainingData:
        return TrainingData(
            base=prompt.candidate.model,
            rows=conversations_of(prompt, evidence.train),
            provenance={"task": evidence.task.name, "candidate": prompt.candidate.plain()},
        )

    def _prompt(self, champion: Candidate, evidence: Evidence) -> Prompt:
        return Prompt(evidence.task, champion.changed(demonstrations=(), adapter=None, note=""))
