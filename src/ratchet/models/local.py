"""A model on this machine: any chat model that transformers can load, with LoRA adapters; never the network.

Requests that arrive together are answered together, whatever their adapters and sampling: a thread takes the longest prompts
first, pads them on the left and generates them as one batch.
"""

import asyncio
import json
import os
import queue
import re
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.core import Json, Usage
from ratchet.core.errors import ReplyError, UnknownModelError
from ratchet.models.chat import ChatReply, ChatRequest, ToolCall
from ratchet.store.writer import storable

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # threads that spin beside a busy process cost tenfold
for library in ("transformers", "peft"):  # their own calls of their own old names
    for kind in (FutureWarning, UserWarning):
        warnings.filterwarnings("ignore", category=kind, module=library)
try:
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from ratchet.models.constraint import Constraint, grammar_of, guide
    from ratchet.models.decode import Likely, Row, decode
    from ratchet.models.lora import AdapterBank
except ImportError as missing:
    raise UnknownModelError(
        f"local models need the extra 'local' ({missing}); install it with: pip install torch==2.13.0 && pip install 'ratchet[local]'"
    ) from missing

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["LocalModel", "load_base", "replies_of"]

BATCH = 64
GATHER_S = 0.01
TOOL_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)


def load_base(
    folder: Path, *, dtype: torch.dtype | None = None, quantized: Any = None
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Return the model, by default in float32 and on a GPU in bfloat16, and its tokenizer.

    Args:
        folder: Holds both.
        dtype: What the weights are held in.
        quantized: A BitsAndBytesConfig; the weights are then put on the GPU as it says.

    Raises: UnknownModelError if transformers cannot load the folder.
    """
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    on_gpu = torch.cuda.is_available()
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, padding_side="left"
        )
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            dtype=dtype or (torch.bfloat16 if on_gpu else torch.float32),
            quantization_config=quantized,
        )
    except (OSError, ValueError, KeyError) as error:
        raise UnknownModelError(
            f"{folder} cannot be loaded by transformers: {str(error).splitlines()[0]}"
        ) from error
    if tokenizer.chat_template is None:
        raise UnknownModelError(
            f"{folder} has a tokenizer without a chat template; Ratchet needs a chat model"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if quantized is None:
        model = model.to("cuda" if on_gpu else "cpu")
    return model.eval(), tokenizer


@dataclass
class _Waiting:
    request: ChatRequest
    prompt: str
    future: "Future[ChatReply]"
    since: float
    emit: Callable[[str], None] | None = None
    """Takes the text piece by piece, on the thread that generates."""


class LocalModel:
    """A local model; loading starts with the first request, on the thread that generates."""

    concurrency = BATCH

    def __init__(self, name: str, folder: Path, *, adapters: Path | None = None) -> None:
        self.name = name
        self._folder, self._adapters = folder, adapters
        self._tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, padding_side="left"
        )
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._engine: _Engine | None = None
        self._thread: threading.Thread | None = None

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Return the reply; it waits for the batch that it joins."""
        return await asyncio.wrap_future(self._enter(request).future)

    def _enter(self, request: ChatRequest, emit: Callable[[str], None] | None = None) -> _Waiting:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name=f"ratchet-{self.name}", daemon=True
            )
            self._thread.start()
        item = _Waiting(request, self._prompt(request), Future(), time.perf_counter(), emit)
        self._queue.put(item)
        return item

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | ChatReply]:
        """Yield the text as it is generated, then the whole reply; with tools the text comes at the end, as it may be a call."""
        if request.tools:
            whole = await self.chat(request)
            if whole.text:
                yield whole.text
            yield whole
            return
        loop, pieces = asyncio.get_running_loop(), asyncio.Queue[str | None]()

        def emit(piece: str) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        item = self._enter(request, emit)
        item.future.add_done_callback(lambda _: loop.call_soon_threadsafe(pieces.put_nowait, None))
        sent = 0
        while (piece := await pieces.get()) is not None:
            sent += len(piece)
            yield piece
        reply = await asyncio.wrap_future(item.future)
        if rest := reply.text[sent:]:
            yield rest
        yield reply

    def _prompt(self, request: ChatRequest) -> str:
        return prompt_of(self._tokenizer, request)

    def count_tokens(self, request: ChatRequest) -> tuple[int, bool]:
        """Return the tokens of the prompt, counted."""
        return len(
            self._tokenizer(self._prompt(request), add_special_tokens=False)["input_ids"]
        ), True

    def price(self, _prompt_tokens: int, _completion_tokens: int) -> float | None:
        """Return 0: a local model costs time alone."""
        return 0.0

    async def close(self) -> None:
        """End the thread and let go of the weights."""
        if self._thread:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    def _run(self) -> None:
        waiting: list[_Waiting] = []
        while True:
            ended = self._gather(waiting)
            if not waiting:
                if ended:
                    return
                continue
            waiting.sort(key=lambda item: -len(item.prompt))
            batch, waiting = waiting[:BATCH], waiting[BATCH:]
            self._answer(batch)
            if ended:
                for item in waiting:
                    item.future.cancel()
                return

    def _gather(self, waiting: list[_Waiting]) -> bool:
        """Move what has arrived to `waiting`; return whether the model is being closed."""
        until = None
        while True:
            try:
                if waiting:
                    until = until or time.monotonic() + GATHER_S
                    item = self._queue.get(timeout=max(0.0, until - time.monotonic()))
                else:
                    item = self._queue.get()
            except queue.Empty:
                return False
            if item is None:
                return True
            if not item.future.cancelled():
                waiting.append(item)

    def _answer(self, batch: list[_Waiting]) -> None:
        batch = [item for item in batch if item.future.set_running_or_notify_cancel()]
        try:
            self._engine = self._engine or _Engine(*load_base(self._folder), self._adapters)
            batch = [item for item in batch if self._can(item)]
            batch.sort(
                key=lambda item: item.request.adapter or ""
            )  # rows of one adapter side by side
            replies = self._engine.generate(batch) if batch else []
        except Exception as error:  # noqa: BLE001 - handed to those who wait
            for item in batch:
                item.future.set_exception(error)
            return
        now = time.perf_counter()
        for item, made in zip(batch, replies, strict=True):
            item.future.set_result(replace(made, latency_s=now - item.since))

    def _can(self, item: _Waiting) -> bool:
        """Return whether a request can be answered; who asks for what cannot be is told so, and no neighbour suffers."""
        assert self._engine is not None  # made before
        try:
            self._engine.check(item.request)
            item.request = self._engine.fitting(item.request, item.prompt)
        except Exception as error:  # noqa: BLE001 - handed to who asked
            item.future.set_exception(error)
            return False
        return True


