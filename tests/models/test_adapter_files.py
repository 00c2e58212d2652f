"""Adapters as PEFT makes them, of every setting that it has: each is answered with as PEFT would, or refused by the name of the setting."""

import copy
import dataclasses
import json
import struct
from pathlib import Path

import pytest

from ratchet.core.errors import DataError, ReplyError
from ratchet.models.adapter_files import HARMLESS, READ, read_config, read_tensors
from ratchet.models.adapters import CONFIG, WEIGHTS

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.local

SERVED = {
    "plain": {},
    "alpha": {"lora_alpha": 3},
    "rslora": {"use_rslora": True, "lora_alpha": 3},
    "rank 1": {"r": 1},
    "rank 16": {"r": 16, "lora_alpha": 32},
    "dropout": {"lora_dropout": 0.3},
    "all-linear": {"target_modules": "all-linear"},
    "regex of targets": {"target_modules": r".*\.(q_proj|down_proj)"},
    "one target": {"target_modules": ["o_proj"]},
    "exclude": {"exclude_modules": ["k_proj"]},
    "layers": {"layers_to_transform": [1]},
    "a layer by number": {"layers_to_transform": 0, "layers_pattern": "layers"},
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "random start": {"init_lora_weights": False},
    "rank pattern": {"rank_pattern": {"q_proj": 2}},
    "rank pattern of a layer": {"rank_pattern": {"layers.1.self_attn.q_proj": 2}},
    "alpha pattern": {"alpha_pattern": {"down_proj": 5}},
    "both patterns": {"rank_pattern": {"q_proj": 2, "v_proj": 8}, "alpha_pattern": {"q_proj": 7, "layers.0.mlp.down_proj": 1}},
    "patterns with rslora": {"use_rslora": True, "rank_pattern": {"v_proj": 9}, "alpha_pattern": {"v_proj": 2}},
    "an anchored pattern": {"alpha_pattern": {"^model.layers.0.self_attn.q_proj$": 5}},
    "an anchor that matches nothing": {"alpha_pattern": {"^q_proj": 5}},
    "half a name": {"alpha_pattern": {"proj": 5}},
    "the first of two": {"alpha_pattern": {"self_attn.q_proj": 5, "q_proj": 9}},
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "inference": {"inference_mode": True},
}  # fmt: skip
"""What must be answered with."""
REFUSED = {
    "use_dora": {"use_dora": True},
    "bias": {"bias": "all"},
    "lora_bias": {"lora_bias": True},
    "bias ": {"bias": "lora_only"},
    "modules_to_save": {"modules_to_save": ["lm_head"]},
    "init_lora_weights": {"init_lora_weights": "pissa"},
    "init_lora_weights ": {"init_lora_weights": "pissa_niter_4"},
    "init_lora_weights  ": {"init_lora_weights": "olora"},
    "rank_pattern": {"rank_pattern": {"(q|k)_proj": 2}},
    "alpha_pattern": {"alpha_pattern": {r".*layers\.0\..*": 3}},
    "alora_invocation_tokens": {"alora_invocation_tokens": [5, 6]},
    "trainable_token_indices": {"trainable_token_indices": [1, 2]},
    "layer_replication": {"layer_replication": [[0, 2], [1, 2]]},
    "embed_tokens": {"target_modules": ["q_proj", "embed_tokens"]},
}  # fmt: skip
"""What must be refused, by this name."""
CHOICES = {"target_modules": ["q_proj", "v_proj", "down_proj"], "r": 4, "lora_alpha": 8}


@pytest.fixture(scope="module", params=[False, True], ids=["own head", "tied head"])
def base(request):
    """Give a tiny Llama, with a head of its own or tied to its embeddings."""
    from tests.models.tiny_models import make_model, make_tokenizer

    model = make_model(make_tokenizer(), tie_word_embeddings=request.param)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.2)
    return model


