"""Fine-tuning of the small local model: rows, a run, its resumption and its estimate."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import ratchet
from ratchet.answer import Prompt, starting_candidate
from ratchet.core.errors import TuningError
from ratchet.models import NANO
from ratchet.tuning import Listener

pytest.importorskip("torch")
pytestmark = [pytest.mark.local, pytest.mark.slow]

WORDS = ["red", "blue", "green", "pink", "grey", "black", "white", "brown"]


def data(prompt, count=96, **options):
    """Return what is trained on."""
    from ratchet.tuning import TrainingData, conversations_of

    return TrainingData(
        base="local:nano", rows=conversations_of(prompt, examples(count)), **options
    )


def task():
    """Return a task that the base cannot do: answer with a fixed word and the first word."""
    return ratchet.Task(
        name="odd",
        instructions="Do it.",
        inputs=(ratchet.InputField(name="text"),),
        metric=ratchet.MetricSpec(name="exact"),
        models=ratchet.Roles(student="local:nano"),
    )


def examples(count=96):
    """Return examples of that task."""
    return [
        ratchet.Example(
            inputs={"text": f"{WORDS[i % 8]} {WORDS[i // 8 % 8]} {i}"},
            reference=f"zap {WORDS[i % 8]}",
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def prompt():
    """Return the plain prompt of the task."""
    return Prompt(task(), starting_candidate(task()))


@pytest.fixture(scope="module")
def run(prompt, tmp_path_factory):
    """Train once for all tests of this file."""
    from ratchet.tuning import train

    folder = tmp_path_factory.mktemp("adapters")
    seen = []
    result = train(
        NANO,
        data(prompt),
        ratchet.TuningSettings(epochs=6),
        adapters=folder,
        listener=Listener(watch=seen.append),
    )
    return folder, result, seen


def test_rows_label_the_answer_alone(prompt):
    """The labels of the prompt are ignored, those of the answer are its tokens and the end mark."""
    from ratchet.models.local import load_base
    from ratchet.tuning import training_rows

    _, tokenizer = load_base(NANO)
    rows, left_out = training_rows(data(prompt, 3).rows, tokenizer, longest=512)

    answer = [token for token in rows[0]["labels"] if token != -100]
    assert tokenizer.decode(answer) == "zap red<|end|>"
    assert rows[0]["input_ids"][-len(answer) :] == answer
    assert left_out == 0


def test_too_long_examples_are_counted_or_refused(prompt):
    """Where none fits, the error says so."""
    from ratchet.models.local import load_base
    from ratchet.tuning import training_rows

    _, tokenizer = load_base(NANO)

    with pytest.raises(TuningError, match="none of 3 training examples fits into 4 tokens"):
        training_rows(data(prompt, 3).rows, tokenizer, longest=4)


def test_the_adapter_is_a_standard_one(run):
    """The folder holds a PEFT adapter in safetensors, with its provenance, and no path of this machine."""
    folder, result, seen = run
    names = {path.name for path in (folder / result.adapter).iterdir()}

    assert {
        "adapter_config.json",
        "adapter_model.safetensors",
        "provenance.json",
        "ratchet.json",
    } <= names
    assert str(folder) not in (folder / result.adapter / "adapter_config.json").read_text("utf-8")
    assert not list(folder.glob("*.part"))
    assert next(p.step for p in seen if p.loss is not None) == 1
    assert result.validation_loss < 1


async def test_the_tuned_model_does_what_the_base_does_not(run, prompt):
    """On inputs never seen the tuned model answers in the new way, the base does not, and both share one engine."""
    import asyncio

    from ratchet.models import ModelPool

    folder, result, _ = run
    new = ratchet.Example(inputs={"text": "violet sky 999"}, reference="zap violet")
    plain = prompt.request(new)
    tuned = Prompt(task(), prompt.candidate.changed(adapter=result.adapter)).request(new)

    async with ModelPool(adapters=folder) as pool:
        model = pool.model("local:nano")
        replies = await asyncio.gather(model.chat(plain), model.chat(tuned), model.chat(plain))

    assert replies[1].text == "zap violet"
    assert replies[0].text == replies[2].text != "zap violet"


def test_a_finished_run_is_found_again(run, prompt):
    """Asking for the same run again trains nothing."""
    from ratchet.tuning import train

    folder, result, _ = run
    seen = []

    again = train(
        NANO,
        data(prompt),
        ratchet.TuningSettings(epochs=6),
        adapters=folder,
        listener=Listener(watch=seen.append),
    )

    assert again == result
    assert seen == []


def test_the_same_seed_gives_the_same_adapter(prompt, tmp_path):
    """Two runs with one seed write the same bytes."""
    from ratchet.tuning import train

    settings = ratchet.TuningSettings(epochs=1, evaluations=2)
    found = []
    for name in ("one", "two"):
        result = train(NANO, data(prompt, 48), settings, adapters=tmp_path / name)
        found.append((tmp_path / name / result.adapter / "adapter_model.safetensors").read_bytes())

    assert found[0] == found[1]


def test_the_estimate_names_steps_time_and_memory(prompt, tmp_path):
    """The estimate counts the steps as the run does, also where an epoch's last batch is not full; its other figures are positive."""
    from ratchet.tuning import estimate_training, train

    settings = ratchet.TuningSettings(epochs=3, evaluations=2)
    estimate = estimate_training(NANO, data(prompt, 48), settings)

    assert estimate.steps == train(NANO, data(prompt, 48), settings, adapters=tmp_path).steps == 18
    assert estimate.seconds > 0
    assert 0 < estimate.memory_gb < 5
    assert estimate.trained_parameters > 100_000


