"""A promptfoo configuration as a task."""

import asyncio
import json

import numpy as np
import pytest

import ratchet
from ratchet.answer import Prompt
from ratchet.core.errors import DataError
from ratchet.exchange import read_suite
from ratchet.ladder import metric_of
from ratchet.metrics import make_metric
from ratchet.testing import ScriptedModel

CONFIG = """
description: Say which capital a country has.
prompts:
  - "What is the capital of {{ country }}? Reply in {{language}}."
  - file://chat.json
  - id: file://texts.txt
    label: short ones
  - file://maker.py
  - "{% if x %}{{x}}{% endif %}"
providers:
  - openai:chat:gpt-4.1-mini
  - id: anthropic:messages:claude-sonnet-5
    config: {temperature: 0.5}
  - file://own.js
defaultTest:
  vars: {language: English}
  assert:
    - {type: not-contains, value: sorry}
tests:
  - description: France
    vars: {country: France}
    assert:
      - {type: icontains, value: paris, weight: 2}
      - {type: llm-rubric, value: is polite}
  - vars:
      country: [Peru, Chile]
    assert:
      - {type: contains-any, value: "Lima, Santiago"}
      - {type: regex, value: "^\\\\w+ is in {{country}}"}
  - file://more.csv
"""


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a configuration and its files."""
    (tmp_path / "promptfooconfig.yaml").write_text(CONFIG)
    chat = [
        {"role": "system", "content": "Be brief. Use {{language}}."},
        {"role": "user", "content": "Capital of Japan?"},
        {"role": "assistant", "content": "Tokyo"},
        {"role": "user", "content": "Capital of {{country}}?"},
    ]
    (tmp_path / "chat.json").write_text(json.dumps(chat))
    (tmp_path / "texts.txt").write_text("{{country}}?\n---\nCapital of {{country}}, in a word.\n")
    (tmp_path / "more.csv").write_text(
        "country,__expected,__description\nKenya,contains: Nairobi,K\nMali,Bamako,\n"
    )
    return tmp_path


def test_a_configuration_becomes_a_task(folder):
    """Prompts, providers, tests with their spread values, and what is left out, each where it belongs."""
    suite = read_suite(folder / "promptfooconfig.yaml", "capitals")

    assert suite.task.instructions == "Say which capital a country has."
    assert suite.task.input_names == ("country", "language")
    assert suite.task.metric.name == "assertions"
    assert suite.models == ["openai/gpt-4.1-mini", "anthropic/claude-sonnet-5"]
    assert [one.note for one in suite.candidates] == ["prompt 1", "chat", "texts 1", "texts 2"]
    first, chat, *_ = suite.candidates
    assert first.user == "What is the capital of {{country}}? Reply in {{language}}."
    assert chat.system == "Be brief. Use {{language}}."
    assert (chat.demonstrations[0].asked, chat.demonstrations[0].said) == (
        "Capital of Japan?",
        "Tokyo",
    )
    assert [(e.inputs["country"], e.inputs["language"]) for e in suite.examples] == [
        (one, "English") for one in ("France", "Peru", "Chile", "Kenya", "Mali")
    ]
    assert suite.examples[2].reference == [
        {"type": "not-contains", "value": "sorry"},
        {"type": "contains-any", "value": "Lima, Santiago"},
        {"type": "regex", "value": "^\\w+ is in Chile"},
    ]
    assert suite.examples[4].reference[1] == {"type": "equals", "value": "Bamako"}
    assert suite.task.metric.options == {"judge": "teacher"}
    assert suite.needs_judge
    assert set(suite.left_out) == {
        "prompt 'prompt 4': prompt in code (maker.py)",
        "prompt 'prompt 5': it has a block of Nunjucks; write it with {{#if}} and {{#each}}",
        "settings of another provider than the first",
        "provider 'file://own.js': name its endpoint in ratchet.toml by hand",
    }


def test_its_prompts_are_measured_by_its_assertions(folder):
    """On the workbench, with a model that knows the answers only when it is asked at length, and a judge for rubrics."""
    suite = read_suite(folder / "promptfooconfig.yaml", "capitals", judge="judge/one")
    capitals = {"France": "Paris", "Peru": "Lima", "Chile": "Santiago", "Kenya": "Nairobi", "Mali": "Bamako"}  # fmt: skip
    graded = []

    def says(request):
        last = request.messages[-1]["content"]
        country = next(one for one in capitals if one in last)
        return f"{capitals[country]} is in {country}" if last.startswith("What") else "sorry"

    def judges(request):
        graded.append(request.messages[-1]["content"])
        return json.dumps({"reason": "so so", "grade": 0.5})

    examples = [e.model_copy(update={"split": "dev"}) for e in suite.examples]
    models = {"openai/gpt-4.1-mini": ScriptedModel(says), "judge/one": ScriptedModel(judges)}
    ready = ratchet.Workbench.of(
        suite.task, examples, models=models, metric=metric_of(suite.task, None)
    )
    good, _, short, _ = ready.measure_all(suite.candidates)

    france = (1 + 2 + 0.5) / 4
    assert good.score == pytest.approx((france + 1 + 1 + 1 + 1 / 2) / 5)  # Mali wants the bare name
    assert short.score == pytest.approx(0.5 / 4 / 5)
    assert "<rubric>\nis polite\n</rubric>" in graded[0]
    assert "<answer>\nParis is in France\n</answer>" in graded[0]


def test_one_equals_a_test_is_an_exact_reference(tmp_path):
    """Nothing but the text that is wanted."""
    (tmp_path / "p.yaml").write_text(
        "prompts: ['{{q}}']\nproviders: [openai:gpt-4.1]\n"
        "tests:\n  - {vars: {q: a}, assert: [{type: equals, value: '{{q}}!'}]}\n"
    )
    suite = read_suite(tmp_path / "p.yaml", "t")
    assert (suite.task.metric.name, suite.examples[0].reference) == ("exact", "a!")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "is no promptfoo configuration"),
        ("prompts: [", "is not valid YAML"),
        ("prompts: [file://gone.txt]\ntests: []", "there is no file"),
        ("prompts: ['{{q | upper}}']\ntests: []", "none of the prompts can be read"),
        ("prompts: ['{{q}}']\ntests: [{vars: {q: a}}]", "no test with an assertion"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, text, message):
    """With the file and the reason."""
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(DataError, match=message):
        read_suite(tmp_path / "p.yaml", "t")


def test_what_is_left_out_is_named_and_files_are_followed(tmp_path):
    """Settings, cells of a table, values and defaults in files, targets and patterns, each as promptfoo means them."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "a.txt").write_text("Capital of {{country}}?")
    (tmp_path / "vars.yaml").write_text("country: Japan\n")
    (tmp_path / "default.yaml").write_text("vars: {tone: dry}\noptions: {prefix: x}\n")
    (tmp_path / "expected.txt").write_text("Nairobi\n")
    (tmp_path / "t.csv").write_text(
        'country,__expected\nIran,"llm-rubric: nice"\nLaos,similar(0.8): Vientiane\nMali,levenshtein(3): Bamaka\n'
        "Chad,\"fn:output==='x'\"\nPeru,Lima: the city\n"
    )
    (tmp_path / "p.yaml").write_text(
        "prompts: prompts/*.txt\n"
        "targets: [{id: 'openai:gpt-4.1', config: {temperature: 0.9, max_tokens: 5, apiKey: x}}]\n"
        "defaultTest: file://default.yaml\n"
        "tests:\n"
        "  - vars: file://vars.yaml\n    threshold: 0.5\n    assert: [{type: contains-any, value: [Tokyo, '{{country}}'], transform: x}]\n"
        "  - {vars: {country: Kenya}, assert: [{type: contains, value: file://expected.txt}]}\n"
        "  - {vars: {country: Oman}, assert: [{type: contains, value: '{{country | upper}}'}]}\n"
        "  - file://t.csv\n"
    )
    suite = read_suite(tmp_path / "p.yaml", "t")

    (candidate,) = suite.candidates
    assert candidate.user == "{{prefix}}Capital of {{country}}?"
    assert {e.inputs["prefix"] for e in suite.examples} == {"x"}
    assert (candidate.model, candidate.decoding.temperature, candidate.decoding.max_tokens) == ("openai/gpt-4.1", 0.9, 5)  # fmt: skip
    said = {e.inputs["country"]: e.reference[0] for e in suite.examples}
    assert said["Japan"]["value"] == ["Tokyo", "Japan"]
    assert said["Kenya"]["value"] == "Nairobi"
    assert said["Mali"] == {"type": "levenshtein", "threshold": 3.0, "value": "Bamaka"}
    assert said["Peru"] == {"type": "equals", "value": "Lima: the city"}
    assert said["Iran"] == {"type": "llm-rubric", "value": "nice"}
    assert said["Laos"] == {"type": "similar", "value": "Vientiane"}
    assert not {"Oman", "Chad"} & set(said)
    for what in (
        "assertion javascript",
        "provider setting apiKey",
        "threshold of a test (the score counts, not whether it passes)",
        "threshold of similar (the score counts, not whether it passes)",
        "transform of an assertion",
        "assertion contains: more of Nunjucks than fields: '{{country | upper}}'",
    ):
        assert suite.left_out[what], what


