"""A model on this machine: any chat model that transformers can load, with LoRA adapters; never the network.

Requests are answered together, whatever their adapters and sampling: a thread lets them into the running batch in the order in
which they came, and hands out each reply as soon as it is whole.
"""

import asyncio
import contextlib
import os
import queue
import threading
import time
import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.core.errors import ReplyError, UnknownModelError
from ratchet.models.chat import ChatReply, ChatRequest
from ratchet.models.loading import LOADING, Weights, choose_precision
from ratchet.models.rendered_prompt import encode_prompt

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
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from ratchet.models.attention import use_grouped_attention
    from ratchet.models.engine import Engine, Waiting, render_request
    from ratchet.models.packing import pack_linears
except ImportError as missing:
    raise UnknownModelError(
        f"local models need the extra 'local' ({missing}); install it with: pip install torch==2.13.0 && pip install 'ratchet[local]'"
    ) from missing

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["LocalModel", "load_base", "load_to_answer", "replies_of"]

BATCH = 64
GATHER_S = 0.01
JOIN_S = 0.05
"""Who has waited so long joins the batch alone; before, only with others, as each time costs a pass through the model."""
FEW = 4
"""They join together once they are a quarter of those that are under way."""


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
        with LOADING:
            model = AutoModelForCausalLM.from_pretrained(
                folder,
                local_files_only=True,
                dtype=dtype or (torch.bfloat16 if on_gpu else torch.float32),
                quantization_config=quantized,
            )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UnknownModelError(
            f"{folder} cannot be loaded by transformers: {str(error).splitlines()[0]}"
        ) from error
    if tokenizer.chat_template is None:
        raise UnknownModelError(
            f"{folder} has a tokenizer without a chat template; Ratchet needs a chat model"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    if quantized is None:
        model = model.to("cuda" if on_gpu else "cpu")
    return model.eval(), tokenizer


def load_to_answer(
    folder: Path, weights: Weights = "auto"
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Return a model that only answers, as fast as this machine can, and its tokenizer; it can be neither trained nor saved.

    Raises: UnknownModelError if transformers cannot load the folder.
    """
    precision = choose_precision(folder, weights)
    dtype = getattr(torch, precision) if precision else None
    model, tokenizer = load_base(folder, dtype=dtype)
    if not pack_linears(model):
        model, tokenizer = load_base(folder, dtype=dtype)
    use_grouped_attention(model)
    return model, tokenizer


@dataclass(eq=False)
class _Asked:
    """How likely texts are."""

    texts: Sequence[tuple[str, str]]
    adapter: str | None
    future: "Future[list[tuple[float, int]]]"


class LocalModel:
    """A local model; loading starts with the first request, on the thread that generates."""

    concurrency = BATCH

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        adapters: Path | None = None,
        weights: Weights = "auto",
    ) -> None:
        self.name = name
        self.folder, self._adapters, self._weights = folder, adapters, weights
        self._tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, padding_side="left"
        )
        self._queue: queue.SimpleQueue[Waiting | _Asked | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Return the reply; it waits for the batch that it joins."""
        return await self._reply(self._enter(request))

    async def _reply(self, item: Waiting) -> ChatReply:
        try:
            return await asyncio.wrap_future(item.future)
        except asyncio.CancelledError:
            item.is_dropped = True
            raise

    def _enter(self, request: ChatRequest, emit: Callable[[str], None] | None = None) -> Waiting:
        self._begin()
        item = Waiting(request, self._prompt(request), Future(), time.perf_counter(), emit)
        self._queue.put(item)
        return item

    def _begin(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self._run, name=f"ratchet-{self.name}", daemon=True
            )
            self._thread.start()

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | ChatReply]:
        """Yield the text as it is generated, then the whole reply; calls of tools come with it."""
        loop, pieces = asyncio.get_running_loop(), asyncio.Queue[str | None]()

        def emit(piece: str | None) -> None:
            with contextlib.suppress(
                RuntimeError
            ):  # a loop that was closed meanwhile reads nothing
                loop.call_soon_threadsafe(pieces.put_nowait, piece)

        item = self._enter(request, emit)
        item.future.add_done_callback(lambda _: emit(None))
        sent = 0
        try:
            while (piece := await pieces.get()) is not None:
                sent += len(piece)
                yield piece
        finally:
            item.is_dropped = not item.future.done()
        reply = await self._reply(item)
        if rest := reply.text[sent:]:
            yield rest
        yield reply

    async def likelihoods(
        self, texts: Sequence[tuple[ChatRequest | None, str]], *, adapter: str | None = None
    ) -> list[tuple[float, int]]:
        """Return the log-likelihood of each text as the answer to its request, in nats, and over how many tokens it is taken."""
        self._begin()
        pairs = [(self._prompt(request) if request else "", text) for request, text in texts]
        asked = _Asked(pairs, adapter, Future())
        self._queue.put(asked)
        return await asyncio.wrap_future(asked.future)

    def _prompt(self, request: ChatRequest) -> str:
        return render_request(self._tokenizer, request)

    def prompt_text(self, request: ChatRequest) -> str:
        """Return the text that the model goes on from, to the letter: what its chat template makes of a request."""
        return self._prompt(request)

    def count_tokens(self, request: ChatRequest) -> tuple[int, bool]:
        """Return the tokens of the prompt, counted."""
        return len(encode_prompt(self._tokenizer, self._prompt(request))), True

    def price(self, _prompt_tokens: int, _completion_tokens: int) -> float | None:
        """Return 0: a local model costs time alone."""
        return 0.0

    async def close(self) -> None:
        """End the thread and let go of the weights."""
        if self._thread:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    def stop(self) -> None:
        """End the thread once what is under way has its replies, without waiting for it; weights are let go of then."""
        if self._thread:
            self._queue.put(None)
            self._thread = None

    def _run(self) -> None:
        waiting: deque[Waiting] = deque()
        asked: deque[_Asked] = deque()
        engine: Engine | None = None
        is_closed = False
        while True:
            busy = engine is not None and len(engine) > 0
            is_closed = is_closed or self._gather(waiting, asked, idle=not busy)
            if is_closed:
                closed = ReplyError(f"{self.name} was closed before it answered", kind="closed")
                refuse([*waiting, *asked], closed)
                waiting.clear()
                asked.clear()
            joining = joined(waiting, engine)
            try:
                if (joining or asked) and engine is None:
                    engine = Engine(*load_to_answer(self.folder, self._weights), self._adapters)
            except Exception as error:  # noqa: BLE001 - handed to those who wait
                refuse([*joining, *asked], error)
                asked.clear()
                continue
            if engine is not None:
                while asked:
                    told(engine, asked.popleft())
                engine.admit(joining)
                engine.step()
            if is_closed and not (engine and len(engine)):
                return

    def _gather(self, waiting: deque[Waiting], asked: deque[_Asked], *, idle: bool) -> bool:
        """Move what has arrived to where it waits, and wait for it where there is nothing else to do; return whether the model is being closed."""
        until = None
        while True:
            try:
                if (waiting or asked) and idle:
                    until = until or time.monotonic() + GATHER_S
                    item = self._queue.get(timeout=max(0.0, until - time.monotonic()))
                else:
                    item = self._queue.get(block=idle)
            except queue.Empty:
                return False
            if item is None:
                return True
            if isinstance(item, _Asked):
                asked.append(item)
            else:
                waiting.append(item)


def refuse(items: Sequence[Waiting | _Asked], error: Exception) -> None:
    """Tell those who wait that there will be no reply."""
    for item in items:
        if item.future.set_running_or_notify_cancel():
            item.future.set_exception(error)


def told(engine: Engine, asked: _Asked) -> None:
    """Answer how likely texts are."""
    if not asked.future.set_running_or_notify_cancel():
        return
    try:
        asked.future.set_result(engine.likelihoods(asked.texts, asked.adapter))
    except Exception as error:  # noqa: BLE001 - handed to who asked
        asked.future.set_exception(error)


def joined(waiting: deque[Waiting], engine: Engine | None) -> list[Waiting]:
    """Return, and take out, who is let in now: those that came first, a few at a time, or alone once they have waited."""
    running = len(engine) if engine else 0
    if not waiting or (engine and running and not engine.can_join):
        return []
    is_patient = time.perf_counter() - waiting[0].since < JOIN_S
    if running and is_patient and len(waiting) < running // FEW:
        return []
    return [waiting.popleft() for _ in range(min(len(waiting), BATCH - running))]


def replies_of(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", requests: list[ChatRequest]
) -> list[ChatReply]:
    """Return the replies of a model in memory, such as one in training; adapters of the requests do not count."""
    engine = Engine(model, tokenizer)
    items = [
        Waiting(replace(request, adapter=None), render_request(tokenizer, request), Future(), 0.0)
        for request in requests
    ]
    waiting = deque(items)
    while waiting or len(engine):
        engine.admit(joined(waiting, engine))
        engine.step()
    return [item.future.result() for item in items]
