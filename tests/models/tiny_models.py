"""Tiny random models with tokenizers that are made here, for what differs between families: special tokens, templates, ends."""

import torch
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def make_tokenizer(*, template=CHATML, eos="<|endoftext|>", specials=SPECIALS):
    """Return a byte-level tokenizer; special tokens have the first ids."""
    letters = sorted(ByteLevel.alphabet())
    tokenizer = Tokenizer(
        BPE(
            vocab={t: k for k, t in enumerate([*specials, *letters, "he", "ll"])},
            merges=[("h", "e"), ("l", "l")],
        )
    )
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in specials])
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=eos, pad_token=eos, padding_side="left"
    )
    made.chat_template = template
    return made


def make_model(tokenizer, *, width=32, **settings):
    """Return a Llama of two layers with random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        **settings,
    )
    return LlamaForCausalLM(config).eval()


def say(model, ids):
    """Make a model say these tokens, then the last one again and again, whatever it reads; return the hook's handle."""
    said = []

    def force(_module, _inputs, out):
        token = ids[min(len(said), len(ids) - 1)]
        said.append(token)
        out.logits[..., token] = 1e4
        return out

    return model.register_forward_hook(force)
