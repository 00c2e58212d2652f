"""Rankings put into another order."""

import pytest

from ratchet.core import Passage
from ratchet.core.errors import UnknownModelError
from ratchet.retrieval import CrossEncoder, Found, fused, newest


def found(*texts):
    """Return a ranking of these texts."""
    return [Found(Passage(text=text, date=f"2024-01-0{n}"), 1 / n) for n, text in enumerate(texts, start=1)]  # fmt: skip


def test_rankings_are_fused_by_reciprocal_ranks():
    """What stands high in both comes first; equals stay in the first one's order."""
    merged = fused([found("a", "b", "c"), found("c", "b", "a")])

    assert [one.score for one in merged] == sorted((one.score for one in merged), reverse=True)
    assert len(merged) == 5  # of two days each but the middle one: other passages
    assert merged[0].passage.text == "b"
    assert merged[0].score == pytest.approx(2 / 62)


def test_newest_first_and_undated_last():
    """By date, the day alone."""
    undated = Found(Passage(text="x"), 9.0)

    assert [one.passage.text for one in newest([undated, *found("a", "b")])] == ["b", "a", "x"]


@pytest.mark.local
async def test_a_cross_encoder_orders_by_what_it_says_of_each_pair(tmp_path):
    """A real one by its architecture, with weights drawn at random: its order is that of its own scores."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    from ratchet.models.embed import minilm_folder

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(minilm_folder())
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, num_labels=1, initializer_range=0.5)  # fmt: skip
    model = BertForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    passages = found("cats sleep", "dogs bark", "tea is dear", "it rains")
    encoder = CrossEncoder(tmp_path)

    ordered = await encoder.order("What do cats do?", passages)
    await encoder.close()

    texts = [one.passage.searched for one in passages]
    batch = tokenizer(["What do cats do?"] * 4, texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        scores = model(**batch).logits[:, 0].tolist()
    expected = [text for _, text in sorted(zip(scores, texts, strict=True), reverse=True)]
    assert [one.passage.searched for one in ordered] == expected
    assert ordered[0].score == pytest.approx(max(scores), abs=1e-4)


def test_a_folder_without_a_model_is_named(tmp_path):
    """Before anything is asked."""
    with pytest.raises(UnknownModelError, match=r"holds no config\.json"):
        CrossEncoder(tmp_path)
