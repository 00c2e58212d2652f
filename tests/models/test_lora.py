"""Adapters mixed in one batch, against PEFT."""

import pytest

from ratchet.core.errors import ReplyError
from ratchet.models import NANO

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Give three adapters that PEFT wrote, of different ranks, scales and layers."""
    from peft import LoraConfig, get_peft_model

    from ratchet.models.local import load_base

    found = tmp_path_factory.mktemp("adapters")
    kinds = {
        "one": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"},
        "two": {"r": 16, "lora_alpha": 16, "target_modules": ["q_proj", "w1"], "use_rslora": True},
        "three": {"r": 8, "lora_alpha": 4, "target_modules": ["w2"], "alpha_pattern": {"w2": 12}},
    }
    for seed, (name, kind) in enumerate(kinds.items()):
        torch.manual_seed(seed)
        model, _ = load_base(NANO)
        tuned = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **kind))
        for key, weight in tuned.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(weight, std=0.05)
        tuned.save_pretrained(found / name)
    return found


def logits_of(model, ids):
    """Return the model's output."""
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def test_each_row_gets_what_peft_gives_it(folder):
    """A batch of three adapters and none, then fewer rows of it: to the last digit or so what PEFT gives each alone."""
    from peft import PeftModel

    from ratchet.models.local import load_base
    from ratchet.models.lora import AdapterBank

    ids = torch.randint(5, 1000, (5, 12), generator=torch.Generator().manual_seed(1))
    rows = ["one", None, "three", "two", "one"]
    wanted = []
    for row, name in enumerate(rows):
        model, _ = load_base(NANO)
        tuned = PeftModel.from_pretrained(model, folder / name).eval() if name else model
        wanted.append(logits_of(tuned, ids[row : row + 1])[0])
    model, _ = load_base(NANO)
    bank = AdapterBank(model, folder)
    for name in ("one", "two", "three"):
        bank.load(name)

    bank.route(rows)
    mixed = logits_of(model, ids)
    bank.route(["three", "one"])
    fewer = logits_of(model, ids[[2, 4]])
    bank.route(["two"] * 5)
    alike = logits_of(model, ids)
    bank.route([None] * 5)
    plain = logits_of(model, ids)

    for row, one in enumerate(wanted):
        assert torch.allclose(mixed[row], one, atol=1e-3)
    assert torch.allclose(fewer[0], wanted[2], atol=1e-3)
    assert torch.allclose(fewer[1], wanted[4], atol=1e-3)
    assert torch.allclose(alike[3], wanted[3], atol=1e-3)
    assert torch.allclose(plain[1], wanted[1], atol=1e-3)
    assert not torch.allclose(wanted[0], plain[0], atol=0.1)


def test_what_is_no_adapter_for_the_model_is_refused(folder, tmp_path):
    """A missing one, one for other sizes, one with other parts and one with broken weights are named."""
    import json
    import shutil

    from safetensors.torch import load_file, save_file

    from ratchet.models.local import load_base
    from ratchet.models.lora import AdapterBank

    for name in ("sizes", "dora", "broken", "layers"):
        shutil.copytree(folder / "one", tmp_path / name)
    tensors = load_file(folder / "one" / "adapter_model.safetensors")
    save_file(
        {k: v[:, :5].clone() for k, v in tensors.items()},
        tmp_path / "sizes" / "adapter_model.safetensors",
    )
    save_file(
        {f"x.{k}": v for k, v in tensors.items()}, tmp_path / "layers" / "adapter_model.safetensors"
    )
    (tmp_path / "broken" / "adapter_model.safetensors").write_bytes(b"not weights")
    config = json.loads((tmp_path / "dora" / "adapter_config.json").read_text("utf-8"))
    (tmp_path / "dora" / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
    bank = AdapterBank(load_base(NANO)[0], tmp_path)

    for name, message in (
        ("missing", "there is no adapter 'missing'"),
        ("sizes", "has other sizes"),
        ("layers", "is not for this model"),
        ("dora", "sets use_dora to true"),
        ("broken", "no safetensors file"),
    ):
        with pytest.raises(ReplyError, match=message):
            bank.load(name)


def test_old_adapters_are_let_go(folder, monkeypatch):
    """Beyond the number that is kept the oldest leaves memory, and is loaded again when it is asked for."""
    from ratchet.models import lora
    from ratchet.models.local import load_base

    monkeypatch.setattr(lora, "KEPT", 1)
    model, _ = load_base(NANO)
    bank = lora.AdapterBank(model, folder)
    for name in ("one", "two"):
        bank.load(name)
        bank.forget({name})

    layer = model.get_submodule("model.layers.0.feed_forward.w1")
    assert list(layer.pairs) == ["two"]
    bank.load("one")
    bank.forget({"two", "one"})
    assert sorted(layer.pairs) == ["one", "two"]  # both in use
    bank.forget({"one"})
    assert list(layer.pairs) == ["one"]
