"""Make the tokenizer of `local:nano`: a byte-level BPE in which a string has the same tokens wherever it stands.

Runs of letters, single digits, single white-space characters and single punctuation marks are separate pieces, so that a
name has the same tokens in a sentence and between JSON quotes, and copying needs no re-spelling.

    python -m nano.tokenizer src/ratchet/models/nano
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from nano.abilities import draw

__all__ = ["SPECIAL", "build"]

SPECIAL = [
    "<|pad|>",
    "<|bos|>",
    "<|end|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|tool|>",
    "<tool_call>",
    "</tool_call>",
]


def build(
    template: str, *, vocabulary: int = 2048, chats: int = 40_000, seed: int = 5
) -> PreTrainedTokenizerFast:
    """Return a tokenizer of `vocabulary` pieces learnt from `chats` practice chats, with the chat template set."""
    tokenizer = Tokenizer(models.BPE())
    pieces = Regex(r"\p{L}+|\p{N}|\s|[^\p{L}\p{N}\s]")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pieces, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(chats, seed), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|bos|>",
        eos_token="<|end|>",
        pad_token="<|pad|>",
        padding_side="left",
        additional_special_tokens=SPECIAL[3:],
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = template
    return fast


def texts(chats: int, seed: int) -> Iterator[str]:
    rng = Random(seed)
    for _ in range(chats):
        for message in draw(rng).messages:
            yield message["content"]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    build((folder / "chat_template.jinja").read_text("utf-8")).save_pretrained(folder)