def write_suite(folder, text, **files):
    """Return a configuration's path, with files beside it."""
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    (folder / "promptfooconfig.yaml").write_text(text)
    return folder / "promptfooconfig.yaml"


SIMPLE = (
    "prompts: ['{{q}}']\nproviders: [openai:gpt-6-luna]\ntests:\n  - vars: {q: a}\n    assert:\n"
)


@pytest.mark.parametrize(
    ("assertion", "loss"),
    [
        ("{type: javascript, value: x}", "assertion javascript"),
        ("{type: made-up, value: x}", "assertion made-up"),
        ("{type: is-sql}", "assertion is-sql"),
        ("{type: contains}", "assertion contains: its value is a text or a number, got None"),
        ("{type: regex, value: '['}", "assertion regex: the pattern '[' has a class"),
        ("{type: is-json, value: {type: nonsense}}", "assertion is-json: not a JSON Schema at"),
        ("{type: contains-any, value: '\"a'}", "assertion contains-any: a quotation mark"),
        ("{type: python, value: 'x ='}", "assertion python: Python that does not parse"),
        ("{type: python, value: file://gone.py}", "assertion python: there is no file"),
        ("{type: python, value: file://own.py:other}", "own.py has no function 'other'"),
        ("{type: contains, value: file://own.py}", "assertion contains: own.py is code"),
        ("{type: llm-rubric}", "assertion llm-rubric: it has no value"),
        ("{type: similar, value: [a, b]}", "assertion similar: its value is one text"),
        ("{type: assert-set, assert: []}", "assert-set without an assertion"),
        (
            "{type: contains, value: x, weight: heavy}",
            "assertion contains: metric 'assertions': weight is a number",
        ),
        ("5", "assertion without a type: 5"),
        ("{value: x}", "assertion without a type"),
        ("[]", "assertion without a type"),
    ],
)
def test_an_assertion_without_an_equal_is_named_and_the_rest_comes_in(tmp_path, assertion, loss):
    """With its test's place; the suite is never refused for it."""
    text = f"{SIMPLE}      - {assertion}\n      - {{type: contains, value: b}}\n"
    suite = read_suite(write_suite(tmp_path, text, own_py="def get_assert(o, c): pass\n"), "t")
    assert suite.examples[0].reference == [{"type": "contains", "value": "b"}]
    assert [x.where for x in suite.losses.items if loss in x.what] == ["test 1"], suite.losses