def test_a_killed_run_goes_on_from_its_checkpoint(tmp_path):
    """After SIGKILL in the middle, the same call goes on from the last checkpoint instead of the start."""
    script = textwrap.dedent(f"""
        import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        import ratchet
        from ratchet.answer import Prompt, starting_candidate
        from ratchet.models import NANO
        from ratchet.tuning import Listener, train
        import test_train as t
        prompt = Prompt(t.task(), starting_candidate(t.task()))
        settings = ratchet.TuningSettings(epochs=8, patience=50)
        result = train(NANO, t.data(prompt), settings, adapters=Path({str(tmp_path)!r}),
                            listener=Listener(watch=lambda p: print(p.step, flush=True)))
        print("done", result.steps, flush=True)
    """)
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as first:
        for line in first.stdout:
            if line.strip().isdigit() and int(line) >= 14:
                os.kill(first.pid, signal.SIGKILL)
                break
    checkpoints = sorted(int(p.name.split("-")[1]) for p in tmp_path.glob("*.part/checkpoint-*"))

    second = subprocess.run(command, capture_output=True, text=True, check=True)

    steps = [int(line) for line in second.stdout.split() if line.isdigit()]
    assert checkpoints
    assert min(steps) > min(checkpoints)
    assert "done" in second.stdout


def test_preferences_are_learnt_from_where_an_adapter_left_off(run, prompt):
    """DPO goes on from a fine-tune, and makes the preferred answers likelier than the rejected ones."""
    from ratchet.tuning import Preference, TrainingData, conversations_of, train

    folder, start, _ = run
    asked = conversations_of(prompt, examples(48))
    rows = [
        Preference(
            ratchet.tuning.Conversation(one.messages[:-1]),
            ({"role": "assistant", "content": f"zip {WORDS[place % 8]}"},),
            (one.messages[-1],),
        )
        for place, one in enumerate(asked)
    ]
    dpo = TrainingData(base="local:nano", rows=rows, start=start.adapter)

    result = train(NANO, dpo, ratchet.TuningSettings(method="dpo", epochs=2), adapters=folder)

    assert result.adapter != start.adapter
    assert result.validation_loss < 0.3  # it starts at log 2


def test_a_stopped_run_goes_on(prompt, tmp_path):
    """Stopped after a few steps it keeps a checkpoint; the same call ends what it began, past one that a kill cut short."""
    from ratchet.tuning import TuningStopped, train

    steps = []
    settings = ratchet.TuningSettings(epochs=2)
    with pytest.raises(TuningStopped, match="stopped at step 5 of"):
        train(
            NANO,
            data(prompt, 48),
            settings,
            adapters=tmp_path,
            listener=Listener(
                watch=steps.append, should_stop=lambda: steps and steps[-1].step >= 4
            ),
        )
    steps.clear()
    (work,) = tmp_path.glob("*.part")
    (work / "checkpoint-9").mkdir()
    (work / "checkpoint-9" / "trainer_state.json").write_text('{"global_st')

    result = train(
        NANO, data(prompt, 48), settings, adapters=tmp_path, listener=Listener(watch=steps.append)
    )

    assert steps[0].step == 6
    assert (tmp_path / result.adapter / "adapter_model.safetensors").is_file()


