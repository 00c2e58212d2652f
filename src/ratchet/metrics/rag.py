"""The four metrics of answers that stand on passages, by any model as judge (Es et al. 2024, "Ragas", and ragas 0.4).

- `faithfulness`: the share of the answer's claims that the passages support.
- `relevancy`: how near the questions that the answer would fit are to the question that was asked (mean cosine); 0 where the answer
  avoids one.
- `context-precision`: whether passages that help come first (average precision over the passages as they were shown).
- `context-recall`: the share of the reference's sentences that the passages say.

Each reply is forced into a schema, and kept as a vote; the parts of a score are the judge's verdicts, for the report. A score is
never NaN: where nothing is claimed nothing is wrong, and where a judge's reply has not the form the answer is missing.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml

from ratchet.answer import Prompt
from ratchet.answer.grounding import (
    grounding,
    grounding_prompts,
    judge_form,
    list_form,
    shown_passages,
)
from ratchet.answer.nearest import text_of
from ratchet.core import Candidate, Example, FailureKind, Json, Passage, Score, Task
from ratchet.core.errors import MetricError, ReplyError
from ratchet.core.records import written
from ratchet.metrics.judge import Ask
from ratchet.metrics.metric import Aggregate, failure_sentence, metric_id
from ratchet.models import ModelPool

__all__ = ["RAG_METRICS", "RagMetric", "average_precision_of"]

TEXTS = Path(__file__).with_name("rag.yaml")
REASON = {"type": "string", "maxLength": 400}
QUESTIONS = 3
USUAL = 4
"""Passages of an answer, for an estimate of the votes."""


class RagMetric:
    """One of the four metrics.

    Args:
        name: Which: `faithfulness`, `relevancy`, `context-precision` or `context-recall`.
        judge: The model that judges.
        embedding: Who tells how near two questions are, for `relevancy`.
    Raises: MetricError if there is no such metric.
    """

    aggregates: tuple[Aggregate, ...] = ()
    votes_each: ClassVar[dict[str, int]] = {
        "faithfulness": 2,
        "relevancy": 1,
        "context-precision": USUAL,
        "context-recall": 1,
    }

    @property
    def needs_references(self) -> bool:
        """Return whether the metric compares passages with the right answer."""
        return self.name in ("context-precision", "context-recall")

    def __init__(self, name: str, judge: str, *, embedding: str = "local:minilm") -> None:
        if name not in RAG_METRICS:
            raise MetricError(f"unknown metric {name!r}; there are {', '.join(RAG_METRICS)}")
        self.name, self.names, self._embedding = name, (judge,), embedding
        self._prompts = PROMPTS[name](judge)
        self.id = metric_id(
            name,
            1,
            {
                "tasks": [one.task.asking_id for one in self._prompts],
                "judge": judge,
                **({"embedding": embedding} if name == "relevancy" else {}),
            },
        )

    @property
    def votes(self) -> int:
        """Return how many votes an answer gets, about."""
        return self.votes_each[self.name]

    @property
    def panels(self) -> list[tuple[Task, Sequence[Candidate]]]:
        """Return the judge's tasks, each with who does it."""
        return [(one.task, [one.candidate]) for one in self._prompts]

    async def judge(
        self,
        example: Example,
        answer: Json,
        ask: Ask,
        *,
        passages: Sequence[Passage] = (),
        pool: ModelPool | None = None,
    ) -> Score:
        """Return the score of an answer.

        Args:
            example: What was asked, and its reference.
            answer: What was answered.
            ask: How the judge is asked.
            passages: What the answer was given, in that order.
            pool: Has who tells how near two questions are.
        Raises: ReplyError (kind "judge") if the judge's reply has not the form.
        """

        async def asked(prompt: Prompt, about: Example) -> Json:
            trial = await ask(prompt, about, 0)
            return None if trial.failure else trial.answer

        question, said = text_of(example.inputs), written(answer)
        if self.name == "faithfulness":
            score = await self._faithful(asked, question, said, passages)
        elif self.name == "relevancy":
            score = await self._relevant(asked, question, said, pool)
        elif self.name == "context-precision":
            score = await self._precise(asked, question, example, passages)
        else:
            score = await self._recalled(asked, example, passages)
        if score is None:
            raise ReplyError(
                f"the judge {self.names[0]} gave no reply in the form to {self.name} of example {example.id}",
                kind="judge",
            )
        return score

    def failed(self, _example: Example, failure: FailureKind) -> Score:
        """Score 0 without asking a judge: there is no answer."""
        return Score(value=0.0, feedback=failure_sentence(failure))

    async def _faithful(
        self, ask: Any, question: str, said: str, passages: Sequence[Passage]
    ) -> Score | None:
        first, second = self._prompts
        found = await grounding(ask, (first, second), question, said, shown_passages(passages))
        if found is None:
            return None
        wrong = found.unsupported
        feedback = f"Not supported: {' '.join(wrong)}" if wrong else "Every claim is supported."
        return Score(value=found.score, parts={"claims": found.claims}, feedback=feedback)

    async def _relevant(
        self, ask: Any, question: str, said: str, pool: ModelPool | None
    ) -> Score | None:
        found = await ask(self._prompts[0], Example(inputs={"reply": said}, reference=None))
        questions = [one for one in (found or {}).get("questions", ()) if one.strip()]
        if found is None or not questions:
            return None
        if pool is None:
            raise MetricError("relevancy compares questions, and no embedder is at hand")
        rows, _ = await pool.embedder(self._embedding).embed([question, *questions])
        near = float(np.mean(rows[1:] @ rows[0]))
        value = 0.0 if found["noncommittal"] else min(1.0, max(0.0, near))
        return Score(
            value=value,
            parts={"questions": questions, "noncommittal": found["noncommittal"], "cosine": near},
            feedback="The reply avoids an answer." if found["noncommittal"] else f"It answers: {questions[0]}",
        )  # fmt: skip

    async def _precise(
        self, ask: Any, question: str, example: Example, passages: Sequence[Passage]
    ) -> Score | None:
        verdicts = []
        for passage in passages:
            about = {
                "question": question,
                "right": written(example.reference),
                "context": passage.searched,
            }
            found = await ask(self._prompts[0], Example(inputs=about, reference=None))
            if found is None:
                return None
            verdicts.append({"passage": passage.id, **found})
        useful = [bool(one["useful"]) for one in verdicts]
        return Score(
            value=average_precision_of(useful),
            parts={"verdicts": verdicts},
            feedback=f"{sum(useful)} of {len(useful)} passages are of use.",
        )

    async def _recalled(
        self, ask: Any, example: Example, passages: Sequence[Passage]
    ) -> Score | None:
        about = {"context": shown_passages(passages), "right": written(example.reference)}
        found = await ask(self._prompts[0], Example(inputs=about, reference=None))
        if found is None:
            return None
        sentences = found["recalled"]
        lacking = [str(one["sentence"]) for one in sentences if not one["attributed"]]
        share = 1 - len(lacking) / len(sentences) if sentences else 1.0
        feedback = f"Not in the passages: {' '.join(lacking)}" if lacking else "All of it is in the passages."  # fmt: skip
        return Score(value=share, parts={"sentences": sentences}, feedback=feedback)