@pytest.mark.parametrize(
    ("provider", "model", "base_url"),
    [
        ("openai:responses:gpt-6-luna", "openai/gpt-6-luna", "https://api.openai.com/v1"),
        (
            "google:gemini-3-pro",
            "google/gemini-3-pro",
            "https://generativelanguage.googleapis.com/v1beta/openai",
        ),
        (
            "{id: vertex:gemini-3-pro, config: {projectId: p, region: eu}}",
            "vertex/google/gemini-3-pro",
            "https://eu-aiplatform.googleapis.com/v1/projects/p/locations/eu/endpoints/openapi",
        ),
        (
            "{id: bedrock:openai.gpt-oss-20b, config: {region: r}}",
            "bedrock/openai.gpt-oss-20b",
            "https://bedrock-runtime.r.amazonaws.com/openai/v1",
        ),
        (
            "{id: azure:chat:mine, config: {apiHost: h.openai.azure.com}}",
            "azure/mine",
            "https://h.openai.azure.com/openai/v1",
        ),
        ("ollama:chat:llama3:8b", "ollama/llama3:8b", "http://127.0.0.1:11434/v1"),
        ("openrouter:a/b", "openrouter/a/b", "https://openrouter.ai/api/v1"),
        ("localai:chat:x", "localai/x", "http://127.0.0.1:8080/v1"),
        (
            "{id: openai:chat:x, config: {apiBaseUrl: 'http://my.host:1/v1', apiKeyEnvar: K}}",
            "my-host/x",
            "http://my.host:1/v1",
        ),
    ],
)
def test_providers_are_models_of_endpoints(tmp_path, provider, model, base_url):
    """With the lines that ratchet.toml needs for them."""
    text = f"prompts: ['{{{{q}}}}']\nproviders:\n  - {provider}\ntests: [{{vars: {{q: a}}, assert: [{{type: contains, value: b}}]}}]\n"
    suite = read_suite(write_suite(tmp_path, text), "t")
    assert suite.models == [model]
    (endpoint,) = suite.endpoints.values()
    assert endpoint.base_url == base_url
    assert not suite.left_out


