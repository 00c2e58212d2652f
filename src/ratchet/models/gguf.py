"""GGUF files, as llama.cpp writes them, made into folders that transformers loads: weights dequantised, once, into the user's cache."""

import contextlib
import hashlib
import json
import struct
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.core.errors import StoreError, UnknownModelError
from ratchet.models.loading import LOADING
from ratchet.models.model_cache import (
    cache_folder,
    is_model_folder,
    make_model_folder,
    remove_model_folder,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["convert_gguf", "converted_folder", "is_gguf_name", "remove_converted", "require_reader"]

MAGIC = b"GGUF"
SOURCE_FILE = "gguf.json"
"""Beside the converted weights: which file they are of."""
KEY_LENGTH = 12


def is_gguf_name(name: str) -> bool:
    """Return whether a model's name means a GGUF file."""
    return name.lower().endswith(".gguf")


def converted_folder(file: Path) -> Path:
    """Return the folder with a GGUF file's model; it is converted the first time, which takes seconds to minutes.

    A file that has changed, by its size or time, is converted anew.

    Raises: UnknownModelError if the file is not a GGUF of a chat model that transformers can read; StoreError if the cache cannot be
    written.
    """
    folder = _folder_of(file)
    if not is_model_folder(folder):
        make_model_folder(folder, lambda part: _convert_for_cache(file, part))
    return folder


def remove_converted(file: Path) -> bool:
    """Remove every conversion of a GGUF file, of earlier contents too; return whether there was one."""
    removed = False
    for source in sorted(cache_folder().glob(f"*/{SOURCE_FILE}")):
        if json.loads(source.read_text("utf-8")).get("file") == str(file.resolve()):
            removed = remove_model_folder(source.parent) or removed
    return removed


def _folder_of(file: Path) -> Path:
    path, state = file.resolve(), file.stat()
    facts = f"{path}\n{state.st_size}\n{state.st_mtime_ns}"
    key = hashlib.sha256(facts.encode()).hexdigest()[:KEY_LENGTH]
    return cache_folder() / f"{path.stem}-{key}"


def _convert_for_cache(file: Path, folder: Path) -> None:
    convert_gguf(file, folder)
    (folder / SOURCE_FILE).write_text(json.dumps({"file": str(file.resolve())}), "utf-8")


def convert_gguf(file: Path, folder: Path) -> None:
    """Write the model of a GGUF file into a folder, as transformers saves one: weights, tokenizer, chat template, generation settings.

    Quantised weights become bfloat16, others stay in their type.

    Raises: UnknownModelError if the file is not a GGUF of a chat model that transformers can read.
    """
    require_reader()
    dtype = _check_file(file)
    model, tokenizer = _load(file, dtype)
    if tokenizer.chat_template is None:
        raise UnknownModelError(
            f"{file} has no chat template, so it is not a chat model; name the file of an instruction-tuned one"
        )
    rows = model.get_input_embeddings().weight.shape[0]
    _save(_plain_copy(model), tokenizer, folder)
    _drop_tokens_without_rows(folder, rows, file)


def require_reader() -> None:
    """Check that what reads GGUF files is installed.

    Raises: UnknownModelError that names the extra.
    """
    try:
        import accelerate  # noqa: F401 - transformers needs it to dequantise
        import gguf  # noqa: F401 - its reader
        import torch  # noqa: F401 - transformers needs it
        from transformers import GgufConfig  # noqa: F401 - from transformers 5 on
    except ImportError as missing:
        raise UnknownModelError(
            f"GGUF files need the extra 'local' ({missing}); install it with: pip install torch==2.13.0 && pip install 'ratchet[local]'"
        ) from missing


def _check_file(file: Path) -> str:
    """Return the name of the type that the file's weights take in a folder.

    Raises: UnknownModelError if it is not a whole GGUF file.
    """
    with file.open("rb") as opened:
        magic = opened.read(len(MAGIC))
    if magic != MAGIC:
        raise UnknownModelError(
            f"{file} is not a GGUF file: it begins with {magic!r}, not with {MAGIC!r}"
        )
    from gguf import GGUFReader

    try:
        reader = GGUFReader(file)
        kinds = Counter(
            tensor.tensor_type.name for tensor in reader.tensors if len(tensor.shape) > 1
        )
    except (ValueError, KeyError, IndexError, OverflowError, struct.error, MemoryError) as error:
        raise UnknownModelError(
            f"{file} is cut or damaged: it cannot be read to its end ({_first_line(error)}); download it again, and compare its size"
        ) from error
    commonest = kinds.most_common(1)[0][0] if kinds else ""
    return {"F32": "float32", "F16": "float16"}.get(commonest, "bfloat16")


def _load(file: Path, dtype: str) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Return the file's model with dense weights, and its tokenizer."""
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    place: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **place)
        with LOADING, _without_bars():
            model = AutoModelForCausalLM.from_pretrained(
                file.parent,
                dtype=dtype,
                quantization_config=GgufConfig(dequantize=True),
                **place,
            )
    except Exception as error:  # transformers raises what its parts raise
        raise UnknownModelError(
            f"{file} cannot be read by transformers: {_first_line(error)}; serve it with llama.cpp and name that server as an endpoint, or take the model's own folder"
        ) from error
    return model, tokenizer


