"""The weights of a local model, and the batch that goes through them: requests join while others are under way."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ratchet.core import Json, Usage
from ratchet.core.errors import ReplyError
from ratchet.models.chat import LOCAL_TOKENS, ChatReply, ChatRequest, with_local_defaults
from ratchet.models.chat_template import ChatFormat, chat_format_of, is_forced
from ratchet.models.choice_scores import ChoiceScorer
from ratchet.models.constraint import Constraint, grammar_of, guide
from ratchet.models.decisions import Decider, DecisionPrompt
from ratchet.models.decode import Batch, Likely, Row
from ratchet.models.end_tokens import end_tokens
from ratchet.models.lora import AdapterBank
from ratchet.models.rendered_prompt import encode_prompt, render_chat, with_parameters

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["Engine", "Waiting", "prompt_of", "render_request"]

PREFILL = 8192
"""About so many tokens, padding included, are read at once: those who are under way wait for no more."""


@dataclass(eq=False)
class Waiting:
    """A request, and who waits for its reply."""

    request: ChatRequest
    prompt: str
    future: "Future[ChatReply]"
    since: float
    emit: Callable[[str], None] | None = None
    """Takes the text piece by piece, on the thread that generates."""
    is_dropped: bool = False
    """Nobody waits any more: its row ends at the next token."""


@dataclass(eq=False, slots=True)
class _Running:
    item: Waiting
    request: ChatRequest
    row: Row
    ids: list[int]


class Engine:
    """Answers requests: they are let in at any time, and each reply is handed out as soon as it is whole.

    Args:
        model: The weights.
        tokenizer: Theirs.
        adapters: The folder that adapters live in.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        adapters: Path | None = None,
    ) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._bank = AdapterBank(self._model, adapters)
        self._format = chat_format_of(tokenizer)
        self._ends = end_tokens(tokenizer, getattr(model, "generation_config", None))
        self._guide = guide(self._tokenizer, self._model.config.vocab_size, self._ends)
        self._decider = Decider(
            ChoiceScorer(self._model, ends=self._ends, route=self._bank.route),
            tokenizer,
            lead=self._format.lead,
            max_places=getattr(self._model.config, "max_position_embeddings", None),
        )
        self._batch = self._fresh()
        self._running: dict[Row, _Running] = {}
        self._ready_at = time.perf_counter()
        """Who came before waited for the weights, and not for a reply."""
        self._held: list[list[_Running]] = []
        """Groups that are let in and not in the batch yet."""

    def __len__(self) -> int:
        """Return how many requests are under way."""
        return len(self._running) + sum(map(len, self._held))

    @property
    def can_join(self) -> bool:
        """Whether requests may join those that are under way."""
        return self._batch.can_join

    def admit(self, items: Sequence[Waiting]) -> None:
        """Let requests in; who asks for what cannot be is told so, and no neighbour suffers."""
        live = [item for item in items if item.future.set_running_or_notify_cancel()]
        self._decide([item for item in live if item.request.decide])
        fresh = []
        for item in live:
            if item.request.decide:
                continue
            try:
                fresh.append(self._prepared(item))
            except Exception as error:  # noqa: BLE001 - handed to who asked
                item.future.set_exception(error)
        self._held += groups(fresh)
        self._let_in()
        self._bank.forget({row.adapter for row in self._running})

    def _decide(self, items: Sequence[Waiting]) -> None:
        """Answer those who ask for a decision, all of them now: no text is generated."""
        ready: list[tuple[Waiting, DecisionPrompt]] = []
        for item in items:
            request = item.request
            try:
                if request.adapter:
                    self._bank.load(request.adapter)
                prior = None
                if request.prior is not None:
                    alone = replace(request, messages=request.prior)
                    prior = render_request(self._tokenizer, alone)
            except Exception as error:  # noqa: BLE001 - handed to who asked
                item.future.set_exception(error)
                continue
            ready.append((item, DecisionPrompt(request=request, prompt=item.prompt, prior=prior)))
        if not ready:
            return
        replies: Sequence[ChatReply | Exception]
        try:
            replies = self._decider.decide([prompt for _, prompt in ready])
        except Exception as error:  # noqa: BLE001 - handed to those who wait
            replies = [error] * len(ready)
        finally:
            self._batch.reroute()
        for (item, _), reply in zip(ready, replies, strict=True):
            if isinstance(reply, Exception):
                item.future.set_exception(reply)
                continue
            waited = time.perf_counter() - max(item.since, self._ready_at)
            item.future.set_result(replace(reply, latency_s=waited))

    def _let_in(self) -> None:
        """Put groups into the batch; where its cache lets nobody join, one when it is done with the last."""
        while self._held and self._batch.can_join:
            group = self._held.pop(0)
            group.sort(key=lambda one: one.row.adapter or "")
            self._running |= {one.row: one for one in group}
            try:
                encoded = self._tokenizer.pad(
                    {"input_ids": [one.ids for one in group]}, return_tensors="pt"
                ).to(self._model.device)
                self._hand_out(self._batch.join(encoded, [one.row for one in group]))
            except Exception as error:  # noqa: BLE001 - handed to those who wait
                self._fail(error)

    def step(self) -> None:
        """Go on by a token."""
        self._let_in()
        try:
            self._hand_out(self._batch.step())
        except Exception as error:  # noqa: BLE001 - handed to those who wait
            self._fail(error)

    def likelihoods(
        self, texts: Sequence[tuple[str, str]], adapter: str | None
    ) -> list[tuple[float, int]]:
        """Return the log-likelihood, in nats, of the second text of each pair after the first, and how many tokens it is taken over.

        Without a first text its first token is not counted: there is nothing that it would follow.
        """
        if adapter:
            self._bank.load(adapter)
        found = []
        try:
            for before, text in texts:
                head = encode_prompt(self._tokenizer, before)
                if getattr(before, "content_spans", ()):
                    ids = head + encode_prompt(self._tokenizer, text)
                else:
                    ids = encode_prompt(self._tokenizer, before + text)
                start = max(1, len(head))
                if len(ids) <= start:
                    found.append((0.0, 0))
                    continue
                self._bank.route([adapter])
                with torch.inference_mode():
                    given = torch.tensor([ids], device=self._model.device)
                    logits = self._model(input_ids=given).logits[0, start - 1 : -1]
                    told = torch.log_softmax(logits.float(), -1)
                    said = told.gather(-1, given[0, start:, None])
                found.append((float(said.sum()), len(ids) - start))
        finally:
            self._batch.reroute()
        return found

    def _fresh(self) -> Batch:
        return Batch(self._model, ends=self._ends, route=self._bank.route)

    def _fail(self, error: Exception) -> None:
        """Tell all who are under way, and begin anew."""
        for one in self._running.values():
            one.item.future.set_exception(error)
        self._running.clear()
        self._batch = self._fresh()

    def _hand_out(self, ended: Sequence[Row]) -> None:
        for row in ended:
            one = self._running.pop(row)
            try:
                made = self._finished(one.request, row.tokens, row.told, len(one.ids))
            except Exception as error:  # noqa: BLE001 - handed to who waits, and to nobody else
                one.item.future.set_exception(error)
                continue
            waited = time.perf_counter() - max(one.item.since, self._ready_at)
            one.item.future.set_result(replace(made, latency_s=waited))

    def _prepared(self, item: Waiting) -> _Running:
        """Return a request with its tokens, and what its row needs.

        Raises: ReplyError for an adapter that is not there, or a prompt that is too long; TaskError for a schema that the decoder
        cannot follow.
        """
        request = with_local_defaults(
            replace(item.request, tools=with_parameters(item.request.tools))
        )
        if request.adapter:
            self._bank.load(request.adapter)
        grammar = self._grammar(request)
        ids = encode_prompt(self._tokenizer, item.prompt)
        if not ids:
            raise ReplyError("the prompt is empty: there is nothing to go on from", kind="context")
        row = Row(
            limit=self._limit(request, len(ids)),
            temperature=request.temperature or 0.0,
            top_p=request.top_p or 1.0,
            seed=request.seed,
            likely=request.logprobs,
            adapter=request.adapter,
            mask=Constraint(self._guide, grammar, self._ends) if grammar else None,
            watch=self._watch(item),
        )
        return _Running(item, request, row, ids)

    def _grammar(self, request: ChatRequest) -> str | None:
        if not is_forced(request):
            return None
        return grammar_of(request, self._format.form, self._tokenizer, self._guide)

    def _limit(self, request: ChatRequest, taken: int) -> int:
        """Return as many new tokens as are wanted, and the model has places for."""
        places = getattr(self._model.config, "max_position_embeddings", None)
        wanted = request.max_tokens or LOCAL_TOKENS
        if places is None:
            return wanted
        if taken >= places:
            raise ReplyError(
                f"the prompt has {taken} tokens, and the model has places for {places}",
                kind="context",
            )
        return min(wanted, int(places) - taken)

    def _finished(
        self, request: ChatRequest, ids: list[int], told: list[Likely], prompt_tokens: int
    ) -> ChatReply:
        complete = bool(ids) and ids[-1] in self._ends
        text = self._text(ids[:-1] if complete else ids)
        cut = cut_at(text, request.stop)
        finish = "stop" if complete or cut is not None else "length"
        usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=len(ids), cost_usd=0.0)
        shown = None
        if request.logprobs is not None:
            shown = [self._shown(one) for one in (told[:-1] if complete else told)]
        said = text if cut is None else text[:cut]
        made = ChatReply(text=said, finish_reason=finish, logprobs=shown, usage=usage)
        return reply(self._format, request, made)

    def _shown(self, one: Likely) -> dict[str, Json]:
        others = [self._token(token, logprob) for token, logprob in one.others]
        return {**self._token(one.token, one.logprob), "top_logprobs": others}

    def _token(self, token: int, logprob: float) -> dict[str, Json]:
        text = self._text([token])
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    def _text(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=False)
        return text

    def _watch(self, item: Waiting) -> Callable[[list[int]], bool]:
        """Return what hands out pieces of text, looks for stops, and ends a row that nobody waits for."""
        emit, stop = item.emit, item.request.stop
        held = max((len(one) - 1 for one in stop), default=0)
        has_tools = bool(item.request.tools)
        lead = self._format.lead if item.request.raw is None else ""
        sent = 0

        def watch(ids: list[int]) -> bool:
            nonlocal sent
            if item.is_dropped or (emit is None and not stop):
                return item.is_dropped
            text = self._text(ids[:-1] if ids[-1] in self._ends else ids)
            cut = cut_at(text, stop)
            if emit and not text.endswith("\ufffd"):  # half a character
                until = len(text) - held if cut is None else cut
                if has_tools:
                    until = min(until, self._format.count_spoken(text))
                if lead and sent == 0 and text.startswith(lead):
                    sent = len(lead)  # the template's words, and not part of the reply
                elif lead and sent == 0 and lead.startswith(text):
                    until = 0
                if until > sent:
                    emit(text[sent:until])
                    sent = until
            return cut is not None

        return watch


