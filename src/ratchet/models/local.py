"""A model on this machine: any chat model that transformers can load, with LoRA adapters; never the network.

Requests are answered together, whatever their adapters and sampling: a thread lets them into the running batch in the order in
which they came, and hands out each reply as soon as it is whole.
"""

import asyncio
import contextlib
import os
import threading
import time
import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

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
    from ratchet.models.local_worker import MAX_BATCH, Likelihoods, LocalWorker, take_joining
    from ratchet.models.packing import pack_linears
except ImportError as missing:
    raise UnknownModelError(
        f"local models need the extra 'local' ({missing}); install it with: pip install torch==2.13.0 && pip install 'ratchet[local]'"
    ) from missing

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["LocalModel", "load_base", "load_to_answer", "replies_of"]

RETRY_AFTER_S = 10.0
"""When to ask again for a model that is being loaded."""
T = TypeVar("T")


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


class LocalModel:
    """A local model; loading starts with the first request, on the thread that generates."""

    concurrency = MAX_BATCH

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        adapters: Path | None = None,
        weights: Weights = "auto",
        load_timeout_s: float = 600.0,
    ) -> None:
        self.name = name
        self.folder, self._adapters, self._weights = folder, adapters, weights
        self._tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, padding_side="left"
        )
        self._load_timeout_s = load_timeout_s
        self._lock = threading.Lock()
        self._worker: LocalWorker | None = None

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Return the reply; it waits for the batch that it joins."""
        return await self._reply(self._enter(request))

    async def _reply(self, item: Waiting) -> ChatReply:
        try:
            return await self._answer(item.future)
        except asyncio.CancelledError:
            item.is_dropped = True
            raise

    async def _answer(self, future: "Future[T]") -> T:
        """Return what the thread makes of a request; who waits for the weights waits `load_timeout_s` at most.

        Raises: ReplyError (kind "loading") if they are not there by then.
        """
        answer = asyncio.wrap_future(future)
        worker = self._worker
        if worker is None or worker.is_loaded:
            return await answer
        done, _ = await asyncio.wait([answer], timeout=self._load_timeout_s)
        if not done and not worker.is_loaded:
            answer.cancel()
            raise ReplyError(
                f"{self.name} is still being loaded after {self._load_timeout_s:g} s; ask again later, or allow more by load_timeout_s below [local] in ratchet.toml",
                kind="loading",
                retry_after_s=RETRY_AFTER_S,
            )
        return await answer

    def _enter(self, request: ChatRequest, emit: Callable[[str], None] | None = None) -> Waiting:
        item = Waiting(request, self._prompt(request), Future(), time.perf_counter(), emit)
        self._put(item)
        return item

    def _put(self, item: "Waiting | Likelihoods") -> None:
        """Hand a request to the thread; to a new one where that of before takes none any more."""
        with self._lock:
            if self._worker is None or not self._worker.put(item):
                self._worker = LocalWorker(self.name, self._load)
                self._worker.put(item)

    def _load(self) -> Engine:
        return Engine(*load_to_answer(self.folder, self._weights), self._adapters)

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
        pairs = [(self._prompt(request) if request else "", text) for request, text in texts]
        asked = Likelihoods(pairs, adapter, Future())
        self._put(asked)
        return await self._answer(asked.future)

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
        if worker := self.stop(refuse_waiting=True):
            await asyncio.to_thread(worker.join)

    def stop(self, *, refuse_waiting: bool = False) -> LocalWorker | None:
        """End the thread once what has arrived has its replies, without waiting for it; weights are let go of then.

        Args:
            refuse_waiting: What is not under way yet is told that the model was closed.
        Return the thread, to be waited for by who wants to.
        """
        with self._lock:
            worker, self._worker = self._worker, None
        if worker:
            worker.stop(refuse_waiting=refuse_waiting)
        return worker


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
        engine.admit(take_joining(waiting, engine))
        engine.step()
    return [item.future.result() for item in items]
