"""Evals of OpenAI's as tasks; the fixtures are checked by the types of its own package."""

import json

import pytest

import ratchet
from ratchet.answer import Prompt
from ratchet.core.errors import DataError
from ratchet.exchange import read_evals
from ratchet.testing import ScriptedModel

OUTPUT = "{{sample.output_text}}"
CRITERIA = [
    {
        "type": "string_check",
        "name": "same",
        "operation": "eq",
        "input": OUTPUT,
        "reference": "{{item.label}}",
    },
    {
        "type": "string_check",
        "name": "holds",
        "operation": "ilike",
        "input": f"said: {OUTPUT}",
        "reference": "SAID: {{item.label}}",
    },
    {
        "type": "text_similarity",
        "name": "near",
        "evaluation_metric": "rouge_2",
        "pass_threshold": 0.5,
        "input": OUTPUT,
        "reference": "{{item.label}}",
    },
    {
        "type": "label_model",
        "name": "polite",
        "model": "gpt-6-luna",
        "labels": ["yes", "no"],
        "passing_labels": ["yes"],
        "input": [
            {"role": "developer", "content": "Is it polite?"},
            {
                "role": "user",
                "content": {"type": "input_text", "text": f"{{{{item.ticket}}}}: {OUTPUT}"},
            },
        ],
    },
    {
        "type": "score_model",
        "name": "good",
        "model": "gpt-6-luna",
        "range": [1, 5],
        "pass_threshold": 3,
        "input": [{"role": "user", "content": f"Score {OUTPUT}"}],
    },
    {
        "type": "python",
        "name": "Own code",
        "source": "def grade(sample, item):\n    return float(sample['output_text'] == item['label'])\n",
    },
    {
        "type": "text_similarity",
        "name": "odd",
        "evaluation_metric": "meteor",
        "pass_threshold": 0.5,
        "input": OUTPUT,
        "reference": "{{item.label}}",
    },
    {
        "type": "string_check",
        "name": "json",
        "operation": "eq",
        "input": "{{sample.output_json.x}}",
        "reference": "{{item.label}}",
    },
]
ITEMS = [
    {"ticket": "Login fails", "label": "auth", "id": 1},
    {"ticket": "Pay twice\u2028", "label": "billing", "id": 2},
    {"ticket": "Late parcel", "label": "shipping", "id": 3},
]


def eval_object(criteria=CRITERIA, **more):
    return {
        "object": "eval",
        "id": "eval_1",
        "name": "Tickets",
        "created_at": 1,
        "metadata": None,
        "data_source_config": {"type": "custom", "schema": {"type": "object"}},
        "testing_criteria": criteria,
        **more,
    }


def run_object(template, items=ITEMS, name="short", **source):
    return {
        "object": "eval.run",
        "id": f"run_{name}",
        "eval_id": "eval_1",
        "name": name,
        "created_at": 1,
        "status": "completed",
        "model": "gpt-6-luna",
        "report_url": "https://example.org",
        "metadata": None,
        "error": {"code": "", "message": ""},
        "per_model_usage": [],
        "per_testing_criteria_results": [],
        "result_counts": {"errored": 0, "failed": 0, "passed": 0, "total": 0},
        "data_source": {
            "type": "completions",
            "source": {"type": "file_content", "content": [{"item": item} for item in items]},
            "input_messages": {"type": "template", "template": template},
            "model": "gpt-6-luna",
            "sampling_params": {"temperature": 0.2, "max_completion_tokens": 50},
            **source,
        },
    }


TEMPLATE = [
    {"role": "developer", "content": "Name the queue."},
    {"role": "user", "content": "Ticket: {{item.ticket}}"},
]


@pytest.fixture
def write(tmp_path):
    """Return what writes objects into a file."""

    def put(name, *objects):
        path = tmp_path / name
        path.write_text("\n".join(json.dumps(one, ensure_ascii=False) for one in objects))
        return path

    return put


def test_the_fixtures_are_what_the_package_reads():
    """Eval, criteria and run by the types of openai: what is tested here is the real form."""
    types = pytest.importorskip("openai.types")
    from openai.types.evals import RunRetrieveResponse
    from pydantic import TypeAdapter

    readable = [one for one in CRITERIA if one["name"] != "polite"]
    TypeAdapter(types.EvalRetrieveResponse).validate_python(eval_object(readable))
    TypeAdapter(types.EvalRetrieveResponse).validate_python(eval_object(CRITERIA))
    TypeAdapter(RunRetrieveResponse).validate_python(run_object(TEMPLATE))


def test_an_eval_with_a_run_becomes_a_task(write):
    """Items, criteria and the prompt, and what is lost by name."""
    suite = read_evals([write("eval.jsonl", eval_object(), run_object(TEMPLATE))], "tickets")

    assert suite.task.input_names == ("ticket",)
    assert [e.inputs["ticket"] for e in suite.examples] == [item["ticket"] for item in ITEMS]
    (candidate,) = suite.candidates
    assert candidate.model == "openai/gpt-6-luna"
    assert (candidate.decoding.temperature, candidate.decoding.max_tokens) == (0.2, 50)
    messages = Prompt(suite.task, candidate).request(suite.examples[0]).messages
    assert messages == [
        {"role": "system", "content": "Name the queue."},
        {"role": "user", "content": "Ticket: Login fails"},
    ]
    reference = suite.examples[0].reference
    assert [one["type"] for one in reference] == [
        "equals",
        "icontains",
        "rouge-n",
        "grader",
        "grader",
        "python",
    ]
    assert reference[1] == {
        "type": "icontains",
        "value": "SAID: auth",
        "input": "said: {{answer}}",
        "metric": "holds",
    }
    assert reference[2]["size"] == 2
    assert reference[3]["messages"][1] == {"role": "user", "content": "Login fails: {{answer}}"}
    assert reference[4]["pass_at"] == pytest.approx(0.5)
    assert suite.files == {"tasks/tickets/own_code.py": CRITERIA[5]["source"]}
    assert set(suite.left_out) == {
        "criterion 'odd': text similarity by 'meteor'",
        "criterion 'json': {{sample.output_json.x}} is not read, {{sample.output_text}} alone",
    }


