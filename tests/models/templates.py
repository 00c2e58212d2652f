"""Real chat templates, as TRL ships them, each with a small tokenizer that knows its marks."""

import json
import re
from pathlib import Path

import pytest

__all__ = ["NATIVE", "TEMPLATES", "tokenizer_of"]

trl = pytest.importorskip("trl", reason="needs the extra 'local'")
FOLDER = Path(trl.__file__).parent / "chat_templates"
TEMPLATES = sorted(
    path.stem for path in FOLDER.glob("*.jinja") if not path.stem.endswith("_training")
)
IN_WORDS = (
    "cohere", "cohere2", "deepseek_r1_distill", "deepseekv3", "gemma", "gemma3", "idefics3", "lfm2",
    "llama3", "llava_next", "phi3", "phi3_5", "qwen2_5_vl", "smolvlm",
)  # fmt: skip # a list of names
NATIVE = [name for name in TEMPLATES if name not in IN_WORDS]
"""Those that are given tools and write calls; the others leave one or the other out."""
MARK = re.compile(r"<\|[^<>|\s]+\|?>|<[a-z_\"]+\|>|<｜[^<>｜]+｜>|</?tool_call>|</?think>")


def tokenizer_of(template, *, has_marks=True):
    """Return a tokenizer of bytes with a chat template; its marks are tokens of it, some special and some not, or plain text."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    text = (FOLDER / f"{template}.jinja").read_text() if template in TEMPLATES else template
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: n for n, c in enumerate(letters)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    marks = sorted(set(MARK.findall(text))) if has_marks else []
    core.add_special_tokens([AddedToken(mark, special=True) for mark in ("<bos>", "<eos>")])
    core.add_tokens([AddedToken(m, special="|" in m or "｜" in m, normalized=False) for m in marks])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<bos>", eos_token="<eos>", padding_side="left"
    )
    tokenizer.pad_token = "<eos>"
    tokenizer.chat_template = text
    return tokenizer


def called(name, arguments, number=0):
    """Return the assistant's message with a call, as Ratchet writes one."""
    text = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    call = {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": name, "arguments": text},
    }
    return {"role": "assistant", "content": "", "tool_calls": [call]}