@contextlib.contextmanager
def _without_bars() -> Any:
    """Keep the reader's own progress bar off the screen."""
    from transformers import modeling_gguf_pytorch_utils as reader

    bar, reader.tqdm = reader.tqdm, lambda items, **_: items
    try:
        yield
    finally:
        reader.tqdm = bar


def _plain_copy(model: "PreTrainedModel") -> "PreTrainedModel":
    """Return the same model without the marks of its file, which transformers refuses to save."""
    import torch

    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with LOADING, torch.device("meta"):  # no memory: it takes the weights over
        plain = type(model)(config)
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    plain.generation_config = model.generation_config
    return plain


def _save(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path) -> None:
    from safetensors import SafetensorError

    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except SafetensorError as error:  # its own kind of error for a full disk
        raise StoreError(
            f"cannot write {folder}: {_first_line(error)}. Free space, or name another cache in RATCHET_CACHE."
        ) from error


def _drop_tokens_without_rows(folder: Path, rows: int, file: Path) -> None:
    """Take those tokens out of a saved tokenizer that the model has no row for: transformers adds an unknown token where the file has none.

    Raises: UnknownModelError if tokens of the file's own vocabulary have no row.
    """
    path = folder / "tokenizer.json"
    body = json.loads(path.read_text("utf-8"))
    beyond = {token["content"] for token in body["added_tokens"] if token["id"] >= rows}
    vocabulary = body["model"]["vocab"]
    ids = (
        vocabulary.items()
        if isinstance(vocabulary, dict)
        else ((t, k) for k, (t, _) in enumerate(vocabulary))
    )
    missing = [token for token, place in ids if place >= rows and token not in beyond]
    if missing:
        raise UnknownModelError(
            f"{file} has {rows} rows of weights, and its vocabulary is larger: {missing[0]!r} has none; take the model's own folder"
        )
    if not beyond:
        return
    body["added_tokens"] = [t for t in body["added_tokens"] if t["id"] < rows]
    if isinstance(vocabulary, dict):
        body["model"]["vocab"] = {t: k for t, k in vocabulary.items() if k < rows}
    if body["model"].get("unk_token") in beyond:
        body["model"]["unk_token"] = None
    path.write_text(json.dumps(body, ensure_ascii=False), "utf-8")
    _forget_tokens(folder / "tokenizer_config.json", beyond)


def _forget_tokens(path: Path, tokens: set[str]) -> None:
    """Take tokens out of what a tokenizer's settings name."""
    settings = json.loads(path.read_text("utf-8"))
    decoder = settings.get("added_tokens_decoder", {})
    settings["added_tokens_decoder"] = {
        place: token for place, token in decoder.items() if token["content"] not in tokens
    }
    named = {name: value for name, value in settings.items() if name.endswith("_token")}
    for name, value in named.items():
        if (value["content"] if isinstance(value, dict) else value) in tokens:
            settings[name] = None
    path.write_text(json.dumps(settings, ensure_ascii=False, indent=2), "utf-8")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