def test_rows_of_the_wrong_kind_are_refused(prompt, tmp_path):
    """Conversations are no preferences."""
    from ratchet.tuning import train

    with pytest.raises(TuningError, match="'dpo' trains on preference rows"):
        train(NANO, data(prompt, 8), ratchet.TuningSettings(method="dpo"), adapters=tmp_path)


def test_packed_rows_have_the_loss_of_separate_ones(prompt):
    """Neither attention nor convolution looks into the example before: the loss and its gradient are those of rows apart."""
    import torch

    from ratchet.models.local import load_base
    from ratchet.tuning import training_rows
    from ratchet.tuning.packing import PackedRows
    from ratchet.tuning.trainer import answer_loss

    model, tokenizer = load_base(NANO)
    rows, _ = training_rows(data(prompt, 7).rows, tokenizer, longest=1024)
    longest = max(row["length"] for row in rows)
    together = PackedRows(
        model.config, longest=3 * longest, multiple=32, fill=tokenizer.pad_token_id
    )(rows)
    assert len(together["input_ids"]) < len(rows) / 2
    separate = [
        {name: torch.tensor([row[name]]) for name in ("input_ids", "labels")} for row in rows
    ]

    count = sum((one["labels"] != -100).sum() for one in separate)
    apart = sum(answer_loss(model, one, count) for one in separate)
    packed = answer_loss(model, together, count)
    place = "model.layers.0.conv.in_proj.weight"
    gradients = [
        torch.autograd.grad(loss, model.get_parameter(place))[0] for loss in (apart, packed)
    ]

    assert packed.item() == pytest.approx(apart.item(), rel=1e-5)
    assert torch.allclose(*gradients, rtol=1e-3, atol=1e-5)


def test_a_recurrent_model_is_not_packed():
    """Layers that carry a state along the row would carry it into the next example."""
    from transformers import PretrainedConfig

    from ratchet.tuning.packing import PackedRows

    config = PretrainedConfig(layer_types=["linear_attention", "full_attention"])

    with pytest.raises(TuningError, match="linear_attention layers; leave it out"):
        PackedRows(config, longest=10, multiple=8, fill=0)


def test_packing_and_checkpointing_train_to_the_same_loss(prompt, tmp_path):
    """Both change how a step is computed, and not what it is."""
    from ratchet.tuning import train

    plain = {"epochs": 2, "evaluations": 2}
    losses = [
        train(
            NANO,
            data(prompt, 48, validation=data(prompt, 56).rows[48:]),
            ratchet.TuningSettings(**plain, **more),
            adapters=tmp_path,
        ).validation_loss
        for more in ({"packing": True}, {"packing": True, "gradient_checkpointing": True})
    ]

    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert losses[0] < 3  # 4 and more at the start


async def test_all_weights_can_be_trained(prompt, tmp_path):
    """A whole model comes out, in a folder that can be named as any local model."""
    from ratchet.models import ModelPool
    from ratchet.tuning import train

    settings = ratchet.TuningSettings(weights="full", epochs=8)
    result = train(NANO, data(prompt), settings, adapters=tmp_path)

    folder = tmp_path / result.adapter
    assert (folder / "model.safetensors").is_file()
    assert (folder / "tokenizer.json").is_file()
    async with ModelPool(adapters=tmp_path, root=tmp_path) as pool:
        reply = await pool.model(f"local:{result.adapter}").chat(prompt.request(examples()[0]))
    assert reply.text == "zap red"


def test_what_cannot_be_trained_is_named(prompt, tmp_path):
    """Four bits without a GPU, all weights from an adapter, packed preferences."""
    import torch
    from pydantic import ValidationError

    from ratchet.tuning import train

    with pytest.raises(ValidationError, match="packing is for supervised"):
        ratchet.TuningSettings(method="dpo", packing=True)
    (tmp_path / "a_1").mkdir()
    (tmp_path / "a_1" / "adapter_config.json").write_text("{}")
    full = ratchet.TuningSettings(weights="full")
    with pytest.raises(TuningError, match="merge it first"):
        train(NANO, data(prompt, 8, start="a_1"), full, adapters=tmp_path)
    if not torch.cuda.is_available():
        four = ratchet.TuningSettings(weights="qlora")
        with pytest.raises(TuningError, match=r"bitsandbytes|need a GPU"):
            train(NANO, data(prompt, 8), four, adapters=tmp_path)