def saved(base, folder: Path, settings):
    """Save an adapter with random weights as PEFT does."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    config = LoraConfig(task_type="CAUSAL_LM", **{**CHOICES, **settings})
    tuned = get_peft_model(copy.deepcopy(base), config)
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_" in name:
                weight.normal_(std=0.3)
    # else the weights of a head that is adapted are saved besides
    tuned.save_pretrained(folder, save_embedding_layers="embed_tokens" in str(settings))
    return folder


def logits_of(model):
    ids = torch.randint(3, 250, (1, 9), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def ours(base, folder: Path):
    """Return what the adapter bank makes of it."""
    from ratchet.models.lora import AdapterBank

    model = copy.deepcopy(base).eval()
    bank = AdapterBank(model, folder.parent)
    bank.load(folder.name)
    bank.route([folder.name])
    return logits_of(model)


@pytest.mark.filterwarnings("ignore:.*pattern.*:RuntimeWarning")
@pytest.mark.parametrize("name", list(SERVED))
def test_what_is_served_answers_as_peft_would(base, tmp_path, name):
    """The same logits, and others than the base's."""
    from peft import PeftModel

    folder = saved(base, tmp_path / "a", SERVED[name])
    wanted = logits_of(PeftModel.from_pretrained(copy.deepcopy(base), folder).eval())

    found = ours(base, folder)

    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert (found - logits_of(base)).abs().max() > 1e-2


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(REFUSED))
def test_what_would_answer_otherwise_is_refused_by_name(base, tmp_path, name):
    """A sentence that names the setting, and what to do."""
    try:
        folder = saved(base, tmp_path / "a", REFUSED[name])
    except (ValueError, TypeError, NotImplementedError) as error:
        pytest.skip(f"this PEFT makes none: {error}")

    with pytest.raises(ReplyError, match=name.strip()) as refused:
        ours(base, folder)
    assert refused.value.kind == "no adapter"


def test_every_setting_of_peft_is_thought_of():
    """A new PEFT may have another setting: it is refused unless it is at its default, and that must read as nothing."""
    from peft import LoraConfig

    for field in dataclasses.fields(LoraConfig):
        if field.name in HARMLESS | READ:
            continue
        default = field.default
        if default is dataclasses.MISSING:
            default = field.default_factory()
        assert default in (None, False, [], {}), (
            f"{field.name} = {default!r}: say in adapter_files.py what it is"
        )


@pytest.fixture
def good(tmp_path):
    """Give a good adapter, written by hand: its settings and its tensors."""
    from safetensors.torch import save_file

    layer = "base_model.model.model.layers.0.self_attn.q_proj"
    tensors = {f"{layer}.lora_A.weight": torch.ones(2, 8), f"{layer}.lora_B.weight": torch.ones(8, 2)}  # fmt: skip
    folder = tmp_path / "good"
    folder.mkdir()
    save_file(tensors, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4}))
    return folder


def test_a_good_one_passes(good):
    """Settings that a config leaves out are PEFT's defaults."""
    assert len(read_tensors(good, read_config(good))) == 2
    assert read_config(good).scale_of("x") == 2.0


NESTED = "[" * 5000 + "]" * 5000


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("[]", "none of PEFT"),
        ("{", "none of PEFT"),
        (f'{{"peft_type": "LORA", "r": {NESTED}}}', "none of PEFT"),
        ('{"peft_type": "IA3"}', "'IA3'"),
        ('{"peft_type": "LORA", "r": 0}', "r must be a whole number"),
        ('{"peft_type": "LORA", "r": -1}', "r must be a whole number"),
        ('{"peft_type": "LORA", "r": true}', "r must be a whole number"),
        ('{"peft_type": "LORA", "r": 1e400}', "r must be a whole number"),
        ('{"peft_type": "LORA", "r": 999999999999999999999999}', "r must be a whole number"),
        ('{"peft_type": "LORA", "r": 2, "lora_alpha": NaN}', "lora_alpha must be a number"),
        ('{"peft_type": "LORA", "r": 2, "lora_alpha": 0}', "lora_alpha must be a number"),
        ('{"peft_type": "LORA", "r": 2, "use_rslora": "no"}', "use_rslora must be"),
        ('{"peft_type": "LORA", "r": 2, "of_next_year": {"a": 1}}', "of_next_year"),
        ('{"peft_type": "LORA", "r": 2, "target_parameters": ["mlp.weight"]}', "target_parameters"),
        ('{"peft_type": "LORA", "r": 2, "init_lora_weights": ["pissa"]}', "init_lora_weights"),
        ('{"peft_type": "LORA", "r": 2, "alpha_pattern": [1]}', "alpha_pattern"),
        ('{"peft_type": "LORA", "r": 2, "alpha_pattern": {"q": "2"}}', "alpha_pattern must be"),
        ('{"peft_type": "LORA", "r": 2, "x": "' + "y" * 2**21 + '"}', "bytes"),
    ],
)
def test_odd_settings_are_a_sentence(good, config, words):
    """Deep, huge, of another kind, of a later PEFT: named, and no traceback."""
    (good / CONFIG).write_text(config)
    with pytest.raises(DataError, match=words):
        read_config(good)


