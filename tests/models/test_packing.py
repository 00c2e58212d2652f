"""Weights laid out for the processor, and in bfloat16: faster, and the same answers."""

import importlib.util
import json
from pathlib import Path

import pytest

from ratchet.models import NANO, ChatRequest
from ratchet.models.loading import choose_precision, has_bfloat16

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.local

spec = importlib.util.spec_from_file_location(
    "tiny_models", Path(__file__).with_name("tiny_models.py")
)
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [(1, 1), (16, 1), (3, 70)])
def test_a_packed_layer_computes_what_the_plain_one_does(bias, rows):
    """In any number of rows, with and without a bias, and with no weights beside the packed ones."""
    from ratchet.models.packing import PackedLinear, _can_pack

    if not _can_pack():
        pytest.skip("torch packs no layers on this processor")
    torch.manual_seed(0)
    plain = torch.nn.Linear(320, 256, bias=bias)
    x = torch.randn(*rows, 320)

    packed = PackedLinear(plain)

    torch.testing.assert_close(packed(x), plain(x).detach(), rtol=1e-4, atol=1e-5)
    assert packed.weight.shape == plain.weight.shape
    assert packed.weight.untyped_storage().nbytes() == 4


def test_a_model_that_reads_weights_itself_is_noticed():
    """Packing says so where a layer's numbers are used beside it, so that the model is loaded again, as it is."""
    from ratchet.models.packing import _can_pack, pack_linears

    if not _can_pack():
        pytest.skip("torch packs no layers on this processor")
    tokenizer = tiny.make_tokenizer()
    sound, odd = (tiny.make_model(tokenizer, width=256) for _ in range(2))
    mlp = odd.model.layers[0].mlp
    mlp.forward = lambda x: x @ mlp.up_proj.weight.T @ mlp.down_proj.weight.T

    assert pack_linears(sound)
    assert not pack_linears(odd)


def test_a_packed_model_answers_as_the_plain_one():
    """The small model's greedy answers are the same, token for token."""
    from ratchet.models.engine import render_request
    from ratchet.models.local import load_base, load_to_answer, replies_of

    requests = [
        ChatRequest(messages=[{"role": "user", "content": f"Repeat: {text}"}], max_tokens=40)
        for text in ("red", "blue whale 4711", "a much longer text with 12 34")
    ]
    plain, packed = load_base(NANO), load_to_answer(NANO, "float32")
    prompt = packed[1](render_request(packed[1], requests[1]), return_tensors="pt")["input_ids"]

    with torch.inference_mode():
        torch.testing.assert_close(
            packed[0](prompt).logits, plain[0](prompt).logits, rtol=1e-3, atol=1e-3
        )
    assert [r.text for r in replies_of(*packed, requests)] == [
        r.text for r in replies_of(*plain, requests)
    ]


@pytest.mark.parametrize("padded", [False, True])
def test_grouped_attention_is_torchs_own(padded):
    """For models whose query heads share keys, with and without padding, the logits of a next token are those of the plain model."""
    from ratchet.models.attention import NAME, use_grouped_attention

    tokenizer = tiny.make_tokenizer()
    plain, grouped = tiny.make_model(tokenizer), tiny.make_model(tokenizer)
    use_grouped_attention(grouped)
    ids = torch.randint(3, 200, (4, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, :3] = 0 if padded else 1
    with torch.inference_mode():
        logits = []
        for model in (plain, grouped):
            read = model(input_ids=ids, attention_mask=mask, use_cache=True)
            more = torch.cat([mask, mask.new_ones(4, 1)], 1)
            out = model(
                input_ids=ids[:, :1], attention_mask=more, past_key_values=read.past_key_values
            )
            logits.append(out.logits)

    assert grouped.config._attn_implementation == NAME
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-4, atol=1e-5)


def test_the_precision_follows_the_setting_and_the_model(tmp_path, monkeypatch):
    """A setting holds as it is; auto changes no weight, and leaves small models and other processors alone."""
    from ratchet.models import loading

    def folder(name, dtype, size):
        made = tmp_path / name
        made.mkdir()
        (made / "config.json").write_text(json.dumps(dtype))
        with (made / "model.safetensors").open("wb") as file:
            file.truncate(size)
        return made

    large, old, full, small = (
        folder("a", {"dtype": "bfloat16"}, 10**9),
        folder("b", {"torch_dtype": "bfloat16"}, 10**9),
        folder("c", {"dtype": "float32"}, 10**9),
        folder("d", {"dtype": "bfloat16"}, 10**6),
    )
    flags = tmp_path / "cpuinfo"
    monkeypatch.setattr(loading, "CPUINFO", flags)
    chosen = []
    for text in ("flags : fpu avx512_bf16 sse", "flags : fpu sse"):
        flags.write_text(f"processor : 0\n{text}\n")
        has_bfloat16.cache_clear()
        chosen.append([choose_precision(one, "auto") for one in (large, old, full, small)])
    flags.unlink()
    has_bfloat16.cache_clear()
    chosen.append([choose_precision(large, "auto")])
    has_bfloat16.cache_clear()

    assert chosen == [["bfloat16", "bfloat16", None, None], [None] * 4, [None]]
    assert choose_precision(small, "bfloat16") == "bfloat16"
    assert choose_precision(large, "float32") == "float32"


def test_bfloat16_gives_nearly_the_same_logits():
    """Forced on the small model, the likeliest next token stays, and its likelihood moves by less than a tenth."""
    from ratchet.models.engine import render_request
    from ratchet.models.local import load_to_answer

    request = ChatRequest(messages=[{"role": "user", "content": "Repeat: blue whale 4711"}])
    shares = []
    for weights in ("float32", "bfloat16"):
        model, tokenizer = load_to_answer(NANO, weights)
        ids = tokenizer(render_request(tokenizer, request), return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            shares.append(torch.log_softmax(model(ids).logits[0, -1].float(), -1))

    assert shares[0].argmax() == shares[1].argmax()
    assert abs(shares[0].max() - shares[1].max()) < 0.1