def test_python_comes_along_as_functions(tmp_path):
    """Expressions, lines and files are called with the answer, each once however many tests have it."""
    text = (
        SIMPLE
        + "      - {type: python, value: 'len(output) / 10'}\n"
        + "      - {type: python, value: \"x = output\\nreturn x == context['vars']['q']\"}\n"
        + "      - {type: python, value: file://own.py}\n"
        + "  - {vars: {q: b}, assert: [{type: python, value: 'len(output) / 10'}]}\n"
    )
    own = (
        "def get_assert(output, context):\n    return {'pass': True, 'score': 0.25, 'reason': ''}\n"
    )
    suite = read_suite(write_suite(tmp_path, text, own_py=own), "t")
    for name, content in suite.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    metric = make_metric(suite.task.metric, root=tmp_path)

    scores = [metric.score(example, "a").value for example in suite.examples]

    assert sorted(suite.files) == ["tasks/t/checks.py", "tasks/t/own.py"]
    assert scores == [pytest.approx((0.1 + 1 + 0.25) / 3), pytest.approx(0.1)]
    assert suite.files["tasks/t/checks.py"].count("def ") == 2


def test_a_likeness_is_scored_by_an_embedding(tmp_path):
    """The text that is wanted and the answer, in the embedder's space."""
    text = SIMPLE + "      - {type: similar, value: wanted, threshold: 0.8}\n"
    suite = read_suite(write_suite(tmp_path, text), "t")
    assert suite.task.metric.options == {"embedding": "local:minilm"}
    assert suite.task.models.teacher is None
    metric = metric_of(suite.task, None)
    assert metric.votes == 0

    class Embedder:
        async def embed(self, texts):
            assert texts == ["wanted", "said"]
            return np.array([[1.0, 0.0], [0.6, 0.8]]), 2

    class Pool:
        def embedder(self, name):
            assert name == "local:minilm"
            return Embedder()

    score = asyncio.run(metric.judge(suite.examples[0], "said", None, pool=Pool()))
    assert score.value == pytest.approx(0.6)


def test_names_and_grading_are_read(tmp_path):
    """Variables that cannot keep their names get others; the grader that the file names is the teacher."""
    text = (
        "prompts: ['{{labels}} {{schema}} {{$x}}']\n"
        "defaultTest: {options: {provider: 'anthropic:messages:claude-sonnet-5'}}\n"
        "tests: [{vars: {labels: a, schema: b, $x: c}, assert: [{type: factuality, value: 'It is {{labels}}'}]}]\n"
    )
    suite = read_suite(write_suite(tmp_path, text), "t")
    assert suite.task.input_names == ("labels_", "schema_", "_x")
    assert suite.task.models.teacher == "anthropic/claude-sonnet-5"
    assert not suite.needs_judge
    (assertion,) = suite.examples[0].reference
    assert assertion["type"] == "llm-rubric"
    assert assertion["value"].endswith("contradicts the text: It is a")
    messages = Prompt(suite.task, suite.candidates[0]).request(suite.examples[0]).messages
    assert messages == [{"role": "user", "content": "a b c"}]


@pytest.mark.parametrize(
    "text",
    [
        "prompts: 5",
        "prompts: [5]",
        "prompts: [{}]",
        "prompts: {a: 1}",
        "prompts: [null]",
        "prompts: ''",
        "prompts: [a]\ntests: 5",
        "prompts: [a]\ntests: [5, {vars: 5}, {vars: [1]}, {assert: 3}, {options: x}]",
        "prompts: [a]\nproviders: 5",
        "prompts: [a]\nproviders: [5, {}, [], {id: 3, config: x}, null]",
        "prompts: [a]\ndefaultTest: 5",
        "prompts: [a]\ndefaultTest: file://gone.yaml",
        "prompts: [a]\nscenarios: [5, {}, {config: 5, tests: 7}]",
        "prompts: [a]\ntests: [{vars: {a: file://gone.txt}}]",
        "prompts: [a]\ntests: file://gone.csv",
        "prompts: [a]\ntests: https://x/y",
        "prompts: [a]\na: &a {$ref: '#/a'}\ntests: *a",
        "prompts: ['file://[']",
        'prompts: [\'[{"role": "tool"}]\']',
    ],
)
def test_odd_configurations_are_refused_in_words(tmp_path, text):
    """A part of a wrong type is a sentence, never a traceback."""
    with pytest.raises(DataError, match=r"promptfooconfig.yaml|circle"):
        read_suite(write_suite(tmp_path, text), "t")
