"""Tiny GGUF files of a Llama with random weights, as llama.cpp lays them out."""

from pathlib import Path

import numpy as np

TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
WIDTH, INSIDE, HEADS, LAYERS = 64, 96, 4, 2


def byte_letters() -> list[str]:
    """Return the letters that byte-level tokenizers write bytes with."""
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def write_gguf(
    path: Path,
    *,
    kind: str = "F16",
    architecture: str = "llama",
    template: str | None = TEMPLATE,
    rows: int | None = None,
    eos: int = 2,
) -> Path:
    """Write a file whose weights are of a kind that gguf names: F32, F16, Q8_0, Q4_1."""
    import gguf

    tokens = [*SPECIALS, *byte_letters(), "he", "ll"]
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INSIDE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(rows or len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(SPECIALS) + [1] * (len(tokens) - len(SPECIALS)))
    writer.add_token_merges(["h e", "l l"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(eos)
    if template is not None:
        writer.add_chat_template(template)

    def add(name: str, *shape: int) -> None:
        values = rng.normal(0, 0.3, shape).astype(np.float32)
        if len(shape) == 1:
            writer.add_tensor(name, np.ones(shape, np.float32))
            return
        quantization = gguf.GGMLQuantizationType[kind]
        raw = gguf.quantize(values, quantization)
        writer.add_tensor(name, raw, raw_dtype=quantization)

    add("token_embd.weight", rows or len(tokens), WIDTH)
    add("output_norm.weight", WIDTH)
    for layer in range(LAYERS):
        for part, shape in {
            "attn_norm": (WIDTH,),
            "ffn_norm": (WIDTH,),
            "attn_q": (WIDTH, WIDTH),
            "attn_k": (WIDTH, WIDTH),
            "attn_v": (WIDTH, WIDTH),
            "attn_output": (WIDTH, WIDTH),
            "ffn_gate": (INSIDE, WIDTH),
            "ffn_up": (INSIDE, WIDTH),
            "ffn_down": (WIDTH, INSIDE),
        }.items():
            add(f"blk.{layer}.{part}.weight", *shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
