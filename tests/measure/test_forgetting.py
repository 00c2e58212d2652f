"""What a fine-tune forgot: the verdict on probes, scripted and on the real small model."""

from pathlib import Path

import pytest

from ratchet.core import Candidate
from ratchet.core.errors import ReplyError
from ratchet.measure import Probe, forgetting, load_probes, probes_for, texts_for
from ratchet.measure.forgetting import GENERAL
from ratchet.models import NANO, ChatRequest, ModelPool
from ratchet.testing import ScriptedModel

BASE = Candidate(model="local:m", system="", user="{{q}}")
TUNED = BASE.changed(adapter="a_1")
PROBES = [
    Probe(
        ability="even" if k % 2 == 0 else "odd",
        messages=({"role": "user", "content": str(k)}, {"role": "assistant", "content": "yes"}),
    )
    for k in range(200)
]


def model(lost: int, silent: int = 0) -> ScriptedModel:
    """Return a model whose adapter has lost the first so many even probes."""

    def says(request: ChatRequest) -> str | Exception:
        k = int(request.messages[-1]["content"])
        if k >= 200 - silent:
            return ReplyError("nothing", kind="timeout")
        is_lost = request.adapter is not None and k % 2 == 0 and k < lost
        return "no" if is_lost else "yes "

    return ScriptedModel(says, name="local:m")


async def test_what_is_lost_is_told_by_ability():
    """Thirty of a hundred even probes lost: worse, with the ability named."""
    found = await forgetting(ModelPool(ready={"local:m": model(60)}), BASE, TUNED, PROBES)

    assert found.verdict.decision == "worse"
    assert found.abilities == {"even": (100, 1.0, 0.7), "odd": (100, 1.0, 1.0)}
    assert found.sentence.startswith(
        "The fine-tune has forgotten: 100 % of 200 probes before, 85 % after"
    )
    assert "even 100 → 70" in found.sentence


async def test_nothing_lost_is_not_worse():
    """The same answers: not worse, within the margin; probes without a reply are counted as missing."""
    found = await forgetting(ModelPool(ready={"local:m": model(0, silent=7)}), BASE, TUNED, PROBES)

    assert found.verdict.decision == "not worse"
    assert (found.verdict.n, found.verdict.missing) == (193, 7)
    assert found.sentence.startswith("Nothing was forgotten")


async def test_few_probes_tell_nothing():
    """Three probes allow no verdict, and the sentence says so."""
    found = await forgetting(ModelPool(ready={"local:m": model(2)}), BASE, TUNED, PROBES[:3])

    assert found.sentence.startswith("It cannot be told")


def test_probes_come_with_the_base_or_in_general(tmp_path: Path):
    """local:nano has its own, for every ability of its card; other models get the general ones."""
    own = probes_for("local:nano", tmp_path)

    assert len(own) == 300
    assert {"copy", "lookup", "facts", "schema", "tool", "extract", "labels"} <= {
        p.ability for p in own
    }
    assert probes_for("far/gpt", tmp_path) == load_probes(GENERAL)
    assert {p.ability for p in load_probes(GENERAL)} == {"instructions", "formats", "knowledge"}


@pytest.mark.local
async def test_likelihoods_of_held_out_text_are_compared(tmp_path: Path):
    """Where the weights are at hand: the base against itself has not changed; an adapter of noise has made every text less likely."""
    torch = pytest.importorskip("torch")
    from peft import LoraConfig, get_peft_model

    from ratchet.models.local import load_base

    model, tokenizer = load_base(NANO)
    probes = load_probes(NANO / "probes.jsonl")[:12]
    texts = texts_for("local:nano", tmp_path)[:12]
    request, text = texts[0]
    head = tokenizer.apply_chat_template(
        request.messages, tokenize=False, add_generation_prompt=True
    )
    ids = tokenizer(head + text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    start = len(tokenizer(head, add_special_tokens=False)["input_ids"])
    with torch.inference_mode():
        shares = torch.log_softmax(model(input_ids=ids).logits[0], -1)
    wanted = sum(shares[k - 1, ids[0, k]].item() for k in range(start, ids.shape[1]))
    tuned = get_peft_model(model, LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM"))
    for key, weight in tuned.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(weight, std=2.0)
    tuned.save_pretrained(tmp_path / "a_1")
    base = BASE.changed(model="local:nano")

    async with ModelPool(adapters=tmp_path) as pool:
        said = await pool.model("local:nano").likelihoods(texts[:1])
        same = await forgetting(pool, base, base, probes, texts=texts)
        worse = await forgetting(pool, base, base.changed(adapter="a_1"), probes, texts=texts)
        plain = await pool.model("local:nano").likelihoods(texts_for("far/gpt", tmp_path)[:2])

    assert said == [(pytest.approx(wanted, abs=1e-3), ids.shape[1] - start)]
    assert same.likelihoods.before == same.likelihoods.after
    assert worse.likelihoods.high < -1
    assert "nats a token, 95 % interval of the change -" in worse.sentence
    assert all(total < 0 and count > 20 for total, count in plain)


@pytest.mark.local
@pytest.mark.slow
async def test_the_small_model_knows_its_probes():
    """The base answers most of its own probes, tool calls included, and against itself nothing is lost."""
    pytest.importorskip("torch")
    base = BASE.changed(model="local:nano")
    probes = probes_for("local:nano", Path())[::4]

    async with ModelPool() as pool:
        found = await forgetting(pool, base, base, probes)

    assert found.verdict.effect == 0
    assert found.abilities["copy"][1] >= 0.8
    assert found.abilities["tool"][1] >= 0.5
