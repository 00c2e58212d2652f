"""DSPy's optimisers as a lever, the real ones, on a scripted model."""

import re

import pytest

import ratchet
from ratchet.core.errors import BudgetError, CandidateError, ReplyError, UsageError
from ratchet.levers.dspy import DspyLever
from ratchet.testing import ScriptedModel

pytest.importorskip("dspy")


def says(request):
    """Right where it is shown how or told to be careful, else for every third; writes instructions when asked for them."""
    last = request.messages[-1]["content"]
    found = re.search(r"\[\[ ## q ## \]\]\n(\d+)", last)
    if found is None or "[[ ## answer ## ]]" not in last:
        if "[[ ## proposed_instruction ## ]]" in last:
            return "[[ ## proposed_instruction ## ]]\nBe careful.\n\n[[ ## completed ## ]]"
        return "```\nBe careful.\n```"
    n = int(found[1])
    helped = len(request.messages) > 3 or "careful" in request.messages[0]["content"]
    return f"[[ ## answer ## ]]\n{'even' if (n % 2 == 0) == bool(helped or n % 3 == 0) else 'odd'}\n\n[[ ## completed ## ]]"


def bench(model=says, **answer):
    """Return a workbench of even and odd numbers."""
    task = ratchet.Task(
        name="parity",
        instructions="Even or odd?",
        inputs=(ratchet.InputField(name="q"),),
        answer=ratchet.AnswerForm(**(answer or {"kind": "label", "labels": ("even", "odd")})),
        metric=ratchet.MetricSpec(name="label"),
        models=ratchet.Roles(student="m"),
    )
    examples = [
        ratchet.Example(inputs={"q": str(n)}, reference="odd" if n % 2 else "even")
        for n in range(240)
    ]
    ready = ratchet.Workbench.of(task, examples, models={"m": ScriptedModel(model, name="m")})
    ready.said = []
    ready.watching.says = ready.said.append
    return ready


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("optimiser", ["random-search", "mipro", "gepa"])
def test_an_optimiser_is_judged_by_our_verdict(optimiser, capsys):
    """What it ends with becomes a rung; its calls are charged; it sees neither dev nor test, and prints nothing."""
    ready = bench()
    budget = ratchet.Budget(calls=5000)

    steps = ready.climb([DspyLever(optimiser, candidates=3, validation=20)], budget=budget)

    assert [(s.lever, s.kept) for s in steps] == [("start", True), ("dspy", True)]
    assert f"DSPy's {optimiser}" in steps[1].what
    assert steps[1].verdict.decision == "better"
    (told,) = [line for line in ready.said if line.startswith("dspy: ") and line.endswith(" calls")]
    calls = int(told.split()[1])
    assert calls >= 20
    assert budget.calls_made == calls + 2 * len(ready.split("dev"))
    hidden = {e.inputs["q"] for e in ready.examples if e.split != "train"}
    shown = {one.inputs["q"] for one in ready.champion().demonstrations}
    assert not shown & hidden
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")


@pytest.mark.filterwarnings("ignore")
def test_a_budget_that_ends_first_leaves_no_rung():
    """It is said, and the ladder stays."""
    ready = bench()
    budget = ratchet.Budget(calls=len(ready.split("dev")) + 30)

    steps = ready.climb([DspyLever(candidates=3, validation=20)], budget=budget)

    assert len(steps) == 1
    assert any("the budget ended after 30 calls" in line for line in ready.said)
    assert budget.calls_made <= len(ready.split("dev")) + 30


@pytest.mark.filterwarnings("ignore")
def test_a_dead_model_is_told():
    """Not as a program that is never right."""
    ready = bench()
    ready.climb([])

    def dead(_request):
        return ReplyError("gone", kind="connection")

    ready._models["m"] = ScriptedModel(dead, name="m")
    with pytest.raises(ReplyError, match="gone"):
        ready.climb([DspyLever(candidates=2, validation=10)])


def test_what_it_cannot_do_is_told_first():
    """A task of tool calls, too few examples."""
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    ready = bench(kind="tool", tool="t", json_schema=schema)
    with pytest.raises(CandidateError, match="answer in text"):
        ready.with_pool(lambda pool: first(ready, pool))
    small = bench()
    small.examples = [e for e in small.examples if e.split != "train"]
    with pytest.raises(UsageError, match="too few to learn from"):
        small.with_pool(lambda pool: first(small, pool))
    priced = bench()
    priced._models["m"] = ScriptedModel(says, name="m")
    priced._models["m"].price = lambda *_: None
    with pytest.raises(BudgetError, match="would never bind"):
        priced.with_pool(lambda pool: first(priced, pool, ratchet.Budget(cost_usd=1)))


async def first(ready, pool, budget=None):
    """Return what the lever proposes first."""
    evidence = ready.ground(pool).evidence
    lever = DspyLever(candidates=2, validation=10)
    return [one async for one in lever.propose(ready.start(), evidence, budget or ratchet.Budget())]


@pytest.mark.filterwarnings("ignore")
def test_what_was_bought_is_not_bought_again():
    """A run that its budget ended goes on from its replies."""
    ready = bench()
    dev = len(ready.split("dev"))
    ready.climb([DspyLever(candidates=2, validation=20)], budget=ratchet.Budget(calls=dev + 30))
    budget = ratchet.Budget()

    ready.climb([DspyLever(candidates=2, validation=20)], budget=budget)

    asked = [repr(r.messages) for r in ready._models["m"].requests if "[[ ##" in str(r.messages)]
    assert len(asked) == len(set(asked))
    assert ready.steps()[-1].lever == "dspy"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("optimiser", ["mipro", "gepa"])
def test_a_dead_proposer_is_an_error(optimiser):
    """Not a program that nobody optimised."""
    ready = bench()
    ready._models["down"] = ScriptedModel(lambda _: ReplyError("it is down", kind="connection"), name="down")  # fmt: skip
    with pytest.raises(ReplyError, match="it is down"):
        ready.climb([DspyLever(optimiser, candidates=2, validation=20, proposer="down")])


def test_an_optimiser_that_is_none_is_refused():
    """Whatever is not spelt as one of them."""
    with pytest.raises(
        UsageError, match="no optimiser 'foo'; there are random-search, mipro, gepa"
    ):
        DspyLever("foo")