def prompt_of(tokenizer: "PreTrainedTokenizerBase", request: ChatRequest) -> str:
    """Return the text that a request becomes."""
    if request.raw is not None:
        return request.raw
    text = tokenizer.apply_chat_template(
        request.messages, tools=request.tools, tokenize=False, add_generation_prompt=True
    )
    assert isinstance(text, str)  # tokenize=False returns text
    return text


def replies_of(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", requests: list[ChatRequest]
) -> list[ChatReply]:
    """Return the replies of a model in memory, such as one in training, in batches; adapters of the requests do not count."""
    engine, found = _Engine(model, tokenizer), list[ChatReply]()
    plain = [replace(request, adapter=None) for request in requests]
    for start in range(0, len(plain), BATCH):
        found += engine.generate(
            [
                _Waiting(request, prompt_of(tokenizer, request), Future(), 0.0)
                for request in plain[start : start + BATCH]
            ]
        )
    return found


def reply(
    text: str, finish: str, usage: Usage, logprobs: list[dict[str, Json]] | None
) -> ChatReply:
    """Return a reply with the tool calls that the text holds, in the form that most open models write them."""
    calls = []
    for found in TOOL_CALL.findall(text):
        try:
            body = json.loads(found)
            arguments = body.get("arguments", {})
            calls.append(
                ToolCall(
                    name=str(body["name"]),
                    arguments=json.dumps(
                        storable(arguments), ensure_ascii=False, separators=(",", ":")
                    ),
                )
            )
        except (ValueError, KeyError, AttributeError):
            continue
    rest = TOOL_CALL.sub("", text).strip() if calls else text
    return ChatReply(
        text=rest,
        tool_calls=tuple(calls),
        finish_reason="tool_calls" if calls else finish,
        logprobs=logprobs,
        usage=usage,
    )


def cut_at(text: str, stop: tuple[str, ...]) -> int | None:
    """Return where the first of the stops begins, or None."""
    places = [place for one in stop if (place := text.find(one)) >= 0]
    return min(places, default=None)