def rewritten(folder: Path, change):
    """Write the weights' head anew."""
    raw = (folder / WEIGHTS).read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    head = json.loads(raw[8 : 8 + size])
    head.pop("__metadata__", None)
    text = change(head, sorted(head))
    encoded = (text if isinstance(text, str) else json.dumps(head)).encode()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(encoded)) + encoded + raw[8 + size :])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda head, keys: head[keys[0]].update(data_offsets=[-4, 60]), "no sizes"),
        (lambda head, keys: head[keys[0]].update(data_offsets=head[keys[1]]["data_offsets"]), "(does not lie|cut off)"),
        (lambda head, keys: head[keys[0]].update(data_offsets=[10**30, 10**31]), "(no sizes|does not lie)"),
        (lambda head, keys: head[keys[0]].update(shape=[10**30, 1]), "no sizes"),
        (lambda head, keys: head[keys[0]].update(shape=[4, 4]), "of the ranks"),
        (lambda head, keys: head[keys[0]].update(shape=[16]), "is no matrix"),
        (lambda head, keys: head[keys[0]].update(dtype="F8_E5M2"), "of the type"),
        (lambda head, keys: head[keys[0]].update(dtype=[1]), "of the type"),
        (lambda head, keys: head.update({"x.base_layer.weight": head.pop(keys[0])}), "weights of the base"),
        (lambda head, keys: head.update({"embed.lora_embedding_A": head.pop(keys[0])}), "not a LoRA matrix"),
        (lambda head, keys: head.update({keys[0].replace("q_proj", "k_proj"): head.pop(keys[0])}), "alone of"),
        (lambda head, keys: "[" * 3000 + "]" * 3000, "no safetensors file"),
        (lambda head, keys: '{"a": 5}', "no safetensors file"),
        (lambda head, keys: "{}", "cut off"),
    ],
)  # fmt: skip
def test_odd_weights_are_a_sentence(good, change, words):
    """Negative and overlapping places, huge sizes, odd types, one matrix alone: refused at the head."""
    rewritten(good, change)
    with pytest.raises(DataError, match=words):
        read_tensors(good, read_config(good))


def test_weights_that_are_no_numbers_are_refused_at_the_door(good):
    """NaN in a weight would answer for nobody."""
    from safetensors.torch import load_file, save_file

    from ratchet.jobs.adapters import check_finite

    check_finite(good)
    tensors = load_file(good / WEIGHTS)
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, good / WEIGHTS)
    with pytest.raises(DataError, match="no numbers"):
        check_finite(good)


async def test_a_row_that_fails_takes_nobody_along(tmp_path, monkeypatch):
    """A row whose grammar fails in the middle, or whose logits are no numbers, fails alone: its neighbours' answers are those that they get alone."""
    import asyncio

    from ratchet.models import ChatRequest, ModelPool
    from ratchet.models.decode import Batch

    def asked(text, **settings):
        return ChatRequest(messages=[{"role": "user", "content": text}], max_tokens=30, **settings)

    talk = [asked("Repeat: one two three four"), asked("Repeat: red", temperature=1.0, seed=3)]
    async with ModelPool() as pool:
        model = pool.model("local:nano")
        alone = [(await model.chat(one)).text for one in talk]
        forward = Batch._forward

        def damaged(self, ids, attention, places, cache, rows):
            for row in rows:
                if row.seed == 99 and len(row.tokens) == 1:
                    row.mask = lambda last, logits: logits.fill_(float("nan"))
                if row.seed == 98 and len(row.tokens) == 1:
                    row.mask = lambda last, logits: 1 / 0
            return forward(self, ids, attention, places, cache, rows)

        monkeypatch.setattr(Batch, "_forward", damaged)
        bad = [asked("Repeat: a b c d e", seed=99), asked("Repeat: a b c d e", seed=98), asked("Repeat: a b c", seed=99, temperature=1.0)]  # fmt: skip
        replies = await asyncio.gather(
            *(model.chat(one) for one in (talk[0], *bad, talk[1])), return_exceptions=True
        )

    assert [replies[0].text, replies[-1].text] == alone
    assert isinstance(replies[1], ReplyError)
    assert isinstance(replies[2], ZeroDivisionError)
    assert isinstance(replies[3], ReplyError)


def test_an_adapter_that_is_not_loaded_is_nobodys_base(base, tmp_path):
    """A row of an adapter that was let go of is an error, and never the base's answer in its name."""
    from ratchet.models.lora import AdapterBank

    bank = AdapterBank(copy.deepcopy(base), tmp_path)
    with pytest.raises(ReplyError, match="not loaded"):
        bank.route(["a_1"])