def test_its_criteria_score_answers(write, tmp_path):
    """Those of texts, of code and of models, asked with their own messages."""
    suite = read_evals([write("eval.jsonl", eval_object(), run_object(TEMPLATE))], "tickets")
    for name, text in suite.files.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    asked = []

    def says(request):
        text = "\n".join(message["content"] for message in request.messages)
        asked.append(text)
        if "Is it polite?" in text:
            return json.dumps({"reason": "r", "label": "yes" if "Login" in text else "no"})
        if "Score" in text:
            return json.dumps({"reason": "r", "score": 4})
        return "auth"

    from ratchet.core import MetricSpec
    from ratchet.metrics import Assertions, JudgedAssertions

    options = suite.task.metric.options
    metric = JudgedAssertions(
        Assertions(functions=options["functions"], root=tmp_path),
        suite.task,
        graders=options["graders"],
    )
    examples = [e.model_copy(update={"split": "dev"}) for e in suite.examples]
    task = suite.task.model_copy(update={"metric": MetricSpec(name="assertions", options=options)})
    bench = ratchet.Workbench.of(
        task, examples, metric=metric, models={"openai/gpt-6-luna": ScriptedModel(says)}
    )

    measured = bench.measure(suite.candidates[0])

    right = (1 + 1 + 0 + 1 + 1 + 1) / 6  # one word has no pair of words
    assert measured.score == pytest.approx((right + 1 / 6 + 1 / 6) / 3)
    assert sum("Is it polite?" in text for text in asked) == 3


def test_one_comparison_is_an_exact_reference(write):
    """An eval of one equality has answers that can be shown and taught."""
    path = write("eval.json", [eval_object(CRITERIA[:1]), run_object(TEMPLATE)])
    suite = read_evals([path], "t")
    assert suite.task.metric.name == "exact"
    assert [e.reference for e in suite.examples] == ["auth", "billing", "shipping"]


def test_output_items_bring_items_and_runs_without_a_prompt_are_named(write):
    """A page of output items, a run over stored answers, and one whose messages stand in the items."""
    output = {
        "object": "eval.run.output_item",
        "id": "o",
        "eval_id": "eval_1",
        "run_id": "run_short",
        "datasource_item_id": 7,
        "datasource_item": {"ticket": "New", "label": "auth"},
        "results": [],
        "status": "pass",
        "sample": {"output": [{"role": "assistant", "content": "auth"}]},
    }
    stored = run_object(TEMPLATE, name="stored", source={"type": "file_id", "id": "file_1"})
    trajectory = run_object(
        TEMPLATE,
        items=[{"ticket": "Odd"}],
        name="reference",
        input_messages={"type": "item_reference", "item_reference": "item.chat"},
    )
    page = {"object": "list", "data": [output], "has_more": False}
    path = write("all.jsonl", eval_object(CRITERIA[:1]), stored, trajectory, page)

    suite = read_evals([path], "t")

    assert [e.inputs["ticket"] for e in suite.examples] == ["New"]
    lost = {(loss.where, loss.what) for loss in suite.losses.items}
    assert ("run reference, item 1", "criterion 'same': the item has no 'label'") in lost
    assert ("run reference", "prompt of a run: its messages stand in the items") in lost
    assert any("items in file_id" in what for _, what in lost)
    assert any("answers and results of output items" in what for _, what in lost)


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([run_object(TEMPLATE)], "one eval is read at a time, and there are 0"),
        ([eval_object(), eval_object()], "there are 2"),
        ([eval_object()], "none of its runs holds items"),
        ([eval_object(CRITERIA[6:]), run_object(TEMPLATE)], "none of its criteria can be read"),
        ([eval_object(), run_object(TEMPLATE, items=[])], "none of its runs holds items"),
        ([[1]], "objects are wanted"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_remedy(write, objects, message):
    """Never with a traceback."""
    with pytest.raises(DataError, match=message):
        read_evals([write("x.jsonl", *objects)], "t")


def test_odd_forms_are_lost_by_name_alone(write):
    """A criterion, a message and an item of a wrong type do not end the import."""
    odd = [*CRITERIA[:1], {"type": "string_check", "name": "bare"}, 5, {"name": "none"}]
    broken = run_object([{"role": "tool", "content": "x"}], items=[{"label": "a", "ticket": 1}])
    picture = run_object(
        [{"role": "user", "content": [{"type": "input_image", "image_url": "u"}]}], name="p"
    )
    unclosed = run_object([{"role": "user", "content": "{{item.ticket"}], name="u")
    suite = read_evals([write("x.jsonl", eval_object(odd), broken, picture, unclosed)], "t")
    assert len(suite.examples) == 4
    assert not suite.candidates
    assert any("has no equal" in what for what in suite.left_out)
    assert any("that no }} closes" in what for what in suite.left_out)
    assert any("'input_image'" in what for what in suite.left_out)
