"""The four metrics of answers that stand on passages, by the definitions of ragas, on a judge whose replies are known."""

import json

import numpy as np
import pytest

from ratchet.answer import answer_example
from ratchet.core import Example, MetricSpec, Passage
from ratchet.core.errors import MetricError, ReplyError
from ratchet.metrics import RagMetric, make_metric
from ratchet.metrics.rag import average_precision_of
from ratchet.models import ModelPool
from ratchet.testing import ScriptedModel

EXAMPLE = Example(inputs={"question": "How long do cats sleep?"}, reference="Sixteen hours a day.")
PASSAGES = [Passage(text="Cats sleep sixteen hours."), Passage(text="Dogs bark."), Passage(text="Cats are lazy.")]  # fmt: skip


async def score(name, replies, *, answer="Sixteen hours; they purr.", passages=PASSAGES):
    """Return the score that a metric gives where the judge's replies are these, in turn."""
    listed = replies if isinstance(replies, list) else [replies]
    said = iter([one if isinstance(one, str) else json.dumps(one) for one in listed])
    judge = ScriptedModel(lambda _: next(said), name="j")
    async with ModelPool(ready={"j": judge}) as pool:

        async def ask(prompt, example, repeat):
            return await answer_example(prompt, judge, example, repeat=repeat, pool=pool)

        metric = RagMetric(name, "j")
        return await metric.judge(EXAMPLE, answer, ask, passages=passages, pool=pool), judge


def verdicts(*supported):
    """Return verdicts on claims, in their order."""
    return {"verdicts": [{"number": n, "reason": "so", "supported": bool(s)} for n, s in enumerate(supported, start=1)]}  # fmt: skip


async def test_faithfulness_is_the_share_of_claims_that_are_supported():
    """Supported claims over claims."""
    weighed = verdicts("yes", "", "yes")
    found, judge = await score("faithfulness", [{"claims": ["a", "b", "c"]}, weighed])

    assert found.value == pytest.approx(2 / 3)
    assert found.feedback == "Not supported: b"
    assert [one["supported"] for one in found.parts["claims"]] == [True, False, True]
    assert "[2] Dogs bark." in judge.requests[1].messages[-1]["content"]
    assert judge.requests[0].json_schema["required"] == ["claims"]


async def test_an_answer_that_claims_nothing_is_faithful_and_never_nan():
    """Where ragas gives NaN."""
    found, _ = await score("faithfulness", {"claims": []})

    assert found.value == 1.0


@pytest.mark.local
async def test_relevancy_is_the_mean_cosine_of_the_questions_that_the_answer_fits():
    """To the question that was asked; 0 for an answer that avoids one."""
    from ratchet.models.embed import LocalEmbedder, minilm_folder

    questions = ["How long does a cat sleep?", "What do cats do?"]
    found, _ = await score("relevancy", {"questions": questions, "noncommittal": False})
    none, _ = await score("relevancy", {"questions": questions, "noncommittal": True})
    rows, _ = await LocalEmbedder(minilm_folder()).embed([EXAMPLE.inputs["question"], *questions])

    assert found.value == pytest.approx(float(np.mean(rows[1:] @ rows[0])), abs=1e-5)
    assert none.value == 0.0


@pytest.mark.parametrize(
    ("useful", "expected"),
    [
        ([True, False, True], (1 + 2 / 3) / 2),
        ([False, True], 1 / 2),
        ([False, False], 0.0),
        ([], 0.0),
        ([True], 1.0),
        ([False, True, True, False, True], (1 / 2 + 2 / 3 + 3 / 5) / 3),
    ],
)
def test_context_precision_is_average_precision(useful, expected):
    """Sum over k of precision@k where the k-th is useful, over the useful ones: ragas' formula without its 1e-10."""
    assert average_precision_of(useful) == pytest.approx(expected)


async def test_context_precision_asks_of_each_passage():
    """In the order in which they were shown, with the reference."""
    verdicts = [{"reason": "x", "useful": useful} for useful in (False, True, True)]
    found, judge = await score("context-precision", verdicts)

    assert found.value == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert len(judge.requests) == 3
    assert "Sixteen hours a day." in judge.requests[0].messages[-1]["content"]


async def test_context_recall_is_the_share_of_the_references_sentences():
    """Those that the passages say."""
    sentences = [{"sentence": s, "reason": "x", "attributed": a} for s, a in (("A.", True), ("B.", False))]  # fmt: skip
    found, _ = await score("context-recall", {"recalled": sentences})

    assert found.value == 0.5
    assert found.feedback == "Not in the passages: B."


@pytest.mark.parametrize(
    "name", ["faithfulness", "relevancy", "context-precision", "context-recall"]
)
async def test_a_reply_without_the_form_is_missing_not_zero(name):
    """The judge failed, not the answer."""
    with pytest.raises(ReplyError, match=name) as told:
        await score(name, "I would say it is fine.")
    assert told.value.kind == "judge"


async def test_without_passages_nothing_was_found():
    """Precision of nothing is 0; the judge is not asked."""
    found, judge = await score("context-precision", [], passages=[])

    assert found.value == 0.0
    assert judge.requests == []


def test_a_task_may_name_one():
    """It needs a judge; the registry says so, and lists all four."""
    with pytest.raises(MetricError, match="faithfulness"):
        make_metric(MetricSpec(name="faithfulnes"))
    with pytest.raises(MetricError, match="there are faithfulness"):
        RagMetric("fidelity", "j")