class _Engine:
    """The weights, and one batch at a time through them."""

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        adapters: Path | None = None,
    ) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._bank = AdapterBank(self._model, adapters)
        self._guide = guide(self._tokenizer, self._model.config.vocab_size)
        self._end = self._tokenizer.eos_token_id

    def check(self, request: ChatRequest) -> None:
        """Make ready what a request needs.

        Raises: ReplyError for an adapter that is not there; TaskError for a schema that the decoder cannot follow.
        """
        if request.adapter:
            self._bank.load(request.adapter)
        if grammar := grammar_of(request):
            Constraint(self._guide, [grammar], self._end)

    def fitting(self, request: ChatRequest, prompt: str) -> ChatRequest:
        """Return the request with as many new tokens as the model has places for.

        Raises: ReplyError if the prompt alone is too long.
        """
        places = getattr(self._model.config, "max_position_embeddings", None)
        if places is None:
            return request
        taken = len(self._tokenizer(prompt, add_special_tokens=False)["input_ids"])
        if taken >= places:
            raise ReplyError(
                f"the prompt has {taken} tokens, and the model has places for {places}",
                kind="context",
            )
        return replace(request, max_tokens=min(request.max_tokens, places - taken))

    def generate(self, batch: list[_Waiting]) -> list[ChatReply]:
        """Return a reply a request."""
        requests, emits = [item.request for item in batch], [item.emit for item in batch]
        encoded = self._tokenizer(
            [item.prompt for item in batch],
            return_tensors="pt",
            padding=True,
            add_special_tokens=False,
        ).to(self._model.device)
        grammars = [grammar_of(request) for request in requests]
        self._bank.route([request.adapter for request in requests])
        new, told = decode(
            self._model,
            encoded,
            [
                Row(
                    limit=request.max_tokens,
                    temperature=request.temperature,
                    top_p=request.top_p,
                    seed=request.seed,
                    likely=request.logprobs,
                )
                for request in requests
            ],
            end=self._end,
            mask=Constraint(self._guide, grammars, self._end) if any(grammars) else None,
            watch=self._watch(requests, emits, self._end),
            keep=self._bank.keep,
        )
        lengths = encoded["attention_mask"].sum(1).tolist()
        return [
            self._finished(request, ids, likely, length)
            for request, ids, likely, length in zip(requests, new, told, lengths, strict=True)
        ]

    def _finished(
        self, request: ChatRequest, ids: list[int], told: list[Likely], prompt_tokens: int
    ) -> ChatReply:
        complete = bool(ids) and ids[-1] == self._end
        text = self._text(ids, self._end)
        cut = cut_at(text, request.stop)
        finish = "stop" if complete or cut is not None else "length"
        usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=len(ids), cost_usd=0.0)
        shown = None
        if request.logprobs is not None:
            shown = [self._shown(one) for one in (told[:-1] if complete else told)]
        said = text if cut is None else text[:cut]
        if not request.tools:
            return ChatReply(text=said, finish_reason=finish, logprobs=shown, usage=usage)
        return reply(said, finish, usage, shown)

    def _shown(self, one: Likely) -> dict[str, Json]:
        others = [self._token(token, logprob) for token, logprob in one.others]
        return {**self._token(one.token, one.logprob), "top_logprobs": others}

    def _token(self, token: int, logprob: float) -> dict[str, Json]:
        text = self._text([token], -1)
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    def _text(self, ids: list[int], end: int) -> str:
        shown = ids[:-1] if ids and ids[-1] == end else ids
        text: str = self._tokenizer.decode(shown, skip_special_tokens=False)
        return text

    def _watch(
        self,
        requests: list[ChatRequest],
        emits: list[Callable[[str], None] | None],
        end: int,
    ) -> Callable[[int, list[int]], bool] | None:
        """Return what hands out pieces of text and looks for stops; None where nobody wants either."""
        if not any(emits) and not any(request.stop for request in requests):
            return None
        sent = [0] * len(requests)

        def watch(row: int, ids: list[int]) -> bool:
            emit, stop = emits[row], requests[row].stop
            if emit is None and not stop:
                return False
            text = self._text(ids, end)
            cut = cut_at(text, stop)
            if emit and not text.endswith("\ufffd"):  # half a character
                held = max((len(s) - 1 for s in stop), default=0)
                until = max(sent[row], len(text) - held) if cut is None else cut
                if until > sent[row]:
                    emit(text[sent[row] : until])
                    sent[row] = until
            return cut is not None

        return watch
