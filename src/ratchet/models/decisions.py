"""Answer requests by decision: the likeliest of a request's choices, with the probability of each.

What the prompt alone makes likely may be taken out: the same prompt without its input is asked too, and each choice is judged by how
much likelier the input makes it (contextual calibration: Zhao et al. 2021, "Calibrate Before Use", section 5, in its form for
whole texts). A prompt without input is asked once, and remembered.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import TYPE_CHECKING

from ratchet.core import Json, Usage
from ratchet.core.errors import ReplyError, TaskError
from ratchet.models.chat import ChatReply, ChatRequest
from ratchet.models.choice_scores import ChoicePrompt, ChoiceScorer
from ratchet.models.rendered_prompt import encode_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Decider", "DecisionPrompt"]

Scores = list[float] | Exception
"""Of each choice of a prompt; or why there are none."""

MAX_PRIORS = 512
"""Prompts without input whose figures are remembered."""


@dataclass(frozen=True, kw_only=True)
class DecisionPrompt:
    """A request as its model reads it."""

    request: ChatRequest
    prompt: str
    prior: str | None
    """The same prompt without its input, where what that makes likely is taken out."""


class Decider:
    """Decides with the weights of one model.

    Args:
        scorer: Has the weights.
        tokenizer: Theirs.
        lead: What the chat template puts before any reply.
        max_places: The most tokens that the model takes; None where nobody says.
    """

    def __init__(
        self,
        scorer: ChoiceScorer,
        tokenizer: "PreTrainedTokenizerBase",
        *,
        lead: str,
        max_places: int | None,
    ) -> None:
        self._scorer, self._tokenizer = scorer, tokenizer
        self._lead, self._max_places = lead, max_places
        self._priors: OrderedDict[ChoicePrompt, list[float]] = OrderedDict()

    def decide(self, prompts: Sequence[DecisionPrompt]) -> list[ChatReply | Exception]:
        """Return the reply to each request, or why there is none; one that fails takes no other along."""
        replies: dict[int, ChatReply | Exception] = {}
        read: list[tuple[int, ChoicePrompt, ChoicePrompt | None]] = []
        for place, asked in enumerate(prompts):
            try:
                own = self._read(asked.request, asked.prompt)
                prior = None if asked.prior is None else self._read(asked.request, asked.prior)
                read.append((place, own, prior))
            except (ReplyError, TaskError) as error:
                replies[place] = error
        priors = dict.fromkeys(prior for _, _, prior in read if prior)
        known = {prior: self._priors[prior] for prior in priors if prior in self._priors}
        wanted = dict.fromkeys([*(own for _, own, _ in read), *priors])
        scores = known | self._score([prompt for prompt in wanted if prompt not in known])
        for prior in priors:
            self._remember(prior, scores[prior])
        for place, own, prior in read:
            replies[place] = self._reply(prompts[place].request, own, prior, scores)
        return [replies[place] for place in range(len(prompts))]

    def _read(self, request: ChatRequest, prompt: str) -> ChoicePrompt:
        """Return a request by its tokens.

        Raises: ReplyError if it is longer than the model takes.
        """
        assert request.choices  # who decides says between what
        ids = tuple(encode_prompt(self._tokenizer, prompt))
        lead = self._lead if request.raw is None else ""
        choices = tuple(
            tuple(encode_prompt(self._tokenizer, lead + choice)) for choice in request.choices
        )
        longest = len(ids) + max(map(len, choices), default=0)
        if not ids:
            raise ReplyError("the prompt is empty: there is nothing to decide", kind="context")
        if self._max_places is not None and longest > self._max_places:
            raise ReplyError(
                f"the prompt and the longest choice have {longest} tokens, and the model has places for {self._max_places}",
                kind="context",
            )
        return ChoicePrompt(ids=ids, choices=choices, adapter=request.adapter)

    def _score(self, prompts: Sequence[ChoicePrompt]) -> dict[ChoicePrompt, Scores]:
        """Return the scores of each prompt; where all together fail, of each alone, or why it has none."""
        if not prompts:
            return {}
        try:
            return dict(zip(prompts, self._scorer.score(prompts), strict=True))
        except Exception as error:  # noqa: BLE001 - handed to those whose prompt it is
            if len(prompts) == 1:
                return {prompts[0]: error}
        alone: dict[ChoicePrompt, Scores] = {}
        for prompt in prompts:
            alone |= self._score([prompt])
        return alone

    def _remember(self, prior: ChoicePrompt, scores: Scores) -> None:
        if not isinstance(scores, Exception):
            self._priors[prior] = scores
            self._priors.move_to_end(prior)
            if len(self._priors) > MAX_PRIORS:
                self._priors.popitem(last=False)

    def _reply(
        self,
        request: ChatRequest,
        own: ChoicePrompt,
        prior: ChoicePrompt | None,
        scores: dict[ChoicePrompt, Scores],
    ) -> ChatReply | Exception:
        found = scores[own]
        if isinstance(found, Exception):
            return found
        decided: dict[str, Json] = {"choices": len(own.choices)}
        if prior is not None:
            before = scores[prior]
            if isinstance(before, Exception):
                return before
            found = [score - known for score, known in zip(found, before, strict=True)]
            decided["calibration"] = "prior"
        assert request.choices
        probabilities = dict(zip(request.choices, normalize(found), strict=True))
        return ChatReply(
            text=max(probabilities, key=probabilities.__getitem__),
            probabilities=probabilities,
            usage=Usage(prompt_tokens=len(own.ids), cost_usd=0.0),
            sent={"decided": decided},
        )


def normalize(scores: Sequence[float]) -> list[float]:
    """Return the probabilities, summing to one, whose logarithms differ as `scores` do."""
    largest = max(scores)
    total = largest + log(sum(exp(score - largest) for score in scores))
    return [exp(score - total) for score in scores]
