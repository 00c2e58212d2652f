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


def decode(model, batch, rows, *, end):
    """Generate rows to their ends, all from the start; what they get is in them."""
    from ratchet.models.decode import Batch

    running = Batch(model, ends={end}, route=lambda _: None)
    running.join(batch, rows)
    while len(running):
        running.step()


def test_greedy_decoding_is_that_of_generate(nano):
    """For answers of very uneven length the tokens are those of `generate`, though rows leave the batch early."""
    from ratchet.models.decode import Row

    model, tokenizer = nano
    words = "red blue green pink grey black white brown teal"
    texts = [f"Repeat: {words[: 3 + 7 * n]}" for n in range(6)] + ["colour=red; size=4\nsize?"] * 3
    batch = encoded(tokenizer, texts)
    width = batch["input_ids"].shape[1]
    with torch.inference_mode():
        whole = model.generate(**batch, max_new_tokens=40, do_sample=False)[:, width:].tolist()

    rows = [Row(limit=40) for _ in texts]
    decode(model, batch, rows, end=tokenizer.eos_token_id)
    new = [row.tokens for row in rows]

    assert len({len(row) for row in new}) > 3
    for row, wanted in zip(new, whole, strict=True):
        assert row == wanted[: len(row)]
        assert row[-1] == tokenizer.eos_token_id or len(row) == 40


def test_rows_join_a_running_batch(nano):
    """Whenever a row joins, beside whom, shorter or longer: it gets the tokens that it gets alone; who is done leaves at once."""
    from ratchet.models.decode import Batch, Row

    model, tokenizer = nano
    words = "red blue green pink grey black white brown teal"
    texts = [f"Repeat: {words[: 3 + 7 * n]}" for n in (4, 0, 6, 2, 5, 1)]
    end = tokenizer.eos_token_id
    alone = []
    for text in texts:
        row, batch = Row(limit=25), Batch(model, ends={end}, route=lambda _: None)
        batch.join(encoded(tokenizer, [text]), [row])
        while len(batch):
            batch.step()
        alone.append(row.tokens)

    batch, rows, ended = Batch(model, ends={end}, route=lambda _: None), [], []
    for start in (0, 1, 3):
        fresh = [Row(limit=25) for _ in range(start, {0: 1, 1: 3, 3: 6}[start])]
        ended += batch.join(encoded(tokenizer, texts[start : start + len(fresh)]), fresh)
        rows += fresh
        for _ in range(4):
            ended += batch.step()
    while len(batch):
        ended += batch.step()

    assert [row.tokens for row in rows] == alone
    assert sorted(map(id, ended)) == sorted(map(id, rows))


def test_each_row_keeps_its_own_limit(nano):
    """A row stops at its own limit while the others go on."""
    from ratchet.models.decode import Row

    model, tokenizer = nano
    batch = encoded(tokenizer, ["Repeat: one two three four"] * 3)

    rows = [Row(limit=limit) for limit in (2, 40, 5)]
    decode(model, batch, rows, end=tokenizer.eos_token_id)
    new = [row.tokens for row in rows]

    assert [len(new[0]), len(new[2])] == [2, 5]
    assert new[1][:5] == new[2]


def test_sampling_follows_the_shares_and_the_nucleus():
    """Over 4,000 draws tokens come as often as softmax says, and none from outside the nucleus."""
    from ratchet.models.decode import Row, take

    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).repeat(12_000, 1)
    kinds = [Row(limit=1, temperature=1.0), Row(limit=1, temperature=1.0, top_p=0.7), Row(limit=1)]
    wanted = [kind for kind in kinds for _ in range(4000)]

    picked = take(wanted, logits)
    free, nucleus, greedy = (part.bincount(minlength=4) / 4000 for part in picked.split(4000))

    assert torch.allclose(free, torch.tensor([0.5, 0.3, 0.15, 0.05]), atol=0.04)
    assert torch.allclose(nucleus, torch.tensor([0.625, 0.375, 0.0, 0.0]), atol=0.04)
    assert greedy.tolist() == [1, 0, 0, 0]


def test_a_seeded_row_does_not_depend_on_its_neighbours():
    """The same seed draws the same tokens alone and in a batch."""
    from ratchet.models.decode import Row, take

    logits = torch.randn(5, 50, generator=torch.Generator().manual_seed(0))
    alone, mine = (Row(limit=1, temperature=1.0, seed=7) for _ in range(2))
    among = [*(Row(limit=1, temperature=2.0) for _ in range(4)), mine]

    for _ in range(10):
        assert take([alone], logits[4:]).item() == take(among, logits)[4].item()


def test_likelihoods_are_those_of_the_model(nano):
    """Each token's logarithm is log-softmax of the model's own output, and the likeliest come first."""
    from ratchet.models.decode import Row

    model, tokenizer = nano
    batch = encoded(tokenizer, ["Repeat: one two", "Repeat: x"])
    rows = [Row(limit=5, likely=3), Row(limit=20)]

    decode(model, batch, rows, end=tokenizer.eos_token_id)
    new, told = ([row.tokens for row in rows], [row.told for row in rows])

    prompt = batch["input_ids"][:1]
    whole = torch.cat([prompt, torch.tensor([new[0]])], 1)
    with torch.inference_mode():
        shares = torch.log_softmax(
            model(input_ids=whole, attention_mask=torch.ones_like(whole)).logits[0], -1
        )
    wanted = [shares[prompt.shape[1] - 1 + k, token].item() for k, token in enumerate(new[0])]
    assert [one.logprob for one in told[0]] == pytest.approx(wanted, abs=1e-3)
    assert all(one.others[0] == (one.token, one.logprob) for one in told[0])
    assert all(len(one.others) == 3 for one in told[0])
    assert told[1] == []
