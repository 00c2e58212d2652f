"""The levers decoding and model, climbed on scripted worlds where the truth is known."""

import hashlib
from types import SimpleNamespace

import pytest

import ratchet
from ratchet.core.errors import ReplyError, UnknownModelError, UsageError
from ratchet.levers import DecodingLever, ModelLever
from ratchet.testing import ScriptedModel

LABELS = tuple(f"l{n}" for n in range(5))


def bench(says, *, others=None, teacher=None, count=300):
    """Return a workbench whose student answers a question with one of five labels."""
    task = ratchet.Task(
        name="pick",
        instructions="Pick.",
        inputs=(ratchet.InputField(name="question"),),
        answer=ratchet.AnswerForm(kind="label", labels=LABELS),
        metric=ratchet.MetricSpec(name="label"),
        models=ratchet.Roles(student="weak", teacher=teacher),
    )
    examples = [
        ratchet.Example(inputs={"question": f"number {n}"}, reference=LABELS[n % 5])
        for n in range(count)
    ]
    models = {"weak": ScriptedModel(says, name="weak"), **(others or {})}
    return ratchet.Workbench.of(task, examples, models=models)


def number(request):
    """Return the number that is asked about."""
    return int(next(m for m in request.messages if m["role"] == "user")["content"].split()[-1])


