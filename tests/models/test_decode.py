"""The decoding loop against transformers' own."""

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def nano():
    """Return model and tokenizer of local:nano."""
    from ratchet.models import NANO
    from ratchet.models.local import load_base

    return load_base(NANO)


def encoded(tokenizer, texts):
    """Return the texts as padded prompts."""
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
        )
        for text in texts
    ]
    return tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)


def test_greedy_decoding_is_that_of_generate(nano):
    """For answers of very uneven length the tokens are those of `generate`, though rows leave the batch early."""
    from ratchet.models.decode import decode

    model, tokenizer = nano
    words = "red blue green pink grey black white brown teal"
    texts = [f"Repeat: {words[: 3 + 7 * n]}" for n in range(6)] + ["colour=red; size=4\nsize?"] * 3
    batch = encoded(tokenizer, texts)
    width = batch["input_ids"].shape[1]
    with torch.inference_mode():
        whole = model.generate(**batch, max_new_tokens=40, do_sample=False)[:, width:].tolist()

    new = decode(model, batch, limits=[40] * len(texts), end=tokenizer.eos_token_id)

    assert len({len(row) for row in new}) > 3
    for row, wanted in zip(new, whole, strict=True):
        assert row == wanted[: len(row)]
        assert row[-1] == tokenizer.eos_token_id or len(row) == 40


def test_each_row_keeps_its_own_limit(nano):
    """A row stops at its own limit while the others go on."""
    from ratchet.models.decode import decode

    model, tokenizer = nano
    batch = encoded(tokenizer, ["Repeat: one two three four"] * 3)

    new = decode(model, batch, limits=[2, 40, 5], end=tokenizer.eos_token_id)

    assert [len(new[0]), len(new[2])] == [2, 5]
    assert new[1][:5] == new[2]


def test_sampling_follows_the_shares_and_the_nucleus():
    """Over 4,000 draws tokens come as often as softmax says, and none from outside the nucleus."""
    from ratchet.models.decode import sampler

    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).repeat(4000, 1)

    free = sampler(1.0, 1.0, seed=1)(logits).bincount(minlength=4) / 4000
    nucleus = sampler(1.0, 0.7, seed=1)(logits).bincount(minlength=4) / 4000

    assert torch.allclose(free, torch.tensor([0.5, 0.3, 0.15, 0.05]), atol=0.03)
    assert torch.allclose(nucleus, torch.tensor([0.625, 0.375, 0.0, 0.0]), atol=0.03)
