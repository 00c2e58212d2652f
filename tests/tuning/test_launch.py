"""Training on several processes: those of this machine, and those of a Ray cluster of two nodes."""

import importlib.util
import os
import sys
from functools import partial

import pytest

import ratchet
from ratchet.answer import Prompt, starting_candidate
from ratchet.core.errors import TuningError
from ratchet.models import NANO
from ratchet.tuning import Launch, Listener, TrainingData, TuningStopped, conversations_of, train_on

pytest.importorskip("torch")
pytestmark = [pytest.mark.local, pytest.mark.slow]

SETTINGS = ratchet.TuningSettings(epochs=2, evaluations=2)


def data(count=48):
    """Return what is trained on."""
    task = ratchet.Task(
        name="odd",
        instructions="Do it.",
        inputs=(ratchet.InputField(name="text"),),
        metric=ratchet.MetricSpec(name="exact"),
        models=ratchet.Roles(student="local:nano"),
    )
    words = ["red", "blue", "green", "pink"]
    examples = [
        ratchet.Example(inputs={"text": f"{words[i % 4]} {i}"}, reference=f"zap {words[i % 4]}")
        for i in range(count)
    ]
    prompt = Prompt(task, starting_candidate(task))
    return TrainingData(base="local:nano", rows=conversations_of(prompt, examples))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Return the validation loss of one process."""
    folder = tmp_path_factory.mktemp("alone")
    return train_on(Launch(), NANO, data(), SETTINGS, adapters=folder).validation_loss


def test_two_processes_train_as_one(alone, tmp_path):
    """They share the batch, are told to stop, go on from their checkpoint, and tell of every step and checkpoint."""
    steps, kept = [], []
    go = partial(train_on, Launch(processes=2), NANO, data(), SETTINGS, adapters=tmp_path)
    with pytest.raises(TuningStopped, match="stopped at step"):
        go(
            listener=Listener(
                watch=steps.append, should_stop=lambda: steps[-1:] and steps[-1].step >= 6
            )
        )
    stopped = max(one.step for one in steps)
    steps.clear()

    def keep(step, _loss, at):
        kept.append((step, (at / "adapter_model.safetensors").is_file()))

    result = go(listener=Listener(watch=steps.append, keep_checkpoint=keep))

    assert min(one.step for one in steps) >= stopped
    assert result.steps == 12
    assert kept[-1] == (12, True)
    assert result.validation_loss == pytest.approx(alone, rel=0.1)
    assert (tmp_path / result.adapter / "adapter_model.safetensors").is_file()
    assert not list(tmp_path.glob("*.part"))


def test_what_goes_wrong_in_a_process_is_told(tmp_path):
    """In a sentence that names it; a batch that cannot be shared and a cluster that is not there before the start."""
    two = Launch(processes=2)
    long = ratchet.TuningSettings(max_length=3)
    with pytest.raises(TuningError, match="none of 48 training examples fits into 3 tokens"):
        train_on(two, NANO, data(), long, adapters=tmp_path)
    with pytest.raises(TuningError, match="3 processes cannot share a batch of 8"):
        train_on(Launch(processes=3), NANO, data(), SETTINGS, adapters=tmp_path)
    with pytest.raises(TuningError, match="on one process alone"):
        train_on(
            two, NANO, data(), SETTINGS, adapters=tmp_path, listener=Listener(score=lambda *_: 1.0)
        )


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_of_two_nodes_trains_as_one_process(alone, tmp_path, monkeypatch):
    """Each node takes a worker."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs the extra 'ray'")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    import ray
    from ray.cluster_utils import Cluster

    steps = []
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        cluster.add_node(num_cpus=1)
        launch = Launch(processes=2, ray=cluster.address)
        result = train_on(
            launch, NANO, data(), SETTINGS, adapters=tmp_path, listener=Listener(watch=steps.append)
        )
    finally:
        ray.shutdown()
        cluster.shutdown()

    assert result.steps == 12
    assert {one.step for one in steps} == set(range(1, 13))
    assert result.validation_loss == pytest.approx(alone, rel=0.1)