def average_precision_of(useful: Sequence[bool]) -> float:
    """Return the mean, over the useful ones, of the precision down to each; 0 where none is useful."""
    hits = np.cumsum(np.asarray(useful, dtype=float))
    if not len(hits) or not hits[-1]:
        return 0.0
    ranks = np.arange(1, len(hits) + 1)
    return float(np.sum(hits / ranks * np.asarray(useful)) / hits[-1])


def text_named(name: str) -> str:
    texts: dict[str, str] = yaml.safe_load(TEXTS.read_text("utf-8"))
    return texts[name]


def relevancy_prompts(judge: str) -> list[Prompt]:
    schema = {
        "type": "object",
        "properties": {
            "questions": {"type": "array", "items": REASON, "minItems": 1, "maxItems": QUESTIONS},
            "noncommittal": {"type": "boolean"},
        },
        "required": ["questions", "noncommittal"],
        "additionalProperties": False,
    }
    return [judge_form("questions", text_named("questions"), ("reply",), schema, model=judge)]


def precision_prompts(judge: str) -> list[Prompt]:
    schema = {
        "type": "object",
        "properties": {"reason": REASON, "useful": {"type": "boolean"}},
        "required": ["reason", "useful"],
        "additionalProperties": False,
    }
    inputs = ("question", "right", "context")
    return [judge_form("useful", text_named("useful"), inputs, schema, model=judge)]


def recall_prompts(judge: str) -> list[Prompt]:
    item = {
        "type": "object",
        "properties": {"sentence": REASON, "reason": REASON, "attributed": {"type": "boolean"}},
        "required": ["sentence", "reason", "attributed"],
        "additionalProperties": False,
    }
    inputs = ("context", "right")
    return [list_form("recalled", text_named("recalled"), inputs, item, model=judge)]


PROMPTS: dict[str, Callable[[str], Sequence[Prompt]]] = {
    "faithfulness": grounding_prompts,
    "relevancy": relevancy_prompts,
    "context-precision": precision_prompts,
    "context-recall": recall_prompts,
}
RAG_METRICS = tuple(PROMPTS)
