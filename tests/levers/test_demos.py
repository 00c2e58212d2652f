"""Demonstrations: references, and replies that a teacher wrote itself."""

import pytest

import ratchet
from ratchet.core.errors import MetricError, TuningError
from ratchet.levers import DemosLever, TuneLever
from ratchet.metrics.function import FunctionMetric
from ratchet.testing import ScriptedModel


def bench(world, teacher=None):
    """Return a workbench of sums."""
    task = ratchet.Task(
        name="sum",
        instructions="Add.",
        inputs=(ratchet.InputField(name="q"),),
        answer=ratchet.AnswerForm(kind="number"),
        metric=ratchet.MetricSpec(name="number"),
        models=ratchet.Roles(student="weak", teacher="strong" if teacher else None),
    )
    examples = [
        ratchet.Example(inputs={"q": f"{n} plus {n + 1}"}, reference=2 * n + 1) for n in range(200)
    ]
    models = {"weak": ScriptedModel(world, name="weak")}
    if teacher:
        models["strong"] = ScriptedModel(teacher, name="strong")
    ready = ratchet.Workbench.of(task, examples, models=models)
    ready.said = []
    ready.watching.says = ready.said.append
    return ready


def asked(request):
    """Return the number that is asked about."""
    return int(request.messages[-1]["content"].split()[0])


def reasons(request):
    """Right where it was shown how to reason, else for every fourth."""
    n = asked(request)
    shown = any("step by step" in str(m["content"]) for m in request.messages[:-1])
    return f"step by step #### {2 * n + 1}" if shown or n % 4 == 0 else "many"


def test_a_teachers_reasoning_is_shown():
    """Replies of the teacher that are right are shown as it wrote them; those that are wrong never are."""

    def teaches(request):
        n = asked(request)
        return f"step by step: {n} and {n + 1} #### {2 * n + 1 + (n % 3 == 0)}"

    ready = bench(reasons, teaches)

    steps = ready.climb([DemosLever(bootstrap=True)])

    assert steps[1].kept
    champion = ready.champion()
    assert champion.model == "weak"
    train = {example.inputs["q"] for example in ready.split("train")}
    for one in champion.demonstrations:
        n = int(one.inputs["q"].split()[0])
        assert one.said == f"step by step: {n} and {n + 1} #### {2 * n + 1}"
        assert n % 3
        assert one.inputs["q"] in train
    assert any("are accepted" in line for line in ready.said)
    sent = ready.prompt(champion).request(ready.split("dev")[0]).messages
    assert sum("step by step:" in m["content"] for m in sent) == len(champion.demonstrations)


def test_without_a_teacher_the_champions_own_replies_are_shown():
    """As it is right now and then, its own reasoning can be shown to it."""
    ready = bench(reasons)

    steps = ready.climb([DemosLever(bootstrap=True, asked=60)])

    assert steps[1].kept
    assert all("step by step" in one.said for one in ready.champion().demonstrations)


def test_a_teacher_that_never_succeeds_adds_no_rung():
    """It is said, and nothing is raced."""
    ready = bench(reasons, lambda _: "dunno")

    steps = ready.climb([DemosLever(bootstrap=True)])

    assert len(steps) == 1
    assert any("0 of 32 answers of strong are accepted" in line for line in ready.said)
    assert any("0 examples to show are too few" in line for line in ready.said)


def test_sets_beyond_the_ceiling_are_left_out():
    """The prompt with its demonstrations must stay below it."""
    ready = bench(reasons)

    steps = ready.climb([DemosLever(sizes=(2, 40), ceiling=60)])

    assert len(steps) == 2
    assert len(ready.candidate(steps[1].candidate_id).demonstrations) == 2
    assert "demos: 2 sets would take the prompt beyond 60 tokens, and are left out" in ready.said


@pytest.mark.local
def test_the_nearest_are_tried_beside_random_sets():
    """A model that repeats what it is shown is best with what is near to the input."""

    def world(request):
        question = request.messages[-1]["content"].split()[0]
        for message, reply in zip(request.messages, request.messages[1:], strict=False):
            if message["role"] == "user" and message["content"].split()[0] == question:
                return reply["content"]
        return "0"

    words = ("cat", "snow", "money", "violin", "harbour", "bread", "rocket", "tulip")
    task = ratchet.Task(
        name="near",
        instructions="Say its number.",
        inputs=(ratchet.InputField(name="q"),),
        answer=ratchet.AnswerForm(kind="number"),
        metric=ratchet.MetricSpec(name="number"),
        models=ratchet.Roles(student="m"),
    )
    examples = [
        ratchet.Example(inputs={"q": f"{word} {word} {n}"}, reference=k)
        for k, word in enumerate(words, start=1)
        for n in range(24)
    ]
    ready = ratchet.Workbench.of(task, examples, models={"m": ScriptedModel(world, name="m")})

    steps = ready.climb([DemosLever(nearest=(2,))])

    champion = ready.champion()
    assert steps[1].kept
    assert champion.nearest == ratchet.Nearest(count=2)
    assert "the 2 nearest of" in steps[1].what
    train = {example.inputs["q"] for example in ready.split("train")}
    assert {one.inputs["q"] for one in champion.demonstrations} < train


def test_without_references_a_models_own_replies_are_shown():
    """Examples without a reference are never shown with a blank; replies that the metric scores 1 are."""
    ready = bench(reasons)
    ready.examples = [e.model_copy(update={"reference": None}) for e in ready.examples]
    ready.metric = FunctionMetric(lambda inputs, _reference, answer: answer == 2 * int(inputs["q"].split()[0]) + 1)  # fmt: skip

    steps = ready.climb([DemosLever()])

    assert any("no train example has a reference to show" in line for line in ready.said)
    assert len(steps) == 2
    demonstrations = ready.candidate(steps[1].candidate_id).demonstrations
    assert all(one.answer is not None and one.said for one in demonstrations)


def test_a_fine_tune_needs_something_to_learn():
    """Without references and without a teacher the lever tune says so, and trains nothing."""
    ready = bench(reasons)
    ready.examples = [e.model_copy(update={"reference": None}) for e in ready.examples]
    ready.metric = FunctionMetric(lambda *_: 1.0)

    with pytest.raises(TuningError, match=r"none of the .* train examples .* has a reference"):
        ready.climb([TuneLever()])


def test_a_metric_that_compares_refuses_examples_without_references():
    """Nothing is asked where there is nothing to compare with."""
    ready = bench(reasons)
    first = ready.split("dev")[0]
    ready.examples = [
        e.model_copy(update={"reference": None}) if e is first else e for e in ready.examples
    ]

    with pytest.raises(MetricError, match=r"1 of .* examples of task 'sum' have none"):
        ready.measure()