def groups(fresh: list[_Running]) -> list[list[_Running]]:
    """Return requests of like lengths together, each group of about `PREFILL` tokens at most, the shortest first."""
    found: list[list[_Running]] = []
    for one in sorted(fresh, key=lambda one: len(one.ids)):
        if not found or (len(found[-1]) + 1) * len(one.ids) > PREFILL:
            found.append([])
        found[-1].append(one)
    return found


def prompt_of(tokenizer: "PreTrainedTokenizerBase", request: ChatRequest) -> str:
    """Return the text that a request becomes."""
    return chat_format_of(tokenizer).prompt(request)


def render_request(tokenizer: "PreTrainedTokenizerBase", request: ChatRequest) -> str:
    """Return the prompt of a request; a chat's knows where its content stands.

    Raises: ReplyError (kind "template") if the chat template refuses the messages.
    """
    if request.raw is not None:
        return request.raw

    def render(messages: list[dict[str, Json]], tools: list[dict[str, Json]] | None) -> str:
        return prompt_of(tokenizer, replace(request, messages=messages, tools=tools))

    return render_chat(tokenizer, render, request.messages, with_parameters(request.tools))


def reply(form: ChatFormat, request: ChatRequest, made: ChatReply) -> ChatReply:
    """Return a reply without what its template puts before any words, and with the tool calls that its text holds."""
    text = made.text if request.raw is not None else form.without_lead(made.text)
    calls = form.read_calls(made.text, request.tools) if request.tools else []
    if not calls:
        return replace(made, text=text)
    return replace(
        made,
        text=form.text_beside(made.text, calls),
        tool_calls=tuple(one.call for one in calls),
        finish_reason="tool_calls",
    )


def cut_at(text: str, stop: tuple[str, ...]) -> int | None:
    """Return where the first of the stops begins, or None."""
    places = [place for one in stop if (place := text.find(one)) >= 0]
    return min(places, default=None)