def chance(request):
    """Return a number in [0, 1) that depends on question, temperature and how often it was asked."""
    seen = f"{number(request)} {request.temperature} {len(request.messages)}"
    chance.times[seen] = chance.times.get(seen, 0) + 1
    digest = hashlib.sha256(f"{seen} {chance.times[seen]}".encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32


chance.times = {}


def right(request):
    """Return the right label."""
    return LABELS[number(request) % 5]


def test_samples_win_where_answers_waver():
    """Right in 60 % of draws and wrong in many ways otherwise: five samples win, at five times the calls, and say so."""
    chance.times.clear()

    def wavers(request):
        drawn = chance(request)
        return right(request) if drawn < 0.6 else LABELS[int(drawn * 1000) % 5]

    ready = bench(wavers)
    steps = ready.climb([DecodingLever(repairs=1)])

    assert steps[1].kept
    assert steps[1].what == "5 samples at temperature 0.7, the most agreed on"
    champion = ready.champion()
    assert (champion.decoding.samples, champion.decoding.temperature) == (5, 0.7)
    before = ready.measure(ready.start())
    after = ready.measure()
    assert after.tokens_a_call > 4 * before.tokens_a_call
    assert steps[1].score > steps[0].score + 0.1


def test_repair_wins_where_answers_break():
    """Half of the first answers are no label, and what is handed back is put right."""

    def breaks(request):
        is_second = len(request.messages) > 2
        return right(request) if is_second or number(request) % 2 else "hard to say"

    ready = bench(breaks)
    steps = ready.climb([DecodingLever(samples=())])

    assert steps[1].kept
    assert steps[1].what == "up to 2 repairs"
    assert steps[1].score == 1.0


def test_a_call_limit_counts_every_call():
    """A measurement of a candidate with samples ends at the limit, whatever a trial takes."""
    ready = bench(right)
    many = ready.start().changed(
        decoding={"samples": 4, "temperature": 1.0, "max_tokens": 512}, note="four"
    )

    measured = ready.measure(many, budget=ratchet.Budget(calls=42))

    assert len(measured.outcomes) == 10
    assert len(ready._models["weak"].requests) == 40


def test_the_cheaper_model_that_is_not_worse_is_kept():
    """The same answers at a tenth of the price; the teacher is tried where no model is named."""
    cheap = ScriptedModel(right, name="cheap", price=(0.1, 0.1))
    dear = ScriptedModel(right, name="weak", price=(1.0, 1.0))
    ready = bench(right, others={"cheap": cheap, "weak": dear}, count=1500)

    steps = ready.climb([ModelLever(["cheap", "weak"])])

    assert [(s.lever, s.kept) for s in steps] == [("start", True), ("model", True)]
    assert ready.champion().model == "cheap"
    strong = ScriptedModel(right, name="strong")
    taught = bench(lambda _: "l0", others={"strong": strong}, teacher="strong")
    assert taught.climb([ModelLever()])[1].kept
    assert taught.champion().model == "strong"


def test_models_that_are_not_there_are_told_before_anything_is_paid():
    """A misspelt name, and nobody to try."""
    ready = bench(right)
    with pytest.raises(UnknownModelError, match="unknown model 'far/gpt'"):
        ready.climb([ModelLever(["far/gpt"])])
    with pytest.raises(UsageError, match="no other model to try"):
        ready.climb([ModelLever()], again=True)


def test_text_has_no_form_to_repair():
    """For free text only samples and temperatures are proposed."""
    task = ratchet.Task(
        name="say",
        instructions="Say.",
        inputs=(ratchet.InputField(name="q"),),
        metric=ratchet.MetricSpec(name="exact"),
        models=ratchet.Roles(student="weak"),
    )
    examples = [ratchet.Example(inputs={"q": f"q {n}"}, reference="a") for n in range(60)]
    ready = ratchet.Workbench.of(task, examples, models={"weak": ScriptedModel(lambda _: "a")})

    steps = ready.climb([DecodingLever(temperatures=(0.3,))])

    assert [s.what for s in steps[1:]] == [
        "temperature 0.3",
        "5 samples at temperature 0.7, the most agreed on",
    ]
    assert not any(s.kept for s in steps[1:])


def test_repairs_stay_within_a_call_limit_and_what_came_is_charged():
    """Calls that fail leave those that came: they count, and the limit is exact."""
    asked = []

    def flaky(request):
        asked.append(request)
        return ReplyError("gone", kind="connection") if len(asked) % 3 == 0 else "hm"

    ready = bench(flaky)
    fixing = ready.start().changed(decoding={"repairs": 2, "max_tokens": 512}, note="fix")
    budget = ratchet.Budget(calls=30)

    measured = ready.measure(fixing, budget=budget)

    assert 27 <= len(asked) <= 30
    assert budget.calls_made >= len(measured.outcomes) > 0


async def test_samples_that_came_are_used():
    """One of five fails: the other four vote; all five were calls."""
    from ratchet.answer import Prompt, answer_example

    asked = []

    def flaky(request):
        asked.append(request)
        return ReplyError("gone", kind="connection") if len(asked) == 2 else right(request)

    ready = bench(flaky)
    many = ready.start().changed(decoding={"samples": 5, "temperature": 0.5}, note="five")
    trial = await answer_example(
        Prompt(ready.task, many), ready._models["weak"], ready.split("dev")[0]
    )

    assert trial.answer == ready.split("dev")[0].reference
    assert trial.calls == 5


def test_a_label_that_a_local_model_gives_freely_may_be_forced():
    """On this machine a free label is tried with its form forced, one that is forced is not freed, and nothing goes as JSON."""
    task = ratchet.Task(
        name="pick",
        instructions="Pick.",
        inputs=(ratchet.InputField(name="question"),),
        answer=ratchet.AnswerForm(kind="label", labels=LABELS),
        metric=ratchet.MetricSpec(name="label"),
        models=ratchet.Roles(student="local:weak"),
    )
    examples = [
        ratchet.Example(inputs={"question": f"number {n}"}, reference=LABELS[n % 5])
        for n in range(60)
    ]

    def says(request):
        return right(request) if request.choices else "I cannot tell."

    ready = ratchet.Workbench.of(task, examples, models={"local:weak": ScriptedModel(says)})
    free = ready.start().changed(decoding=ratchet.Decoding(constrained=False))

    steps = ready.climb([DecodingLever(samples=())], start=free)
    after = ready.climb([DecodingLever(samples=())], again=True)[len(steps) :]

    assert [(s.what, s.kept) for s in steps[1:] if s.kept] == [("forced form", True)]
    assert not any("form" in s.what or "JSON" in s.what for s in after)


def ways_from(**decoding):
    """Return the decodings that the lever tries from a local champion with labels."""
    local = bench(right).start().changed(model="local:nano", decoding=decoding)
    evidence = SimpleNamespace(
        task=bench(right).task, pool=SimpleNamespace(sampling_temperature=lambda _, heat: heat)
    )
    return {one.note: one.decoding for one in DecodingLever()._ways(local, evidence)}


def test_labels_of_a_local_model_are_decided():
    """With and without the prompt's own leaning; from a decision the way back to a generated label is tried, and samples of it."""
    ways = ways_from()
    assert ways["labels decided"].decide
    assert ways["labels decided, without the prompt's own leaning"].calibration == "prior"

    back = ways_from(decide=True, calibration="prior")
    assert not back["labels generated"].decide
    assert not back["5 samples at temperature 0.7, the most agreed on"].decide
    assert "labels decided" in back
    assert "temperature 0" not in back
